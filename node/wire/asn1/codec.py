"""The `asn1` profile as ports.Codec: one IKEMessage of docs/ipseclab.asn1 in each datagram.

    cleartext    SEQUENCE { header, payload fields }
    protected    SEQUENCE { header, encrypted [5] { iv, ciphertext, icv } }
    plaintext    SEQUENCE { payload fields } | Padding | Pad Length (one octet, RFC 7296 3.14)

Rules:

1. Sizes, counts and depth are bounded by `der` before the library decodes anything.
2. What is accepted would be written with the octets that came: one spelling for each message (see `arrange`).
3. The AAD is the complete TLV of `header` as it came; what it leaves open, rule 2 closes.
4. Only DecodeError leaves the reading functions, and IntegrityError `open`. Keys and meaning stay outside.
"""

from collections.abc import Sequence

from node.errors import DecodeError, DropReason, IntegrityError, LocalMisuse
from node.model.message import SPI_SIZE, Envelope, Fragment, Glance, Header, Message, Sealed
from node.model.payloads import Payload
from node.model.registry import ExchangeType, PayloadType
from node.ports import Sealer
from node.wire.asn1 import arrange, der, schema
from node.wire.asn1.limits import (
    EIGHT_OCTETS,
    FOUR_OCTETS,
    MAX_DATAGRAM,
    MAX_ELEMENTS,
    MAX_HEADER,
    NO_FRAGMENTS,
    OCTET,
)
from node.wire.asn1.misfit import Misfit, within

#: The first octet of every message: no ESP SPI on the same port begins with it.
IKE_FIRST_OCTET = der.SEQUENCE

#: Identifier octet of the field `encrypted`.
_ENCRYPTED_FIELD = 0xA5

#: Octets that cannot hold more elements than a receiver accepts, each of them taking two at least. All its
#: other bounds hold for what `arrange` writes.
SURELY_FEW = 2 * MAX_ELEMENTS

#: Octets of the Pad Length field (RFC 7296 3.14).
PAD_LENGTH_SIZE = 1


