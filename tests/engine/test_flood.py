"""Floods of IKE_SA_INIT: what they can take, and that honest peers come through (RFC 7296 2.6, RFC 8019)."""

import random
from dataclasses import replace

from node.crypto import kex
from node.errors import DropReason
from node.ike.gate import COOKIE_BURST
from node.ike.outputs import Transmit
from node.ike.settings import Limits
from node.model.events import EventName as E
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import KeyExchange, Nonce, Notify, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import ExchangeType, KeId, NotifyType
from tests.engine.harness import INITIATOR, RESPONDER, START, NodeOptions, Pair, shared, variant
from tests.engine.strangers import HERE, NI, SHARE, SPI, STRANGER, cookie_in, limits, request, throw


def honest(address: str, **changes: object) -> NodeOptions:
    """One of several initiators with one identity."""
    return variant(INITIATOR, address=address, change=shared, **changes)


def test_a_wrong_cookie_gets_a_right_one(wary: Pair) -> None:
    right = cookie_in(wary, throw(wary, request(wary)))
    wrong = Notify(NotifyType.COOKIE, right.data[:-1] + bytes([right.data[-1] ^ 1]))
    assert cookie_in(wary, throw(wary, request(wary, wrong))) == right
    assert not wary.responder.endpoint.sas()
    assert len(throw(wary, request(wary, right))) == 1
    assert wary.responder.endpoint.half_open == 1


def test_a_cookie_counts_where_it_is_the_first_payload(wary: Pair) -> None:
    right = cookie_in(wary, throw(wary, request(wary)))
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    sa = SecurityAssociation(offer(wary.responder.settings.ike_suites))
    late = (sa, right, KeyExchange(KeId.MODP_2048, SHARE), Nonce(NI))
    assert throw(wary, wary.initiator.codec.seal(header, late, None, 0).octets)
    behind = (Notify(NotifyType(40_000)), right, sa, KeyExchange(KeId.MODP_2048, SHARE), Nonce(NI))
    assert throw(wary, wary.initiator.codec.seal(header, behind, None, 0).octets)
    assert not wary.responder.endpoint.sas()


def test_an_answer_is_never_larger_than_the_request(wary: Pair) -> None:
    """Without SA and KE a request is smaller than a cookie: it gets none."""
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    for extra in range(60):
        payloads = (Nonce(bytes(16)), Notify(NotifyType(40_000), bytes(extra)))
        octets = wary.initiator.codec.seal(header, payloads, None, 0).octets
        assert sum(map(len, throw(wary, octets))) <= len(octets)
    short = wary.initiator.codec.seal(header, (Nonce(bytes(16)),), None, 0).octets
    assert throw(wary, short) == []
    higher = wary.initiator.codec.seal(replace(header, version=0x30), (), None, 0).octets
    assert sum(map(len, throw(wary, higher))) <= len(higher)


def test_a_request_without_a_nonce_gets_nothing(wary: Pair) -> None:
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    sa = SecurityAssociation(offer(wary.responder.settings.ike_suites))
    payloads = (sa, KeyExchange(KeId.MODP_2048, SHARE))
    assert throw(wary, wary.initiator.codec.seal(header, payloads, None, 0).octets) == []
    assert wary.responder.dropped == {DropReason.INVALID_PAYLOADS: 1}


def test_cookies_are_rationed_far_above_what_honest_peers_need(wary: Pair) -> None:
    octets = request(wary)
    answers = sum(len(throw(wary, octets)) for _ in range(COOKIE_BURST + 500))
    assert answers == COOKIE_BURST
    assert wary.responder.dropped[DropReason.RATE_LIMITED] == 500


def test_one_address_with_good_cookies_has_its_limit_and_others_are_unharmed(codec: str) -> None:
    pair = Pair(codec, responder=variant(RESPONDER, **limits(half_open_per_source=5)))
    for number in range(40):
        nonce = number.to_bytes(32)
        sent = throw(pair, request(pair, nonce=nonce))
        if pair.responder.dropped[DropReason.COOKIE_REQUIRED]:
            throw(pair, request(pair, cookie_in(pair, sent), nonce=nonce))
        assert pair.responder.endpoint.half_open <= 5
    assert pair.responder.dropped[DropReason.HALF_OPEN_SOURCE_LIMIT] == 30
    assert E.COOKIES_REQUIRED not in pair.responder.names()
    assert len(pair.establish().initiator.endpoint.sas()) == 1


