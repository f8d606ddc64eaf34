"""Addresses as text and as the socket calls have them.

A link-local address is one only with its interface, as in `fe80::1%eth0`. In the text the calls ignore it,
and leave it out: there it is a number of its own.
"""

import errno
import socket
from typing import Any


def socket_address(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """What the socket calls take. Raises OSError (ENODEV) where there is no such interface."""
    address, _, scope = host.partition("%")
    if not scope:
        return host, port
    try:
        return address, port, 0, int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    except OSError as error:
        # The library's error has no number.
        raise OSError(errno.ENODEV, f"there is no interface {scope}") from error


def host_of(address: tuple[Any, ...]) -> str:
    """The host in what the socket calls give."""
    host = str(address[0])
    if len(address) < 4 or not address[3] or "%" in host:
        return host
    try:
        return f"{host}%{socket.if_indextoname(address[3])}"
    except OSError:
        # The interface is gone; nothing leaves by its number either.
        return f"{host}%{address[3]}"


def unscoped(host: str) -> str:
    """Our own address as packets have it; its interface follows from the peer's."""
    return host.partition("%")[0]
