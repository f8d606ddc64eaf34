"""From where floods may come. What arrives is tested in test_sniff and test_attacks."""

from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from lab.wire import spoof
from lab.wire.spoof import Spoofer
from tests.wire.support import INIT_REQUEST


class Raw:
    """Stands for the raw socket: packets instead of a network."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def sendto(self, octets: bytes, _target: object) -> None:
        self.packets.append(octets)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Raw:
    made = Raw()
    monkeypatch.setattr(spoof, "_raw_socket", lambda _version: made)
    return made


def spoofer(target: str, sources: str | None, *taken: str) -> Spoofer:
    return Spoofer(target, ip_network(sources) if sources else None, lambda: taken, Counter(), 1)


LACKS = [
    ("192.0.2.2", None, "flood.sources is not set"),
    ("192.0.2.2", "192.0.2.0/30", "192.0.2.0/30 has no address that is nobody's"),
    ("::1", "2001:db8::/64", "::1 can be reached from ::1 alone"),
]


@pytest.mark.parametrize(("target", "sources", "says"), LACKS)
def test_what_a_flood_lacks_is_named(raw: Raw, target: str, sources: str | None, says: str) -> None:
    assert says in spoofer(target, sources).why_not()


def test_on_loopback_nothing_is_needed() -> None:
    assert spoofer("127.3.2.1", None).why_not() == ""


@pytest.mark.parametrize(
    ("error", "says"),
    [(PermissionError(1, "no"), "NET_RAW"), (OSError(97, "no such family"), "no such family")],
)
def test_a_raw_socket_that_cannot_be_had_is_named(
    monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def refuse(_version: int) -> None:
        raise error

    monkeypatch.setattr(spoof, "_raw_socket", refuse)
    assert says in spoofer("192.0.2.2", "192.0.2.0/24").why_not()


@pytest.mark.parametrize("sources", ["192.0.2.0/29", "172.28.0.0/16", "2001:db8::/64"])
def test_sources_are_of_the_upper_half_many_and_nobodys(raw: Raw, sources: str) -> None:
    network = ip_network(sources)
    target = str(network[2])
    taken = [target, str(network[network.num_addresses // 2 + 1])]
    sender = spoofer(target, sources, *taken)
    assert sender.why_not() == ""
    found = {str(end.address) for _ in range(2000) if (end := sender.send(8000, INIT_REQUEST))}
    assert len(raw.packets) == 2000
    assert found.isdisjoint(taken)
    lowest, highest = int(network[network.num_addresses // 2]), int(network[-2])
    assert all(lowest <= int(ip_address(a)) <= highest for a in found)
    assert len(found) == 2 if network.num_addresses == 8 else 450 < len(found) <= 500
    assert sender.answers() is None
    sender.close()


def test_who_comes_later_is_not_impersonated(raw: Raw) -> None:
    taken = {"192.0.2.2"}
    errors: Counter[str] = Counter()
    sender = Spoofer("192.0.2.2", ip_network("192.0.2.0/29"), lambda: taken, errors, 1)
    assert sender.why_not() == ""
    taken |= {"192.0.2.4", "192.0.2.5"}
    assert {end.address for _ in range(50) if (end := sender.send(8000, b"x"))} == {"192.0.2.6"}
    taken.add("192.0.2.6")
    assert sender.send(8000, b"x") is None
    assert errors == {"EADDRNOTAVAIL": 1}
