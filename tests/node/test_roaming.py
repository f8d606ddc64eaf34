"""Which address of ours an IKE SA goes on from, and that the kernel tells of changes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path as File

import pytest

from node.daemon.roaming import Roaming
from node.model.message import Path
from node.net.udp import UdpSocket

HOME, ABROAD, FAR = "192.0.2.1", "192.0.2.77", "192.0.2.78"


class Host:
    """Engine and sockets of a node with one peer: `source` is what the routes choose, "" for no way."""

    def __init__(self, address: str = "0.0.0.0") -> None:
        self.address, self.source = address, HOME
        self.own = {HOME, ABROAD, FAR}
        self.path = Path(HOME, 500, "198.51.100.1", 500)
        self.told: list[str] = []
        self.pumped = 0
        self.roaming = Roaming(self, self, self.pump)  # type: ignore[arg-type]

    def mobile(self) -> tuple[tuple[bytes, Path], ...]:
        return ((b"spi", self.path),)

    def move(self, spi: bytes, path: Path, now: float) -> None:
        self.told.append(path.local_host)
        self.path = path

    def way_to(self, path: Path) -> Path:
        if not self.source:
            raise OSError(101, "Network is unreachable")
        return replace(path, local_host=self.source)

    def owns(self, host: str) -> bool:
        return host in self.own

    def pump(self) -> None:
        self.pumped += 1


def test_the_routes_decide() -> None:
    host = Host()
    for source in (HOME, "", ABROAD, ABROAD, "", HOME):
        host.source = source
        host.roaming.look()
    assert host.told == [ABROAD, HOME]


def test_what_was_chosen_stays_as_long_as_it_is_ours() -> None:
    host = Host()
    assert host.roaming.move(FAR) == 1
    host.source = ABROAD
    host.roaming.look()
    assert host.told == [FAR]
    host.own.remove(FAR)
    host.roaming.look()
    assert host.told == [FAR, ABROAD]


def test_without_a_choice_every_peer_is_told_where_the_routes_begin() -> None:
    host = Host()
    host.roaming.move(FAR)
    assert host.roaming.move("") == 1
    host.source = ABROAD
    host.roaming.look()
    assert host.told == [FAR, HOME, ABROAD]
    host.source = ""
    with pytest.raises(ValueError, match="no way to a peer: Network is unreachable"):
        host.roaming.move("")
    with pytest.raises(ValueError, match="is no address of this host"):
        host.roaming.move("192.0.2.9")
    with pytest.raises(ValueError, match=r"listen.address is 192\.0\.2\.1"):
        Host(HOME).roaming.move(ABROAD)
    assert host.told == [FAR, HOME, ABROAD]


def test_a_socket_knows_what_is_ours() -> None:
    udp = UdpSocket("0.0.0.0", 0)
    try:
        assert [udp.owns(host) for host in ("127.0.0.1", "127.9.8.7")] == [True, True]
        assert not any(udp.owns(host) for host in ("192.0.2.1", "0.0.0.0", "::1", "localhost", "", "1"))
    finally:
        udp.close()


CHANGE = """
from lab.backends import netns_kernel as kernel
from lab.backends.netns_supervisor import separate
from ipaddress import IPv4Interface
from node.net.addresswatch import AddressWatch
import select, socket
separate()
kernel.new_network()
watch = AddressWatch()
try:
    with kernel.Links() as links:
        links.add_address(socket.if_nametoindex("lo"), IPv4Interface("192.0.2.1/32"))
    heard = bool(select.select([watch], [], [], 10.0)[0])
    watch.take()
    print(heard, bool(select.select([watch], [], [], 0.0)[0]))
finally:
    watch.close()
"""


def test_the_kernel_tells_of_a_new_address() -> None:
    """In a network namespace of its own; skipped where there can be none."""
    environment = {**os.environ, "PYTHONPATH": str(File(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", CHANGE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "PermissionError" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("no network namespaces here")
    assert done.stdout.split() == ["True", "False"], done.stderr
