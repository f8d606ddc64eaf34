"""The Codec port of the founding profile.

    cleartext   IKEMessage { header, [sa] [ke] [nonce] [cert], [payloads] }
    protected   IKEMessage { header, encrypted { iv, ciphertext, icv } }
                plaintext = InnerPayloads | zero octets | number of them (1 octet), a multiple of the cipher's block
                AAD       = the complete element `header`

Rules:

1. Structure, size and counts are bounded (`tlv.scan`) before the library's decoder runs.
2. What was decoded must encode to the very octets received, aliases of object identifiers apart; so nothing that the AAD leaves
   uncovered can be changed without being noticed.
3. The order of payloads is kept. SA, KE, nonce and certificate that begin a cleartext message in this order stand in the
   founding fields, everything after that in `payloads`.
"""

from collections.abc import Sequence
from typing import TypeVar

from cryptography.hazmat import asn1

from node.errors import DecodeError, DropReason, LocalMisuse
from node.model.message import Envelope, Fragment, Header, Message, Sealed
from node.model.payloads import Payload
from node.model.registry import ExchangeType, PayloadType
from node.ports import Sealer
from node.wire.asn1 import oids, schema, tlv
from node.wire.asn1.payloads import number, to_model, to_schema

T = TypeVar("T")

#: The largest UDP payload over IPv4; this profile does not fragment.
MAX_DATAGRAM = 65_507
#: A DER message is a SEQUENCE: what tells it from ESP on one port.
IKE_FIRST_OCTET = tlv.SEQUENCE
#: The element `encrypted`, [5] IMPLICIT SEQUENCE.
_ENCRYPTED = 0xA5
_FOUNDING_FIELDS = (
    ("sa", schema.SAPayload),
    ("ke", schema.KEPayload),
    ("nonce", schema.NoncePayload),
    ("cert", schema.CertPayload),
)


class Asn1Codec:
    """ASN.1 DER messages, one to a datagram."""

    def peek(self, datagram: bytes, /) -> Envelope:
        """Read the header alone. Raises DecodeError."""
        if len(datagram) > MAX_DATAGRAM:
            raise DecodeError(DropReason.OVERSIZED, "message", f"{len(datagram)} octets")
        start, end, finish = _header_span(datagram)
        try:
            found = asn1.decode_der(schema.IKEHeader, datagram[start:end])
        except (ValueError, OverflowError) as error:
            raise DecodeError(DropReason.MALFORMED, "header", str(error)) from None
        protected = end < finish and datagram[end] == _ENCRYPTED
        return Envelope(_header_in(found), bytes(datagram), protected)

    def read(self, envelope: Envelope, /) -> Message:
        """Read a cleartext message. Raises DecodeError."""
        decoded = _decode(schema.IKEMessage, envelope.octets)
        if decoded.encrypted is not None:
            raise DecodeError(DropReason.NOT_PROTECTED, "encrypted", "a protected message where none belongs")
        elements = [e for name, _ in _FOUNDING_FIELDS if (e := getattr(decoded, name)) is not None]
        elements += decoded.payloads or []
        payloads = to_model(elements)
        again = [to_schema(p) for p in payloads]
        _restore_alias(elements, again)
        if asn1.encode_der(_cleartext(envelope.header, again, _first(payloads))) != envelope.octets:
            raise DecodeError(
                DropReason.NOT_CANONICAL, "message", "not the form this profile gives the message"
            )
        return Message(envelope.header, payloads, _bodies(elements), envelope.octets)

    def open(self, envelope: Envelope, opener: Sealer, /) -> Message | Fragment:
        """Verify, decrypt, then read. Raises DecodeError, IntegrityError."""
        encrypted = _encrypted(envelope)
        if (len(encrypted.iv), len(encrypted.icv)) != (opener.iv_size, opener.icv_size):
            raise DecodeError(
                DropReason.MALFORMED, "encrypted", "IV and ICV do not have the sizes of the suite"
            )
        start, end, _ = _header_span(envelope.octets)
        plain = opener.open(envelope.octets[start:end], encrypted.iv + encrypted.ciphertext + encrypted.icv)
        try:
            return _read_inner(envelope, _unpad(plain, opener.block))
        except DecodeError as error:
            raise DecodeError(error.reason, error.path, error.detail, authenticated=True) from None

    def join(self, fragments: Sequence[Fragment], /) -> Message:
        """This profile has no fragments. Raises DecodeError."""
        raise DecodeError(
            DropReason.MALFORMED, "message", f"{len(fragments)} fragments in a profile without any"
        )

    def seal(self, header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int, /) -> Sealed:
        """Encode, and protect where a sealer is given; `mtu` does not matter, nothing is fragmented.

        Raises LocalMisuse where the message does not fit into a datagram or a value into its field.
        """
        try:
            elements = [to_schema(p) for p in payloads]
            if sealer is None:
                message = _cleartext(header, elements, _first(payloads))
            else:
                message = _protected(header, elements, sealer)
            octets = asn1.encode_der(message)
        except (ValueError, OverflowError) as error:
            raise LocalMisuse(f"the profile cannot say this message: {error}") from None
        if len(octets) > MAX_DATAGRAM:
            raise LocalMisuse(f"a message of {len(octets)} octets; {MAX_DATAGRAM} fit into a datagram")
        return Sealed((octets,), octets)

    def body(self, payload: Payload, /) -> bytes:
        """The content octets of the payload's element, without its tag and length."""
        return _body(to_schema(payload))


