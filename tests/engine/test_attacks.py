"""Attacks that other implementations fell for; docs/attacks.md says which test stands for which."""

import random
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from cryptography import x509

from node.crypto import kex
from node.crypto.suites import ike_suite
from node.errors import DropReason
from node.ike.phases import TRANSITIONS, Phase
from node.ike.sa import IkeSa
from node.model.events import EventName as E
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import (
    Authentication,
    Certificate,
    Delete,
    Eap,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
)
from node.model.proposal import Proposal, Transform, offer
from node.model.registry import (
    CertEncoding,
    EncrId,
    ExchangeType,
    IdType,
    IntegId,
    KeId,
    NotifyType,
    PayloadType,
    PrfId,
    ProtocolId,
    TransformType,
)
from node.model.selectors import TrafficSelector, network
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, authority, credentials, variant
from tests.engine.strangers import NI, SHARE, SPI, request, throw
from tests.unit.pki import factory

Change = Callable[[tuple[Payload, ...]], Iterable[Payload]]

ENCR, PRF, INTEG, KE = (TransformType.ENCR, TransformType.PRF, TransformType.INTEG, TransformType.KE)


def forge(node: Node, change: Change) -> None:
    """Let a node seal other payloads than it means to; what is not protected stays."""
    honest = node.codec.seal

    def seal(header, payloads, sealer, mtu):  # type: ignore[no-untyped-def]
        return honest(header, tuple(change(tuple(payloads))) if sealer else payloads, sealer, mtu)

    node.codec.seal = seal  # type: ignore[method-assign]


def without(*kinds: PayloadType) -> Change:
    return lambda payloads: [p for p in payloads if p.type not in kinds]


def instead(new: Payload) -> Change:
    """The payload in the place of those of its type."""
    return lambda payloads: [new if p.type == new.type else p for p in payloads]


def refused(pair: Pair) -> str:
    """Run a handshake that the responder refuses; both end with nothing. Returns what it tells."""
    pair.initiate()
    pair.drive()
    pair.pass_time(5)
    assert pair.empty()
    for node in (pair.initiator, pair.responder):
        assert not {E.IKE_SA_ESTABLISHED, E.CHILD_SA_INSTALLED} & set(node.names())
    return str(pair.responder.event(E.NOTIFY_SENT).fields["notify"])


def the(node: Node) -> IkeSa:
    """The one IKE SA of a node."""
    (sa,) = node.endpoint._sas.values()
    return sa


def write(pair: Pair, author: Node, exchange: int, *payloads: Payload, **fields: object) -> bytes:
    """A message of the author's IKE SA, sealed with its keys."""
    sa = the(author)
    assert sa.protection is not None
    flags = HeaderFlags.INITIATOR if sa.is_initiator else 0
    header = Header(sa.spi_i, sa.spi_r, ExchangeType(exchange), sa.window.next_id, flags)
    header = replace(header, **fields)  # type: ignore[arg-type]
    return author.codec.seal(header, payloads, sa.protection.outbound, 0).octets


def hand(pair: Pair, target: Node, octets: bytes) -> None:
    """Octets from the other node arrive."""
    other = pair.responder if target is pair.initiator else pair.initiator
    target.endpoint.handle_datagram(octets, target.path_to(other), pair.now)
    pair.flush(target)


# -- IKE_SA_INIT ---------------------------------------------------------------------------------------------


def _transforms(**changes: Transform | None) -> tuple[Transform, ...]:
    usual = {
        "encr": Transform(ENCR, EncrId.ENCR_AES_CBC, 256),
        "prf": Transform(PRF, PrfId.PRF_HMAC_SHA2_256),
        "integ": Transform(INTEG, IntegId.AUTH_HMAC_SHA2_256_128),
        "ke": Transform(KE, KeId.MODP_2048),
    }
    return tuple(t for t in {**usual, **changes}.values() if t is not None)


