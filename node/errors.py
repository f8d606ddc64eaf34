"""Errors that carry blame. Nothing a peer sends raises anything but these.

    IkeError
     +- DecodeError       bad octets
     +- IntegrityError    the ICV failed: always silent, never changes state
     +- PeerMisbehaved    legal octets, illegal behaviour
     +- PeerIncompatible  no common proposal, selector, identity or method
     +- AuthError         signature, chain or identity refused
     +- LocalMisuse       our caller's bug; never caused by a peer

What the peer is told about an error is decided in one place, `node.ike.refusals`.
"""

from enum import StrEnum


class DropReason(StrEnum):
    """Why a datagram or an inner packet was discarded. Counters, events and tests share these names."""

    # before anything is authenticated
    TRUNCATED = "truncated"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    NOT_CANONICAL = "not_canonical"
    STOPPING = "stopping"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNKNOWN_EXCHANGE = "unknown_exchange"
    UNKNOWN_SPI = "unknown_spi"
    WRONG_DIRECTION = "wrong_direction"
    UNEXPECTED_MESSAGE = "unexpected_message"
    BAD_SPI = "bad_spi"
    BAD_KE = "bad_ke"
    BAD_NONCE = "bad_nonce"
    BAD_COOKIE = "bad_cookie"
    REFLECTED = "reflected"
    HALF_OPEN_LIMIT = "half_open_limit"
    HALF_OPEN_SOURCE_LIMIT = "half_open_source_limit"
    COOKIE_REQUIRED = "cookie_required"
    SA_LIMIT = "sa_limit"
    RATE_LIMITED = "rate_limited"
    NOT_PROTECTED = "not_protected"
    INCOMPATIBLE = "incompatible"
    BAD_ICV = "bad_icv"
    # after it
    STALE_MESSAGE_ID = "stale_message_id"
    OUT_OF_WINDOW = "out_of_window"
    INVALID_PAYLOADS = "invalid_payloads"
    CRITICAL_PAYLOAD = "critical_payload"
    # fragments of a message (RFC 7383)
    FRAGMENT_REPEATED = "fragment_repeated"
    FRAGMENT_CONFLICT = "fragment_conflict"
    FRAGMENT_LIMIT = "fragment_limit"
    FRAGMENTS_INCOMPLETE = "fragments_incomplete"
    # ESP and inner packets
    ESP_TRUNCATED = "esp_truncated"
    ESP_UNKNOWN_SPI = "esp_unknown_spi"
    ESP_REPLAYED = "esp_replayed"
    ESP_STALE = "esp_stale"
    ESP_BAD_ICV = "esp_bad_icv"
    ESP_BAD_PADDING = "esp_bad_padding"
    ESP_DUMMY = "esp_dummy"
    ESP_BAD_NEXT_HEADER = "esp_bad_next_header"
    ESP_BAD_ECN = "esp_bad_ecn"
    ESP_SEQUENCE_EXHAUSTED = "esp_sequence_exhausted"
    INNER_MALFORMED = "inner_malformed"
    INNER_SELECTOR_MISMATCH = "inner_selector_mismatch"
    NO_SA = "no_sa"
    PACKET_TOO_BIG = "packet_too_big"
    TUN_QUEUE_FULL = "tun_queue_full"


class IkeError(Exception):
    """Base of everything this package raises about a peer or its messages."""


class DecodeError(IkeError):
    """Octets that are not a message of the profile.

    `reason` is the drop reason, `path` names the element (`sa/proposals[1]/transforms[0]`), `offset` is in
    octets from the start of the element that was read, or None where the library does not tell.
    `authenticated` is True where the octets had passed the integrity check: then the peer itself is to blame,
    and may be told.
    """

    def __init__(
        self,
        reason: DropReason,
        path: str,
        detail: str = "",
        offset: int | None = None,
        *,
        authenticated: bool = False,
    ) -> None:
        self.reason, self.path, self.detail, self.offset = reason, path, detail, offset
        self.authenticated = authenticated
        place = path if offset is None else f"{path} at octet {offset}"
        super().__init__(f"{reason} in {place}" + (f": {detail}" if detail else ""))


class IntegrityError(IkeError):
    """An ICV or tag did not verify. One error for every cause, so that nothing can be learned from it."""

    def __init__(self) -> None:
        super().__init__("the integrity check failed")


class PeerMisbehaved(IkeError):
    """Well-formed octets that break a rule; `reason` is the drop reason they count under."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class CriticalPayload(PeerMisbehaved):
    """An unknown payload with the critical bit set (RFC 7296 2.5); `payload_type` is its number."""

    def __init__(self, payload_type: int) -> None:
        self.payload_type = payload_type
        super().__init__(DropReason.CRITICAL_PAYLOAD, f"unknown critical payload of type {payload_type}")


class Incompatibility(StrEnum):
    """What could not be agreed on."""

    PROPOSAL = "no_proposal_chosen"
    KEY_EXCHANGE = "invalid_ke_payload"
    SELECTORS = "ts_unacceptable"
    ADDRESS = "internal_address_failure"
    CONFIGURATION = "failed_cp_required"


class PeerIncompatible(IkeError):
    """No common ground; `what` says about what, `data` goes into the notification (the wanted KE method)."""

    def __init__(self, what: Incompatibility, detail: str, data: bytes = b"") -> None:
        self.what, self.data = what, data
        super().__init__(detail)


class AuthFailure(StrEnum):
    """Why a peer was not authenticated.

    The peer is only told AUTHENTICATION_FAILED; logs and tests see this.
    """

    NO_CERTIFICATE = "no_certificate"
    MALFORMED_CERTIFICATE = "malformed_certificate"
    WEAK_KEY = "weak_key"
    UNTRUSTED_ISSUER = "untrusted_issuer"
    BAD_CERTIFICATE_SIGNATURE = "bad_certificate_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    NOT_A_CA = "not_a_ca"
    KEY_USAGE = "key_usage"
    PATH_LENGTH = "path_length"
    NAME_CONSTRAINTS = "name_constraints"
    UNKNOWN_CRITICAL_EXTENSION = "unknown_critical_extension"
    POLICY = "policy"
    IDENTITY_MISMATCH = "identity_mismatch"
    UNEXPECTED_IDENTITY = "unexpected_identity"
    BAD_SIGNATURE = "bad_signature"
    WRONG_SHARED_KEY = "wrong_shared_key"
    UNSUPPORTED_METHOD = "unsupported_method"
    BAD_AUTH_NONCE = "bad_auth_nonce"
    REFUSED_BY_PEER = "refused_by_peer"


class AuthError(IkeError):
    """The peer is not who it says, or cannot show it.

    `failure` is the stable reason; the text says what was looked for and what was found.
    """

    def __init__(self, failure: AuthFailure, detail: str) -> None:
        self.failure = failure
        super().__init__(detail)


class LocalMisuse(IkeError):
    """A call that our own code must not make."""


class MessageTooLarge(LocalMisuse):
    """A message of ours that the profile cannot send to this peer, with what the configuration puts into it.

    What needs the message must fail then, not the node.
    """
