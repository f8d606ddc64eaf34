"""Cookies in both roles (RFC 7296 2.6), alone and together with INVALID_KE_PAYLOAD (2.6.1).

initiator                             responder
IKE_SA_INIT SA, KE, Ni            -->
                                  <--  N(COOKIE)
IKE_SA_INIT N(COOKIE), SA, KE, Ni -->
                                  <--  SA, KE, Nr
"""

import random
from dataclasses import replace

import pytest

from node.crypto import kex
from node.errors import DropReason
from node.ike.alarm import CALM, Alarm
from node.ike.cookies import LIFETIME, MAX_COOKIE, Cookies
from node.ike.phases import InitReplied
from node.ike.tasks.init import MAX_RETRIES
from node.model.events import EventName as E
from node.model.message import NO_SPI, Glance, Header, HeaderFlags, Path
from node.model.payloads import KeyExchange, Nonce, Notify, Payload
from node.model.registry import ExchangeType, KeId, NotifyType
from tests.engine.harness import INITIATOR, RESPONDER, Counting, Datagram, Pair, variant
from tests.engine.strangers import HERE, NI, SPI, answer_with, limits, request, throw


def payloads_of(pair: Pair, datagram: Datagram) -> tuple[Payload, ...]:
    return pair.initiator.codec.read(pair.initiator.codec.peek(datagram.octets)).payloads


# -- making and checking -------------------------------------------------------------------------------------


def test_a_cookie_is_good_for_its_request_alone() -> None:
    cookies = Cookies(Counting(b"secret"))
    cookie = cookies.make(SPI, NI, HERE, 0.0)
    assert 1 <= len(cookie) <= MAX_COOKIE
    assert cookies.good(SPI, Glance(NI, cookie), HERE, 0.0)
    assert cookies.good(SPI, Glance(NI, cookie), replace(HERE, peer_port=1), 0.0)
    elsewhere = replace(HERE, peer_host="192.0.2.11")
    assert not cookies.good(SPI, Glance(NI, cookie), elsewhere, 0.0)
    assert not cookies.good(SPI[::-1], Glance(NI, cookie), HERE, 0.0)
    assert not cookies.good(SPI, Glance(NI[::-1], cookie), HERE, 0.0)
    assert not Cookies(Counting(b"other")).good(SPI, Glance(NI, cookie), HERE, 0.0)


