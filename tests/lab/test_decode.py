"""`ipseclab decode`: what a run's capture holds, and what is said where it cannot be read."""

from pathlib import Path

import pytest

from tests.lab.conftest import Cli, unique

QUICK = ("-b", "process", "--key-type", "ecdsa-p256")


@pytest.fixture(scope="module")
def hello(cli: Cli) -> Path:
    """The directory of a run with a key log."""
    name = unique("decode")
    done = cli("run", "hello", "-n", name, *QUICK)
    assert done.returncode == 0, done.stderr
    return (cli.home / "runs" / name / "latest").resolve()


def test_every_message_is_a_tree_with_its_protected_part_open(cli: Cli, hello: Path) -> None:
    done = cli("decode", str(hello))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "IKE_SA_INIT request 0: SA KE Ni",
        "Encrypted",
        "CN=initiator",
        "10.1.0.0",
        "ICMP echo reply",
    ):
        assert words in done.stdout, words
    assert "\x1b" not in done.stdout


def test_one_line_each_for_a_kind_a_packet_and_with_octets(cli: Cli, hello: Path) -> None:
    brief = cli("decode", str(hello), "--brief", "--only", "ike").stdout.splitlines()
    assert len(brief) == 4
    assert "IKE_AUTH response 1: SK{IDr CERT" in brief[-1]
    (one,) = cli("decode", str(hello), "--brief", "--packet", "3").stdout.splitlines()
    assert "IKE_AUTH request 1" in one
    shown = cli("decode", str(hello), "--packet", "1", "--hex").stdout
    assert "0000  30 82 01" in shown


def test_programs_get_the_same_as_values(cli: Cli, hello: Path) -> None:
    packets = cli.json("decode", str(hello))["packets"]
    assert [packet["number"] for packet in packets] == list(range(1, len(packets) + 1))
    assert all(packet["opened"] for packet in packets[2:])
    assert packets[0]["octets"].startswith("3082")


def test_a_lab_names_its_latest_run_and_a_file_takes_its_keys(cli: Cli, hello: Path) -> None:
    by_lab = cli("decode", hello.parent.name, "--brief").stdout
    keys = [word for path in sorted((hello / "keys").iterdir()) for word in ("--keys", str(path))]
    by_file = cli("decode", str(hello / "capture.pcapng"), *keys, "--brief").stdout
    assert by_lab == by_file
    closed = cli("decode", str(hello / "capture.pcapng"), "--brief")
    assert "not opened: no keys of IKE SA" in closed.stdout
    assert "only a scenario with `keylog: true` logs keys" in closed.stderr.replace("\x1b", "")


def test_what_the_wire_did_stands_at_its_packet(cli: Cli) -> None:
    name = unique("decode")
    assert cli("run", "tampered-esp", "-n", name, *QUICK).returncode == 0
    shown = cli("decode", name, "--brief").stdout
    assert "the wire: corrupted by fault 1: ESP" in shown
    assert "corrupted copy of packet" in shown


def test_what_is_not_there_is_told(cli: Cli, hello: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pcapng"
    junk.write_bytes(b"junk\n")
    for words, code, message in (
        (("nobody",), 5, "is neither a capture file nor a run"),
        ((str(hello), "--packet", "9999"), 2, "--packet 9999: the capture has"),
        ((str(hello), "--keys", "x"), 2, "a run has its own"),
        ((str(junk),), 4, "name a pcapng file"),
        ((str(hello / "capture.pcapng"), "--keys", str(junk)), 2, "junk.pcapng"),
    ):
        done = cli("decode", *words)
        assert (done.returncode, message in done.stderr) == (code, True), (words, done.stderr)
