"""Wireshark reads what we write for it: tshark opens ESP of ours with the files of a run, and only so."""

import json
import os
import re
import shutil
import stat
import struct
import subprocess
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lab.decode import wireshark
from lab.decode.ciphers import algorithms
from lab.decode.keylog import IkeKeys, Keys
from lab.decode.wireshark import Version
from lab.errors import EnvironmentNotReady
from lab.wire import pcapng
from node.crypto.aead import sealer
from node.crypto.suites import ike_suite
from node.esp.ip import pack_udp
from node.model.child import DirectionKeys
from node.model.registry import IntegId
from node.model.secret import Secret
from tests.decode.support import ESP_SUITES, ZERO, Run, capture, make_run, octets_of

TSHARK = shutil.which("tshark")
needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
#: What tshark writes where it cannot read a row.
COMPLAINTS = ("Error loading table", "invalid value", "Discarding")


@cache
def version() -> Version:
    """The version of tshark that is installed."""
    told = subprocess.run([str(TSHARK), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.\d+", told)
    if found is None:
        raise AssertionError(told)
    return int(found[1]), int(found[2])


def needs(suite: str) -> Version:
    """The first version of Wireshark that opens packets of a suite."""
    if "chacha20" in suite:
        return (4, 6)
    return (4, 4) if suite.endswith("esn") else (4, 0)


def tshark(file: Path, place: Path, *options: str) -> list[dict[str, Any]]:
    """The layers of every packet, read with the configuration in `place`; no complaint is let through."""
    done = subprocess.run(
        [str(TSHARK), "-r", str(file), "-T", "json", "--no-duplicate-keys", *options],
        env=os.environ | {"WIRESHARK_CONFIG_DIR": str(place), "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(complaint in done.stderr for complaint in COMPLAINTS), done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def found(layers: object, name: str) -> list[str]:
    """All values of a field, wherever it stands."""
    if isinstance(layers, dict):
        own = [value for key, value in layers.items() if key == name and isinstance(value, str)]
        return own + [value for inside in layers.values() for value in found(inside, name)]
    return [value for inside in layers for value in found(inside, name)] if isinstance(layers, list) else []


def esp_of(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The packets that are ESP: an SPI never begins like an IKE message."""
    return [one for one in layers if not found(one, "esp.spi")[0].startswith("0x30")]


@needs_tshark
@pytest.mark.parametrize("suite", ESP_SUITES)
def test_tshark_opens_every_suite_that_it_knows(suite: str, tmp_path: Path) -> None:
    run = make_run(esp_suite=suite)
    directory = run.write(tmp_path / "run")
    place = wireshark.write(directory, run.keys(tmp_path / "keys"), version())
    packets = esp_of(tshark(directory / "capture.pcapng", place))
    assert len(packets) == len(run.inner) == 8
    if needs(suite) > version():
        assert not any("icmp" in one for one in packets)
        return
    assert [found(one, "esp.icv_good") for one in packets] == [["1"]] * 8
    assert [found(one, "icmp.type") for one in packets[2:]] == [["8"], ["0"]] * 3
    assert [found(one, "ip.src")[-1] for one in packets[2:4]] == ["10.1.0.1", "10.2.0.1"]


@needs_tshark
def test_the_files_for_the_oldest_version_please_every_version(tmp_path: Path) -> None:
    """What tshark does not know is a comment in them, and costs no message."""
    every = Keys(esp=tuple(k for suite in ESP_SUITES for k in make_run(esp_suite=suite).keys(tmp_path).esp))
    run = make_run()
    directory = run.write(tmp_path / "run")
    place = wireshark.write(directory, every)
    assert tshark(directory / "capture.pcapng", place)


@needs_tshark
@pytest.mark.parametrize("suite", ["aes256-sha256", "aes256gcm16"])
def test_a_wrong_key_gives_a_bad_icv(suite: str, tmp_path: Path) -> None:
    run = make_run(esp_suite=suite)
    directory = run.write(tmp_path / "run")
    keys = tuple(
        replace(one, key=bytes(len(one.key)), integ_key=bytes(len(one.integ_key)))
        for one in run.keys(tmp_path / "keys").esp
    )
    place = wireshark.write(directory, Keys(esp=keys), version())
    packets = esp_of(tshark(directory / "capture.pcapng", place))
    # What comes out of a wrong key may by chance look like any protocol, and hide the verdict on the ICV.
    assert any(found(one, "esp.icv_bad") == ["1"] for one in packets)
    assert not any(found(one, "esp.icv_good") == ["1"] for one in packets)
    assert not {"10.1.0.1", "10.2.0.1"} & {address for one in packets for address in found(one, "ip.src")}


@needs_tshark
def test_without_our_files_nothing_is_opened(tmp_path: Path) -> None:
    directory = make_run().write(tmp_path / "run")
    assert not any("esp" in one for one in tshark(directory / "capture.pcapng", tmp_path / "none"))


@needs_tshark
def test_tshark_passes_over_the_secrets_in_a_capture(tmp_path: Path) -> None:
    """5.0 reads them; whatever it is, it says nothing bad and finds all packets."""
    run = make_run()
    block = (pcapng.SECRETS_ESP, wireshark.secrets(run.keys(tmp_path / "keys").esp))
    file = tmp_path / "a.pcapng"
    file.write_bytes(octets_of(replace(run.capture, secrets=(block,))))
    assert len(tshark(file, tmp_path / "none")) == len(run.packets)
    assert pcapng.read(file.read_bytes()).secrets == (block,)


def test_secrets_name_every_sa_and_wait_for_no_version(tmp_path: Path) -> None:
    run = make_run(esp_suite="chacha20poly1305-esn")
    lines = wireshark.secrets(run.keys(tmp_path).esp).decode().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    assert len(rows) == 2
    assert all('"ChaCha20 with Poly1305 [RFC7634]"' in row and row.endswith('"64-bit","0"') for row in rows)


def test_a_row_has_no_addresses_and_eight_columns(tmp_path: Path) -> None:
    run = make_run()
    text = wireshark.esp_sa(run.keys(tmp_path).esp)
    (row, _) = [line for line in text.splitlines() if not line.startswith("#")]
    (spi, key, integ) = re.fullmatch(
        r'"IPv4","\*","\*","0x([0-9a-f]{8})","AES-CBC \[RFC3602\]","0x([0-9a-f]{64})",'
        r'"HMAC-SHA-256-128 \[RFC4868\]","0x([0-9a-f]{64})"',
        row,
    ).groups()  # type: ignore[union-attr]
    (one,) = [k for k in run.keys(tmp_path).esp if k.spi.hex() == spi]
    assert (one.key.hex(), one.integ_key.hex()) == (key, integ)


@pytest.mark.parametrize(
    ("suite", "needed"),
    [("chacha20poly1305", "4.6"), ("aes256gcm16-esn", "4.4"), ("chacha20poly1305-esn", "4.6")],
)
def test_what_the_oldest_version_cannot_read_is_a_comment(suite: str, needed: str, tmp_path: Path) -> None:
    keys = make_run(esp_suite=suite).keys(tmp_path).esp
    lines = wireshark.esp_sa(keys).splitlines()
    assert all(line.startswith("#") for line in lines)
    newest = wireshark.esp_sa(keys, (4, 6)).splitlines()
    assert lines[1:] == [f"# from Wireshark {needed} on, without this remark: {row}" for row in newest[1:]]


def test_ipv6_is_said_in_the_row(tmp_path: Path) -> None:
    one = make_run().keys(tmp_path).esp[0]
    text = wireshark.esp_sa([replace(one, source="2001:db8::1", destination="2001:db8::2")])
    assert '\n"IPv6","*","*",' in text


def test_only_we_can_read_the_files_and_twice_is_as_once(tmp_path: Path) -> None:
    keys = make_run().keys(tmp_path / "keys")
    place = wireshark.write(tmp_path, keys)
    before = {path.name: path.read_text() for path in place.iterdir()}
    assert set(before) == {"esp_sa", "preferences", "decode_as_entries", "README"}
    (place / "esp_sa").chmod(0o644)
    wireshark.write(tmp_path, keys)
    assert {path.name: path.read_text() for path in place.iterdir()} == before
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.iterdir()} == {0o600}
    assert "cannot" not in before["README"]
    assert "ipseclab decode" in before["README"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentNotReady, match="cannot be written"):
        wireshark.write(tmp_path / "file", Keys())


# IKE in the encoding of RFC 7296, by hand: what the table of IKE SAs is for.

SPI_I, SPI_R = bytes.fromhex("1122334455667788"), bytes.fromhex("99aabbccddeeff00")
IKE = ("aes256-sha256-modp2048", "aes128-sha512-ecp256", "aes256gcm16-prfsha256-x25519")


def ike_keys(text: str) -> IkeKeys:
    """Keys of an IKE SA of this suite."""
    suite = ike_suite(text)
    integ = "" if suite.integ == IntegId.NONE else str(suite.integ)
    used = algorithms(str(suite).partition("/")[0].rpartition("_")[0], suite.encr.key_length, integ)
    encr, mac = used.key_size, used.integ_key_size
    secrets = [b"d", b"\3" * mac, b"\4" * mac, b"\1" * encr, b"\2" * encr, b"i", b"r"]
    names = ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr")
    named = dict(zip(names, secrets, strict=True))
    return IkeKeys("rfc7296", SPI_I, SPI_R, used, str(suite.prf), **named)


def ike_auth(text: str, keys: IkeKeys) -> bytes:
    """An IKE_AUTH request with IDi alone (RFC 7296 3.14)."""
    suite = ike_suite(text)
    direction = DirectionKeys(Secret(keys.sk_ei), Secret(keys.sk_ai))
    one = sealer(suite.encr, IntegId(suite.integ), direction, lambda size: bytes(range(size)))
    body = b"\x02\0\0\0initiator"
    inner = struct.pack("!BBH", 0, 0, 4 + len(body)) + body
    pad = -(len(inner) + 1) % one.block
    plain = inner + bytes(pad) + bytes([pad])
    size = 4 + one.sealed_len(len(plain))
    head = SPI_I + SPI_R + struct.pack("!BBBBII", 46, 0x20, 35, 8, 1, 28 + size)
    head += struct.pack("!BBH", 35, 0, size)
    return head + one.seal(head, plain)


@needs_tshark
@pytest.mark.parametrize("text", IKE)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_tshark_opens_ike_of_rfc_7296_with_the_table(text: str, right: bool, tmp_path: Path) -> None:
    keys = ike_keys(text)
    octets = pack_udp(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 500, 500, ike_auth(text, keys))
    file = tmp_path / "a.pcapng"
    file.write_bytes(octets_of(capture([pcapng.Packet(ZERO, octets)])))
    used = keys if right else replace(keys, sk_ei=bytes(len(keys.sk_ei)), sk_ai=bytes(len(keys.sk_ai)))
    place = wireshark.write(tmp_path, Keys(ike=(used,)))
    (one,) = tshark(file, place)
    assert ("initiator" in str(found(one, "isakmp.id.data.fqdn"))) == right
    assert "ikev2_decryption_table" in (place / "README").read_text()


def test_only_keys_of_rfc_7296_are_in_the_table(tmp_path: Path) -> None:
    keys = ike_keys("aes256-sha256-modp2048")
    rows = wireshark.ikev2_decryption_table([keys, replace(keys, profile="asn1")]).splitlines()[1:]
    assert rows == [
        f'{SPI_I.hex()},{SPI_R.hex()},{"01" * 32},{"02" * 32},"AES-CBC-256 [RFC3602]",{"03" * 32},'
        f'{"04" * 32},"HMAC_SHA2_256_128 [RFC4868]"'
    ]
    run: Run = make_run()
    assert not (wireshark.write(tmp_path, run.keys(tmp_path / "keys")) / "ikev2_decryption_table").exists()


def test_what_no_version_opens_in_ike_is_a_comment() -> None:
    keys = ike_keys("aes256gcm16-prfsha256-x25519")
    chacha = replace(keys, algorithms=algorithms("ENCR_CHACHA20_POLY1305", None, ""))
    rows = wireshark.ikev2_decryption_table([keys, chacha]).splitlines()[1:]
    assert rows[0].endswith('"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"')
    assert rows[1].startswith("# ")
    assert keys.sk_ei.hex() not in rows[1]
