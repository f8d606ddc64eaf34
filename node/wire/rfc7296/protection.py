"""The Encrypted payload SK (RFC 7296 3.14, RFC 5282 3) and its fragments SKF (RFC 7383 2.5).

    SK     IKE header | generic header | IV | payloads, padding, pad length | ICV
    SKF    IKE header | generic header | fragment number | total | IV | chunk, padding, pad length | ICV
           `--------------- associated data ------------------'

Rules:

1. All that stands in front of the IV is associated data, as it came: lengths, types and numbers with it.
2. It is the first and only payload. RFC 7296 allows others before it, no exchange has any (RFC 7383 2.5.3),
   and they would be unprotected.
3. Fragments cut the octets of the payloads anywhere; each is sealed by itself.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import DecodeError, DropReason
from node.model.message import Envelope, Fragment, Header
from node.model.registry import PayloadType
from node.ports import Sealer
from node.wire.rfc7296 import header as ike_header
from node.wire.rfc7296.chain import GENERIC, MAX_PAYLOAD
from node.wire.rfc7296.header import HEADER_SIZE
from node.wire.rfc7296.limits import MAX_FRAGMENTS, MAX_JOINED, TOO_LARGE
from node.wire.rfc7296.misfit import Misfit, TooLarge

_NUMBERS = struct.Struct(">HH")
_SK_IV = HEADER_SIZE + GENERIC.size
_SKF_IV = _SK_IV + _NUMBERS.size
#: Octets of the Pad Length field.
PAD_LENGTH_SIZE = 1


@dataclass(frozen=True, slots=True)
class Content:
    """What an SK payload holds: the type of its first payload, and the octets of all of them."""

    first: int
    inner: bytes


def opened(envelope: Envelope, opener: Sealer) -> Content | Fragment:
    """Verify and decrypt. Raises IntegrityError, and DecodeError where it is no such message.

    A DecodeError about the plaintext says that the octets are authenticated.
    """
    octets = envelope.octets
    fragmented = ike_header.next_payload(octets) == PayloadType.SKF
    start = _SKF_IV if fragmented else _SK_IV
    if len(octets) < start:
        raise _malformed("sk", "ends in its fields")
    first, _, size = GENERIC.unpack_from(octets, HEADER_SIZE)
    if size != len(octets) - HEADER_SIZE:
        raise _malformed("sk", f"a length of {size} octets with {len(octets) - HEADER_SIZE} left")
    if not fragmented:
        return Content(first, _unpadded(opener.open(octets[:start], octets[start:])))
    number, total = _NUMBERS.unpack_from(octets, _SK_IV)
    _check_numbers(number, total, first)
    inner = _unpadded(opener.open(octets[:start], octets[start:]))
    return Fragment(envelope.header, number, total, first, inner)


def joined(fragments: Sequence[Fragment]) -> Content:
    """What complete, ordered fragments hold. Raises DecodeError where they are not that, or too much."""
    places = [(number, len(fragments)) for number in range(1, len(fragments) + 1)]
    if not fragments or [(f.number, f.total) for f in fragments] != places:
        raise _malformed("skf", f"{len(fragments)} fragments that are not all of a message, in order")
    if any(f.header != fragments[0].header for f in fragments):
        raise _malformed("skf", "fragments of several messages")
    size = sum(len(f.inner) for f in fragments)
    if size > MAX_JOINED:
        detail = f"{size} octets in all, above {MAX_JOINED}"
        raise DecodeError(DropReason.OVERSIZED, "skf", detail, authenticated=True)
    return Content(fragments[0].first_payload, b"".join([f.inner for f in fragments]))


def sealed(header: Header, content: Content, sealer: Sealer, limit: int, mtu: int) -> tuple[bytes, ...]:
    """The datagrams: one, or fragments of at most `mtu` octets (0: no limit) where one would be larger.

    Raises TooLarge where one would be larger than `limit` octets, or there were too many fragments.
    """
    most = min(mtu, limit) if mtu else limit
    whole = _SK_IV + _sealed_len(len(content.inner), sealer)
    if whole <= most:
        return (_datagram(header, PayloadType.SK, content.first, b"", content.inner, sealer),)
    if not mtu:
        raise TooLarge("message", f"{whole} octets, above {limit}: {TOO_LARGE}")
    room = most - _SKF_IV - sealer.sealed_len(0)
    size = room - room % sealer.block - PAD_LENGTH_SIZE
    if size < 1:
        raise Misfit("message", f"{mtu} octets of a datagram leave no room for a fragment")
    chunks = [content.inner[at : at + size] for at in range(0, len(content.inner), size)]
    if len(chunks) > MAX_FRAGMENTS or len(content.inner) > MAX_JOINED:
        raise TooLarge("message", f"{whole} octets, above {MAX_FRAGMENTS} fragments of {most}: {TOO_LARGE}")
    datagrams = []
    for number, chunk in enumerate(chunks, start=1):
        first = content.first if number == 1 else PayloadType.NONE
        numbers = _NUMBERS.pack(number, len(chunks))
        datagrams.append(_datagram(header, PayloadType.SKF, first, numbers, chunk, sealer))
    return tuple(datagrams)


def _datagram(header: Header, kind: int, first: int, numbers: bytes, inner: bytes, sealer: Sealer) -> bytes:
    """One datagram. All lengths are final before the associated data is made of them."""
    size = GENERIC.size + len(numbers) + _sealed_len(len(inner), sealer)
    if size > MAX_PAYLOAD:
        raise Misfit("message", f"{size} octets, a payload has {MAX_PAYLOAD} at most: {TOO_LARGE}")
    aad = ike_header.write(header, kind, size) + GENERIC.pack(first, 0, size) + numbers
    pad = -(len(inner) + PAD_LENGTH_SIZE) % sealer.block
    return aad + sealer.seal(aad, inner + bytes(pad) + bytes((pad,)))


def _sealed_len(size: int, sealer: Sealer) -> int:
    """Octets of the blob for `size` octets of payloads with the shortest padding."""
    return sealer.sealed_len(size + PAD_LENGTH_SIZE + -(size + PAD_LENGTH_SIZE) % sealer.block)


def _unpadded(plain: bytes) -> bytes:
    """The plaintext without padding: any length that fits is accepted, and the octets may be any."""
    pad = plain[-1] if plain else 0
    stop = len(plain) - PAD_LENGTH_SIZE - pad
    if stop < 0:
        detail = f"{pad} octets in a plaintext of {len(plain)}"
        raise DecodeError(DropReason.MALFORMED, "plaintext/padding", detail, authenticated=True)
    return plain[:stop]


def _check_numbers(number: int, total: int, first: int) -> None:
    """Raises DecodeError where RFC 7383 2.5 and 2.6 want a fragment discarded, before it costs anything."""
    if not 1 <= number <= total:
        raise _malformed("skf", f"fragment {number} of {total}")
    if total > MAX_FRAGMENTS:
        raise _malformed("skf", f"{total} fragments, above {MAX_FRAGMENTS}")
    if first and number > 1:
        raise _malformed("skf", f"a first payload in fragment {number}")


def _malformed(path: str, detail: str) -> DecodeError:
    return DecodeError(DropReason.MALFORMED, path, detail, HEADER_SIZE)
