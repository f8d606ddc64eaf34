"""The engine is blind to the wire: with the same entropy, what it does is the same over every codec.

A trace is the ordered list of outputs of both nodes: what is sent to whom in how many datagrams, installed
and removed with which SPIs, told with which fields, dropped for which reason. Left out are numbers of octets
and the words of a codec's own errors.
"""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.ike.outputs import (
    Dropped,
    Event,
    InstallInbound,
    InstallOutbound,
    KeysDerived,
    MoveSa,
    Output,
    RemoveOutbound,
    RemoveSa,
    SaDown,
    SaMoved,
    SaReplaced,
    SaUp,
    Transmit,
)
from node.ike.settings import Settings
from node.model.events import EventName
from node.model.registry import NotifyType
from tests.engine.harness import CODECS, INITIATOR, RESPONDER, Datagram, NodeOptions, Pair, credentials
from tests.engine.strangers import limits

Fact = tuple[object, ...]
Play = Callable[[Pair], object]


def alike(settings: Settings) -> Settings:
    """Without what is a profile's own: entropy must be drawn alike."""
    return replace(settings, authentication_nonce=False, reserved_spi_octets=frozenset({0x00, 0x30}))


def pair(codec: str, initiator: NodeOptions = INITIATOR, responder: NodeOptions = RESPONDER) -> Pair:
    def both(options: NodeOptions) -> NodeOptions:
        return replace(options, change=lambda settings: alike(options.change(settings)))

    return Pair(codec, both(initiator), both(responder))


def fact(output: Output) -> Fact:
    match output:
        case Transmit():
            return "transmit", len(output.datagrams), str(output.path)
        case InstallInbound(child) | InstallOutbound(child):
            fields = child.inbound_spi, child.outbound_spi, child.ike_spi, str(child.suite)
            return type(output).__name__, *fields, child.local, child.peer, str(child.path)
        case Event():
            told = {name: value for name, value in output.fields.items() if name not in ("octets", "detail")}
            return output.name, tuple(told.items())
        case Dropped():
            return "dropped", output.reason, str(output.path)
        case KeysDerived():
            return "keys", output.spi_i, output.spi_r, str(output.suite)
        case SaUp() | SaMoved() | SaReplaced() | SaDown() | MoveSa() | RemoveOutbound() | RemoveSa():
            return type(output).__name__, str(output)


def traces(play: Play, **nodes: NodeOptions) -> dict[str, list[list[Fact]]]:
    """What both nodes did in a play, by codec."""
    found = {}
    for codec in CODECS:
        stage = pair(codec, **nodes)
        play(stage)
        found[codec] = [[fact(output) for output in node.outputs] for node in stage.nodes.values()]
    return found


def same(found: dict[str, list[list[Fact]]]) -> list[list[Fact]]:
    """The one trace of all codecs."""
    first, *others = found.values()
    assert all(other == first for other in others)
    assert len(found) == 2
    return first


def handshake(stage: Pair) -> None:
    stage.establish()
    assert stage.up()


def handshake_and_delete(stage: Pair) -> None:
    handshake(stage)
    stage.responder.endpoint.delete_all(stage.now)
    stage.flush(stage.responder)
    stage.drive()
    assert stage.empty()


def nobody_answers(stage: Pair) -> None:
    stage.initiate()
    stage.pass_time(600, keep=lambda datagram: False)


def half_and_gone(stage: Pair) -> None:
    """The responder hears the first message alone."""
    stage.initiate()
    stage.deliver(stage.take())
    stage.wire.clear()
    stage.pass_time(600, keep=lambda datagram: False)


def each_twice(stage: Pair) -> None:
    stage.initiate()
    while stage.wire:
        datagram = stage.take()
        stage.deliver(datagram)
        stage.deliver(datagram)


def again(stage: Pair) -> None:
    """A second IKE SA with the same peer: INITIAL_CONTACT is not said of it."""
    handshake(stage)
    stage.initiate()
    stage.drive()


ROGUE = replace(INITIATOR, show=credentials("initiator", issuer="Rogue CA"))
OTHER = replace(INITIATOR, ike=("aes256gcm16-prfsha384-ecp384",))
TWO_GROUPS = replace(INITIATOR, ike=("aes256-sha256-modp2048", "aes256-sha256-x25519"))
X25519 = replace(RESPONDER, ike=("aes256-sha256-x25519",))
WARY = replace(RESPONDER, change=limits(cookie_threshold=0)["change"])  # type: ignore[arg-type]
APART = replace(INITIATOR, peer_ts="10.77.0.0/16")
NO_CHILD = replace(INITIATOR, esp=("aes256gcm16",))

PLAYS: dict[str, tuple[Play, dict[str, NodeOptions], object]] = {
    "a handshake": (handshake, {}, EventName.IKE_SA_ESTABLISHED),
    "a handshake and its end": (handshake_and_delete, {}, EventName.IKE_SA_DELETED),
    "a second IKE SA": (again, {}, EventName.IKE_SA_ESTABLISHED),
    "with a cookie": (handshake, {"responder": WARY}, EventName.IKE_SA_INIT_RETRIED),
    "with another group": (
        handshake,
        {"initiator": TWO_GROUPS, "responder": X25519},
        EventName.IKE_SA_INIT_RETRIED,
    ),
    "nothing in common": (Pair.establish, {"initiator": OTHER}, NotifyType.NO_PROPOSAL_CHOSEN),
    "selectors apart": (Pair.establish, {"initiator": APART}, EventName.CHILD_SA_FAILED),
    "no Child SA": (Pair.establish, {"initiator": NO_CHILD}, EventName.CHILD_SA_FAILED),
    "another CA": (Pair.establish, {"initiator": ROGUE}, EventName.AUTHENTICATION_FAILED),
    "nobody answers": (nobody_answers, {}, EventName.RETRANSMISSION_GAVE_UP),
    "half open": (half_and_gone, {}, EventName.IKE_SA_FAILED),
    "each message twice": (each_twice, {}, EventName.RESPONSE_REPEATED),
}


@pytest.mark.parametrize("name", PLAYS)
def test_every_codec_makes_the_same_trace(name: str) -> None:
    play, nodes, shown = PLAYS[name]
    told = [line for node in same(traces(play, **nodes)) for line in node]
    assert str(shown) in str(told), "the play shows what it is about"


class Weather:
    """Loses, repeats and holds back datagrams by chance, whatever is in them."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def __call__(self, stage: Pair) -> None:
        for _ in range(2):
            stage.initiate()
            stage.pass_time(40, lambda datagram: self._passes(stage, datagram))
        stage.initiator.endpoint.delete_all(stage.now)
        stage.flush(stage.initiator)
        stage.pass_time(200)

    def _passes(self, stage: Pair, datagram: Datagram) -> bool:
        fate = self._chance.random()
        if fate < 0.2:
            stage.wire.append(datagram)
        if fate > 0.9:
            stage.deliver(datagram)
        return fate > 0.4


@pytest.mark.parametrize("seed", range(8))
def test_every_codec_makes_the_same_trace_in_any_weather(seed: int) -> None:
    def play(stage: Pair) -> None:
        Weather(seed)(stage)

    trace = same(traces(play))
    assert all(len(node) > 20 for node in trace)
