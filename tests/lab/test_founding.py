"""The founding command lines, with certificates made by the founding document's openssl commands.

RSA-4096 keys, X.509 v1 leaves without subjectAltName and authority key identifier: identities are the
subject names.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = """\
mkdir -p ipsec/certs
openssl genrsa -out ipsec/certs/ca-key.pem 4096
openssl req -x509 -new -nodes -key ipsec/certs/ca-key.pem -sha256 -days 3650 -out ipsec/certs/ca-cert.pem \
    -subj "/CN=MyRootCA"
openssl genrsa -out ipsec/certs/initiator-key.pem 4096
openssl req -new -key ipsec/certs/initiator-key.pem -out ipsec/certs/initiator.csr \
    -subj "/CN=ipsec-initiator"
openssl x509 -req -in ipsec/certs/initiator.csr -CA ipsec/certs/ca-cert.pem -CAkey ipsec/certs/ca-key.pem \
    -CAcreateserial -out ipsec/certs/initiator-cert.pem -days 365 -sha256
openssl genrsa -out ipsec/certs/responder-key.pem 4096
openssl req -new -key ipsec/certs/responder-key.pem -out ipsec/certs/responder.csr \
    -subj "/CN=ipsec-responder"
openssl x509 -req -in ipsec/certs/responder.csr -CA ipsec/certs/ca-cert.pem -CAkey ipsec/certs/ca-key.pem \
    -CAcreateserial -out ipsec/certs/responder-cert.pem -days 365 -sha256
rm ipsec/certs/initiator.csr ipsec/certs/responder.csr ipsec/certs/ca-cert.srl
"""


@pytest.fixture(scope="session")
def founding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ipsec/certs/ as the founding document makes it: three RSA-4096 keys, once a session."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    directory = tmp_path_factory.mktemp("founding")
    subprocess.run(["sh", "-e", "-c", COMMANDS], cwd=directory, check=True, capture_output=True)
    return directory


def _start(directory: Path, role: str, *more: str) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NODE_")} | {
        "PYTHONPATH": str(ROOT)
    }
    return subprocess.Popen(
        [sys.executable, "-m", "node", f"--mode=ipsec-{role}", *more],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _events_until(process: "subprocess.Popen[str]", last: str) -> dict[str, dict[str, Any]]:
    """Events by name, up to and with `last`; fails with what was told where the stream ends before it."""
    found: dict[str, dict[str, Any]] = {}
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        found[event["event"]] = event
        if event["event"] == last:
            return found
    raise AssertionError(f"{last} never came: {found}")


@pytest.mark.slow
def test_the_founding_command_lines(founding: Path) -> None:
    """Responder on 127.0.0.1:8000, initiator on an ephemeral port, no privilege, no TUN, no configuration."""
    with _start(founding, "responder") as responder:
        try:
            started = _events_until(responder, "udp_bound")
            assert (started["udp_bound"]["address"], started["udp_bound"]["port"]) == ("127.0.0.1", 8000)
            with _start(founding, "initiator", "--once") as initiator:
                seen = _events_until(initiator, "node_stopped")
                assert initiator.wait(30) == 0
            assert seen["udp_bound"]["port"] not in (0, 8000)
            assert seen["peer_identity_verified"]["identity"] == "dn:CN=ipsec-responder"
            assert seen["pings_completed"]["received"] == 10
            judged = _events_until(responder, "ike_sa_deleted")
            assert judged["peer_identity_verified"]["identity"] == "dn:CN=ipsec-initiator"
            assert judged["esp_payload_decrypted"]["text"] == "Hello from IPSec Initiator!"
        finally:
            responder.send_signal(signal.SIGTERM)
        assert responder.wait(30) == 0