@pytest.mark.parametrize("bit", range(17 * 8))
def test_no_bit_of_a_cookie_may_change(bit: int) -> None:
    cookies = Cookies(Counting(b"secret"))
    cookie = bytearray(cookies.make(SPI, NI, HERE, 0.0))
    cookie[bit // 8] ^= 1 << bit % 8
    assert not cookies.good(SPI, Glance(NI, bytes(cookie)), HERE, 0.0)


def test_nothing_shorter_or_longer_is_good() -> None:
    cookies = Cookies(Counting(b"secret"))
    cookie = cookies.make(SPI, NI, HERE, 0.0)
    for other in (b"", *(cookie[:n] for n in range(len(cookie))), cookie + b"\0"):
        assert not cookies.good(SPI, Glance(NI, other), HERE, 0.0)


def test_octets_cannot_be_moved_between_address_and_nonce() -> None:
    cookies = Cookies(Counting(b"secret"))
    cookie = cookies.make(SPI, b"1" + NI, replace(HERE, peer_host="192.0.2.1"), 0.0)
    assert not cookies.good(SPI, Glance(NI, cookie), replace(HERE, peer_host="192.0.2.11"), 0.0)


@pytest.mark.parametrize(
    ("age", "good"), [(LIFETIME - 1, True), (2 * LIFETIME - 2, True), (2 * LIFETIME, False), (1e6, False)]
)
def test_a_cookie_grows_old(age: float, good: bool) -> None:
    cookies = Cookies(Counting(b"secret"))
    cookies.make(SPI, NI, HERE, 0.0)
    cookie = cookies.make(SPI, NI, HERE, 1.0)
    if good:
        cookies.make(SPI, NI, HERE, LIFETIME)
    assert cookies.good(SPI, Glance(NI, cookie), HERE, age) is good


def test_secrets_are_changed_and_two_are_kept() -> None:
    cookies = Cookies(Counting(b"secret"))
    made = [cookies.make(SPI, NI, HERE, n * LIFETIME) for n in range(600)]
    assert len(set(made)) == 600
    now = 599 * LIFETIME
    assert [cookies.good(SPI, Glance(NI, cookie), HERE, now) for cookie in made[-4:]] == [
        False,
        False,
        True,
        True,
    ]


# -- when they are wanted ------------------------------------------------------------------------------------


def test_the_alarm_follows_the_half_open_sas() -> None:
    alarm = Alarm(3)
    assert not alarm.on(2, 0.0)
    assert alarm.deadline() is None
    assert alarm.on(3, 1.0)
    assert alarm.on(0, 1.0 + CALM - 0.1)
    assert not alarm.on(0, 1.0 + CALM)


def test_the_alarm_follows_the_requests_that_it_holds_off() -> None:
    alarm = Alarm(3)
    alarm.on(3, 0.0)
    for n in range(200):
        alarm.put_off(n / 10)
        assert alarm.on(0, n / 10)
    assert not alarm.on(0, 20 + CALM)


def test_a_trickle_does_not_keep_the_alarm_on() -> None:
    alarm = Alarm(3)
    alarm.on(3, 0.0)
    alarm.put_off(1.0)
    alarm.put_off(3.0)
    alarm.put_off(5.5)
    assert not alarm.on(0, 6.0)


# -- both ends -----------------------------------------------------------------------------------------------


def test_the_call_flow_with_a_cookie(wary: Pair) -> None:
    wary.establish()
    assert wary.up()
    assert len(wary.sent) == 6
    first, asked, second = (payloads_of(wary, d) for d in wary.sent[:3])
    (cookie,) = asked
    assert isinstance(cookie, Notify)
    assert cookie.notify_type == NotifyType.COOKIE
    assert second == (cookie, *first)
    headers = [wary.initiator.codec.peek(d.octets).header for d in wary.sent]
    assert [h.message_id for h in headers] == [0, 0, 0, 0, 1, 1]
    assert len({h.spi_i for h in headers}) == 1
    assert headers[1].spi_r == NO_SPI
    assert len(wary.sent[1].octets) < len(wary.sent[0].octets)
    retried = wary.initiator.event(E.IKE_SA_INIT_RETRIED).fields
    assert (retried["notify"], retried["n"]) == ("COOKIE", 1)
    assert wary.responder.told(E.COOKIES_REQUIRED)
    assert wary.responder.dropped == {DropReason.COOKIE_REQUIRED: 1}


def test_nothing_is_kept_or_computed_before_the_cookie(wary: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> object:
        raise AssertionError("a request without a cookie costs more than a look")

    monkeypatch.setattr(wary.responder.codec, "read", forbidden)
    monkeypatch.setattr(kex, "generate", forbidden)
    for _ in range(3):
        throw(wary, request(wary))
    assert not wary.responder.endpoint.sas()
    assert wary.responder.endpoint.half_open == 0
    assert not wary.responder.endpoint._half_open._sources
    assert wary.responder.endpoint.deadline() is None


def test_auth_signs_the_request_that_shows_the_cookie(wary: Pair) -> None:
    wary.initiate()
    for _ in range(3):
        wary.deliver(wary.take())
    (sa,) = wary.responder.endpoint._sas.values()
    assert isinstance(sa.data, InitReplied)
    assert sa.data.transcript.request == wary.sent[2].octets


@pytest.mark.parametrize("seed", range(20))
def test_a_third_of_everything_is_lost_and_some_comes_twice(wary: Pair, seed: int) -> None:
    rng = random.Random(seed)

    def keep(datagram: Datagram) -> bool:
        if rng.random() < 0.2:
            wary.deliver(datagram)
        return rng.random() > 0.3

    wary.initiate()
    wary.pass_time(300, keep)
    wary.pass_time(60)
    assert wary.up()
    assert wary.initiator.told(E.IKE_SA_INIT_RETRIED)


def test_a_repeated_request_with_a_cookie_gets_the_same_answer(wary: Pair) -> None:
    wary.initiate()
    for _ in range(3):
        wary.deliver(wary.take())
    again = wary.sent[2]
    for _ in range(3):
        wary.deliver(again)
    assert {d.octets for d in wary.sent[3:]} == {wary.sent[3].octets}
    assert len(wary.responder.endpoint.sas()) == 1
    wary.drive()
    assert wary.up()


def test_a_repeated_cookie_is_no_further_one(wary: Pair) -> None:
    wary.initiate()
    wary.deliver(wary.take())
    asked = wary.take()
    for _ in range(5):
        wary.deliver(asked)
    assert wary.initiator.dropped == {DropReason.STALE_MESSAGE_ID: 4}
    wary.drive()
    assert wary.up()


def test_a_cookie_that_nobody_asked_for_is_ignored(pair: Pair) -> None:
    pair.initiate()
    (sa,) = pair.initiator.endpoint._sas.values()
    pair.wire.clear()
    answer_with(pair, Notify(NotifyType.COOKIE, b"forged"))
    pair.drive()
    assert pair.up()
    assert sa.phase == "ESTABLISHED"


def test_an_old_cookie_is_answered_with_a_new_one(wary: Pair) -> None:
    wary.initiate()
    wary.deliver(wary.take())
    wary.deliver(wary.take())
    stale = wary.take()
    wary.now += 2 * LIFETIME
    wary.deliver(stale)
    wary.drive()
    assert wary.up()
    assert wary.initiator.names().count(E.IKE_SA_INIT_RETRIED) == 2


@pytest.mark.parametrize(
    "notifies",
    [
        (Notify(NotifyType.COOKIE, b""),),
        (Notify(NotifyType.COOKIE, bytes(65)),),
        (Notify(NotifyType.COOKIE, b"one"), Notify(NotifyType.COOKIE, b"two")),
        (Notify(NotifyType.COOKIE, b"one"), Notify(NotifyType.COOKIE, b"one")),
    ],
    ids=["empty", "65 octets", "two", "twice"],
)
def test_what_is_no_cookie_is_not_shown(pair: Pair, notifies: tuple[Notify, ...]) -> None:
    pair.initiate()
    held = pair.take()
    answer_with(pair, *notifies)
    assert pair.initiator.dropped == {DropReason.BAD_COOKIE: 1}
    assert not pair.wire
    pair.deliver(held)
    pair.drive()
    assert pair.up()


@pytest.mark.parametrize("size", [1, 64])
def test_cookies_at_the_limits_are_shown(pair: Pair, size: int) -> None:
    pair.initiate()
    pair.take()
    answer_with(pair, Notify(NotifyType.COOKIE, bytes(size)))
    assert payloads_of(pair, pair.take())[0] == Notify(NotifyType.COOKIE, bytes(size))


def test_cookies_without_end_are_not_shown(pair: Pair) -> None:
    pair.initiate()
    sent = len(pair.sent)
    for n in range(50):
        answer_with(pair, Notify(NotifyType.COOKIE, n.to_bytes(4)))
    assert len(pair.sent) == sent + MAX_RETRIES
    assert pair.initiator.dropped == {DropReason.RATE_LIMITED: 50 - MAX_RETRIES}
    pair.wire.clear()
    pair.pass_time(5)
    assert pair.up()


def test_a_cookie_from_elsewhere_is_dropped(pair: Pair) -> None:
    pair.initiate()
    held = pair.take()
    stranger = Path(*pair.initiator.address, "198.51.100.9", 8000)
    answer_with(pair, Notify(NotifyType.COOKIE, b"forged"), path=stranger)
    assert pair.initiator.dropped == {DropReason.UNEXPECTED_MESSAGE: 1}
    pair.deliver(held)
    pair.drive()
    assert pair.up()


def test_a_cookie_outside_ike_sa_init_says_nothing(pair: Pair) -> None:
    """An IKE_AUTH response that carries nothing but N(COOKIE) lacks what it must have."""
    pair.initiate()
    for _ in range(2):
        pair.deliver(pair.take())
    held = pair.take()
    (sa,) = pair.responder.endpoint._sas.values()
    from node.ike.tasks import init

    assert isinstance(sa.data, InitReplied)
    init.derive_for_responder(sa, sa.data)
    header = pair.responder.codec.peek(held.octets).header
    answer = Header(header.spi_i, header.spi_r, ExchangeType.IKE_AUTH, 1, HeaderFlags.RESPONSE)
    assert sa.protection is not None
    cookie = (Notify(NotifyType.COOKIE, b"?"),)
    octets = pair.responder.codec.seal(answer, cookie, sa.protection.outbound, 0).octets
    pair.initiator.endpoint.handle_datagram(octets, pair.initiator.path_to(pair.responder), pair.now)
    pair.flush(pair.initiator)
    assert pair.initiator.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"


# -- another group -------------------------------------------------------------------------------------------

TWO = ("aes256-sha256-modp2048", "aes256-sha256-x25519")


@pytest.mark.parametrize("threshold", [0, 30])
def test_another_group_is_tried(codec: str, threshold: int) -> None:
    chosen = variant(RESPONDER, ike=TWO[1:], **limits(cookie_threshold=threshold))
    pair = Pair(codec, variant(INITIATOR, ike=TWO), chosen).establish()
    assert pair.up()
    told = [(e.fields["notify"], e.fields["group"]) for e in pair.initiator.events if "n" in e.fields]
    wanted = [("INVALID_KE_PAYLOAD", "CURVE25519")]
    assert told == ([] if threshold else [("COOKIE", "MODP_2048")]) + wanted
    nonces = {p.data for d in pair.sent for p in readable(pair, d) if isinstance(p, Nonce)}
    assert len(nonces) == 2
    if not threshold:
        first, *_ = payloads_of(pair, pair.sent[4])
        assert isinstance(first, Notify)
        assert len(pair.sent) == 8


def readable(pair: Pair, datagram: Datagram) -> tuple[Payload, ...]:
    envelope = pair.initiator.codec.peek(datagram.octets)
    return () if envelope.protected else pair.initiator.codec.read(envelope).payloads


def test_the_group_first_then_the_cookie(codec: str) -> None:
    pair = Pair(codec, variant(INITIATOR, ike=TWO), variant(RESPONDER, ike=TWO[1:]))
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    pair.take()
    answer_with(pair, Notify(NotifyType.COOKIE, b"second thoughts"))
    cookie, _, share, *_ = payloads_of(pair, pair.wire[0])
    assert isinstance(cookie, Notify)
    assert isinstance(share, KeyExchange)
    assert share.group == KeId.CURVE25519
    pair.drive()
    assert pair.up()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x00\x1f", b"\x00\x12", b"\xff\xff", b"\x00\x0e"],
    ids=["empty", "one octet", "three octets", "not proposed", "unknown", "the one that was sent"],
)
def test_a_group_that_we_did_not_propose_ends_the_attempt(codec: str, data: bytes) -> None:
    pair = Pair(codec, variant(INITIATOR, ike=TWO))
    pair.initiate()
    pair.wire.clear()
    answer_with(pair, Notify(NotifyType.INVALID_KE_PAYLOAD, data))
    assert not pair.wire
    pair.pass_time(3, keep=lambda datagram: False)
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == "refused with INVALID_KE_PAYLOAD"


def test_two_groups_without_end(codec: str) -> None:
    """A responder that wants the other group whatever it gets."""
    pair = Pair(codec, variant(INITIATOR, ike=TWO))
    pair.initiate()
    for n in range(20):
        wanted = KeId.CURVE25519 if n % 2 == 0 else KeId.MODP_2048
        answer_with(pair, Notify(NotifyType.INVALID_KE_PAYLOAD, int(wanted).to_bytes(2)))
    assert pair.initiator.names().count(E.IKE_SA_INIT_RETRIED) == MAX_RETRIES
    pair.pass_time(3, keep=lambda datagram: False)
    assert not pair.initiator.endpoint.sas()


def test_a_forged_group_does_not_end_the_attempt(codec: str) -> None:
    pair = Pair(codec, variant(INITIATOR, ike=TWO), variant(RESPONDER, ike=TWO))
    pair.initiate()
    held = pair.take()
    answer_with(pair, Notify(NotifyType.INVALID_KE_PAYLOAD, int(KeId.CURVE25519).to_bytes(2)))
    pair.deliver(held)
    pair.drive()
    assert pair.initiator.dropped[DropReason.BAD_KE] == 1
    assert "MODP_2048" in str(pair.initiator.event(E.IKE_SA_ESTABLISHED).fields["suite"])


def test_a_repeated_refusal_of_the_group_is_no_further_one(codec: str) -> None:
    pair = Pair(codec, variant(INITIATOR, ike=TWO), variant(RESPONDER, ike=TWO[1:]))
    pair.initiate()
    pair.deliver(pair.take())
    refusal = pair.take()
    for _ in range(4):
        pair.deliver(refusal)
    assert pair.initiator.dropped == {DropReason.STALE_MESSAGE_ID: 3}
    pair.drive()
    assert pair.up()
