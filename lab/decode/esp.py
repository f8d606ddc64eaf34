"""An ESP packet (RFC 4303), opened where its keys are known, and the packet inside.

SPI (4) | sequence number (4) | IV | ciphertext | ICV
plaintext: inner packet | padding 1, 2, 3 ... | pad length (1) | next header (1)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.decode import inet, numbers
from lab.decode.ciphers import BadIcv, Sealed
from lab.decode.items import count, data
from lab.decode.keylog import EspKeys
from lab.decode.problem import Unreadable
from lab.decode.values import Item

_HEADER = 8
_TRAILER = 2
_WRAP = 1 << 32

EspKeyring = Mapping[bytes, Sequence[EspKeys]]


@dataclass(frozen=True, slots=True)
class Read:
    """What a packet gave: a title, its items, whether it was opened, and why not. `inner` is the packet
    inside, empty where it was not opened.
    """

    title: str
    items: tuple[Item, ...]
    opened: bool = False
    problem: str = ""
    inner: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class _Opened:
    keys: EspKeys
    sequence: int
    plain: bytes = field(repr=False)


class Decapsulator:
    """Opens the packets of one capture in their order. With extended sequence numbers the high half is not
    on the wire: it is guessed from the packets before (RFC 4303 A2.2).
    """

    def __init__(self, keyring: EspKeyring) -> None:
        self._keyring = keyring
        self._last: dict[EspKeys, int] = {}

    def read(self, octets: bytes) -> Read:
        """Read one packet without IP and UDP headers; never raises for what is in it."""
        if len(octets) < _HEADER:
            title = f"no ESP packet, {count(len(octets))}"
            return Read(title, (data("Octets", octets),), problem=f"an ESP packet of {count(len(octets))}")
        spi, low = octets[:4], int.from_bytes(octets[4:8])
        try:
            opened = self._open(spi, low, octets)
        except Unreadable as error:
            title = f"{_name(spi, low)}: {count(len(octets))}"
            return Read(title, (_closed(spi, low, octets),), problem=str(error))
        return _inside(spi, octets, opened)

    def _open(self, spi: bytes, low: int, octets: bytes) -> _Opened:
        candidates = self._keyring.get(spi, ())
        if not candidates:
            raise Unreadable(f"no keys of ESP SA {spi.hex()}")
        for keys in candidates:
            for sequence in self._sequences(keys, low):
                try:
                    plain = keys.opener().open(_sealed(keys, octets, sequence))
                except BadIcv:
                    continue
                self._last[keys] = sequence
                return _Opened(keys, sequence, plain)
        raise Unreadable(
            f"the ICV is not that of the keys of ESP SA {spi.hex()} ({candidates[0].algorithms})"
        )

    def _sequences(self, keys: EspKeys, low: int) -> list[int]:
        """The sequence numbers that may be meant, the likeliest first."""
        if not keys.esn:
            return [low]
        last = self._last.get(keys, 0)
        near = [(last // _WRAP + step) * _WRAP + low for step in (-1, 0, 1)]
        return sorted((sequence for sequence in near if sequence >= 0), key=lambda n: abs(n - last))


def _name(spi: bytes, sequence: int) -> str:
    return f"ESP 0x{spi.hex()} sequence {sequence}"


def _sealed(keys: EspKeys, octets: bytes, sequence: int) -> Sealed:
    """The parts of a packet. With ESN an AEAD has all 64 bits in its associated data (RFC 4106 5), an HMAC
    the high half behind the ciphertext (RFC 4303 2.8).
    """
    used, associated, tail = keys.algorithms, octets[:_HEADER], b""
    if keys.esn and used.aead:
        associated = octets[:4] + sequence.to_bytes(8)
    elif keys.esn:
        tail = (sequence >> 32).to_bytes(4)
    start, stop = _HEADER + used.iv_size, max(len(octets) - used.icv_size, _HEADER + used.iv_size)
    return Sealed(associated, octets[_HEADER:start], octets[start:stop], octets[stop:], tail)


def _closed(spi: bytes, sequence: int, octets: bytes) -> Item:
    return Item(
        "ESP",
        "not opened",
        (
            Item("SPI", f"0x{spi.hex()}"),
            Item("Sequence Number", str(sequence)),
            data("Protected", octets[_HEADER:]),
        ),
    )


def _inside(spi: bytes, octets: bytes, opened: _Opened) -> Read:
    """An authenticated packet: trailer, then the packet inside."""
    name, keys = _name(spi, opened.sequence), opened.keys
    sealed = _sealed(keys, octets, opened.sequence)
    head = (
        Item("SPI", f"0x{spi.hex()}"),
        Item("Sequence Number", f"{opened.sequence}{' (extended)' if keys.esn else ''}"),
        data("Initialization Vector", sealed.iv),
        data("Ciphertext", sealed.ciphertext),
        data("Integrity Check Value", sealed.icv),
    )
    said = f"opened, {keys.algorithms}"
    try:
        inner, trailer, following = _unpadded(opened.plain)
        if following == inet.NO_NEXT:
            return Read(f"{name}: dummy packet", (Item("ESP", said, (*head, *trailer)),), opened=True)
        packet = _inner(inner, following)
        shown = inet.contents(packet)
    except Unreadable as error:
        items = (Item("ESP", said, (*head, data("Plaintext", opened.plain))),)
        title = f"{name}: {count(len(octets))}"
        return Read(title, items, problem=f"opened, but malformed inside: {error}")
    tree = Item("Inner packet", shown.title, (packet.item, *shown.items))
    return Read(
        f"{name}: {shown.title}", (Item("ESP", said, (*head, *trailer)), tree), opened=True, inner=inner
    )


def _unpadded(plain: bytes) -> tuple[bytes, tuple[Item, ...], int]:
    """The inner packet, the trailer's items, and the next header. Raises Unreadable for other padding than
    1, 2, 3 ... (RFC 4303 2.4).
    """
    if len(plain) < _TRAILER:
        raise Unreadable(f"a plaintext of {count(len(plain))}")
    size, following = plain[-2], plain[-1]
    end = len(plain) - _TRAILER - size
    items = (
        Item("Pad Length", count(size)),
        Item("Next Header", numbers.named(numbers.IP_PROTOCOLS, following)),
    )
    # A dummy packet need not be well-formed (RFC 4303 2.6).
    if following != inet.NO_NEXT and (end < 0 or plain[end:-_TRAILER] != bytes(range(1, size + 1))):
        raise Unreadable(f"padding of {count(size)} that is not 1, 2, 3 ...")
    return plain[: max(end, 0)], items, following


def _inner(octets: bytes, following: int) -> inet.Packet:
    packet = inet.read(octets)
    version = {inet.IPV4: 4, inet.IPV6: 6}.get(following)
    if version != octets[0] >> 4:
        raise Unreadable(f"next header {following} holds IP version {octets[0] >> 4}")
    return packet