class Asn1Codec:
    """The profile; without state, so one instance serves all."""

    def peek(self, datagram: bytes, /) -> Envelope:
        """Read the header. Raises DecodeError where the datagram is not one element that begins with one."""
        start, end = _frame(datagram)
        header, next_payload = _read_header(datagram[start:end])
        protected = datagram[end : end + 1] == bytes((_ENCRYPTED_FIELD,))
        if protected != (next_payload == PayloadType.SK):
            raise DecodeError(DropReason.MALFORMED, "header/nextPayload", "does not match what follows")
        return Envelope(header, datagram, protected)

    def glance(self, envelope: Envelope, /) -> Glance:
        """Read nonce and cookie of a cleartext message, nothing else. Raises DecodeError."""
        if envelope.protected:
            raise DecodeError(DropReason.UNEXPECTED_MESSAGE, "message", "protected, where cleartext is due")
        _, end = _frame(envelope.octets)
        return arrange.glance(envelope.octets, end)

    def read(self, envelope: Envelope, /) -> Message:
        """Read a cleartext message: everything must be as we would write it. Raises DecodeError."""
        if envelope.protected:
            raise DecodeError(DropReason.UNEXPECTED_MESSAGE, "message", "protected, where cleartext is due")
        octets = envelope.octets
        start, end = _frame(octets)
        der.scan(octets, end, len(octets))
        payloads, bodies = arrange.read(octets[end:])
        header, next_payload = _read_header(octets[start:end])
        # A founding message may leave nextPayload at 0: nothing is read from it, and the octets are signed.
        if header != envelope.header or next_payload not in (_first(payloads), PayloadType.NONE):
            raise DecodeError(DropReason.MALFORMED, "header/nextPayload", "not the type of the first payload")
        return Message(envelope.header, payloads, bodies, octets)

    def open(self, envelope: Envelope, opener: Sealer, /) -> Message | Fragment:
        """Verify and decrypt a protected message. Raises DecodeError, IntegrityError.

        A DecodeError about the plaintext says that the octets are authenticated.
        """
        octets = envelope.octets
        start, end = _frame(octets)
        if not envelope.protected:
            raise DecodeError(DropReason.NOT_PROTECTED, "message", "cleartext, where protection is due")
        plain = opener.open(octets[start:end], _read_encrypted(octets, end, opener))
        try:
            payloads, bodies = arrange.read(_unpadded(plain))
        except DecodeError as error:
            raise DecodeError(
                error.reason, f"plaintext/{error.path}", error.detail, error.offset, authenticated=True
            ) from error
        return Message(envelope.header, payloads, bodies, octets, plain, protected=True)

    def join(self, fragments: Sequence[Fragment], /) -> Message:
        """Raises DecodeError: the profile does not fragment."""
        raise DecodeError(
            DropReason.MALFORMED, "fragment", f"{len(fragments)} fragments, the profile has none"
        )

    def seal(self, header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int, /) -> Sealed:
        """Write one datagram. Raises LocalMisuse where it would not fit, or a value is outside the module."""
        try:
            fields = arrange.write(payloads)
            if len(fields) > SURELY_FEW:
                der.scan(fields, 0, len(fields))
            if sealer is None:
                written = _write_header(header, _first(payloads))
            else:
                written = _write_header(header, PayloadType.SK)
                fields = _protect(written, fields, sealer)
        except (Misfit, DecodeError) as error:
            raise LocalMisuse(f"the message cannot be written: {error}") from error
        octets = _message(written + fields, mtu)
        return Sealed((octets,), octets)

    def body(self, payload: Payload, /) -> bytes:
        """The contents octets of the payload's element. Raises LocalMisuse for a value outside the module."""
        try:
            return arrange.body(payload)
        except (Misfit, DecodeError) as error:
            raise LocalMisuse(f"the payload cannot be written: {error}") from error


def _frame(octets: bytes) -> tuple[int, int]:
    """Start and end of the TLV of `header`, in octets that are one SEQUENCE and nothing more."""
    if len(octets) > MAX_DATAGRAM:
        raise DecodeError(DropReason.OVERSIZED, "message", f"{len(octets)} octets, above {MAX_DATAGRAM}")
    identifier, start, end = der.element(octets, 0, len(octets))
    if identifier != der.SEQUENCE:
        raise DecodeError(DropReason.MALFORMED, "message", "not a SEQUENCE", 0)
    if end != len(octets):
        raise DecodeError(DropReason.MALFORMED, "message", f"{len(octets) - end} octets behind it", end)
    identifier, inside, stop = der.element(octets, start, end)
    if identifier != der.SEQUENCE or stop - inside > MAX_HEADER:
        raise DecodeError(DropReason.MALFORMED, "header", "not an IKEHeader", start)
    return start, stop


def _read_header(octets: bytes) -> tuple[Header, int]:
    """The header and its nextPayload."""
    try:
        element = schema.decode(schema.IKEHeader, octets)
        header = Header(
            within(element.initiator_spi, EIGHT_OCTETS, "header/initiatorSPI").to_bytes(SPI_SIZE),
            within(element.responder_spi, EIGHT_OCTETS, "header/responderSPI").to_bytes(SPI_SIZE),
            ExchangeType.of(within(element.exchange_type, OCTET, "header/exchangeType")),
            within(element.message_id, FOUR_OCTETS, "header/messageID"),
            within(element.flags, OCTET, "header/flags"),
            within(element.version, OCTET, "header/version"),
        )
        next_payload = within(element.next_payload, OCTET, "header/nextPayload")
    except Misfit as error:
        raise DecodeError(error.reason, error.path, error.detail) from error
    except ValueError as error:
        raise DecodeError(DropReason.MALFORMED, "header", str(error)) from error
    if element.length:
        raise DecodeError(DropReason.NOT_CANONICAL, "header/length", "would be written as 0")
    return header, next_payload


