"""The UDP socket: local addresses, both families, and errors that must not matter."""

import errno
import select
import socket

import pytest

from node.model.message import Path
from node.net.resolve import addresses
from node.net.udp import RECEIVE_SIZE, UdpSocket


def _receive(udp: UdpSocket) -> tuple[bytes, Path]:
    select.select([udp], [], [], 10)
    found = udp.receive()
    assert found is not None
    return found


def test_an_answer_leaves_from_the_address_the_request_came_to() -> None:
    udp = UdpSocket("0.0.0.0", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(10)
        for address in ("127.0.0.1", "127.0.0.2"):
            peer.sendto(b"hello", (address, udp.port))
            datagram, path = _receive(udp)
            assert (datagram, path.local_host, path.local_port) == (b"hello", address, udp.port)
            assert path.peer_port == peer.getsockname()[1]
            assert udp.send(b"answer", path)
            assert peer.recvfrom(100) == (b"answer", (address, udp.port))
    udp.close()


def test_ipv6() -> None:
    try:
        udp = UdpSocket("::", 0)
        path = udp.path_to("::1", 9)
    except OSError as error:
        pytest.skip(f"no IPv6 on this host: {error}")
    assert (path.local_host, udp.version) == ("::1", 6)
    assert udp.send(b"to myself", Path("::1", udp.port, "::1", udp.port))
    datagram, path = _receive(udp)
    assert (datagram, path.local_host, path.peer_host) == (b"to myself", "::1", "::1")
    udp.close()


def test_the_largest_datagram_arrives_whole() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    path = udp.path_to("127.0.0.1", udp.port)
    assert path == Path("127.0.0.1", udp.port, "127.0.0.1", udp.port)
    assert udp.send(bytes(65_507), path)
    assert len(_receive(udp)[0]) == 65_507 < RECEIVE_SIZE
    udp.close()


def test_the_kernels_choice_of_our_address() -> None:
    udp = UdpSocket("0.0.0.0", 0)
    assert udp.path_to("127.0.0.3", 8000) == Path("127.0.0.1", udp.port, "127.0.0.3", 8000)
    udp.close()


def test_nothing_to_receive_is_none() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    assert udp.receive() is None
    assert not udp.errors
    udp.close()


def test_what_the_network_refuses_is_counted_and_not_raised() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    assert not udp.send(bytes(65_508), Path("127.0.0.1", udp.port, "127.0.0.1", 9))
    assert not udp.send(b"x", Path("192.0.2.77", udp.port, "127.0.0.1", 9))
    assert not udp.send(b"x", Path("127.0.0.1", udp.port, "255.255.255.255", 9))
    assert udp.errors["EMSGSIZE"] == 1
    assert sum(udp.errors.values()) == 3
    udp.close()


def test_a_port_in_use_is_an_error_of_the_caller() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use") as caught:
        UdpSocket("127.0.0.1", udp.port)
    assert caught.value.errno == errno.EADDRINUSE
    udp.close()


def test_names_resolve_to_addresses_of_one_family() -> None:
    assert addresses("127.0.0.1", 8000, 4) == ("127.0.0.1",)
    assert "127.0.0.1" in addresses("localhost", 8000, 4)
    for host in ("a..b", "x" * 300, "no such host.invalid"):
        with pytest.raises(OSError, match=r"resolve|no host name"):
            addresses(host, 8000, 4)
