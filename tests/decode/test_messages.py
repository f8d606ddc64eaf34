"""The decoder against the node's own codec: the same names, the same values, the same verdict."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

from lab.decode import numbers, schema
from lab.decode.ciphers import Algorithms
from lab.decode.keylog import IkeKeys, Keys
from lab.decode.run import decode
from lab.decode.values import Item, Kind
from lab.wire.identity import EXCHANGES
from node.errors import DecodeError
from node.model import registry
from node.model.message import Header, Message
from node.model.payloads import Payload
from node.model.registry import OpenIntEnum
from tests.codec import der_oracle, plain, strategies
from tests.codec.samples import AUTH, CLEARTEXT, CODEC, IKE_AUTH, INIT, PAYLOADS, SUITES, sealed, sealer_of
from tests.codec.test_mutations import mutated
from tests.decode import expected
from tests.decode.support import IKE_SUITES, find, ike, make_run, walk

#: Zero keys, as `sealer_of` has them.
KEYS = {
    "AES-CBC with HMAC": (Algorithms("ENCR_AES_CBC", 256, "AUTH_HMAC_SHA2_256_128"), 32, 32),
    "AES-GCM": (Algorithms("ENCR_AES_GCM_16", 256), 36, 0),
    "ESP keywords": (Algorithms("ENCR_AES_CBC", 128, "AUTH_HMAC_SHA2_512_256"), 16, 64),
}
MUTATIONS = 2_000


def keys_of(suite: str) -> Keys:
    """The keys of the sample messages."""
    used, size, integ = KEYS[suite]
    encr, mac = bytes(size), bytes(integ)
    secrets = (bytes(32), mac, mac, encr, encr, bytes(32), bytes(32))
    return Keys((IkeKeys("asn1", AUTH.spi_i, AUTH.spi_r, used, "PRF_HMAC_SHA2_256", *secrets),))


def in_order(tree: Item, wanted: Sequence[tuple[str, str]]) -> bool:
    """Whether these names and values stand in the tree in this order."""
    found = iter([(item.name, item.value) for item in walk(tree)])
    return all(pair in found for pair in wanted)


@pytest.mark.parametrize("suite", IKE_SUITES)
def test_every_message_of_a_run_says_what_the_codec_says(suite: str, tmp_path: Path) -> None:
    run = make_run(ike_suite=suite)
    found = [one for one in decode(run.capture, run.keys(tmp_path), "") if one.kind is Kind.IKE]
    assert len(found) == len(run.messages) == 6
    for message, one in zip(run.messages, found, strict=True):
        assert one.problem == ""
        assert one.opened == message.protected
        assert one.octets == message.octets
        assert one.title == expected.title(message.header, message.payloads, message.protected)
        wanted = [said for payload in message.payloads for said in expected.said(payload)]
        assert in_order(one.tree, [("Message ID", str(message.header.message_id)), *wanted])


def test_without_keys_the_protected_part_stays_closed() -> None:
    run = make_run()
    request = decode(run.capture, Keys(), "")[2]
    sealed_octets = find(request.tree, "Encrypted IKE Payloads").value.partition(":")[0]
    assert request.title == f"IKE_AUTH request 1: SK{{{sealed_octets}}}"
    assert not request.opened
    assert request.problem.startswith("no keys of IKE SA ")
    assert "CERT" not in {item.name for item in walk(request.tree)}


def test_keys_of_another_sa_open_nothing(tmp_path: Path) -> None:
    run, other = make_run(), make_run(ike_suite=IKE_SUITES[2])
    (right,), (wrong,) = run.keys(tmp_path / "a").ike, other.keys(tmp_path / "b").ike
    values = {name: getattr(wrong, name) for name in wrong.__slots__}
    keys = Keys((IkeKeys(**values | {"spi_i": right.spi_i, "spi_r": right.spi_r}),))
    request = decode(run.capture, keys, "")[2]
    assert (request.opened, "the ICV is not that of SK_ai and SK_ei" in request.problem) == (False, True)


@given(strategies.headers, strategies.messages)
def test_the_schema_reads_what_the_codec_writes(header: Header, payloads: tuple[Payload, ...]) -> None:
    octets = sealed(header, payloads)
    assert schema.decode(schema.MESSAGE, octets) == plain.cleartext(header, payloads)
    assert ike(octets).problem == ""


@given(strategies.headers, strategies.messages)
def test_the_schema_reads_what_the_oracle_reads(header: Header, payloads: tuple[Payload, ...]) -> None:
    """The oracle of the codec is pyasn1 too, written from the module by itself."""
    octets = sealed(header, payloads)
    assert schema.decode(schema.MESSAGE, octets) == der_oracle.decode(der_oracle.IKE_MESSAGE, octets)


@pytest.mark.parametrize("suite", SUITES)
def test_samples_of_every_payload_are_opened(suite: str) -> None:
    payloads = tuple(payload for payload, _, _ in PAYLOADS.values())
    found = ike(sealed(AUTH, payloads, sealer_of(suite)), keys_of(suite))
    assert (found.opened, found.problem) == (True, "")
    names = [item.name for item in walk(find(found.tree, "Encrypted and Authenticated (SK)"))]
    assert {"Security Association (SA)", "Configuration (CP)", "Payload of type 200"} <= set(names)


def accepted(octets: bytes) -> bool:
    """Whether the node's codec reads a cleartext message."""
    try:
        CODEC.read(CODEC.peek(octets))
    except DecodeError:
        return False
    return True