#: CVE-2016-3071, CVE-2018-10811, CVE-2016-5391, CVE-2024-3652, RFC 8247: what must never be chosen.
UNACCEPTABLE = {
    "no key exchange": _transforms(ke=None),
    "key exchange NONE": _transforms(ke=Transform(KE, 0)),
    "MODP-768": _transforms(ke=Transform(KE, 1)),
    "MODP-1024": _transforms(ke=Transform(KE, 2)),
    "MODP-1024 with a subgroup of 160 bits": _transforms(ke=Transform(KE, 22)),
    "PRF_HMAC_MD5": _transforms(prf=Transform(PRF, 1)),
    "PRF_HMAC_SHA1": _transforms(prf=Transform(PRF, 2)),
    "PRF_AES128_XCBC": _transforms(prf=Transform(PRF, 4)),
    "no PRF": _transforms(prf=None),
    "AUTH_HMAC_MD5_96": _transforms(integ=Transform(INTEG, 1)),
    "AUTH_HMAC_SHA1_96": _transforms(integ=Transform(INTEG, 2)),
    "AUTH_AES_XCBC_96": _transforms(integ=Transform(INTEG, 5)),
    "no integrity": _transforms(integ=None),
    "integrity NONE": _transforms(integ=Transform(INTEG, 0)),
    "ENCR_NULL": _transforms(encr=Transform(ENCR, 11)),
    "ENCR_NULL_AUTH_AES_GMAC": _transforms(encr=Transform(ENCR, 21, 256), integ=None),
    "DES": _transforms(encr=Transform(ENCR, 2)),
    "3DES": _transforms(encr=Transform(ENCR, 3)),
    "AES without a key length": _transforms(encr=Transform(ENCR, EncrId.ENCR_AES_CBC)),
    "AES with a key length of 0": _transforms(encr=Transform(ENCR, EncrId.ENCR_AES_CBC, 0)),
    "AES with a key of 64 bits": _transforms(encr=Transform(ENCR, EncrId.ENCR_AES_CBC, 64)),
    "nothing at all": (),
}


@pytest.mark.parametrize("name", UNACCEPTABLE)
def test_a_proposal_that_must_not_be_chosen(pair: Pair, name: str) -> None:
    payloads = (
        SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", UNACCEPTABLE[name]),)),
        KeyExchange(KeId.MODP_2048, SHARE),
        Nonce(NI),
    )
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    (answer,) = throw(pair, pair.initiator.codec.seal(header, payloads, None, 0).octets)
    (notify,) = pair.initiator.codec.read(pair.initiator.codec.peek(answer)).payloads
    assert isinstance(notify, Notify)
    assert notify.notify_type == NotifyType.NO_PROPOSAL_CHOSEN
    assert pair.responder.dropped == {DropReason.INCOMPATIBLE: 1}
    assert not pair.responder.endpoint.sas()


