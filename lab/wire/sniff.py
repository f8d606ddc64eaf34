"""A sniffer: every frame that passes one interface, in both directions, into a pcapng file.

packet(7): NET_RAW is all it needs. Times are the kernel's, in nanoseconds (SO_TIMESTAMPNS); what the kernel
had no room for is counted (PACKET_STATISTICS). Frames are kept as they are: a checksum that the sender left
to its network card is still to be computed.

A sniffer that is started again goes on with its file: what was captured before is evidence as well.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from types import FrameType
from typing import BinaryIO

from lab.wire.eventlog import EventLog
from lab.wire.pcapng import LINK_ETHERNET, LINK_RAW, CaptureError, Interface, Packet, Writer, resume

STOPPED, ENVIRONMENT = 0, 4

# linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h; the socket module does not have all of them.
_ETH_P_ALL = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS = 263, 1, 6
_MR_PROMISC = 1
_SO_TIMESTAMPNS, _SO_ATTACH_FILTER = 35, 26
_OUTGOING = 4
_ARPHRD_ETHER, _ARPHRD_LOOPBACK, _ARPHRD_NONE = 1, 772, 0xFFFE

#: struct packet_mreq: interface index, type, length of an address, address.
_MEMBERSHIP = struct.Struct("=iHH8s")
#: struct tpacket_stats: packets, of them dropped.
_COUNTS = struct.Struct("=II")
#: struct sock_filter with the one instruction "return 0", and struct sock_fprog: how many there are, where.
_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)
_PROGRAM = struct.Struct("@HP")
#: struct timespec.
_TIME = struct.Struct("@ll")
#: Octets of the socket buffer that are asked for; the host's net.core.rmem_max may allow fewer.
_BUFFER = 16 << 20
#: The largest frame: what segmentation offload puts into one, and its Ethernet header.
_FRAME = 1 << 18
_BATCH = 256


class SniffError(Exception):
    """The interface cannot be listened to, or the file not be written; one line that says why."""


class Tap:
    """A socket that gets every frame of one interface, and of no other. Raises SniffError."""

    def __init__(self, interface: str) -> None:
        try:
            # Protocol 0: nothing comes before it is bound to its interface.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            raise SniffError("a sniffer needs the capability NET_RAW: add it to its container") from None
        try:
            self._prepare(interface)
        except (OSError, SniffError) as error:
            self._socket.close()
            if isinstance(error, SniffError):
                raise
            raise SniffError(f"interface {interface}: {error.strerror or error}") from error
        self._frame = bytearray(_FRAME)

    def _prepare(self, interface: str) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        membership = _MEMBERSHIP.pack(socket.if_nametoindex(interface), _MR_PROMISC, 0, bytes(8))
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        self._socket.bind((interface, _ETH_P_ALL))
        hardware = self._socket.getsockname()[3]
        links = {_ARPHRD_ETHER: LINK_ETHERNET, _ARPHRD_LOOPBACK: LINK_ETHERNET, _ARPHRD_NONE: LINK_RAW}
        if hardware not in links:
            raise SniffError(f"interface {interface}: hardware of type {hardware} is not known here")
        self.link = links[hardware]
        #: On loopback every frame passes twice, going out and coming in: once is enough.
        self._skipped = _OUTGOING if hardware == _ARPHRD_LOOPBACK else -1

    def fileno(self) -> int:
        """The descriptor, for select."""
        return self._socket.fileno()

    def frames(self, most: int) -> Iterator[Packet]:
        """What has come so far, `most` at most. Raises SniffError where the interface is gone."""
        for _ in range(most):
            try:
                size, ancillary, _, address = self._socket.recvmsg_into([self._frame], 64)
            except BlockingIOError:
                return
            except OSError as error:
                raise SniffError(f"the interface is gone: {error.strerror}") from error
            if address[2] != self._skipped:
                yield Packet(_moment(ancillary), bytes(self._frame[:size]))

    def end(self) -> None:
        """Take no more frames in; those that have come can still be had.

        A filter, for no time tells them apart: a frame that came before the kernel began to keep times gets
        that of its reading.
        """
        program = ctypes.create_string_buffer(_NOTHING, len(_NOTHING))
        about = _PROGRAM.pack(1, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, about)

    def dropped(self) -> int:
        """Frames that the kernel had no room for, since this was asked last."""
        counts = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, _COUNTS.size)
        return int(_COUNTS.unpack(counts)[1])

    def close(self) -> None:
        """Listen no longer."""
        self._socket.close()


def _moment(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Nanoseconds of the epoch: the kernel's time of a frame, ours where it gives none."""
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(octets) >= _TIME.size:
            seconds, nanoseconds = _TIME.unpack_from(octets)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()


def run(interface: str, path: str, vantage: str, log: EventLog) -> int:
    """Sniff until SIGTERM or SIGINT; returns the exit code."""
    try:
        with _signals() as stop, contextlib.closing(Tap(interface)) as tap, _opened(path) as stream:
            writer = _begun(stream, path, Interface(interface, tap.link), vantage)
            log.tell("capture_started", file=path, vantage=vantage)
            packets, problem = _sniff(tap, writer, path, stop)
            log.tell("capture_stopped", packets=packets, lost=tap.dropped())
    except SniffError as error:
        problem = str(error)
    if problem:
        log.tell("wire_failed", detail=problem, code=ENVIRONMENT)
    return ENVIRONMENT if problem else STOPPED


def _opened(path: str) -> BinaryIO:
    """The file, as it is; made where there is none."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return open(descriptor, "r+b", buffering=0)
    except OSError as error:
        raise SniffError(f"{path}: {error.strerror}") from error


def _begun(stream: BinaryIO, path: str, interface: Interface, vantage: str) -> Writer:
    """A writer that goes on where an earlier life of this sniffer ended."""
    try:
        return resume(stream, (interface,), f"vantage {vantage}, {interface.name}")
    except CaptureError as error:
        raise SniffError(f"{path}: exists and is not this sniffer's ({error}): name a new file") from error
    except OSError as error:
        raise SniffError(f"{path}: {error.strerror}") from error


def _sniff(tap: Tap, writer: Writer, path: str, stop: socket.socket) -> tuple[int, str]:
    """Write frames until `stop` is readable; how many they were, and what went wrong."""
    packets, ending = 0, False
    try:
        while True:
            ready, _, _ = select.select([tap.fileno(), stop.fileno()], [], [])
            if stop.fileno() in ready and not ending:
                tap.end()
                ending = True
            before = packets
            for packet in tap.frames(_BATCH):
                writer.packet(packet)
                packets += 1
            if ending and packets == before:
                return packets, ""
    except SniffError as error:
        return packets, str(error)
    except OSError as error:
        return packets, f"{path}: {error.strerror}"


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket that becomes readable at SIGTERM or SIGINT."""
    reader, waker = socket.socketpair()
    waker.setblocking(False)
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, _noted) for number in numbers}
    fd = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(fd)
        for number, old in before.items():
            signal.signal(number, old)
        reader.close()
        waker.close()


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor tells it."""
