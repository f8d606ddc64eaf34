"""A TUN device: inner IP packets in and out of the kernel.

Rules:

1. The inner networks of the peer are unreachable except through the device: the refusing route is there
   before the route into the device and stays when the device is gone, so that nothing ever leaves in clear.
2. The device lives as long as its descriptor.
"""

import errno
import fcntl
import os
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from node.net.netlink import Interface, Netlink, Network

DEVICE = "/dev/net/tun"
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0001, 0x1000, 0x8000

#: Metrics of the two routes; the lower one wins while the device is there.
METRIC_TUNNEL, METRIC_UNREACHABLE = 100, 4096
#: Octets of the largest packet the kernel can hand over.
READ_SIZE = 65_535

#: A packet the kernel does not want (link down, malformed, no memory) is lost, as on any link.
_LOST = frozenset({errno.EAGAIN, errno.EIO, errno.EINVAL, errno.ENOBUFS, errno.ENOMEM, errno.EINTR})


#: The device was deleted under us: nothing will ever come or go through it again.
_GONE = frozenset({errno.EBADFD, errno.ENODEV, errno.ENXIO})


def add_address(netlink: Netlink, index: int, address: Interface, networks: Sequence[Network]) -> None:
    """Give a link an inner address, and route the peer's inner networks into it from there.

    Raises OSError.
    """
    netlink.add_address(index, address)
    for network in networks:
        netlink.add_route(network, index, address, METRIC_TUNNEL)


class TunGoneError(OSError):
    """The device does not exist any more."""


class Tun:
    """An open TUN device without packet information headers. Raises OSError where it cannot be made."""

    def __init__(self, name: str) -> None:
        self._fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL)
            answer = fcntl.ioctl(self._fd, _TUNSETIFF, request)
        except OSError:
            os.close(self._fd)
            raise
        self.name = answer[:16].rstrip(b"\0").decode()
        #: Lost packets by errno name.
        self.errors: Counter[str] = Counter()

    def configure(self, address: Interface | None, networks: Sequence[Network], mtu: int) -> None:
        """Address, MTU, routes to the peer's inner networks. Needs NET_ADMIN. Raises OSError.

        Without an address the networks stay unreachable until there is one (`node.net.addresser`).
        """
        index = socket.if_nametoindex(self.name)
        with Netlink() as netlink:
            for network in networks:
                netlink.add_unreachable(network, METRIC_UNREACHABLE)
            netlink.link_up(index, mtu)
            if address is not None:
                add_address(netlink, index, address, networks)

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._fd

    def read(self) -> bytes | None:
        """The next packet the kernel sends into the tunnel, or None where there is none now.

        Raises TunGoneError.
        """
        try:
            return os.read(self._fd, READ_SIZE)
        except OSError as error:
            self._count(error)
            return None

    def write(self, packet: bytes) -> bool:
        """Hand a packet from the tunnel to the kernel. False where it is lost. Raises TunGoneError."""
        try:
            os.write(self._fd, packet)
        except OSError as error:
            self._count(error)
            return False
        return True

    def close(self) -> None:
        """The device and its routes vanish; the unreachable routes stay."""
        os.close(self._fd)

    def _count(self, error: OSError) -> None:
        if error.errno in _GONE:
            raise TunGoneError(error.errno, f"{self.name} is gone") from error
        if error.errno not in _LOST:
            raise error
        if error.errno != errno.EAGAIN:
            self.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1