@pytest.mark.parametrize("group", [0, 1, 2, 1025, 65_535])
def test_a_key_share_of_a_group_that_nobody_proposed(pair: Pair, group: int) -> None:
    """CVE-2014-9221: the group is told that is wanted, and nothing is computed."""
    payloads = (
        SecurityAssociation(offer(pair.responder.settings.ike_suites)),
        KeyExchange(KeId(group), SHARE),
        Nonce(NI),
    )
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    (answer,) = throw(pair, pair.initiator.codec.seal(header, payloads, None, 0).octets)
    (notify,) = pair.initiator.codec.read(pair.initiator.codec.peek(answer)).payloads
    assert isinstance(notify, Notify)
    assert (notify.notify_type, notify.data) == (NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e")
    assert not pair.responder.endpoint.sas()
    assert E.DH_KEY_PAIR_GENERATED not in pair.responder.names()


def test_spis_of_a_negotiation_that_was_refused_lead_nowhere(pair: Pair) -> None:
    """CVE-2023-30570: the refusal names no SPI of ours, and a second message finds no state."""
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    weak = SecurityAssociation((Proposal(1, ProtocolId.IKE, b"", UNACCEPTABLE["no PRF"]),))
    payloads = (weak, KeyExchange(KeId.MODP_2048, SHARE), Nonce(NI))
    (answer,) = throw(pair, pair.initiator.codec.seal(header, payloads, None, 0).octets)
    told = pair.initiator.codec.peek(answer).header
    assert told.spi_r == NO_SPI
    pair.responder.outputs.clear()
    for exchange in (ExchangeType.IKE_AUTH, ExchangeType.INFORMATIONAL):
        for spi_r in (NO_SPI, SPI, bytes(7) + b"\1"):
            again = replace(header, spi_r=spi_r, exchange=exchange, message_id=1)
            assert throw(pair, pair.initiator.codec.seal(again, payloads, None, 0).octets) == []
    assert pair.responder.dropped == {DropReason.UNKNOWN_SPI: 6}


def test_the_same_spi_twice_makes_two_ike_sas(pair: Pair) -> None:
    """Whose SPI it is does not matter: ours tells them apart, and the one that is up is not disturbed."""
    pair.establish()
    spi = the(pair.initiator).spi_i
    assert throw(pair, request(pair, spi=spi))
    assert throw(pair, request(pair, spi=spi, nonce=bytes(32)))
    ours = [sa.spi_r for sa in pair.responder.endpoint.sas()]
    assert len(set(ours)) == 3
    assert [sa.phase for sa in pair.responder.endpoint.sas()].count("ESTABLISHED") == 1
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert not pair.initiator.endpoint.sas()


#: The payload types of IKEv1 (RFC 2408), which mean nothing here.
IKEV1 = range(1, 14)


@pytest.mark.parametrize("number", IKEV1)
def test_payload_types_of_ikev1_are_unknown(pair: Pair, number: int) -> None:
    """CVE-2015-3991."""
    assert throw(pair, request(pair, Unknown(PayloadType(number), False, b"\0" * 12)))
    assert pair.responder.endpoint.half_open == 1
    throw(pair, request(pair, Unknown(PayloadType(number), True, b"\0" * 12), nonce=bytes(32)))
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "UNSUPPORTED_CRITICAL_PAYLOAD"
    assert pair.responder.endpoint.half_open == 1


def test_a_man_in_the_middle_who_leaves_the_weaker_proposal_is_found_out(codec: str) -> None:
    """Both sides would take either suite. What one signs is not what the other saw."""
    both = {"ike": ("aes256gcm16-prfsha384-x25519", "aes128-sha256-x25519")}
    pair = Pair(codec, variant(INITIATOR, **both), variant(RESPONDER, **both))
    codec_of = pair.initiator.codec
    pair.initiate()
    for _ in range(20):
        if not pair.wire:
            break
        datagram = pair.take()
        envelope = codec_of.peek(datagram.octets)
        octets = datagram.octets
        if envelope.header.exchange == ExchangeType.IKE_SA_INIT and not envelope.header.is_response:
            payloads = map(_weakened, codec_of.read(envelope).payloads)
            octets = codec_of.seal(envelope.header, tuple(payloads), None, 0).octets
        pair.deliver(datagram, octets)
    assert pair.responder.event(E.PROPOSAL_CHOSEN).fields["suite"] == str(ike_suite(both["ike"][1]))
    assert pair.responder.event(E.AUTHENTICATION_FAILED).fields["reason"] == "bad_signature"
    assert pair.empty()
    assert E.IKE_SA_ESTABLISHED not in pair.initiator.names() + pair.responder.names()


def _weakened(payload: Payload) -> Payload:
    return SecurityAssociation(payload.proposals[1:]) if isinstance(payload, SecurityAssociation) else payload


# -- before anybody is authenticated -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "exchange", [ExchangeType.CREATE_CHILD_SA, ExchangeType.INFORMATIONAL, 34, 38, 43, 99]
)
def test_only_ike_auth_counts_before_authentication(pair: Pair, exchange: int) -> None:
    """CVE-2014-2338, CVE-2019-12312: not even the keys are derived for anything else."""
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    honest = pair.take()
    octets = write(pair, pair.initiator, exchange, Delete(ProtocolId.IKE), message_id=1)
    hand(pair, pair.responder, octets)
    assert pair.responder.dropped.total() == 1
    assert E.SHARED_SECRET_DERIVED not in pair.responder.names()
    assert the(pair.responder).phase is Phase.INIT_REPLIED
    pair.deliver(honest)
    pair.drive()
    assert pair.up()


