"""Was anything of the inside seen on the wire in clear? Every captured octet is looked at, no key is used.

Looked for, in every frame whole and in every IP packet put together from fragments:

    texts       payload texts of the scenario, as they are
    pings       the ascending octets 0x10 ... 0x1f that our pings and those of iputils carry (BSD's too)
    addresses   those of the inner networks
                  * as source or destination of the outer IP header
                  * as source or destination of an IPv4 header anywhere else (GRE, IP in IP, a bridged frame)
                  * two of them side by side, as in any IP header and in a selector of RFC 7296 (start | end),
                    also with the DER framing of OCTET STRINGs between
                  * written as text

Ciphertext is random, so every pattern occurs by chance: one of n bits once in 2^n octets. In 100 MB (2^27)

    a bare IPv4 address (32 bits)                             2^-5: once in 32 captures, so never taken alone
    two of them (64 bits), or of two /24 networks (48)        2^-37, 2^-21
    an address of a /8 in an IPv4 header (8 bits, and 8 for   2^-10
      version and length, 16 for the checksum, 5 for a total
      length that fits)
    the same of a /24                                         2^-26
    an address as text, 7 characters at least                 2^-27, with all digits that may follow
    16 octets of a ping                                       2^-101

So two addresses count where their prefixes have 48 bits together, an IPv4 header always. A text needs 48
bits, which are 6 octets.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from lab.decode import frames, inet
from lab.decode.problem import Unreadable
from lab.text import printable
from lab.wire import pcapng

Network = IPv4Network | IPv6Network

#: What a ping of ours (0x10 ... 0x47) and one of iputils (a time, then up to 0x37) have in common.
PING = bytes(range(0x10, 0x20))
#: Bits that a pattern must have; octets of a text.
MIN_BITS, MIN_TEXT = 48, 6
#: The widest networks that are looked for.
MIN_PREFIX = {4: 8, 6: 24}
#: Findings of one capture after which the search ends: what is open is open.
MAX_FINDINGS = 1_000

_IPV4_HEADER = 20
#: Offsets of the addresses in the headers of IPv4 and IPv6.
_SOURCE4, _SOURCE6 = 12, 8
_OCTET_STRING = 0x04
_WRITTEN_SIGN = {4: re.compile(rb"[0-9.]"), 6: re.compile(rb"[0-9a-f:.]")}
_WRITTEN = {4: re.compile(rb"[0-9.]{7,15}"), 6: re.compile(rb"[0-9a-f:.]{2,45}")}


@dataclass(frozen=True, slots=True)
class Needles:
    """What must not be seen. Raises ValueError for what would be found in random octets as well."""

    networks: tuple[Network, ...] = ()
    texts: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        for text in self.texts:
            if len(text) < MIN_TEXT:
                raise ValueError(f"{text!r} is too short to be looked for: write {MIN_TEXT} octets or more")
        for network in self.networks:
            if network.prefixlen < MIN_PREFIX[network.version]:
                raise ValueError(f"{network} is too wide to be looked for: name the networks in it")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in clear: in which capture, in which packet (from 1), at which octet of it, and what.

    Where `joined`, the packet is the last of some fragments, and `offset` is that in what they make.
    """

    capture: str
    packet: int
    offset: int
    what: str
    joined: bool = False

    def __str__(self) -> str:
        where = "octet {} of its fragments put together" if self.joined else "octet {}"
        return f"{self.capture}, packet {self.packet}, {where.format(self.offset)}: {self.what}"


def search(captures: Iterable[tuple[str, pcapng.Capture]], needles: Needles) -> tuple[Finding, ...]:
    """Everything in clear in these captures (their names, and what they hold), in order."""
    return tuple(finding for name, capture in captures for finding in _search(name, capture, needles))


