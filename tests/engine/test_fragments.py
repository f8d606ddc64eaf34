"""Messages in fragments (RFC 7383): cut where both take them, kept within limits, joined once.

Only rfc7296: the asn1 profile has no fragments, and its nodes neither announce nor take them
(`test_no_fragments_where_one_of_them_takes_none` and tests/node say so).
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DropReason
from node.ike.fragments import MAX_OCTETS, OVERHEAD, PATIENCE
from node.ike.outputs import Dropped, Transmit
from node.model.events import EventName as E
from node.model.message import Envelope, Fragment, Message
from node.model.payloads import Nonce, Notify
from node.model.registry import ExchangeType, NotifyType, PayloadType
from node.ports import Sealer
from tests.engine.harness import (
    INITIATOR,
    RESPONDER,
    Credentials,
    Datagram,
    Node,
    Pair,
    authority,
    credentials,
    variant,
)
from tests.engine.pieces import (
    MTU,
    Cutter,
    count,
    cutting,
    cutting_pair,
    held,
    take_all,
    to_auth,
    to_response,
    waiting,
)
from tests.unit.pki import factory

D = DropReason
#: An INFORMATIONAL request that asks for nothing, of some size.
SAID = (Notify(NotifyType.INITIAL_CONTACT, bytes(600)),)


@pytest.fixture
def pair() -> Pair:
    return cutting_pair()


def deliver(pair: Pair, datagrams: Sequence[Datagram]) -> None:
    for datagram in datagrams:
        pair.deliver(datagram)


def throw(pair: Pair, *octets: bytes) -> None:
    """The initiator's datagrams, written by somebody else, arrive at the responder."""
    path = pair.responder.path_to(pair.initiator)
    for one in octets:
        pair.responder.endpoint.handle_datagram(one, path, pair.now)
        pair.flush(pair.responder)


def broken(octets: bytes) -> bytes:
    return with_octet(octets, len(octets) - 1, octets[-1] ^ 1)


def with_octet(octets: bytes, at: int, value: int) -> bytes:
    return octets[:at] + bytes((value,)) + octets[at + 1 :]


# -- the exchange --------------------------------------------------------------------------------------------


def test_ike_auth_in_three_fragments_each_way(pair: Pair) -> None:
    """
    SA, KE, Ni, N(FRAG)    -->
                           <--    SA, KE, Nr, N(FRAG)
    SKF(1/3) SKF(2/3) SKF(3/3)    -->
                           <--    SKF(1/3) SKF(2/3) SKF(3/3)
    """
    pair.establish()
    assert pair.up()
    sizes = [len(d.octets) for d in pair.sent]
    assert len(sizes) == 2 + 3 + 3
    assert max(sizes) <= MTU
    for source, target in (pair.initiator, pair.responder), (pair.responder, pair.initiator):
        sent, came = source.event(E.IKE_AUTH_SENT).fields, target.event(E.IKE_AUTH_RECEIVED).fields
        octets = sum(len(d.octets) for d in pair.sent[2:] if d.source is source)
        assert (sent["octets"], sent["fragments"]) == (came["octets"], came["fragments"]) == (octets, 3)
        assert sent["payloads"] == came["payloads"]
        assert not source.dropped
        assert held(source) == 0
        assert "fragments" not in source.event(E.IKE_SA_INIT_SENT).fields


@pytest.mark.parametrize("sizes", [(MTU, 0), (0, MTU), (0, 0)])
def test_no_fragments_where_one_of_them_takes_none(sizes: tuple[int, int]) -> None:
    pair = cutting_pair(*sizes).establish()
    assert pair.up()
    assert len(pair.sent) == 4
    assert [len(d.octets) > MTU for d in pair.sent[2:]] == [True, True]
    for node, size in zip((pair.initiator, pair.responder), sizes, strict=True):
        said = node.event(E.IKE_SA_INIT_SENT).fields["payloads"]
        assert ("N(IKEV2_FRAGMENTATION_SUPPORTED)" in str(said)) is bool(size)
        assert "fragments" not in node.event(E.IKE_AUTH_SENT).fields


