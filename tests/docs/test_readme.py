"""What the README tells people to type works, and what it lists is complete."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from lab import cli as lab_cli
from node import cli as node_cli
from node.control import protocol
from tests.docs import readme

TEXT = readme.README.read_text(encoding="utf-8")
COMMANDS = list(readme.commands(readme.README))
SCENARIOS = sorted(p.stem for p in (readme.ROOT / "scenarios").glob("*.yaml"))
MAKEFILE = (readme.ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PYTHON = ".venv/bin/python"
OTHER_PROGRAMS = {"kill", "mkdir", "openssl", "rm", "docker", "docker-compose", "python3"}


def calls(*program: str) -> list[list[str]]:
    """The arguments of every call of a program in the README's blocks."""
    size = len(program)
    return [words[size:] for words in COMMANDS if tuple(words[:size]) == program]


def ids(words: list[str]) -> str:
    return shlex.join(words)


def test_every_command_is_of_a_program_these_tests_know() -> None:
    unknown = [
        words for words in COMMANDS if words[0] not in {"make", ".venv/bin/ipseclab", PYTHON, *OTHER_PROGRAMS}
    ]
    assert unknown == []
    assert len(COMMANDS) > 20


def test_every_make_target_in_the_documents_exists() -> None:
    for document in readme.documents():
        code = re.findall(r"`(make [^`\n]*)`", document.read_text(encoding="utf-8"))
        named = [shlex.split(line, comments=True) for line in code]
        named += [words for words in readme.commands(document) if words[0] == "make"]
        for words in named:
            targets = {w for w in words[1:] if re.fullmatch("[a-z][a-z-]*", w)}
            assert targets <= TARGETS, (document.name, words)


def test_make_variables_in_the_readme_are_those_of_the_makefile() -> None:
    used = set(re.findall(r"\b([A-Z_]{3,})=", "\n".join(" ".join(words) for words in calls("make"))))
    assert used == {"ARGS", "NODE", "SCENARIO", "PYTEST_ARGS"}
    assert all(re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE) for name in used)


def test_the_test_command_is_stated_and_ci_runs_nothing_else() -> None:
    assert "The test command is `make test`, the check command is `make lint`." in TEXT
    ci = (readme.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)$", ci, re.MULTILINE) == ["lint", "test"]


def test_scenarios_in_the_readme_and_in_the_directory_are_the_same() -> None:
    rows = readme.table_rows(readme.README, "### Scenarios\n")
    listed = [re.fullmatch(r"\[(.+)\]\(scenarios/(.+)\.yaml\)", row[0]) for row in rows]
    names = [match[1] for match in listed if match]
    assert all(match is not None and match[1] == match[2] for match in listed)
    assert sorted(names) == SCENARIOS
    assert names[0] == "hello"


@pytest.mark.parametrize("words", calls(".venv/bin/ipseclab"), ids=ids)
def test_commands_of_ipseclab_parse(words: list[str]) -> None:
    options = lab_cli._parser().parse_args(lab_cli._words(words))
    assert options.verb in lab_cli.VERBS
    named = {getattr(options, "scenario", None), *getattr(options, "scenarios", ())}
    assert named <= {None, "all", *SCENARIOS}


@pytest.mark.parametrize("verb", sorted({*lab_cli.VERBS, *re.findall(r"`ipseclab (\w+)", TEXT)}))
def test_help_of_every_verb_works(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        lab_cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"ipseclab {verb}" in capsys.readouterr().out


def _no_exit(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    try:
        return parser.parse_args(words)
    except SystemExit as ended:
        pytest.fail(f"{shlex.join(words)}: refused with {ended.code}")


@pytest.mark.parametrize("words", calls(PYTHON, "-m", "node"), ids=ids)
def test_commands_of_the_node_parse(words: list[str]) -> None:
    assert _no_exit(node_cli._parser(), words).mode in {"ipsec-responder", "ipsec-initiator"}


def test_both_founding_command_lines_are_there() -> None:
    assert sorted(calls(PYTHON, "-m", "node"))[::2] == [
        ["--mode=ipsec-initiator"],
        ["--mode=ipsec-responder"],
    ]


@pytest.mark.parametrize("option", ["--once", "--print-config", "--schema", "--help"])
def test_options_named_in_the_text_exist(option: str) -> None:
    assert f"`{option}`" in TEXT
    assert option in node_cli._parser().format_help()


def test_ctl_commands_named_in_the_readme_exist() -> None:
    named = set(re.findall(r"-m node ctl ([\w-]+)", TEXT))
    assert named
    assert named <= set(protocol.COMMANDS)


def test_exit_codes_are_those_of_the_programs() -> None:
    rows = {int(row[0]): row[1:] for row in readme.table_rows(readme.README, "## Exit codes\n")}
    assert {code for code, (of_lab, _) in rows.items() if of_lab} == {0, 1, 2, 4, 5, 124, 125, 126, 127, 130}
    assert {code for code, (_, of_node) in rows.items() if of_node} == {0, 1, 2, 4, 70, 130}
    table = (readme.ROOT / "docs" / "events.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    in_events = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert in_events == {code for code, (_, of_node) in rows.items() if of_node}


def test_the_founding_openssl_commands_are_complete() -> None:
    verbs = [words[0] for words in calls("openssl")]
    assert verbs == ["genrsa", "req", "genrsa", "req", "x509", "asn1parse"]


def test_the_layout_names_every_directory() -> None:
    layout = next(b.text for b in readme.blocks(readme.README) if b.text.startswith("ca/"))
    named = set(re.findall(r"^(\w+)/", layout, re.MULTILINE))
    assert all((readme.ROOT / name).is_dir() for name in named)
    packages = {path.parent.name for path in Path(readme.ROOT).glob("*/__init__.py")}
    assert packages - {"tests"} <= named
