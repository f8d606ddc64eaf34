"""What the lab shows: a message through the tunnel, its acknowledgement, and pings.

    initiator                                    responder
        | --- UDP demo.message ------------------>  |  esp_payload_decrypted
        |  <--------------- UDP "ACK " + message ---|
        | --- ICMP echo request, demo.pings times ->|

Rules:

1. Either role acknowledges every message; an acknowledgement is never acknowledged.
2. What got lost is sent again, a bounded number of times. A failure is an event, never silence.
"""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from node.config.model import Demo as DemoSettings
from node.daemon.dataplane import Origin
from node.daemon.inner import InnerSide, Listener
from node.errors import LocalMisuse
from node.esp.ip import UdpDatagram
from node.eventlog import EventLog
from node.model.events import EventName
from node.model.selectors import IPAddress, TrafficSelector

#: Begins the payload of an acknowledgement.
ACK = b"ACK "
#: Octets of a message that events and acknowledgements repeat.
MAX_PAYLOAD = 1024
#: Sendings of the message, and seconds to wait for its acknowledgement after each.
TRIES, ACK_PATIENCE = 5, 1.0
#: Seconds to wait for the last echo reply.
PING_PATIENCE = 1.0


class Demo:
    """Sends, acknowledges and reports. `clock` is monotonic seconds."""

    def __init__(self, settings: DemoSettings, log: EventLog, clock: Callable[[], float]) -> None:
        self._settings, self._log, self._clock = settings, log, clock
        self._inner: InnerSide | None = None
        self._running = asyncio.Lock()
        self._acknowledged = asyncio.Event()
        self._all_replied = asyncio.Event()
        self._awaited: IPAddress | None = None
        self._sent_at: dict[int, float] = {}
        self._round_trips: list[float] = []
        self.listener = Listener(self._on_message, self._on_echo_reply, self._on_message_sent)

    def attach(self, inner: InnerSide) -> None:
        """Use this inner side."""
        self._inner = inner

    async def run(self, peer: tuple[TrafficSelector, ...]) -> bool:
        """Show the tunnel to the first address of `peer` (or to demo.target).

        True where everything was answered.
        """
        async with self._running:
            return await self._run(peer)

    async def _run(self, peer: tuple[TrafficSelector, ...]) -> bool:
        inner, settings = self._inner, self._settings
        if inner is None:
            raise LocalMisuse("the demo has no inner side")
        target = ip_address(settings.target) if settings.target else first_host(peer)
        self._awaited = target
        if settings.message and not await self._say(inner, target):
            self._fail(f"no acknowledgement from {target} after {TRIES} messages")
            return False
        return not settings.pings or await self._ping(inner, target)

    async def _say(self, inner: InnerSide, target: IPAddress) -> bool:
        self._acknowledged.clear()
        for _ in range(TRIES):
            inner.send_message(target, self._settings.port, self._settings.message.encode())
            if await _within(ACK_PATIENCE, self._acknowledged.wait()):
                return True
        return False

    async def _ping(self, inner: InnerSide, target: IPAddress) -> bool:
        self._sent_at.clear()
        self._round_trips.clear()
        self._all_replied.clear()
        for sequence in range(1, self._settings.pings + 1):
            self._sent_at[sequence] = self._clock()
            inner.ping(target, sequence)
            if sequence < self._settings.pings:
                await asyncio.sleep(self._settings.interval)
        if len(self._round_trips) < self._settings.pings:
            await _within(PING_PATIENCE, self._all_replied.wait())
        return self._report(inner.kind, target)

    def _report(self, kind: str, target: IPAddress) -> bool:
        times = [round(t * 1000, 3) for t in self._round_trips]
        statistics = dict.fromkeys(("min_ms", "avg_ms", "max_ms"), None if not times else 0.0)
        if times:
            statistics = {
                "min_ms": min(times),
                "avg_ms": round(sum(times) / len(times), 3),
                "max_ms": max(times),
            }
        sent = self._settings.pings
        fields = {"target": str(target), "sent": sent, "received": len(times), "via": kind, **statistics}
        self._log.emit(EventName.PINGS_COMPLETED, **fields)
        if not times:
            self._fail(f"no echo reply from {target} to {sent} requests")
        return len(times) == sent

    def _fail(self, reason: str) -> None:
        self._log.emit(EventName.DEMO_FAILED, reason=reason)

    # -- what arrives ----------------------------------------------------------------------------------------

    def _on_message(self, datagram: UdpDatagram, origin: Origin | None) -> None:
        fields = {
            "text": _text(datagram.payload),
            "source": str(datagram.source),
            "peer": origin.peer if origin else None,
            "spi": origin.spi if origin else None,
            "sequence": origin.sequence if origin else None,
        }
        if datagram.payload.startswith(ACK):
            if datagram.source == self._awaited and not self._acknowledged.is_set():
                self._log.emit(EventName.ESP_ACK_RECEIVED, **fields)
                self._acknowledged.set()
            return
        self._log.emit(EventName.ESP_PAYLOAD_DECRYPTED, **fields)
        if self._inner is not None:
            self._inner.send_message(
                datagram.source, datagram.source_port, ACK + datagram.payload[:MAX_PAYLOAD]
            )

    def _on_message_sent(self, datagram: UdpDatagram, spi: bytes, sequence: int) -> None:
        is_ack = datagram.payload.startswith(ACK)
        fields = {
            "text": _text(datagram.payload),
            "target": str(datagram.destination),
            "spi": spi.hex(),
            "sequence": sequence,
        }
        self._log.emit(EventName.ESP_ACK_SENT if is_ack else EventName.ESP_PAYLOAD_SENT, **fields)

    def _on_echo_reply(self, source: IPAddress, sequence: int, size: int) -> None:
        sent_at = self._sent_at.pop(sequence, None) if source == self._awaited else None
        if sent_at is None:
            return
        self._round_trips.append(self._clock() - sent_at)
        milliseconds = round(self._round_trips[-1] * 1000, 3)
        fields = {"target": str(source), "seq": sequence, "bytes": size + 8, "rtt_ms": milliseconds}
        self._log.emit(EventName.PING_REPLIED, **fields)
        if len(self._round_trips) == self._settings.pings:
            self._all_replied.set()


def first_host(selectors: tuple[TrafficSelector, ...]) -> IPAddress:
    """The first address of a peer's selectors that a host can have: behind the network address of a
    prefix.
    """
    first = selectors[0]
    is_prefix = int(first.end) - int(first.start) >= 3
    return first.start + 1 if is_prefix else first.start


def _text(payload: bytes) -> str:
    return payload[:MAX_PAYLOAD].decode("utf-8", "replace")


async def _within(seconds: float, awaitable: Awaitable[object]) -> bool:
    try:
        await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        return False
    return True
