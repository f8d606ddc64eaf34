"""Two endpoints with real certificates, and the datagrams carried between them by hand."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node.crypto.signature import load_signer
from node.crypto.suites import esp_suite, ike_suite
from node.daemon.assembly import PROFILES
from node.errors import IkeError
from node.esp.sad import Sad
from node.ike.endpoint import Endpoint
from node.ike.outputs import (
    Dropped,
    InstallInbound,
    InstallOutbound,
    Output,
    RemoveOutbound,
    RemoveSa,
    Transmit,
)
from node.ike.settings import Settings
from node.model.message import Path
from node.model.registry import PayloadType
from node.model.selectors import network
from node.pki.identity import ExpectedIdentity, local_identification
from node.pki.verifier import CertificateVerifier

KEYS = ("rsa2048", "rsa4096", "ecdsa-p256")
NAMES = ("initiator", "responder")
PATHS = {
    "initiator": Path("192.0.2.1", 8000, "192.0.2.2", 8000),
    "responder": Path("192.0.2.2", 8000, "192.0.2.1", 8000),
}
FOUNDING_SUITE = "aes256-sha256-modp2048"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_key(kind: str) -> PrivateKey:
    """A fresh key of one of `KEYS`."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True, slots=True)
class Credentials:
    """The CA with its key, and the certificate and key of each node."""

    authority: x509.Certificate
    root: PrivateKey
    certificates: dict[str, x509.Certificate]
    keys: dict[str, PrivateKey]


def credentials(kind: str) -> Credentials:
    """A CA and both nodes, all with keys of this kind, as the lab's CA issues them."""
    root = private_key(kind)
    authority = _certificate("Bench CA", root, None, root)
    keys = {name: private_key(kind) for name in NAMES}
    return reissued(Credentials(authority, root, {}, keys))


def reissued(shown: Credentials) -> Credentials:
    """The same keys with new certificates, which nobody has seen."""
    pairs = shown.keys.items()
    fresh = {name: _certificate(name, key, shown.authority, shown.root) for name, key in pairs}
    return replace(shown, certificates=fresh)


def _certificate(
    name: str, key: PrivateKey, issuer: x509.Certificate | None, issuer_key: PrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    authority = issuer is None
    now = datetime.now(UTC)
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    if issuer is not None:
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = builder.add_extension(signer, False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
    return builder.sign(issuer_key, hashes.SHA256())


def endpoint(
    name: str,
    shown: Credentials,
    ike: str = FOUNDING_SUITE,
    profile: str = "asn1",
    child: str = "aes256-sha256",
) -> Endpoint:
    """The engine of one node, on one of `node.daemon.assembly.PROFILES`."""
    wire = PROFILES[profile]
    certificate = shown.certificates[name].public_bytes(Encoding.DER)
    pem = shown.keys[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    peer = next(other for other in NAMES if other != name)
    identity = local_identification(f"fqdn:{name}", certificate, PayloadType.IDI)
    near, far = network("10.9.1.0/24"), network("10.9.2.0/24")
    settings = Settings(
        local_id_type=identity.id_type,
        local_id=identity.data,
        ike_suites=(ike_suite(ike),),
        child_suites=(esp_suite(child),),
        local_ts=(near if name == "initiator" else far,),
        peer_ts=(far if name == "initiator" else near,),
        authentication_nonce=wire.authentication_nonce,
        reserved_spi_octets=wire.reserved_spi_octets,
        assumed_hashes=wire.assumed_hashes,
    )
    verifier = CertificateVerifier(
        (shown.authority.public_bytes(Encoding.DER),),
        ExpectedIdentity.of(f"fqdn:{peer}"),
        lambda: datetime.now(UTC),
    )
    return Endpoint(settings, wire.codec(), load_signer(pem), verifier, (certificate,), os.urandom)


def take(source: Endpoint, sad: Sad | None = None) -> list[bytes]:
    """The datagrams that the endpoint sends; Child SAs go into `sad`, other outputs are read and let go.

    Raises IkeError where it dropped a datagram: nothing here is lost or forged.
    """
    sent: list[bytes] = []
    while (output := source.poll()) is not None:
        if isinstance(output, Transmit):
            sent.extend(output.datagrams)
        elif isinstance(output, Dropped):
            raise IkeError(f"a datagram was dropped: {output.reason}: {output.detail}")
        elif sad is not None:
            _install(output, sad)
    return sent


def _install(output: Output, sad: Sad) -> None:
    if isinstance(output, InstallInbound):
        sad.add_inbound(output.child)
    elif isinstance(output, InstallOutbound):
        sad.add_outbound(output.child)
    elif isinstance(output, RemoveOutbound):
        sad.remove_outbound(output.inbound_spi)
    elif isinstance(output, RemoveSa):
        sad.remove(output.inbound_spi)


def carry(initiator: Endpoint, responder: Endpoint, now: float) -> None:
    """Carry datagrams, beginning with the initiator's, until nobody sends any."""
    sender, receiver, name = initiator, responder, "responder"
    while datagrams := take(sender):
        for octets in datagrams:
            receiver.handle_datagram(octets, PATHS[name], now)
        sender, receiver = receiver, sender
        name = next(other for other in NAMES if other != name)


def handshake(initiator: Endpoint, responder: Endpoint, now: float = 0.0) -> bytes:
    """IKE_SA_INIT and IKE_AUTH, both sides; returns the initiator's SPI."""
    spi = initiator.initiate(PATHS["initiator"], now)
    carry(initiator, responder, now)
    return spi
