"""Which scenario is run where, and what every run of one must leave.

All of them are run on one backend, in containers where there is an engine. On the others `make test` runs
those that a backend can change, one of every kind at least; `make test-long` runs the rest there, too.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from lab import library
from tests.conftest import why_no_engine
from tests.lab.conftest import BACKENDS, Cli, remove, why_no_namespaces

#: What a backend does its own way: each of these is run on every one.
EVERYWHERE = (
    # With TUN devices and without, in both profiles: ports, and who opens them.
    *("hello", "hello-rfc7296"),
    # What the CA is asked for, secrets that nodes are given, a start that must fail.
    *("wrong-ca", "psk"),
    # Signals, a node that is killed and started again.
    *("graceful-stop", "responder-restart"),
    # The wire node between the nodes, with faults on IKE and on ESP.
    *("tampered-ike-auth", "replayed-esp"),
    # Addresses that come and go, inside and outside; several initiators.
    *("mobike", "nat-rebinding", "transport-mode", "virtual-ip"),
)


def _whole() -> str:
    """The backend that runs all of them: the first one that works here."""
    if not why_no_engine():
        return "docker"
    return "process" if why_no_namespaces() else "netns"


def _runs(short: bool) -> Iterator[tuple[str, str]]:
    whole = _whole()
    for name in _MARKS:
        for scenario in library.names():
            if short == (name == whole or scenario in EVERYWHERE):
                yield name, scenario


_MARKS = {str(backend.values[0]): backend.marks for backend in BACKENDS}
#: Backend and scenario of every run: those of `make test`, and the rest.
SHORT, REST = tuple(_runs(True)), tuple(_runs(False))


def parameters(runs: Iterable[tuple[str, str]]) -> list[object]:
    """These runs for pytest, each with what its backend needs."""
    return [pytest.param(*run, marks=_MARKS[run[0]], id="-".join(run)) for run in runs]


def judge(cli: Cli, backend: str, lab: str, scenario: str) -> None:
    """`run` judges both sides; what it leaves is its evidence and nothing else."""
    done = cli("run", scenario, "-n", lab, "-b", backend, "--key-type", "ecdsa-p256", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"PASS {scenario} (")
    evidence = Path(cli.home) / "runs" / lab / "latest"
    events = [json.loads(line) for line in (evidence / "events.jsonl").read_text().splitlines()]
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    assert (evidence / "summary.txt").read_text().startswith(f"PASS {scenario}")
    assert isinstance(json.loads((evidence / "status.json").read_text()), dict)
    # Whatever was killed and started again: the capture has every IKE SA that there was.
    captured = (evidence / "capture.pcapng").read_bytes()
    spis = {bytes.fromhex(event["spi_i"]) for event in events if event["event"] == "ike_sa_established"}
    # In the asn1 profile an SPI is a number, without zeros in front.
    assert [spi.hex() for spi in spis if spi.lstrip(b"\0") not in captured] == []
    assert remove(cli.home, backend, lab) == []