def test_requests_in_the_name_of_an_honest_peer_do_not_lock_it_out(codec: str) -> None:
    """An attacker fills the limit of the initiator's address, which he forges."""
    pair = Pair(codec, responder=variant(RESPONDER, **limits(half_open_per_source=5)))
    for number in range(30):
        throw(pair, request(pair, nonce=number.to_bytes(32)), HERE)
    assert pair.responder.endpoint.half_open == 5
    pair.establish()
    assert pair.initiator.endpoint.sas()[0].phase == "ESTABLISHED"
    assert pair.responder.endpoint.half_open == 4
    assert pair.initiator.told(E.IKE_SA_INIT_RETRIED)


def test_whoever_shows_a_cookie_takes_the_place_of_one_who_did_not(codec: str) -> None:
    """The threshold is as high as the table: it is full of forged requests when honest peers come."""
    crowded = limits(half_open=10, cookie_threshold=10)
    pair = Pair(codec, responder=variant(RESPONDER, peer_ts="10.0.0.0/8", **crowded))
    for number in range(30):
        path = replace(STRANGER, peer_host=f"198.51.100.{number}")
        throw(pair, request(pair, nonce=number.to_bytes(32)), path)
    nodes = [pair.add(honest(f"203.0.113.{n}", local_ts=f"10.1.{n}.0/24")) for n in range(10)]
    for node in nodes:
        pair.initiate(node)
        assert pair.responder.endpoint.half_open <= 10
    pair.drive()
    assert all(node.endpoint.sas()[0].phase == "ESTABLISHED" for node in nodes)
    gave_way = [e for e in pair.responder.events if "gave way" in str(e.fields.get("reason"))]
    assert len(gave_way) == 10
    assert pair.responder.endpoint.half_open == 0


def test_a_full_table_of_proven_peers_takes_nobody(codec: str) -> None:
    crowded = limits(half_open=10, cookie_threshold=0)
    pair = Pair(codec, responder=variant(RESPONDER, **crowded))
    for number in range(30):
        path = replace(STRANGER, peer_host=f"198.51.100.{number}")
        cookie = cookie_in(pair, throw(pair, request(pair), path))
        throw(pair, request(pair, cookie), path)
    assert pair.responder.endpoint.half_open == 10
    assert pair.responder.dropped[DropReason.HALF_OPEN_LIMIT] == 20


def test_a_bad_request_with_a_good_cookie_pushes_nobody_out(codec: str) -> None:
    pair = Pair(codec, responder=variant(RESPONDER, **limits(half_open=2, cookie_threshold=2)))
    for number in range(2):
        throw(pair, request(pair, nonce=number.to_bytes(32)), replace(STRANGER, peer_port=number + 1))
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    cookie = cookie_in(pair, throw(pair, request(pair)))
    sa = SecurityAssociation(offer(pair.responder.settings.ike_suites))
    payloads = (cookie, sa, KeyExchange(KeId.MODP_2048, bytes(256)), Nonce(NI))
    throw(pair, pair.initiator.codec.seal(header, payloads, None, 0).octets)
    assert pair.responder.dropped[DropReason.BAD_KE] == 1
    assert pair.responder.endpoint.half_open == 2
    assert E.IKE_SA_FAILED not in pair.responder.names()


# -- the flood -----------------------------------------------------------------------------------------------

FAST = {"ike": ("aes256gcm16-prfsha256-x25519",), "esp": ("aes256gcm16",)}
FLOOD, SECONDS, HONEST = 20_000, 20.0, 20


