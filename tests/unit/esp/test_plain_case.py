"""The plain case of the tunnel is a short cut: what it decides is what the functions behind it would."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from node.esp.tunnel import Incoming, Outgoing, Refused, TooLarge
from node.model.child import Mode, Padding
from node.model.selectors import TrafficSelector
from tests.unit.esp.support import (
    GCM,
    LOCAL,
    OURS,
    PEER,
    End,
    child,
    end,
    esp,
    hello,
    ipv4,
    ipv6,
    selectors,
    udp,
)

NARROW = (TrafficSelector(selectors(PEER)[0].start, selectors(PEER)[0].end, 17, 5000, 5000),)
CHILDREN = {
    "addresses": child(GCM),
    "a range": child(GCM, local=selectors("10.0.0.0/24"), peer=selectors("10.0.0.0/16")),
    "ports": child(GCM, peer=NARROW),
    "padding": dataclasses.replace(child(GCM), padding=Padding(256)),
    "transport": dataclasses.replace(child(GCM), mode=Mode.TRANSPORT),
}
#: Packets that are plain, nearly so, and not at all.
PACKETS = st.one_of(
    st.sampled_from(
        [
            hello(),
            hello(LOCAL, PEER),
            hello(LOCAL, "10.0.0.3"),
            hello("10.0.0.3", PEER),
            ipv4(LOCAL, PEER, b""),
            ipv4(LOCAL, PEER, udp(b"x"), options=b"\1\1\1\1"),
            ipv4(LOCAL, PEER, udp(b"x" * 700), fragment=0x2000),
            ipv4(LOCAL, PEER, b"x" * 40, length=19),
            ipv4(LOCAL, PEER, b"x" * 40, length=59),
            ipv4(LOCAL, PEER, b"x" * 40, length=61),
            ipv6(bytes(16), bytes(16), udp(b"x")),
            b"",
            b"\x45",
            b"\x45" + bytes(18),
            b"\x45" + bytes(19),
            hello("10.0.9.9"),
        ]
    ),
    st.binary(max_size=64),
    st.sampled_from([0x44, 0x46, 0x4F, 0x55, 0x65]).map(lambda first: bytes([first]) + hello()[1:]),
    st.binary(max_size=64).map(lambda body: ipv4(LOCAL, PEER, body)),
    st.binary(max_size=64).map(lambda body: ipv4(PEER, LOCAL, body)),
)


def _sends(one: End, packet: bytes, *, shortly: bool) -> Outgoing | Refused | TooLarge:
    return one.tunnel.encapsulate(packet) if shortly else one.tunnel._encapsulate(packet, len(packet))


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(CHILDREN)), packets=st.lists(PACKETS, max_size=8), limit=st.integers(1, 9))
def test_outbound(name: str, packets: list[bytes], limit: int) -> None:
    short, long = (end(CHILDREN[name], max_packets=limit) for _ in range(2))
    for packet in (packet for packet in packets for _ in range(2)):
        assert _sends(short, packet, shortly=True) == _sends(long, packet, shortly=False)
        assert (short.sad.noticed, short.sad.query()) == (long.sad.noticed, long.sad.query())
        assert short.sad.dropped == long.sad.dropped


#: What is behind a packet: right, with more padding than needed, or wrong in one thing.
TRAILERS = ("right", "more", "hidden length", "contents", "IPv6", "dummy", "unknown", "count")


def _ended(packet: bytes, kind: str) -> bytes:
    """Plaintext that is aligned, as whatever an ICV covers must be."""
    if kind == "hidden length":
        packet += bytes(8)
    count = -(len(packet) + 2) % 4 + (4 if kind in ("more", "contents") else 0)
    padding = bytearray(range(1, count + 1))
    if kind == "contents":
        padding[-1] ^= 1
    following = {"IPv6": 41, "dummy": 59, "unknown": 99}.get(kind, 4)
    return packet + padding + bytes([255 if kind == "count" else count, following])


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(CHILDREN)),
    plains=st.lists(st.builds(_ended, PACKETS, st.sampled_from(TRAILERS)), max_size=7),
    numbers=st.lists(st.integers(1, 12), min_size=8, max_size=8),
)
def test_inbound(name: str, plains: list[bytes], numbers: list[int]) -> None:
    one = CHILDREN[name]
    short, long = end(one), end(one)
    for sequence, plain in zip(numbers, [_ended(hello(), "right"), *plains], strict=False):
        datagram = esp(one.suite, one.inbound, OURS, sequence, plain)
        assert short.tunnel.decapsulate(datagram) == _taken(long, datagram, sequence, plain)
        assert (short.sad.query(), short.sad.dropped) == (long.sad.query(), long.sad.dropped)
        assert short.sad.newest(OURS) == long.sad.newest(OURS)


def _taken(one: End, datagram: bytes, sequence: int, plain: bytes) -> Incoming | Refused:
    """What becomes of a datagram with this plaintext without the short cut."""
    sa = one.sad.by_spi[int.from_bytes(OURS)]
    if sa.window.check(sequence) is not None:
        return one.tunnel.decapsulate(datagram)
    sa.window.mark(sequence)
    return one.tunnel.accept(sa, sequence, plain, sequence == sa.window.top)
