"""Runs as values, good, failed, hostile and long."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.decode.values import Decoded, Item, Kind
from lab.report.run import File, Run
from tests.report.samples import INITIATOR, RESPONDER, ZERO, handshake, started

START = int(ZERO.timestamp() * 1e9)


def check(node: str = "responder", passed: bool = True, reason: str = "") -> dict[str, object]:
    """A verdict."""
    return {"node": node, "check": "ike_sa_established, once", "passed": passed, "reason": reason or None}


def results(**more: object) -> dict[str, Any]:
    """What results.json holds."""
    nodes = [
        {
            "name": "responder",
            "role": "responder",
            "state": "running",
            "address": RESPONDER,
            "status": STATUS,
        },
        {"name": "initiator", "role": "initiator", "state": "running", "address": INITIATOR, "status": None},
        {"name": "wire", "role": "wire", "state": "running", "address": "10.0.0.4", "status": None},
    ]
    lab = {"name": "hello-1", "backend": "process", "created": "2026-01-01T12:00:00Z", "nodes": nodes}
    return {
        "scenario": "hello",
        "title": "Two nodes, one tunnel",
        "description": "First.\nStill first.\n\nSecond.",
        "passed": True,
        "seconds": 1.5,
        "lab": lab,
        "certificates": [{"name": "responder", "subject": "CN=responder", "key_type": "rsa2048"}],
        "checks": [check(), check("initiator")],
        "vantage": "the wire node",
        "keylog": False,
        **more,
    }


STATUS: Mapping[str, Any] = {
    "healthy": True,
    "ike_sas": [{"phase": "ESTABLISHED"}],
    "child_sas": [{"inbound_packets": 11, "outbound_packets": 1200, "dropped": {"esp_replayed": 2}}],
    "dropped": {"bad_icv": 3},
}


def packet(number: int, title: str, **more: Any) -> Decoded:
    """A packet, so many milliseconds after the first message as its number says."""
    forward = number % 2 == 1
    ends = (INITIATOR, RESPONDER) if forward else (RESPONDER, INITIATOR)
    header = Item("IKE Header", "IKE_AUTH request 1", (Item("Message ID", "1"),))
    tree = Item(
        f"Packet {number}", "ike", (Item("UDP", "", (Item("Length", "8"),)), Item("IKE", "", (header,)))
    )
    values: dict[str, Any] = {"tree": tree, "octets": b"\x30\x82" + bytes(range(60)), **more}
    kind = values.pop("kind", Kind.IKE)
    return Decoded(number, START + number * 1_000_000, "wire", *ends, kind, title, **values)


def good(**more: Any) -> Run:
    """A run of a handshake, with whatever else is said."""
    packets = (
        packet(1, "IKE_SA_INIT request 0: SA KE Ni"),
        packet(2, "IKE_SA_INIT response 0: N(COOKIE)"),
        packet(11, "IKE_AUTH request 1: SK{IDi CERT}", opened=True),
        packet(16, "IKE_AUTH response 1: SK{2160 octets}", problem="no keys", remark="delayed by fault 1"),
    )
    values: dict[str, Any] = {
        "events": [*started(), *handshake()],
        "results": results(),
        "statuses": {"responder": STATUS},
        "files": (File("events.jsonl", 1234), File("capture.pcapng", 99), File("report.html", 1)),
        "packets": packets,
        **more,
    }
    return Run(Path("/runs/hello-1/20260101T120000Z-hello"), **values)


def tree(text: str, depth: int) -> Item:
    """A tree of so many levels, each named `text`."""
    item = Item(text, text)
    for _ in range(depth):
        item = Item(text, text, (item,))
    return item


def strings(document: object, text: str) -> Any:
    """A JSON document with every text in it, keys of inner mappings aside, made `text`."""
    if isinstance(document, Mapping):
        return {key: strings(value, text) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str):
        return [strings(value, text) for value in document]
    return text if isinstance(document, str) else document
