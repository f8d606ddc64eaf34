"""An IKE message of the asn1 profile: header, payloads, and the protected part where its keys are known.

docs/ipseclab.asn1, "Protection": the associated data is the TLV of `header`, the plaintext is
DER of InnerPayloads | Padding | Pad Length (one octet).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.decode import der, numbers, payloads, schema
from lab.decode.ciphers import Algorithms, BadIcv, Sealed
from lab.decode.items import count, data
from lab.decode.keylog import IkeKeys
from lab.decode.payloads import Payload
from lab.decode.problem import Unreadable
from lab.decode.schema import Fields
from lab.decode.values import Item
from lab.wire.identity import EXCHANGES

#: The first octet of every message: that of a SEQUENCE. No ESP SPI on the same port begins with it.
FIRST_OCTET = 0x30
INITIATOR, VERSION, RESPONSE = 0x08, 0x10, 0x20

_SK = 46
#: Octets of the complete header: the largest values of all its fields need fewer.
_MAX_HEADER = 66

#: Keys by both SPIs: those of both ends, where they differ.
IkeKeyring = Mapping[tuple[bytes, bytes], Sequence[IkeKeys]]


@dataclass(frozen=True, slots=True)
class Header:
    """The header of RFC 7296 3.1. `octets` are its TLV as it came."""

    spi_i: bytes
    spi_r: bytes
    next_payload: int
    version: int
    exchange: int
    flags: int
    message_id: int
    octets: bytes

    @property
    def response(self) -> bool:
        """The R bit."""
        return bool(self.flags & RESPONSE)

    @property
    def name(self) -> str:
        """`IKE_AUTH request 1`."""
        exchange = numbers.name(EXCHANGES, self.exchange, "exchange")
        return f"{exchange} {'response' if self.response else 'request'} {self.message_id}"


@dataclass(frozen=True, slots=True)
class Read:
    """What a message gave: a title, its items, whether its protected part was read, and why not."""

    title: str
    items: tuple[Item, ...]
    opened: bool = False
    problem: str = ""


def read(octets: bytes, keyring: IkeKeyring) -> Read:
    """Read one datagram; never raises for what is in it."""
    try:
        header = _header(octets)
    except Unreadable as error:
        return Read(f"no IKE message, {count(len(octets))}", (data("Octets", octets),), problem=str(error))
    items = (header_item(header),)
    try:
        fields = schema.decode(schema.MESSAGE, octets)
        if ("encrypted" in fields) != (header.next_payload == _SK):
            raise Unreadable("nextPayload is not that of what follows")
        if "encrypted" in fields:
            return _protected(header, fields, keyring)
        return cleartext(header, _payloads(header, fields))
    except Unreadable as error:
        return Read(f"{header.name}: malformed, {count(len(octets))}", items, problem=str(error))


def _header(octets: bytes) -> Header:
    """The header alone, so that a message whose payloads are malformed still shows it. Raises Unreadable."""
    tag, start, end = der.element(octets, 0, min(len(octets), der.MAX_OCTETS))
    if tag != FIRST_OCTET or end != len(octets):
        raise Unreadable("not one SEQUENCE")
    tag, _, stop = der.element(octets, start, end)
    if tag != FIRST_OCTET or stop - start > _MAX_HEADER:
        raise Unreadable("no IKEHeader")
    fields = schema.decode(schema.HEADER, octets[start:stop])
    return Header(
        fields["initiatorSPI"].to_bytes(8),
        fields["responderSPI"].to_bytes(8),
        fields["nextPayload"],
        fields["version"],
        fields["exchangeType"],
        fields["flags"],
        fields["messageID"],
        octets[start:stop],
    )


def header_item(header: Header) -> Item:
    """The header as an item."""
    bits = ((INITIATOR, "Initiator"), (VERSION, "Version"), (RESPONSE, "Response"))
    words = ", ".join(word for bit, word in bits if header.flags & bit)
    return Item(
        "IKE Header",
        header.name,
        (
            Item("IKE SA Initiator's SPI", header.spi_i.hex()),
            Item("IKE SA Responder's SPI", header.spi_r.hex()),
            Item("Next Payload", numbers.named(numbers.PAYLOADS, header.next_payload)),
            Item("Version", f"{header.version >> 4}.{header.version & 15}"),
            Item("Exchange Type", numbers.named(EXCHANGES, header.exchange)),
            Item("Flags", f"{header.flags:#04x}{f' ({words})' if words else ''}"),
            Item("Message ID", str(header.message_id)),
        ),
    )


def cleartext(header: Header, found: Sequence[Payload]) -> Read:
    """A message without protection. Raises Unreadable."""
    if header.next_payload not in (found[0].type if found else 0, 0):
        raise Unreadable("nextPayload is not the type of the first payload")
    words = notations(found) or "no payloads"
    return Read(f"{header.name}: {words}", (header_item(header), *(p.item for p in found)))


def _payloads(header: Header, fields: Fields) -> list[Payload]:
    return list(payloads.trees(payloads.ordered(fields), header.response))


def notations(found: Sequence[Payload]) -> str:
    """The payloads in one line: `IDi CERT AUTH`."""
    return " ".join(payload.notation for payload in found)


def _protected(header: Header, fields: Fields, keyring: IkeKeyring) -> Read:
    if set(fields) != {"header", "encrypted"}:
        raise Unreadable("encrypted is not alone behind the header")
    part: Fields = fields["encrypted"]
    sealed = Sealed(header.octets, part["iv"], part["ciphertext"], part["icv"])
    try:
        opened = open_with(header, keyring, lambda _: sealed)
    except Unreadable as error:
        items = (header_item(header), _encrypted_item(part, "not opened", ()))
        return Read(_closed(header, part), items, problem=str(error))
    try:
        inner, padding = unpadded(opened.plain)
        found = _payloads(header, schema.decode(schema.INNER_PAYLOADS, inner))
    except Unreadable as error:
        inside = _encrypted_item(part, opened.said, (data("Plaintext", opened.plain),))
        problem = f"opened, but malformed inside: {error}"
        return Read(_closed(header, part), (header_item(header), inside), problem=problem)
    pad = Item("Padding", count(padding))
    inside = _encrypted_item(part, opened.said, (*(p.item for p in found), pad))
    return Read(f"{header.name}: SK{{{notations(found)}}}", (header_item(header), inside), opened=True)


def _closed(header: Header, part: Fields) -> str:
    return f"{header.name}: SK{{{count(len(part['ciphertext']))}}}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A protected part with its ICV verified: its parts, the plaintext, and with what it was opened."""

    sealed: Sealed
    plain: bytes = field(repr=False)
    said: str


