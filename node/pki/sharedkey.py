"""Peers that prove themselves by a shared secret (RFC 7296 2.15): the secret as it is written in a file, and
the PeerVerifier port for such peers, the only place where a `SharedKeyPeer` is made.

    correct horse battery staple      text, as it is
    0x00112233445566778899aabbccddeeff    hexadecimal
    0sABEiM0RVZneImaq7zN3u/w==            base64

Rules:

1. One secret in a file, in one line: what stands in it is the secret to the last octet, so blanks at its ends
   are refused rather than guessed away.
2. No certificate speaks for the peer: it is judged by its ID alone, and by AUTH.
3. Whoever knows the secret can be every identity that is accepted with it, and be us towards all of them. One
   secret for two parties only is what it is good for.
"""

import base64
import binascii
from collections.abc import Sequence

from node.model.payloads import Identification
from node.model.proof import SharedKeyPeer
from node.model.registry import PayloadType
from node.model.secret import Secret
from node.pki.identity import ExpectedIdentity, identification

#: Octets of a secret, at least: 128 bits, if they are random. Somebody who gets one AUTH, by answering in the
#: place of the responder, can try secrets at home, and a trial costs no more than four hashes (RFC 7296 2.15:
#: a password is no shared secret).
MIN_SECRET_OCTETS = 16
#: More than any PRF has use for.
MAX_SECRET_OCTETS = 1024
#: Octets of the file: a secret in hexadecimal, its prefix, the end of the line.
MAX_FILE_OCTETS = 2 * MAX_SECRET_OCTETS + 4


def read_secret(octets: bytes) -> Secret:
    """The secret in a file of at most MAX_FILE_OCTETS.

    Raises ValueError, which says what to do and shows nothing of the secret.
    """
    secret = _decoded(_line(octets))
    if not MIN_SECRET_OCTETS <= len(secret) <= MAX_SECRET_OCTETS:
        raise ValueError(
            f"has {len(secret)} octets, a shared secret has {MIN_SECRET_OCTETS} to {MAX_SECRET_OCTETS}: "
            "shorter ones can be found by trial from one exchange; write 0x and the output of "
            "`openssl rand -hex 32`"
        )
    return Secret(secret)


def _line(octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise ValueError("is no text; write a secret that is not text as 0x and hexadecimal digits") from None
    line = text.removesuffix("\n").removesuffix("\r")
    if not line.isprintable():
        raise ValueError("has several lines or control characters; write one secret in one line")
    if line != line.strip():
        raise ValueError("has blanks before or after the secret; take them away")
    return line


def _decoded(line: str) -> bytes:
    form, digits = line[:2], line[2:]
    try:
        if form == "0x":
            return binascii.unhexlify(digits)
        if form == "0s":
            return base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        what = "hexadecimal digits, two for each octet" if form == "0x" else "base64"
        raise ValueError(f"begins with {form}, but what follows is not {what}; correct it") from None
    return line.encode()


class SharedKeyVerifier:
    """Judges peers that share a secret with us, for one configured set of identities."""

    def __init__(self, secret: Secret, expected: ExpectedIdentity) -> None:
        self._secret, self._expected = secret, expected

    @property
    def authorities(self) -> bytes | None:
        """None: no certificate is asked for."""
        return None

    @property
    def expected(self) -> Identification | None:
        """The one identity that is accepted, None where there are several."""
        return self._expected.only

    def verify(self, certificates: Sequence[bytes], identity: Identification, /) -> SharedKeyPeer:
        """Judge the ID alone; certificates are not looked at. Raises AuthError (UNEXPECTED_IDENTITY)."""
        self._expected.check(identity)
        return SharedKeyPeer(identity, self._secret)


def own_identification(text: str) -> Identification:
    """Our own ID payload for a configured identity that no certificate has to carry. Raises ValueError."""
    return identification(text, PayloadType.IDI)
