"""The key log: its format, who may read it, and that without it no key leaves the engine."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.crypto.suites import esp_suite, ike_suite
from node.daemon.failure import StartError
from node.daemon.keylog import KeyLog
from node.eventlog import EventLog
from node.ike.outputs import InstallInbound, InstallOutbound, KeysDerived
from node.ike.settings import Settings
from node.model.events import EventName
from node.model.secret import Secret
from node.prose import Palette
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, variant
from tests.node.conftest import Spawn

IKE_FIELDS = "ts kind profile spi_i spi_r encr key_bits integ prf sk_d sk_ai sk_ar sk_ei sk_er sk_pi sk_pr"
ESP_FIELDS = "ts kind spi direction source destination encr key_bits key integ integ_key esn ike_spi"


def reveal(settings: Settings) -> Settings:
    return dataclasses.replace(settings, reveal_keys=True)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def quiet() -> tuple[EventLog, list[dict[str, Any]]]:
    """A log, and what is told on it."""
    told: list[dict[str, Any]] = []
    return EventLog("n", lambda line: told.append(json.loads(line)), None, Palette(False)), told


def written(node: Node, path: Path) -> list[dict[str, Any]]:
    """The key log of what an engine put out."""
    log, _ = quiet()
    keylog = KeyLog(str(path), "asn1", log)
    for output in node.outputs:
        match output:
            case KeysDerived():
                keylog.ike(output)
            case InstallInbound():
                keylog.inbound(output.child)
            case InstallOutbound():
                keylog.outbound(output.child)
            case _:
                pass
    keylog.close()
    return lines_of(path)


# -- the engine ----------------------------------------------------------------------------------------------


def secrets_in(value: object) -> Iterator[Secret]:
    """Every Secret that can be reached from a value."""
    match value:
        case Secret():
            yield value
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from secrets_in(item)
        case dict():
            for item in (*value, *value.values()):
                yield from secrets_in(item)
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from secrets_in(getattr(value, field.name))


def test_without_the_setting_no_key_leaves_the_engine() -> None:
    """Keys of Child SAs are in what installs them, as they must be; all else is silent about keys."""
    pair = Pair().establish()
    pair.initiator.endpoint.delete_all(pair.now)
    keys = []
    for node in (pair.initiator, pair.responder):
        (sa,) = node.endpoint._sas.values()
        assert sa.protection is not None
        keys += [getattr(sa.protection.keys, name).reveal() for name in sa.protection.keys.__slots__]
    pair.flush(pair.initiator)
    pair.drive()
    assert all(len(key) >= 16 for key in keys)
    for node in (pair.initiator, pair.responder):
        for output in node.outputs:
            assert not isinstance(output, KeysDerived)
            found = [secret.reveal() for secret in secrets_in(output)]
            assert not found or isinstance(output, InstallInbound | InstallOutbound)
            keys += found
    for node in (pair.initiator, pair.responder):
        for output in node.outputs:
            text = repr(output)
            assert not [key for key in keys if key.hex() in text or repr(key)[2:-1] in text]
            if not isinstance(output, InstallInbound | InstallOutbound):
                assert not [key for key in keys if key in _octets(output)]


def _octets(value: object) -> bytes:
    """All the octets that a value holds."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | tuple):
        return b"".join(map(_octets, value))
    if dataclasses.is_dataclass(value):
        return b"".join(_octets(getattr(value, field.name)) for field in dataclasses.fields(value))
    return b""


def test_the_setting_puts_out_the_keys_of_both_ends() -> None:
    pair = Pair(initiator=variant(INITIATOR, change=reveal), responder=variant(RESPONDER, change=reveal))
    pair.establish()
    told = [
        out for n in (pair.initiator, pair.responder) for out in n.outputs if isinstance(out, KeysDerived)
    ]
    (sa,) = pair.initiator.endpoint._sas.values()
    assert sa.protection is not None
    assert [out.keys for out in told] == [sa.protection.keys] * 2
    assert {(out.spi_i, out.spi_r) for out in told} == {(sa.spi_i, sa.spi_r)}
    assert "Secret" not in repr(told)


