"""Pings out of the container of one of the lab's own nodes, whose image has no `ping`.

Run there as a script, so it is the standard library alone:

    python -c SOURCE ADDRESS COUNT

The kernel's ICMP sockets need no privilege (net.ipv4.ping_group_range, which the engine opens) and take the
route into the tunnel as any program's packets do. Exit code 0 where every request was answered, else 1.
"""

import inspect
import socket
import struct
import sys
import time
from collections.abc import Sequence
from ipaddress import ip_address

#: Seconds for one answer, and between an answer and the next request.
PATIENCE, PAUSE = 2.0, 0.05
#: Type, code, checksum and identifier (both are the kernel's to fill in), sequence number.
_HEADER = struct.Struct("!BBHHH")
_DATA = bytes(56)


def argv(address: str, count: int) -> tuple[str, ...]:
    """The command that does it in a container."""
    return ("python", "-c", inspect.getsource(sys.modules[__name__]), address, str(count))


def main(arguments: Sequence[str]) -> int:
    """Send and wait, one after the other."""
    target, count = ip_address(arguments[0]), int(arguments[1])
    v6 = target.version == 6
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as icmp:
        icmp.connect((str(target), 0))
        answered = 0
        for sequence in range(1, count + 1):
            answered += _ask(icmp, 128 if v6 else 8, sequence)
            time.sleep(PAUSE if sequence < count else 0)
    print(f"{answered} of {count} echo requests to {target} were answered", file=sys.stderr)
    return 0 if answered == count else 1


def _ask(icmp: socket.socket, request: int, sequence: int) -> bool:
    icmp.settimeout(PATIENCE)
    icmp.send(_HEADER.pack(request, 0, 0, 0, sequence) + _DATA)
    try:
        while True:
            answer = icmp.recv(2048)
            if len(answer) >= _HEADER.size and _HEADER.unpack_from(answer)[4] == sequence:
                return True
    except TimeoutError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
