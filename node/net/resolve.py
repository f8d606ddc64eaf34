"""From the peer's configured name to addresses. Blocking: the daemon runs it in a thread."""

import encodings.idna
import socket

from node.net.hosts import host_of

#: What the interpreter would import when a name is first looked up: later, as another user, it might not
#: be allowed
#: to read its own library.
PRELOADED = (encodings.idna,)


def addresses(host: str, port: int, version: int) -> tuple[str, ...]:
    """The addresses of `host` of one IP version, in the resolver's order.

    Raises OSError with a clear text.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)
    except socket.gaierror as error:
        raise OSError(f"the name {host} does not resolve: {error.strerror}") from error
    except UnicodeError as error:
        raise OSError(f"{host!r} is no host name: {error}") from error
    return tuple(dict.fromkeys(host_of(entry[4]) for entry in found))
