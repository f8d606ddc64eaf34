"""What strangers send: dropped with a reason, or refused as RFC 7296 says; nothing kept, nobody disturbed."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.crypto import kex
from node.errors import DropReason, LocalMisuse
from node.ike.outputs import Transmit
from node.ike.phases import TRANSITIONS, Phase
from node.ike.settings import Limits, Settings
from node.ike.tasks import init
from node.model.events import EventName as E
from node.model.message import NO_SPI, Header, HeaderFlags, Path
from node.model.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation, Unknown
from node.model.proposal import Proposal, Transform, offer
from node.model.registry import (
    EncrId,
    ExchangeType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
)
from tests.engine.harness import RESPONDER, Pair, variant

#: Groups by their keywords.
KE_WORDS = {
    **{f"modp{bits}": KeId[f"MODP_{bits}"] for bits in (2048, 3072, 4096, 6144, 8192)},
    **{f"ecp{bits}": KeId[f"ECP_{bits}"] for bits in (256, 384, 521)},
    **{"x25519": KeId.CURVE25519, "x448": KeId.CURVE448},
}
STRANGER = Path("192.0.2.2", 8000, "198.51.100.7", 4000)
SPI = bytes(range(1, 9))
P = int.from_bytes(kex.generate(KeId.MODP_2048).public)  # some group element, for lengths


def request(pair: Pair, *payloads: Payload, **header: object) -> bytes:
    """An IKE_SA_INIT request of a stranger's making."""
    fields: dict[str, object] = {
        "spi_i": SPI,
        "spi_r": NO_SPI,
        "exchange": ExchangeType.IKE_SA_INIT,
        "message_id": 0,
        "flags": int(HeaderFlags.INITIATOR),
    }
    return pair.initiator.codec.seal(Header(**{**fields, **header}), payloads, None, 0).octets  # type: ignore[arg-type]


def good(pair: Pair) -> tuple[Payload, Payload, Payload]:
    share = kex.generate(KeId.MODP_2048)
    return (
        SecurityAssociation(offer(pair.responder.settings.ike_suites)),
        KeyExchange(share.group, share.public),
        Nonce(bytes(range(32))),
    )


def throw(pair: Pair, octets: bytes, path: Path = STRANGER) -> list[Transmit]:
    """Throw octets at the responder; returns what it sends back."""
    before = len(pair.responder.outputs)
    pair.responder.endpoint.handle_datagram(octets, path, pair.now)
    while (output := pair.responder.endpoint.poll()) is not None:
        pair.responder.record(output)
    return [o for o in pair.responder.outputs[before:] if isinstance(o, Transmit)]


def notify_of(pair: Pair, sent: list[Transmit]) -> Notify:
    """The one notification of the one answer."""
    ((datagram,),) = (t.datagrams for t in sent)
    message = pair.initiator.codec.read(pair.initiator.codec.peek(datagram))
    (payload,) = message.payloads
    if not isinstance(payload, Notify):
        raise AssertionError(f"{payload} is no notification")
    assert message.header.spi_r == NO_SPI
    assert message.header.is_response
    return payload


def element(value: int) -> bytes:
    return value.to_bytes(256)


def modulus() -> int:
    from node.crypto.modp import modulus as of

    return of(KeId.MODP_2048)


BAD_SHARES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "short": lambda: bytes(255),
    "long": lambda: bytes(257),
    "0": lambda: element(0),
    "1": lambda: element(1),
    "p-1": lambda: element(modulus() - 1),
    "p": lambda: element(modulus()),
    "p+1": lambda: element(modulus() + 1),
    "all ones": lambda: b"\xff" * 256,
}


@pytest.mark.parametrize("share", BAD_SHARES)
def test_a_bad_key_share_makes_no_state(pair: Pair, share: str) -> None:
    sa, _, nonce = good(pair)
    answer = throw(pair, request(pair, sa, KeyExchange(KeId.MODP_2048, BAD_SHARES[share]()), nonce))
    assert not answer
    assert pair.responder.dropped == {DropReason.BAD_KE: 1}
    assert not pair.responder.endpoint.sas()