def _search(name: str, capture: pcapng.Capture, needles: Needles) -> list[Finding]:
    haystack = _gather(capture)
    found: dict[tuple[int, int], Finding] = {}
    for piece, offset, what in _all(haystack, needles):
        finding = Finding(name, piece.number, offset, what, piece.joined)
        found.setdefault((piece.start, offset), finding)
        if len(found) >= MAX_FINDINGS:
            break
    return sorted(found.values(), key=lambda finding: (finding.packet, finding.joined, finding.offset))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of octets in the haystack: a frame, or a packet put together. `network` is where IP begins in it,
    None where it does not.
    """

    number: int
    start: int
    end: int
    network: int | None
    joined: bool = False


@dataclass(frozen=True, slots=True)
class _Haystack:
    """All octets in one run, so that one search goes over everything; `starts` tells where a hit is."""

    octets: bytes = field(repr=False)
    pieces: Sequence[_Piece]
    starts: Sequence[int]

    def hits(self, needle: bytes) -> Iterator[tuple[_Piece, int]]:
        """Piece and place in the haystack of every occurrence that lies within one piece."""
        at = self.octets.find(needle)
        while at >= 0:
            piece = self.pieces[bisect_right(self.starts, at) - 1]
            if at + len(needle) <= piece.end:
                yield piece, at
            at = self.octets.find(needle, at + 1)


def _gather(capture: pcapng.Capture) -> _Haystack:
    """The frames of a capture, and the packets that their fragments make."""
    fragments = frames.Reassembler()
    pieces: list[_Piece] = []
    octets: list[bytes] = []
    end = 0
    for number, packet in enumerate(capture.packets, 1):
        network = frames.network_at(capture.interfaces[packet.interface].link, packet.octets)
        pieces.append(_Piece(number, end, end + len(packet.octets), network))
        octets.append(packet.octets)
        end += len(packet.octets)
        whole = _joined(fragments, packet, network, number)
        if whole:
            pieces.append(_Piece(number, end, end + len(whole), None, joined=True))
            octets.append(whole)
            end += len(whole)
    return _Haystack(b"".join(octets), pieces, [piece.start for piece in pieces])


def _joined(fragments: frames.Reassembler, packet: pcapng.Packet, network: int | None, number: int) -> bytes:
    """The packet that this one, a fragment, completes; empty where it does not."""
    if network is None or not _may_be_fragment(packet.octets, network):
        return b""
    try:
        part = inet.read(packet.octets[network:])
        whole = fragments.add(part, packet.interface, number) if part.part else None
    except Unreadable:
        # Its octets were looked at in the frame.
        return b""
    return whole.head + whole.body if whole else b""


def _may_be_fragment(octets: bytes, at: int) -> bool:
    """Whether it is worth a closer look: nearly no packet is a fragment."""
    if octets[at] >> 4 == 4:
        return len(octets) >= at + _IPV4_HEADER and int.from_bytes(octets[at + 6 : at + 8]) & 0x3FFF != 0
    return octets[at] >> 4 == 6 and octets[at + 6 : at + 7] in (b"\x00", b"\x2b", b"\x2c", b"\x3c")


def _all(haystack: _Haystack, needles: Needles) -> Iterator[tuple[_Piece, int, str]]:
    inner = _Inner(needles.networks)
    yield from _outer(haystack, inner)
    for text in needles.texts:
        shown = printable(text.decode("utf-8", "backslashreplace"))
        yield from ((piece, at - piece.start, f'the text "{shown}"') for piece, at in haystack.hits(text))
    yield from ((piece, at - piece.start, "the data of a ping") for piece, at in haystack.hits(PING))
    for network in needles.networks:
        yield from _packed(haystack, inner, network)
        yield from _written(haystack, network)


class _Inner:
    """Membership of packed addresses in the inner networks."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = [(n.prefixlen, *_bounds(n)) for n in networks]
        self._known: dict[bytes, int] = {}

    def prefix(self, packed: bytes) -> int:
        """The prefix length of the narrowest network that has this address, 0 for none."""
        known = self._known.get(packed)
        if known is None:
            found = [length for length, first, last in self._networks if _within(packed, first, last)]
            known = self._known[packed] = max(found, default=0)
        return known


def _bounds(network: Network) -> tuple[bytes, bytes]:
    return network.network_address.packed, network.broadcast_address.packed


def _within(packed: bytes, first: bytes, last: bytes) -> bool:
    return len(packed) == len(first) and first <= packed <= last


