"""What one IKEv2 handshake costs at least: the bare operations of the library, both sides, nothing else.

    python -m bench.primitives [--rounds N] [--json FILE]

One handshake is IKE_SA_INIT and IKE_AUTH with certificates of one CA: MODP-2048 key pairs and exchanges, AUTH
signatures and their verification, the signature of the CA on each certificate, the prf and prf+ calls, and
AES-256-CBC with HMAC-SHA2-256 of IKE_AUTH, sealed and opened once in each direction. Keys, certificates and
public values are loaded before the clock starts: no parsing, no encoding, no checks, no allocation of state.
`bench.setup_rate` asks for other suites as well: X25519, AES-256-GCM, a shared key instead of certificates.

Times are those of this process alone (CPU), so that other work on the machine counts less; each operation
runs once in turn in every round, and the median over the rounds counts.
"""

import argparse
import hashlib
import hmac
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cryptography
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.pair import KEYS, Credentials, credentials
from node.crypto import modp
from node.model.registry import KeId

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric import dh

    _ParameterNumbers = dh.DHParameterNumbers

ROUNDS = 60

#: Octets of the signed AUTH input: an IKE_SA_INIT message, a nonce, a MACed ID, two authentication nonces.
SIGNED_SIZE = 700
#: Octets in IKE_AUTH besides the certificate and the signature.
AUTH_REST = 300
#: What AUTH is made with where there are no certificates: two HMACs, the first over the pad (RFC 7296 2.15).
PSK = "psk"
#: Octets of an IKE_AUTH message with a shared key.
PSK_SIZE = 240
#: HMACs of one side: SKEYSEED, seven blocks of prf+ for SK_*, two MACed IDs, four blocks for KEYMAT.
PRF_CALLS = 14
PRF_INPUT = 112


@dataclass(frozen=True, slots=True)
class Operation:
    """One primitive operation and how often both sides together do it in a handshake."""

    name: str
    times: int
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Row:
    """Median of one operation in microseconds, and the span of the rounds."""

    key: str
    name: str
    times: int
    microseconds: float
    least: float
    most: float

    @property
    def share(self) -> float:
        """Microseconds that it takes in a handshake."""
        return self.times * self.microseconds


def operations(
    key: str, shown: Credentials | None = None, ke: str = "modp2048", cipher: str = "aes256"
) -> tuple[Operation, ...]:
    """The operations of one handshake with keys of this kind: one of `KEYS`, or `PSK`.

    `ke` is modp2048 or x25519, `cipher` aes256 (CBC, with HMAC-SHA2-256) or aes256gcm16.
    """
    proof, size = _shared_key() if key == PSK else _certificates(shown or credentials(key))
    exchange = _modp2048 if ke == "modp2048" else _x25519
    protection = _cbc if cipher == "aes256" else _gcm
    return (*exchange(), *proof, Operation("prf, prf+", 2, _prf), *protection(size))


def _certificates(shown: Credentials) -> tuple[tuple[Operation, ...], int]:
    """Signatures and their verification, and the octets of an IKE_AUTH message with them."""
    signed, own = os.urandom(SIGNED_SIZE), shown.keys["responder"]
    signature = _sign(own, signed)
    leaf = shown.certificates["responder"]
    issuer = shown.authority.public_key()
    size = len(leaf.signature) + len(leaf.tbs_certificate_bytes) + len(signature) + AUTH_REST
    proof = (
        Operation("AUTH: sign", 2, lambda: _sign(own, signed)),
        Operation("AUTH: verify", 2, lambda: _verify(own.public_key(), signature, signed)),
        Operation(
            "certificate: verify", 2, lambda: _verify(issuer, leaf.signature, leaf.tbs_certificate_bytes)
        ),
    )
    return proof, size


def _shared_key() -> tuple[tuple[Operation, ...], int]:
    """AUTH with a shared key: each side computes its own and the peer's."""
    secret, signed = os.urandom(32), os.urandom(SIGNED_SIZE)

    def auth() -> None:
        hmac.digest(hmac.digest(secret, b"Key Pad for IKEv2", "sha256"), signed, "sha256")

    return (Operation("AUTH: two HMACs", 4, auth),), PSK_SIZE


