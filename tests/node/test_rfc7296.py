"""Two nodes as processes that speak the binary encoding of RFC 7296, seen from a relay between them.

What passes is judged by tshark too, which has dissectors of its own: it opens the SK payloads with the keys
of the key log, and finds nothing malformed.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.model.message import HeaderFlags
from node.model.registry import ExchangeType
from node.wire.rfc7296.codec import Rfc7296Codec
from tests.node.conftest import Process, Spawn, nat_port

#: Any ports; a peer is found at one port for everything.
PROFILE = {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__NAT_PORT": "0"}
MARKER = bytes(4)
PORT = 4500
#: Names of tshark for what is negotiated here.
NAMES = {
    "aes256-sha256-modp2048": ('"AES-CBC-256 [RFC3602]"', '"HMAC_SHA2_256_128 [RFC4868]"'),
    "aes256gcm16-prfsha256-x25519": ('"AES-GCM-256 with 16 octet ICV [RFC5282]"', '"NONE [RFC4306]"'),
}
#: The columns of the table, behind the SPIs.
KEYS = ("sk_ei", "sk_er"), ("sk_ai", "sk_ar")
#: A display filter for what a dissector marks as malformed, an error, a warning or worth a note.
WRONG = "_ws.malformed || _ws.expert.severity >= 0x400000"
needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


@dataclass
class Relay:
    """Passes datagrams between one node and the one at `target`; `seen`: whether to the target, and what."""

    target: int
    seen: list[tuple[bool, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        near = ("", 0)
        while True:
            octets, source = self.socket.recvfrom(65_535)
            if source[1] == self.port:
                return
            forth = source[1] != self.target
            near = source if forth else near
            self.seen.append((forth, octets))
            self.socket.sendto(octets, ("127.0.0.1", self.target) if forth else near)

    def close(self) -> None:
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()


@pytest.fixture
def relays() -> Iterator[list[Relay]]:
    made: list[Relay] = []
    yield made
    for relay in made:
        relay.close()


def run(spawn: Spawn, relays: list[Relay], **variables: str) -> tuple[Process, Process, Relay]:
    """A responder, and an initiator that does its demo and ends."""
    responder = spawn("--mode=ipsec-responder", "--port=0", **PROFILE, **variables)
    relays.append(Relay(nat_port(responder)))
    port = {"NODE_PEER__PORT": str(relays[-1].port), "NODE_PEER__NAT_PORT": str(relays[-1].port)}
    initiator = spawn("--mode=ipsec-initiator", "--once", **PROFILE, **port, **variables)
    assert initiator.wait() == 0, initiator.errors
    responder.wait_for("ike_sa_deleted")
    return initiator, responder, relays[-1]


def test_two_nodes_complete_handshake_and_demo(spawn: Spawn, relays: list[Relay]) -> None:
    initiator, responder, relay = run(spawn, relays)
    assert initiator.wait_for("node_started")["profile"] == "rfc7296"
    sent = initiator.wait_for("esp_payload_sent")
    hello = responder.wait_for("esp_payload_decrypted", text="Hello from IPSec Initiator!")
    assert (hello["spi"], hello["sequence"]) == (sent["spi"], sent["sequence"])
    assert initiator.wait_for("pings_completed")["received"] == 10
    assert "AUTH_NONCE" not in initiator.wait_for("ike_auth_sent")["payloads"]
    assert "datagram_dropped" not in initiator.names() + responder.names()
    codec = Rfc7296Codec()
    ike = [(forth, codec.peek(octets[4:])) for forth, octets in relay.seen if octets.startswith(MARKER)]
    flow = [(forth, e.header.exchange, bool(e.header.flags & HeaderFlags.RESPONSE)) for forth, e in ike]
    exchanges = ExchangeType.IKE_SA_INIT, ExchangeType.IKE_AUTH, ExchangeType.INFORMATIONAL
    assert flow == [(forth, e, not forth) for e in exchanges for forth in (True, False)]
    assert [envelope.protected for _, envelope in ike] == [False, False, True, True, True, True]
    esp = [octets[:4].hex() for forth, octets in relay.seen if not octets.startswith(MARKER) if forth]
    assert set(esp) == {sent["spi"]}, "all else is ESP, and has no marker"


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [("asn1", "rfc7296", "esp_unknown_spi"), ("rfc7296", "asn1", "esp_unknown_spi")],
)
def test_a_profile_is_never_guessed(spawn: Spawn, ours: str, theirs: str, why: str) -> None:
    responder = spawn("--mode=ipsec-responder", "--port=0", NODE_PROFILE=theirs, NODE_LISTEN__NAT_PORT="0")
    port = str(nat_port(responder))
    shared = {"NODE_PEER__NAT_PORT": port} if ours == "rfc7296" else {}
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", NODE_PROFILE=ours, NODE_PEER__PORT=port,
        NODE_IKE__RETRANSMIT__TRIES="2", **shared,
    )  # fmt: skip
    assert initiator.wait() == 1
    assert responder.wait_for("datagram_dropped")["reason"] == why
    assert "ike_sa_init_received" not in responder.names()


def capture(relay: Relay, path: Path) -> None:
    """Everything that passed, as packets between two addresses, on the port that tshark expects."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
        for number, (forth, octets) in enumerate(relay.seen):
            ends = (b"\x0a\0\0\1", b"\x0a\0\0\2") if forth else (b"\x0a\0\0\2", b"\x0a\0\0\1")
            udp = struct.pack(">HHHH", PORT, PORT, 8 + len(octets), 0) + octets
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + b"".join(ends)
            size = len(ip + udp)
            file.write(struct.pack("<IIII", number, 0, size, size) + ip + udp)


