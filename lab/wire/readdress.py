"""Another address for a host: what a change of networks is to it, while everything else of it stays.

The new address is the mirror image of the old one in its network (172.28.0.3 and 172.28.255.252 in a /16): so
two hosts never meet, and the second time a host comes back to where it was. Needs NET_ADMIN.
"""

import fcntl
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface

# linux/sockios.h
_GET_ADDRESS, _SET_ADDRESS, _GET_MASK, _SET_MASK = 0x8915, 0x8916, 0x891B, 0x891C
#: struct ifreq with a sockaddr_in: name, family, port, address.
_REQUEST = struct.Struct("=16sH2x4s16x")


def mirrored(interface: IPv4Interface) -> IPv4Interface:
    """The mirror image of an address in its network."""
    network = interface.network
    host = int(network.broadcast_address) - (int(interface.ip) - int(network.network_address))
    return IPv4Interface((host, network.prefixlen))


def readdress(link: str) -> tuple[IPv4Interface, IPv4Interface]:
    """Give a link the mirror image of its IPv4 address; the old one and the new. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        mask = _ask(control, _GET_MASK, link)
        old = IPv4Interface(f"{_ask(control, _GET_ADDRESS, link)}/{mask}")
        new = mirrored(old)
        _ask(control, _SET_ADDRESS, link, new.ip)
        # With another address the kernel has guessed another mask.
        _ask(control, _SET_MASK, link, mask)
    return old, new


def _ask(control: socket.socket, request: int, link: str, address: IPv4Address | None = None) -> IPv4Address:
    octets = address.packed if address else bytes(4)
    answer = fcntl.ioctl(control, request, _REQUEST.pack(link.encode(), socket.AF_INET, octets))
    return IPv4Address(_REQUEST.unpack(answer)[2])
