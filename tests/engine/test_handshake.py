"""IKE_SA_INIT and IKE_AUTH, as they should go."""

import builtins
import os
import socket
import time

import pytest

from node.ike.outputs import InstallInbound, InstallOutbound, SaUp, Transmit
from node.model.events import EventName as E
from node.model.registry import ExchangeType
from tests.engine.harness import INITIATOR, RESPONDER, Pair, shared, variant

INITIATOR_FLOW = [
    E.DH_KEY_PAIR_GENERATED,
    E.SPI_ASSIGNED,
    E.IKE_SA_INIT_SENT,
    E.IKE_SA_INIT_RECEIVED,
    E.PROPOSAL_CHOSEN,
    E.SHARED_SECRET_DERIVED,
    E.IKE_AUTH_SENT,
    E.IKE_AUTH_RECEIVED,
    E.PEER_CERTIFICATE_VERIFIED,
    E.PEER_IDENTITY_VERIFIED,
    E.PEER_AUTH_VERIFIED,
    E.IKE_SA_ESTABLISHED,
    E.CHILD_SA_INSTALLED,
]
RESPONDER_FLOW = [
    E.DH_KEY_PAIR_GENERATED,
    E.IKE_SA_INIT_RECEIVED,
    E.SPI_ASSIGNED,
    E.PROPOSAL_CHOSEN,
    E.IKE_SA_INIT_SENT,
    E.SHARED_SECRET_DERIVED,
    E.IKE_AUTH_RECEIVED,
    E.PEER_CERTIFICATE_VERIFIED,
    E.PEER_IDENTITY_VERIFIED,
    E.PEER_AUTH_VERIFIED,
    E.IKE_SA_ESTABLISHED,
    E.IKE_AUTH_SENT,
    E.CHILD_SA_INSTALLED,
]


def test_the_founding_call_flow(pair: Pair) -> None:
    """
    IKE_SA_INIT { SA, KE, N }                     -->
                                                  <--  IKE_SA_INIT { SA, KE, N }
    IKE_AUTH SK{ IDi, CERT, AUTH, SA, TSi, TSr }  -->
                                                  <--  IKE_AUTH SK{ IDr, CERT, AUTH, SA, TSi, TSr }
    """
    pair.initiator.endpoint.prepare()
    pair.responder.endpoint.prepare()
    pair.initiate()
    pair.drive()
    assert pair.up()
    assert pair.initiator.names() == INITIATOR_FLOW
    assert pair.responder.names() == RESPONDER_FLOW
    assert len(pair.sent) == 4
    assert not pair.initiator.dropped
    assert not pair.responder.dropped


def test_payloads_are_those_of_the_profile(pair: Pair) -> None:
    pair.establish()
    fresh = ["AUTH_NONCE"] if pair.initiator.settings.authentication_nonce else []
    init = pair.initiator.event(E.IKE_SA_INIT_SENT).fields
    auth = pair.initiator.event(E.IKE_AUTH_SENT).fields
    answer = pair.responder.event(E.IKE_AUTH_SENT).fields
    extensions = ["NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP", "SIGNATURE_HASH_ALGORITHMS"]
    assert init["payloads"] == ["SA", "KE", "NONCE", *(f"N({name})" for name in extensions)]
    first = ["CERT", "N(INITIAL_CONTACT)"]
    assert auth["payloads"] == ["IDI", *first, "CERTREQ", "IDR", "AUTH", *fresh, "SA", "TSI", "TSR"]
    assert answer["payloads"] == ["IDR", *first, "AUTH", *fresh, "SA", "TSI", "TSR"]


def test_both_ends_hold_the_same_keys_the_other_way_round(pair: Pair) -> None:
    pair.establish()
    (ours,), (theirs,) = pair.initiator.outbound.values(), pair.responder.outbound.values()
    assert ours.outbound == theirs.inbound
    assert ours.inbound == theirs.outbound
    assert ours.inbound != ours.outbound
    assert (ours.local, ours.peer) == (theirs.peer, theirs.local)
    assert ours.suite == theirs.suite


def test_a_responder_installs_both_ways_before_it_answers(pair: Pair) -> None:
    pair.establish()
    kinds = [type(output) for output in pair.responder.outputs]
    last_transmit = len(kinds) - 1 - kinds[::-1].index(Transmit)
    assert kinds.index(InstallInbound) < kinds.index(InstallOutbound) < last_transmit
    assert kinds.index(SaUp) < last_transmit


