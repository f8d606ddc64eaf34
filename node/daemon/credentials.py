"""Certificates, private key and shared secret from the configured files.

Rules:

1. A private key or shared secret that somebody else could read is refused, whatever else is right; so is a
   CA file that everybody could change.
2. Key, certificate and identity must belong together: better now than as AUTHENTICATION_FAILED at the peer.
3. The key's octets live only inside the signer, those of the secret only inside a `Secret`.
4. What is not needed is not read: a node that uses a shared secret in both directions has no certificates.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from node.config import Auth, Config
from node.crypto.signature import KeySigner, load_signer
from node.daemon.failure import StartError
from node.eventlog import EventLog
from node.model.events import EventName
from node.model.payloads import Identification
from node.model.registry import PayloadType
from node.model.secret import Secret
from node.pki.certificate import read
from node.pki.identity import describe, identity_of, local_identification
from node.pki.loading import MAX_PEM_OCTETS, load_certificates, matches_key
from node.pki.sharedkey import MAX_FILE_OCTETS, own_identification, read_secret

#: Octets of a PEM key: RSA-16384 has below 13,000.
MAX_KEY_OCTETS = 64 * 1024
#: Judges owner and mode of an open file. Raises StartError.
Check = Callable[[str, os.stat_result], None]

#: Certificates that we send and their octets: peers accept no more, and a message is one datagram.
MAX_CHAIN, MAX_CHAIN_OCTETS = 10, 48 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we present and whom we trust.

    `chain` is our certificate, then intermediate CAs; empty where `signer` is the shared secret. `psk` is
    what the peer must know, None where it is to show a certificate below one of `anchors`.
    """

    identity: Identification
    signer: KeySigner | Secret
    chain: tuple[bytes, ...] = ()
    anchors: tuple[bytes, ...] = ()
    psk: Secret | None = None

    @property
    def identity_text(self) -> str:
        """Our identity as people write it."""
        return describe(self.identity.id_type, self.identity.data)


def load(config: Config, log: EventLog) -> Credentials:
    """Everything that the configuration needs, and no other file. Raises StartError."""
    anchors = () if config.peer.auth is Auth.PSK else load_anchors(config)
    if config.local.auth is Auth.PSK:
        secret = load_psk(config, log)
        identity = _configured_identity(config)
        if anchors:
            log.emit(EventName.AUTHORITIES_LOADED, file=config.credentials.ca, authorities=len(anchors))
        theirs = secret if config.peer.auth is Auth.PSK else None
        return Credentials(identity, secret, anchors=anchors, psk=theirs)
    chain = load_chain(config)
    identity = own_identity(config, chain[0])
    _tell_certificate(config, chain[0], len(anchors), log)
    signer = load_key(config, chain[0])
    shown = describe(identity.id_type, identity.data)
    log.emit(EventName.PRIVATE_KEY_LOADED, file=config.credentials.key, identity=shown)
    theirs = load_psk(config, log) if config.peer.auth is Auth.PSK else None
    return Credentials(identity, signer, chain, anchors, theirs)


def _tell_certificate(config: Config, certificate: bytes, authorities: int, log: EventLog) -> None:
    outline = read(certificate)
    log.emit(
        EventName.CERTIFICATE_LOADED,
        file=config.credentials.certificate,
        subject=str(outline.subject),
        issuer=str(outline.issuer),
        not_after=outline.parsed.not_valid_after_utc.isoformat(),
        authorities=authorities,
    )


def load_psk(config: Config, log: EventLog) -> Secret:
    """The secret that we share with the peer. Raises StartError."""
    path = config.credentials.psk
    try:
        secret = read_secret(_read(path, "credentials.psk", MAX_FILE_OCTETS, _check_secret))
    except ValueError as error:
        raise StartError(f"credentials.psk: {path}: {error}") from error
    auth = {"local": config.local.auth is Auth.PSK, "remote": config.peer.auth is Auth.PSK}
    log.emit(EventName.PSK_LOADED, file=path, identity=config.local.identity or None, **auth)
    return secret


def load_anchors(config: Config) -> tuple[bytes, ...]:
    """The trusted CA certificates. Raises StartError."""
    return _certificates(config.credentials.ca, "credentials.ca", _check_trusted)


