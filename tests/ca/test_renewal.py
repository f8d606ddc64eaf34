"""What is kept, what is reissued and why, and what is never overwritten."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from ca import keys
from ca.window import Validity, parse_window
from tests.ca.conftest import Desk

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
RENEW = timedelta(days=30)


def belongs(desk: Desk, name: str) -> bool:
    key = keys.from_pem((desk.directory / f"{name}-key.pem").read_bytes())
    return keys.belongs(key, desk.certificate(name))


@pytest.mark.parametrize(
    ("entry", "belonging"),
    [
        ({}, True),
        ({"days": -1}, True),
        ({"days": 1}, True),
        ({"not_before": "+2d"}, True),
        ({"not_after": "+1m"}, True),
        ({"not_before": "2020-01-01", "not_after": "2021-01-01T00:00:00Z"}, True),
        ({"not_after": "2021-01-01T00:00:00+02:00"}, True),
        ({"identity": "mallory"}, True),
        ({"subject": "CN=x,O=y", "dns": [], "email": ["a@b.test"]}, True),
        ({"issuer": "rogue"}, True),
        ({"issuer": "below"}, True),
        ({"key": "wrong"}, False),
        ({"copy_of": "other"}, True),
        ({"copy_of": "other", "key": "wrong"}, False),
    ],
)
def test_a_second_run_keeps_everything(desk: Desk, entry: dict[str, object], belonging: bool) -> None:
    ask = desk.ask({"a": entry, "other": {}}, {"rogue": {}, "below": {"issuer": "rogue"}})
    made = desk.run(ask)
    assert {line["action"] for line in made.values()} == {"made"}
    assert belongs(desk, "a") is belonging
    before = desk.contents()
    kept = desk.run(ask)
    assert {line["action"] for line in kept.values()} == {"kept"}
    assert desk.contents() == before
    assert kept["a"]["sha256"] == made["a"]["sha256"]


def test_wrong_identity_is_the_other_name(desk: Desk) -> None:
    out = desk.run(desk.ask({"initiator": {"identity": "mallory"}}))
    assert (out["initiator"]["subject"], out["initiator"]["names"]) == ("CN=mallory", ["DNS:mallory"])


def test_impostor_has_the_certificate_of_another(desk: Desk) -> None:
    desk.run(desk.ask({"alice": {}, "initiator": {"copy_of": "alice", "key": "wrong"}}))
    assert desk.certificate("initiator") == desk.certificate("alice")
    assert not belongs(desk, "initiator")
    assert belongs(desk, "alice")


def test_key_none_leaves_the_key_directory_alone(desk: Desk) -> None:
    out = desk.run(desk.ask({"alice": {"key": "none"}}), CA_KEYS_DIR="/proc/nowhere/{name}")
    assert out["alice"]["key"] is None
    assert desk.run(desk.ask({"alice": {"key": "none"}}))["alice"]["action"] == "kept"


def test_twenty_names_at_once(desk: Desk) -> None:
    names = [f"initiator-{number}" for number in range(20)]
    out = desk.run(*names)
    assert len({out[name]["serial"] for name in names}) == 20


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"key_type": "ed25519"}, "has a key of type ecdsa-p256, asked ed25519"),
        ({"days": 30}, "lifetime is 365 days, asked 30 days"),
        ({"days": -1}, "is valid now, asked to be expired"),
        ({"not_before": "+1d"}, "is valid now, asked to be not yet valid"),
        ({"not_after": "2031-01-01"}, "asked 2031-01-01T00:00:00Z"),
        ({"subject": "CN=b"}, "is for CN=a, asked CN=b"),
        ({"ip": ["10.0.0.1"]}, "has subjectAltName (DNS:a), asked (DNS:a, IP:10.0.0.1)"),
        ({"dns": []}, "has subjectAltName (DNS:a), asked without"),
        ({"issuer": "rogue"}, "is not signed by the present rogue-cert.pem"),
        ({"key": "wrong"}, "a-key.pem belongs to a-cert.pem, asked a wrong one"),
        ({"copy_of": "other"}, "a-cert.pem is not a copy of other-cert.pem"),
    ],
)
def test_another_request_reissues_and_says_why(desk: Desk, entry: dict[str, object], reason: str) -> None:
    authorities: dict[str, object] = {"rogue": {}}
    desk.run(desk.ask({"a": {}, "other": {}}, authorities))
    ask = desk.ask({"a": entry, "other": {}}, authorities)
    out = desk.run(ask)
    assert out["a"]["action"] == "reissued"
    assert reason in "; ".join(out["a"]["reasons"])  # type: ignore[arg-type]
    assert {out[name]["action"] for name in ("ca", "rogue", "other")} == {"kept"}
    assert desk.run(ask)["a"]["action"] == "kept"


def spoil_certificate(directory: Path) -> None:
    (directory / "a-cert.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")


def swap_key(directory: Path) -> None:
    shutil.copy(directory / "b-key.pem", directory / "a-key.pem")


def add_octets(directory: Path) -> None:
    with (directory / "a-cert.pem").open("ab") as file:
        file.write(b"# more\n")


def drop_certificate(directory: Path) -> None:
    (directory / "a-cert.pem").unlink()


def drop_key(directory: Path) -> None:
    (directory / "a-key.pem").unlink()


def empty_key(directory: Path) -> None:
    (directory / "a-key.pem").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (spoil_certificate, "a-cert.pem holds no readable certificate"),
        (swap_key, "a-key.pem does not belong to a-cert.pem"),
        (add_octets, "the file does not hold exactly the certificate"),
        (drop_key, "a-key.pem is missing"),
        (empty_key, "a-key.pem is missing"),
    ],
)
def test_damage_is_repaired(desk: Desk, damage: object, reason: str) -> None:
    desk.run("a", "b")
    assert callable(damage)
    damage(desk.directory)
    out = desk.run("a", "b")
    assert out["a"]["action"] == "reissued"
    assert reason in "; ".join(out["a"]["reasons"])  # type: ignore[arg-type]
    assert out["b"]["action"] == "kept"
    assert belongs(desk, "a")


def test_a_missing_certificate_is_made_for_the_key_that_is_there(desk: Desk) -> None:
    desk.run("a")
    key = (desk.directory / "a-key.pem").read_bytes()
    drop_certificate(desk.directory)
    out = desk.run("a")
    assert (out["a"]["action"], out["a"]["reasons"]) == ("made", ["a-cert.pem is missing"])
    assert (desk.directory / "a-key.pem").read_bytes() == key
    assert belongs(desk, "a")


def test_a_new_authority_reissues_everything_below(desk: Desk) -> None:
    chain: dict[str, object] = {"below": {"issuer": "ca"}, "rogue": {}}
    ask = desk.ask({"a": {}, "b": {"issuer": "below"}, "c": {"issuer": "rogue"}}, chain)
    desk.run(ask)
    out = desk.run(ask, "--root-subject", "Another CA")
    actions = {name: line["action"] for name, line in out.items()}
    assert actions == {"ca": "reissued", "below": "reissued", "a": "reissued", "b": "reissued"} | {
        "rogue": "kept",
        "c": "kept",
    }
    desk.certificate("a").verify_directly_issued_by(desk.certificate("ca"))


def test_check_changes_nothing(desk: Desk) -> None:
    code, out, _ = desk.call("a", "--check")
    assert code == 1
    assert not desk.directory.exists()
    assert (out["a"]["action"], out["a"]["reasons"]) == ("made", ["ca must be issued first"])
    desk.run("a")
    assert desk.call("a", "--check")[0] == 0
    before = desk.contents()
    assert desk.call("a", "--days", "7", "--check")[0] == 1
    assert desk.contents() == before


def openssl_pki(directory: Path) -> None:
    """A CA made as by hand, without our extensions."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "365",
        "-subj",
        "/CN=MyRootCA",
    ]
    files = ["-keyout", str(directory / "ca-key.pem"), "-out", str(directory / "ca-cert.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command on this machine")
def test_an_authority_of_another_make_is_not_overwritten(desk: Desk) -> None:
    desk.directory.mkdir()
    openssl_pki(desk.directory)
    before = desk.contents()
    code, out, err = desk.call("a")
    assert (code, out) == (4, {})
    assert str(desk.directory / "ca-cert.pem") in err
    assert "--replace" in err
    assert desk.contents() == before
    assert desk.run("a", "--replace")["ca"]["action"] == "reissued"
    assert desk.run("a")["a"]["action"] == "kept"


@pytest.mark.parametrize(
    ("octets", "says"),
    [(b"no key at all", "is not a PEM private key"), (b"\x00" * 99, "is not a PEM private key")],
)
def test_a_foreign_key_is_not_overwritten(desk: Desk, octets: bytes, says: str) -> None:
    desk.run("a")
    path = desk.directory / "a-key.pem"
    path.write_bytes(octets)
    code, _, err = desk.call("a")
    assert code == 4
    assert f"{path}: {says}" in err
    assert path.read_bytes() == octets
    assert desk.run("a", "--replace")["a"]["action"] == "reissued"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command on this machine")
def test_a_sha_1_signature_is_not_kept(desk: Desk) -> None:
    desk.run("a", "--key-type", "rsa2048", "--root-key-type", "rsa2048")
    path = desk.directory / "ca-cert.pem"
    command = ["openssl", "x509", "-sha1", "-days", "3650", "-in", str(path), "-out", str(path)]
    signing = [*command, "-signkey", str(desk.directory / "ca-key.pem")]
    subprocess.run(signing, check=True, capture_output=True, timeout=60)
    assert isinstance(desk.certificate("ca").signature_hash_algorithm, hashes.SHA1)
    out = desk.run("a", "--key-type", "rsa2048", "--root-key-type", "rsa2048")
    assert out["ca"]["reasons"] == ["its own signature does not verify"]


# Windows, with a clock that the test holds.


@pytest.mark.parametrize(
    ("days", "before", "after", "later", "reason"),
    [
        (365, None, None, timedelta(days=334), None),
        (365, None, None, timedelta(days=336), "within the renewal time of 30 days"),
        (365, None, None, timedelta(days=400), "expired 2031-06-01"),
        (9, None, None, timedelta(days=5, hours=23), None),
        (9, None, None, timedelta(days=6, hours=1), "within the renewal time"),
        (-1, None, None, timedelta(days=4000), None),
        (None, "+30d", None, timedelta(days=19), None),
        (None, "+30d", None, timedelta(days=21), "becomes valid 2030-07-01T12:00:00Z"),
        (None, "+30d", None, timedelta(days=31), "is valid now, asked to be not yet valid"),
        (None, None, "2030-06-03", timedelta(days=1, hours=11), None),
        (None, None, "2030-06-03", timedelta(days=9), None),
        (None, "2030-06-02", "+9d", timedelta(hours=1), None),
    ],
)
def test_windows_over_time(
    days: int | None, before: str | None, after: str | None, later: timedelta, reason: str | None
) -> None:
    window = parse_window("", days, before, after, 365)
    first = window.resolve(NOW)
    assert list(window.faults(first, NOW, RENEW)) == []
    reasons = "; ".join(window.faults(first, NOW + later, RENEW))
    assert reason in reasons if reason else reasons == ""


def test_days_count_from_the_start() -> None:
    made = parse_window("", 10, None, None, 365).resolve(NOW)
    assert made == Validity(NOW - timedelta(minutes=5), NOW - timedelta(minutes=5) + timedelta(days=10))
    past = parse_window("", -1, None, None, 365).resolve(NOW)
    assert past == Validity(NOW - timedelta(days=366), NOW - timedelta(days=1))


def test_outcome_lines_are_json_and_text(desk: Desk) -> None:
    out = desk.run("a")
    assert set(out["a"]) >= {
        "name",
        "action",
        "reasons",
        "certificate",
        "key",
        "sha256",
        "not_after",
        "issuer",
    }
    sha256 = desk.certificate("a").fingerprint(hashes.SHA256()).hex(":").upper()
    assert out["a"]["sha256"] == sha256
    json.dumps(out)
