"""Completion scripts, sourced in the shells that are here and asked as Tab would ask."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import cli as command_line
from lab import completion, library
from tests.lab.conftest import Cli

BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_ipseclab
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# What Tab calls is a function: here what it would offer is printed instead.
ZSH = """
compdef() {{ : }}
compadd() {{ while [[ $1 == -* ]]; do shift; done; print -l -- "$@" }}
_describe() {{ [[ $1 == -* ]] && shift 2 || shift; print -l -- ${{${{(P)1}}%%:*}} }}
_files() {{ print -l -- *(N) }}
source {script}
words=({words}) CURRENT=$#words
_ipseclab
"""
FISH = "source {script}\ncomplete -C {line}\n"


def program(name: str) -> str:
    found = shutil.which(os.environ.get(f"TEST_{name.upper()}", name))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def scripts(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("completion")
    found = {}
    for shell in completion.SHELLS:
        done = cli("completion", shell)
        assert done.returncode == 0, done.stderr
        found[shell] = place / shell
        found[shell].write_text(done.stdout)
    return found


def offered(shell: str, script: Path, words: list[str], **more: str) -> set[str]:
    """What the shell offers for the last of `words`, filtered by it as the shell itself would."""
    argv = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[shell]
    quoted = " ".join(shlex.quote(word) for word in words)
    text = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
        script=script, words=quoted, line=shlex.quote(" ".join(words))
    )
    done = subprocess.run(
        [program(shell), *argv, text],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=script.parent,
        env=os.environ | more,
    )
    assert done.stderr == ""
    lines = {line.partition("\t")[0] for line in done.stdout.splitlines()}
    return {line for line in lines if line.startswith(words[-1]) and line}


SCENARIOS = set(library.names())
CASES = [
    (["ipseclab", ""], {*command_line.VERBS, *command_line.ALIASES}),
    (["ipseclab", "do"], {"down", "doctor"}),
    (["ipseclab", "-n", "run", "ex"], {"exec"}),
    (["ipseclab", "up", ""], SCENARIOS),
    (["ipseclab", "deploy", "wrong-"], {"wrong-ca", "wrong-identity", "wrong-psk"}),
    (["ipseclab", "run", "a"], {"all"} | {name for name in SCENARIOS if name.startswith("a")}),
    (["ipseclab", "run", "--ju"], {"--junit"}),
    (["ipseclab", "up", "--ju"], set()),
    (["ipseclab", "up", "-b", "d"], {"docker"}),
    (["ipseclab", "-o", "json", "stat"], {"status"}),
    (["ipseclab", "-o", ""], {"table", "json"}),
    (["ipseclab", "run", "--key-type", "ecdsa"], {"ecdsa-p256", "ecdsa-p384", "ecdsa-p521"}),
    (["ipseclab", "logs", "resp"], {"responder"}),
    (["ipseclab", "connect", "init"], {"initiator"}),
    (["ipseclab", "completion", ""], {"bash", "zsh", "fish"}),
    (["ipseclab", "lint", "fi"], {"fish"}),
    (["ipseclab", "--timeout", ""], set()),
]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_tab_offers_what_fits(shell: str, scripts: dict[str, Path]) -> None:
    for words, wanted in CASES:
        assert offered(shell, scripts[shell], words) == wanted, words


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_scenarios_are_those_of_the_moment(shell: str, scripts: dict[str, Path], tmp_path: Path) -> None:
    place = {"IPSECLAB_SCENARIOS": str(tmp_path)}
    assert offered(shell, scripts[shell], ["ipseclab", "up", ""], **place) == set()
    (tmp_path / "new-one.yaml").touch()
    assert offered(shell, scripts[shell], ["ipseclab", "up", ""], **place) == {"new-one"}


def test_a_directory_with_odd_signs_is_quoted(tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s $HOME; a `b` "c"'
    odd.mkdir()
    (odd / "found.yaml").touch()
    tree = completion.read(command_line.build_parser(), command_line.ALIASES, {}, str(odd))
    for shell in completion.SHELLS:
        if shutil.which(shell) is None:
            continue
        script = tmp_path / shell
        script.write_text(completion.script(shell, tree))
        assert offered(shell, script, ["ipseclab", "up", "f"]) == {"found"}, shell


def test_every_option_and_verb_is_in_every_script(scripts: dict[str, Path]) -> None:
    tree = completion.read(command_line.build_parser(), command_line.ALIASES, {}, "/x")
    assert {verb.names[0] for verb in tree.verbs} == set(command_line.VERBS)
    flags = [flag for verb in tree.verbs for option in verb.options for flag in option.flags]
    for shell, path in scripts.items():
        text = path.read_text()
        for flag in flags:
            spelled = (
                flag if shell != "fish" else f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}"
            )
            assert spelled in text, (shell, flag)


def test_an_unknown_shell_is_a_usage_error(cli: Cli) -> None:
    done = cli("completion", "csh")
    assert done.returncode == 2
    assert "invalid choice: 'csh'" in done.stderr
