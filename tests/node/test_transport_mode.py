"""Two nodes in transport mode, over UDP on loopback: their outer addresses are all there is."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from node.config import Sources, load
from node.config.load import ConfigError
from node.control.protocol import Request
from node.daemon.answers import handle
from node.daemon.chaff import Chaff
from node.daemon.documents import DocumentError, parse, read, write
from node.daemon.node import Node
from node.errors import DropReason
from node.model.child import ChildSa, FarView, Mode, Padding
from node.model.events import EventName as E
from tests.node.conftest import make_credentials
from tests.node.loopback import Ends, agree
from tests.unit.esp.support import child

HOSTS = {"initiator": "127.0.0.1", "responder": "127.0.0.2"}


class TwoHosts(Ends):
    """Each end has an address of its own."""

    def _made(self, role: str, port: int = 0) -> Node:
        common = self._more
        self._more = {
            **common,
            "NODE_LISTEN__ADDRESS": HOSTS[role],
            "NODE_PEER__ADDRESS": HOSTS["responder" if role == "initiator" else "initiator"],
        }
        try:
            return super()._made(role, port)
        finally:
            self._more = common


def run(directory: Path, profile: str, scene: Callable[[Ends], Awaitable[None]], **more: str) -> None:
    make_credentials(directory / "ipsec" / "certs")

    async def both() -> None:
        async with TwoHosts(directory, profile, None, NODE_CHILD__MODE="transport", **more) as ends:
            ends.initiator.initiate()
            await ends.until(lambda: agree(ends, 1))
            await scene(ends)

    asyncio.run(both())


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_greeting_and_pings(tmp_path: Path, profile: str) -> None:
    async def scene(ends: Ends) -> None:
        await ends.until(lambda: ends.initiator.log.emitted.get(E.PINGS_COMPLETED, 0) == 1)
        assert ends.initiator.log.emitted[E.PING_REPLIED] == 3
        assert ends.initiator.log.emitted[E.ESP_ACK_RECEIVED] == 1
        for role, node in (("initiator", ends.initiator), ("responder", ends.responder)):
            status = json.loads(json.dumps(handle(node, Request("status", {}))))
            (sa,) = status["child_sas"]
            assert (sa["mode"], sa["local"], status["inner"]["address"]) == (
                "transport",
                [HOSTS[role]],
                HOSTS[role],
            )
            assert sa["dropped"] == {}

    run(tmp_path, profile, scene, NODE_DEMO__MESSAGE="hello", NODE_DEMO__PINGS="3")


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_dummies_come_and_go_nowhere(tmp_path: Path, profile: str) -> None:
    async def scene(ends: Ends) -> None:
        def dropped(node: Node) -> int:
            return node.log.dropped.get(DropReason.ESP_DUMMY, 0)

        await ends.until(lambda: min(map(dropped, ends.both)) >= 3)
        for node in ends.both:
            (sa,) = node.plane.query()
            assert (sa.inbound_packets, sa.outbound_octets) == (0, 0)
            assert node.plane.newest(bytes.fromhex(sa.inbound_spi)) == 0

    run(tmp_path, profile, scene, NODE_CHILD__TFC__DUMMIES="50")


WRONG = {
    "child.mode": {"NODE_TUN__ENABLED": "true"},
    "leave child.pool out": {"NODE_CHILD__POOL": "[10.9.0.0/24]"},
    "cannot pad": {"NODE_CHILD__TFC__MULTIPLE": "256"},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_does_not_go_with_transport_mode(words: str) -> None:
    variables = {"NODE_ROLE": "responder", "NODE_CHILD__MODE": "transport", **WRONG[words]}
    with pytest.raises(ConfigError, match=words):
        load(Sources(None, variables))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"NODE_CHILD__TUNNEL_FALLBACK": "true"}, "child.mode is tunnel"),
        ({"NODE_CHILD__TFC__MULTIPLE": "1401"}, "more than tun.mtu"),
    ],
)
def test_settings_without_an_effect_are_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(Sources(None, {"NODE_ROLE": "responder", **variables}))


def test_an_order_carries_mode_padding_and_the_far_view() -> None:
    far = FarView(ip_address("192.0.2.9"), ip_address("2001:db8::1"))
    changed: list[dict[str, object]] = [
        {"mode": Mode.TRANSPORT, "far": far},
        {"padding": Padding(256, 1400)},
        {"mode": Mode.TUNNEL},
    ]
    for changes in changed:
        one = _with(child(), changes)
        assert read(ChildSa, parse(write({"x": one}))["x"]) == one


@pytest.mark.parametrize("padding", [Padding(0, 0), Padding(65_401, 1400), Padding(0, 65_401)])
def test_an_order_with_impossible_padding_is_refused(padding: Padding) -> None:
    with pytest.raises(DocumentError, match="Padding"):
        read(ChildSa, parse(write({"x": _with(child(), {"padding": padding})}))["x"])


def _with(one: ChildSa, changes: dict[str, object]) -> ChildSa:
    return replace(one, **changes)  # type: ignore[arg-type]


def test_dummies_are_due_at_a_steady_rate() -> None:
    sent: list[float] = []
    now = 100.0
    chaff = Chaff(lambda: sent.append(now), 4)
    assert chaff.wait(now) == 0.25
    for now in (100.1, 100.25, 100.3, 100.49, 100.5, 103.0, 103.1, 103.25):
        chaff.send_due(now)
    assert sent == [100.25, 100.5, 103.0, 103.25]
    never = Chaff(lambda: sent.append(0), 0)
    never.send_due(1.0)
    assert (never.wait(5.0), len(sent)) == (None, 4)
