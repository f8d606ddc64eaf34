"""What only a process in the right place can try, told as one JSON object: TUN device, ports, offloads, IPv6,
raw sockets.

Its text is handed to `python -c` in a throw-away network namespace and in throw-away containers: it imports
nothing but the standard library, and whatever it makes is gone when it ends.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

TUN_DEVICE = "/dev/net/tun"
# linux/if_tun.h
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN_NO_PI, IFF_VNET_HDR = 0x0001 | 0x1000, 0x4000
#: Checksum, TSO for IPv4 and IPv6.
TSO = 0x01 | 0x02 | 0x04
#: UDP segmentation offload as well: Linux 6.2.
USO = TSO | 0x20 | 0x40
PORTS = (500, 4500, 8000)
# linux/udp.h, asm-generic/socket.h, linux/filter.h, linux/if_ether.h, linux/sockios.h, linux/if.h
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
SO_REUSEPORT, SO_ATTACH_REUSEPORT_CBPF = 15, 51
LOAD_OCTET, RETURN_IT = 0x30, 0x16
ETH_P_ALL = 0x0003
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
#: Seconds for a datagram to cross the loopback.
PATIENCE = 1.0
LOOPBACK = "127.0.0.1"
#: Octets of one segment, and how many of them are sent at once.
SEGMENT, SEGMENTS = 100, 3


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def _udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    return made


def try_tun() -> dict[str, str]:
    """`step` is the last thing that was tried, `error` the errno of what failed (empty if nothing did),
    `header` that of IFF_VNET_HDR, which offloads need.
    """
    found = {"step": "open", "error": "", "header": "", "offloads": ""}
    try:
        device = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return found | {"error": _name(error)}
    try:
        found |= {"step": "TUNSETIFF", "header": _make_tun(device)}
        return found | {"offloads": _offloads(device)}
    except OSError as error:
        return found | {"error": _name(error)}
    finally:
        os.close(device)


def _make_tun(device: int) -> str:
    def ask(flags: int) -> None:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"doctor%d", IFF_TUN_NO_PI | flags))

    try:
        ask(IFF_VNET_HDR)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        ask(0)
        return _name(error)
    return ""


def _offloads(device: int) -> str:
    for bits, name in ((USO, "TSO and USO"), (TSO, "TSO")):
        try:
            fcntl.ioctl(device, TUNSETOFFLOAD, bits)
        except OSError:
            continue
        return name
    return ""


def try_port(port: int, host: str = "0.0.0.0") -> str:
    """The errno of binding this UDP port, empty if it worked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            return _name(error)
    return ""


def try_ports() -> dict[str, str]:
    """The same of every port that a node may be told to use."""
    return {str(port): try_port(port) for port in PORTS}


def try_udp() -> dict[str, str]:
    """What is wrong with sending several segments in one call, and with getting them back as one."""
    with _udp() as receiver, _udp() as sender:
        receiver.bind((LOOPBACK, 0))
        try:
            receiver.setsockopt(SOL_UDP, UDP_GRO, 1)
            merged = ""
        except OSError as error:
            merged = _name(error)
        size = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", SEGMENT))]
        try:
            sender.sendmsg([bytes(SEGMENT * SEGMENTS)], size, 0, receiver.getsockname())
            first = len(receiver.recv(65535))
        except OSError as error:
            return {"segment": _name(error), "gro": merged}
    return {"segment": "", "gro": merged or ("" if first > SEGMENT else "segments come one by one")}


def try_steering() -> str:
    """What is wrong with a classic BPF program that chooses one of a port's sockets by the first octet."""
    if sys.platform != "linux":
        return f"{sys.platform} has none"
    try:
        with _udp() as first, _udp() as second, _udp() as sender:
            group = (first, second)
            for member in group:
                member.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
                member.bind(first.getsockname() if member is second else (LOOPBACK, 0))
            _attach(first)
            for octet in (0, 1, 1, 0):
                sender.sendto(bytes([octet, 7]), first.getsockname())
                if group[octet].recv(9) != bytes([octet, 7]):
                    return "a datagram came to the wrong socket"
    except OSError as error:
        return _name(error)
    return ""


def _attach(member: socket.socket) -> None:
    """`ld octet 0; ret A` as a struct sock_fprog."""
    code = struct.pack("=HBBIHBBI", LOAD_OCTET, 0, 0, 0, RETURN_IT, 0, 0, 0)
    held = ctypes.create_string_buffer(code, len(code))
    member.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, struct.pack("@HP", 2, ctypes.addressof(held))
    )


def try_capture() -> str:
    """What is wrong with a packet socket that is to see what passes, empty if nothing is."""
    mark = os.urandom(16)
    try:
        with (
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as watcher,
            _udp() as sender,
        ):
            watcher.settimeout(PATIENCE)
            watcher.bind(("lo", ETH_P_ALL))
            sender.sendto(mark, (LOOPBACK, 9))
            # Others may use this loopback, too, but a process of this machine does not fill it.
            for _ in range(1000):
                if mark in watcher.recv(65535):
                    return ""
            return "a datagram was not seen"
    except OSError as error:
        return _name(error)


def try_ipv6() -> str:
    """Why there is no IPv6 here, empty if there is."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return "the kernel has none"
    if Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip() != "0":
        return "net.ipv6.conf.all.disable_ipv6 is 1"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError as error:
        return f"binding :: says {_name(error)}"
    return ""


def loopback_up() -> None:
    """Bring the loopback up: in a new network namespace it is down. Elsewhere it is up, or not ours."""
    with _udp() as asking, contextlib.suppress(OSError):
        request = fcntl.ioctl(asking, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        (flags,) = struct.unpack_from("=H", request, 16)
        fcntl.ioctl(asking, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


PROBES = {
    "tun": try_tun,
    "ports": try_ports,
    "udp": try_udp,
    "steering": try_steering,
    "capture": try_capture,
    "ipv6": try_ipv6,
}


def main() -> None:
    """Try what the command line names, and say what happened."""
    loopback_up()
    print(json.dumps({name: PROBES[name]() for name in sys.argv[1:]}))


if __name__ == "__main__":
    main()
