"""Messages of RFC 7296 as an attacker makes them, who has no keys: by splicing octets.

    header 28 | payload | payload ...       behind four zero octets on port 4500 (RFC 3948 2.2)
    payload   next (1) | flags (1) | length (2) | body                  (RFC 7296 3.2)
    proposal  last (1) | 0 | length (2) | number | protocol | SPI size | transforms | ...     (3.3.1)

What is spliced need not be a message: where it cannot be read, None comes back.
"""

import struct
from random import Random

from lab.wire.identity import HEADER, IKE_SA_INIT, MARKER

_SA, _KE, _NONCE, _SK = 33, 34, 40, 46
_IDI = 35
_VERSION, _INITIATOR = 0x20, 0x08
_GENERIC = struct.Struct(">BBH")
#: Octets of a KE payload's body before the public value: group, reserved.
_KE_HEAD = 4
_LEAST_PROPOSAL = 8
_BLOCK = 16
#: Octets behind the generic header: IV, ciphertext and ICV of an IKE_AUTH with one certificate.
_SEALED = 16 + 48 * _BLOCK + 16
_SPREAD = 4
_NONCE_OCTETS, _MODP_2048_OCTETS, _MODP_2048 = 32, 256, 14
#: ENCR_AES_CBC with 256 bits, PRF_HMAC_SHA2_256, AUTH_HMAC_SHA2_256_128, MODP_2048 (RFC 7296 3.3.2).
_TRANSFORMS = bytes.fromhex("0300000c0100000c800e0100 0300000802000005 030000080300000c 000000080400000e")
_FOUNDING_SA = struct.pack(">BBHBBBB", 0, 0, 8 + len(_TRANSFORMS), 1, 1, 0, 4) + _TRANSFORMS


class _Message:
    """A message in parts: marker, header fields, and payloads as (type, flags, body)."""

    def __init__(self, marker: bytes, header: list[int], payloads: list[tuple[int, int, bytes]]) -> None:
        self.marker, self.header, self.payloads = marker, header, payloads

    @classmethod
    def of(cls, octets: bytes) -> "_Message | None":
        marker = MARKER if octets.startswith(MARKER) else b""
        rest = octets[len(marker) :]
        if len(rest) < HEADER.size:
            return None
        header = list(HEADER.unpack_from(rest))
        payloads = _payloads(header[2], rest[HEADER.size :])
        return None if payloads is None else cls(marker, header, payloads)

    def octets(self) -> bytes:
        kinds = [kind for kind, _, _ in self.payloads]
        body = b""
        for (kind, flags, contents), following in zip(self.payloads, [*kinds[1:], 0], strict=True):
            # The next payload of SK is the first one in it (3.14); ours has an IDi, as in IKE_AUTH.
            following = _IDI if kind == _SK else following
            body += _GENERIC.pack(following, flags, _GENERIC.size + len(contents)) + contents
        header = [*self.header[:2], kinds[0] if kinds else 0, *self.header[3:7], HEADER.size + len(body)]
        return self.marker + HEADER.pack(*header) + body


def _payloads(kind: int, octets: bytes) -> list[tuple[int, int, bytes]] | None:
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while at < len(octets):
        if at + _GENERIC.size > len(octets):
            return None
        following, flags, length = _GENERIC.unpack_from(octets, at)
        if length < _GENERIC.size or at + length > len(octets):
            return None
        found.append((kind, flags, octets[at + _GENERIC.size : at + length]))
        at, kind = at + length, following
    return found


def downgrade(octets: bytes) -> bytes | None:
    """The message with the last of its proposals as the only one.

    It keeps its number: whoever offered it takes the answer for its own.
    """
    message = _Message.of(octets)
    if message is None:
        return None
    bodies = [(kind, flags, _last(body) if kind == _SA else body) for kind, flags, body in message.payloads]
    whole = [(kind, flags, body) for kind, flags, body in bodies if body is not None]
    if len(whole) != len(bodies) or _SA not in {kind for kind, _, _ in whole}:
        return None
    message.payloads = whole
    return message.octets()


def _last(proposals: bytes) -> bytes | None:
    at, last = 0, None
    while at < len(proposals):
        if at + _LEAST_PROPOSAL > len(proposals):
            return None
        length = int.from_bytes(proposals[at + 2 : at + 4])
        if length < _LEAST_PROPOSAL or at + length > len(proposals):
            return None
        last = proposals[at : at + length]
        at += length
    # 0: the last of them (3.3.1).
    return None if last is None else b"\0" + last[1:]


def junk(octets: bytes, random: Random) -> bytes | None:
    """A protected message with the header of this one, and random octets where the protected ones stand."""
    marker = MARKER if octets.startswith(MARKER) else b""
    rest = octets[len(marker) :]
    if len(rest) < HEADER.size:
        return None
    message = _Message(marker, list(HEADER.unpack_from(rest)), [])
    honest = len(rest) - HEADER.size - _GENERIC.size if message.header[2] == _SK else _SEALED
    size = max(3 * _BLOCK, honest + random.randint(-_SPREAD, _SPREAD) * _BLOCK)
    message.payloads = [(_SK, 0, random.randbytes(size))]
    return message.octets()


def request(template: bytes, random: Random) -> bytes:
    """An IKE_SA_INIT request like the template, or with MODP-2048 and AES-256-CBC where that is none: another
    SPI, nonce and key share, of the same lengths.
    """
    message = _Message.of(template)
    if message is None or not {_SA, _KE, _NONCE} <= {kind for kind, _, _ in message.payloads}:
        message = _founding()
    message.header[0] = random.randrange(1, 1 << 64)
    message.payloads = [(kind, flags, _fresh(kind, body, random)) for kind, flags, body in message.payloads]
    return message.octets()


def _founding() -> _Message:
    header = [0, 0, _SA, _VERSION, IKE_SA_INIT, _INITIATOR, 0, 0]
    share = struct.pack(">HH", _MODP_2048, 0) + bytes(_MODP_2048_OCTETS)
    return _Message(b"", header, [(_SA, 0, _FOUNDING_SA), (_KE, 0, share), (_NONCE, 0, bytes(_NONCE_OCTETS))])


def _fresh(kind: int, body: bytes, random: Random) -> bytes:
    if kind == _NONCE:
        return random.randbytes(len(body))
    if kind == _KE and len(body) > _KE_HEAD:
        # The first bit is 0, so a MODP value is below its prime, which begins with ones.
        share = random.randbytes(len(body) - _KE_HEAD)
        return body[:_KE_HEAD] + bytes((share[0] & 0x7F,)) + share[1:]
    return body