@pytest.mark.parametrize("group", sorted(kex.supported()))
def test_a_bad_key_share_of_any_group_makes_no_state(codec: str, group: KeId) -> None:
    """RFC 6989 2.5. 0 and 1 fix the secret of MODP, are no points of ECP, of low order elsewhere."""
    name = next(word for word, number in KE_WORDS.items() if number == group)
    pair = Pair(codec, responder=variant(RESPONDER, ike=(f"aes256-sha256-{name}",)))
    sa, _, nonce = good(pair)
    size = kex.public_size(group)
    little = group in (KeId.CURVE25519, KeId.CURVE448)
    for value in (0, 1):
        share = KeyExchange(group, value.to_bytes(size, "little" if little else "big"))
        assert not throw(pair, request(pair, sa, share, nonce))
    assert pair.responder.dropped == {DropReason.BAD_KE: 2}
    assert not pair.responder.endpoint.sas()
    assert throw(pair, request(pair, sa, KeyExchange(group, kex.generate(group).public), nonce))
    assert pair.responder.endpoint.half_open == 1


@pytest.mark.parametrize("size", [0, 1, 15, 257, 1000])
def test_a_nonce_of_the_wrong_size(pair: Pair, size: int) -> None:
    sa, ke, _ = good(pair)
    assert not throw(pair, request(pair, sa, ke, Nonce(bytes(size))))
    assert pair.responder.dropped.total() == 1
    assert not pair.responder.endpoint.sas()


@pytest.mark.parametrize("size", [16, 256])
def test_a_nonce_at_the_limits(pair: Pair, size: int) -> None:
    sa, ke, _ = good(pair)
    assert throw(pair, request(pair, sa, ke, Nonce(bytes(size))))
    assert pair.responder.endpoint.half_open == 1