def load_chain(config: Config) -> tuple[bytes, ...]:
    """Our certificate and what stands behind it in the file. Raises StartError."""
    path = config.credentials.certificate
    chain = _certificates(path, "credentials.certificate")
    octets = sum(len(certificate) for certificate in chain)
    if len(chain) > MAX_CHAIN or octets > MAX_CHAIN_OCTETS:
        raise StartError(
            f"credentials.certificate: {path}: {len(chain)} certificates of {octets} octets; a message holds "
            f"{MAX_CHAIN} of {MAX_CHAIN_OCTETS} octets: give our certificate and the intermediate CAs only"
        )
    return chain


def load_key(config: Config, certificate: bytes) -> KeySigner:
    """The private key, which must be that of the certificate unless a lesson allows otherwise.

    Raises StartError.
    """
    path = config.credentials.key
    try:
        signer = load_signer(
            read_key(path), pss=config.local.rsa_pss, sha1=config.local.sha1, certified=read(certificate).spki
        )
        matches = matches_key(certificate, signer.public_key)
    except ValueError as error:
        raise StartError(f"credentials.key: {path}: {error}") from error
    if not matches and not config.credentials.allow_mismatch:
        raise StartError(
            f"credentials.key: {path}: is not the key of {config.credentials.certificate}; "
            "give the pair that was issued together"
        )
    return signer


def own_identity(config: Config, certificate: bytes) -> Identification:
    """Our ID payload: configured, or the certificate's own.

    Raises StartError where it is not in the certificate.
    """
    try:
        text = config.local.identity or identity_of(certificate)
        return local_identification(text, certificate, PayloadType.IDI)
    except ValueError as error:
        raise StartError(f"local.identity: {config.credentials.certificate}: {error}") from error


def _configured_identity(config: Config) -> Identification:
    try:
        return own_identification(config.local.identity)
    except ValueError as error:
        raise StartError(f"local.identity: {error}") from error


def read_key(path: str) -> bytes:
    """The octets of a key file that only its owner, who is us or root, can read. Raises StartError."""
    return _read(path, "credentials.key", MAX_KEY_OCTETS, _check_private)


def _check_trusted(path: str, found: os.stat_result) -> None:
    if found.st_mode & stat.S_IWOTH:
        mode = stat.S_IMODE(found.st_mode)
        raise StartError(
            f"credentials.ca: {path}: mode {mode:04o} lets everybody change whom we trust; "
            f"run: chmod o-w {path}"
        )


def _check_private(path: str, found: os.stat_result) -> None:
    _check_own(path, found, "credentials.key", "the key")


def _check_secret(path: str, found: os.stat_result) -> None:
    _check_own(path, found, "credentials.psk", "the shared secret")


def _check_own(path: str, found: os.stat_result, setting: str, what: str) -> None:
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise StartError(
            f"{setting}: {path}: mode {mode:04o} lets others read {what}; run: chmod 0600 {path}"
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise StartError(
            f"{setting}: {path}: belongs to uid {found.st_uid}, not to us (uid {os.geteuid()}); "
            f"run: chown {os.geteuid()} {path}"
        )


def _read(path: str, setting: str, most: int, check: Check) -> bytes:
    """A regular file of at most `most` octets; what was checked is what is read."""
    try:
        # Without O_NONBLOCK a FIFO in the place of a file would hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StartError(_unreadable(setting, path, error)) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StartError(f"{setting}: {path}: is no regular file; set the path of a file")
        check(path, found)
        # Only now: a directory cannot even be made a file object.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            octets = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(octets) > most:
        raise StartError(f"{setting}: {path}: is larger than {most} octets")
    return octets


def _certificates(path: str, setting: str, check: Check = lambda *_: None) -> tuple[bytes, ...]:
    try:
        return load_certificates(_read(path, setting, MAX_PEM_OCTETS, check))
    except ValueError as error:
        raise StartError(f"{setting}: {path}: {error}") from error


def _unreadable(setting: str, path: str, error: OSError) -> str:
    kind = "file with one line" if setting == "credentials.psk" else "PEM file"
    remedy = {
        FileNotFoundError: "issue it with `python -m ca`, or set the right path",
        PermissionError: f"make it readable for uid {os.geteuid()}",
    }.get(type(error), f"give a {kind}")
    return f"{setting}: {path}: {error.strerror}; {remedy}"
