"""A process that sends IKE_SA_INIT requests from everywhere in 127.0.0.0/8, and counts what comes back.

    python -m tests.property.spoofer PORT COUNT SECONDS SEED

Each request has another source address, SPI and nonce. One socket sends them all and receives what is sent to
any of these addresses. At the end it prints a JSON object.
"""

import json
import random
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address

from node.crypto import kex
from node.crypto.suites import ike_suite
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import KeyExchange, Nonce, Notify, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import ExchangeType, NotifyType
from node.wire.asn1.codec import Asn1Codec

SUITE = "aes256-sha256-modp2048"
#: Placeholders that stand once in the message, SPI and nonce of every request being of their sizes.
SPI, NONCE = bytes(range(0x11, 0x19)), bytes(range(0x40, 0x60))
#: linux/in.h; struct in_pktinfo: interface, address to send from, destination.
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("=I4s4s")
#: Seconds that it goes on listening after the last request.
AFTERWARDS = 1.0


@dataclass(slots=True)
class Count:
    """Datagrams and octets, sent and received; `largest` is the largest answer; `kinds` are what they were.

    `ended` is when the last request was sent, in seconds since 1970.
    """

    sent: int = 0
    octets_sent: int = 0
    received: int = 0
    octets_received: int = 0
    largest: int = 0
    seconds: float = 0.0
    ended: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)


def template() -> bytes:
    """A good request, with the placeholders."""
    suite = ike_suite(SUITE)
    assert suite.ke is not None
    share = kex.generate(suite.ke)
    header = Header(SPI, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    payloads = (SecurityAssociation(offer((suite,))), KeyExchange(share.group, share.public), Nonce(NONCE))
    return Asn1Codec().seal(header, payloads, None, 0).octets


class Spoofer:
    """The socket, and the count."""

    def __init__(self, port: int, seed: int) -> None:
        self._to, self._draw, self._template = ("127.0.0.1", port), random.Random(seed), template()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        self._socket.bind(("0.0.0.0", 0))
        self._socket.setblocking(False)
        self._codec = Asn1Codec()
        self.count = Count()

    def send(self) -> None:
        """One more request."""
        draw = self._draw
        # The first octet of an INTEGER of eight octets is neither zero nor negative.
        spi = bytes((draw.randrange(1, 0x80),)) + draw.randbytes(7)
        octets = self._template.replace(SPI, spi).replace(NONCE, draw.randbytes(len(NONCE)))
        source = IPv4Address(0x7F000000 | draw.randrange(2, 0xFFFFFE)).packed
        ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(0, source, bytes(4)))]
        self._socket.sendmsg([octets], ancillary, 0, self._to)
        self.count.sent += 1
        self.count.octets_sent += len(octets)

    def receive(self) -> None:
        """Take what has come."""
        while True:
            try:
                octets = self._socket.recv(65_535)
            except BlockingIOError:
                return
            count = self.count
            count.received += 1
            count.octets_received += len(octets)
            count.largest = max(count.largest, len(octets))
            kind = self._kind(octets)
            count.kinds[kind] = count.kinds.get(kind, 0) + 1

    def _kind(self, octets: bytes) -> str:
        payloads = self._codec.read(self._codec.peek(octets)).payloads
        told = [NotifyType(p.notify_type) for p in payloads if isinstance(p, Notify)]
        instead = [kind for kind in told if kind.is_error or kind == NotifyType.COOKIE]
        return str(instead[0]) if instead else "IKE_SA_INIT"

    def run(self, count: int, seconds: float) -> None:
        """That many requests, evenly spread."""
        begin = time.monotonic()
        for number in range(count):
            wait = begin + number * seconds / count - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            self.send()
            self.receive()
        self.count.seconds, self.count.ended = round(time.monotonic() - begin, 2), time.time()
        time.sleep(AFTERWARDS)
        self.receive()


def main(arguments: list[str]) -> None:
    """Send, and print the count."""
    port, count, seconds, seed = arguments
    spoofer = Spoofer(int(port), int(seed))
    spoofer.run(int(count), float(seconds))
    print(json.dumps(asdict(spoofer.count)))


if __name__ == "__main__":
    main(sys.argv[1:])