def test_both_accept_the_same_cleartext_messages() -> None:
    chance, seen = random.Random(1), Counter[bool]()
    samples = [sealed(INIT, payloads) for payloads in CLEARTEXT.values()]
    samples += [sealed(INIT, (payload,)) for payload, _, _ in PAYLOADS.values()]
    for _ in range(MUTATIONS):
        octets = mutated(chance.choice(samples), chance)
        found = ike(octets)
        if octets[:1] == b"\x30" and not _protected(octets):
            assert accepted(octets) == (found.problem == ""), (octets.hex(), found.problem)
            seen[found.problem == ""] += 1
    assert min(seen[True], seen[False]) > 50


def _protected(octets: bytes) -> bool:
    try:
        return CODEC.peek(octets).protected
    except DecodeError:
        return False


def test_both_accept_the_same_plaintexts() -> None:
    chance, seen = random.Random(2), Counter[bool]()
    suite = "AES-GCM"
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, sealed(AUTH, IKE_AUTH, sealer_of(suite)))
    header = der_oracle.encode(der_oracle.HEADER, value["header"])
    message = CODEC.open(CODEC.peek(sealed(AUTH, IKE_AUTH, sealer_of(suite))), sealer_of(suite))
    assert isinstance(message, Message)
    sender, opener, keys = sealer_of(suite), sealer_of(suite), keys_of(suite)
    for _ in range(MUTATIONS):
        blob = sender.seal(header, mutated(message.inner, chance) or b"\0")
        part = {"iv": blob[:8], "ciphertext": blob[8:-16], "icv": blob[-16:]}
        octets = der_oracle.message(value["header"], encrypted=part)
        try:
            CODEC.open(CODEC.peek(octets), opener)
            fine = True
        except DecodeError:
            fine = False
        found = ike(octets, keys)
        assert (found.opened, found.problem == "") == (fine, fine), found.problem
        assert fine or found.problem.startswith("opened, but malformed inside: ")
        seen[fine] += 1
    assert min(seen[True], seen[False]) > 50


TABLES: tuple[tuple[type[OpenIntEnum], dict[int, str]], ...] = (
    (registry.ExchangeType, dict(EXCHANGES)),
    (registry.TransformType, {n: name.split("(")[-1][:-1] for n, name in numbers.TRANSFORM_TYPES.items()}),
    (registry.EncrId, dict(numbers.ENCR)),
    (registry.PrfId, dict(numbers.PRF)),
    (registry.IntegId, dict(numbers.INTEG)),
    (registry.KeId, dict(numbers.KE)),
    (registry.EsnId, dict(numbers.ESN)),
    (registry.IdType, dict(numbers.ID_TYPES)),
    (registry.NotifyType, dict(numbers.NOTIFICATIONS)),
)


@pytest.mark.parametrize(("kind", "table"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_names_are_those_of_the_nodes_registry(kind: type[OpenIntEnum], table: dict[int, str]) -> None:
    assert {member.value: member.name for member in kind} == {member.value: table[member] for member in kind}


def test_every_payload_and_protocol_of_the_registry_has_a_name() -> None:
    assert set(map(int, registry.PayloadType)) <= set(numbers.PAYLOADS)
    assert {member.name.replace("NONE", "none") for member in registry.ProtocolId} <= set(
        numbers.PROTOCOLS.values()
    )
