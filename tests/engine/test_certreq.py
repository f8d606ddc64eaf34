"""What a CERTREQ asks for, what is sent whatever it asks for, chains in any order, IDr of an initiator."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.errors import AuthFailure, DropReason
from node.model.events import EventName as E
from node.model.message import Header
from node.model.payloads import Certificate, CertificateRequest, Identification, Payload
from node.model.registry import CertEncoding, IdType, PayloadType
from node.pki.certificate import read
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, NodeOptions, Pair, authority, credentials, variant
from tests.engine.test_authentication import refused


def tap(pair: Pair, side: str, change: Callable[[list[Payload]], list[Payload]]) -> list[list[Payload]]:
    """Let a node send other payloads; returns what it meant to send, message by message."""
    codec, meant = getattr(pair, side).codec, []
    honest = codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> object:
        meant.append(list(payloads))
        return honest(header, change(list(payloads)), sealer, mtu)

    codec.seal = seal
    return meant


def as_meant(payloads: list[Payload]) -> list[Payload]:
    return payloads


def requests(messages: list[list[Payload]]) -> list[CertificateRequest]:
    return [p for message in messages for p in message if isinstance(p, CertificateRequest)]


def test_both_ask_for_their_cas(pair: Pair) -> None:
    """
    initiator                                    responder
    SA, KE, Ni                          -->
                                        <--    SA, KE, Nr, CERTREQ
    IDi, CERT, CERTREQ, IDr, AUTH, ...  -->
                                        <--    IDr, CERT, AUTH, ...
    """
    asked = [tap(pair, side, as_meant) for side in ("initiator", "responder")]
    pair.establish()
    key = hashlib.sha1(read(authority("Lab CA").der).spki, usedforsecurity=False).digest()
    wanted = CertificateRequest(CertEncoding.X509_SIGNATURE, key)
    assert [requests(messages) for messages in asked] == [[wanted], [wanted]]
    init, auth = (pair.responder.event(name).fields for name in (E.IKE_SA_INIT_SENT, E.IKE_AUTH_SENT))
    assert "CERTREQ" in init["payloads"]  # type: ignore[operator]
    assert "CERTREQ" not in auth["payloads"]  # type: ignore[operator]


HINTS: dict[str, list[CertificateRequest]] = {
    "none": [],
    "empty": [CertificateRequest(CertEncoding.X509_SIGNATURE, b"")],
    "of an unknown CA": [CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(20))],
    "no multiple of 20": [CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(21))],
    "of another encoding": [CertificateRequest(CertEncoding.HASH_AND_URL, b"http://example.com/")],
    "of no known encoding": [CertificateRequest(CertEncoding(201), bytes(7))],
    "huge": [CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(4000))],
    "ten": [CertificateRequest(CertEncoding.X509_SIGNATURE, bytes([n]) * 20) for n in range(10)],
}


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_is_a_hint(pair: Pair, hint: str) -> None:
    """Our certificate goes out whatever authorities the peer names (RFC 7296 3.7)."""

    def other(payloads: list[Payload]) -> list[Payload]:
        asks = any(isinstance(p, CertificateRequest) for p in payloads)
        kept: list[Payload] = [p for p in payloads if not isinstance(p, CertificateRequest)]
        return [*kept, *HINTS[hint]] if asks else kept

    for side in ("initiator", "responder"):
        tap(pair, side, other)
    assert pair.establish().up()
    for node in (pair.initiator, pair.responder):
        assert "CERT" in node.event(E.IKE_AUTH_SENT).fields["payloads"]  # type: ignore[operator]


def test_more_than_ten_are_refused(pair: Pair) -> None:
    more = [CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(20))] * 11
    tap(pair, "responder", lambda payloads: [*payloads, *more])
    pair.initiate()
    pair.drive()
    assert pair.initiator.dropped[DropReason.INVALID_PAYLOADS] == 1
    assert E.IKE_AUTH_SENT not in pair.initiator.names()


# -- chains --------------------------------------------------------------------------------------------------


def chained(options: NodeOptions, order: Sequence[int]) -> NodeOptions:
    """Below root, CA 1 and CA 2; of the certificates behind our own these are sent, in this order."""
    first, second = authority("CA 1"), authority("CA 2")
    shown = credentials(options.name, issuer="CA 2")
    others = (second.der, first.der, authority("Rogue CA").der)
    return variant(options, show=replace(shown, chain=tuple(others[at] for at in order)))


ORDERS = [(0, 1), (1, 0), (2, 0, 1), (1, 2, 0), (0, 0, 1, 1), (1, 2, 2, 0)]


@pytest.mark.parametrize("order", ORDERS)
def test_intermediate_cas_in_any_order(codec: str, order: tuple[int, ...]) -> None:
    """The end entity comes first (RFC 7296 3.6); the others stand as they like, unrelated ones among them."""
    pair = Pair(codec, chained(INITIATOR, order), chained(RESPONDER, order)).establish()
    assert pair.up()
    assert pair.responder.event(E.PEER_CERTIFICATE_VERIFIED).fields["issuer"] == "CN=CA 2"


@pytest.mark.parametrize("order", [(), (0,), (1,), (2,)])
@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_a_chain_with_a_gap(codec: str, order: tuple[int, ...], by: str) -> None:
    initiator, responder = INITIATOR, RESPONDER
    if by == "initiator":
        responder = chained(RESPONDER, order)
    else:
        initiator = chained(INITIATOR, order)
    assert refused(Pair(codec, initiator, responder), by) is AuthFailure.UNTRUSTED_ISSUER


def test_the_end_entity_must_come_first(codec: str) -> None:
    pair = Pair(codec, chained(INITIATOR, (0, 1)))

    def turned(payloads: list[Payload]) -> list[Payload]:
        certificates = [p for p in payloads if isinstance(p, Certificate)]
        return [*(p for p in payloads if not isinstance(p, Certificate)), *reversed(certificates)]

    tap(pair, "initiator", turned)
    assert refused(pair, "responder") in (AuthFailure.KEY_USAGE, AuthFailure.IDENTITY_MISMATCH)


# -- IDr of an initiator -------------------------------------------------------------------------------------


def test_the_initiator_names_whom_it_wants(pair: Pair) -> None:
    meant = tap(pair, "initiator", as_meant)
    pair.establish()
    (named,) = [p for p in meant[-1] if p.type == PayloadType.IDR]
    assert named == Identification(PayloadType.IDR, IdType.ID_FQDN, b"responder")


def test_with_several_acceptable_ones_it_names_none(codec: str) -> None:
    pair = Pair(codec, variant(INITIATOR, expects="fqdn:other fqdn:responder"))
    meant = tap(pair, "initiator", as_meant)
    assert pair.establish().up()
    assert not [p for p in meant[-1] if p.type == PayloadType.IDR]


def test_a_responder_answers_with_the_identity_that_it_has(codec: str) -> None:
    """
    initiator                              responder
    IDi, IDr = other, AUTH, ...   -->
                                  <--    IDr = responder, AUTH, ...

    Who asked for another one refuses it, and says what it looked for.
    """
    pair = Pair(codec, variant(INITIATOR, expects="fqdn:other"))
    assert refused(pair, "initiator") is AuthFailure.UNEXPECTED_IDENTITY
    detail = pair.initiator.event(E.AUTHENTICATION_FAILED).fields["detail"]
    assert detail == "the peer says it is fqdn:responder, expected is fqdn:other"