def _write_header(header: Header, next_payload: int) -> bytes:
    """The TLV of a header. Raises Misfit."""
    if not len(header.spi_i) == len(header.spi_r) == SPI_SIZE:
        raise Misfit("header", f"an SPI that is not of {SPI_SIZE} octets")
    return schema.encode(
        schema.IKEHeader(
            initiator_spi=int.from_bytes(header.spi_i),
            responder_spi=int.from_bytes(header.spi_r),
            next_payload=next_payload,
            version=within(header.version, OCTET, "header/version"),
            exchange_type=within(header.exchange, OCTET, "header/exchangeType"),
            flags=within(header.flags, OCTET, "header/flags"),
            message_id=within(header.message_id, FOUR_OCTETS, "header/messageID"),
            length=0,
        )
    )


def _first(payloads: Sequence[Payload]) -> int:
    return payloads[0].type if payloads else PayloadType.NONE


def _read_encrypted(octets: bytes, at: int, opener: Sealer) -> bytes:
    """IV | ciphertext | ICV of the field `encrypted`, with the sizes that the algorithms have."""
    der.scan(octets, at, len(octets))
    try:
        part = schema.decode(schema.Encrypted, der.sequence(octets[at:])).encrypted
    except ValueError as error:
        raise DecodeError(DropReason.MALFORMED, "encrypted", str(error)) from error
    if (len(part.iv), len(part.icv)) != (opener.iv_size, opener.icv_size):
        raise IntegrityError
    if not part.ciphertext or len(part.ciphertext) % opener.block:
        raise IntegrityError
    return part.iv + part.ciphertext + part.icv


def _unpadded(plain: bytes) -> bytes:
    """The contents of the InnerPayloads in a plaintext, scanned; any padding that fits is accepted."""
    pad = plain[-1] if plain else 0
    stop = len(plain) - PAD_LENGTH_SIZE - pad
    if stop <= 0:
        raise DecodeError(DropReason.MALFORMED, "padding", "longer than the plaintext")
    identifier, start, end = der.element(plain, 0, stop)
    if identifier != der.SEQUENCE or end != stop:
        raise DecodeError(DropReason.MALFORMED, "payloads", "not a SEQUENCE that ends at the padding")
    der.scan(plain, start, stop)
    return plain[start:stop]


def _protect(header: bytes, fields: bytes, sealer: Sealer) -> bytes:
    """The field `encrypted` with the payload fields sealed in it; `header` is the AAD."""
    inner = der.sequence(fields)
    pad = -(len(inner) + PAD_LENGTH_SIZE) % sealer.block
    size = sealer.sealed_len(len(inner) + pad + PAD_LENGTH_SIZE)
    if size > MAX_DATAGRAM:
        raise Misfit("encrypted", f"{size} octets, {MAX_DATAGRAM} fit in a datagram: {NO_FRAGMENTS}")
    blob = sealer.seal(header, inner + bytes(pad) + bytes((pad,)))
    part = schema.EncryptedPayload(
        iv=blob[: sealer.iv_size],
        ciphertext=blob[sealer.iv_size : len(blob) - sealer.icv_size],
        icv=blob[len(blob) - sealer.icv_size :],
    )
    return der.contents(schema.encode(schema.Encrypted(encrypted=part)))


def _message(contents: bytes, mtu: int) -> bytes:
    """The IKEMessage with these contents. Raises LocalMisuse where it is too large for one datagram."""
    limit = min(mtu, MAX_DATAGRAM) if mtu else MAX_DATAGRAM
    octets = der.sequence(contents) if len(contents) <= limit else contents
    if len(octets) > limit:
        raise LocalMisuse(
            f"a message of {len(octets)} octets does not fit in one datagram of {limit}: {NO_FRAGMENTS}"
        )
    return octets