def open_with(header: Header, keyring: IkeKeyring, cut: Callable[[Algorithms], Sealed]) -> Opened:
    """Open a protected part with the keys of its SA. `cut` gives its parts. Raises Unreadable."""
    candidates = keyring.get((header.spi_i, header.spi_r), ())
    if not candidates:
        raise Unreadable(f"no keys of IKE SA {header.spi_i.hex()}/{header.spi_r.hex()}")
    from_initiator = bool(header.flags & INITIATOR)
    end, used = "i" if from_initiator else "r", candidates[0].algorithms
    names = f"SK_e{end}" if used.aead else f"SK_a{end} and SK_e{end}"
    for keys in candidates:
        sealed = cut(keys.algorithms)
        try:
            plain = keys.opener(from_initiator).open(sealed)
        except BadIcv:
            continue
        return Opened(sealed, plain, f"opened with {names}, {keys.algorithms}")
    raise Unreadable(f"the ICV is not that of {names} ({used})")


def _encrypted_item(part: Fields, said: str, inside: Sequence[Item]) -> Item:
    """The payload SK with its parts, and what was in it."""
    return Item(
        f"{numbers.PAYLOAD_WORDS[_SK]} (SK)",
        f"{count(len(part['ciphertext']))}, {said}",
        (
            data("Initialization Vector", part["iv"]),
            data("Encrypted IKE Payloads", part["ciphertext"]),
            data("Integrity Checksum Data", part["icv"]),
            *inside,
        ),
    )


def unpadded(plain: bytes, least: int = 1) -> tuple[bytes, int]:
    """The octets of the payloads, `least` at least, and how many of padding follow: any that fit (3.14)."""
    padding = plain[-1] if plain else 0
    size = len(plain) - 1 - padding
    if size < least:
        raise Unreadable(f"padding of {count(padding)} in {len(plain)}")
    return plain[:size], padding
