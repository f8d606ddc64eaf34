"""A process of its own that keeps the right to change the node's inner addresses, and does nothing else.

    node, without any capability   <-- socket pair -->   this process, with NET_ADMIN alone

    order    1 octet: 1 add, 2 remove; then the address, 4 or 16 octets
    answer   4 octets, big endian: 0, or the errno of what failed

Rules:

1. It begins before the node gives up its privileges, becomes the same user, and holds nothing but its end of
   the pair: no file, no network but rtnetlink, no secret.
2. Device and routes are fixed when it begins. It takes one address of each family that was asked for, of what
   a host may have, and takes away only what it gave: whoever takes the node over gets no more than that.
3. It ends when the node's end of the pair is closed, however the node ends, and takes what it gave along: the
   device may stay.
"""

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Collection, Sequence
from ipaddress import ip_address, ip_interface
from typing import Final, NoReturn

from node.model.selectors import IPAddress, is_host
from node.net import privileges
from node.net.netlink import Netlink, Network
from node.net.privileges import User
from node.net.tun import add_address

_ADD: Final = 1
_REMOVE: Final = 2
#: Octets of an order and of an answer, at most.
_ORDER, _ANSWER = 17, 4
#: Seconds to wait for an answer: the kernel needs less than a thousandth.
PATIENCE: Final = 2.0


class Addresser:
    """The node's end. `versions` are the IP versions of which the device `index` may get an address; then
    `networks` of that version are routed into it. Must be made before the first thread starts.

    Raises OSError where the process cannot be made, or cannot give up what it must not have.
    """

    def __init__(
        self, index: int, versions: Collection[int], networks: Sequence[Network], user: User | None
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pid = os.fork()
        if not self._pid:
            _live(theirs, _Device(index, versions, networks), user)
        theirs.close()
        ours.settimeout(PATIENCE)
        self._end: socket.socket | None = ours
        self._await("its capabilities")

    def add(self, address: IPAddress) -> None:
        """Give the device this address, and route the peer's networks from it. Raises OSError."""
        self._order(_ADD, address)

    def remove(self, address: IPAddress) -> None:
        """Take it away. Raises OSError."""
        self._order(_REMOVE, address)

    def close(self) -> None:
        """End the process, which takes its addresses away."""
        if self._end is not None:
            self._end.close()
            self._end = None
            os.waitpid(self._pid, 0)

    def _order(self, what: int, address: IPAddress) -> None:
        if self._end is None:
            raise OSError(errno.EPIPE, "the process that sets addresses is gone")
        # Where the process has just died, there is no answer either.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._end.send(bytes([what]) + address.packed)
        self._await(str(address))

    def _await(self, what: str) -> None:
        end = self._end
        answer = b""
        if end is not None:
            try:
                answer = end.recv(_ANSWER)
            except OSError:
                # An answer that comes later would be taken for that to another order.
                answer = b""
        if len(answer) != _ANSWER:
            self._abandon()
            raise OSError(errno.EPIPE, "the process that sets addresses does not answer")
        code = int.from_bytes(answer)
        if code:
            raise OSError(code, f"{os.strerror(code)} ({what})")

    def _abandon(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self.close()


class _Device:
    """What may be done, and what was."""

    def __init__(self, index: int, versions: Collection[int], networks: Sequence[Network]) -> None:
        self._index, self._versions, self._networks = index, frozenset(versions), tuple(networks)
        self._held: dict[int, IPAddress] = {}

    def obey(self, order: bytes) -> int:
        """Carry out an order; returns an errno, 0 where it was done."""
        try:
            address = ip_address(order[1:])
        except ValueError:
            return errno.EINVAL
        try:
            if order[0] == _ADD:
                return self._add(address)
            if order[0] == _REMOVE:
                return self._remove(address)
        except OSError as error:
            return error.errno or errno.EIO
        return errno.EINVAL

    def clear(self) -> None:
        """Take everything away that was given; the device may be gone with it."""
        for address in tuple(self._held.values()):
            with contextlib.suppress(OSError):
                self._remove(address)

    def _add(self, address: IPAddress) -> int:
        version = address.version
        if version not in self._versions or not is_host(address) or address.is_link_local:
            return errno.EADDRNOTAVAIL
        if version in self._held:
            return errno.EEXIST
        self._held[version] = address
        networks = [network for network in self._networks if network.version == version]
        with Netlink() as netlink:
            add_address(netlink, self._index, ip_interface(address), networks)
        return 0

    def _remove(self, address: IPAddress) -> int:
        if self._held.get(address.version) != address:
            return errno.EADDRNOTAVAIL
        del self._held[address.version]
        with Netlink() as netlink:
            netlink.remove_address(self._index, ip_interface(address))
        return 0


def _live(end: socket.socket, device: _Device, user: User | None) -> NoReturn:
    """The whole life of the process; does not return."""
    code = 1
    try:
        _let_go(end)
        try:
            privileges.keep_net_admin(user)
        except OSError as error:
            _answer(end, error.errno or errno.EPERM)
        else:
            _answer(end, 0)
            _serve(end, device)
            code = 0
    finally:
        os._exit(code)


def _let_go(end: socket.socket) -> None:
    """Hold nothing of the node's: not its files, not its TUN device, not what it does on a signal."""
    for sent in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sent, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number != end.fileno():
            # The listing's own descriptor is in it, and closed by now.
            with contextlib.suppress(OSError):
                os.close(number)


def _serve(end: socket.socket, device: _Device) -> None:
    while order := end.recv(_ORDER):
        _answer(end, device.obey(order))
    device.clear()


def _answer(end: socket.socket, code: int) -> None:
    end.send(code.to_bytes(_ANSWER))
