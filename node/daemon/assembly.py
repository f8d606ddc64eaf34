"""From configuration and credentials to a ready engine: the only place that chooses implementations."""

import os

from node.config import Config
from node.crypto.suites import esp_suite, ike_suite
from node.daemon.credentials import Credentials
from node.daemon.failure import StartError
from node.ike.endpoint import Endpoint
from node.ike.settings import Limits, Retransmission, Settings
from node.model.selectors import network
from node.net import clock
from node.pki.identity import ExpectedIdentity
from node.pki.verifier import CertificateVerifier
from node.wire.asn1.codec import IKE_FIRST_OCTET, Asn1Codec


def settings(config: Config, credentials: Credentials) -> Settings:
    """The engine's settings; every text in the configuration was checked when it was loaded."""
    retransmit, half_open = config.ike.retransmit, config.ike.half_open
    return Settings(
        local_id_type=credentials.identity.id_type,
        local_id=credentials.identity.data,
        ike_suites=tuple(ike_suite(text) for text in config.ike.proposals),
        child_suites=tuple(esp_suite(text) for text in config.child.proposals),
        local_ts=tuple(network(text) for text in config.child.local_ts),
        peer_ts=tuple(network(text) for text in config.child.remote_ts),
        authentication_nonce=True,
        # The port tells IKE from ESP by the first octet; 0x00 begins no SPI that RFC 4303 allows.
        reserved_spi_octets=frozenset({0x00, IKE_FIRST_OCTET}),
        replay_window=config.child.replay_window,
        initial_contact=config.ike.initial_contact,
        reveal_keys=bool(config.keylog.file),
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


def endpoint(config: Config, credentials: Credentials) -> Endpoint:
    """The engine with its ports. Raises StartError where the expected identity or a CA cannot be used."""
    try:
        expected = ExpectedIdentity.of(*config.peer.identity)
    except ValueError as error:
        raise StartError(f"peer.identity: {error}") from error
    try:
        verifier = CertificateVerifier(credentials.anchors, expected, clock.utc)
    except ValueError as error:
        raise StartError(f"credentials.ca: {config.credentials.ca}: {error}") from error
    return Endpoint(
        settings(config, credentials),
        Asn1Codec(),
        credentials.signer,
        verifier,
        credentials.chain,
        os.urandom,
    )
