"""The demo against an inner side that loses things."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from node.config.model import Demo as DemoSettings
from node.daemon import demo
from node.daemon.dataplane import Origin
from node.daemon.demo import ACK, Demo, first_host
from node.esp.ip import UdpDatagram
from node.eventlog import EventLog
from node.model.events import EventName
from node.model.selectors import IPAddress, network
from node.prose import Palette

PEER = IPv4Address("10.2.0.1")
HERE = IPv4Address("10.1.0.1")
ORIGIN = Origin("192.0.2.1:8000", "01020304", 7)


class Inner:
    """Answers messages and pings like a peer, except those that `lose` names."""

    kind = "user-space"
    addresses = (HERE,)

    def __init__(self, lose: set[str]) -> None:
        self.demo: Demo | None = None
        self.lose, self.messages, self.pings = lose, 0, 0
        self.sent: list[bytes] = []

    def move(self, addresses: Sequence[IPAddress]) -> None:
        """It stays where it is."""

    def send_message(self, target: IPAddress, port: int, payload: bytes) -> None:
        self.messages += 1
        self.sent.append(payload)
        if self.demo and f"message {self.messages}" not in self.lose and "messages" not in self.lose:
            answer = UdpDatagram(target, HERE, port, 7000, ACK + payload)
            self.demo.listener.message(answer, ORIGIN)

    def ping(self, target: IPAddress, sequence: int) -> None:
        self.pings += 1
        if self.demo and f"ping {self.pings}" not in self.lose and "pings" not in self.lose:
            self.demo.listener.echo_reply(target, sequence, 56)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "ACK_PATIENCE", 0.01)
    monkeypatch.setattr(demo, "PING_PATIENCE", 0.01)


def _run(
    lose: set[str], **settings: Any
) -> tuple[bool, list[str], Inner, list[tuple[EventName, dict[str, Any]]]]:
    events: list[tuple[EventName, dict[str, Any]]] = []

    class Log(EventLog):
        def emit(self, name: EventName, /, **fields: object) -> None:
            events.append((name, dict(fields)))

    async def run() -> tuple[bool, Inner]:
        inner = Inner(lose)
        wanted = {"pings": 3, "interval": 0.001, **settings}
        inner.demo = Demo(DemoSettings(**wanted), Log("n", None, None, Palette(False)), lambda: 1.0)
        inner.demo.attach(inner)
        return await inner.demo.run((network("10.2.0.0/24"),)), inner

    good, inner = asyncio.run(run())
    return good, [str(name) for name, _ in events], inner, events


def test_everything_arrives() -> None:
    good, names, inner, events = _run(set())
    assert good
    assert names == ["esp_ack_received", *["ping_replied"] * 3, "pings_completed"]
    assert inner.sent == [b"Hello from IPSec Initiator!"]
    assert events[0][1] == {
        "text": "ACK Hello from IPSec Initiator!", "source": "10.2.0.1",
        "peer": "192.0.2.1:8000", "spi": "01020304", "sequence": 7,
    }  # fmt: skip


def test_a_lost_message_is_sent_again() -> None:
    good, names, inner, _ = _run({"message 1", "message 2"})
    assert good
    assert inner.messages == 3
    assert names.count("esp_ack_received") == 1


def test_no_acknowledgement_at_all_is_a_failure_after_a_bounded_number() -> None:
    good, names, inner, events = _run({"messages"})
    assert not good
    assert names == ["demo_failed"]
    assert (inner.messages, inner.pings) == (demo.TRIES, 0)
    assert events[0][1]["reason"] == "no acknowledgement from 10.2.0.1 after 5 messages"


def test_a_lost_ping_is_reported_and_not_good() -> None:
    good, names, _, events = _run({"ping 2"})
    assert not good
    assert "demo_failed" not in names
    assert (events[-1][1]["sent"], events[-1][1]["received"]) == (3, 2)


def test_no_echo_reply_at_all_is_a_failure() -> None:
    good, names, _, events = _run({"pings"})
    assert not good
    assert names == ["esp_ack_received", "pings_completed", "demo_failed"]
    assert events[1][1]["min_ms"] is None


def test_without_message_or_pings_the_rest_is_shown() -> None:
    assert _run(set(), message="")[1] == [*["ping_replied"] * 3, "pings_completed"]
    assert _run(set(), pings=0)[1] == ["esp_ack_received"]


def test_acknowledgements_that_nobody_waits_for_and_replies_that_nobody_asked_for_change_nothing() -> None:
    async def run() -> list[bytes]:
        inner = Inner({"messages"})
        lines: list[str] = []
        inner.demo = Demo(DemoSettings(), EventLog("n", lines.append, None, Palette(False)), lambda: 1.0)
        inner.demo.attach(inner)
        inner.demo.listener.message(UdpDatagram(PEER, HERE, 7000, 7000, ACK + b"x"), ORIGIN)
        inner.demo.listener.echo_reply(PEER, 1, 56)
        assert lines == []
        inner.demo.listener.message(UdpDatagram(PEER, HERE, 5, 7000, b"\xff" * 2000), ORIGIN)
        assert len(lines) == 1
        return inner.sent

    assert asyncio.run(run()) == [ACK + b"\xff" * demo.MAX_PAYLOAD]


@pytest.mark.parametrize(
    ("selector", "host"),
    [
        ("10.2.0.0/24", "10.2.0.1"),
        ("10.2.0.0/30", "10.2.0.1"),
        ("10.2.0.0/31", "10.2.0.0"),
        ("10.2.0.9/32", "10.2.0.9"),
        ("fd00:2::/64", "fd00:2::1"),
    ],
)
def test_the_first_host_of_a_selector(selector: str, host: str) -> None:
    assert str(first_host((network(selector),))) == host
