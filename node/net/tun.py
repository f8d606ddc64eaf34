"""A TUN device: inner IP packets in and out of the kernel.

Rules:

1. The inner networks of the peer are unreachable except through the device: the refusing route is there
   before the route into the device and stays when the device is gone, so that nothing ever leaves in clear.
2. The device lives as long as its descriptor.
3. Where the kernel can, packets come and go with a header that says what is left to do (`node.esp.vnet`), so
   that one call carries many segments. What it cannot do is found out when the device is made.
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from node.esp import vnet
from node.esp.packet import MAX_DATAGRAMS, MAX_OCTETS, MAX_OVERHEAD
from node.esp.vnet import COMPLETE, NOTHING_TO_DO, VNET_SIZE, Offload
from node.net.netlink import Interface, Netlink, Network

DEVICE = "/dev/net/tun"
# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x0001, 0x1000, 0x4000, 0x8000
#: What the kernel may leave to us, most first: checksums; segments of TCP over IPv4 and IPv6; those of UDP,
#: which are newer (Linux 6.2).
_F_CSUM, _F_TSO4, _F_TSO6, _F_USO4, _F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
_F_TCP = _F_CSUM | _F_TSO4 | _F_TSO6
_OFFLOADS = (_F_TCP | _F_USO4 | _F_USO6, _F_TCP, _F_CSUM | _F_TSO4, 0)

#: Metrics of the two routes; the lower one wins while the device is there.
METRIC_TUNNEL, METRIC_UNREACHABLE = 100, 4096
#: Octets of the largest packet the kernel can hand over.
READ_SIZE = 65_535

#: Octets of IPv4 and TCP headers with timestamps, which the kernel does not count as data.
_LEAST_HEADERS = 52

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


#: A packet from the kernel and what is left to do with it; valid until the next is read.
Frame = tuple[memoryview, Offload]


class Tun:
    """An open TUN device without packet information headers. Raises OSError where it cannot be made.

    Without `offloads` the kernel is asked for none: every packet is complete, and is one segment.
    """

    def __init__(self, name: str, *, offloads: bool = True) -> None:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            name, vnet_header = _make(descriptor, name, offloads)
            granted = _offload(descriptor) if vnet_header else 0
        except OSError:
            os.close(descriptor)
            raise
        self._take(descriptor, name, vnet_header, granted)

    def _take(self, descriptor: int, name: str, vnet_header: bool = False, offloads: int = 0) -> None:
        """Be the device behind this descriptor."""
        self._fd, self.name, self._vnet, self.offloads = descriptor, name, vnet_header, offloads
        self._buffer = bytearray(VNET_SIZE + READ_SIZE)
        self._view = memoryview(self._buffer)
        #: Whether the kernel takes super-packets from us; until it refuses one.
        self.takes_super = vnet_header
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
            if self.offloads:
                self._bound_segments(netlink, index, mtu)
            if address is not None:
                add_address(netlink, index, address, networks)

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._fd

    def _bound_segments(self, netlink: Netlink, index: int, mtu: int) -> None:
        """Let a packet have no more segments than leave in one send as ESP packets; else it takes two."""
        segments = min(MAX_DATAGRAMS, MAX_OCTETS // (mtu + MAX_OVERHEAD))
        with contextlib.suppress(OSError):
            netlink.bound_segments(index, segments, max(segments * (mtu - _LEAST_HEADERS), mtu))

    def read(self) -> Frame | None:
        """The next packet the kernel sends into the tunnel, or None where there is none now.

        Raises TunGoneError, and DecodeError where the header in front of it makes no sense.
        """
        try:
            size = os.readv(self._fd, [self._buffer])
        except OSError as error:
            self._count(error)
            return None
        if not self._vnet:
            return self._view[:size], COMPLETE
        if self._view[:VNET_SIZE] == NOTHING_TO_DO and size >= VNET_SIZE:
            return self._view[VNET_SIZE:size], COMPLETE
        return self._view[VNET_SIZE:size], vnet.read(self._view[:size])

    def write(self, packet: bytes) -> bool:
        """Hand a packet from the tunnel to the kernel. False where it is lost. Raises TunGoneError."""
        try:
            os.write(self._fd, NOTHING_TO_DO + packet if self._vnet else packet)
        except OSError as error:
            self._count(error)
            return False
        return True

    def write_super(self, parts: Sequence[bytes | bytearray | memoryview]) -> bool:
        """Hand over a super-packet with its header. False where it is lost. Raises TunGoneError."""
        try:
            os.writev(self._fd, parts)
        except OSError as error:
            self._count(error)
            if error.errno == errno.EINVAL:
                self.takes_super = False
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


def _make(descriptor: int, name: str, offloads: bool) -> tuple[str, bool]:
    """The device's name, and whether its packets have the header."""
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_TUN_EXCL
    for with_header in (True, False) if offloads else (False,):
        request = struct.pack("16sH22x", name.encode(), flags | (_IFF_VNET_HDR if with_header else 0))
        try:
            answer = fcntl.ioctl(descriptor, _TUNSETIFF, request)
        except OSError as error:
            if with_header and error.errno == errno.EINVAL:
                continue
            raise
        return answer[:16].rstrip(b"\0").decode(), with_header
    raise OSError(errno.EINVAL, "the kernel makes no TUN device")


def _offload(descriptor: int) -> int:
    """Ask for as much as the kernel has to offer: what it granted."""
    for wanted in _OFFLOADS:
        try:
            fcntl.ioctl(descriptor, _TUNSETOFFLOAD, wanted)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return wanted
    return 0
