"""What IKE_SA_INIT says beside the algorithms: NAT detection (RFC 7296 2.23), hashes (RFC 7427 4)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.ike.extensions import Extensions, Nat, announce, announced, nat_digest
from node.ike.settings import SIGNATURE_HASHES
from node.model.events import EventName as E
from node.model.message import NO_SPI, Header, HeaderFlags, Message, Path
from node.model.payloads import Notify
from node.model.registry import ExchangeType, HashId, NotifyType
from tests.engine.harness import Datagram, Pair

SPI = bytes(range(1, 9))
#: As the sender sees it, and as the receiver does where nobody changes an address.
SENT = Path("192.0.2.1", 500, "2001:db8::2", 500)
CAME = Path("2001:db8::2", 500, "192.0.2.1", 500)


def message(*notifies: Notify) -> Message:
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    return Message(header, notifies, tuple(b"" for _ in notifies), b"")


def said(pair: Pair, change: Callable[[tuple[Notify, ...]], tuple[Notify, ...]], came: Path) -> Extensions:
    settings = pair.responder.settings
    return announced(message(*change(announce(settings, SPI, NO_SPI, SENT))), settings, came)


def test_the_digest_is_that_of_rfc_7296() -> None:
    """Made with `printf '\\1\\2...' | sha1sum`: SPIi 0102..08, SPIr 0, 192.0.2.1, port 500."""
    assert nat_digest(SPI, NO_SPI, "192.0.2.1", 500).hex() == "644b4575455bd6fcc1efe2be8162a9218e448e5f"


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (CAME, Nat(supported=True)),
        (replace(CAME, peer_port=40_000), Nat(supported=True, peer=True)),
        (replace(CAME, peer_host="198.51.100.1"), Nat(supported=True, peer=True)),
        (replace(CAME, local_host="2001:db8::3"), Nat(supported=True, local=True)),
        (replace(CAME, local_port=4500), Nat(supported=True, local=True)),
        (replace(CAME, local_port=4500, peer_port=1), Nat(supported=True, local=True, peer=True)),
    ],
    ids=["nothing", "the peer's port", "the peer's address", "our address", "our port", "both"],
)
def test_a_nat_is_found_by_what_it_changes(pair: Pair, came: Path, expected: Nat) -> None:
    assert said(pair, lambda all_of_it: all_of_it, came).nat == expected


def test_one_of_several_source_addresses_is_enough(pair: Pair) -> None:
    other = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))
    assert said(pair, lambda all_of_it: (other, *all_of_it, other), CAME).nat == Nat(supported=True)


@pytest.mark.parametrize(
    "kept", [NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP]
)
def test_half_of_it_is_nothing(pair: Pair, kept: NotifyType) -> None:
    def half(all_of_it: tuple[Notify, ...]) -> tuple[Notify, ...]:
        return tuple(n for n in all_of_it if n.notify_type == kept)

    assert said(pair, half, CAME) == Extensions()


@pytest.mark.parametrize("size", [0, 1, 19, 21, 64])
def test_a_digest_of_another_size_fits_nothing(pair: Pair, size: int) -> None:
    def cut(all_of_it: tuple[Notify, ...]) -> tuple[Notify, ...]:
        return tuple(replace(n, data=bytes(size)) for n in all_of_it)

    assert said(pair, cut, CAME).nat == Nat(supported=True, local=True, peer=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", frozenset()),
        ("00", frozenset()),
        ("0002", {HashId.SHA2_256}),
        ("0002000304", {HashId.SHA2_256, HashId.SHA2_384}),
        ("00050001ffff", {HashId.IDENTITY, HashId.SHA1, HashId.of(65_535)}),
    ],
)
def test_hashes_are_read_in_pairs_of_octets(pair: Pair, data: str, expected: frozenset[HashId]) -> None:
    notify = Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, bytes.fromhex(data))
    assert said(pair, lambda _: (notify,), CAME).hashes == expected


def test_of_a_long_list_the_beginning_is_read(pair: Pair) -> None:
    notify = Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"".join(n.to_bytes(2) for n in range(30_000)))
    assert said(pair, lambda _: (notify,), CAME).hashes == frozenset(range(64))


def test_both_parties_say_it(pair: Pair) -> None:
    """
    initiator                          responder
    SA, KE, Ni, N(...)          -->
                                <--    SA, KE, Nr, N(...)
    """
    pair.establish()
    for node in (pair.initiator, pair.responder):
        (notifies,) = (e.fields["payloads"] for e in node.events if e.name is E.IKE_SA_INIT_SENT)
        assert "N(SIGNATURE_HASH_ALGORITHMS)" in str(notifies)
        assert E.NAT_DETECTED not in node.names()


def test_a_nat_between_them_is_told(pair: Pair) -> None:
    """The initiator's port changes on the way; what it hears says that its address is not what it thinks."""
    pair.initiate()
    request, endpoint = pair.take(), pair.responder.endpoint
    endpoint.handle_datagram(request.octets, replace(request.path, peer_port=8_001), pair.now)
    while (output := endpoint.poll()) is not None:
        pair.responder.record(output)
    told = pair.responder.event(E.NAT_DETECTED).fields
    assert (told["local"], told["remote"]) == (False, True)


def test_what_nobody_signed_yet_may_be_anything(pair: Pair) -> None:
    """Whatever the notifications hold, the exchange goes on; AUTH, which signs their octets, finds it."""
    pair.initiate()
    request: Datagram = pair.take()
    tampered = request.octets.replace(SIGNATURES, bytes(len(SIGNATURES)))
    assert tampered != request.octets
    pair.deliver(request, tampered)
    pair.drive()
    assert E.IKE_SA_ESTABLISHED not in pair.responder.names()
    assert not pair.up()


#: The identifiers as they cross the wire in both profiles.
SIGNATURES = b"".join(number.to_bytes(2) for number in SIGNATURE_HASHES)
