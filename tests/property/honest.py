"""A process with many honest initiators, each a whole node with its own address, certificate and network.

    python -m tests.property.honest DIRECTORY PORT COUNT INTERVAL

One after the other opens its IKE SA, an interval apart. When all are up, or time is over, it prints a JSON
object with the milliseconds that each took, and waits for the end of its input; then all IKE SAs are deleted.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from node.config import Sources, load
from node.daemon.assembly import PROFILES, endpoint
from node.daemon.credentials import load as load_credentials
from node.daemon.node import Node
from node.daemon.start import Started
from node.eventlog import EventLog
from node.model.events import EventName
from node.net.transport import Line, Transport
from node.net.udp import UdpSocket
from node.prose import Palette

#: Seconds that the last one has.
PATIENCE = 30.0


def name_of(number: int) -> str:
    """The node's name, which its certificate has as well."""
    return f"honest-{number}"


class Initiator:
    """One node, and how long its handshake took."""

    def __init__(self, directory: Path, port: int, number: int) -> None:
        name, certificates = name_of(number), directory / "ipsec" / "certs"
        variables = {
            "NODE_NAME": name,
            "NODE_PEER__PORT": str(port),
            "NODE_CREDENTIALS__CA": str(certificates / "ca-cert.pem"),
            "NODE_CREDENTIALS__CERTIFICATE": str(certificates / f"{name}-cert.pem"),
            "NODE_CREDENTIALS__KEY": str(certificates / f"{name}-key.pem"),
            "NODE_CHILD__LOCAL_TS": f"[10.1.{number}.0/24]",
            "NODE_TUN__ADDRESS": f"10.1.{number}.1/24",
            "NODE_DEMO__PINGS": "0",
            "NODE_DEMO__MESSAGE": "''",
        }
        options = ((("role",), "initiator", "--mode"), (("tun", "enabled"), False, "--tun"))
        config = load(Sources(None, variables, options))
        log = EventLog(name, self._on_lines, None, Palette(False))
        credentials = load_credentials(config, log)
        udp = UdpSocket(f"127.77.0.{number + 1}", 0)
        engine = endpoint(config, credentials)
        self.udp, transport = udp, Transport(Line(udp, PROFILES[config.profile].port))
        self.node = Node(Started(config, log, None, credentials, engine, transport), os.urandom)
        self.milliseconds: float | None = None
        self._begun = 0.0

    def begin(self) -> None:
        """Open the IKE SA."""
        self._begun = time.monotonic()
        self.node.initiate()

    def _on_lines(self, text: str) -> None:
        told = [json.loads(line)["event"] for line in text.split("\n")]
        if EventName.CHILD_SA_INSTALLED in told and self.milliseconds is None:
            self.milliseconds = round(1000 * (time.monotonic() - self._begun), 2)


async def run(directory: Path, port: int, count: int, interval: float) -> None:
    """Open all, tell, wait, and delete them."""
    initiators = [Initiator(directory, port, number) for number in range(count)]
    for one in initiators:
        one.begin()
        await asyncio.sleep(interval)
    end = time.monotonic() + PATIENCE
    while any(one.milliseconds is None for one in initiators) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    print(json.dumps([one.milliseconds for one in initiators]), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for one in initiators:
        one.node.stop("done")
    await asyncio.gather(*(one.node._done for one in initiators))
    for one in initiators:
        one.node.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
