"""Messages of docs/ipseclab.asn1 as an attacker makes them, who has no keys: by splicing DER.

    IKEMessage  SEQUENCE { header SEQUENCE, sa [1], ke [2], nonce [3], ... , encrypted [5], ... }

What is spliced need not be a message: where it cannot be read, None comes back.
"""

from random import Random

from lab.wire import der
from lab.wire.identity import IKE_SA_INIT

_SA, _KE, _NONCE, _ENCRYPTED = (der.field(number, constructed=True) for number in (1, 2, 3, 5))
_SK = 46
_VERSION, _INITIATOR = 0x20, 0x08
_BLOCK = 16
#: An IV and an ICV of the founding suite, and ciphertext as long as an IKE_AUTH with one certificate.
_IV, _CIPHERTEXT, _ICV = 16, 48 * _BLOCK, 16
#: A forged ciphertext is up to so many blocks shorter or longer than the honest one.
_SPREAD = 4
_NONCE_OCTETS, _MODP_2048_OCTETS = 32, 256


def _identifier(hexadecimal: str) -> bytes:
    return der.write(der.OBJECT_IDENTIFIER, bytes.fromhex(hexadecimal))


#: The founding suite: 1.2.840.113549.3.7, 1.2.840.113549.2.9 and 1.3.6.1.5.5.8.1.2.
_AES_256_CBC, _HMAC_SHA2_256 = _identifier("2a864886f70d0307"), _identifier("2a864886f70d0209")
_MODP_2048 = _identifier("2b06010505080102")
#: In an SA payload: all proposals but the first. In a proposal, or in front of an SA payload: its number.
_MORE_PROPOSALS = der.field(2, constructed=True)


def _founding_sa(number: int) -> bytes:
    """A proposal for IKE without an SPI; its three identifiers say it all."""
    numbers = b"".join(map(der.number, (number, 1, 0, 3)))
    return der.write(_SA, numbers + _AES_256_CBC + _HMAC_SHA2_256 + _MODP_2048)


class _Message:
    """A message in parts: the TLV of its header, and the TLVs behind it by identifier, in order."""

    def __init__(self, header: bytes, fields: dict[int, bytes]) -> None:
        self.header, self.fields = header, fields

    @classmethod
    def of(cls, octets: bytes) -> "_Message | None":
        outer = der.element(octets, 0)
        if outer is None or outer[0] != der.SEQUENCE or outer[2] != len(octets):
            return None
        parts = der.elements(octets, outer[1], outer[2])
        if not parts or parts[0][0] != der.SEQUENCE:
            return None
        tlvs = [(identifier, octets[at:end]) for identifier, at, _, end in parts]
        return cls(tlvs[0][1], dict(tlvs[1:]))

    def octets(self) -> bytes:
        return der.write(der.SEQUENCE, self.header + b"".join(self.fields.values()))


def _contents(tlv: bytes) -> list[tuple[int, bytes]] | None:
    """Identifier and contents of the elements in a TLV."""
    head = der.element(tlv, 0)
    parts = der.elements(tlv, head[1], head[2]) if head else None
    return None if parts is None else [(identifier, tlv[start:end]) for identifier, _, start, end in parts]


def downgrade(octets: bytes) -> bytes | None:
    """The message with the founding suite as its only proposal.

    It keeps the number of the last one: whoever offered the founding suite last takes the answer for its own.
    """
    message = _Message.of(octets)
    if message is None or _SA not in message.fields:
        return None
    message.fields[_SA] = _founding_sa(_last_number(message.fields[_SA]))
    return message.octets()


def _last_number(sa: bytes) -> int:
    """The number of the last proposal of an SA payload; 1 where it cannot be read."""
    parts = _contents(sa) or []
    more = [value for identifier, value in parts if identifier == _MORE_PROPOSALS]
    proposals = _contents(der.write(_MORE_PROPOSALS, more[0])) if more else None
    last = _contents(der.write(*proposals[-1])) if proposals else parts
    return int.from_bytes(last[0][1][-1:] or b"\x01") if last else 1


def junk(octets: bytes, random: Random) -> bytes | None:
    """A protected message with the header of this one, and random octets where the protected ones stand."""
    message = _Message.of(octets)
    if message is None:
        return None
    honest = _contents(message.fields[_ENCRYPTED]) if _ENCRYPTED in message.fields else None
    sizes = [len(part) for _, part in honest] if honest else []
    iv, ciphertext, icv = sizes if len(sizes) == 3 else (_IV, _CIPHERTEXT, _ICV)
    ciphertext = max(_BLOCK, ciphertext + random.randint(-_SPREAD, _SPREAD) * _BLOCK)
    parts = [der.write(der.OCTET_STRING, random.randbytes(size)) for size in (iv, ciphertext, icv)]
    header = _protected(message.header)
    return der.write(der.SEQUENCE, header + der.write(_ENCRYPTED, b"".join(parts)))


def _protected(header: bytes) -> bytes:
    """The header as it stands before `encrypted`; an honest protected one unchanged."""
    fields = _contents(header)
    if fields is None or len(fields) != 8:
        return header
    fields[2] = (fields[2][0], bytes((_SK,)))
    return der.write(der.SEQUENCE, b"".join(der.write(*part) for part in fields))


def request(template: bytes, random: Random) -> bytes:
    """An IKE_SA_INIT request like the template, or like the founding one where that is none: another SPI,
    nonce and key share, of the same lengths.
    """
    message = _Message.of(template)
    if message is None or not {_SA, _KE, _NONCE} <= message.fields.keys():
        message = _founding(random)
    header, group = _contents(message.header), _contents(message.fields[_KE])
    nonce = _contents(message.fields[_NONCE])
    if header and header[0][0] == 0x80:
        spi = der.number(_spi(random), 0x80)
        rest = b"".join(der.write(*part) for part in header[1:])
        message.header = der.write(der.SEQUENCE, spi + rest)
    if group and len(group) == 2:
        share = der.write(der.OCTET_STRING, _share(len(group[1][1]), random))
        message.fields[_KE] = der.write(_KE, der.write(*group[0]) + share)
    if nonce:
        message.fields[_NONCE] = _nonce(len(nonce[0][1]), random)
    return message.octets()


def _founding(random: Random) -> _Message:
    numbers = (_spi(random), 0, 33, _VERSION, IKE_SA_INIT, _INITIATOR, 0, 0)
    header = b"".join(der.number(n, der.field(tag, constructed=False)) for tag, n in enumerate(numbers))
    share = der.write(der.OCTET_STRING, _share(_MODP_2048_OCTETS, random))
    fields = {
        _SA: _founding_sa(1),
        _KE: der.write(_KE, _MODP_2048 + share),
        _NONCE: _nonce(_NONCE_OCTETS, random),
    }
    return _Message(der.write(der.SEQUENCE, header), fields)


def _spi(random: Random) -> int:
    return random.randrange(1, 1 << 64)


def _share(size: int, random: Random) -> bytes:
    """A random public value: the first bit is 0, so a MODP one is below its prime, which begins with ones."""
    octets = random.randbytes(size)
    return bytes((octets[0] & 0x7F,)) + octets[1:] if octets else octets


def _nonce(size: int, random: Random) -> bytes:
    return der.write(_NONCE, der.write(der.OCTET_STRING, random.randbytes(size)))