def test_another_group_is_told_the_right_one(pair: Pair) -> None:
    _, _, nonce = good(pair)
    suite = replace(pair.responder.settings.ike_suites[0])
    sa = SecurityAssociation(offer((suite,)))
    other = kex.generate(KeId.CURVE25519)
    answer = throw(pair, request(pair, sa, KeyExchange(other.group, other.public), nonce))
    told = notify_of(pair, answer)
    assert (told.notify_type, told.data) == (NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e")
    assert not pair.responder.endpoint.sas()


def test_no_common_proposal(pair: Pair) -> None:
    _, ke, nonce = good(pair)
    transforms = (Transform(TransformType.ENCR, EncrId.ENCR_AES_GCM_16, 256),)
    sa = SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", transforms),))
    assert (
        notify_of(pair, throw(pair, request(pair, sa, ke, nonce))).notify_type
        == NotifyType.NO_PROPOSAL_CHOSEN
    )
    assert not pair.responder.endpoint.sas()


def test_refusals_are_rationed(pair: Pair) -> None:
    _, ke, nonce = good(pair)
    sa = SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", ()),))
    octets = request(pair, sa, ke, nonce)
    answers = sum(len(throw(pair, octets)) for _ in range(1_000))
    assert 0 < answers <= 41
    assert pair.responder.dropped.total() == 1_000


def test_an_unknown_payload_is_ignored(pair: Pair) -> None:
    assert throw(pair, request(pair, *good(pair), Unknown(PayloadType(200), False, b"?")))
    assert pair.responder.endpoint.half_open == 1


def test_an_unknown_critical_payload_is_refused(pair: Pair) -> None:
    answer = throw(pair, request(pair, *good(pair), Unknown(PayloadType(200), True, b"?")))
    told = notify_of(pair, answer)
    assert (told.notify_type, told.data) == (NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, b"\xc8")
    assert not pair.responder.endpoint.sas()


@pytest.mark.parametrize("version", [0x30, 0xF0])
def test_a_higher_major_version(pair: Pair, version: int) -> None:
    answer = throw(pair, request(pair, *good(pair), version=version))
    assert notify_of(pair, answer).notify_type == NotifyType.INVALID_MAJOR_VERSION
    assert pair.responder.dropped == {DropReason.UNSUPPORTED_VERSION: 1}


def test_a_lower_major_version_gets_no_answer(pair: Pair) -> None:
    assert not throw(pair, request(pair, *good(pair), version=0x10))


def test_a_higher_minor_version_is_fine(pair: Pair) -> None:
    assert throw(pair, request(pair, *good(pair), version=0x2F))
    assert pair.responder.endpoint.half_open == 1


@pytest.mark.parametrize("missing", range(3))
def test_a_payload_is_missing(pair: Pair, missing: int) -> None:
    payloads = [p for n, p in enumerate(good(pair)) if n != missing]
    assert not throw(pair, request(pair, *payloads))
    assert pair.responder.dropped == {DropReason.INVALID_PAYLOADS: 1}


@pytest.mark.parametrize(
    "header",
    [
        {"spi_i": NO_SPI},
        {"spi_r": SPI},
        {"message_id": 1},
        {"flags": 0},
    ],
    ids=str,
)
def test_a_header_that_no_initiator_sends(pair: Pair, header: dict[str, object]) -> None:
    assert not throw(pair, request(pair, *good(pair), **header))
    assert pair.responder.dropped.total() == 1
    assert not pair.responder.endpoint.sas()


def test_our_own_messages_reflected(pair: Pair) -> None:
    pair.initiate()
    own = pair.take()
    back = Path(*pair.initiator.address, *pair.responder.address)
    pair.initiator.endpoint.handle_datagram(own.octets, back, pair.now)
    pair.flush(pair.initiator)
    assert pair.initiator.dropped == {DropReason.REFLECTED: 1}
    pair.deliver(own)
    pair.drive()
    assert pair.up()
    for datagram in [d for d in pair.sent if d.source is pair.initiator]:
        pair.initiator.endpoint.handle_datagram(datagram.octets, back, pair.now)
        pair.flush(pair.initiator)
    assert pair.up()
    assert len(pair.initiator.endpoint.sas()) == 1


def limited(codec: str, **limits: float) -> Pair:
    def change(settings: Settings) -> Settings:
        return replace(settings, limits=replace(Limits(), **limits))  # type: ignore[arg-type]

    return Pair(codec, responder=variant(RESPONDER, change=change))


def source(number: int) -> Path:
    return Path("192.0.2.2", 8000, f"198.51.{100 + number // 250}.{number % 250}", 4000)


def test_half_open_sas_are_bounded(codec: str) -> None:
    pair = limited(codec, half_open=20, half_open_per_source=5)
    sa, ke, _ = good(pair)
    for number in range(60):
        throw(pair, request(pair, sa, ke, Nonce(number.to_bytes(32))), source(number))
    assert pair.responder.endpoint.half_open == 20
    assert pair.responder.dropped == {DropReason.COOKIE_REQUIRED: 40}
    pair.pass_time(31)
    assert pair.responder.endpoint.half_open == 0
    assert not pair.responder.endpoint.sas()
    assert pair.establish().up()


def test_half_open_sas_are_bounded_for_each_source(codec: str) -> None:
    pair = limited(codec, half_open=100, half_open_per_source=5)
    sa, ke, _ = good(pair)
    for number in range(30):
        throw(pair, request(pair, sa, ke, Nonce(number.to_bytes(32))))
    assert pair.responder.endpoint.half_open == 5
    assert pair.responder.dropped == {DropReason.COOKIE_REQUIRED: 25}
    assert pair.establish().initiator.endpoint.sas()[0].phase == "ESTABLISHED"


def test_one_key_derivation_however_much_junk(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 junk IKE_AUTH on one half-open SA; then the honest one succeeds."""
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    honest = pair.take()
    derived = []
    original = init.derive_for_responder

    def counting(*arguments: object) -> None:
        derived.append(arguments)
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(init, "derive_for_responder", counting)
    rng = random.Random(1)
    for _ in range(10_000):
        junk = bytearray(honest.octets)
        junk[-1 - rng.randrange(600)] ^= 1 << rng.randrange(8)
        pair.responder.endpoint.handle_datagram(bytes(junk), honest.path, pair.now)
        while (output := pair.responder.endpoint.poll()) is not None:
            pair.responder.record(output)
    assert len(derived) == 1
    assert pair.responder.dropped.total() == 10_000
    pair.deliver(honest)
    pair.drive()
    assert pair.up()


def test_a_broken_icv_changes_nothing(pair: Pair) -> None:
    pair.establish()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    delete = pair.take()
    broken = delete.octets[:-1] + bytes([delete.octets[-1] ^ 1])
    pair.deliver(delete, broken)
    assert pair.responder.dropped == {DropReason.BAD_ICV: 1}
    assert len(pair.responder.endpoint.sas()) == 1
    pair.deliver(delete)
    pair.drive()
    assert pair.empty()


def test_informational_before_ike_auth(pair: Pair) -> None:
    """A protected request other than IKE_AUTH on a half-open SA costs no key derivation and has no effect."""
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    pair.take()
    (sa,) = pair.initiator.endpoint._sas.values()
    sa.window.abandon()
    sa.window.next_id = 1
    sa.send_request(ExchangeType.INFORMATIONAL, (), pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert pair.responder.dropped == {DropReason.UNEXPECTED_MESSAGE: 1}
    assert E.SHARED_SECRET_DERIVED not in pair.responder.names()


def test_a_forged_refusal_does_not_end_the_attempt(pair: Pair) -> None:
    pair.initiate()
    held = pair.take()
    header = pair.initiator.codec.peek(held.octets).header
    forged = request(
        pair, Notify(NotifyType.NO_PROPOSAL_CHOSEN), spi_i=header.spi_i, flags=int(HeaderFlags.RESPONSE)
    )
    path = pair.initiator.path_to(pair.responder)
    pair.initiator.endpoint.handle_datagram(forged, path, pair.now)
    pair.flush(pair.initiator)
    assert len(pair.initiator.endpoint.sas()) == 1
    pair.deliver(held)
    pair.drive()
    assert pair.up()


def test_a_refusal_that_stands_ends_the_attempt(pair: Pair) -> None:
    pair.initiate()
    held = pair.take()
    header = pair.initiator.codec.peek(held.octets).header
    refusal = request(
        pair, Notify(NotifyType.NO_PROPOSAL_CHOSEN), spi_i=header.spi_i, flags=int(HeaderFlags.RESPONSE)
    )
    pair.initiator.endpoint.handle_datagram(refusal, pair.initiator.path_to(pair.responder), pair.now)
    pair.flush(pair.initiator)
    pair.pass_time(3, keep=lambda datagram: False)
    assert not pair.initiator.endpoint.sas()
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == "refused with NO_PROPOSAL_CHOSEN"


def test_out_of_window(pair: Pair) -> None:
    pair.establish()
    (sa,) = pair.initiator.endpoint._sas.values()
    sa.window.next_id = 9
    sa.send_request(ExchangeType.INFORMATIONAL, (), pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    assert pair.responder.dropped == {DropReason.OUT_OF_WINDOW: 1}
    assert pair.up()


def test_random_octets_and_flipped_bits(pair: Pair) -> None:
    """Whatever arrives: no exception, no state, a named reason for each."""
    pair.establish()
    rng = random.Random(7)
    samples = [d.octets for d in pair.sent if d.target is pair.responder]
    rounds = 3_000
    for _ in range(rounds):
        octets = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(1, 4)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        throw(pair, bytes(octets[: rng.randrange(len(octets) + 1)]), source(rng.randrange(200)))
    assert len(pair.responder.children) == 1
    assert pair.responder.endpoint.half_open <= 100
    established = [sa for sa in pair.responder.endpoint.sas() if sa.phase == "ESTABLISHED"]
    assert len(established) == 1


def test_phases_only_follow_the_table(pair: Pair) -> None:
    assert set(TRANSITIONS) == set(Phase)
    pair.establish()
    (sa,) = pair.initiator.endpoint._sas.values()
    established = sa.data
    sa.close("test")
    if established is None:
        raise AssertionError("an established SA has data")
    with pytest.raises(LocalMisuse, match="CLOSED to ESTABLISHED"):
        sa.enter(established)
