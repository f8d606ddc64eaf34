"""Nonces, key shares and the keys made of them: what IKE_SA_INIT and CREATE_CHILD_SA have in common."""

from node.crypto import aead
from node.crypto.keymat import IkeKeys
from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.ike import exchanges
from node.ike.phases import Protection
from node.model.child import DirectionKeys
from node.model.message import Message
from node.model.payloads import Nonce, Notify
from node.model.proposal import Suite
from node.model.registry import KeId, NotifyType
from node.ports import Entropy

#: Octets of our nonces: at least half the key size of every PRF we offer (RFC 7296 2.10).
NONCE_SIZE = 32
NONCE_MIN, NONCE_MAX = 16, 256

#: Octets of the group in INVALID_KE_PAYLOAD (RFC 7296 1.3, 3.4).
GROUP_SIZE = 2


def named_group(refusal: Notify) -> KeId | None:
    """The group that an INVALID_KE_PAYLOAD notification names (RFC 7296 1.2, 1.3), None where it is none."""
    if refusal.notify_type != NotifyType.INVALID_KE_PAYLOAD or len(refusal.data) != GROUP_SIZE:
        return None
    return KeId.of(int.from_bytes(refusal.data))


def nonce_of(message: Message) -> bytes:
    """The nonce of an IKE_SA_INIT message.

    Raises PeerMisbehaved (BAD_NONCE) outside 16 to 256 octets (RFC 7296 3.9).
    """
    nonce = exchanges.required(message, Nonce).data
    if not NONCE_MIN <= len(nonce) <= NONCE_MAX:
        raise PeerMisbehaved(DropReason.BAD_NONCE, f"a nonce of {len(nonce)} octets")
    return nonce


def group_of(suite: Suite) -> KeId:
    """The key exchange method of an IKE suite.

    Raises LocalMisuse where it has none: the configuration checks that.
    """
    if suite.ke is None:
        raise LocalMisuse(f"the IKE suite {suite} has no key exchange method")
    return suite.ke


def protection_of(suite: Suite, keys: IkeKeys, is_initiator: bool, entropy: Entropy) -> Protection:
    """The keys of an IKE SA with the sealers of both directions."""
    of_initiator = aead.sealer(suite.encr, suite.integ, DirectionKeys(keys.sk_ei, keys.sk_ai), entropy)
    of_responder = aead.sealer(suite.encr, suite.integ, DirectionKeys(keys.sk_er, keys.sk_ar), entropy)
    inbound, outbound = (of_responder, of_initiator) if is_initiator else (of_initiator, of_responder)
    return Protection(keys, inbound, outbound)