INITIATORS_LIES: dict[str, Change] = {
    "no AUTH, as for EAP": without(PayloadType.AUTH),
    "no AUTH, EAP_ONLY_AUTHENTICATION": lambda payloads: (
        *without(PayloadType.AUTH)(payloads),
        Notify(NotifyType(16_417)),
    ),
    "an EAP success instead of AUTH": lambda payloads: (
        *without(PayloadType.AUTH)(payloads),
        Eap(b"\x03\x01\x00\x04"),
    ),
    "AUTH and an EAP success": lambda payloads: (*payloads, Eap(b"\x03\x01\x00\x04")),
    "no IDi": without(PayloadType.IDI),
    "two IDi": lambda payloads: (*payloads, next(p for p in payloads if p.type == PayloadType.IDI)),
    "IDr instead of IDi": lambda payloads: [
        replace(p, type=PayloadType.IDR) if isinstance(p, Identification) else p for p in payloads
    ],
    "two AUTH": lambda payloads: (*payloads, next(p for p in payloads if p.type == PayloadType.AUTH)),
    "no SA": without(PayloadType.SA),
    "a key share": lambda payloads: (*payloads, KeyExchange(KeId.MODP_2048, SHARE)),
}


@pytest.mark.parametrize("lie", INITIATORS_LIES)
def test_an_ike_auth_of_another_shape(pair: Pair, lie: str) -> None:
    """CVE-2015-4171, CVE-2021-45079, CVE-2026-50751: no payload of a peer chooses what is checked."""
    forge(pair.initiator, INITIATORS_LIES[lie])
    assert refused(pair) == "INVALID_SYNTAX"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_025, 8_000])
@pytest.mark.parametrize("kind", [*IdType, 0, 4, 200])
def test_an_identity_of_any_size(pair: Pair, kind: int, size: int) -> None:
    """CVE-2013-6075, CVE-2025-9242: compared as a whole, or refused, before anything is authenticated."""
    forge(pair.initiator, instead(Identification(PayloadType.IDI, IdType(kind), b"\x30" * size)))
    assert refused(pair) == "AUTHENTICATION_FAILED"


def _certificates(*octets: bytes) -> Change:
    def change(payloads: tuple[Payload, ...]) -> Iterable[Payload]:
        shown = [Certificate(CertEncoding.X509_SIGNATURE, o) for o in octets]
        return [p for p in payloads if not isinstance(p, Certificate)] + shown

    return change


def _with_rsa(modulus: int, exponent: int) -> bytes:
    """The initiator's certificate, properly issued, for an RSA key of any numbers."""
    tlv = factory.tlv

    def integer(number: int) -> bytes:
        return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1))

    key = tlv(0x30, integer(modulus) + integer(exponent))
    spki = tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + tlv(0x03, b"\0" + key))

    def change(fields: list[bytes]) -> None:
        fields[6] = spki

    issued = factory.leaf("initiator", authority(), "dns:initiator")
    return factory.rebuilt(issued, authority(), change)


RSA_NUMBERS = {
    "exponent 0": (2**2047 + 1, 0),
    "exponent 1": (2**2047 + 1, 1),
    "exponent 3": (2**2047 + 1, 3),
    "modulus 0": (0, 65_537),
    "modulus 1": (1, 65_537),
    "even modulus": (2**2047, 65_537),
    "512 bits": (2**511 + 1, 65_537),
    "16,384 bits": (2**16_383 + 1, 65_537),
}


@pytest.mark.parametrize("numbers", RSA_NUMBERS)
def test_a_certificate_whose_key_is_none(pair: Pair, numbers: str) -> None:
    """CVE-2026-14957, CVE-2017-9022, CVE-2018-17540."""
    forge(pair.initiator, _certificates(_with_rsa(*RSA_NUMBERS[numbers])))
    assert refused(pair) == "AUTHENTICATION_FAILED"


