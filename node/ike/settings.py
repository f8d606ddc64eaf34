"""What an endpoint is configured with: values only, decided before the first datagram."""

from dataclasses import dataclass, field

from node.model.child import REPLAY_WINDOW, ModeWish, Padding
from node.model.proposal import Suite
from node.model.registry import HashId, IdType
from node.model.selectors import IPAddress, IPNetwork, TrafficSelector

#: What our signatures use and what we accept in a peer's: SHA-256 or better, and the hash built into EdDSA.
SIGNATURE_HASHES = (HashId.SHA2_256, HashId.SHA2_384, HashId.SHA2_512, HashId.IDENTITY)


@dataclass(frozen=True, slots=True)
class Retransmission:
    """When a request without a response is sent again (RFC 7296 2.4), in seconds.

    The n-th repetition waits `timeout * factor ** n`, at most `cap`, times a random factor between 1 -
    `jitter` and 1 + `jitter`; `tries` counts all sendings. The defaults send 13 times over two minutes: RFC
    7296 wants at least a dozen tries over several minutes before giving up.
    """

    timeout: float = 0.5
    factor: float = 1.6
    cap: float = 30.0
    jitter: float = 0.1
    tries: int = 13


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what unauthenticated peers can make us keep (RFC 8019 3, 6).

    `half_open` and `half_open_per_source` count IKE SAs that have not seen a valid IKE_AUTH, for at most
    `half_open_lifetime` seconds each. From `cookie_threshold` of them on (never later than `half_open`; 0:
    always) a request must show a cookie, from one source from `half_open_per_source` on. `ike_sas` bounds all
    IKE SAs together.
    """

    half_open: int = 100
    cookie_threshold: int = 30
    half_open_per_source: int = 10
    half_open_lifetime: float = 30.0
    ike_sas: int = 10_000


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an SA is used (RFC 7296 2.8), in seconds; 0: without end.

    It is rekeyed after `rekey`, up to `jitter` earlier, so that both ends hardly ever do it at once; it ends
    for good `margin` after that.
    """

    rekey: float = 0.0
    jitter: float = 0.0
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one endpoint.

    `ike_suites` and `child_suites` are in order of preference. `local_ts` and `peer_ts` are the widest
    selectors we agree to. `authentication_nonce` adds a fresh nonce of each party to IKE_AUTH and to the
    signed octets. An inbound ESP SPI never begins with one of `reserved_spi_octets` (the transport tells ESP
    from IKE by the first octet). `mtu` is the largest message in octets that goes out whole where the peer
    takes fragments, and the largest fragment (RFC 7383), without what the transport puts in front; 0:
    fragments are neither sent nor taken.
    `initial_contact` says of the only IKE SA with a peer that it is that; not for an identity that several
    nodes share. `reveal_keys` puts out the keys of every IKE SA, for a key log; without it they never leave
    the engine. `assumed_hashes` are what a peer that named no signature hashes accepts; none: it gets the
    classic methods (RFC 7427 4). `signature_hashes` are what we announce, and what a peer's signature must
    use; `sha1` accepts method 1 besides, which is RSA with SHA-1 (RFC 7296 3.8) and is never announced.

    `pool`: prefixes of inner addresses that peers must ask for, and then have as their only selectors;
    `pool_reserved` of them are never given away. `virtual_ips`: inner addresses that we ask the peer for as
    initiator, an unspecified one for any of its family, at most one of each family; they take the place of
    `local_ts` (RFC 7296 2.19). After `liveness` seconds without anything from a peer it is asked whether it
    is there (RFC 7296 2.4), 0: never. `window` is how many requests we accept at once, and send at once
    where the peer accepts as many (RFC 7296 2.3); at most `node.ike.window.MAX_WINDOW`.

    `reauth`: when an IKE SA that we opened is authenticated anew (RFC 7296 2.8.3). `auth_lifetime`: whoever
    opened one with us has to do so within so many seconds (RFC 4478), 0: never.

    `mobike`: addresses may change (RFC 4555), where the peer says so, too. `additional_addresses` are further
    ones of ours that it is told then.

    `mode`: tunnel or transport mode; for the latter `local_ts` and `peer_ts` have no meaning, both sides are
    the outer addresses. `padding` is what hides the lengths of the packets we send.
    """

    local_id_type: IdType
    local_id: bytes
    ike_suites: tuple[Suite, ...]
    child_suites: tuple[Suite, ...]
    local_ts: tuple[TrafficSelector, ...]
    peer_ts: tuple[TrafficSelector, ...]
    authentication_nonce: bool = False
    reserved_spi_octets: frozenset[int] = frozenset({0x00})
    replay_window: int = REPLAY_WINDOW
    mtu: int = 0
    initial_contact: bool = True
    reveal_keys: bool = False
    assumed_hashes: frozenset[HashId] = frozenset()
    pool: tuple[IPNetwork, ...] = ()
    pool_reserved: frozenset[IPAddress] = frozenset()
    virtual_ips: tuple[IPAddress, ...] = ()
    liveness: float = 0.0
    window: int = 1
    auth_lifetime: int = 0
    mobike: bool = False
    additional_addresses: tuple[IPAddress, ...] = ()
    signature_hashes: tuple[HashId, ...] = SIGNATURE_HASHES
    sha1: bool = False
    mode: ModeWish = field(default_factory=ModeWish)
    padding: Padding = field(default_factory=Padding)
    retransmission: Retransmission = field(default_factory=Retransmission)
    limits: Limits = field(default_factory=Limits)
    ike_lifetime: Lifetime = field(default_factory=Lifetime)
    child_lifetime: Lifetime = field(default_factory=Lifetime)
    reauth: Lifetime = field(default_factory=Lifetime)