class Flood:
    """Requests from random addresses, with random SPIs and nonces: octets of one message, changed."""

    def __init__(self, pair: Pair, rng: random.Random) -> None:
        share = kex.generate(KeId.CURVE25519)
        header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
        sa = SecurityAssociation(offer(pair.responder.settings.ike_suites))
        payloads = (sa, KeyExchange(share.group, share.public), Nonce(NI))
        self._octets = pair.initiator.codec.seal(header, payloads, None, 0).octets
        self._pair, self._rng = pair, rng
        self.octets_in = self.octets_out = 0

    def once(self) -> None:
        rng, responder = self._rng, self._pair.responder
        spi = bytes([rng.randrange(1, 0x80)]) + rng.randbytes(7)
        octets = self._octets.replace(SPI, spi).replace(NI, rng.randbytes(32))
        host = ".".join(str(rng.randrange(1, 224)) for _ in range(4))
        responder.endpoint.handle_datagram(octets, replace(STRANGER, peer_host=host), self._pair.now)
        self.octets_in += len(octets)
        while (output := responder.endpoint.poll()) is not None:
            responder.record(output)
            if isinstance(output, Transmit):
                self.octets_out += sum(map(len, output.datagrams))


def test_twenty_honest_initiators_in_a_flood_of_a_thousand_a_second(codec: str) -> None:
    rng = random.Random(20)
    pair = Pair(codec, variant(INITIATOR, **FAST), variant(RESPONDER, peer_ts="10.0.0.0/8", **FAST))
    nodes = [pair.add(honest(f"192.0.2.{10 + n}", local_ts=f"10.1.{n}.0/24", **FAST)) for n in range(HONEST)]
    flood = Flood(pair, rng)
    arrivals = {START + rng.uniform(0, SECONDS): node for node in nodes}
    moments = [START + n * SECONDS / FLOOD for n in range(FLOOD)]
    highest = 0
    for moment in sorted([*arrivals, *moments]):
        pair.pass_time(max(0.0, moment - pair.now))
        if moment in arrivals:
            pair.initiate(arrivals[moment])
            pair.drive()
        else:
            flood.once()
        highest = max(highest, pair.responder.endpoint.half_open)
    responder = pair.responder
    assert [node.endpoint.sas()[0].phase for node in nodes] == ["ESTABLISHED"] * HONEST
    assert highest <= Limits().cookie_threshold + 1
    # Once cookies are wanted only those who show one cost a key pair; nobody waited for a second chance.
    pairs = responder.names().count(E.DH_KEY_PAIR_GENERATED)
    shown = sum(node.names().count(E.IKE_SA_INIT_RETRIED) for node in nodes)
    assert HONEST - 1 <= shown <= HONEST
    assert pairs == Limits().cookie_threshold + shown
    assert responder.dropped == {DropReason.COOKIE_REQUIRED: FLOOD + HONEST - Limits().cookie_threshold}
    assert responder.told(E.COOKIES_REQUIRED)
    assert flood.octets_out <= flood.octets_in
    ended = pair.now
    pair.pass_time(10)
    assert responder.told(E.COOKIES_LIFTED)
    assert pair.now - ended <= 10
    assert len(responder.endpoint.sas()) == HONEST
    for node in nodes:
        node.endpoint.delete_all(pair.now)
        pair.flush(node)
    pair.pass_time(60)
    assert pair.empty()
    assert responder.endpoint.deadline() is None
    table = responder.endpoint._half_open
    assert not table._by_request
    assert not table._by_spi
    assert not table._settled
    assert not table._sources
    assert not table._unproven


def test_the_load_is_over_within_ten_seconds(codec: str) -> None:
    """Also where the flood was short: what it left in the table goes early."""
    pair = Pair(codec, variant(INITIATOR, **FAST), variant(RESPONDER, **FAST))
    flood = Flood(pair, random.Random(1))
    for _ in range(40):
        flood.once()
    assert pair.responder.endpoint.half_open == 30
    pair.pass_time(9.9)
    assert pair.responder.endpoint.half_open == 0
    assert pair.responder.told(E.COOKIES_LIFTED)
    assert pair.establish().up()
    assert E.IKE_SA_INIT_RETRIED not in pair.initiator.names()
