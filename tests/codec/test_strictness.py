"""Octets that are no message: refused with a reason and within a bound of time, whatever they are.

Invariant: reading raises DecodeError, or gives a message that is written with the octets it was read from.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.model.message import Envelope, Message
from node.wire.asn1.limits import MAX_DATAGRAM, MAX_ELEMENTS
from tests.codec.samples import AUTH, CLEARTEXT, CODEC, FOUNDING, IKE_AUTH, INIT, PAYLOADS, sealed, sealer_of
from tests.property.stopwatch import Stopwatch

#: CPU seconds that one datagram may cost, whatever it holds.
BOUND = 0.05

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "der_bad.json"
BAD = {case["id"]: bytes.fromhex(case["hex"]) for case in json.loads(VECTORS.read_text())["cases"]}
SAMPLES = {name: sealed(INIT, payloads) for name, payloads in CLEARTEXT.items()}


def read(octets: bytes) -> Message | None:
    """The message, or None where it was refused; the invariant and the bound are checked on the way."""
    message = None
    with Stopwatch() as watch, suppress(DecodeError):
        message = CODEC.read(CODEC.peek(octets))
    assert watch.own < BOUND
    if message is not None:
        assert sealed(message.header, message.payloads) == octets
    return message


def reason(octets: bytes) -> DropReason:
    """Why a datagram is refused."""
    with pytest.raises(DecodeError) as caught:
        CODEC.read(CODEC.peek(octets))
    return caught.value.reason


def tlv(identifier: int, contents: bytes) -> bytes:
    """An element; the length in as few octets as it takes."""
    head = identifier.to_bytes((identifier.bit_length() + 7) // 8 or 1)
    size = len(contents)
    if size < 0x80:
        return head + bytes((size,)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return head + bytes((0x80 | len(length),)) + length + contents


@dataclass
class Element:
    """One element of a good message: identifier octets, and its contents or its parts."""

    identifier: bytes
    contents: bytes
    parts: list["Element"]

    def octets(self) -> bytes:
        inside = b"".join(part.octets() for part in self.parts) if self.parts else self.contents
        return self.identifier + tlv(0, inside)[1:]


def parse(octets: bytes) -> list[Element]:
    """The elements of a good message; only for DER that our own encoder made."""
    found, at = [], 0
    while at < len(octets):
        start = at
        at += 1
        if octets[start] & 0x1F == 0x1F:
            while octets[at] & 0x80:
                at += 1
            at += 1
        identifier, length = octets[start:at], octets[at]
        at += 1
        if length & 0x80:
            width = length & 0x7F
            length, at = int.from_bytes(octets[at : at + width]), at + width
        contents = octets[at : at + length]
        at += length
        found.append(Element(identifier, contents, parse(contents) if identifier[0] & 0x20 else []))
    return found


def elements(element: Element) -> Iterator[Element]:
    """An element and all inside it."""
    yield element
    for part in element.parts:
        yield from elements(part)


class Verbatim(Element):
    """Octets in the place of an element, as they are."""

    def octets(self) -> bytes:
        return self.contents


def each_replaced(octets: bytes, other: bytes, *, whole: bool) -> Iterator[bytes]:
    """The message with `other` in place of one of its elements (or of its contents), for each of them."""
    (message,) = parse(octets)
    yield from _replaced_in(message, other, whole)


def _replaced_in(parent: Element, other: bytes, whole: bool) -> Iterator[bytes]:
    """The element, with each of those inside it replaced in turn."""
    parts = [part.octets() for part in parent.parts]
    for place, part in enumerate(parent.parts):
        before, after = b"".join(parts[:place]), b"".join(parts[place + 1 :])
        own = other if whole else part.identifier + tlv(0, other)[1:]
        for inside in (own, *_replaced_in(part, other, whole)):
            yield parent.identifier + tlv(0, before + inside + after)[1:]


def test_each_element_is_replaced() -> None:
    octets = SAMPLES["every payload"]
    found = list(each_replaced(octets, b"", whole=True))
    assert len(found) == len(list(elements(parse(octets)[0]))) - 1 > 100
    assert octets not in found


@pytest.mark.parametrize("name", BAD)
def test_bad_der_as_the_whole_message(name: str) -> None:
    assert read(BAD[name]) is None


@pytest.mark.parametrize("whole", [True, False], ids=["element", "contents"])
@pytest.mark.parametrize("name", BAD)
def test_bad_der_in_place_of_each_element(name: str, whole: bool) -> None:
    for replaced in each_replaced(SAMPLES["every payload"], BAD[name], whole=whole):
        if len(replaced) <= MAX_DATAGRAM:
            read(replaced)


@pytest.mark.parametrize("name", sorted(set(BAD) - {"empty"}))
def test_bad_der_in_place_of_each_field_of_the_founding_message(name: str) -> None:
    replaced = each_replaced(SAMPLES["founding IKE_SA_INIT"], BAD[name], whole=True)
    assert [n for n, octets in enumerate(replaced) if read(octets)] == []


@pytest.mark.parametrize("name", SAMPLES)
def test_every_truncation(name: str) -> None:
    octets = SAMPLES[name]
    for size in range(len(octets)):
        assert reason(octets[:size]) is DropReason.TRUNCATED


@pytest.mark.parametrize("name", SAMPLES)
def test_anything_behind_the_message(name: str) -> None:
    for extra in (b"\0", b"\x30\0", SAMPLES[name][:9]):
        assert reason(SAMPLES[name] + extra) is DropReason.MALFORMED


HEADER = parse(SAMPLES["founding IKE_SA_INIT"])[0].parts[0].octets()
EMPTY_HEADER = parse(SAMPLES["no payload"])[0].parts[0].octets()
NULLS = tlv(0x30, b"\x05\x00" * 30_000)


def message(*fields: bytes, header: bytes = HEADER) -> bytes:
    return tlv(0x30, header + b"".join(fields))


def listed(*entries: bytes) -> bytes:
    return message(tlv(0xA6, b"".join(entries)), header=_header_for(entries[0]))


def _header_for(entry: bytes) -> bytes:
    """The header of a message that begins with this entry of the list."""
    kind = entry[1] if entry[0] == 0xBF else 0
    return EMPTY_HEADER.replace(b"\x82\x01\x00", bytes((0x82, 1, kind)))


def deep(depth: int, identifier: int = 0x30) -> bytes:
    octets = b""
    for _ in range(depth):
        octets = tlv(identifier, octets)
    return octets


M, N, T, O = DropReason.MALFORMED, DropReason.NOT_CANONICAL, DropReason.TRUNCATED, DropReason.OVERSIZED  # noqa: E741
NOTIFY = tlv(0xBF29, bytes.fromhex("0202402f 0400"))
VENDOR = tlv(0xBF2B, bytes.fromhex("0400"))
NONCE = tlv(0xA3, tlv(4, bytes(32)))

#: (what is wrong, octets, reason)
TABLE = [
    ("nothing", b"", T),
    ("one octet", b"\x30", T),
    ("not a SEQUENCE", b"\x31" + SAMPLES["no payload"][1:], M),
    ("an empty SEQUENCE", b"\x30\x00", T),
    ("no header", message(NONCE, header=b""), M),
    ("a length in more octets than it takes", b"\x30\x82\x00\x21" + EMPTY_HEADER, N),
    ("a length of one octet in the long form", b"\x30\x81\x21" + EMPTY_HEADER, N),
    ("an indefinite length", b"\x30\x80" + EMPTY_HEADER + b"\0\0", N),
    ("a length of 127 octets", b"\x30\xff" + b"\1" * 127, M),
    ("a length of 2**32", b"\x30\x84\xff\xff\xff\xff" + HEADER, M),
    ("larger than any datagram", tlv(0x30, bytes(MAX_DATAGRAM)), O),
    ("an identifier of 20,000 octets", message(b"\xbf" + b"\x81" * 20_000 + b"\1\0"), M),
    ("an identifier in the long form without need", message(b"\xbf\x03" + NONCE[1:]), N),
    ("an identifier that begins with 80", message(b"\xbf\x80\x03" + NONCE[1:]), N),
    ("a tag that the module does not have", message(tlv(0xA8, b"")), M),
    ("a tag of the list that the module does not have", listed(tlv(0xBF2E, b"\x04\x00")), M),
    ("an application tag", message(tlv(0x63, b"")), M),
    ("fields in another order", message(NONCE, tlv(0xA2, b"")), M),
    ("a field twice", message(NONCE, NONCE), M),
    ("an empty list", message(tlv(0xA6, b""), header=EMPTY_HEADER), N),
    ("an order without need", message(NONCE, tlv(0xA7, b"\x02\x01\x00"), header=_header_for(b"\xbf\x28")), N),
    ("an order past the end", message(NONCE, tlv(0xA7, b"\x02\x01\x01"), header=_header_for(b"\xbf\x28")), M),
    ("a negative order", message(NONCE, tlv(0xA7, b"\x02\x01\xff"), header=_header_for(b"\xbf\x28")), M),
    ("an order of two for one", message(NONCE, tlv(0xA7, b"\x02\x01\0\x02\x01\1"), header=EMPTY_HEADER), M),
    ("an order of none", message(tlv(0xA7, b""), header=EMPTY_HEADER), N),
    ("a first nonce in the list", listed(tlv(0xBF28, tlv(4, bytes(32)))), N),
    ("a nonce of 15 octets", message(tlv(0xA3, tlv(4, bytes(15)))), DropReason.BAD_NONCE),
    ("a nonce of 257 octets", message(tlv(0xA3, tlv(4, bytes(257)))), DropReason.BAD_NONCE),
    ("a primitive SEQUENCE", message(b"\x83" + NONCE[1:]), M),
    ("a constructed OCTET STRING", message(tlv(0xA3, tlv(0x24, tlv(4, bytes(32))))), M),
    ("a default written out", listed(tlv(0xBF29, bytes.fromhex("0202402f 0400 800100"))), M),
    ("an empty SPI written out", listed(tlv(0xBF29, bytes.fromhex("0202402f 0400 8100"))), N),
    ("a notify type of 17 bits", listed(tlv(0xBF29, bytes.fromhex("0203010000 0400"))), M),
    ("a negative notify type", listed(tlv(0xBF29, bytes.fromhex("0201ff 0400"))), M),
    ("an INTEGER with a leading zero", listed(tlv(0xBF29, bytes.fromhex("02020029 0400"))), M),
    ("an empty INTEGER", listed(tlv(0xBF29, bytes.fromhex("0200 0400"))), M),
    ("an INTEGER of 10 octets", listed(tlv(0xBF29, tlv(2, b"\x7f" + bytes(9)) + b"\x04\x00")), M),
    ("a BOOLEAN of 1", listed(tlv(0xA0, bytes.fromhex("020200c8 010101 0400"))), M),
    ("an unknown payload of a known type", listed(tlv(0xA0, bytes.fromhex("020129 010100 0400"))), M),
    ("an unknown payload of type SK", listed(tlv(0xA0, bytes.fromhex("02012e 010100 0400"))), M),
    ("SPIs of two sizes", listed(tlv(0xBF2A, bytes.fromhex("020103 3007 0401aa 0402bbbb"))), M),
    ("an SPI of no octets", listed(tlv(0xBF2A, bytes.fromhex("020103 3002 0400"))), M),
    ("an address of 5 octets", listed(tlv(0xBF2C, tlv(0x30, tlv(0x30, bytes.fromhex(
        "020100 020100 020100 04050000000000 04050000000000"))))), M),
    ("addresses of two families", listed(tlv(0xBF2C, tlv(0x30, tlv(0x30, bytes.fromhex(
        "020100 020100 020100 040400000000 0410" + "00" * 16))))), M),
    ("an OBJECT IDENTIFIER of no table", message(tlv(0xA2, bytes.fromhex("06022a03 0400"))), M),
    ("one of 33 arcs", message(tlv(0xA2, tlv(6, b"\x2a" + b"\1" * 31) + b"\x04\x00")), M),
    ("one with an arc of 20 octets", message(tlv(0xA2, tlv(6, b"\x2a" + b"\x81" * 19 + b"\1\x04\x00"))), M),
    ("one that ends in an arc", message(tlv(0xA2, bytes.fromhex("06022a83 0400"))), M),
    ("an empty one", message(tlv(0xA2, bytes.fromhex("0600 0400"))), M),
    ("nested past the module", message(deep(30)), M),
    ("nested in a field, past the module", message(deep(30, 0xA1)), M),
    ("nested to the end of the datagram", message(deep(16_000)), M),
    ("30,000 NULLs", NULLS, M),
    ("30,000 NULLs in a field", message(NULLS), M),
    ("more elements than the bound", message(tlv(0xA6, VENDOR * (MAX_ELEMENTS + 1))), M),
    ("more payloads than the bound", listed(*[VENDOR] * 257), M),
    ("2,000 payloads", listed(*[VENDOR] * 2_000), M),
    ("empty payloads in the plenty", message(tlv(0xA6, b"\xa0\x00" * 30_000)), M),
]  # fmt: skip


@pytest.mark.parametrize(("why", "octets", "expected"), TABLE, ids=[why for why, _, _ in TABLE])
def test_bad_octets(why: str, octets: bytes, expected: DropReason) -> None:
    assert read(octets) is None
    assert reason(octets) is expected


def test_the_table_starts_from_good_octets() -> None:
    for good in (listed(NOTIFY), listed(VENDOR, NOTIFY), listed(*[VENDOR] * 256), SAMPLES["no payload"]):
        assert read(good) is not None
    assert read(message(NONCE, header=_header_for(b"\xbf\x28"))) is not None


@pytest.mark.parametrize(
    ("number", "contents"),
    [
        (number, contents)
        for number, widest in enumerate((8, 8, 1, 1, 1, 1, 4, 0))
        for contents in (b"", b"\xff", b"\0\0", b"\1" + bytes(widest), bytes(9), b"\x7f" * 40)
        if not (widest == 0 and contents == b"\0")
    ],
)
def test_header_fields_out_of_range(number: int, contents: bytes) -> None:
    parts = parse(HEADER)[0].parts
    header = b"".join(
        tlv(0x80 | place, contents) if place == number else part.octets() for place, part in enumerate(parts)
    )
    with pytest.raises(DecodeError):
        CODEC.peek(message(NONCE, header=tlv(0x30, header)))


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_octets(octets: bytes) -> None:
    read(octets)
    read(tlv(0x30, octets))
    read(message(octets))
    read(message(tlv(0xA6, octets)))


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_message(name: str, data: st.DataObject) -> None:
    octets = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    read_loosely(bytes(octets))


def read_loosely(octets: bytes) -> None:
    """`read`, but for the spellings of a founding message that are accepted and never written."""
    try:
        found = CODEC.read(CODEC.peek(octets))
    except DecodeError:
        return
    again = CODEC.read(CODEC.peek(sealed(found.header, found.payloads)))
    assert (again.header, again.payloads) == (found.header, found.payloads)


@given(st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_an_envelope_of_any_octets(octets: bytes) -> None:
    for protected in (False, True):
        envelope = Envelope(INIT, octets, protected)
        with pytest.raises(DecodeError):
            CODEC.read(envelope)
        with pytest.raises(DecodeError):
            CODEC.open(envelope, sealer_of("AES-GCM"))


def test_the_costliest_messages_within_the_bounds() -> None:
    """As many elements as are allowed, all of them good: the price of strictness has a ceiling too."""
    from node.model.payloads import Delete, Payload, SecurityAssociation
    from node.model.proposal import Proposal, Transform
    from node.model.registry import ProtocolId, TransformType

    transforms = tuple(Transform(TransformType.ENCR, number, 128) for number in range(255))
    many: tuple[Payload, ...] = (
        SecurityAssociation(tuple(Proposal(1, ProtocolId.IKE, b"", transforms) for _ in range(3))),
        Delete(ProtocolId.ESP, tuple(number.to_bytes(4) for number in range(600))),
        *(PAYLOADS["N"][0],) * 40,
    )
    assert read(sealed(INIT, many)) is not None


def test_cleartext_and_protection_are_not_exchanged() -> None:
    clear, hidden = sealed(INIT, FOUNDING), sealed(AUTH, IKE_AUTH, sealer_of("AES-GCM"))
    assert reason(hidden) is DropReason.UNEXPECTED_MESSAGE
    with pytest.raises(DecodeError) as caught:
        CODEC.open(CODEC.peek(clear), sealer_of("AES-GCM"))
    assert caught.value.reason is DropReason.NOT_PROTECTED
    with pytest.raises(DecodeError):
        CODEC.join(())
