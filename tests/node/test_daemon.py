"""Two nodes as processes on loopback, without privileges: the founding command lines, end to end.

initiator                          responder
  IKE_SA_INIT      ------------>
                   <------------
  IKE_AUTH         ------------>
                   <------------
  ESP (UDP hello)  ------------>
                   <------------   ESP (UDP ACK)
  ESP (echo)  x n  <----------->
  DELETE           ------------>   (SIGTERM)
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.control import client
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import Nonce
from node.model.registry import ExchangeType
from node.wire.asn1.codec import Asn1Codec
from tests.node.conftest import ROOT, Process, Spawn

STARTED = """
    node_started privileges_dropped certificate_loaded private_key_loaded dh_key_pair_generated udp_bound
"""
VERIFIED = "peer_certificate_verified peer_identity_verified peer_auth_verified"
INITIATOR_FLOW = f"""
    spi_assigned ike_sa_init_sent ike_sa_init_received shared_secret_derived ike_auth_sent ike_auth_received
    {VERIFIED} ike_sa_established child_sa_installed esp_payload_sent esp_ack_received ping_replied
    pings_completed node_stopping informational_sent ike_sa_deleted node_stopped
"""
RESPONDER_FLOW = f"""
    ike_sa_init_received spi_assigned ike_sa_init_sent ike_auth_received {VERIFIED} ike_sa_established
    ike_auth_sent child_sa_installed esp_payload_decrypted esp_ack_sent informational_received
    child_sa_deleted ike_sa_deleted
