"""`ipseclab lint`: every problem of every file with its place, in scenarios and node configurations."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

import yamlschema
from lab import editor, library, nodecheck, plan
from lab import lint as linting
from lab.errors import EnvironmentNotReady, UsageError
from lab.lint import Kind
from lab.nodecheck import Complaint
from tests.lab.conftest import ROOT, Cli
from yamlschema.document import Mark

EXPECT = "expect: {responder: {}, initiator: {}}\n"
HEAD = "title: t\ndescription: d\n"


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def told(path: Path, kind: Kind = Kind.SCENARIO) -> list[str]:
    return [str(problem).removeprefix(f"{path}:") for problem in linting.report(path, kind).problems]


# --- the schema as a file ---


def test_the_schema_of_nodes_is_what_the_node_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "node", "--schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert editor.path(editor.NODE).read_text() == done.stdout, "run: make schema"


def test_the_whole_schema_is_one_that_others_understand_too() -> None:
    whole = library.whole_schema()
    jsonschema.Draft202012Validator.check_schema(whole)
    good = yaml.safe_load(HEAD + EXPECT + "nodes: {responder: {config: {ike: {}}}, initiator: }\n")
    jsonschema.Draft202012Validator(whole).validate(good)
    good["nodes"]["responder"]["config"]["ike"] = {"proposels": []}
    with pytest.raises(jsonschema.ValidationError, match="proposels"):
        jsonschema.Draft202012Validator(whole).validate(good)


def test_every_format_of_the_node_is_known() -> None:
    """A new one would end `lint` with a SchemaError."""
    assert {"identity", "ike-proposal", "network", "regex"} <= library.formats().keys()
    assert (
        yamlschema.check(yamlschema.Document("x", {}), library.schema(editor.NODE), library.formats()) == ()
    )


# --- scenarios ---

SCHEMA_SAYS = [
    (
        "{ike: {proposels: [aes256]}}",
        "4:30: nodes.responder.config.ike.proposels: is unknown (did you mean 'proposals'?)",
    ),
    ("{tun: {mtu: 12}}", "4:35: nodes.responder.config.tun.mtu: 12 is less than the minimum of 576"),
    ("{profile: rfc}", '4:33: nodes.responder.config.profile: "rfc" is not one of'),
    ("{listen: 8000}", "4:32: nodes.responder.config.listen: 8000 is not a mapping"),
]
NODE_SAYS = [
    (
        "{ike: {proposals: [aes256-sha256-modp2048, foo]}}",
        "4:66: nodes.responder.config.ike.proposals[1]: 'foo': 'foo' has no meaning here",
    ),
    (
        '{peer: {identity: "nobody"}}',
        "4:41: nodes.responder.config.peer.identity: 'nobody' is not an identity",
    ),
    (
        "{child: {proposals: [aes256-sha256-esn]}}",
        "4:44: nodes.responder.config.child.proposals[0]: 'aes256-sha256-esn': extended sequence",
    ),
    (
        "{child: {local_ts: [10.9.0.0/16]}}",
        "4:23: nodes.responder.config.tun.address: 10.2.0.1 is outside child.local_ts (10.9.0.0/16)",
    ),
    (
        "{ike: {half_open: {total: 5, per_source: 6}}}",
        "4:64: nodes.responder.config.ike.half_open.per_source: is greater than ike.half_open.total",
    ),
]


@pytest.mark.parametrize(("config", "message"), SCHEMA_SAYS + NODE_SAYS)
def test_the_configuration_in_a_scenario(tmp_path: Path, config: str, message: str) -> None:
    text = f"{HEAD}nodes:\n  responder: {{config: {config}}}\n  initiator:\n{EXPECT}"
    (said,) = told(write(tmp_path, "s.yaml", text))
    assert said.startswith(message)


@pytest.mark.parametrize(("config", "message"), SCHEMA_SAYS)
def test_up_and_run_refuse_what_the_schema_refuses(tmp_path: Path, config: str, message: str) -> None:
    text = f"{HEAD}nodes:\n  responder: {{config: {config}}}\n  initiator:\n{EXPECT}"
    with pytest.raises(UsageError) as caught:
        library.read(write(tmp_path, "s.yaml", text))
    assert message.partition(": ")[2] in str(caught.value)


def test_a_configuration_is_partial_and_each_of_many_nodes_is_judged_once(tmp_path: Path) -> None:
    nodes = (
        "nodes:\n  responder:\n  initiator: {count: 200, config: {peer: {identity: x}, demo: {pings: 1}}}\n"
    )
    (said,) = told(write(tmp_path, "s.yaml", HEAD + nodes + EXPECT))
    assert said.startswith("5:53: nodes.initiator.config.peer.identity: 'x' is not an identity")


def test_problems_come_in_the_order_of_the_text(tmp_path: Path) -> None:
    nodes = "nodes:\n  initiator: {config: {peer: {identity: x}}}\n"
    nodes += "  responder: {config: {ike: {proposals: [y, z]}}}\n"
    said = told(write(tmp_path, "s.yaml", nodes + HEAD + EXPECT))
    assert [line.partition(":")[0] for line in said] == ["2", "3", "3"]


def test_what_belongs_to_no_single_value_has_a_line_too(tmp_path: Path) -> None:
    text = f"{HEAD}{EXPECT}nodes: {{responder: {{role: initiator}}, initiator: }}\n"
    assert told(write(tmp_path, "s.yaml", text)) == [
        "4:8: nodes: no responder: initiators need one to talk to"
    ]


@pytest.mark.parametrize("path", sorted(library.scenario_directory().glob("*.yaml")), ids=lambda p: p.stem)
def test_the_scenarios_of_the_project_are_in_order(path: Path) -> None:
    assert told(path) == []


# --- configurations of nodes ---

NODES = [
    ("role: initiator\npeer: {adress: a}\n", "2:8: peer.adress: is unknown (did you mean 'address'?)"),
    ("role: initiator\npeer: {address: a, identity: x}\n", "2:30: peer.identity: 'x' is not an identity"),
    (
        'role: initiator\npeer: {address: ""}\n',
        "2:17: peer.address: is empty; an initiator needs the name or address",
    ),
    ("role: responder\ntun: {address: 10.7.0.1}\n", "2:16: tun.address: 10.7.0.1 is outside child.local_ts"),
    ("role: responder\nlisten: {address: here}\n", "2:19: listen.address: 'here' is not an IP address"),
    ("child: {local_ts: [10.1.0.0/33]}\n", "1:20: child.local_ts[0]: '10.1.0.0/33' is not a network"),
    ("role: [\n", "2:1: while parsing"),
    ("- 1\n", "1:1: [1] is not a mapping"),
]


@pytest.mark.parametrize(("text", "message"), NODES)
def test_what_is_wrong_with_a_node(tmp_path: Path, text: str, message: str) -> None:
    (said,) = told(write(tmp_path, "n.yaml", text), Kind.NODE)
    assert said.startswith(message)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_without_a_role_a_configuration_must_fit_one_of_them(tmp_path: Path, role: str) -> None:
    network = {"initiator": "10.1.0.0/24", "responder": "10.2.0.0/24"}[role]
    assert told(write(tmp_path, "n.yaml", f"child: {{local_ts: [{network}]}}\n"), Kind.NODE) == []


def test_our_environment_changes_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_PEER__IDENTITY", "nonsense")
    assert told(write(tmp_path, "n.yaml", "role: responder\n"), Kind.NODE) == []


def test_a_node_that_cannot_be_asked_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodecheck, "clean_environment", lambda: {"PYTHONPATH": str(tmp_path)})
    write(tmp_path, "node/__init__.py", "")
    write(tmp_path, "node/__main__.py", "import no_such_library\n")
    with pytest.raises(EnvironmentNotReady, match=r"cannot be asked .*no_such_library"):
        linting.report(write(tmp_path, "n.yaml", "role: responder\n"), Kind.NODE)


LINES = [
    (
        "/dev/stdin:2:30: peer.identity: 'a: b' is none",
        Complaint(("peer", "identity"), Mark(2, 30), "'a: b' is none"),
    ),
    ("ike.proposals[1]: no", Complaint(("ike", "proposals", 1), None, "no")),
    ("Something else: entirely", Complaint((), None, "Something else: entirely")),
]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_reading_what_the_node_says(line: str, wanted: Complaint) -> None:
    assert nodecheck.read(line) == wanted


# --- which file is what ---

KINDS = [
    ("# yaml-language-server: $schema=../lab/schemas/node.schema.json\ntitle: x\nexpect: y\n", Kind.NODE),
    ("# a licence\n\n# yaml-language-server: $schema=x/scenario.schema.json\nrole: x\n", Kind.SCENARIO),
    ("# yaml-language-server: $schema=https://example.org/other.json\nexpect: {}\n", None),
    ("role: initiator\n", Kind.NODE),
    ("{credentials: {}, peer: {}}\n", Kind.NODE),
    ("credentials: {}\nexpect: {}\n", Kind.SCENARIO),
    ("expect: [\n", Kind.SCENARIO),
    ("name: x\non: push\njobs: {}\n", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_a_directory_gives_what_is_ours(tmp_path: Path, text: str, kind: Kind | None) -> None:
    path = write(tmp_path, "deep/er/x.yml", text)
    write(tmp_path, ".venv/x.yaml", "role: initiator\n")
    write(tmp_path, "x.txt", "role: initiator\n")
    if kind is None:
        with pytest.raises(UsageError, match="no scenario and no configuration of a node is in it"):
            linting.find([tmp_path], None)
    else:
        assert linting.find([tmp_path, path], None) == [(path, kind)]
    assert linting.find([path], Kind.NODE) == [(path, Kind.NODE)]


def test_configurations_that_the_lab_writes_name_their_schema(tmp_path: Path) -> None:
    text = plan.document({"role": "responder"})
    path = write(tmp_path, "n.yaml", text)
    assert linting.find([tmp_path], None) == [(path, Kind.NODE)]
    uri = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=file://")
    assert json.loads(Path(uri).read_text()) == library.schema(editor.NODE)


# --- the verb ---


def test_all_problems_of_all_files_at_once(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", HEAD + "expect:\n  responder: {evnets: []}\n  initiater: {}\n")
    two = write(tmp_path, "two.yaml", "role: initiator\npeer: {adress: a}\nrun: {onze: true}\n")
    good = write(tmp_path, "good.yaml", HEAD + EXPECT)
    done = cli("lint", str(one), str(two), str(good))
    assert done.returncode == 2
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [
        f"{one}:4:15",
        f"{two}:2:8",
        f"{two}:3:7",
    ]
    assert "(did you mean 'events'?)" in done.stdout
    assert done.stderr == "3 problems in 2 of 3 files\n"
    assert cli("lint", str(tmp_path)).stdout == "".join(
        line + "\n" for line in sorted(done.stdout.splitlines())
    )


def test_the_document_of_a_lint(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "role: initiator\npeer: {adress: a}\n")
    document = cli.json("lint", str(one), rc=2)
    assert document == {
        "schema": "ipseclab/lint/v1",
        "passed": False,
        "files": [
            {
                "file": str(one),
                "kind": "node",
                "problems": [
                    {
                        "line": 2,
                        "column": 8,
                        "place": "peer.adress",
                        "message": "is unknown (did you mean 'address'?)",
                    }
                ],
            }
        ],
    }
    good = cli.json("lint", "scenarios")
    assert good["passed"]
    assert len(good["files"]) == len(list(library.scenario_directory().rglob("*.yaml")))
    assert cli.json("lint", "--node", str(one), "no-such-file", rc=2)["schema"] == "ipseclab/error/v1"


def test_what_is_wrong_is_annotated_on_github(cli: Cli, tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "role: initiator\npeer: {adress: a}\n")
    done = cli("lint", str(one), GITHUB_ACTIONS="true")
    assert (
        f"::error file={one},line=2,col=8::peer.adress: is unknown (did you mean 'address'?)"
        in done.stderr.splitlines()
    )


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    gone, closed = tmp_path / "gone.yaml", write(tmp_path, "closed.yaml", "role: initiator\n")
    closed.chmod(0)
    with pytest.raises(UsageError) as caught:
        linting.find([gone, closed], None)
    said = str(caught.value).splitlines()
    assert said[0] == f"{gone}: cannot be read: No such file or directory"
    if os.geteuid() != 0:
        assert said[1] == f"{closed}: cannot be read: Permission denied"
