"""The last answers of closed IKE SAs: found by their request, bounded in time, number and octets."""

from node.ike.echoes import CAPACITY, LIFETIME, MAX_OCTETS, Echoes
from node.ike.window import Answered, digest


def _spi(number: int) -> bytes:
    return number.to_bytes(8)


def _answered(request: bytes, *datagrams: bytes) -> Answered:
    return Answered(1, digest(request), datagrams)


def test_an_answer_is_found_by_its_request_for_a_while() -> None:
    echoes = Echoes()
    echoes.keep(_spi(1), _answered(b"request", b"answer"), 10.0)
    assert echoes.answer(_spi(1), b"request", 10.0) == (b"answer",)
    assert echoes.answer(_spi(1), b"another", 10.0) is None
    assert echoes.answer(_spi(2), b"request", 10.0) is None
    assert echoes.deadline() == 10.0 + LIFETIME
    assert echoes.answer(_spi(1), b"request", 10.0 + LIFETIME) is None
    assert len(echoes) == 0
    assert echoes.deadline() is None


def test_the_oldest_gives_way_to_too_many() -> None:
    echoes = Echoes()
    for number in range(CAPACITY + 1):
        echoes.keep(_spi(number), _answered(b"r", b"a"), 0.0)
    assert len(echoes) == CAPACITY
    assert echoes.answer(_spi(0), b"r", 0.0) is None
    assert echoes.answer(_spi(1), b"r", 0.0) == (b"a",)


def test_the_oldest_give_way_to_large_ones() -> None:
    echoes, large = Echoes(), bytes(40_000)
    for number in range(200):
        echoes.keep(_spi(number), _answered(b"r", large, large), 0.0)
    assert len(echoes) == MAX_OCTETS // 80_000
    # One that is kept again counts once.
    for _ in range(200):
        echoes.keep(_spi(199), _answered(b"r", large, large), 0.0)
    assert len(echoes) == MAX_OCTETS // 80_000
    # Those that are forgotten leave their room to others.
    echoes.expire(LIFETIME)
    for number in range(200):
        echoes.keep(_spi(number), _answered(b"r", large, large), LIFETIME)
    assert len(echoes) == MAX_OCTETS // 80_000
