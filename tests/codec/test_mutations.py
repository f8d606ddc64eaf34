"""Whatever the octets are, reading ends in a message, a DecodeError or (protected) an IntegrityError.

cleartext    what decodes encodes to the very octets it came from, but for the tolerated spellings
protected    nothing that differs in one bit, or is shorter, is accepted
"""

import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from node.errors import DecodeError, DropReason, IntegrityError, LocalMisuse
from node.model.message import Header, Message
from node.model.payloads import KeyExchange, Nonce, Payload, SecurityAssociation
from node.model.proposal import Proposal
from node.model.registry import PayloadType
from node.ports import Sealer
from node.wire.asn1.limits import MAX_DATAGRAM
from tests.codec import der_oracle
from tests.codec.samples import AUTH, CLEARTEXT, CODEC, FOUNDING, IKE_AUTH, INIT, SUITES, sealed, sealer_of
from tests.property.stopwatch import Stopwatch

#: Flips inside the data of long octet strings all do the same: these messages have short ones.
SHORT: dict[str, tuple[Payload, ...]] = {
    name: tuple(replace(p, data=p.data[:16]) if isinstance(p, KeyExchange) else p for p in payloads)
    for name, payloads in CLEARTEXT.items()
    if name != "every payload"
}
#: Random mutations of all samples together, and the seconds of processor time they may take at most.
MUTATIONS, SECONDS = 24_000, 60.0
#: A bad datagram costs a receiver less than this much processor time.
LIMIT = 0.050


def read(octets: bytes) -> Message:
    """Read a cleartext message, as the engine does."""
    return CODEC.read(CODEC.peek(octets))


def spellings(octets: bytes) -> set[bytes]:
    """The octets of a cleartext message in every tolerated spelling, by the oracle."""
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    header = value["header"]
    found = set()
    for next_payload in {0, header["nextPayload"]}:
        value["header"] = header | {"nextPayload": next_payload}
        for spelled in _associations(value.get("sa")):
            found.add(der_oracle.encode(der_oracle.IKE_MESSAGE, value | spelled))
    return found


def _associations(sa: dict[str, object] | None) -> list[dict[str, object]]:
    if sa is None:
        return [{}]
    founding = sa["protocolID"] == 1 and not {"spi", "transforms"} & sa.keys()
    sizes, counts = (
        ({0, 8}, {sa["numTransforms"], 4}) if founding else ({sa["spiSize"]}, {sa["numTransforms"]})
    )
    return [{"sa": sa | {"spiSize": s, "numTransforms": c}} for s in sizes for c in counts]


def check_cleartext(octets: bytes) -> bool:
    """Whether the octets were read; if so they are a spelling of what we would write."""
    try:
        message = read(octets)
    except DecodeError:
        return False
    written = sealed(message.header, message.payloads)
    assert written == octets or octets in spellings(written)
    return True


def flips(octets: bytes) -> list[bytes]:
    """The octets with each single bit changed."""
    whole = int.from_bytes(octets)
    return [(whole ^ 1 << bit).to_bytes(len(octets)) for bit in range(8 * len(octets))]


@pytest.mark.parametrize("name", SHORT)
def test_every_bit_of_a_cleartext_message(name: str) -> None:
    octets = sealed(INIT, SHORT[name])
    assert check_cleartext(octets)
    accepted = sum(map(check_cleartext, flips(octets)))
    assert accepted < 8 * len(octets)


@pytest.mark.parametrize("name", CLEARTEXT)
def test_every_truncation_of_a_cleartext_message(name: str) -> None:
    octets = sealed(INIT, CLEARTEXT[name])
    for size in range(len(octets)):
        with pytest.raises(DecodeError) as caught:
            read(octets[:size])
        assert caught.value.reason is DropReason.TRUNCATED or size < 2


@pytest.mark.parametrize("suite", SUITES)
def test_no_changed_protected_message_is_accepted(suite: str) -> None:
    octets = sealed(AUTH, IKE_AUTH[:1], sealer_of(suite))
    opener = sealer_of(suite)
    assert isinstance(CODEC.open(CODEC.peek(octets), opener), Message)
    changed = [*flips(octets), *(octets[:size] for size in range(len(octets))), octets + b"\0"]
    for other in changed:
        with pytest.raises((DecodeError, IntegrityError)) as caught:
            CODEC.open(CODEC.peek(other), opener)
        assert not getattr(caught.value, "authenticated", False), "nothing inside was looked at"


@pytest.mark.parametrize("suite", SUITES)
def test_no_message_is_accepted_under_the_header_of_another(suite: str) -> None:
    """The AAD is the header: with another one, of the same or of another size, the ICV does not verify."""
    octets = sealed(AUTH, IKE_AUTH, sealer_of(suite))
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    for name, other in {"messageID": 2, "flags": 0x28, "exchangeType": 37, "responderSPI": 2**64 - 1}.items():
        header = value["header"] | {name: other}
        moved = der_oracle.message(header, encrypted=value["encrypted"])
        with pytest.raises(IntegrityError):
            CODEC.open(CODEC.peek(moved), sealer_of(suite))


