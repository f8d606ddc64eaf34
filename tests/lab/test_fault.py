"""`ipseclab fault`: what the wire of a lab that is up does is shown, changed and taken back."""

import json
from collections.abc import Iterator

import pytest

from lab import wires
from lab.backends.base import Answer
from lab.errors import CheckFailed
from tests.lab.conftest import BACKENDS, Cli, unique


@pytest.fixture(scope="module", params=BACKENDS)
def up(cli: Cli, request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The options that name a lab with a wire node."""
    name, backend = unique("wire"), str(request.param)
    named = ("-n", name, "-b", backend)
    try:
        done = cli("up", "--wire", *named, "--key-type", "ecdsa-p256")
        assert done.returncode == 0, done.stderr
        assert "wire      between them" in done.stderr
        yield named
    finally:
        assert cli("down", *named).returncode == 0


def test_what_is_set_is_in_force_until_it_is_reset(cli: Cli, up: tuple[str, ...]) -> None:
    before = cli.json("fault", "show", *up)
    assert before["faults"] == []
    assert before["relayed"] > 20
    options = (
        "--drop",
        "INFORMATIONAL request",
        "--times",
        "1",
        "--fault",
        '{"act": "rebind", "match": "ESP"}',
    )
    found = cli.json("fault", "set", *up, *options)["faults"]
    assert [fault["fault"] for fault in found] == ["drop INFORMATIONAL request, times 1", "rebind ESP"]
    (cut,) = cli.json("fault", "set", *up, "--truncate", "ESP", "--octets", "20")["faults"]
    assert cut["fault"] == "truncate ESP, octets 20"
    assert cli.json("fault", "set", *up, "--loss", "20")["faults"][0]["fault"] == "drop any, chance 20.0"
    assert cli.json("fault", "reset", *up)["faults"] == []
    told = [json.loads(line) for line in cli("events", "wire", *up).stdout.splitlines()]
    changes = [event["reason"] for event in told if event["event"] == "wire_faults_changed"]
    assert changes[-4:] == ["set", "set", "set", "reset"]


def test_a_mapping_changes_when_it_is_asked_to(cli: Cli, up: tuple[str, ...]) -> None:
    (before,) = cli.json("fault", "show", *up)["mappings"]
    (after,) = cli.json("fault", "rebind", "initiator", *up)["mappings"]
    assert before["node"] == after["node"] == "initiator"
    assert before["outside"] != after["outside"]


BAD = [
    (("set",), 2, "nothing to set"),
    (("set", "--drop", "IKE_ATH"), 1, "unknown word 'IKE_ATH' (did you mean IKE_AUTH?)"),
    (("set", "--loss", "0"), 1, "chance"),
    (("set", "--truncate", "ESP"), 1, "octets: is missing; truncate needs it"),
    (("set", "--fault", "{"), 2, "is no JSON"),
    (("set", "--fault", "[]"), 2, "is no mapping"),
    (("rebind", "nobody"), 1, "no mapping of 'nobody'; there are those of initiator"),
]


@pytest.mark.parametrize(("words", "code", "message"), BAD)
def test_what_cannot_be_is_refused_and_changes_nothing(
    cli: Cli, up: tuple[str, ...], words: tuple[str, ...], code: int, message: str
) -> None:
    cli.json("fault", "set", *up, "--replay", "ESP sequence 999")
    done = cli("fault", *words, *up)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert len(cli.json("fault", "show", *up)["faults"]) == 1


def test_the_wire_is_a_node_that_can_be_looked_at(cli: Cli, up: tuple[str, ...]) -> None:
    (lab,) = cli.json("status", *up)["labs"]
    roles = {node["name"]: (node["role"], node["state"]) for node in lab["nodes"]}
    assert roles["wire"] == ("wire", "running")
    assert cli("check", *up).returncode == 0
    assert "already up" in cli("up", "--wire", *up).stderr


def test_a_lab_without_a_wire_says_how_to_get_one(cli: Cli, lab_name: object) -> None:
    assert callable(lab_name)
    name = lab_name("process")
    assert cli("up", "-n", name, "-b", "process", "--key-type", "ecdsa-p256").returncode == 0
    done = cli("fault", "show", "-n", name, "-b", "process")
    assert done.returncode == 2
    assert "up --wire" in done.stderr


class _Silent:
    """A lab whose wire node answers what it is given."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def ask(self, node: str, command: object, timeout: float) -> Answer:
        return self._answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(4, "", "no relay answers at /run/x\n"), "no relay answers"),
        (Answer(1, '{"ok": false, "error": "no"}', ""), "ctl show: no"),
        (Answer(0, "[]", ""), "\\[\\]"),
        (Answer(0, "", ""), "no answer"),
    ],
)
def test_an_answer_that_is_none_is_told(answer: Answer, message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        wires.ask(_Silent(answer), "wire", "show")  # type: ignore[arg-type]
