"""Traffic selectors: intersection, narrowing, containment."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.model.registry import TsType
from node.model.selectors import TrafficSelector, narrow, network, overlap, subset


def ts(start: str, end: str, protocol: int = 0, ports: tuple[int, int] = (0, 65535)) -> TrafficSelector:
    return TrafficSelector(ip_address(start), ip_address(end), protocol, *ports)


NARROWING = [
    ("equal", ["10.1.0.0/24"], ["10.1.0.0/24"], ["10.1.0.0/24"]),
    ("peer asks for more", ["10.0.0.0/8"], ["10.1.0.0/24"], ["10.1.0.0/24"]),
    ("peer asks for less", ["10.1.0.7"], ["10.1.0.0/24"], ["10.1.0.7"]),
    ("everything", ["0.0.0.0/0"], ["10.1.0.0/24", "10.9.0.0/16"], ["10.1.0.0/24", "10.9.0.0/16"]),
    ("nothing in common", ["10.2.0.0/24"], ["10.1.0.0/24"], []),
    ("other family", ["2001:db8::/32"], ["10.1.0.0/24"], []),
    ("IPv6", ["::/0"], ["2001:db8::/64"], ["2001:db8::/64"]),
    ("no repetition", ["10.1.0.0/24", "10.1.0.0/24"], ["10.1.0.0/24"], ["10.1.0.0/24"]),
]


@pytest.mark.parametrize(
    ("proposed", "policy", "expected"), [n[1:] for n in NARROWING], ids=[n[0] for n in NARROWING]
)
def test_narrow(proposed: list[str], policy: list[str], expected: list[str]) -> None:
    found = narrow([network(p) for p in proposed], [network(p) for p in policy])
    assert [str(f) for f in found] == expected


def test_protocols_and_ports_narrow_as_well() -> None:
    tcp = ts("10.0.0.0", "10.0.0.255", 6, (80, 443))
    assert ts("10.0.0.0", "10.0.1.0").intersect(tcp) == tcp
    assert ts("10.0.0.0", "10.0.1.0", 17).intersect(tcp) is None
    assert ts("10.0.0.0", "10.0.1.0", 6, (444, 500)).intersect(tcp) is None
    assert tcp.covers(ip_address("10.0.0.1"), 6, 80)
    assert not tcp.covers(ip_address("10.0.0.1"), 6, 79)
    assert not tcp.covers(ip_address("10.0.0.1"), 17, 80)
    assert not tcp.covers(ip_address("2001:db8::1"), 6, 80)


def test_a_range_that_ends_before_it_begins_matches_nothing() -> None:
    backwards = ts("10.0.0.9", "10.0.0.1")
    assert not backwards.covers(ip_address("10.0.0.5"))
    assert narrow([backwards], [network("0.0.0.0/0")]) == ()


def test_the_text_form() -> None:
    assert str(network("10.1.0.0/24")) == "10.1.0.0/24"
    assert str(network("10.1.0.1")) == "10.1.0.1"
    assert str(network("0.0.0.0/0")) == "0.0.0.0/0"
    assert str(ts("10.0.0.1", "10.0.0.3")) == "10.0.0.1-10.0.0.3"
    assert str(ts("10.0.0.1", "10.0.0.1", 17, (500, 500))) == "10.0.0.1:500-500[17]"
    assert network("2001:db8::/32").type == TsType.TS_IPV6_ADDR_RANGE


@pytest.mark.parametrize("text", ["", "10.1.0.0/33", "10.1.0.1/24", "host", "10.1.0.0-10.2.0.0"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        network(text)


ADDRESSES = st.integers(0, 2**32 - 1).map(lambda n: ip_address(n))


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    one, two = sorted((draw(ADDRESSES), draw(ADDRESSES)))
    low, high = sorted((draw(st.integers(0, 65535)), draw(st.integers(0, 65535))))
    return TrafficSelector(one, two, draw(st.sampled_from([0, 6, 17])), low, high)


@given(st.lists(selectors(), max_size=4), st.lists(selectors(), max_size=4))
def test_what_is_narrowed_lies_within_both(
    proposed: list[TrafficSelector], policy: list[TrafficSelector]
) -> None:
    found = narrow(proposed, policy)
    assert all(any(f.within(p) for p in proposed) for f in found)
    assert all(any(f.within(p) for p in policy) for f in found)
    assert bool(found) == overlap(proposed, policy)
    assert subset(found, policy) == bool(found)


@given(selectors(), selectors())
def test_intersection_is_symmetric(one: TrafficSelector, other: TrafficSelector) -> None:
    assert one.intersect(other) == other.intersect(one)