@pytest.mark.parametrize("name", ["sa", "ke", "nonce", "cert", "payloads", "order"])
def test_nothing_stands_beside_the_protected_part(name: str) -> None:
    suite = "AES-GCM"
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, sealed(AUTH, IKE_AUTH, sealer_of(suite)))
    every = der_oracle.decode(der_oracle.IKE_MESSAGE, sealed(INIT, CLEARTEXT["every payload"]))
    beside = {"order": [0]} if name == "order" else {name: every[name]}
    octets = der_oracle.message(value["header"], encrypted=value["encrypted"], **beside)
    with pytest.raises(DecodeError) as caught:
        CODEC.open(CODEC.peek(octets), sealer_of(suite))
    assert not caught.value.authenticated


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """The octets after one to four changes: octets set, inserted, removed, repeated, moved."""
    found = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(found):
                found[at] = chance.choice(
                    (0, 1, 2, 3, 4, 6, 9, 0x1F, 0x30, 0x7F, 0x80, 0x82, 0xA1, 0xBF, 0xFF)
                )
            case 2:
                found[at:at] = chance.randbytes(chance.randint(1, 8))
            case 3:
                del found[at : at + chance.randint(1, 8)]
            case 4:
                found[at:at] = found[at : at + chance.randint(1, 64)]
            case _:
                other = chance.randrange(len(found) + 1)
                found[at : at + 4] = found[other : other + 4]
    return bytes(found)


def test_random_mutations_raise_nothing_else() -> None:
    chance = random.Random(20_260_710)
    openers = {suite: sealer_of(suite) for suite in SUITES}
    clear = [sealed(INIT, payloads) for payloads in CLEARTEXT.values()]
    protected = [(suite, sealed(AUTH, IKE_AUTH, sealer_of(suite))) for suite in SUITES]
    seen: Counter[str] = Counter()
    end = time.process_time() + SECONDS
    while seen.total() < MUTATIONS:
        assert time.process_time() < end, f"only {seen.total()} mutations in {SECONDS} s"
        for octets in clear:
            seen["read" if check_cleartext(mutated(octets, chance)) else "refused"] += 1
        for suite, octets in protected:
            other = mutated(octets, chance)
            if other != octets:
                with pytest.raises((DecodeError, IntegrityError)):
                    CODEC.open(CODEC.peek(other), openers[suite])
                seen["protected"] += 1
    assert min(seen.values()) > 100


def test_random_plaintexts_raise_nothing_else() -> None:
    """An authenticated peer may put anything into the plaintext; then, and only then, it is to blame."""
    chance = random.Random(7)
    suite = "AES-GCM"
    octets = sealed(AUTH, IKE_AUTH, sealer_of(suite))
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    header = der_oracle.encode(der_oracle.HEADER, value["header"])
    message = CODEC.open(CODEC.peek(octets), sealer_of(suite))
    assert isinstance(message, Message)
    sender, opener = sealer_of(suite), sealer_of(suite)
    refused = 0
    for _ in range(3_000):
        plain = mutated(message.inner, chance) or b"\0"
        blob = sender.seal(header, plain)
        end = len(blob) - sender.icv_size
        part = {"iv": blob[: sender.iv_size], "ciphertext": blob[sender.iv_size : end], "icv": blob[end:]}
        changed = der_oracle.message(value["header"], encrypted=part)
        refused += not _opened(changed, opener)
    assert refused > 1_000


def _opened(octets: bytes, opener: Sealer) -> bool:
    try:
        CODEC.open(CODEC.peek(octets), opener)
    except DecodeError as error:
        if not error.authenticated:
            raise
        return False
    return True


def tlv(tag: bytes, contents: bytes) -> bytes:
    size = len(contents)
    length = (
        bytes([size])
        if size < 0x80
        else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8)
    )
    return tag + length + contents


def nest(depth: int, tag: bytes = b"\x30") -> bytes:
    found = b""
    for _ in range(depth):
        found = tlv(tag, found)
    return found


