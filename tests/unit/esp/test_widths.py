"""What is believed of the ways to peers, for how long, and what fits an SA."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.esp.pathmtu import OUTER
from node.esp.tunnel import Outgoing, TooLarge
from node.esp.widths import LEAST_WAY, LIFE, MAX_WAYS, Change, Widths
from tests.unit.esp.support import LOCAL, OURS, PATH, PEER, SUITES, child, end, ipv4

HOST, HOST6 = "192.0.2.2", "2001:db8::2"


def test_a_width_is_known_until_its_time_is_over() -> None:
    widths = Widths()
    assert (widths.of(HOST), widths.due(HOST, 0.0)) == (0, True)
    assert widths.learn(HOST, 1400, 100.0) is None
    assert (widths.of(HOST), widths.due(HOST, 100.0 + LIFE - 0.1)) == (1400, False)
    assert widths.due(HOST, 100.0 + LIFE)
    assert widths.learn(HOST, 1500, 100.0 + LIFE) == Change(HOST, 1400, 1500)
    assert widths.learn(HOST, 1500, 800.0) is None
    assert not widths.due(HOST, 800.0 + LIFE - 0.1)


@pytest.mark.parametrize(("host", "least"), [(HOST, 576), (HOST6, 1280), ("fe80::1%eth0", 1280)])
@given(told=st.integers(0, 70_000))
def test_nothing_is_believed_below_what_every_network_carries(host: str, least: int, told: int) -> None:
    widths = Widths()
    widths.learn(host, told, 0.0)
    assert widths.of(host) == max(told, least)
    assert not widths.narrows(host, told)
    assert widths.narrows(host, told - 1) == (told > least)


def test_how_many_are_known_is_bounded_and_the_oldest_is_forgotten() -> None:
    widths = Widths()
    hosts = [f"10.0.{n // 256}.{n % 256}" for n in range(MAX_WAYS + 1)]
    for host in hosts:
        widths.learn(host, 1400, 0.0)
    assert widths.of(hosts[0]) == 0
    assert all(widths.of(host) == 1400 for host in hosts[1:])


@pytest.mark.parametrize("chosen", SUITES, ids=str)
@pytest.mark.parametrize("mtu", [576, 577, 1280, 1300, 1301, 1500])
def test_what_fits_leaves_in_a_packet_that_fits_and_nothing_more_does(chosen: object, mtu: int) -> None:
    ours = end(child(chosen))  # type: ignore[arg-type]
    ours.sad.fit(OURS, mtu)
    (status,) = ours.sad.query()
    width = status.inner_mtu
    fits = ours.tunnel.encapsulate(ipv4(LOCAL, PEER, bytes(width - 20)))
    assert isinstance(fits, Outgoing)
    assert len(fits.datagram) + OUTER[4] <= mtu
    large = ours.tunnel.encapsulate(ipv4(LOCAL, PEER, bytes(width - 19)))
    assert isinstance(large, TooLarge)
    ours.sad.fit_all("192.0.2.99", 600)
    assert ours.sad.query()[0].inner_mtu == width
    ours.sad.fit_all(PATH.peer_host, mtu + 400)
    assert isinstance(ours.tunnel.encapsulate(large.packet), Outgoing)


def test_the_least_way_has_room_for_what_ipv4_and_ipv6_want_of_it() -> None:
    assert LEAST_WAY == {4: 576, 6: 1280}