@pytest.mark.parametrize("encoding", [0, 1, 7, 11, 12, 13, 201])
def test_other_certificate_encodings_are_neither_fetched_nor_used(
    pair: Pair, encoding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8019 4.7: hash and URL (12, 13) make a responder fetch what a stranger names."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    shown = credentials("initiator").certificate

    def change(payloads: tuple[Payload, ...]) -> Iterable[Payload]:
        urls = (bytes(20) + b"http://192.0.2.9/", shown)
        others = [Certificate(CertEncoding(encoding), octets) for octets in urls]
        return [p for p in payloads if not isinstance(p, Certificate)] + others

    forge(pair.initiator, change)
    assert refused(pair) == "AUTHENTICATION_FAILED"
    failed = pair.responder.event(E.AUTHENTICATION_FAILED).fields
    assert failed["reason"] == "no_certificate"


def test_addresses_in_a_certificate_are_not_asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2022-40617: OCSP and CRL of a certificate that nobody verified yet."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    where = x509.UniformResourceIdentifier("http://192.0.2.9/")
    ocsp = x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.OCSP, where)
    lists = x509.DistributionPoint([where], None, None, None)
    extra = [
        (x509.AuthorityInformationAccess([ocsp]), False),
        (x509.CRLDistributionPoints([lists]), False),
    ]
    rogue = factory.leaf("initiator", factory.ca("Rogue"), "dns:initiator", extra=extra)
    forge(pair.initiator, _certificates(rogue.der))
    assert refused(pair) == "AUTHENTICATION_FAILED"


# -- traffic selectors ---------------------------------------------------------------------------------------

V4 = network("10.1.0.0/24")
SELECTORS: dict[str, tuple[TrafficSelector, ...]] = {
    "none": (),
    "upside down": (replace(V4, start=V4.end, end=V4.start),),
    "ports upside down": (replace(V4, start_port=9, end_port=8),),
    "255, all elsewhere": tuple(network(f"10.9.{n}.0/24") for n in range(255)),
    "IPv6": (network("fd00::/8"),),
    "one address elsewhere": (network("10.1.1.0/32"),),
}


@pytest.mark.parametrize("kind", [PayloadType.TSI, PayloadType.TSR])
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_that_match_nothing(pair: Pair, name: str, kind: PayloadType) -> None:
    """CVE-2023-23009: TS_UNACCEPTABLE, and the IKE SA stays without a Child SA."""
    forge(pair.initiator, instead(TrafficSelectors(kind, SELECTORS[name])))
    pair.establish()
    for node in (pair.initiator, pair.responder):
        assert not node.children
        (sa,) = node.endpoint.sas()
        assert sa.phase == "ESTABLISHED"
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "TS_UNACCEPTABLE"


# -- an authenticated peer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 200])
@pytest.mark.parametrize(
    "spi", [b"", b"\0\0\0\0", b"\1\2\3\4", bytes(8)], ids=lambda spi: spi.hex() or "none"
)
def test_a_rekey_of_nothing(pair: Pair, protocol: int, spi: bytes) -> None:
    """CVE-2023-38710: REKEY_SA of a protocol that is none, or of an SPI that nobody has."""
    pair.establish()
    before = set(pair.responder.children)
    rekey = Notify(NotifyType.REKEY_SA, b"", ProtocolId(protocol), spi)
    proposals = SecurityAssociation(offer(pair.initiator.settings.child_suites, b"abcd"))
    selectors = (TrafficSelectors(PayloadType.TSI, (V4,)), TrafficSelectors(PayloadType.TSR, (V4,)))
    octets = write(
        pair, pair.initiator, ExchangeType.CREATE_CHILD_SA, rekey, proposals, Nonce(NI), *selectors
    )
    answered = len(pair.sent)
    hand(pair, pair.responder, octets)
    assert len(pair.sent) == answered + 1
    assert set(pair.responder.children) == before


@pytest.mark.parametrize("kind", ["request", "response"])
@pytest.mark.parametrize("exchange", [34, 35, 36, 37, 38, 43, 99])
def test_the_icv_is_checked_in_every_exchange(pair: Pair, exchange: int, kind: str) -> None:
    """CVE-2019-10155: whatever the exchange, a message whose ICV is wrong changes nothing."""
    pair.establish()
    flags = HeaderFlags.INITIATOR | (HeaderFlags.RESPONSE if kind == "response" else 0)
    for message_id in (0, 1, 2, 3):
        octets = write(
            pair, pair.initiator, exchange, Delete(ProtocolId.IKE), flags=int(flags), message_id=message_id
        )
        hand(pair, pair.responder, octets[:-1] + bytes((octets[-1] ^ 1,)))
    assert pair.responder.dropped.total() == 4
    assert pair.up()
    assert the(pair.responder).window.expected_id == 2