HEADER = der_oracle.encode(
    der_oracle.HEADER,
    der_oracle.decode(der_oracle.IKE_MESSAGE, sealed(INIT, FOUNDING))["header"],
)
BOMBS = {
    "SEQUENCE 15,000 deep": nest(15_000),
    "payloads 1,000 deep": nest(1_000, b"\xa6"),
    "unknown payloads inside one another": nest(1_000, b"\xa0"),
    "a tag of 20,000 octets": b"\x1f" + b"\x81" * 20_000 + b"\x01\x00",
    "60 kB of NULLs": b"\x05\x00" * 30_000,
    "60 kB of NULLs as payloads": tlv(b"\xa6", b"\x05\x00" * 30_000),
    "60 kB of empty payloads": tlv(b"\xa6", b"\xa0\x00" * 30_000),
    "an OBJECT IDENTIFIER of 60,000 arcs": tlv(b"\x06", b"\x2a" + b"\x01" * 60_000),
    "an OBJECT IDENTIFIER with an arc of 60,000 octets": tlv(b"\x06", b"\x2a" + b"\x81" * 60_000 + b"\x01"),
    "an INTEGER of 60,000 octets": tlv(b"\x02", b"\x7f" * 60_000),
    "a tagged INTEGER of 60,000 octets": tlv(b"\xa4", b"\x04\x00" + tlv(b"\x80", b"\x7f" * 60_000)),
    "4,000 certificates": tlv(b"\xa6", tlv(b"\xbf\x25", b"\x04\x00") * 2_000),
    "positions without end": tlv(b"\xa7", b"\x02\x01\x00" * 20_000),
}


def cost(octets: bytes) -> float:
    """Seconds of processor time to refuse octets in every way; the least of three, other load apart."""
    found = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises((DecodeError, IntegrityError)):
            read(octets)
        found.append(time.process_time() - started)
    return min(found)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str) -> None:
    assert cost(BOMBS[name]) < LIMIT
    assert cost(tlv(b"\x30", BOMBS[name])) < LIMIT
    assert cost(tlv(b"\x30", HEADER + BOMBS[name])) < LIMIT
    founding = sealed(INIT, FOUNDING)
    inside = founding[founding.index(HEADER) :]
    assert cost(tlv(b"\x30", inside + BOMBS[name])) < LIMIT


def test_the_costliest_message_that_is_legal() -> None:
    """As many transforms as the bounds let through: read in bounded time, or refused."""
    transforms = FOUNDING[0].proposals[0].transforms * 60
    proposals = tuple(Proposal(n, FOUNDING[0].proposals[0].protocol, b"", transforms) for n in range(1, 6))
    octets = sealed(INIT, (SecurityAssociation(proposals),))
    with Stopwatch() as watch:
        read(octets)
    assert watch.own < LIMIT


def test_the_largest_datagram() -> None:
    def of(size: int) -> bytes:
        return sealed(INIT, (KeyExchange(FOUNDING[1].group, bytes(size)), Nonce(bytes(16))))

    room = 65_000 + MAX_DATAGRAM - len(of(65_000))
    largest = of(room)
    assert len(largest) == MAX_DATAGRAM == 65_507
    assert read(largest).payloads[1] == Nonce(bytes(16))
    with pytest.raises(DecodeError) as caught:
        CODEC.peek(largest + b"\0")
    assert caught.value.reason is DropReason.OVERSIZED


@pytest.mark.parametrize("suite", [None, *SUITES])
@pytest.mark.parametrize("size", [65_480, 65_507, 65_520, 65_536, 70_000, 2**24])
def test_a_message_that_fits_in_no_datagram_says_so(suite: str | None, size: int) -> None:
    """A configuration error: the text names the size, the bound and the remedy."""
    payload = KeyExchange(FOUNDING[1].group, bytes(size))
    sealer = sealer_of(suite) if suite else None
    with pytest.raises(LocalMisuse, match=rf"\b\d+ octets.*\b{MAX_DATAGRAM}\b.*smaller"):
        CODEC.seal(AUTH, (payload,), sealer, 0)


def test_a_header_alone_is_a_message_without_payloads() -> None:
    message = read(sealed(INIT, ()))
    assert (message.header, message.payloads, message.bodies) == (INIT, (), ())


@pytest.mark.parametrize(
    "changes",
    [{"spi_i": bytes(7)}, {"spi_r": bytes(9)}, {"message_id": 2**32}, {"flags": 256}, {"version": -1}],
    ids=str,
)
def test_a_header_that_cannot_be_written(changes: dict[str, object]) -> None:
    header: Header = replace(INIT, **changes)  # type: ignore[arg-type]
    with pytest.raises(LocalMisuse):
        CODEC.seal(header, FOUNDING, None, 0)


def test_a_protected_message_is_not_read_as_cleartext_nor_the_other_way_round() -> None:
    protected = CODEC.peek(sealed(AUTH, IKE_AUTH, sealer_of("AES-GCM")))
    clear = CODEC.peek(sealed(INIT, FOUNDING))
    assert (protected.protected, clear.protected) == (True, False)
    with pytest.raises(DecodeError):
        CODEC.read(protected)
    with pytest.raises(DecodeError) as caught:
        CODEC.open(clear, sealer_of("AES-GCM"))
    assert caught.value.reason is DropReason.NOT_PROTECTED
    assert {p.type for p in FOUNDING} == {PayloadType.SA, PayloadType.KE, PayloadType.NONCE}
