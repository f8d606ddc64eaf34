"""Reading refuses a second spelling without writing the message again: that it does is shown here.

Whatever octets are accepted, `write` makes the same ones of the payloads; but for the three spellings that
the founding document leaves open, which `settled` replaces by ours.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.x509 import ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.model.payloads import Payload
from node.model.registry import ProtocolId, TransformType
from node.wire.asn1 import arrange, der, oids, schema
from tests.codec.samples import CLEARTEXT, FOUNDING, IKE_AUTH, PAYLOADS
from tests.codec.strategies import messages

EVERY = tuple(payload for payload, _, _ in PAYLOADS.values())
SAMPLES: dict[str, tuple[Payload, ...]] = {**CLEARTEXT, "IKE_AUTH": IKE_AUTH, "all samples": EVERY}
MUTATIONS = 6_000


def fields_of(contents: bytes) -> Any:
    return schema.decode(schema.InnerPayloads, der.sequence(contents))


def contents_of(fields: Any) -> bytes:
    return der.contents(schema.encode(fields))


def settled(contents: bytes, written: bytes) -> bytes:
    """The octets with the open spellings of the founding SA replaced by those in `written`."""
    fields, ours = fields_of(contents), fields_of(written)
    listed = [e for e in fields.payloads or () if isinstance(e, schema.SAPayload)]
    own = [e for e in ours.payloads or () if isinstance(e, schema.SAPayload)]
    for sa, other in zip([fields.sa, *listed], [ours.sa, *own], strict=True):
        if sa is None:
            continue
        for part in (sa, *_transforms(sa)):
            for name in ("encryption_alg", "algorithm"):
                if getattr(part, name, None) == oids.AES_256_CBC_ALIAS:
                    setattr(part, name, oids.AES_256_CBC)
        if sa.transforms is None and sa.protocol_id == ProtocolId.IKE:
            assert sa.num_transforms in (other.num_transforms, other.num_transforms + 1)
            assert sa.spi_size in (other.spi_size, 8)
            sa.num_transforms, sa.spi_size = other.num_transforms, other.spi_size
    return contents_of(fields)


def _transforms(sa: Any) -> list[Any]:
    return [*(sa.transforms or ()), *(t for p in sa.proposals or () for t in p.transforms)]


def accepted(contents: bytes) -> bool:
    """Whether the octets are read; if so, they are what we would write."""
    try:
        der.scan(contents, 0, len(contents))
        payloads, bodies = arrange.read(contents)
    except DecodeError:
        return False
    written = arrange.write(payloads)
    assert contents == written or settled(contents, written) == written
    assert len(bodies) == len(payloads)
    return True


@given(messages)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read(payloads: tuple[Payload, ...]) -> None:
    contents = arrange.write(payloads)
    assert arrange.read(contents)[0] == payloads
    assert accepted(contents)


@given(messages, st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_changed_octets(payloads: tuple[Payload, ...], chance: random.Random) -> None:
    contents = bytearray(arrange.write(payloads))
    for _ in range(chance.randint(1, 3)):
        if contents:
            contents[chance.randrange(len(contents))] = chance.choice((0, 1, 2, 3, 8, 0x80, 0xA7, 0xFF))
    accepted(bytes(contents))


def flip_bits(name: str, step: int) -> None:
    """Every so-manieth bit of a sample, alone: accepted means written again octet by octet."""
    contents = arrange.write(SAMPLES[name])
    assert accepted(contents)
    for bit in range(0, 8 * min(len(contents), 1_200), step):
        changed = bytearray(contents)
        changed[bit // 8] ^= 1 << bit % 8
        accepted(bytes(changed))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_bit_of_every_three(name: str) -> None:
    """Each bit of an octet has its turn; `make test-long` takes them all."""
    flip_bits(name, 3)


#: Values that a field of an element may be given: other spellings of the same, and neighbours.
def other_values(value: object) -> tuple[object, ...]:
    match value:
        case bool():
            return (not value,)
        case int():
            return (value + 1, value - 1, 0, 8, 255, 256, -1)
        case bytes():
            return (b"", value + b"\0", value[:-1])
        case list():
            return ([], value[:1], value * 2, value[::-1])
        case None:
            return (b"", [], 0, 128, 256, [0], [0, 1, 2], [0, 1])
        case ObjectIdentifier():
            named = [oids.private(kind, number) for kind in TransformType for number in (0, 5, 12, 14)]
            return (oids.AES_256_CBC_ALIAS, oids.AES_256_CBC, oids.HMAC_SHA2_256, oids.MODP_2048, *named)
        case _:
            return ()


def elements(value: object) -> list[object]:
    """An element and all elements in it."""
    if isinstance(value, list):
        return [inside for part in value for inside in elements(part)]
    if type(value).__module__ != schema.__name__:
        return []
    return [value, *(inside for part in vars(value).values() for inside in elements(part))]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_field_with_every_other_value(name: str) -> None:
    contents = arrange.write(SAMPLES[name])
    fields, seen = fields_of(contents), 0
    for element in elements(fields):
        for field, value in vars(element).items():
            for other in other_values(value):
                setattr(element, field, other)
                seen += _written(fields, accepted)
            setattr(element, field, value)
    assert contents_of(fields) == contents
    assert seen > 10 or name == "no payload"


def _written(fields: object, then: Callable[[bytes], bool]) -> bool:
    """Whether the module can hold these fields; `then` judges them."""
    try:
        octets = contents_of(fields)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return False
    then(octets)
    return True


def _with_list(fields: Any) -> None:
    kinds = ((1, oids.AES_256_CBC), (2, oids.HMAC_SHA2_256), (3, oids.HMAC_SHA2_256), (4, oids.MODP_2048))
    fields.sa.transforms = [
        schema.Transform(transform_type=kind, algorithm=oid, key_length=None, attributes=None)
        for kind, oid in kinds
    ]
    fields.sa.num_transforms = 4


def _with_key_length(fields: Any) -> None:
    _with_list(fields)
    fields.sa.transforms = fields.sa.transforms[:1]
    fields.sa.transforms[0].key_length = 256
    fields.sa.num_transforms = 1
    fields.sa.integrity_alg = oids.NO_ALGORITHM[TransformType.INTEG]
    fields.sa.dh_group = oids.NO_ALGORITHM[TransformType.KE]


def _private_group(fields: Any) -> None:
    fields.ke.dh_group = oids.private(TransformType.KE, 14)


def _private_founding(fields: Any) -> None:
    fields.sa.dh_group = oids.private(TransformType.KE, 14)


def _empty_proposals(fields: Any) -> None:
    fields.sa.proposals = []


def _empty_spi(fields: Any) -> None:
    fields.sa.spi = b""


def _order(fields: Any) -> None:
    fields.order = [0, 1, 2]


def _in_the_list(fields: Any) -> None:
    fields.payloads, fields.nonce = [fields.nonce], None


@pytest.mark.parametrize(
    "change",
    [
        _with_list,
        _with_key_length,
        _private_group,
        _private_founding,
        _empty_proposals,
        _empty_spi,
        _order,
        _in_the_list,
    ],
)
def test_a_second_spelling_of_the_founding_message(change: Callable[[Any], None]) -> None:
    fields = fields_of(arrange.write(FOUNDING))
    change(fields)
    with pytest.raises(DecodeError) as caught:
        arrange.read(contents_of(fields))
    assert caught.value.reason is DropReason.NOT_CANONICAL


def test_random_mutations() -> None:
    chance, seen = random.Random(42), 0
    written = [arrange.write(payloads) for payloads in SAMPLES.values()]
    for number in range(MUTATIONS):
        octets = bytearray(written[number % len(written)] or b"\0")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(octets))
            match chance.randrange(3):
                case 0:
                    octets[at] = chance.choice((0, 1, 2, 4, 6, 0x30, 0x7F, 0x80, 0x81, 0xA7, 0xBF))
                case 1:
                    octets[at] ^= 1 << chance.randrange(8)
                case _:
                    octets[at:at] = octets[at : at + chance.randint(1, 8)]
        seen += accepted(bytes(octets))
    assert seen > MUTATIONS // 50