def keys(keylogs: list[Path], suite: str, home: Path) -> None:
    """The keys of the log in the table of tshark's IKE dissector."""
    sas = [json.loads(line) for path in keylogs for line in path.read_text().splitlines()]
    (sa,) = {json.dumps(s | {"ts": ""}) for s in sas if s["kind"] == "ike"}
    found: dict[str, str] = json.loads(sa)
    encr, integ = NAMES[suite]
    row = [found["spi_i"], found["spi_r"]]
    for names, label in zip(KEYS, (encr, integ), strict=True):
        row += [*(found[name] for name in names), label]
    table = home / "wireshark" / "ikev2_decryption_table"
    table.parent.mkdir(parents=True)
    table.write_text(",".join(row) + "\n")


def tshark(path: Path, home: Path, *arguments: str) -> str:
    variables = {**os.environ, "XDG_CONFIG_HOME": str(home), "HOME": str(home)}
    command = ["tshark", "-n", "-r", str(path), *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@needs_tshark
@pytest.mark.parametrize("suite", NAMES)
def test_tshark_dissects_every_message_and_finds_nothing_wrong(
    spawn: Spawn, relays: list[Relay], tmp_path: Path, suite: str
) -> None:
    logs = [tmp_path / "i", tmp_path / "r"]
    responder = spawn(
        "--mode=ipsec-responder", "--port=0", **PROFILE,
        NODE_IKE__PROPOSALS=f"[{suite}]", NODE_KEYLOG__FILE=str(logs[1]),
    )  # fmt: skip
    relays.append(Relay(nat_port(responder)))
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", **PROFILE, NODE_IKE__PROPOSALS=f"[{suite}]",
        NODE_KEYLOG__FILE=str(logs[0]), NODE_PEER__PORT=str(relays[-1].port),
        NODE_PEER__NAT_PORT=str(relays[-1].port),
    )  # fmt: skip
    assert initiator.wait() == 0, initiator.errors
    responder.wait_for("ike_sa_deleted")
    path = tmp_path / "capture.pcap"
    capture(relays[-1], path)
    keys(logs, suite, tmp_path)
    fields = ("-Tfields", "-E", "occurrence=a", "-e", "isakmp.exchangetype", "-e", "isakmp.typepayload")
    found = [line.split("\t") for line in tshark(path, tmp_path, "-Y", "isakmp", *fields).splitlines()]
    assert [row[0] for row in found] == ["34", "34", "35", "35", "37", "37"]
    inside = [set(row[1].split(",")) for row in found]
    assert {"33", "34", "40"} <= inside[0] & inside[1]
    assert {"46", "35", "37", "39", "33", "44", "45"} <= inside[2]
    assert {"46", "36", "37", "39", "33", "44", "45"} <= inside[3]
    assert {"46", "42"} <= inside[4]
    assert inside[5] == {"46"}
    assert tshark(path, tmp_path, "-Y", WRONG) == ""
    assert len(tshark(path, tmp_path, "-Y", "esp").splitlines()) == len(relays[-1].seen) - 6
    relays[-1].seen[2] = True, relays[-1].seen[2][1][:-30] + bytes(30)
    capture(relays[-1], path)
    assert len(tshark(path, tmp_path, "-Y", WRONG).splitlines()) == 1, "it does look"
