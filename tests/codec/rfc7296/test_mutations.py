"""Whatever the octets are, reading ends in a message, a DecodeError or (protected) an IntegrityError.

cleartext    what was read is written, and read again, alike
protected    nothing that differs in one bit, or is shorter, is accepted
plaintext    whatever an authenticated peer puts into it, the error says that it is to blame
"""

import base64
import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from node.errors import DecodeError, IntegrityError
from node.model.message import Fragment, Message
from tests.codec.rfc7296.samples import (
    AUTH,
    CLEARTEXT,
    CODEC,
    IKE_AUTH,
    INIT,
    PAYLOADS,
    SUITES,
    opened,
    protected,
    read,
    sealed,
    sealer_of,
)

SEEDS = {
    name: bytes.fromhex(octets)
    for name, octets in json.loads(
        (Path(__file__).parents[2] / "vectors" / "openiked_parser_seeds.json").read_text()
    )["messages"].items()
}
#: Cleartext messages to change: ours, and those of OpenBSD's test, whose fragment needs keys.
SAMPLES = {
    **{name: sealed(INIT, payloads) for name, payloads in CLEARTEXT.items() if name != "every payload"},
    **{f"{name} alone": sealed(INIT, (payload,)) for name, (payload, _) in PAYLOADS.items()},
    **{name: octets for name, octets in SEEDS.items() if "skf" not in name},
}
#: Changes of two places are tried in all pairs up to so many octets, and in as many random ones beyond.
SHORT, PAIRS = 28, 1_000
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def check(octets: bytes) -> bool:
    """Whether the octets were read; if so, what was read survives."""
    try:
        message = read(octets)
    except DecodeError:
        return False
    again = sealed(message.header, message.payloads)
    assert read(again).payloads == message.payloads
    assert len(again) == len(octets)
    assert message.octets == octets
    return True


def pairs(count: int, chance: random.Random) -> Iterator[tuple[int, int]]:
    """All pairs of places, or random ones where they are too many."""
    if count <= SHORT * 8:
        yield from combinations(range(count), 2)
        return
    for _ in range(PAIRS):
        yield chance.randrange(count), chance.randrange(count)


def bits(octets: bytes, *places: int) -> bytes:
    """The octets with these bits changed."""
    whole = int.from_bytes(octets)
    for place in places:
        whole ^= 1 << place
    return whole.to_bytes(len(octets))


def inverted(octets: bytes, *places: int) -> bytes:
    """The octets with these octets inverted."""
    found = bytearray(octets)
    for place in places:
        found[place] ^= 0xFF
    return bytes(found)


def mutations(octets: bytes, chance: random.Random) -> Iterator[bytes]:
    """The seven of OpenBSD's test: one and two bits, one and two octets, cut at both ends, base64."""
    size = len(octets)
    yield from (bits(octets, place) for place in range(8 * size))
    yield from (bits(octets, *both) for both in pairs(8 * size, chance))
    yield from (inverted(octets, place) for place in range(size))
    yield from (inverted(octets, *both) for both in pairs(size, chance))
    yield from (octets[at:] for at in range(1, size))
    yield from (octets[:at] for at in range(size))
    encoded = base64.b64encode(octets)
    for at in range(len(encoded.rstrip(b"="))):
        yield base64.b64decode(encoded[:at] + bytes((chance.choice(BASE64),)) + encoded[at + 1 :])


@pytest.mark.parametrize("name", SAMPLES)
def test_seven_mutations_of_cleartext_messages_raise_nothing_else(name: str) -> None:
    octets = SAMPLES[name]
    chance = random.Random(name)
    seen = Counter(check(other) for other in mutations(octets, chance))
    assert seen[False] > len(octets), "what is cut is refused"


def test_the_seeds_are_written_as_they_were() -> None:
    """All but two, which have octets behind their last payload, and the fragment, whose keys nobody has."""
    behind = {"fuzz notify payload", "fuzz cert payload"}
    for name, octets in SEEDS.items():
        if CODEC.peek(octets).protected:
            with pytest.raises(IntegrityError):
                opened(octets, sealer_of("AES-GCM"))
        elif name in behind:
            with pytest.raises(DecodeError, match="behind the last payload"):
                read(octets)
        else:
            assert sealed(read(octets).header, read(octets).payloads) == octets


@pytest.mark.parametrize("suite", SUITES)
def test_no_changed_protected_message_is_accepted(suite: str) -> None:
    opener = sealer_of(suite)
    whole = sealed(AUTH, IKE_AUTH[:1], sealer_of(suite))
    fragments = CODEC.seal(AUTH, IKE_AUTH[:2], sealer_of(suite), len(whole) - 1).datagrams
    for octets in (whole, *fragments):
        assert isinstance(opened(octets, opener), Message | Fragment)
        for other in mutations(octets, random.Random(suite)):
            if other == octets:
                continue
            with pytest.raises((DecodeError, IntegrityError)) as caught:
                opened(other, opener)
            assert not getattr(caught.value, "authenticated", False), "nothing inside was looked at"


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """The octets after one to four changes: octets set, inserted, removed, repeated, moved."""
    found = bytearray(octets)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(found):
                found[at] = chance.choice((0, 1, 2, 3, 4, 7, 8, 33, 41, 46, 53, 0x7F, 0x80, 0xFF))
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


def test_random_mutations_of_cleartext_messages_raise_nothing_else() -> None:
    """The length of the header is made right again, so that the payloads are looked at."""
    chance = random.Random(20_260_710)
    seen: Counter[bool] = Counter()
    for _ in range(600):
        for octets in SAMPLES.values():
            other = mutated(octets, chance)
            seen[check(other[:24] + len(other).to_bytes(4) + other[28:])] += 1
    assert min(seen.values()) > 1_000


def test_random_plaintexts_raise_nothing_else() -> None:
    """An authenticated peer may put anything into the plaintext; then, and only then, it is to blame."""
    chance = random.Random(7)
    plain = sealed(INIT, tuple(p for p, _ in PAYLOADS.values()))[28:] + b"\0"
    opener = sealer_of("AES-GCM")
    refused = 0
    for _ in range(6_000):
        try:
            opened(protected(mutated(plain, chance), "AES-GCM", first=33), opener)
        except DecodeError as error:
            assert error.authenticated  # noqa: PT017
            refused += 1
    assert 1_000 < refused < 6_000
