"""What a run leaves: the same files with every backend, keys only where the scenario asks for them."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from lab import leaks, library, plan, unlock
from lab.decode.run import of_run
from lab.decode.values import Kind
from lab.wire import pcapng
from tests.lab.conftest import BACKENDS, Cli, unique

VANTAGE = {
    "docker": "eth0 of the responder",
    "netns": "the bridge that joins the nodes",
    "process": "the wire node, between initiator and responder",
}
ALWAYS = {
    "events.jsonl",
    "capture.pcapng",
    "status.json",
    "results.json",
    "summary.txt",
    "ladder.txt",
    "ladder.svg",
}
KEYS = {"keys", "wireshark"}


def run(cli: Cli, scenario: str, backend: str) -> Path:
    """The directory of a run that passed."""
    name = unique()
    done = cli("run", scenario, "-n", name, "-b", backend, "--key-type", "ecdsa-p256")
    assert done.returncode == 0, done.stderr
    return (cli.home / "runs" / name / "latest").resolve()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_with_a_key_log_can_be_read_from_its_first_message_to_its_last(cli: Cli, backend: str) -> None:
    directory = run(cli, "hello", backend)
    names = {path.name for path in directory.iterdir()}
    assert names >= ALWAYS | KEYS
    assert f"capture.pcapng, taken at {VANTAGE[backend]}" in (directory / "summary.txt").read_text()
    results = json.loads((directory / "results.json").read_text())
    assert (results["passed"], results["vantage"], results["keylog"]) == (True, VANTAGE[backend], True)
    for path in [*(directory / "keys").iterdir(), *(directory / "wireshark").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    found = [one for one in of_run(directory) if one.kind in (Kind.IKE, Kind.ESP)]
    assert found[0].title.startswith("IKE_SA_INIT request 0")
    assert [one.title for one in found if one.problem] == []
    assert all(one.opened for one in found[2:])
    # The greeting, and the acknowledgement that repeats it.
    assert sum("Hello from IPSec Init" in one.title for one in found) == 2
    assert sum("ICMP echo" in one.title for one in found) == 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_without_a_key_log_keeps_its_secrets(cli: Cli, backend: str) -> None:
    directory = run(cli, "replayed-ike-auth", backend)
    names = {path.name for path in directory.iterdir()}
    assert names >= ALWAYS
    assert not names & KEYS
    capture = pcapng.read((directory / "capture.pcapng").read_bytes())
    assert capture.secrets == ()
    found = [one for one in of_run(directory) if one.kind is Kind.IKE]
    assert not any(one.opened for one in found)
    assert unlock.unlock(directory) is False


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_of_a_lab_that_was_kept_is_in_the_next_run(cli: Cli, backend: str) -> None:
    where = ("-n", unique(), "-b", backend)
    for _ in range(2):
        done = cli("run", "hello", *where, "--key-type", "ecdsa-p256", "--keep")
        assert done.returncode == 0, done.stderr
    assert cli("down", *where).returncode == 0
    directory = cli.home / "runs" / where[1] / "latest"
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    (one, other) = [event["spi_i"] for event in events if event["event"] == "ike_sa_established"]
    assert one == other
    logged = [
        json.loads(line) for path in (directory / "keys").iterdir() for line in path.read_text().splitlines()
    ]
    assert {line["spi_i"] for line in logged if line["kind"] == "ike"} == {one}
    requests = [packet for packet in of_run(directory) if packet.title.startswith("IKE_SA_INIT request")]
    assert len(requests) == 1


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_opens_the_esp_of_a_run_as_it_stands(cli: Cli) -> None:
    directory = run(cli, "hello", "process")
    argv = ["tshark", "-r", "capture.pcapng", "-T", "json", "--no-duplicate-keys"]
    place = os.environ | {"WIRESHARK_CONFIG_DIR": str(directory / "wireshark")}
    done = subprocess.run(
        argv, cwd=directory, env=place, capture_output=True, text=True, check=True, timeout=60
    )
    assert "Error loading table" not in done.stderr
    layers = [packet["_source"]["layers"] for packet in json.loads(done.stdout)]
    opened = [one for one in layers if "icmp" in one]
    assert len(opened) == 20
    assert "Integrity Checksum Data" not in json.dumps([one["esp"].get("esp.icv_bad") for one in opened])
    assert all(one["esp"]["esp.icv_tree"]["esp.icv_good"] == "1" for one in opened)


def test_the_verdict_falls_when_a_capture_holds_plaintext_or_is_missing(tmp_path: Path) -> None:
    made = plan.make("x", library.load("hello"), capture=True)
    missing = leaks.check(made, tmp_path)
    assert (missing.passed, missing.reason) == (False, "nothing was captured")
    path = tmp_path / "capture.pcapng"
    path.write_bytes(b"no capture")
    assert "cannot be read" in leaks.check(made, tmp_path).reason
    interfaces = (pcapng.Interface("eth0", pcapng.LINK_RAW),)
    for payload, passed in ((b"\x00" * 60, True), (b"...Hello from IPSec Initiator!...", False)):
        with path.open("wb") as stream:
            pcapng.write(stream, pcapng.Capture("", interfaces, (pcapng.Packet(1, payload),)))
        assert leaks.check(made, tmp_path).passed is passed
