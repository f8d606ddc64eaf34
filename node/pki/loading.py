"""Certificates from the files of the configuration. Here errors are ours to explain: ValueError with one
clear line.

Nothing here opens files; the caller reads them and names them in front of the message.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

from node.errors import AuthError
from node.pki.certificate import read

#: Octets of a PEM file with certificates: a bundle of some hundred CAs fits.
MAX_PEM_OCTETS = 1024 * 1024

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(_BEGIN + rb"([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")


def load_certificates(pem: bytes) -> tuple[bytes, ...]:
    """The DER of every certificate in a PEM file, in its order, without duplicates; text around them is
    skipped.

    Raises ValueError where there is none, where one cannot be read, or where the file is larger than
    MAX_PEM_OCTETS.
    """
    if len(pem) > MAX_PEM_OCTETS:
        raise ValueError(f"{len(pem)} octets; a PEM file of certificates may have {MAX_PEM_OCTETS}")
    blocks = _BLOCK.findall(pem)
    if not blocks or len(blocks) != pem.count(_BEGIN):
        raise ValueError("no complete certificate (-----BEGIN CERTIFICATE-----) in it; give a PEM file")
    octets = [_decoded(block, number) for number, block in enumerate(blocks, 1)]
    return tuple(dict.fromkeys(octets))


def _decoded(block: bytes, number: int) -> bytes:
    try:
        octets = base64.b64decode(b"".join(block.split()), validate=True)
        read(octets)
    except (binascii.Error, AuthError) as error:
        raise ValueError(f"certificate {number} in it is damaged: {error}") from None
    return octets


def authority_hashes(certificates: Sequence[bytes]) -> bytes:
    """The concatenated SHA-1 hashes (20 octets each) of the CAs' SubjectPublicKeyInfos, as a CERTREQ payload
    of encoding 4 carries them (RFC 7296 3.7). Raises ValueError where a certificate cannot be read."""
    try:
        keys = dict.fromkeys(read(one).spki for one in certificates)
    except AuthError as error:
        raise ValueError(str(error)) from None
    return b"".join(hashlib.sha1(key, usedforsecurity=False).digest() for key in keys)


def matches_key(certificate: bytes, public_key: bytes) -> bool:
    """Whether a certificate is for the key whose SubjectPublicKeyInfo (DER) is given. Raises ValueError where
    the certificate cannot be read."""
    try:
        return hmac.compare_digest(read(certificate).spki, public_key)
    except AuthError as error:
        raise ValueError(str(error)) from None
