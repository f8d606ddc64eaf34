"""Names in scenarios that refer to nothing are errors with line and column, before anything is started."""

from pathlib import Path

import pytest

from lab import library
from lab.errors import UsageError
from lab.render import EVENTS
from node.model.events import EventName

HEAD = "title: t\ndescription: d\n"
GOOD = "expect:\n  responder: {events: [udp_bound]}\n  initiator: {never: [node_failed]}\n"
BAD = [
    (
        "expect:\n  responder: {}\n  initiater: {}\n",
        "4:3: expect.initiater: no node is called 'initiater' (did you mean initiator?): "
        "the nodes are initiator, responder",
        5,
    ),
    (
        "expect:\n  responder: {events: [ike_sa_estblished]}\n  initiator: {}\n",
        "'ike_sa_estblished' is no event (did you mean ike_sa_established?): docs/events.md has them all",
        4,
    ),
    (
        GOOD.replace("node_failed", "{event: node_faild, where: {reason: x}}"),
        "'node_faild' is no event (did you mean node_failed?)",
        5,
    ),
    (GOOD + "steps:\n  - stop: initator\n", "steps[0].stop: no node is called 'initator'", 7),
    (GOOD + "steps:\n  - readdress: initator\n", "steps[0].readdress: no node is called 'initator'", 7),
    (
        GOOD + "steps:\n  - wait: {node: x, event: udp_bound}\n",
        "steps[0].wait.node: no node is called 'x'",
        7,
    ),
    (GOOD + "steps:\n  - wait: {node: initiator, event: udp}\n", "steps[0].wait.event: 'udp' is no event", 7),
    (GOOD + "nodes: {responder: {}, left: {}}\n", "no node is called 'initiator': the nodes are left", 5),
]


@pytest.mark.parametrize(("text", "message", "line"), BAD)
def test_a_name_that_refers_to_nothing(tmp_path: Path, text: str, message: str, line: int) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(UsageError) as caught:
        library.read(path)
    assert message.partition(": ")[2] in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}:")


def test_good_names(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD + GOOD + "steps:\n  - wait: {node: initiator, event: udp_bound}\n  - stop: initiator\n"
    )
    assert library.read(path).name == "s"


def test_the_lab_knows_every_event_of_the_node() -> None:
    assert {str(event.value) for event in EventName} <= EVENTS
