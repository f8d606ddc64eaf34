"""What iperf3, ping, swanctl and /proc say, as numbers. Pure; what cannot be read is a ValueError."""

import json
import re
from dataclasses import dataclass
from typing import Any

_TIME = re.compile(r"\btime=([0-9.]+) ms")
_SENT = re.compile(r"(\d+) packets transmitted, (\d+) (?:packets )?received")
_PSS = re.compile(r"^Pss: +(\d+) kB$", re.MULTILINE)
_CHILD = re.compile(r"\bINSTALLED, [A-Z-]*TUNNEL[A-Za-z-]*, ESP:(\S+)")


@dataclass(frozen=True, slots=True)
class Tcp:
    """TCP streams: payload per second that arrived (both directions together), octets that were handed to
    TCP and that came out, octets of one full segment, segments that were sent again.
    """

    bits_per_second: float
    sent: int
    received: int
    segment: int
    retransmits: int


@dataclass(frozen=True, slots=True)
class Process:
    """A line of /proc/PID/stat: who it is, and clock ticks of CPU, user and system, of it and of its
    children that have ended and were waited for.
    """

    pid: int
    parent: int
    session: int
    ticks: int


def _end(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        document = json.loads(text)
        if "error" in document:
            raise ValueError(f"iperf3: {document['error']}")
        return document["start"], document["end"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"iperf3: no report: {text[:200]!r}") from error


def tcp(text: str) -> Tcp:
    """The report of `iperf3 --json` for TCP, with --bidir too."""
    start, end = _end(text)
    try:
        received = [end["sum_received"], end.get("sum_received_bidir_reverse")]
        sent = [end["sum_sent"], end.get("sum_sent_bidir_reverse")]
        return Tcp(
            sum(float(one["bits_per_second"]) for one in received if one),
            sum(int(one["bytes"]) for one in sent if one),
            sum(int(one["bytes"]) for one in received if one),
            int(start["tcp_mss_default"]),
            sum(int(one.get("retransmits", 0)) for one in sent if one),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"iperf3: a report of TCP without {error}") from error


def udp(text: str) -> float:
    """Datagrams per second that arrived, by the report of `iperf3 --json --udp`."""
    _, end = _end(text)
    try:
        # Before version 3.10 there is only the sum: what was sent, with the receiver's losses.
        counted = end.get("sum_received", end["sum"])
        arrived = int(counted["packets"]) - int(counted["lost_packets"])
        return max(arrived, 0) / float(counted["seconds"])
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"iperf3: a report of UDP without {error}") from error


def ping(text: str) -> tuple[float, ...]:
    """Milliseconds of every answer of ping(8); one that is missing is an error."""
    times = tuple(float(found) for found in _TIME.findall(text))
    counted = _SENT.search(text)
    if counted is None or not times:
        raise ValueError(f"ping: no answer: {text[-200:]!r}")
    if int(counted[1]) != len(times):
        raise ValueError(f"ping: {len(times)} answers to {counted[1]} requests")
    return times


def child_suite(text: str) -> str:
    """The algorithms of the one Child SA in `swanctl --list-sas`, as AES_GCM_16-256."""
    found = _CHILD.findall(text)
    if len(found) != 1:
        raise ValueError(f"swanctl: {len(found)} Child SAs are installed, not one: {text[:200]!r}")
    return str(found[0])


def process(text: str) -> Process:
    """A line of /proc/PID/stat (proc(5)); the name in brackets may hold anything."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    try:
        ticks = sum(int(field) for field in fields[11:15])
        return Process(int(head.split()[0]), int(fields[1]), int(fields[3]), ticks)
    except (IndexError, ValueError) as error:
        raise ValueError(f"/proc/PID/stat: {text[:80]!r}") from error


def memory(text: str) -> int:
    """Octets that a process has in memory, of pages that several share its part: /proc/PID/smaps_rollup."""
    found = _PSS.search(text)
    if found is None:
        raise ValueError(f"/proc/PID/smaps_rollup: {text[:80]!r}")
    return int(found[1]) * 1024


def family(processes: list[Process], root: int) -> frozenset[int]:
    """The process ids of `root`, of all that descend from it, and of all of its session."""
    found = {one.pid for one in processes if root in (one.pid, one.session)}
    while True:
        more = {one.pid for one in processes if one.parent in found} - found
        if not more:
            return frozenset(found)
        found |= more


def sent_packets(text: str, besides: frozenset[str]) -> int:
    """Packets that all devices but these have sent: /proc/net/dev."""
    total = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        try:
            total += int(numbers.split()[9]) if name.strip() not in besides else 0
        except (IndexError, ValueError) as error:
            raise ValueError(f"/proc/net/dev: {line!r}") from error
    return total
