"""The names of the events that a node writes to its event stream: stable, documented in docs/events.md.

Tests and the lab assert on these names and their fields, never on prose. Values of fields are JSON scalars or
lists of them. Text that came from a peer is escaped where it is rendered, never here.
"""

from enum import StrEnum


class EventName(StrEnum):
    """What happened at the node."""

    # start and stop
    NODE_STARTED = "node_started"
    CERTIFICATE_LOADED = "certificate_loaded"
    PRIVATE_KEY_LOADED = "private_key_loaded"
    KEYLOG_ENABLED = "keylog_enabled"
    KEYLOG_FAILED = "keylog_failed"
    DH_KEY_PAIR_GENERATED = "dh_key_pair_generated"
    UDP_BOUND = "udp_bound"
    TUN_READY = "tun_ready"
    TUN_UNAVAILABLE = "tun_unavailable"
    PRIVILEGES_DROPPED = "privileges_dropped"
    CONTROL_READY = "control_ready"
    NODE_STOPPING = "node_stopping"
    NODE_STOPPED = "node_stopped"
    NODE_FAILED = "node_failed"
    # the IKE SA
    SPI_ASSIGNED = "spi_assigned"
    IKE_SA_INIT_SENT = "ike_sa_init_sent"
    IKE_SA_INIT_RECEIVED = "ike_sa_init_received"
    IKE_SA_INIT_RETRIED = "ike_sa_init_retried"
    COOKIES_REQUIRED = "cookies_required"
    COOKIES_LIFTED = "cookies_lifted"
    PROPOSAL_CHOSEN = "proposal_chosen"
    SHARED_SECRET_DERIVED = "shared_secret_derived"
    IKE_AUTH_SENT = "ike_auth_sent"
    IKE_AUTH_RECEIVED = "ike_auth_received"
    PEER_CERTIFICATE_VERIFIED = "peer_certificate_verified"
    PEER_IDENTITY_VERIFIED = "peer_identity_verified"
    PEER_AUTH_VERIFIED = "peer_auth_verified"
    AUTHENTICATION_FAILED = "authentication_failed"
    IKE_SA_ESTABLISHED = "ike_sa_established"
    IKE_SA_FAILED = "ike_sa_failed"
    IKE_SA_DELETED = "ike_sa_deleted"
    CREATE_CHILD_SA_SENT = "create_child_sa_sent"
    CREATE_CHILD_SA_RECEIVED = "create_child_sa_received"
    INFORMATIONAL_SENT = "informational_sent"
    INFORMATIONAL_RECEIVED = "informational_received"
    NOTIFY_SENT = "notify_sent"
    NOTIFY_RECEIVED = "notify_received"
    RETRANSMITTED = "retransmitted"
    RETRANSMISSION_GAVE_UP = "retransmission_gave_up"
    RESPONSE_REPEATED = "response_repeated"
    DATAGRAM_DROPPED = "datagram_dropped"
    # the Child SA and the data path
    CHILD_SA_INSTALLED = "child_sa_installed"
    CHILD_SA_FAILED = "child_sa_failed"
    CHILD_SA_DELETED = "child_sa_deleted"
    CHILD_SA_EXPIRING = "child_sa_expiring"
    CHILD_SA_EXPIRED = "child_sa_expired"
    ESP_PAYLOAD_SENT = "esp_payload_sent"
    ESP_PAYLOAD_DECRYPTED = "esp_payload_decrypted"
    ESP_ACK_SENT = "esp_ack_sent"
    ESP_ACK_RECEIVED = "esp_ack_received"
    PING_REPLIED = "ping_replied"
    PINGS_COMPLETED = "pings_completed"
    DEMO_FAILED = "demo_failed"
    PACKET_DROPPED = "packet_dropped"
