"""What is measured through a tunnel, and in which unit.

A measurement yields one or more figures. CPU time is that of the measurement with one TCP stream, and so is
the count of packets from which the bare cipher calls are reckoned.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bench import esp
from bench.dataplane import readings
from bench.dataplane.content import LISTENING
from bench.dataplane.peers import MTU, PROJECT, Cipher, Peer
from bench.dataplane.place import PATIENCE, Failed, Place, launch

#: Octets of an inner IPv4 packet: one full, a bare acknowledgement of TCP with its timestamps, a small one.
FULL, ACK, SMALL = MTU, 52, 64
#: IPv4 and UDP headers.
_HEADERS = 28
#: Searches for the rate at which most small packets arrive: the first offers as many as it can, each further
#: one this many times of what has arrived at best.
PROBES, MORE = 3, 1.25
PINGS, PING_INTERVAL = 100, 0.01
#: Octets that are sent to the far end, and come back.
CONTENT = 8 << 20
#: Where the module of the two ends is found.
HERE = {"PYTHONPATH": str(PROJECT)}
#: Cipher calls in one measurement of the floor.
_CALLS = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """How a number is told; `more` where more is better, `digits` behind the point."""

    title: str
    unit: str
    more: bool
    digits: int = 0


FIGURES: Mapping[str, Figure] = {
    "tcp1": Figure("TCP, one stream", "Mbit/s", True),
    "tcp8": Figure("TCP, eight streams", "Mbit/s", True),
    "bidir": Figure("TCP, both directions", "Mbit/s", True),
    "pps": Figure("64-octet packets", "1/s", True),
    "ping_mean": Figure("ping, mean", "ms", False, 3),
    "ping_median": Figure("ping, median", "ms", False, 3),
    "cpu_a": Figure("CPU, sender", "s/Gbit", False, 2),
    "cpu_b": Figure("CPU, receiver", "s/Gbit", False, 2),
    "cipher_a": Figure("sender / bare cipher", "times", False, 1),
    "cipher_b": Figure("receiver / bare cipher", "times", False, 1),
    "memory_a": Figure("memory, sender", "MiB", False, 1),
    "memory_b": Figure("memory, receiver", "MiB", False, 1),
    "content": Figure("content, both ways", "MiB", True),
}

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Floor:
    """Seconds of CPU for one call of the bare cipher: seal and open, by octets of the inner packet."""

    seal: Mapping[int, float]
    open: Mapping[int, float]

    def ratios(self, found: readings.Tcp, acks: int, cpu: tuple[float, float]) -> tuple[float, float]:
        """CPU time of sender and receiver as multiples of what the cipher takes for the same packets."""
        out = found.sent / found.segment + found.retransmits
        came = found.received / found.segment
        sender = out * self.seal[FULL] + acks * self.open[ACK]
        receiver = came * self.open[FULL] + acks * self.seal[ACK]
        return cpu[0] / sender, cpu[1] / receiver


def floor(cipher: Cipher) -> Floor:
    """Measure the bare calls of a cipher, as they are now."""
    suite = dict(zip(Cipher, esp.SUITES, strict=True))[cipher]
    block = 16 if cipher is Cipher.CBC else 4
    seal: dict[int, float] = {}
    opened: dict[int, float] = {}
    for size in (FULL, ACK):
        # Pad length and next header are two octets (RFC 4303 2.4).
        padded = bytes(-(-(size + 2) // block) * block)
        for work, packet, kept in (
            (esp.primitive(suite, True), padded, seal),
            (esp.primitive(suite, False), esp.sealed(suite, padded), opened),
        ):
            kept[size] = _clocked(work, [packet] * _CALLS)
    return Floor(seal, opened)


def _clocked(work: esp.Work, packets: list[bytes]) -> float:
    work(packets[:50])
    began = time.process_time()
    work(packets)
    return (time.process_time() - began) / len(packets)


@dataclass(frozen=True, slots=True)
class Bench:
    """One peer in its place. `seconds` is the length of a measurement, `congestion` the control that TCP is
    to have; empty for the system's.
    """

    peer: Peer
    place: Place
    seconds: int
    congestion: str = ""

    def measure(self, name: str, floors: Mapping[Cipher, Floor]) -> Figures:
        """All figures of one measurement. Raises Failed."""
        self.place.check()
        try:
            return MEASUREMENTS[name](self, floors)
        except ValueError as error:
            raise Failed(str(error)) from error

    def tcp(self, *options: str) -> readings.Tcp:
        """TCP from `a` to `b`."""
        chosen = ("--congestion", self.congestion) if self.congestion else ()
        return readings.tcp(self._iperf(*chosen, *options))

    def udp(self, payload: int, offered: int) -> float:
        """Datagrams of so many octets that arrive at `b` in a second; `offered` in bits per second of
        payload, 0 for as many as can be sent.
        """
        options = ("--udp", "--length", str(payload), "--bitrate", str(offered))
        return readings.udp(self._iperf(*options))

    def _iperf(self, *options: str) -> str:
        # A server for each run: one that still cleans up after a flood turns the next client away.
        log = self.place.b.log("iperf3")
        log.unlink(missing_ok=True)
        server = launch(self.place.b, "iperf3", ("iperf3", "--server", "--one-off", "--forceflush"))
        try:
            self.place.wait(lambda: "listening" in log.read_text(), "iperf3 listens")
            argv = ("iperf3", "--json", "--client", self.peer.target(self.place), "--time", str(self.seconds))
            return self.place.run(self.place.a, (*argv, *options), self.seconds + PATIENCE)
        finally:
            server.popen.kill()
            server.popen.wait()


def one_stream(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """One TCP stream, and what it costs both ends."""
    place, cipher = bench.place, bench.peer.cipher
    acks, spent = place.inner_packets(place.b), [place.cpu(end) for end in place.ends]
    found = bench.tcp()
    now = [place.cpu(end) for end in place.ends]
    acks = place.inner_packets(place.b) - acks
    figures = {"tcp1": found.bits_per_second / 1e6, "retransmits": float(found.retransmits)}
    if cipher is not None:
        cpu = (now[0] - spent[0], now[1] - spent[1])
        gigabits = found.received * 8 / 1e9
        figures |= {"cpu_a": cpu[0] / gigabits, "cpu_b": cpu[1] / gigabits}
        ratios = floors[cipher].ratios(found, acks, cpu)
        figures |= {"cipher_a": ratios[0], "cipher_b": ratios[1]}
        figures |= {f"memory_{end.name}": place.memory(end) / 2**20 for end in place.ends}
    return figures


def eight_streams(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """Eight TCP streams."""
    return {"tcp8": bench.tcp("--parallel", "8").bits_per_second / 1e6}


def both_directions(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """A TCP stream each way at once; both together."""
    return {"bidir": bench.tcp("--bidir").bits_per_second / 1e6}


def small_packets(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """UDP in inner packets of 64 octets: the highest rate at which they arrived."""
    payload, best, offered = SMALL - _HEADERS, 0.0, 0
    for _ in range(PROBES):
        best = max(best, bench.udp(payload, offered))
        offered = max(int(best * MORE) * payload * 8, 1)
    return {"pps": best}


def round_trip(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """Pings through the idle tunnel."""
    target, place = bench.peer.target(bench.place), bench.place
    options = ("-n", "-c", str(PINGS), "-i", str(PING_INTERVAL), "-W", "1")
    times = readings.ping(place.run(place.a, ("ping", *options, target)))
    return {"ping_mean": statistics.fmean(times), "ping_median": statistics.median(times)}


def content(bench: Bench, floors: Mapping[Cipher, Floor]) -> Figures:
    """Random octets both ways, by their digests. Raises Failed where one of them is another one."""
    place, target = bench.place, bench.peer.target(bench.place)
    module = (sys.executable, "-m", "bench.dataplane.content")
    log = place.b.log("content")
    log.unlink(missing_ok=True)
    server = launch(place.b, "content", (*module, "serve", target), HERE)
    try:
        place.wait(lambda: LISTENING in log.read_text(), "the far end listens")
        place.run(place.a, (*module, "send", target, str(CONTENT)), PATIENCE, HERE)
    finally:
        server.popen.kill()
        server.popen.wait()
    return {"content": 2 * CONTENT / 2**20}


#: By the name on the command line.
MEASUREMENTS: Mapping[str, Callable[[Bench, Mapping[Cipher, Floor]], Figures]] = {
    "tcp1": one_stream,
    "tcp8": eight_streams,
    "bidir": both_directions,
    "pps": small_packets,
    "ping": round_trip,
    "content": content,
}


#: Those that are made where none is named: what is no figure of speed is left out.
USUAL = tuple(name for name in MEASUREMENTS if name != "content")


def lengths(seconds: int) -> Mapping[str, float]:
    """About how long each measurement takes, in seconds."""
    stream = seconds + 0.5
    return {
        "tcp1": stream + 0.1,
        "tcp8": stream,
        "bidir": stream,
        "pps": PROBES * stream,
        "ping": PINGS * PING_INTERVAL + 0.2,
        "content": 1.5,
    }


def turns(rounds: int, names: tuple[str, ...], peers: list[str]) -> Iterator[tuple[int, str, str]]:
    """Round, measurement, peer: all peers take their turn in each measurement, so that what is compared is
    seconds apart.
    """
    for number in range(1, rounds + 1):
        for name in names:
            for peer in peers:
                yield number, name, peer