def _modp2048() -> tuple[Operation, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters = _ParameterNumbers(modp.modulus(KeId.MODP_2048), modp.GENERATOR).parameters()
        ours, theirs = parameters.generate_private_key(), parameters.generate_private_key().public_key()
    return (
        Operation("MODP-2048: key pair", 2, parameters.generate_private_key),
        Operation("MODP-2048: exchange", 2, lambda: ours.exchange(theirs)),
    )


def _x25519() -> tuple[Operation, ...]:
    ours, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key()
    return (
        Operation("X25519: key pair", 2, X25519PrivateKey.generate),
        Operation("X25519: exchange", 2, lambda: ours.exchange(theirs)),
    )


def _sign(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, octets: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(octets, ec.ECDSA(hashes.SHA256()))


def _verify(key: object, signature: bytes, octets: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, octets, ec.ECDSA(hashes.SHA256()))


def _prf() -> None:
    key, octets = b"k" * 32, b"d" * PRF_INPUT
    for _ in range(PRF_CALLS):
        hmac.digest(key, octets, "sha256")


def _cbc(size: int) -> tuple[Operation, ...]:
    """Sealing and opening one IKE_AUTH message of about `size` octets with AES-256-CBC and HMAC-SHA2-256."""
    plain, key = bytes(size - size % 16), b"k" * 32
    cipher = Cipher(algorithms.AES(b"k" * 32), modes.CBC(bytes(16)))

    def seal() -> None:
        encryptor = cipher.encryptor()
        hmac.digest(key, encryptor.update(plain) + encryptor.finalize(), hashlib.sha256)

    def unseal() -> None:
        decryptor = cipher.decryptor()
        hmac.digest(key, plain, hashlib.sha256)
        decryptor.update(plain)
        decryptor.finalize()

    return Operation("IKE_AUTH: seal", 2, seal), Operation("IKE_AUTH: open", 2, unseal)


def _gcm(size: int) -> tuple[Operation, ...]:
    """As `_cbc`, with AES-256-GCM."""
    plain, nonce, aad = bytes(size), bytes(12), bytes(32)
    key = AESGCM(b"k" * 32)
    blob = key.encrypt(nonce, plain, aad)
    return (
        Operation("IKE_AUTH: seal", 2, lambda: key.encrypt(nonce, plain, aad)),
        Operation("IKE_AUTH: open", 2, lambda: key.decrypt(nonce, blob, aad)),
    )


def clocked(run: Callable[[], object]) -> float:
    """Seconds of this process that one call takes."""
    started = time.process_time_ns()
    run()
    return (time.process_time_ns() - started) / 1e9


def bare(
    key: str, shown: Credentials | None = None, ke: str = "modp2048", cipher: str = "aes256"
) -> Callable[[], None]:
    """All operations of one handshake, one after the other. Arguments as for `operations`."""
    every = operations(key, shown, ke, cipher)

    def run() -> None:
        for operation in every:
            for _ in range(operation.times):
                operation.run()

    return run


def measure(key: str, rounds: int = ROUNDS, shown: Credentials | None = None) -> list[Row]:
    """Each operation, over interleaved rounds; the first round only warms up."""
    every = operations(key, shown)
    spent: dict[str, list[float]] = {operation.name: [] for operation in every}
    for number in range(rounds + 1):
        for operation in every:
            seconds = clocked(operation.run)
            if number:
                spent[operation.name].append(seconds * 1e6)
    rows = []
    for operation in every:
        times = spent[operation.name]
        figures = (statistics.median(times), min(times), max(times))
        rows.append(Row(key, operation.name, operation.times, *(round(figure, 1) for figure in figures)))
    return rows


def handshake_floor(key: str, rounds: int = ROUNDS, shown: Credentials | None = None) -> float:
    """Seconds that the primitive operations of one handshake take, both sides together."""
    return sum(row.share for row in measure(key, rounds, shown)) / 1e6


def versions() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
        "machine": platform.machine(),
    }


def write(path: Path | None, report: dict[str, object]) -> None:
    """Write a report as JSON, where a file was named."""
    if path is not None:
        path.write_text(json.dumps({**versions(), **report}, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="the least that one IKEv2 handshake can cost")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--key", choices=KEYS, action="append", help="kind of key; repeat for several")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    rows: list[Row] = []
    for key in chosen.key or KEYS:
        found = measure(key, chosen.rounds)
        rows += found
        print(f"{key:12} {'operation':22} {'us':>8} {'times':>5} {'in all':>8}  span")
        for row in found:
            span = f"[{row.least:.1f} .. {row.most:.1f}]"
            print(f"{'':12} {row.name:22} {row.microseconds:8.1f} {row.times:5} {row.share:8.1f}  {span}")
        print(
            f"{'':12} {'one handshake':22} {'':8} {'':5} {sum(row.share for row in found):8.1f}", flush=True
        )
    write(chosen.json, {"rounds": chosen.rounds, "rows": [asdict(row) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