def test_each_party_cuts_by_its_own_size() -> None:
    pair = cutting_pair(576, 220).establish()
    assert pair.up()
    assert [n.event(E.IKE_AUTH_SENT).fields["fragments"] for n in (pair.initiator, pair.responder)] == [2, 4]


def test_a_small_message_is_not_cut(pair: Pair) -> None:
    pair.establish()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert pair.empty()
    assert len(pair.sent) == 2 + 3 + 3 + 2


@pytest.mark.parametrize(
    "suite", ["aes256-sha256-x25519", "aes128-sha512-ecp256", "chacha20poly1305-prfsha256-x25519"]
)
def test_other_suites(suite: str) -> None:
    pair = Pair("rfc7296", cutting(INITIATOR, ike=(suite,)), cutting(RESPONDER, ike=(suite,))).establish()
    assert pair.up()
    assert count(pair.initiator, E.IKE_AUTH_SENT) == 1


def test_a_replaced_ike_sa_goes_on_with_them() -> None:
    """What both said in IKE_SA_INIT holds for the IKE SAs that come of it; a group of 2,048 bits is large.

    SKF(1/2) SKF(2/2)    -->                                  SA, Ni, KE
                         <--    SKF(1/2) SKF(2/2)             SA, Nr, KE
    """
    suite = ("aes256gcm16-prfsha256-modp2048",)
    pair = Pair("rfc7296", cutting(INITIATOR, ike=suite), cutting(RESPONDER, ike=suite)).establish()
    for generation in (1, 2):
        (sa,) = pair.initiator.endpoint.sas()
        pair.initiator.endpoint.rekey_ike(bytes.fromhex(sa.spi_i), pair.now)
        pair.flush(pair.initiator)
        pair.drive()
        assert pair.up()
        for node in (pair.initiator, pair.responder):
            told = [e.fields for e in node.events if e.name is E.CREATE_CHILD_SA_RECEIVED]
            assert [fields["fragments"] for fields in told] == [2] * generation
            assert held(node) == 0


# -- order, loss, repetition ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order(pair: Pair, order: tuple[int, ...]) -> None:
    request = to_auth(pair)
    deliver(pair, [request[n] for n in order])
    response = take_all(pair)
    deliver(pair, [response[n] for n in order])
    assert pair.up()
    assert not pair.initiator.dropped + pair.responder.dropped


@pytest.mark.parametrize("lost", range(6))
def test_each_of_them_may_be_lost(pair: Pair, lost: int) -> None:
    """What came before stays: only what was lost has to come with the repetition."""
    sent = to_auth(pair)
    if lost >= 3:
        deliver(pair, sent)
        sent = take_all(pair)
    first = [d.octets for d in sent]
    deliver(pair, [d for n, d in enumerate(sent) if n != lost % 3])
    assert not pair.up()
    pair.pass_time(1.0, keep=lambda d: d.octets == first[lost % 3] or d.octets not in first)
    assert pair.up()
    assert count(pair.initiator, E.RETRANSMITTED) == 1
    assert held(pair.initiator) == held(pair.responder) == 0


