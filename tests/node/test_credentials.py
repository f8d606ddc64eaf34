"""Files that are no credentials: one clear line, never a node that hangs or ends later."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import Auth, Config, Sources, load
from node.daemon.assembly import endpoint
from node.daemon.credentials import MAX_CHAIN, load_anchors, load_chain, load_psk, read_key
from node.daemon.credentials import load as load_credentials
from node.daemon.failure import StartError
from node.eventlog import EventLog
from node.model.secret import Secret
from node.prose import Palette
from tests.node.conftest import make_credentials


@pytest.fixture
def config(tmp_path: Path) -> Config:
    directory = tmp_path / "certs"
    make_credentials(directory)
    found = load(Sources(environment={"NODE_ROLE": "responder"}))
    files = replace(
        found.credentials,
        ca=str(directory / "ca-cert.pem"),
        certificate=str(directory / "responder-cert.pem"),
        key=str(directory / "responder-key.pem"),
    )
    return replace(found, credentials=files)


def _with_ca(config: Config, path: Path) -> Config:
    return replace(config, credentials=replace(config.credentials, ca=str(path)))


def test_good_files(config: Config) -> None:
    assert len(load_anchors(config)) == len(load_chain(config)) == 1
    assert read_key(config.credentials.key).startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_fifo_does_not_hang_the_start(config: Config, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(StartError, match=r"credentials\.ca: .*fifo: is no regular file"):
        load_anchors(_with_ca(config, fifo))
    with pytest.raises(StartError, match=r"credentials\.key: .*fifo: is no regular file"):
        read_key(str(fifo))


def test_a_directory_is_no_credential(config: Config, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(0o700)
    with pytest.raises(StartError, match=r"credentials\.ca: .*place: is no regular file"):
        load_anchors(_with_ca(config, place))
    with pytest.raises(StartError, match=r"credentials\.key: .*place: is no regular file"):
        read_key(str(place))


def test_an_endless_file_is_not_read_to_its_end(config: Config, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(StartError, match=r"credentials\.ca: .*large: is larger than 1048576 octets"):
        load_anchors(_with_ca(config, large))


def test_a_chain_that_no_message_holds(config: Config, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    octets = b""
    for number in range(MAX_CHAIN // 2 + 1):
        directory = tmp_path / str(number)
        make_credentials(directory)
        octets += (directory / "responder-cert.pem").read_bytes() + (directory / "ca-cert.pem").read_bytes()
    bundle.write_bytes(octets)
    changed = replace(config, credentials=replace(config.credentials, certificate=str(bundle)))
    with pytest.raises(StartError, match=r"credentials\.certificate: .*: 12 certificates of"):
        load_chain(changed)


def test_a_ca_file_that_everybody_can_change(config: Config) -> None:
    Path(config.credentials.ca).chmod(0o666)
    with pytest.raises(StartError, match=r"ca-cert\.pem: mode 0666 lets everybody change whom we trust"):
        load_anchors(config)
    Path(config.credentials.ca).chmod(0o664)
    assert load_anchors(config)


# -- shared secrets ------------------------------------------------------------------------------------------


@pytest.fixture
def log() -> EventLog:
    return EventLog("node", None, None, Palette(False))


def _shared(config: Config, path: Path, ours: Auth = Auth.PSK, theirs: Auth = Auth.PSK) -> Config:
    """The configuration with a secret in the place of what it does not need, which is not there."""
    files = replace(config.credentials, psk=str(path))
    if theirs is Auth.PSK:
        files = replace(files, ca="/nowhere/ca.pem")
    if ours is Auth.PSK:
        files = replace(files, certificate="/nowhere/cert.pem", key="/nowhere/key.pem")
    local = replace(config.local, auth=ours, identity="keyid:sensor 7" if ours is Auth.PSK else "")
    return replace(config, credentials=files, local=local, peer=replace(config.peer, auth=theirs))


@pytest.fixture
def psk(tmp_path: Path) -> Path:
    path = tmp_path / "psk.txt"
    path.write_text("correct horse battery staple\n")
    path.chmod(0o600)
    return path


SECRET = Secret(b"correct horse battery staple")


@pytest.mark.parametrize("ours", Auth)
@pytest.mark.parametrize("theirs", Auth)
def test_what_a_method_does_not_need_is_not_read(
    config: Config, log: EventLog, psk: Path, ours: Auth, theirs: Auth
) -> None:
    changed = config if Auth.PSK not in (ours, theirs) else _shared(config, psk, ours, theirs)
    found = load_credentials(changed, log)
    assert (found.signer == SECRET) is (ours is Auth.PSK)
    assert bool(found.chain) is (ours is Auth.CERTIFICATE)
    assert bool(found.anchors) is (theirs is Auth.CERTIFICATE)
    assert found.psk == (SECRET if theirs is Auth.PSK else None)
    assert found.identity_text == ("keyid:sensor 7" if ours is Auth.PSK else "dn:CN=ipsec-responder")
    assert log.emitted["psk_loaded"] == (Auth.PSK in (ours, theirs))
    assert "horse" not in repr(found)
    assert endpoint(changed, found).sas() == ()


def test_a_peer_with_a_secret_may_be_a_keyid_one_with_a_certificate_not(
    config: Config, log: EventLog, psk: Path
) -> None:
    shared = _shared(config, psk)
    shared = replace(shared, peer=replace(shared.peer, identity=("keyid:sensor 8",)))
    assert endpoint(shared, load_credentials(shared, log)).sas() == ()
    certified = replace(config, peer=replace(config.peer, identity=("keyid:sensor 8",)))
    with pytest.raises(StartError, match="no certificate speaks for a keyid"):
        endpoint(certified, load_credentials(certified, log))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644])
def test_a_secret_that_others_can_read(config: Config, log: EventLog, psk: Path, mode: int) -> None:
    psk.chmod(mode)
    with pytest.raises(StartError, match=rf"credentials\.psk: .*psk\.txt: mode {mode:04o} lets others read"):
        load_psk(_shared(config, psk), log)


def test_a_secret_of_another_user(config: Config, log: EventLog, psk: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(psk, 12_345, 12_345)
    with pytest.raises(StartError, match=r"credentials\.psk: .*belongs to uid 12345, not to us"):
        load_psk(_shared(config, psk), log)


BAD_SECRETS = {
    "short": (b"secret\n", "has 6 octets, a shared secret has 16 to 1024"),
    "empty": (b"", "has 0 octets"),
    "several lines": (b"correct horse\nbattery staple\n", "has several lines"),
    "long": (bytes(5_000), "is larger than 2052 octets"),
    "no hexadecimal": (b"0xcorrect horse", "begins with 0x, but"),
}


@pytest.mark.parametrize("case", BAD_SECRETS)
def test_what_is_no_secret(config: Config, log: EventLog, psk: Path, case: str) -> None:
    octets, message = BAD_SECRETS[case]
    psk.write_bytes(octets)
    with pytest.raises(StartError, match=rf"credentials\.psk: .*psk\.txt: {message}") as caught:
        load_psk(_shared(config, psk), log)
    assert "horse" not in str(caught.value)


def test_a_secret_that_is_no_file(config: Config, log: EventLog, tmp_path: Path) -> None:
    for place, message in (
        (tmp_path, "is no regular file"),
        (tmp_path / "no", "No such file .*python -m ca"),
    ):
        with pytest.raises(StartError, match=rf"credentials\.psk: .*: {message}"):
            load_psk(_shared(config, place), log)
