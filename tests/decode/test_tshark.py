"""tshark opens what our nodes say in the encoding of RFC 7296, with the tables that a run leaves.

Every suite: those that this tshark has an entry for are opened by it, IKE and ESP, and all ICVs are right.
The others are named here, and it opens nothing of them; the lab's own decoder does (test_binary.py).
"""

import json
import os
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.decode import wireshark
from lab.decode.keylog import Keys
from tests.decode.support import Run, make_run
from tests.decode.test_wireshark import COMPLAINTS, TSHARK, found, needs, needs_tshark, version

ENCR, MACS = ("aes128", "aes192", "aes256"), ("sha256", "sha384", "sha512")
GROUPS = (
    *("x25519", "x448", "ecp256", "ecp384", "ecp521"),
    *("modp2048", "modp3072", "modp4096", "modp6144", "modp8192"),
)
CIPHERS = (
    *(f"{encr}-{mac}" for encr in ENCR for mac in MACS),
    *(f"{encr}gcm16-prf{mac}" for encr, mac in zip(ENCR, MACS, strict=True)),
)
#: Every protection of an IKE SA that has an entry in the table, every group and PRF among them.
IKE_SUITES = tuple(f"{cipher}-{GROUPS[n % len(GROUPS)]}" for n, cipher in enumerate(CIPHERS))
#: What no version of Wireshark has an entry for.
IKE_WITHOUT_ENTRY = tuple(f"chacha20poly1305-prf{mac}-x25519" for mac in MACS)
AEAD = (*(f"{encr}gcm16" for encr in ENCR), "chacha20poly1305")
#: Every protection of a Child SA; whether this tshark has an entry is `needs`: ChaCha20-Poly1305 from 4.6 on,
#: extended sequence numbers from 4.4 on.
ESP_SUITES = (
    *(f"{encr}-{mac}" for encr in (*ENCR, "null") for mac in MACS),
    *AEAD,
    *(f"{one}-esn" for one in AEAD),
)
ESP_LATER = {"chacha20poly1305", "chacha20poly1305-esn", *(f"{encr}gcm16-esn" for encr in ENCR)}
#: The payloads of each message, in the order of a run, as the types that tshark names.
INSIDE = [
    {"33", "34", "40"},
    {"33", "34", "40"},
    {"46", "35", "37", "39", "33", "44", "45"},
    {"46", "36", "37", "39", "33", "44", "45"},
    {"46", "42"},
    {"46"},
]


@cache
def run_of(ike: str, esp: str = "aes256-sha256") -> Run:
    return make_run(ike, esp, profile="rfc7296")


def packets_of(run: Run, keys: Keys, place: Path) -> list[dict[str, Any]]:
    """The layers of all packets, read with the files that `keys` give."""
    directory = run.write(place / "run", keyed=False)
    return read(directory / "capture.pcapng", wireshark.write(place, keys, version()))


