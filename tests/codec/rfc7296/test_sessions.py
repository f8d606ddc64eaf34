"""Recorded sessions of real daemons: every message is read, opened with its keys, and written again.

IPSECLAB_WIRESHARK_SESSIONS names a JSON file with the IKEv2 sessions of Wireshark's own test captures: raw
messages, SK_ keys, and the plaintext of each SK payload. They are under the GPL and not part of this project.
Ciphers that `node.crypto` does not offer are made here, of the library.
"""

import hmac
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, GCM

from node.crypto.aead import sealer
from node.errors import IntegrityError
from node.model.child import DirectionKeys
from node.model.message import HeaderFlags, Message, Sealed
from node.model.payloads import Authentication
from node.model.proposal import Transform
from node.model.registry import EncrId, IntegId, TransformType
from node.model.secret import Secret
from node.ports import Sealer
from node.wire.rfc7296.codec import Rfc7296Codec

CODEC = Rfc7296Codec()
NAME = "IPSECLAB_WIRESHARK_SESSIONS"
#: SK_ payloads begin behind the IKE header and a generic header.
PLAIN_AT = 32


@dataclass(slots=True)
class Opener:
    """A ports.Sealer that only opens: `decrypt` takes IV, ciphertext, ICV and associated data."""

    block: int
    iv_size: int
    icv_size: int
    decrypt: Callable[[bytes, bytes, bytes, bytes], bytes]

    def sealed_len(self, plain_len: int, /) -> int:
        return self.iv_size + plain_len + self.icv_size

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        raise NotImplementedError

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        end = len(blob) - self.icv_size
        return self.decrypt(blob[: self.iv_size], blob[self.iv_size : end], blob[end:], aad)


def ccm(key: bytes, icv_size: int) -> Opener:
    """RFC 5282 with a salt of three octets."""
    cipher = AESCCM(key[:-3], icv_size)
    return Opener(1, 8, icv_size, lambda iv, text, icv, aad: cipher.decrypt(key[-3:] + iv, text + icv, aad))


def gcm(key: bytes, icv_size: int) -> Opener:
    """RFC 5282 with a truncated tag."""

    def decrypt(iv: bytes, text: bytes, icv: bytes, aad: bytes) -> bytes:
        mode = GCM(key[-4:] + iv, icv, min_tag_length=icv_size)
        decryptor = Cipher(AES(key[:-4]), mode).decryptor()
        decryptor.authenticate_additional_data(aad)
        return decryptor.update(text) + decryptor.finalize()

    return Opener(1, 8, icv_size, decrypt)


def with_hmac(
    decryptor_of: Callable[[bytes], CipherContext], sizes: tuple[int, int, int], integ: bytes, digest: str
) -> Opener:
    """A decryptor made for each IV, and an HMAC that is cut to the ICV (RFC 7296 3.14)."""
    block, iv_size, icv_size = sizes

    def decrypt(iv: bytes, text: bytes, icv: bytes, aad: bytes) -> bytes:
        if not hmac.compare_digest(hmac.digest(integ, aad + iv + text, digest)[:icv_size], icv):
            raise IntegrityError
        decryptor = decryptor_of(iv)
        return decryptor.update(text) + decryptor.finalize()

    return Opener(block, iv_size, icv_size, decrypt)


def ctr(key: bytes, iv: bytes) -> CipherContext:
    """RFC 5930: the key ends with a nonce of four octets, the counter begins at 1."""
    return Cipher(AES(key[:-4]), CTR(key[-4:] + iv + b"\0\0\0\1")).decryptor()


def triple_des(key: bytes, iv: bytes) -> CipherContext:
    return Cipher(TripleDES(key), CBC(iv)).decryptor()


def ours(number: EncrId, integ: IntegId, bits: int, key: bytes, integ_key: bytes) -> Sealer:
    keys = DirectionKeys(Secret(key), Secret(integ_key))
    return sealer(Transform(TransformType.ENCR, number, bits), integ, keys, os.urandom)


