"""Hears of changes of this host's addresses and routes: the multicast groups of rtnetlink(7), which need no
privilege. What changed is not read: whoever hears of it asks the routing table.
"""

import errno
import socket

# linux/rtnetlink.h: RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE
_GROUPS = 0x10 | 0x40 | 0x100 | 0x400
#: Octets of one notification; more are cut, and nobody misses them.
_SIZE = 4096
#: Notifications that are taken at once; what is left wakes us up again.
_BATCH = 256


class AddressWatch:
    """Readable when an address or a route has changed. Raises OSError where the kernel does not tell."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, _GROUPS))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._socket.fileno()

    def take(self) -> None:
        """Take what was told; there is something to look at, also where the kernel lost a part of it."""
        for _ in range(_BATCH):
            try:
                self._socket.recv(_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()
