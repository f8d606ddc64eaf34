"""The `rfc7296` profile as ports.Codec: one message of RFC 7296 section 3, or one fragment, in each datagram.

Rules:

1. A datagram is one message, no octet more; the transport has taken the non-ESP marker (RFC 3948 2.2) off.
2. The ICV is verified before anything behind the fields of the SK payload is looked at.
3. Only DecodeError leaves the reading functions, and IntegrityError `open`. Keys and meaning stay outside.
4. Reserved bits are ignored and not written: signatures are over the octets of `Envelope` and `Sealed`.
"""

from collections.abc import Sequence

from node.errors import DecodeError, DropReason, LocalMisuse, MessageTooLarge
from node.model.message import Envelope, Fragment, Glance, Header, Message, Sealed
from node.model.payloads import Payload
from node.ports import Sealer
from node.wire.rfc7296 import chain, payloads, protection
from node.wire.rfc7296 import header as ike_header
from node.wire.rfc7296.header import HEADER_SIZE
from node.wire.rfc7296.limits import MAX_DATAGRAM, TOO_LARGE
from node.wire.rfc7296.misfit import Misfit, TooLarge


class Rfc7296Codec:
    """The profile; without state, so one instance serves all.

    `max_datagram` bounds what is read and written, in octets, at most 65,535.
    """

    def __init__(self, max_datagram: int = MAX_DATAGRAM) -> None:
        self._limit = max_datagram

    def peek(self, datagram: bytes, /) -> Envelope:
        """Read the header. Raises DecodeError where the datagram is not what it says it is in full."""
        if len(datagram) > self._limit:
            raise DecodeError(DropReason.OVERSIZED, "message", f"{len(datagram)} octets, above {self._limit}")
        header = ike_header.read(datagram)
        return Envelope(header, datagram, ike_header.next_payload(datagram) in payloads.FRAMES)

    def glance(self, envelope: Envelope, /) -> Glance:
        """Read nonce and cookie of a cleartext message, nothing else. Raises DecodeError."""
        first = _first_of_cleartext(envelope)
        return chain.glance(first, envelope.octets, HEADER_SIZE)

    def read(self, envelope: Envelope, /) -> Message:
        """Read a cleartext message. Raises DecodeError."""
        first = _first_of_cleartext(envelope)
        found, bodies = chain.read(first, envelope.octets, HEADER_SIZE)
        return Message(envelope.header, found, bodies, envelope.octets)

    def open(self, envelope: Envelope, opener: Sealer, /) -> Message | Fragment:
        """Verify and decrypt a protected message. Raises DecodeError, IntegrityError."""
        if not envelope.protected:
            raise DecodeError(DropReason.NOT_PROTECTED, "message", "cleartext, where protection is due")
        found = protection.opened(envelope, opener)
        return found if isinstance(found, Fragment) else _message(envelope.header, found, envelope.octets)

    def join(self, fragments: Sequence[Fragment], /) -> Message:
        """Read the message of complete, ordered fragments. Raises DecodeError."""
        content = protection.joined(fragments)
        return _message(fragments[0].header, content, b"")

    def seal(self, header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int, /) -> Sealed:
        """Write one datagram, or fragments where a protected message exceeds `mtu`.

        A cleartext message has no fragments (RFC 7383 2.5) and may be larger than `mtu`. Raises
        MessageTooLarge where it is larger than the profile's cap, LocalMisuse where a value has no octets in
        the profile.
        """
        try:
            first, inner = chain.write(payloads)
            if sealer is None:
                datagrams: tuple[bytes, ...] = (self._clear(header, first, inner),)
            else:
                content = protection.Content(first, inner)
                datagrams = protection.sealed(header, content, sealer, self._limit, mtu)
        except TooLarge as error:
            raise MessageTooLarge(f"the message cannot be written: {error}") from error
        except Misfit as error:
            raise LocalMisuse(f"the message cannot be written: {error}") from error
        return Sealed(datagrams, datagrams[0] if datagrams[1:] == () else b"")

    def body(self, payload: Payload, /) -> bytes:
        """The octets behind the payload's generic header. Raises LocalMisuse where it has none."""
        try:
            return payloads.write(payload)
        except Misfit as error:
            raise LocalMisuse(f"the payload cannot be written: {error}") from error

    def _clear(self, header: Header, first: int, inner: bytes) -> bytes:
        octets = ike_header.write(header, first, len(inner)) + inner
        if len(octets) > self._limit:
            raise TooLarge("message", f"{len(octets)} octets, above {self._limit}: {TOO_LARGE}")
        return octets


def _first_of_cleartext(envelope: Envelope) -> int:
    """The type of the first payload. Raises DecodeError where the message is protected."""
    if envelope.protected:
        raise DecodeError(DropReason.UNEXPECTED_MESSAGE, "message", "protected, where cleartext is due")
    return ike_header.next_payload(envelope.octets)


def _message(header: Header, content: protection.Content, octets: bytes) -> Message:
    """The message of an authenticated content. Raises DecodeError, which says so."""
    try:
        found, bodies = chain.read(content.first, content.inner)
    except DecodeError as error:
        path = f"plaintext/{error.path}"
        raise DecodeError(error.reason, path, error.detail, error.offset, authenticated=True) from error
    return Message(header, found, bodies, octets, content.inner, protected=True)
