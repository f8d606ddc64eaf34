"""Pools of inner addresses: nobody gets another one's, all of them come back."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ike.configuration import ANY
from node.ike.pool import MAX_ADDRESSES, MAX_OF_PEER, Pools
from node.model.payloads import Identification
from node.model.registry import IdType, PayloadType
from node.model.selectors import IPAddress


def peer(name: str) -> Identification:
    return Identification(PayloadType.IDI, IdType.ID_FQDN, name.encode())


def spi(number: int) -> bytes:
    return number.to_bytes(8)


def pools(*prefixes: str, own: str = "") -> Pools:
    return Pools([ip_network(p) for p in prefixes], [ip_address(own)] if own else [])


def lease(pool: Pools, number: int, name: str, wish: str = "0.0.0.0") -> str:
    return " ".join(map(str, pool.lease(spi(number), peer(name), [ip_address(wish)])))


@pytest.mark.parametrize(
    ("prefix", "wish", "all_of_them"),
    [
        ("10.9.0.0/29", "0.0.0.0", ["10.9.0.1", "10.9.0.2", "10.9.0.4", "10.9.0.5", "10.9.0.6"]),
        ("10.9.0.0/31", "0.0.0.0", ["10.9.0.0", "10.9.0.1"]),
        ("10.9.0.7/32", "0.0.0.0", ["10.9.0.7"]),
        ("fd09::/126", "::", ["fd09::1", "fd09::2", "fd09::3"]),
        ("fd09::/127", "::", ["fd09::", "fd09::1"]),
        ("fd09::7/128", "::", ["fd09::7"]),
    ],
)
def test_hosts_of_a_prefix_in_order_without_our_own(prefix: str, wish: str, all_of_them: list[str]) -> None:
    pool = pools(prefix, own="10.9.0.3")
    found = [lease(pool, n, f"peer{n}", wish) for n in range(10)]
    assert found == all_of_them + [""] * (10 - len(all_of_them))
    assert len(pool) == len(all_of_them)


@pytest.mark.parametrize("wish", ["10.9.0.0", "10.9.0.255", "10.9.0.3", "10.8.0.1", "10.10.0.1", "192.0.2.1"])
def test_a_wish_that_cannot_be_granted_is_another_address(wish: str) -> None:
    assert lease(pools("10.9.0.0/24", own="10.9.0.3"), 1, "a", wish) == "10.9.0.1"


def test_a_wish_is_granted_once() -> None:
    pool = pools("10.9.0.0/24")
    assert [lease(pool, n, f"p{n}", "10.9.0.2") for n in range(3)] == ["10.9.0.2", "10.9.0.1", "10.9.0.3"]


def test_a_peer_gets_its_own_again_and_others_get_it_last() -> None:
    pool = pools("10.9.0.0/29")
    assert [lease(pool, n, name) for n, name in enumerate("abc")] == ["10.9.0.1", "10.9.0.2", "10.9.0.3"]
    for number in (1, 0, 2):
        pool.give_back(spi(number))
    assert lease(pool, 3, "c") == "10.9.0.3"
    assert lease(pool, 4, "d", "10.9.0.1") == "10.9.0.4", "somebody else's, and others are free"
    assert [lease(pool, n, "e") for n in (5, 6)] == ["10.9.0.5", "10.9.0.6"]
    assert lease(pool, 7, "f") == "10.9.0.2", "free for longest"
    assert lease(pool, 8, "a") == "10.9.0.1"
    assert lease(pool, 9, "b") == ""


def test_several_prefixes_and_families() -> None:
    pool = pools("10.9.0.4/31", "10.8.0.0/24", "fd09::/64")
    assert [lease(pool, n, f"p{n}") for n in range(3)] == ["10.9.0.4", "10.9.0.5", "10.8.0.1"]
    assert pool.lease(spi(3), peer("x"), [ANY[6], ANY[4]]) == (ip_address("fd09::1"), ip_address("10.8.0.2"))
    assert pools("10.9.0.0/24").lease(spi(1), peer("x"), [ANY[6], ANY[4]]) == (ip_address("10.9.0.1"),)
    assert pools().lease(spi(1), peer("x"), [ANY[4]]) == ()


def test_one_peer_cannot_use_a_pool_up() -> None:
    pool = pools("10.9.0.0/24")
    found = [lease(pool, n, "greedy") for n in range(MAX_OF_PEER + 5)]
    assert len(set(found) - {""}) == MAX_OF_PEER
    assert lease(pool, 100, "other")
    pool.give_back(spi(3))
    assert lease(pool, 101, "greedy")


def test_a_large_prefix_costs_no_more_than_its_bound() -> None:
    pool = pools("fd09::/64")
    assert lease(pool, 1, "a", "fd09::ffff:ffff") == "fd09::1", "beyond the bound"
    found = {lease(pool, n, f"p{n}", "::") for n in range(2, MAX_ADDRESSES + 10)}
    assert len(found - {""}) == MAX_ADDRESSES - 1
    assert len(pool) == MAX_ADDRESSES


def test_an_heir_has_the_addresses() -> None:
    pool = pools("10.9.0.0/24")
    assert lease(pool, 1, "a") == "10.9.0.1"
    pool.inherit(spi(1), spi(2))
    pool.inherit(spi(8), spi(9))
    pool.give_back(spi(1))
    assert (len(pool), lease(pool, 3, "b", "10.9.0.1")) == (1, "10.9.0.2")
    pool.give_back(spi(2))
    assert lease(pool, 4, "a") == "10.9.0.1"


@dataclass(frozen=True, slots=True)
class Step:
    """An IKE SA of a peer asks, or ends."""

    number: int
    name: str
    wishes: tuple[IPAddress, ...]


WISHES = st.sampled_from([*ANY.values(), *map(ip_address, ("10.9.0.2", "10.9.0.7", "10.9.0.3", "fd09::2"))])
STEPS = st.lists(
    st.builds(Step, st.integers(0, 12), st.sampled_from("abcd"), st.lists(WISHES, max_size=2).map(tuple)),
    max_size=60,
)


@given(STEPS)
def test_no_address_twice_none_outside_all_given_back(steps: list[Step]) -> None:
    own = ip_address("10.9.0.3")
    prefixes = [ip_network("10.9.0.0/29"), ip_network("fd09::/126")]
    pool = Pools(prefixes, [own])
    held: dict[int, tuple[IPAddress, ...]] = {}
    for step in steps:
        if step.number in held:
            pool.give_back(spi(step.number))
            del held[step.number]
        else:
            held[step.number] = pool.lease(spi(step.number), peer(step.name), step.wishes)
            versions = [wish.version for wish in step.wishes]
            assert all(versions.count(a.version) >= 1 for a in held[step.number])
        given_away = [address for addresses in held.values() for address in addresses]
        assert len(given_away) == len(set(given_away)) == len(pool)
        for address in given_away:
            (prefix,) = (p for p in prefixes if address in p)
            ends = {prefix.network_address} | ({prefix.broadcast_address} if prefix.version == 4 else set())
            assert address not in ends | {own}
    for number in held:
        pool.give_back(spi(number))
    assert len(pool) == 0
    assert len({lease(pool, 20 + n, f"late{n}") for n in range(5)}) == 5, "all five are free again"
