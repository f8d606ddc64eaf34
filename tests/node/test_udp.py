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


def test_many_datagrams_go_and_come_together() -> None:
    sender, receiver = UdpSocket("127.0.0.1", 0), UdpSocket("127.0.0.1", 0)
    if not receiver.gather():
        pytest.skip("this kernel does not put datagrams together")
    path = sender.path_to("127.0.0.1", receiver.port)
    sent = b"".join(bytes([n]) * 1000 for n in range(40))
    assert sender.send_many([memoryview(sent), b"tail"], 1000, path)
    found, inbox = b"", bytearray(RECEIVE_SIZE)
    while len(found) < len(sent) + 4:
        select.select([receiver], [], [], 10)
        received = receiver.receive_into(inbox)
        assert received is not None
        assert received.each in (1000, received.size)
        assert (received.path.local_host, received.path.peer_port) == ("127.0.0.1", sender.port)
        found += inbox[: received.size]
    assert found == sent + b"tail"
    sender.close()
    receiver.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.EMSGSIZE, errno.EINVAL])
def test_a_route_that_cannot_take_many_gets_them_one_by_one_for_good(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    sender, receiver = UdpSocket("127.0.0.1", 0), UdpSocket("127.0.0.1", 0)
    path, together = sender.path_to("127.0.0.1", receiver.port), []

    class Route:
        """Takes single datagrams only."""

        def __init__(self, real: socket.socket) -> None:
            self._real = real

        def sendmsg(self, parts: list[bytes], own: list[tuple[int, int, bytes]], *rest: object) -> int:
            if any(level == socket.IPPROTO_UDP for level, _, _ in own):
                together.append(parts)
                raise OSError(error, "no")
            return self._real.sendmsg(parts, own, *rest)  # type: ignore[arg-type]

        def close(self) -> None:
            self._real.close()

    monkeypatch.setattr(sender, "_socket", Route(sender._socket))
    for _ in range(2):
        assert sender.send_many([b"a" * 10 + b"b" * 10, b"c"], 10, path)
        assert [_receive(receiver)[0] for _ in range(3)] == [b"a" * 10, b"b" * 10, b"c"]
    assert len(together) == 1
    assert not sender.errors
    sender.close()
    receiver.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_each_datagram_has_the_tos_that_is_asked_for(address: str) -> None:
    try:
        sender, receiver = UdpSocket(address, 0), UdpSocket(address, 0)
    except OSError as error:
        pytest.skip(f"no such address on this host: {error}")
    path, inbox = sender.path_to(address, receiver.port), bytearray(RECEIVE_SIZE)
    receiver.gather()
    marks = [0, 0xB8, 3, 0, 0xBA]
    for number, octet in enumerate(marks):
        if number % 2:
            assert sender.send_many([bytes(3000)], 1000, path, octet)
        else:
            assert sender.send(bytes(3000), path, octet)
    found, octets = list[int](), 0
    while octets < 3000 * len(marks):
        select.select([receiver], [], [], 10)
        received = receiver.receive_into(inbox)
        assert received is not None
        assert received.path.peer_port == sender.port
        octets += received.size
        if received.tos not in found[-1:]:
            found.append(received.tos)
    assert found == marks
    sender.close()
    receiver.close()


@pytest.mark.parametrize(("address", "least"), [("127.0.0.1", 576), ("::1", 1280)])
def test_what_is_too_large_is_refused_but_for_what_may_be_cut_and_what_every_network_carries(
    monkeypatch: pytest.MonkeyPatch, address: str, least: int
) -> None:
    try:
        sender, receiver = UdpSocket(address, 0), UdpSocket(address, 0)
    except OSError as error:
        pytest.skip(f"no such address on this host: {error}")
    path, real, modes = sender.path_to(address, receiver.port), sender._socket, list[int]()

    class Narrow:
        """A socket whose kernel was told that nothing fits, as long as it is to believe that."""

        family = real.family
        mode = 2

        def setsockopt(self, level: int, option: int, value: int) -> None:
            self.mode = value
            modes.append(value)

        def sendmsg(self, parts: list[bytes], *rest: object) -> int:
            if self.mode == 2:
                raise OSError(errno.EMSGSIZE, "no")
            return real.sendmsg(parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sender, "_socket", Narrow())
    overhead = 28 if least == 576 else 48
    assert sender.narrowed(path) == 0
    assert not sender.send(bytes(least - overhead + 1), path)
    assert sender.errors == {"EMSGSIZE": 1}
    assert sender.narrowed(path) == sender.path_mtu(path) > 60_000
    assert sender.narrowed(path) == 0
    assert sender.send(bytes(least - overhead), path)
    assert sender.send_pieces(bytes(5000), path)
    assert modes == [3, 2, 0, 2]
    assert [len(_receive(receiver)[0]) for _ in range(2)] == [least - overhead, 5000]
    real.close()
    receiver.close()