def test_inbound_esp_spis_are_never_mistaken_for_ike(pair: Pair) -> None:
    for _ in range(64):
        spi = pair.initiator.endpoint._context.child_spi()
        assert int.from_bytes(spi) > 255
        assert spi[0] not in pair.initiator.settings.reserved_spi_octets


@pytest.mark.parametrize(
    ("ike", "esp"),
    [
        ("aes256-sha256-modp2048", "aes256-sha256"),
        ("aes128-sha256-x25519", "aes128-sha256"),
        ("aes256gcm16-prfsha256-modp2048", "aes256gcm16"),
        ("aes256gcm16-prfsha384-ecp384", "aes256gcm16"),
        ("chacha20poly1305-prfsha512-x25519", "chacha20poly1305"),
    ],
)
def test_other_suites(codec: str, ike: str, esp: str) -> None:
    pair = Pair(codec, variant(INITIATOR, ike=(ike,), esp=(esp,)), variant(RESPONDER, ike=(ike,), esp=(esp,)))
    assert pair.establish().up()


def test_the_responder_prefers_its_own_order(codec: str) -> None:
    strong, weak = "aes256gcm16-prfsha256-modp2048", "aes256-sha256-modp2048"
    pair = Pair(codec, variant(INITIATOR, ike=(weak, strong)), variant(RESPONDER, ike=(strong, weak)))
    pair.establish()
    assert pair.up()
    assert "GCM" in str(pair.initiator.event(E.IKE_SA_ESTABLISHED).fields["suite"])


def test_selectors_are_narrowed(codec: str) -> None:
    pair = Pair(codec, variant(INITIATOR, peer_ts="10.0.0.0/8"), variant(RESPONDER, peer_ts="10.1.0.0/16"))
    pair.establish()
    assert pair.up()
    (child,) = pair.initiator.outbound.values()
    assert [str(s) for s in child.local] == ["10.1.0.0/24"]
    assert [str(s) for s in child.peer] == ["10.2.0.0/24"]


def test_the_engine_needs_no_world(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets, clocks, files and the system's entropy are out of reach; a tunnel comes up all the same."""
    pair = Pair(codec)

    def forbidden(*_: object, **__: object) -> object:
        raise AssertionError("the engine reached for the world")

    for module, name in (
        (socket, "socket"),
        (time, "time"),
        (time, "monotonic"),
        (os, "urandom"),
        (builtins, "open"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    pair.establish()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    monkeypatch.undo()
    assert pair.empty()


def test_one_responder_serves_many(codec: str) -> None:
    pair = Pair(codec, responder=variant(RESPONDER, peer_ts="10.1.0.0/16"))
    others = [
        pair.add(variant(INITIATOR, address=f"192.0.2.{10 + n}", local_ts=f"10.1.{n}.0/24", change=shared))
        for n in range(20)
    ]
    for node in others:
        pair.initiate(node)
    pair.drive()
    assert len(pair.responder.endpoint.sas()) == 20
    assert len(pair.responder.outbound) == 20
    assert pair.responder.endpoint.half_open == 0
    for node in others:
        node.endpoint.delete_all(pair.now)
        pair.flush(node)
    pair.drive()
    assert not pair.responder.endpoint.sas()
    assert not pair.responder.children


def test_a_node_answers_and_initiates_at_once(pair: Pair) -> None:
    pair.initiate(pair.initiator, pair.responder)
    pair.initiate(pair.responder, pair.initiator)
    pair.drive()
    for node in (pair.initiator, pair.responder):
        assert sorted(sa.is_initiator for sa in node.endpoint.sas()) == [False, True]


def test_messages_count_from_zero(pair: Pair) -> None:
    pair.establish()
    exchanges = [pair.initiator.codec.peek(d.octets).header for d in pair.sent]
    assert [(h.exchange, h.message_id, h.is_response) for h in exchanges] == [
        (ExchangeType.IKE_SA_INIT, 0, False),
        (ExchangeType.IKE_SA_INIT, 0, True),
        (ExchangeType.IKE_AUTH, 1, False),
        (ExchangeType.IKE_AUTH, 1, True),
    ]