# -- the format ----------------------------------------------------------------------------------------------

SUITES = [
    (
        "aes256-sha256-modp2048",
        "aes128-sha512",
        ("ENCR_AES_CBC", 256, 64, 64),
        ("ENCR_AES_CBC", 128, 32, 128),
    ),
    (
        "aes192gcm16-prfsha384-x25519",
        "aes256gcm16-esn",
        ("ENCR_AES_GCM_16", 192, 56, 0),
        ("ENCR_AES_GCM_16", 256, 72, 0),
    ),
    (
        "chacha20poly1305-prfsha256-x25519",
        "null-sha256",
        ("ENCR_CHACHA20_POLY1305", 256, 72, 0),
        ("ENCR_NULL", 0, 0, 64),
    ),
]


@pytest.mark.parametrize(("ike", "esp", "ike_sizes", "esp_sizes"), SUITES)
def test_the_lines_of_a_handshake(
    tmp_path: Path,
    ike: str,
    esp: str,
    ike_sizes: tuple[str, int, int, int],
    esp_sizes: tuple[str, int, int, int],
) -> None:
    suites = {"ike": (ike,), "esp": (esp,), "change": reveal}
    pair = Pair("asn1", variant(INITIATOR, **suites), variant(RESPONDER, **suites)).establish()
    assert pair.up()
    logs = [written(node, tmp_path / node.options.name) for node in (pair.initiator, pair.responder)]
    for lines in logs:
        assert [" ".join(line) for line in lines] == [IKE_FIELDS, ESP_FIELDS, ESP_FIELDS]
        sa, *children = lines
        assert (sa["kind"], sa["profile"], len(sa["spi_i"]), len(sa["spi_r"])) == ("ike", "asn1", 16, 16)
        assert (sa["encr"], sa["key_bits"], len(sa["sk_ei"]), len(sa["sk_ai"])) == ike_sizes
        assert sa["prf"] == str(ike_suite(ike).prf)
        assert sa["integ"] == ("AUTH_HMAC_SHA2_256_128" if ike_suite(ike).integ else "")
        for child in children:
            found = (child["encr"], child["key_bits"], len(child["key"]), len(child["integ_key"]))
            assert found == esp_sizes
            assert child["integ"] == (str(esp_suite(esp).integ) if esp_suite(esp).integ else "")
            assert child["esn"] is ("esn" in esp)
            assert len(child["spi"]) == 8
    ours, theirs = (([*lines]) for lines in logs)
    assert {k: v for k, v in ours[0].items() if k != "ts"} == {
        k: v for k, v in theirs[0].items() if k != "ts"
    }
    assert {ours[1]["ike_spi"], theirs[1]["ike_spi"]} == {ours[0]["spi_i"], ours[0]["spi_r"]}
    for direction, other in (("inbound", "outbound"), ("outbound", "inbound")):
        (one,) = (line for line in ours[1:] if line["direction"] == direction)
        (two,) = (line for line in theirs[1:] if line["direction"] == other)
        shared = ("spi", "source", "destination", "key", "integ_key")
        assert [one[name] for name in shared] == [two[name] for name in shared]
        sender = "192.0.2.2" if direction == "inbound" else "192.0.2.1"
        assert one["source"] == sender