def read(file: Path, config: Path) -> list[dict[str, Any]]:
    """The layers of all packets of a capture; tshark must not complain of the files it is given."""
    done = subprocess.run(
        [str(TSHARK), "-n", "-r", str(file), "-T", "json", "--no-duplicate-keys"],
        env=os.environ | {"WIRESHARK_CONFIG_DIR": str(config), "HOME": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(complaint in done.stderr for complaint in COMPLAINTS), done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def texts(layers: object, name: str) -> list[str]:
    """All values of a field, also where it stands several times."""
    if isinstance(layers, dict):
        own = [
            v
            for k, value in layers.items()
            if k == name
            for v in (value if isinstance(value, list) else [value])
        ]
        return [v for v in own if isinstance(v, str)] + [v for x in layers.values() for v in texts(x, name)]
    return [v for x in layers for v in texts(x, name)] if isinstance(layers, list) else []


def wrong(layers: object) -> list[str]:
    """What a dissector complains of, a wrong ICV too; mere remarks are less severe (0x200000)."""
    levels = texts(layers, "_ws.expert.severity")
    return [one for one in levels if int(one, 0) > 0x400000] + texts(layers, "_ws.malformed")


def ike_of(packets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in packets if "isakmp" in one]


@needs_tshark
@pytest.mark.parametrize("suite", IKE_SUITES)
def test_tshark_opens_ike(suite: str, tmp_path: Path) -> None:
    run = run_of(suite)
    messages = ike_of(packets_of(run, run.keys(tmp_path / "keys"), tmp_path))
    payloads = [set(texts(one, "isakmp.typepayload")) for one in messages]
    assert [wanted <= shown for wanted, shown in zip(INSIDE, payloads, strict=True)] == [True] * 6
    assert payloads[4:] == INSIDE[4:]
    for one, name in zip(messages[2:4], ("initiator", "responder"), strict=True):
        assert name in str(texts(one, "isakmp.id.data.fqdn"))
    assert not [one for one in messages if wrong(one)]


@needs_tshark
@pytest.mark.parametrize(("suite", "name"), [(IKE_SUITES[0], "sk_ai"), (IKE_SUITES[-1], "sk_ei")])
def test_tshark_checks_the_icvs_of_ike(suite: str, name: str, tmp_path: Path) -> None:
    """The test above can fail: with another key for one direction it complains about that."""
    run = run_of(suite)
    (keys,) = run.keys(tmp_path / "keys").ike
    changed: dict[str, Any] = {name: bytes(len(getattr(keys, name)))}
    keys = replace(keys, **changed)
    messages = ike_of(packets_of(run, Keys(ike=(keys,)), tmp_path))
    assert [bool(wrong(one)) for one in messages] == [False, False, True, False, True, False]


@needs_tshark
@pytest.mark.parametrize("suite", IKE_WITHOUT_ENTRY)
def test_tshark_does_not_open_ike_that_it_has_no_entry_for(suite: str, tmp_path: Path) -> None:
    """If this fails, a new version learnt it: then it belongs into the table."""
    run = run_of(suite)
    messages = ike_of(packets_of(run, run.keys(tmp_path / "keys"), tmp_path))
    assert [set(texts(one, "isakmp.typepayload")) for one in messages[2:]] == [{"46"}] * 4
    assert wireshark.ikev2_decryption_table(run.keys(tmp_path / "keys").ike).count("# IKE SA") == 1


@needs_tshark
@pytest.mark.parametrize("suite", ESP_SUITES)
def test_tshark_opens_esp(suite: str, tmp_path: Path) -> None:
    run = run_of(IKE_SUITES[0], suite)
    esp = [one for one in packets_of(run, run.keys(tmp_path / "keys"), tmp_path) if "esp" in one]
    assert len(esp) == len(run.inner)
    if needs(suite) > version():
        assert suite in ESP_LATER
        assert not [one for one in esp if "icmp" in one]
        return
    assert [found(one, "esp.icv_good") for one in esp] == [["1"]] * len(esp)
    assert [found(one, "icmp.type") for one in esp[2:]] == [["8"], ["0"]] * 3


@needs_tshark
@pytest.mark.parametrize("suite", [IKE_SUITES[0], IKE_SUITES[-1]])
def test_without_the_keys_tshark_opens_nothing(suite: str, tmp_path: Path) -> None:
    """The tests above can fail: what is opened is opened by the tables."""
    packets = packets_of(run_of(suite), Keys(), tmp_path)
    assert [set(texts(one, "isakmp.typepayload")) for one in ike_of(packets)[2:]] == [{"46"}] * 4
    assert not [one for one in packets if "icmp" in one]


def test_every_algorithm_is_in_a_suite() -> None:
    every = "-".join((*IKE_SUITES, *IKE_WITHOUT_ENTRY, *ESP_SUITES)).split("-")
    assert set(every) >= {*GROUPS, *MACS, *(f"prf{mac}" for mac in MACS), *ENCR, *AEAD, "null", "esn"}