"""
RESPONDER = ("--mode=ipsec-responder", "--port=0")


def _pair(spawn: Spawn, *arguments: str, **variables: str) -> tuple[Process, Process]:
    responder = spawn(*RESPONDER)
    port = responder.wait_for("udp_bound")["port"]
    initiator = spawn("--mode=ipsec-initiator", *arguments, NODE_PEER__PORT=str(port), **variables)
    return initiator, responder


def _in_order(names: list[str], wanted: list[str]) -> bool:
    rest = iter(names)
    return all(name in rest for name in wanted)


def test_the_founding_call_flow_with_once(spawn: Spawn) -> None:
    initiator, responder = _pair(spawn, "--once")
    assert initiator.wait() == 0, initiator.errors
    assert _in_order(initiator.names(), f"{STARTED} {INITIATOR_FLOW}".split())
    responder.wait_for("ike_sa_deleted")
    assert _in_order(responder.names(), f"{STARTED} {RESPONDER_FLOW}".split())
    hello = responder.wait_for("esp_payload_decrypted")
    assert hello["text"] == "Hello from IPSec Initiator!"
    sent = initiator.wait_for("esp_payload_sent")
    assert (hello["spi"], hello["sequence"], hello["source"]) == (sent["spi"], sent["sequence"], "10.1.0.1")
    assert initiator.wait_for("esp_ack_received")["text"] == "ACK Hello from IPSec Initiator!"
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"], done["via"]) == (10, 10, "user-space")
    assert [e["seq"] for e in initiator.events if e["event"] == "ping_replied"] == list(range(1, 11))
    assert responder.stop(signal.SIGTERM) == 0
    assert "datagram_dropped" not in initiator.names() + responder.names()


def test_ipv6_outside_and_inside(spawn: Spawn) -> None:
    inner = {"i": "[fd00:1::/64]", "r": "[fd00:2::/64]"}
    outer = {"NODE_LISTEN__ADDRESS": "::1", "NODE_PEER__ADDRESS": "::1"}
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").read_text().strip():
        pytest.skip("no IPv6 on this host")
    responder = spawn(
        *RESPONDER, **outer, NODE_CHILD__LOCAL_TS=inner["r"], NODE_CHILD__REMOTE_TS=inner["i"],
        NODE_TUN__ADDRESS="fd00:2::1/64",
    )  # fmt: skip
    port = str(responder.wait_for("udp_bound")["port"])
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", **outer, NODE_CHILD__LOCAL_TS=inner["i"],
        NODE_CHILD__REMOTE_TS=inner["r"], NODE_TUN__ADDRESS="fd00:1::1/64", NODE_PEER__PORT=port,
    )  # fmt: skip
    assert initiator.wait() == 0, initiator.errors
    assert responder.wait_for("esp_payload_decrypted")["source"] == "fd00:1::1"


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_a_shared_secret_needs_no_certificate(spawn: Spawn, tmp_path: Path, profile: str) -> None:
    """Two nodes in a directory where nothing is but the secret."""
    (tmp_path / "psk.txt").write_text("0x" + "c0ffee" * 10 + "\n")
    (tmp_path / "psk.txt").chmod(0o600)
    secret = {
        "NODE_PROFILE": profile, "NODE_LOCAL__AUTH": "psk", "NODE_PEER__AUTH": "psk",
        "NODE_CREDENTIALS__PSK": "psk.txt",
    }  # fmt: skip
    responder = spawn(
        *RESPONDER, directory=tmp_path, **secret,
        NODE_LOCAL__IDENTITY="keyid:gateway", NODE_PEER__IDENTITY="ipv4:192.0.2.7",
    )  # fmt: skip
    port = str(responder.wait_for("udp_bound")["port"])
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", directory=tmp_path, **secret, NODE_PEER__PORT=port,
        NODE_LOCAL__IDENTITY="ipv4:192.0.2.7", NODE_PEER__IDENTITY="keyid:gateway",
    )  # fmt: skip
    assert initiator.wait() == 0, initiator.errors
    assert initiator.wait_for("ike_sa_established")["peer_identity"] == "keyid:gateway"
    assert responder.wait_for("ike_sa_established")["peer_identity"] == "ipv4:192.0.2.7"
    for node in (initiator, responder):
        assert node.wait_for("psk_loaded")["file"] == "psk.txt"
        assert node.wait_for("peer_auth_verified")["method"] == "SHARED_KEY_MIC"
        assert "c0ffee" not in node.errors + json.dumps(node.events)
        assert {"certificate_loaded", "private_key_loaded"}.isdisjoint(node.names())


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_a_secret_that_is_another(spawn: Spawn, credentials: Path, tmp_path: Path, profile: str) -> None:
    """The initiator proves itself by a certificate, the responder by a secret that is not the initiator's."""
    for name in ("ours", "theirs"):
        (tmp_path / name).write_text(f"the secret of {name}, at length")
        (tmp_path / name).chmod(0o600)
    responder = spawn(
        *RESPONDER, NODE_PROFILE=profile, NODE_LOCAL__AUTH="psk", NODE_LOCAL__IDENTITY="fqdn:gateway",
        NODE_CREDENTIALS__PSK=str(tmp_path / "theirs"),
    )  # fmt: skip
    port = str(responder.wait_for("udp_bound")["port"])
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", NODE_PROFILE=profile, NODE_PEER__AUTH="psk",
        NODE_PEER__IDENTITY="fqdn:gateway", NODE_CREDENTIALS__PSK=str(tmp_path / "ours"),
        NODE_PEER__PORT=port,
    )  # fmt: skip
    assert initiator.wait() == 1
    assert initiator.wait_for("authentication_failed")["reason"] == "wrong_shared_key"
    assert responder.wait_for("authorities_loaded")["authorities"] == 1
    assert responder.wait_for("notify_received")["notify"] == "AUTHENTICATION_FAILED"


