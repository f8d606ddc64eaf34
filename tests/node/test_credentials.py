"""Files that are no credentials: one clear line, never a node that hangs or ends later."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.config import Config, Sources, load
from node.daemon.credentials import MAX_CHAIN, load_anchors, load_chain, read_key
from node.daemon.failure import StartError
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