PHASES = ("INIT_SENT", "INIT_REPLIED", "AUTH_SENT", "ESTABLISHED", "DELETING")


def _bring_to(pair: Pair, phase: str) -> Node:
    """Bring an IKE SA of one of the nodes into a phase, and return that node."""
    pair.initiate()
    if phase == "INIT_SENT":
        return pair.initiator
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    if phase == "INIT_REPLIED":
        return pair.responder
    if phase == "AUTH_SENT":
        # Junk, by which the responder has the keys as well.
        hand(pair, pair.responder, pair.wire[0].octets[:-1] + b"\0")
        return pair.initiator
    pair.drive()
    if phase == "ESTABLISHED":
        return pair.responder
    pair.responder.endpoint.delete_all(pair.now)
    pair.flush(pair.responder)
    return pair.responder


@pytest.mark.parametrize("phase", PHASES)
def test_every_message_in_every_phase(codec: str, phase: str) -> None:
    """Each exchange, as request and response, sealed or in clear, with every message ID around: the phases
    follow the table, nothing is raised, and IKE_AUTH alone makes anybody established."""
    draw = random.Random(phase)
    cases = [
        (exchange, response, clear, message_id)
        for exchange in (34, 35, 36, 37, 38, 99)
        for response in (False, True)
        for clear in (False, True)
        for message_id in (0, 1, 2, 2**32 - 1)
    ]
    for exchange, response, clear, message_id in cases:
        pair = Pair(codec)
        target = _bring_to(pair, phase)
        author = pair.responder if target is pair.initiator else pair.initiator
        before = Phase(target.endpoint.sas()[0].phase)
        hand(pair, target, _any_message(pair, author, exchange, response, clear, message_id, draw))
        for sa in target.endpoint.sas():
            after = Phase(sa.phase)
            assert after is before or after in TRANSITIONS[before] or after is Phase.INIT_REPLIED
            assert after is not Phase.ESTABLISHED or before is Phase.ESTABLISHED


def _any_message(
    pair: Pair, author: Node, exchange: int, response: bool, clear: bool, message_id: int, draw: random.Random
) -> bytes:
    target = pair.responder if author is pair.initiator else pair.initiator
    sa = target.endpoint._sas[next(iter(target.endpoint._sas))]
    flags = (HeaderFlags.RESPONSE if response else 0) | (0 if sa.is_initiator else HeaderFlags.INITIATOR)
    header = Header(sa.spi_i, sa.spi_r, ExchangeType(exchange), message_id, int(flags))
    payloads: tuple[Payload, ...] = draw.choice(
        (
            (),
            (Delete(ProtocolId.IKE),),
            (Notify(NotifyType.AUTHENTICATION_FAILED),),
            (Identification(PayloadType.IDI, IdType.ID_FQDN, b"initiator"), Nonce(NI)),
        )
    )
    known = author.endpoint._sas.values()
    protection = next((one.protection for one in known if one.protection is not None), None)
    sealer = None if clear or protection is None else protection.outbound
    return author.codec.seal(header, payloads, sealer, 0).octets


def test_a_key_share_is_used_once(codec: str) -> None:
    """No key pair serves two IKE SAs, so nothing learnt from one helps with another."""
    pair = Pair(codec)
    pair.responder.endpoint.prepare()
    for number in range(3):
        throw(pair, request(pair, nonce=number.to_bytes(32)))
    shares = set()
    for sa in pair.responder.endpoint._sas.values():
        data = sa.data
        assert data is not None
        shares.add(data.key_pair.public)  # type: ignore[union-attr]
    assert len(shares) == 3
    assert kex.generate(KeId.CURVE25519).public != kex.generate(KeId.CURVE25519).public


def test_a_shared_key_is_no_answer_to_who_wants_a_certificate(pair: Pair) -> None:
    """Method 2 is refused whatever its data: what is configured decides, not what the peer claims."""
    forge(
        pair.initiator,
        lambda payloads: [
            Authentication(type(p.method)(2), bytes(32)) if isinstance(p, Authentication) else p
            for p in payloads
        ],
    )
    assert refused(pair) == "AUTHENTICATION_FAILED"
    assert pair.responder.event(E.AUTHENTICATION_FAILED).fields["reason"] == "unsupported_method"