def test_two_processes_write_the_same_keys_and_say_so(spawn: Spawn, tmp_path: Path) -> None:
    files = {role: tmp_path / f"{role}.jsonl" for role in ("initiator", "responder")}
    responder = spawn("--mode=ipsec-responder", "--port=0", NODE_KEYLOG__FILE=str(files["responder"]))
    port = responder.wait_for("udp_bound")["port"]
    names = responder.names()
    assert names.index("privileges_dropped") < names.index("keylog_enabled") < names.index("udp_bound")
    variables = {"NODE_PEER__PORT": str(port), "NODE_KEYLOG__FILE": str(files["initiator"])}
    initiator = spawn("--mode=ipsec-initiator", "--once", **variables)
    assert initiator.wait() == 0, initiator.errors
    assert initiator.wait_for("keylog_enabled")["file"] == str(files["initiator"])
    assert responder.stop(signal.SIGTERM) == 0
    ours, theirs = (lines_of(files[role]) for role in ("initiator", "responder"))
    assert [line["kind"] for line in ours] == [line["kind"] for line in theirs] == ["ike", "esp", "esp"]
    assert ours[0]["sk_d"] == theirs[0]["sk_d"]
    assert {line["key"] for line in ours[1:]} == {line["key"] for line in theirs[1:]}
    for file in files.values():
        assert file.stat().st_mode & 0o777 == 0o600
    keys = {line[name] for line in ours for name in line if name.startswith(("sk_", "key", "integ_key"))}
    told = json.dumps([initiator.events, responder.events]) + initiator.errors + responder.errors
    assert not [key for key in keys if isinstance(key, str) and key in told]
    assert "KEY LOG" in responder.errors


# -- the file ------------------------------------------------------------------------------------------------


def test_it_is_appended_to(tmp_path: Path) -> None:
    pair = Pair(initiator=variant(INITIATOR, change=reveal)).establish()
    path = tmp_path / "keys"
    assert len(written(pair.initiator, path)) == 3
    assert len(written(pair.initiator, path)) == 6


def test_a_strict_umask_and_a_loose_one(tmp_path: Path) -> None:
    for mask in (0o000, 0o077):
        before = os.umask(mask)
        try:
            KeyLog(str(tmp_path / f"{mask}"), "asn1", quiet()[0]).close()
        finally:
            os.umask(before)
        assert (tmp_path / f"{mask}").stat().st_mode & 0o777 == 0o600


def _link(path: Path) -> None:
    (path.parent / "target").touch(0o600)
    path.symlink_to(path.parent / "target")


def _dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def _touch(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        path.chmod(mode)

    return make


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (_link, "it is a symbolic link: set the path of the file itself"),
    "a link to nothing": (_dangling, "it is a symbolic link"),
    "read by the group": (_touch(0o640), "mode 0640 lets others read every key; run: chmod 0600 "),
    "read by all": (_touch(0o604), "mode 0604 lets others read every key"),
    "a directory": (lambda path: path.mkdir(), "set the path of a file"),
    "a FIFO": (lambda path: os.mkfifo(path, 0o600), "is no regular file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_refused(tmp_path: Path, what: str) -> None:
    make, message = REFUSED[what]
    path = tmp_path / "keys"
    make(path)
    log, told = quiet()
    with pytest.raises(StartError) as caught:
        KeyLog(str(path), "asn1", log)
    assert str(caught.value).startswith(f"keylog.file: {path}: ")
    assert message in str(caught.value)
    assert told == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch(0o600)
    os.chown(path, 12345, 12345)
    with pytest.raises(StartError, match="belongs to uid 12345, not to us"):
        KeyLog(str(path), "asn1", quiet()[0])


def test_a_node_does_not_start_without_its_key_log(spawn: Spawn, tmp_path: Path) -> None:
    node = spawn("--mode=ipsec-responder", "--port=0", NODE_KEYLOG__FILE=str(tmp_path / "no" / "keys"))
    assert node.wait() == 4
    failed = node.events[-1]
    assert failed["event"] == "node_failed"
    assert failed["detail"].endswith("/no/keys: No such file or directory; make its directory")
    assert "udp_bound" not in node.names()


def test_a_full_disk_is_told_once_and_ends_the_log() -> None:
    pair = Pair(initiator=variant(INITIATOR, change=reveal)).establish()
    (derived,) = (output for output in pair.initiator.outputs if isinstance(output, KeysDerived))
    log, told = quiet()
    keylog = KeyLog.__new__(KeyLog)
    keylog._path, keylog._profile, keylog._log = "/dev/full", "asn1", log
    keylog._descriptor = os.open("/dev/full", os.O_WRONLY)
    keylog.ike(derived)
    keylog.ike(derived)
    keylog.close()
    assert [event["event"] for event in told] == [str(EventName.KEYLOG_FAILED)]
    assert told[0]["detail"] == "No space left on device"