# -- the header -------------------------------------------------------------------------------------------------


def _header_span(octets: bytes) -> tuple[int, int, int]:
    """Where the header's element begins and ends, and where the message ends. Raises DecodeError."""
    tag, content, finish = tlv.head(octets, 0, len(octets))
    if tag != tlv.SEQUENCE or finish != len(octets):
        raise DecodeError(DropReason.MALFORMED, "message", "not exactly one SEQUENCE")
    tag, _, end = tlv.head(octets, content, finish)
    if tag != tlv.SEQUENCE:
        raise DecodeError(DropReason.MALFORMED, "header", "not a SEQUENCE")
    # Every INTEGER of a header has at most nine octets of content.
    if end - content > 128:
        raise DecodeError(DropReason.MALFORMED, "header", "too long")
    return content, end, finish


def _header_in(found: schema.IKEHeader) -> Header:
    number(int, found.length, "header/length", 0)
    number(int, found.next_payload, "header/nextPayload", 255)
    return Header(
        spi_i=number(int, found.initiator_spi, "header/initiatorSPI", 2**64 - 1).to_bytes(8),
        spi_r=number(int, found.responder_spi, "header/responderSPI", 2**64 - 1).to_bytes(8),
        exchange=number(ExchangeType, found.exchange_type, "header/exchangeType", 255),
        message_id=number(int, found.message_id, "header/messageID", 2**32 - 1),
        flags=number(int, found.flags, "header/flags", 255),
        version=number(int, found.version, "header/version", 255),
    )


def _header_out(header: Header, next_payload: int) -> schema.IKEHeader:
    return schema.IKEHeader(
        initiator_spi=int.from_bytes(header.spi_i),
        responder_spi=int.from_bytes(header.spi_r),
        next_payload=next_payload,
        version=header.version,
        exchange_type=int(header.exchange),
        flags=header.flags,
        message_id=header.message_id,
        length=0,
    )


# -- cleartext --------------------------------------------------------------------------------------------------


def _cleartext(header: Header, elements: Sequence[schema.AnyPayload], first: int) -> schema.IKEMessage:
    rest = list(elements)
    founding: dict[str, schema.AnyPayload | None] = {}
    for name, kind in _FOUNDING_FIELDS:
        founding[name] = rest.pop(0) if rest and isinstance(rest[0], kind) else None
    return schema.IKEMessage(
        header=_header_out(header, first),
        **founding,  # type: ignore[arg-type]
        encrypted=None,
        payloads=rest or None,
    )