def test_a_bug_is_loud_and_ends_the_node(credentials: Path) -> None:
    code = (
        "import sys; from node.ike.endpoint import Endpoint; from node.cli import main\n"
        "def broken(*_): raise ZeroDivisionError('planted')\n"
        "Endpoint.handle_datagram = broken\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    node = Process([sys.executable, "-c", code, *RESPONDER], credentials, {})
    try:
        port = node.wait_for("udp_bound")["port"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"\x30\x00\x00\x00", ("127.0.0.1", port))
        assert node.wait() == 70
        failed = node.wait_for("node_failed", code=70)
        assert failed["detail"] == "bug: ZeroDivisionError: planted"
        assert "Traceback" in node.errors
    finally:
        node.close()


def test_sigterm_deletes_the_sa_at_both_ends(spawn: Spawn, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    initiator, responder = _pair(spawn, NODE_CONTROL__SOCKET=path)
    initiator.wait_for("pings_completed")
    assert client.ask(path, {"command": "health"}) == {"ok": True, "healthy": True}
    status = client.ask(path, {"command": "status"})
    assert [sa["phase"] for sa in status["ike_sas"]] == ["ESTABLISHED"]
    [child] = status["child_sas"]
    assert child["inbound_packets"] == child["outbound_packets"] == 11
    assert client.ask(path, {"command": "counters"})["dropped"] == {}
    assert initiator.stop(signal.SIGTERM) == 0
    assert not Path(path).exists()
    responder.wait_for("ike_sa_deleted")
    assert initiator.events[-1]["event"] == "node_stopped"


def test_terminate_and_initiate_over_the_control_socket(spawn: Spawn, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    initiator, responder = _pair(spawn, NODE_CONTROL__SOCKET=path, NODE_DEMO__PINGS="0")
    initiator.wait_for("esp_ack_received")
    assert not client.ask(path, {"command": "terminate", "ike_spi": "00"})["ok"]
    assert client.ask(path, {"command": "terminate"}) == {"ok": True, "deleted": 1}
    initiator.wait_for("ike_sa_deleted")
    responder.wait_for("ike_sa_deleted")
    assert client.ask(path, {"command": "health"})["healthy"] is False
    assert client.ask(path, {"command": "initiate"})["ok"]
    second = [sa for sa in _until_established(path) if sa["phase"] == "ESTABLISHED"]
    assert len(second) == 1
    assert client.ask(path, {"command": "version"})["version"]


def _until_established(path: str) -> list[dict[str, object]]:
    while True:
        found = client.ask(path, {"command": "status"})["ike_sas"]
        if any(sa["phase"] == "ESTABLISHED" for sa in found):
            return list(found)


def test_the_responder_stopping_first_tells_the_initiator(spawn: Spawn) -> None:
    initiator, responder = _pair(spawn)
    initiator.wait_for("pings_completed")
    assert responder.stop(signal.SIGINT) == 0
    initiator.wait_for("ike_sa_deleted")
    assert initiator.process.poll() is None
    assert initiator.stop(signal.SIGTERM) == 0


def test_a_peer_of_another_identity_is_refused_and_the_node_stays(spawn: Spawn) -> None:
    initiator, responder = _pair(spawn, NODE_PEER__IDENTITY="dn:CN=somebody-else")
    failed = initiator.wait_for("authentication_failed")
    assert failed["reason"] == "unexpected_identity"
    assert initiator.process.poll() is None
    assert "child_sa_installed" not in initiator.names()
    assert initiator.stop(signal.SIGTERM) == 0
    assert responder.stop(signal.SIGTERM) == 0


def test_once_reports_a_failed_ike_sa_with_its_exit_code(spawn: Spawn) -> None:
    variables = {
        "NODE_PEER__PORT": "1",
        "NODE_IKE__RETRANSMIT__TRIES": "2",
        "NODE_IKE__RETRANSMIT__TIMEOUT": "0.05",
    }
    initiator = spawn("--mode=ipsec-initiator", "--once", **variables)
    assert initiator.wait() == 1
    assert _in_order(
        initiator.names(), ["retransmitted", "retransmission_gave_up", "ike_sa_failed", "node_stopped"]
    )


def test_two_signals_end_a_node_at_once(spawn: Spawn) -> None:
    initiator, responder = _pair(spawn)
    initiator.wait_for("pings_completed")
    responder.process.kill()
    initiator.process.send_signal(signal.SIGTERM)
    initiator.wait_for("node_stopping")
    assert initiator.stop(signal.SIGTERM) == 128 + signal.SIGTERM


def test_scraps_and_junk_are_dropped_with_their_reason(spawn: Spawn, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    responder = spawn(*RESPONDER, NODE_CONTROL__SOCKET=path)
    port = responder.wait_for("udp_bound")["port"]
    responder.wait_for("control_ready")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (b"\xff", b"", b"ab", b"\x30\x01\x00\x00", b"\x99" * 60, b"\x30" + b"\xff" * 65000):
            sender.sendto(datagram, ("127.0.0.1", port))
        peer = f"127.0.0.1:{sender.getsockname()[1]}"
    responder.wait_for("datagram_dropped", reason="truncated", peer=peer, count=2)
    responder.wait_for("datagram_dropped", reason="esp_unknown_spi", peer=peer)
    responder.wait_for("datagram_dropped", reason="malformed", peer=peer, count=2)
    counters = client.ask(path, {"command": "counters"})
    assert counters["keepalives"] == 1
    assert sum(counters["dropped"].values()) == 5
    assert client.ask(path, {"command": "status"})["ike_sas"] == []


# -- what a user may get wrong: one line that names it, and the documented exit code
# --------------------------


def _failing(spawn: Spawn, code: int, *arguments: str, directory: Path, **variables: str) -> str:
    node = spawn(*arguments, directory=directory, **variables)
    assert node.wait() == code, node.errors
    failed = node.events[-1]
    assert (failed["event"], failed["code"]) == ("node_failed", code)
    assert "Traceback" not in node.errors
    assert node.errors.strip().splitlines()[-1].endswith(failed["detail"])
    return str(failed["detail"])


@pytest.fixture
def copied(credentials: Path, tmp_path: Path) -> Path:
    """A copy of the credentials to break."""
    shutil.copytree(credentials, tmp_path / "copy")
    return tmp_path / "copy"


def _certs(copied: Path) -> Path:
    return copied / "ipsec" / "certs"


def test_a_missing_certificate(spawn: Spawn, tmp_path: Path) -> None:
    detail = _failing(spawn, 4, *RESPONDER, directory=tmp_path)
    assert detail.startswith("credentials.ca: ipsec/certs/ca-cert.pem: No such file or directory; issue it")


def test_a_damaged_certificate(spawn: Spawn, copied: Path) -> None:
    (_certs(copied) / "responder-cert.pem").write_text("not a certificate")
    detail = _failing(spawn, 4, *RESPONDER, directory=copied)
    assert detail.startswith(
        "credentials.certificate: ipsec/certs/responder-cert.pem: no complete certificate"
    )


def test_a_key_that_others_can_read(spawn: Spawn, copied: Path) -> None:
    (_certs(copied) / "responder-key.pem").chmod(0o640)
    detail = _failing(spawn, 4, *RESPONDER, directory=copied)
    assert detail == (
        "credentials.key: ipsec/certs/responder-key.pem: mode 0640 lets others read the key; "
        "run: chmod 0600 ipsec/certs/responder-key.pem"
    )


def test_the_key_of_somebody_else(spawn: Spawn, copied: Path) -> None:
    certs = _certs(copied)
    shutil.copy(certs / "initiator-key.pem", certs / "responder-key.pem")
    detail = _failing(spawn, 4, *RESPONDER, directory=copied)
    assert "is not the key of ipsec/certs/responder-cert.pem" in detail


def test_a_damaged_key(spawn: Spawn, copied: Path) -> None:
    (_certs(copied) / "responder-key.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
    )
    assert "responder-key.pem: " in _failing(spawn, 4, *RESPONDER, directory=copied)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_owner(spawn: Spawn, copied: Path) -> None:
    os.chown(_certs(copied) / "responder-key.pem", 12345, 12345)
    assert "responder-key.pem: " in _failing(spawn, 4, *RESPONDER, directory=copied)


def test_an_identity_that_is_not_in_the_certificate(spawn: Spawn, credentials: Path) -> None:
    detail = _failing(spawn, 4, *RESPONDER, directory=credentials, NODE_LOCAL__IDENTITY="fqdn:other")
    assert detail.startswith("local.identity: ")


def test_a_port_in_use(spawn: Spawn, credentials: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        detail = _failing(spawn, 4, "--mode=ipsec-responder", f"--port={port}", directory=credentials)
    assert detail.startswith(f"listen.port: UDP 127.0.0.1[{port}]: Address already in use; stop the process")


def test_a_control_socket_in_a_missing_directory(spawn: Spawn, credentials: Path) -> None:
    detail = _failing(spawn, 4, *RESPONDER, directory=credentials, NODE_CONTROL__SOCKET="/no/where/s")
    assert detail == "control.socket: /no/where/s: No such file or directory; make its directory"


def test_an_unknown_user(spawn: Spawn, credentials: Path) -> None:
    detail = _failing(spawn, 4, *RESPONDER, directory=credentials, NODE_RUN__USER="nobody-at-all")
    assert detail.startswith("run.user: there is no user 'nobody-at-all'")


def test_a_peer_whose_name_does_not_resolve(spawn: Spawn) -> None:
    initiator = spawn("--mode=ipsec-initiator", "--once", "--peer=no-such-host.invalid")
    assert initiator.wait() == 1
    assert (
        "peer.address: the name no-such-host.invalid does not resolve"
        in initiator.wait_for("ike_sa_failed")["reason"]
    )


def test_a_reader_that_stalls_does_not_stop_a_node(spawn: Spawn, credentials: Path, tmp_path: Path) -> None:
    """Its stdout is full after a few events and stays so: it answers, and stops when it is told to."""
    path = str(tmp_path / "s")
    port = _free_port()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "node", "--mode=ipsec-responder", f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NODE_CONTROL__SOCKET": path}
    with subprocess.Popen(
        command, cwd=credentials, env=environment, stdout=writing, stderr=subprocess.DEVNULL
    ) as node:
        os.close(writing)
        initiator = spawn("--mode=ipsec-initiator", "--once", NODE_PEER__PORT=str(port))
        assert initiator.wait() == 0, initiator.errors
        assert client.ask(path, {"command": "counters"})["lost"]["json"] > 0
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
    with os.fdopen(reading) as stream:
        lines = stream.readlines()
    assert lines[-1].endswith("\n")
    assert all(json.loads(line)["node"] == "responder" for line in lines)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_new_ike_sa_while_a_node_stops(spawn: Spawn) -> None:
    """It waits for an answer to its DELETE, as its peer is gone, and takes nobody new."""
    initiator, responder = _pair(spawn)
    initiator.wait_for("pings_completed")
    port = initiator.wait_for("udp_bound")["port"]
    header = Header(bytes(range(1, 9)), NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    request = Asn1Codec().seal(header, (Nonce(bytes(32)),), None, 0).octets
    responder.process.kill()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        initiator.process.send_signal(signal.SIGTERM)
        initiator.wait_for("node_stopping")
        late.sendto(request, ("127.0.0.1", port))
        initiator.wait_for("datagram_dropped", reason="stopping")
    assert initiator.wait() == 0


def test_a_reader_that_goes_away_does_not_stop_a_node(credentials: Path) -> None:
    command = [sys.executable, "-m", "node", *RESPONDER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=credentials, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        port = 0
        while not port:
            event = json.loads(node.stdout.readline())
            port = event["port"] if event["event"] == "udp_bound" else 0
        node.stdout.close()
        node.stderr.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"junk", ("127.0.0.1", port))
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