def _outer(haystack: _Haystack, inner: _Inner) -> Iterator[tuple[_Piece, int, str]]:
    """Inner addresses in outer IP headers."""
    octets = haystack.octets
    for piece in haystack.pieces:
        if piece.network is None or piece.start + piece.network >= piece.end:
            continue
        at = piece.start + piece.network
        version = octets[at] >> 4
        first, size = (_SOURCE4, 4) if version == 4 else (_SOURCE6, 16)
        for place, end in ((at + first, "source"), (at + first + size, "destination")):
            packed = octets[place : min(place + size, piece.end)]
            if version in (4, 6) and inner.prefix(packed):
                yield piece, place - piece.start, f"{ip_address(packed)} as {end} of the outer IP header"


def _packed(haystack: _Haystack, inner: _Inner, network: Network) -> Iterator[tuple[_Piece, int, str]]:
    """Addresses of a network in four or sixteen octets: side by side with another, or in an IPv4 header."""
    first, last = _bounds(network)
    size = len(first)
    for piece, at in haystack.hits(first[: network.prefixlen // 8]):
        packed = haystack.octets[at : min(at + size, piece.end)]
        if not _within(packed, first, last):
            continue
        where = _beside(haystack.octets, piece, at, size, inner) or (
            _in_header(haystack.octets, piece, at) if size == 4 else ""
        )
        if where:
            yield piece, at - piece.start, f"{ip_address(packed)} {where}"


def _beside(octets: bytes, piece: _Piece, at: int, size: int, inner: _Inner) -> str:
    """What stands behind the address at `at`, where that is an inner one too; empty where it is not."""
    framing = bytes((_OCTET_STRING, size))
    for between, said in ((b"", "side by side with"), (framing, "in DER before")):
        start = at + size + len(between)
        if start + size > piece.end or octets[at + size : start] != between:
            continue
        other = octets[start : start + size]
        bits = inner.prefix(octets[at : at + size]) + inner.prefix(other)
        if inner.prefix(other) and bits >= MIN_BITS:
            return f"{said} {ip_address(other)}"
    return ""


def _in_header(octets: bytes, piece: _Piece, at: int) -> str:
    """Whether the address at `at` is source or destination in an IPv4 header with a right checksum."""
    for offset, said in ((_SOURCE4, "as source"), (_SOURCE4 + 4, "as destination")):
        start = at - offset
        if start < piece.start or start + _IPV4_HEADER > piece.end or octets[start] >> 4 != 4:
            continue
        size = (octets[start] & 15) * 4
        total = int.from_bytes(octets[start + 2 : start + 4])
        if _IPV4_HEADER <= size <= total <= piece.end - start and not inet.checksum(
            octets[start : start + size]
        ):
            return f"{said} of an IPv4 header"
    return ""


def _written(haystack: _Haystack, network: Network) -> Iterator[tuple[_Piece, int, str]]:
    """Addresses of a network as text."""
    anchor = _anchor(network)
    if not anchor:
        return
    for piece, at in haystack.hits(anchor):
        if at > piece.start and _WRITTEN_SIGN[network.version].match(haystack.octets, at - 1, at):
            # The end of another address: 110.1.0.1 is none of 10.1.0.0/24.
            continue
        found = _WRITTEN[network.version].match(haystack.octets, at, piece.end)
        address = _address(found[0]) if found else ""
        if address and ip_address(address) in network:
            yield piece, at - piece.start, f"{address} as text"


def _anchor(network: Network) -> bytes:
    """What every address of a network begins with as text; empty where there is nothing of that kind."""
    if network.version == 4:
        parts = str(network.network_address).split(".")[: network.prefixlen // 8]
        return (".".join(parts) + ("." if len(parts) < 4 else "")).encode()
    groups = network.network_address.exploded.split(":")[: network.prefixlen // 16]
    leading = []
    for group in groups:
        if not int(group, 16):
            break
        leading.append(f"{int(group, 16):x}")
    return (":".join(leading) + ":").encode() if leading else b""


def _address(written: bytes) -> str:
    """The longest address that the octets begin with; empty where there is none."""
    text = written.decode("ascii")
    while text:
        try:
            return str(ip_address(text))
        except ValueError:
            text = text[:-1]
    return ""