def opener_of(file: str, key: bytes, integ: bytes) -> Sealer:
    """What opens the messages of a session in one direction."""
    match Path(file).stem.removeprefix("ikev2-decrypt-"):
        case "aes256cbc":
            return ours(EncrId.ENCR_AES_CBC, IntegId.AUTH_HMAC_SHA2_256_128, 256, key, integ)
        case "aes256gcm16":
            return ours(EncrId.ENCR_AES_GCM_16, IntegId.NONE, 256, key, integ)
        case "aes256gcm8":
            return gcm(key, 8)
        case "aes256ccm16":
            return ccm(key, 16)
        case "aes128ccm12":
            return ccm(key, 12)
        case "aes128ccm12-2":
            # The table calls it AES-CTR with a nonce of four octets: the flags octet of CCM, and the salt.
            return ccm(key[:16] + key[17:], 12)
        case "aes192ctr":
            return with_hmac(lambda iv: ctr(key, iv), (1, 8, 32), integ, "sha512")
        case "3des-sha1_160":
            return with_hmac(lambda iv: triple_des(key, iv), (8, 8, 20), integ, "sha1")
        case other:
            raise LookupError(other)


def sessions() -> list[dict[str, Any]]:
    path = os.environ.get(NAME)
    return json.loads(Path(path).read_text())["sessions"] if path else []


SESSIONS = sessions()
needed = pytest.mark.skipif(not SESSIONS, reason=f"{NAME} names no file of recorded sessions")


def openers(session: dict[str, Any]) -> dict[bool, Sealer]:
    """By whether the sender is the original initiator."""
    keys = {name: bytes.fromhex(session[f"sk_{name}"]) for name in ("ei", "er", "ai", "ar")}
    return {
        True: opener_of(session["file"], keys["ei"], keys["ai"]),
        False: opener_of(session["file"], keys["er"], keys["ar"]),
    }


def resealed(message: Message) -> Sealed:
    """The payloads of a message, written as cleartext."""
    return CODEC.seal(message.header, message.payloads, None, 0)


@needed
@pytest.mark.parametrize("session", SESSIONS, ids=[s["file"] for s in SESSIONS])
def test_a_session_is_read_opened_and_written_again(session: dict[str, Any]) -> None:
    by_sender = openers(session)
    found = []
    for recorded in session["messages"]:
        octets = bytes.fromhex(recorded["raw"])
        envelope = CODEC.peek(octets)
        header = envelope.header
        assert (header.exchange, header.flags) == (recorded["exchange"], recorded["flags"])
        assert (header.message_id, header.spi_i.hex()) == (recorded["message_id"], session["spi_i"])
        if not envelope.protected:
            assert resealed(CODEC.read(envelope)).octets == octets
            continue
        sender = bool(header.flags & HeaderFlags.INITIATOR)
        message = CODEC.open(envelope, by_sender[sender])
        assert isinstance(message, Message)
        plain = bytes.fromhex(recorded["plaintext_with_padding"])
        assert plain.startswith(message.inner)
        assert len(plain) - len(message.inner) == 1 + plain[-1]
        assert resealed(message).octets[28:] == message.inner
        found += [p for p in message.payloads if isinstance(p, Authentication)]
    assert session["wireshark_expected_auth_data"] in {payload.data.hex() for payload in found}


@needed
@pytest.mark.parametrize("session", SESSIONS, ids=[s["file"] for s in SESSIONS])
def test_no_recorded_message_opens_with_a_bit_changed(session: dict[str, Any]) -> None:
    by_sender = openers(session)
    octets = bytes.fromhex(session["messages"][3]["raw"])
    for at in range(8 * PLAIN_AT, 8 * len(octets), 7):
        changed = (int.from_bytes(octets) ^ 1 << (8 * len(octets) - 1 - at)).to_bytes(len(octets))
        with pytest.raises((IntegrityError, InvalidTag)):
            CODEC.open(CODEC.peek(changed), by_sender[False])


@needed
def test_all_eight_sessions_are_there() -> None:
    assert len(SESSIONS) == 8