def _restore_alias(elements: Sequence[schema.AnyPayload], again: Sequence[schema.AnyPayload]) -> None:
    """Where the peer named AES-256-CBC by its registered identifier, so does the comparison."""
    for theirs, ours in zip(elements, again, strict=True):
        if not isinstance(theirs, schema.SAPayload) or not isinstance(ours, schema.SAPayload):
            continue
        if theirs.encryption_alg.dotted_string in oids.ALIASES:
            ours.encryption_alg = theirs.encryption_alg
        for one, other in zip(_transforms(theirs), _transforms(ours), strict=True):
            if one.algorithm.dotted_string in oids.ALIASES:
                other.algorithm = one.algorithm


def _transforms(payload: schema.SAPayload) -> list[schema.Transform]:
    return [t for proposal in payload.proposals or [] for t in proposal.transforms]


# -- protected --------------------------------------------------------------------------------------------------


def _protected(header: Header, elements: list[schema.AnyPayload], sealer: Sealer) -> schema.IKEMessage:
    framed = _header_out(header, int(PayloadType.SK))
    inner = asn1.encode_der(schema.InnerPayloads(payloads=elements))
    blob = sealer.seal(asn1.encode_der(framed), _pad(inner, sealer.block))
    iv, end = sealer.iv_size, len(blob) - sealer.icv_size
    encrypted = schema.Encrypted(iv=blob[:iv], ciphertext=blob[iv:end], icv=blob[end:])
    return schema.IKEMessage(
        header=framed, sa=None, ke=None, nonce=None, cert=None, encrypted=encrypted, payloads=None
    )


def _encrypted(envelope: Envelope) -> schema.Encrypted:
    decoded = _decode(schema.IKEMessage, envelope.octets)
    if decoded.encrypted is None:
        raise DecodeError(DropReason.NOT_PROTECTED, "encrypted", "a cleartext message where none belongs")
    again = schema.IKEMessage(
        header=_header_out(envelope.header, int(PayloadType.SK)),
        sa=None,
        ke=None,
        nonce=None,
        cert=None,
        encrypted=decoded.encrypted,
        payloads=None,
    )
    if asn1.encode_der(again) != envelope.octets:
        raise DecodeError(DropReason.NOT_CANONICAL, "message", "something beside the protected part")
    return decoded.encrypted


def _read_inner(envelope: Envelope, inner: bytes) -> Message:
    elements = _decode(schema.InnerPayloads, inner).payloads
    payloads = to_model(elements)
    again = [to_schema(p) for p in payloads]
    _restore_alias(elements, again)
    if asn1.encode_der(schema.InnerPayloads(payloads=again)) != inner:
        raise DecodeError(
            DropReason.NOT_CANONICAL, "encrypted", "not the form this profile gives the payloads"
        )
    return Message(envelope.header, payloads, _bodies(elements), envelope.octets, inner, protected=True)


def _pad(inner: bytes, block: int) -> bytes:
    count = -(len(inner) + 1) % block
    return inner + bytes(count) + bytes([count])


def _unpad(plain: bytes, block: int) -> bytes:
    if not plain:
        raise DecodeError(DropReason.MALFORMED, "encrypted", "no pad length")
    count = plain[-1]
    inner = plain[: -1 - count]
    if not inner or _pad(inner, block) != plain:
        raise DecodeError(DropReason.MALFORMED, "encrypted", "not the padding of this profile")
    return inner


# -- small parts ------------------------------------------------------------------------------------------------


def _decode(kind: type[T], octets: bytes) -> T:
    tlv.scan(octets)
    try:
        return asn1.decode_der(kind, octets)
    except (ValueError, OverflowError) as error:
        raise DecodeError(DropReason.MALFORMED, "message", str(error)) from None


def _first(payloads: Sequence[Payload]) -> int:
    return int(payloads[0].type) if payloads else int(PayloadType.NONE)


def _bodies(elements: Sequence[schema.AnyPayload]) -> tuple[bytes, ...]:
    return tuple(_body(e) for e in elements)


def _body(element: schema.AnyPayload) -> bytes:
    octets = asn1.encode_der(element)
    _, content, end = tlv.head(octets, 0, len(octets))
    return octets[content:end]
