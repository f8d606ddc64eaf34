"""Octets through a tunnel, both ways, held against their SHA-256: `python -m bench.dataplane.content`.

    serve ADDRESS          take what comes, answer with as much, and with the digests of both
    send ADDRESS OCTETS    send so many random octets, and hold what comes back against the digests

Exit code 1 where an octet is another one, or is missing.
"""

import hashlib
import os
import socket
import sys
from collections.abc import Sequence

PORT, PATIENCE = 5202, 60.0
DIGEST = hashlib.sha256().digest_size
#: What the server says when it can be reached.
LISTENING = "listening"


def serve(server: socket.socket) -> None:
    """One connection to a socket that listens. Raises OSError."""
    connection, _ = server.accept()
    with connection:
        connection.settimeout(PATIENCE)
        came = _all(connection)
        answer = os.urandom(len(came))
        digests = hashlib.sha256(came).digest() + hashlib.sha256(answer).digest()
        connection.sendall(digests + answer)


def send(connection: socket.socket, octets: int) -> str:
    """What is wrong with what arrived at either end; empty: nothing. Raises OSError."""
    sent = os.urandom(octets)
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)
    answer = _all(connection)
    theirs, ours, came = answer[:DIGEST], answer[DIGEST : 2 * DIGEST], answer[2 * DIGEST :]
    if theirs != hashlib.sha256(sent).digest():
        return f"of {octets} octets that were sent others arrived"
    if len(came) != octets or ours != hashlib.sha256(came).digest():
        return f"of {octets} octets that were to come back others arrived"
    return ""


def _all(connection: socket.socket) -> bytes:
    """Everything until the peer has no more to say."""
    found = bytearray()
    while part := connection.recv(1 << 16):
        found += part
    return bytes(found)


def main(arguments: Sequence[str]) -> int:
    """Serve or send."""
    match arguments:
        case ["serve", address]:
            with socket.create_server((address, PORT)) as server:
                print(LISTENING, flush=True)
                serve(server)
            return 0
        case ["send", address, octets] if octets.isdecimal():
            with socket.create_connection((address, PORT), PATIENCE) as connection:
                wrong = send(connection, int(octets))
            print(wrong or "all octets are right", file=sys.stderr if wrong else sys.stdout)
            return 1 if wrong else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
