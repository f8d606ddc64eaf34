"""One port for two processes: the program decides as the node does, in a model machine and in the kernel."""

import errno
import socket
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net import reuseport
from node.net.reuseport import ESP, IKE, Instruction, program
from node.net.steer import LEAST_OCTETS, Port, Steer
from node.net.udp import UdpSocket
from tests.node.test_steer import ASN1, RFC7296, TABLE

#: As the kernel counts them: of two sockets, none other is taken.
PLACES = (IKE, ESP)
SHARED = [pytest.param(ASN1, id="asn1"), pytest.param(RFC7296, id="rfc7296")]
ROWS = [row for row in TABLE if row[0].carries_esp]


def run(instructions: Sequence[Instruction], payload: bytes) -> int:
    """Classic BPF, as much of it as is needed (linux/filter.h): the result of a program over a payload."""
    accumulator, at = 0, 0
    while True:
        code, true, false, operand = instructions[at]
        at += 1
        match code:
            case 0x80:  # BPF_LD | BPF_W | BPF_LEN
                accumulator = len(payload)
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                if operand + 4 > len(payload):
                    return 0
                accumulator = int.from_bytes(payload[operand : operand + 4])
            case 0x74:  # BPF_ALU | BPF_RSH | BPF_K
                accumulator >>= operand
            case 0x35:  # BPF_JMP | BPF_JGE | BPF_K
                at += true if accumulator >= operand else false
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += true if accumulator == operand else false
            case 0x06:  # BPF_RET | BPF_K
                return operand
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def wanted(port: Port, payload: bytes) -> int:
    return ESP if port.steer(payload) is Steer.ESP else IKE


@pytest.mark.parametrize(("port", "payload", "where", "why"), ROWS, ids=lambda value: str(value)[:40])
def test_table(port: Port, payload: bytes, where: Steer, why: str) -> None:
    assert run(program(port), payload) == (ESP if where is Steer.ESP else IKE)


@given(port=st.sampled_from([ASN1, RFC7296, Port(b"\x01\x02"), Port(b"abc")]), payload=st.binary(max_size=12))
def test_the_program_decides_as_the_port_does(port: Port, payload: bytes) -> None:
    for octets in (payload, port.first + payload, port.first[:-1] + payload):
        assert run(program(port), octets) == wanted(port, octets)


def test_all_jumps_stay_inside_and_every_program_ends() -> None:
    for port in (ASN1, RFC7296):
        code = program(port)
        for at, one in enumerate(code):
            assert at + 1 + max(one.true, one.false) < len(code) or one.code == reuseport.RETURN
        assert code[-1].code == reuseport.RETURN


ADDRESSES = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "::1")]


@pytest.mark.parametrize("port", SHARED)
@pytest.mark.parametrize(("bound", "target"), ADDRESSES)
def test_the_kernel_decides_so_too(port: Port, bound: str, target: str) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    try:
        ike = UdpSocket(bound, 0)
    except OSError as error:
        pytest.skip(f"no {bound} here: {error}")
    esp = ike.split(port)
    peers = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(8)]
    try:
        payloads = [row[1] for row in ROWS] + [bytes([first]) * LEAST_OCTETS for first in range(256)]
        for number, payload in enumerate(payloads):
            # A hash over the addresses would change its mind from peer to peer.
            peers[number % len(peers)].sendto(payload, (target, ike.port))
            got = (ike.receive(), esp.receive())
            assert [one is not None for one in got] == [place == wanted(port, payload) for place in PLACES]
    finally:
        ike.close()
        esp.close()
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_nobody_joins_silently(bound: str) -> None:
    """Another node is refused, whether it comes before the port is shared or after it."""
    ends = [UdpSocket(bound, 0)]
    for _ in range(2):
        with pytest.raises(OSError, match="in use") as caught:
            UdpSocket(bound, ends[0].port).split(ASN1)
        assert caught.value.errno == errno.EADDRINUSE
        ends.append(ends[0].split(ASN1))
        assert ends[-1].port == ends[0].port
    for end in ends:
        end.close()


def test_a_kernel_without_programs_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(member: socket.socket, instructions: object) -> None:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    monkeypatch.setattr(reuseport, "attach", refuse)
    alone = UdpSocket("127.0.0.1", 0)
    with pytest.raises(OSError, match="not available"):
        alone.split(ASN1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for first in range(64):
            peer.sendto(bytes([first]) * 8, ("127.0.0.1", alone.port))
    assert [(alone.receive() or (b"",))[0][:1] for _ in range(64)] == [bytes([n]) for n in range(64)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            late.bind(("127.0.0.1", alone.port))
    alone.close()
