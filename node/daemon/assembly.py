"""From configuration and credentials to a ready engine: the only place that chooses implementations."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

from node.config import Config
from node.config.model import IkeLifetime
from node.config.model import Lifetime as ConfiguredLifetime
from node.crypto.suites import esp_suite, ike_suite
from node.daemon.credentials import Credentials
from node.daemon.failure import StartError
from node.daemon.fitting import check_chain
from node.ike.configuration import ANY
from node.ike.endpoint import Endpoint
from node.ike.settings import SIGNATURE_HASHES, Lifetime, Limits, Retransmission, Settings
from node.model.child import Mode, ModeWish, Padding
from node.model.registry import HashId
from node.model.selectors import IPAddress, network
from node.net import clock
from node.net.steer import IKE_ALONE, NON_ESP_MARKER, Port
from node.pki.identity import ExpectedIdentity
from node.pki.sharedkey import SharedKeyVerifier
from node.pki.verifier import CertificateVerifier
from node.ports import Codec, PeerVerifier
from node.wire.asn1.codec import IKE_FIRST_OCTET, Asn1Codec
from node.wire.rfc7296.codec import Rfc7296Codec

#: Octets in front of a message in its IP packet: header of IPv6 (that of IPv4 is smaller), header of UDP, and
#: the marker, which IKE_AUTH has wherever ESP can follow it.
AROUND_MESSAGE = 40 + 8 + len(NON_ESP_MARKER)


@dataclass(frozen=True, slots=True)
class Profile:
    """A wire profile: its codec, its ports, and the habits of it that are not about octets."""

    codec: Callable[[], Codec]
    #: The port that IKE and ESP share.
    port: Port
    authentication_nonce: bool
    #: What no inbound ESP SPI begins with: the port tells IKE from ESP by it. RFC 4303 allows no SPI below
    #: 256, of which all begin with 0x00.
    reserved_spi_octets: frozenset[int]
    #: Of a peer that named no signature hashes: the founding profile knows no classic methods.
    assumed_hashes: frozenset[HashId] = frozenset()
    #: Whether it cuts messages into fragments (RFC 7383).
    fragments: bool = False
    #: The port where IKE begins, where that is another one.
    ike_port: Port | None = None


#: By `Config.profile`.
PROFILES = {
    "asn1": Profile(
        Asn1Codec,
        Port(bytes((IKE_FIRST_OCTET,))),
        True,
        frozenset({0x00, IKE_FIRST_OCTET}),
        frozenset(SIGNATURE_HASHES),
    ),
    "rfc7296": Profile(
        Rfc7296Codec,
        Port(NON_ESP_MARKER, NON_ESP_MARKER),
        False,
        frozenset({0x00}),
        ike_port=IKE_ALONE,
        fragments=True,
    ),
}


#: In `child.virtual_ip`.
_WISHES = {"any4": ANY[4], "any6": ANY[6]}


def settings(config: Config, credentials: Credentials) -> Settings:
    """The engine's settings; every text in the configuration was checked when it was loaded."""
    profile = PROFILES[config.profile]
    retransmit, half_open = config.ike.retransmit, config.ike.half_open
    return Settings(
        local_id_type=credentials.identity.id_type,
        local_id=credentials.identity.data,
        ike_suites=tuple(ike_suite(text) for text in config.ike.proposals),
        child_suites=tuple(esp_suite(text) for text in config.child.proposals),
        local_ts=tuple(network(text) for text in config.child.local_ts),
        peer_ts=tuple(network(text) for text in peer_networks(config)),
        authentication_nonce=profile.authentication_nonce,
        reserved_spi_octets=profile.reserved_spi_octets,
        replay_window=config.child.replay_window,
        mtu=_mtu(config),
        initial_contact=config.ike.initial_contact,
        reveal_keys=bool(config.keylog.file),
        ike_lifetime=_lifetime(config.ike.lifetime),
        child_lifetime=_lifetime(config.child.lifetime),
        reauth=_reauth(config.ike.lifetime),
        auth_lifetime=config.ike.auth_lifetime,
        window=config.ike.window,
        assumed_hashes=profile.assumed_hashes,
        pool=tuple(ip_network(text) for text in config.child.pool),
        pool_reserved=_reserved(config),
        virtual_ips=virtual_ips(config),
        liveness=config.ike.liveness.interval,
        # MOBIKE is for tunnel mode alone (RFC 4555 1.2).
        mobike=config.ike.mobike and config.child.mode is Mode.TUNNEL,
        additional_addresses=tuple(map(ip_address, config.ike.additional_addresses)),
        sha1=config.local.sha1,
        mode=ModeWish(config.child.mode, config.child.tunnel_fallback),
        padding=Padding(config.child.tfc.multiple, config.tun.mtu),
        retransmission=Retransmission(
            timeout=retransmit.timeout, factor=retransmit.factor, cap=retransmit.cap, tries=retransmit.tries
        ),
        limits=Limits(
            half_open=half_open.total,
            cookie_threshold=half_open.cookie_threshold,
            half_open_per_source=half_open.per_source,
            half_open_lifetime=half_open.lifetime,
        ),
    )


def _mtu(config: Config) -> int:
    """Octets of the largest message that is not cut, 0 where none ever is."""
    size = config.ike.fragment_size
    return size - AROUND_MESSAGE if size and PROFILES[config.profile].fragments else 0


def _lifetime(configured: ConfiguredLifetime) -> Lifetime:
    rekey = configured.rekey
    return Lifetime(rekey, configured.jitter * rekey, configured.margin * rekey)


def _reauth(configured: IkeLifetime) -> Lifetime:
    return _lifetime(replace(configured, rekey=configured.reauth))


def peer_networks(config: Config) -> tuple[str, ...]:
    """The networks that are reached through the tunnel."""
    return config.child.pool or config.child.remote_ts


def virtual_ips(config: Config) -> tuple[IPAddress, ...]:
    """The inner addresses that we ask for."""
    return tuple(_WISHES.get(text) or ip_address(text) for text in config.child.virtual_ip)


def _reserved(config: Config) -> frozenset[IPAddress]:
    """Addresses of our own, which no peer gets."""
    texts = (config.tun.address, config.listen.address)
    return frozenset(ip_interface(text).ip for text in texts if text)


def endpoint(config: Config, credentials: Credentials) -> Endpoint:
    """The engine with its ports.

    Raises StartError where the expected identity or a CA cannot be used, or no message holds our
    certificates.
    """
    verifier = _verifier(config, credentials)
    chosen, codec = settings(config, credentials), PROFILES[config.profile].codec()
    check_chain(config, chosen, codec, credentials.chain)
    return Endpoint(
        chosen,
        codec,
        credentials.signer,
        verifier,
        credentials.chain,
        os.urandom,
    )


def _verifier(config: Config, credentials: Credentials) -> PeerVerifier:
    secret = credentials.psk
    try:
        if secret is not None:
            return SharedKeyVerifier(secret, ExpectedIdentity.of_any(*config.peer.identity))
        expected = ExpectedIdentity.of(*config.peer.identity)
    except ValueError as error:
        raise StartError(f"peer.identity: {error}") from error
    try:
        return CertificateVerifier(credentials.anchors, expected, clock.utc)
    except ValueError as error:
        raise StartError(f"credentials.ca: {config.credentials.ca}: {error}") from error