def test_what_is_sent_again_is_what_was_sent(pair: Pair) -> None:
    request = [d.octets for d in to_auth(pair)]
    pair.pass_time(20, keep=lambda d: False)
    again = [d.octets for d in pair.sent[5:]]
    assert len(again) > 9
    assert again == request * (len(again) // 3)


def test_only_the_first_fragment_of_an_answered_request_asks_again(pair: Pair) -> None:
    """
    SKF(1/3) SKF(2/3) SKF(3/3)   -->
                                 X--    SKF(1/3) SKF(2/3) SKF(3/3)
    SKF(2/3) SKF(3/3)            -->                                   nothing
    SKF(1/3)                     -->
                                 <--    SKF(1/3) SKF(2/3) SKF(3/3)     as before
    """
    request = to_auth(pair)
    deliver(pair, request)
    response = [d.octets for d in take_all(pair)]
    deliver(pair, request[1:])
    assert not pair.wire
    assert pair.responder.dropped == {D.FRAGMENT_REPEATED: 2}
    pair.deliver(request[0])
    assert [d.octets for d in pair.wire] == response
    assert count(pair.responder, E.RESPONSE_REPEATED) == 1
    pair.drive()
    assert pair.up()


def test_an_answered_request_in_more_pieces_asks_again(pair: Pair) -> None:
    """RFC 7383 2.5.2: the answer was lost, and the peer tries smaller fragments, whose octets are others."""
    request = to_auth(pair)
    deliver(pair, request)
    response = [d.octets for d in take_all(pair)]
    cutter = Cutter(pair)
    throw(pair, cutter.piece(2, 4, b"x"), cutter.piece(1, 2, b"x"), broken(cutter.piece(1, 4, b"x")))
    assert pair.responder.dropped == {D.STALE_MESSAGE_ID: 2, D.BAD_ICV: 1}
    assert not pair.wire
    throw(pair, cutter.piece(1, 4, b"x"))
    assert [d.octets for d in pair.wire] == response


def test_a_refusal_is_repeated_for_the_first_fragment() -> None:
    """What is left of a refused IKE SA is enough for that (RFC 7296 2.21)."""
    expecting = cutting(RESPONDER, expects="fqdn:somebody-else")
    pair = Pair("rfc7296", cutting(INITIATOR), expecting)
    request = to_auth(pair)
    deliver(pair, request)
    assert pair.responder.told(E.AUTHENTICATION_FAILED)
    (refusal,) = [d.octets for d in take_all(pair)]
    deliver(pair, [*request[1:], request[0]])
    assert [d.octets for d in pair.wire] == [refusal]
    assert held(pair.responder) == 0


def test_late_fragments_of_a_response_are_over(pair: Pair) -> None:
    response = to_response(pair)
    deliver(pair, response)
    deliver(pair, response)
    assert pair.up()
    assert pair.initiator.dropped == {D.STALE_MESSAGE_ID: 3}


@pytest.mark.parametrize("of_response", [False, True])
def test_a_fragment_that_is_there_already(
    pair: Pair, of_response: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7383 2.6: it is found by its octets, before anything is opened."""
    sent = to_response(pair) if of_response else to_auth(pair)
    node = sent[0].target
    pair.deliver(sent[0])
    opens = counted(node, monkeypatch)
    deliver(pair, [sent[0]] * 5)
    assert node.dropped == {D.FRAGMENT_REPEATED: 5}
    assert not opens
    deliver(pair, sent[1:])
    pair.drive()
    assert pair.up()


def counted(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[Envelope]:
    """Every envelope that the node opens from now on."""
    opens: list[Envelope] = []
    honest = node.codec.open

    def watched(envelope: Envelope, opener: Sealer) -> Message | Fragment:
        opens.append(envelope)
        return honest(envelope, opener)

    monkeypatch.setattr(node.codec, "open", watched)
    return opens


def test_a_number_that_is_there_already_in_other_octets(pair: Pair) -> None:
    request = to_auth(pair)
    pair.deliver(request[0])
    throw(pair, Cutter(pair).piece(1, 3, b"something else"))
    assert pair.responder.dropped == {D.FRAGMENT_REPEATED: 1}
    deliver(pair, request[1:])
    pair.drive()
    assert pair.up(), "the first one counts"


@pytest.mark.parametrize("seed", range(20))
def test_everything_comes_twice_within_ten(seed: int) -> None:
    """Of all that is under way, ten datagrams at a time arrive in any order, each twice."""
    rng, pair = random.Random(seed), cutting_pair()
    pair.initiate()
    for _ in range(100):
        window = list(itertools.islice(pair.wire, 10)) * 2
        rng.shuffle(window)
        for _ in range(min(10, len(pair.wire))):
            pair.wire.popleft()
        deliver(pair, window)
        if not pair.wire:
            break
    pair.pass_time(60)
    assert pair.up()


def test_a_fifth_of_all_datagrams_is_lost_each_way() -> None:
    """199 of 200 handshakes with IKE_AUTH in 3 + 3 fragments; `make test-long` does a thousand."""
    rng = random.Random(7383)
    up = 0
    for _ in range(200):
        pair = cutting_pair()
        pair.initiate()
        pair.pass_time(200, keep=lambda datagram: rng.random() >= 0.2)
        up += pair.initiator.names().count(E.IKE_SA_ESTABLISHED)
        assert held(pair.initiator) == held(pair.responder) == 0
    assert up >= 199


# -- sets of fragments ---------------------------------------------------------------------------------------


def test_more_fragments_begin_anew(pair: Pair) -> None:
    """RFC 7383 2.6: the peer found out that smaller ones get through."""
    deliver(pair, to_auth(pair)[:2])
    cutter = Cutter(pair)
    pieces = cutter.cut(SAID, 5)
    throw(pair, pieces[4])
    assert waiting(pair.responder).total == 5
    assert list(waiting(pair.responder).kept) == [5]
    assert pair.responder.dropped == {D.FRAGMENTS_INCOMPLETE: 1}
    throw(pair, *pieces[:4])
    assert pair.responder.event(E.IKE_AUTH_RECEIVED).fields["fragments"] == 5


def test_fewer_fragments_are_dropped(pair: Pair) -> None:
    request = to_auth(pair)
    pair.deliver(request[0])
    throw(pair, Cutter(pair).piece(2, 2, b"x"))
    assert pair.responder.dropped == {D.FRAGMENT_CONFLICT: 1}
    deliver(pair, request[1:])
    pair.drive()
    assert pair.up()


@pytest.mark.parametrize(
    "change",
    [{"exchange": ExchangeType.CREATE_CHILD_SA}, {"flags": 0x18}, {"version": 0x21}],
    ids=["exchange", "flags", "version"],
)
def test_all_fragments_have_the_header_of_their_message(pair: Pair, change: dict[str, int]) -> None:
    pair.establish()
    cutter = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    pieces = cutter.cut(SAID, 3)
    other = replace(cutter.header, **change)  # type: ignore[arg-type]
    throw(pair, pieces[0], cutter.piece(2, 3, b"x", header=other))
    assert pair.responder.dropped == {D.FRAGMENT_CONFLICT: 1}
    throw(pair, *pieces[1:])
    assert pair.responder.event(E.INFORMATIONAL_RECEIVED).fields["fragments"] == 3


def test_a_first_payload_type_in_a_later_fragment(pair: Pair) -> None:
    """RFC 7383 2.5: only the first names it. Silence, whoever it is from."""
    request = to_auth(pair)
    throw(pair, Cutter(pair).piece(2, 3, b"x", first=PayloadType.AUTH))
    assert pair.responder.dropped == {D.MALFORMED: 1}
    assert held(pair.responder) == 0
    deliver(pair, request)
    pair.drive()
    assert pair.up()


@pytest.mark.parametrize("number", range(3))
def test_a_bad_icv_in_one_of_them(pair: Pair, number: int) -> None:
    request = to_auth(pair)
    for n, datagram in enumerate(request):
        if n == number:
            pair.deliver(datagram, broken(datagram.octets))
        pair.deliver(datagram)
    assert pair.responder.dropped == {D.BAD_ICV: 1}
    pair.drive()
    assert pair.up()


def test_a_whole_message_in_the_place_of_fragments(pair: Pair) -> None:
    """RFC 7383 2.4: it is up to the sender of the request, each time."""
    pair.establish()
    cutter = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    throw(pair, cutter.cut(SAID, 3)[0])
    assert held(pair.responder)
    assert cutter.sa.protection is not None
    whole = pair.initiator.codec.seal(cutter.header, SAID, cutter.sa.protection.outbound, 0).octets
    throw(pair, whole)
    assert "fragments" not in pair.responder.event(E.INFORMATIONAL_RECEIVED).fields
    assert held(pair.responder) == 0
    throw(pair, whole)
    assert count(pair.responder, E.RESPONSE_REPEATED) == 1


def test_one_fragment_that_is_all(pair: Pair) -> None:
    pair.establish()
    throw(pair, *Cutter(pair, ExchangeType.INFORMATIONAL, 2).cut(SAID, 1))
    assert pair.responder.event(E.INFORMATIONAL_RECEIVED).fields["fragments"] == 1


def test_fragments_of_other_messages(pair: Pair) -> None:
    """
    expected is 2: 1 is over, 3 is too far ahead, and nobody asked for a response 2
    """
    pair.establish()
    over = Cutter(pair, ExchangeType.INFORMATIONAL, 1)
    ahead = Cutter(pair, ExchangeType.INFORMATIONAL, 3)
    unasked = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    response = replace(unasked.header, flags=unasked.header.flags | 0x20)
    throw(pair, over.piece(1, 2, b"x"), ahead.piece(1, 2, b"x"), unasked.piece(1, 2, b"x", header=response))
    assert pair.responder.dropped == {D.STALE_MESSAGE_ID: 2, D.OUT_OF_WINDOW: 1}
    assert held(pair.responder) == 0


def test_a_fragment_where_none_was_negotiated() -> None:
    pair = cutting_pair(MTU, 0).establish()
    throw(pair, Cutter(pair, ExchangeType.INFORMATIONAL, 2).piece(1, 2, b"x"))
    assert pair.responder.dropped == {D.UNEXPECTED_MESSAGE: 1}
    assert held(pair.responder) == 0


def test_a_message_that_is_none_once_it_is_joined(pair: Pair) -> None:
    """It is the peer's own mistake, and answered: INVALID_SYNTAX (RFC 7296 2.21.3)."""
    to_auth(pair)
    throw(pair, *Cutter(pair).cut((Nonce(b"short"),), 2))
    assert pair.responder.dropped == {D.BAD_NONCE: 1}
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert held(pair.responder) == 0


def test_two_ike_sas_at_a_time() -> None:
    """
    A: SKF(1/3)   -->   B: SKF(1/3)   -->   A: SKF(2/3)   -->  ...
    """
    pair = cutting_pair()
    other = pair.add(cutting(variant(INITIATOR, address="192.0.2.9")))
    requests = []
    for node in (pair.initiator, other):
        pair.initiate(node)
        pair.deliver(pair.take())
        pair.deliver(pair.take())
        requests.append(take_all(pair))
    mixed = [d for both in zip(*requests, strict=True) for d in both]
    deliver(pair, mixed[:4])
    assert held(pair.responder) > 4 * OVERHEAD
    deliver(pair, mixed[4:])
    pair.drive()
    assert [len(node.children) for node in (pair.initiator, other)] == [1, 1]
    assert not pair.responder.dropped
    assert [e.fields["fragments"] for e in pair.responder.events if e.name is E.IKE_AUTH_RECEIVED] == [3, 3]


# -- limits --------------------------------------------------------------------------------------------------


def test_strangers_make_us_keep_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open IKE SA: one check each, keys derived once, and the honest message still gets through."""
    request = to_auth(pair)
    opens = counted(pair.responder, monkeypatch)
    forged = [
        broken(d.octets)[:n] + bytes((n,)) + broken(d.octets)[n + 1 :] for d in request for n in range(40, 90)
    ]
    throw(pair, *forged)
    assert pair.responder.dropped[D.BAD_ICV] == len(opens) == len(forged)
    assert pair.responder.told(E.SHARED_SECRET_DERIVED)
    assert held(pair.responder) == 0
    assert not waiting(pair.responder).kept
    assert waiting(pair.responder).deadline is None
    deliver(pair, request)
    pair.drive()
    assert pair.up()
    assert pair.responder.told(E.SHARED_SECRET_DERIVED)


@pytest.mark.parametrize(("number", "total"), [(0, 3), (4, 3), (1, 0), (1, 33), (65_535, 65_535)])
def test_numbers_that_cannot_be(pair: Pair, number: int, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    to_auth(pair)
    piece = Cutter(pair).piece(number, total, b"x", first=0)
    throw(pair, piece)
    assert pair.responder.dropped == {D.MALFORMED: 1}
    assert held(pair.responder) == 0


def test_a_message_of_too_many_octets(pair: Pair) -> None:
    pair.establish()
    cutter = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    size = MAX_OCTETS // 7 + 1
    for number in range(1, 8):
        throw(pair, cutter.piece(number, 8, bytes(size)))
    assert pair.responder.dropped == {D.OVERSIZED: 1}
    assert len(waiting(pair.responder).kept) == 6
    assert held(pair.responder) == 6 * (size + OVERHEAD)


def test_all_that_is_kept_is_bounded() -> None:
    """A budget for the whole endpoint; who is dropped comes again, once there is room."""
    pair = cutting_pair()
    other = pair.add(cutting(variant(INITIATOR, address="192.0.2.9")))
    first = to_auth(pair)
    budget = pair.responder.endpoint._context.fragments
    deliver(pair, first[:2])
    budget.limit = held(pair.responder) + 100
    pair.initiate(other)
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    second = take_all(pair)
    deliver(pair, second)
    assert pair.responder.dropped == {D.FRAGMENT_LIMIT: 3}
    assert held(pair.responder) <= budget.limit
    budget.limit *= 2
    pair.deliver(first[2])
    assert held(pair.responder) == 0
    deliver(pair, second)
    assert [e.fields["fragments"] for e in pair.responder.events if e.name is E.IKE_AUTH_RECEIVED] == [3, 3]


def test_a_half_open_ike_sa_has_its_time(pair: Pair) -> None:
    deliver(pair, to_auth(pair)[:2])
    assert held(pair.responder)
    pair.pass_time(30, keep=lambda d: False)
    assert pair.responder.event(E.IKE_SA_FAILED).fields["reason"] == "no valid IKE_AUTH arrived in time"
    assert held(pair.responder) == 0


def test_a_slow_drip_ends(pair: Pair) -> None:
    """Time counts from the first fragment: neither a later one nor another set gives more of it."""
    pair.establish()
    cutter = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    for number in range(1, 12):
        throw(pair, cutter.piece(number, 30 + (number > 3), bytes(100)))
        pair.pass_time(PATIENCE / 10)
    told = [o for o in pair.responder.of(Dropped) if isinstance(o, Dropped)]
    assert [o.reason for o in told] == [D.FRAGMENTS_INCOMPLETE] * 2
    assert "7 of 31 fragments of message 2, the others did not come in time" in told[-1].detail
    assert list(waiting(pair.responder).kept) == [11]
    pair.pass_time(PATIENCE)
    assert held(pair.responder) == 0
    assert pair.up(), "it is no failure of the IKE SA (RFC 7383 2.6)"
    assert pair.responder.endpoint.deadline() is None
    throw(pair, *cutter.cut(SAID, 3))
    assert pair.responder.event(E.INFORMATIONAL_RECEIVED).fields["fragments"] == 3


def test_a_response_has_the_time_of_its_request(pair: Pair) -> None:
    response = to_response(pair)
    deliver(pair, response[:2])
    assert held(pair.initiator)
    pair.pass_time(300, keep=lambda d: d.target is pair.responder)
    assert pair.initiator.told(E.RETRANSMISSION_GAVE_UP)
    assert held(pair.initiator) == 0


def test_closing_gives_back_what_was_kept(pair: Pair) -> None:
    pair.establish()
    throw(pair, Cutter(pair, ExchangeType.INFORMATIONAL, 2).piece(1, 2, b"x"))
    assert held(pair.responder)
    pair.responder.endpoint.delete_all(pair.now)
    pair.flush(pair.responder)
    pair.drive()
    assert pair.empty()
    assert held(pair.responder) == 0


# -- what is too large ---------------------------------------------------------------------------------------


def large(name: str, octets: int) -> Credentials:
    """The certificate of a node with something large in it that nobody knows."""
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), bytes(octets))
    issued = factory.leaf(name, authority("Lab CA"), f"dns:{name}", extra=[(padding, False)])
    usual = credentials(name)
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(issued.der, key, usual.anchors)


def test_certificates_that_need_fragments_get_through() -> None:
    big = cutting(INITIATOR, 1_200, show=large("initiator", 11_000))
    pair = Pair("rfc7296", big, cutting(RESPONDER, 1_200)).establish()
    assert pair.up()
    assert pair.initiator.event(E.IKE_AUTH_SENT).fields["fragments"] == 11


def test_an_initiator_with_certificates_that_the_peer_cannot_take() -> None:
    """The responder takes no fragments, and a datagram has 10,000 octets: this IKE SA fails, not the node."""
    big = cutting(INITIATOR, 1_200, show=large("initiator", 11_000))
    pair = Pair("rfc7296", big, cutting(RESPONDER, 0)).establish()
    assert "above 10000: use smaller certificates" in str(
        pair.initiator.event(E.IKE_SA_FAILED).fields["reason"]
    )
    assert not pair.initiator.endpoint.sas()
    assert len(pair.sent) == 2


def test_a_responder_with_certificates_that_the_peer_cannot_take() -> None:
    """
    IDi, CERT, AUTH, ...   -->
                           <--    N(AUTHENTICATION_FAILED)
    """
    big = cutting(RESPONDER, 1_200, show=large("responder", 11_000))
    pair = Pair("rfc7296", cutting(INITIATOR, 0), big).establish()
    assert pair.empty()
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == "refused with AUTHENTICATION_FAILED"
    refused = pair.responder.event(E.NOTIFY_SENT).fields
    assert (refused["notify"], "above 10000" in str(refused["detail"])) == ("AUTHENTICATION_FAILED", True)
    assert "above 10000" in str(pair.responder.event(E.IKE_SA_DELETED).fields["reason"])


# -- any schedule --------------------------------------------------------------------------------------------

#: What may happen: piece `number` of the set, whole, with a flipped bit, cut off; or noise.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([3, 3, 3, 4, 5]), st.integers(0, 4), st.sampled_from(["whole"] * 6 + ["bit", "end"])
    ),
    max_size=25,
)


@given(STEPS)
def test_any_schedule_gives_the_message_once_or_names_why_not(steps: list[tuple[int, int, str]]) -> None:
    """Against a model of RFC 7383 2.6: what is kept, what is dropped, and when the message is there."""
    pair = cutting_pair().establish()
    cutter = Cutter(pair, ExchangeType.INFORMATIONAL, 2)
    sets = {total: cutter.cut(SAID, total) for total in (3, 4, 5)}
    kept: set[int] = set()
    total, done = 0, False
    for of, number, how in steps:
        number %= of
        octets = sets[of][number]
        before, told = held(pair.responder), len(pair.responder.outputs)
        throw(pair, {"whole": octets, "bit": broken(octets), "end": octets[:-1]}[how])
        fresh = pair.responder.outputs[told:]
        dropped = [o.reason for o in fresh if isinstance(o, Dropped)]
        answers = [o for o in fresh if isinstance(o, Transmit)]
        if how != "whole":
            assert len(dropped) == 1, "it is named"
            assert held(pair.responder) == before
        elif done:
            again = number == 0 and of >= total
            assert (bool(answers), bool(dropped)) == (again, not again)
        elif of < total or (of == total and number in kept):
            assert dropped == [D.FRAGMENT_CONFLICT if of < total else D.FRAGMENT_REPEATED]
        else:
            assert dropped == ([D.FRAGMENTS_INCOMPLETE] if of > total and kept else [])
            kept = kept | {number} if of == total else {number}
            total, done = of, len(kept) == of
            assert bool(answers) is done
        assert count(pair.responder, E.INFORMATIONAL_RECEIVED) == done
        assert bool(held(pair.responder)) is (bool(kept) and not done)
