"""IKE fragmentation between nodes as processes (RFC 7383), and what is said at start where nothing helps."""

import datetime
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.config import Config, Sources, load
from node.daemon.assembly import settings
from node.daemon.credentials import Credentials, load_anchors, load_chain, load_key, own_identity
from node.wire.rfc7296.codec import Rfc7296Codec
from tests.node.conftest import Spawn, make_credentials, nat_port
from tests.node.test_rfc7296 import PROFILE, WRONG, Relay, capture, keys, needs_tshark, tshark

#: Octets of the headers of IPv4 and UDP.
IPV4_UDP = 28
MARKER = bytes(4)


@pytest.fixture
def relays() -> Iterator[list[Relay]]:
    made: list[Relay] = []
    yield made
    for relay in made:
        relay.close()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def make_chain(directory: Path, name: str, links: int, padding: int = 0) -> dict[str, str]:
    """A root, `links` CAs below it, and a node's certificate behind them, each with `padding` octets more.

    Returns the variables of a node that has them and trusts the root.
    """
    directory.mkdir(parents=True)
    subjects = ["root", *(f"link {n}" for n in range(links)), f"ipsec-{name}"]
    held = [ec.generate_private_key(ec.SECP256R1()) for _ in subjects]
    pems = [_certificate(subjects[0], subjects[0], held[0], held[0], 0, ca=True)]
    for at, (issuer, subject) in enumerate(pairwise(subjects)):
        pems.append(_certificate(subject, issuer, held[at + 1], held[at], padding, ca=at < links))
    (directory / "root.pem").write_bytes(pems[0])
    (directory / "chain.pem").write_bytes(b"".join(reversed(pems[1:])))
    no_password = serialization.NoEncryption()
    key = held[-1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    (directory / "key.pem").write_bytes(key)
    (directory / "key.pem").chmod(0o600)
    return {
        "NODE_CREDENTIALS__CERTIFICATE": str(directory / "chain.pem"),
        "NODE_CREDENTIALS__KEY": str(directory / "key.pem"),
    }


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    padding: int,
    *,
    ca: bool,
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if padding:
        number = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")
        builder = builder.add_extension(x509.UnrecognizedExtension(number, bytes(padding)), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def both(directory: Path, links: int, padding: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """The variables of an initiator and a responder with such chains, each of a root of its own."""
    names = ("initiator", "responder")
    ours, theirs = (make_chain(directory / name, name, links, padding) for name in names)
    roots = directory / "roots.pem"
    roots.write_bytes(b"".join((directory / name / "root.pem").read_bytes() for name in names))
    trust = {"NODE_CREDENTIALS__CA": str(roots)}
    return ours | trust, theirs | trust


def messages(relay: Relay) -> list[tuple[bool, bytes]]:
    """The IKE messages that passed, without the marker; whether to the responder."""
    return [(forth, octets[4:]) for forth, octets in relay.seen if octets.startswith(MARKER)]


@pytest.mark.parametrize(("size", "fragments"), [("1280", 3), ("576", 7)])
def test_a_long_chain_goes_in_fragments_that_fit(
    spawn: Spawn, relays: list[Relay], tmp_path: Path, size: str, fragments: int
) -> None:
    ours, theirs = both(tmp_path, 7)
    one = {**PROFILE, "NODE_IKE__FRAGMENT_SIZE": size}
    responder = spawn("--mode=ipsec-responder", "--port=0", **one, **theirs)
    relays.append(Relay(nat_port(responder)))
    ports = dict.fromkeys(("NODE_PEER__PORT", "NODE_PEER__NAT_PORT"), str(relays[-1].port))
    initiator = spawn("--mode=ipsec-initiator", "--once", **one, **ours, **ports)
    assert initiator.wait() == 0, initiator.errors
    responder.wait_for("ike_sa_deleted")
    for source, target in (initiator, responder), (responder, initiator):
        sent, came = source.wait_for("ike_auth_sent"), target.wait_for("ike_auth_received")
        assert sent["fragments"] == came["fragments"] == fragments
        assert sent["octets"] == came["octets"] > 2_000
        assert f"({sent['octets']} bytes in {fragments} fragments)" in source.errors
        assert "N(IKEV2_FRAGMENTATION_SUPPORTED)" in source.wait_for("ike_sa_init_sent")["payloads"]
        assert "datagram_dropped" not in source.names()
    codec = Rfc7296Codec()
    cut = [octets for _, octets in messages(relays[-1]) if codec.peek(octets).octets[16] == 53]
    assert len(cut) == 2 * fragments
    assert max(len(octets) + len(MARKER) + IPV4_UDP for octets in cut) <= int(size)


def test_one_that_takes_none_gets_none(spawn: Spawn, relays: list[Relay], tmp_path: Path) -> None:
    ours, theirs = both(tmp_path, 5)
    none = {"NODE_IKE__FRAGMENT_SIZE": "0"}
    responder = spawn("--mode=ipsec-responder", "--port=0", **PROFILE, **theirs)
    relays.append(Relay(nat_port(responder)))
    ports = dict.fromkeys(("NODE_PEER__PORT", "NODE_PEER__NAT_PORT"), str(relays[-1].port))
    initiator = spawn("--mode=ipsec-initiator", "--once", **PROFILE, **ours, **ports, **none)
    assert initiator.wait() == 0, initiator.errors
    assert "fragments" not in responder.wait_for("ike_auth_sent")
    assert "fragments" not in initiator.wait_for("ike_auth_sent")
    assert "N(IKEV2_FRAGMENTATION_SUPPORTED)" not in initiator.wait_for("ike_sa_init_sent")["payloads"]


@needs_tshark
def test_tshark_joins_them_too(spawn: Spawn, relays: list[Relay], tmp_path: Path) -> None:
    suite = "aes256gcm16-prfsha256-x25519"
    logs = [tmp_path / "i", tmp_path / "r"]
    ours, theirs = both(tmp_path, 7)
    one = {**PROFILE, "NODE_IKE__PROPOSALS": f"[{suite}]"}
    responder = spawn("--mode=ipsec-responder", "--port=0", **one, **theirs, NODE_KEYLOG__FILE=str(logs[1]))
    relays.append(Relay(nat_port(responder)))
    ports = dict.fromkeys(("NODE_PEER__PORT", "NODE_PEER__NAT_PORT"), str(relays[-1].port))
    initiator = spawn(
        "--mode=ipsec-initiator", "--once", **one, **ours, **ports, NODE_KEYLOG__FILE=str(logs[0])
    )
    assert initiator.wait() == 0, initiator.errors
    responder.wait_for("ike_sa_deleted")
    path = tmp_path / "capture.pcap"
    capture(relays[-1], path)
    keys(logs, suite, tmp_path)
    assert tshark(path, tmp_path, "-Y", WRONG) == ""
    fields = ("-Tfields", "-E", "occurrence=a", "-e", "isakmp.typepayload")
    found = tshark(path, tmp_path, "-Y", "isakmp.exchangetype == 35", *fields).splitlines()
    inside = [set(line.split(",")) for line in found]
    assert len(inside) == 6
    assert {"53", "35", "37", "39", "33", "44", "45"} <= set().union(*inside[:3])
    assert {"53", "36", "37", "39", "33", "44", "45"} <= set().union(*inside[3:])


def test_asn1_has_none(spawn: Spawn) -> None:
    """docs/ipseclab.asn1: the profile does not fragment, whatever the setting says."""
    one = {"NODE_IKE__FRAGMENT_SIZE": "576"}
    responder = spawn("--mode=ipsec-responder", "--port=0", **one)
    port = {"NODE_PEER__PORT": str(nat_port(responder))}
    initiator = spawn("--mode=ipsec-initiator", "--once", **one, **port)
    assert initiator.wait() == 0, initiator.errors
    for node in (initiator, responder):
        sent = node.wait_for("ike_auth_sent")
        assert sent["octets"] > 576
        assert "fragments" not in sent
        assert "N(IKEV2_FRAGMENTATION_SUPPORTED)" not in node.wait_for("ike_sa_init_sent")["payloads"]


# -- too much for a message ----------------------------------------------------------------------------------


def test_a_chain_that_no_datagram_holds_is_refused_at_start(spawn: Spawn, tmp_path: Path) -> None:
    variables = make_chain(tmp_path / "r", "responder", 2, 3_500)
    trust = {"NODE_CREDENTIALS__CA": str(tmp_path / "r" / "root.pem")}
    none = {"NODE_IKE__FRAGMENT_SIZE": "0"}
    node = spawn("--mode=ipsec-responder", "--port=0", **PROFILE, **variables, **trust, **none)
    assert node.wait() == 4
    detail = node.wait_for("node_failed")["detail"]
    assert detail.startswith(f"credentials.certificate: {tmp_path}/r/chain.pem: 3 certificates of 11")
    assert "with ike.fragment_size 0: set that to 1280, or give fewer or smaller certificates" in detail


def test_a_chain_that_no_32_fragments_hold_is_refused_at_start(spawn: Spawn, tmp_path: Path) -> None:
    variables = make_chain(tmp_path / "r", "responder", 3, 4_500)
    trust = {"NODE_CREDENTIALS__CA": str(tmp_path / "r" / "root.pem")}
    small = {"NODE_IKE__FRAGMENT_SIZE": "576"}
    node = spawn("--mode=ipsec-responder", "--port=0", **PROFILE, **variables, **trust, **small)
    assert node.wait() == 4
    assert "with ike.fragment_size 576: raise it, or give" in node.wait_for("node_failed")["detail"]


def test_a_peer_that_takes_no_fragments_does_not_end_the_node(
    spawn: Spawn, relays: list[Relay], tmp_path: Path
) -> None:
    """The chain is good for others: the IKE SA fails with the reason, and the node goes on."""
    ours, theirs = both(tmp_path, 2, 3_500)
    small = make_chain(tmp_path / "small", "responder", 0)
    roots = tmp_path / "all.pem"
    roots.write_bytes((tmp_path / "roots.pem").read_bytes() + (tmp_path / "small" / "root.pem").read_bytes())
    trust = {"NODE_CREDENTIALS__CA": str(roots)}
    none = {"NODE_IKE__FRAGMENT_SIZE": "0"}
    responder = spawn("--mode=ipsec-responder", "--port=0", **PROFILE, **theirs | trust | small, **none)
    port = dict.fromkeys(("NODE_PEER__PORT", "NODE_PEER__NAT_PORT"), str(nat_port(responder)))
    initiator = spawn("--mode=ipsec-initiator", "--once", **PROFILE, **ours | trust, **port)
    assert initiator.wait() == 1
    reason = initiator.wait_for("ike_sa_failed")["reason"]
    assert "octets, above 10000: use smaller certificates or fewer of them" in reason


# -- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "size", "mtu"),
    [
        ("rfc7296", "1280", 1280 - 40 - 8 - 4),
        ("rfc7296", "576", 576 - 40 - 8 - 4),
        ("rfc7296", "0", 0),
        ("asn1", "1280", 0),
        ("asn1", "0", 0),
    ],
)
def test_what_the_transport_puts_in_front_counts(tmp_path: Path, profile: str, size: str, mtu: int) -> None:
    """RFC 7383 2.5.1 speaks of IP datagrams: header of IPv6, UDP, and the marker."""
    assert settings(*_loaded(tmp_path, profile, size)).mtu == mtu


def _loaded(directory: Path, profile: str, size: str) -> tuple[Config, Credentials]:
    certs = directory / "certs"
    make_credentials(certs)
    variables = {"NODE_ROLE": "responder", "NODE_PROFILE": profile, "NODE_IKE__FRAGMENT_SIZE": size}
    found = load(Sources(environment=variables))
    files = {"ca": "ca-cert.pem", "certificate": "responder-cert.pem", "key": "responder-key.pem"}
    paths = {name: str(certs / file) for name, file in files.items()}
    config = replace(found, credentials=replace(found.credentials, **paths))  # type: ignore[arg-type]
    chain = load_chain(config)
    key, identity = load_key(config, chain[0]), own_identity(config, chain[0])
    return config, Credentials(identity, key, chain, load_anchors(config))
