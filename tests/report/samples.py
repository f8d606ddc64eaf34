"""Runs out of nothing: events of nodes and of a wire that does everything that a wire can do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from lab.events import NodeEvent

ZERO = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
INITIATOR, RESPONDER = "10.0.0.3:8000", "10.0.0.2:8000"
#: What each node sees of its peer, where a wire stands between.
WIRE_TO_INITIATOR, WIRE_TO_RESPONDER = "10.0.0.4:8000", "10.0.0.4:41000"
SUITE = "ENCR_AES_CBC_256/PRF_HMAC_SHA2_256/AUTH_HMAC_SHA2_256_128/MODP_2048"


def tell(ms: float, node: str, name: str, **fields: object) -> NodeEvent:
    """An event so many milliseconds after ZERO."""
    return NodeEvent(ZERO + timedelta(milliseconds=ms), node, name, fields)


def initiator(ms: float, name: str, **fields: object) -> NodeEvent:
    """The initiator tells of its IKE SA aa; its peer is the wire."""
    about = {"spi_i": "aa", "peer": WIRE_TO_INITIATOR, "role": "initiator"}
    return tell(ms, "initiator", name, **(about | fields))


def responder(ms: float, name: str, **fields: object) -> NodeEvent:
    """The responder tells of the same SA."""
    about = {"spi_i": "aa", "peer": WIRE_TO_RESPONDER, "role": "responder"}
    return tell(ms, "responder", name, **(about | fields))


def fault(ms: float, act: str, datagram: str, source: str = "initiator", **fields: object) -> NodeEvent:
    """The wire tells of what it did to a datagram of `source`."""
    target = "responder" if source == "initiator" else "initiator"
    about = {"act": act, "match": datagram, "datagram": datagram, "source": source, "target": target}
    return tell(ms, "wire", "wire_fault", **(about | {"octets": 392, "number": 1, "detail": ""} | fields))


def message(kind: str, number: int = 0, payloads: Sequence[str] = (), octets: int = 392) -> dict[str, object]:
    """The fields of a message."""
    usual = ["SA", "KE", "NONCE"] if number == 0 else ["IDI", "CERT", "AUTH", "SA", "TSI", "TSR"]
    return {"kind": kind, "message_id": number, "payloads": list(payloads) or usual, "octets": octets}


def started() -> list[NodeEvent]:
    """Three parties come up."""
    about = {"profile": "asn1", "version": "0.1.0", "pid": 7}
    return [
        tell(-40, "responder", "node_started", role="responder", **about),
        tell(-39, "responder", "udp_bound", address="10.0.0.2", port=8000),
        tell(-30, "wire", "node_started", role="wire", **about),
        tell(-20, "initiator", "node_started", role="initiator", **about),
        tell(-19, "initiator", "udp_bound", address="10.0.0.3", port=8000),
    ]


def handshake(at: float = 0) -> list[NodeEvent]:
    """IKE_SA_INIT with a cookie, IKE_AUTH, a greeting."""
    plain, cookie = (
        message("request"),
        message("request", payloads=["N(COOKIE)", "SA", "KE", "NONCE"], octets=431),
    )
    demand = message("response", payloads=["N(COOKIE)"], octets=60)
    answer = message("response", octets=400)
    answers = ["IDR", "CERT", "AUTH", "SA", "TSI", "TSR"]
    request, response = message("request", 1, octets=2234), message("response", 1, answers, octets=2234)
    child = {"inbound_spi": "e0536141", "outbound_spi": "adceaa99", "suite": SUITE}
    esp = {"text": "Hello from IPSec Initiator!", "spi": "e0536141", "sequence": 1}
    return [
        initiator(at, "ike_sa_init_sent", **plain),
        tell(at + 2, "responder", "notify_sent", peer=WIRE_TO_RESPONDER, notify="COOKIE", detail="busy"),
        initiator(at + 4, "ike_sa_init_received", **demand),
        initiator(at + 5, "ike_sa_init_sent", **cookie),
        responder(at + 7, "ike_sa_init_received", **cookie),
        responder(at + 8, "proposal_chosen", suite=SUITE),
        responder(at + 8.1, "ike_sa_init_sent", **answer),
        initiator(at + 10, "ike_sa_init_received", **answer),
        initiator(at + 10.5, "shared_secret_derived", group="MODP_2048"),
        initiator(at + 11, "ike_auth_sent", **request),
        responder(at + 13, "ike_auth_received", **request),
        responder(at + 14, "ike_sa_established", peer_identity="fqdn:initiator", suite=SUITE),
        responder(at + 15, "ike_auth_sent", **response),
        initiator(at + 17, "ike_auth_received", **response),
        initiator(at + 18, "ike_sa_established", peer_identity="fqdn:responder", suite=SUITE),
        initiator(at + 18.2, "child_sa_installed", **child),
        tell(at + 20, "initiator", "esp_payload_sent", target="10.2.0.1", **esp),
        tell(at + 21, "responder", "esp_payload_decrypted", source="10.1.0.1", peer=WIRE_TO_RESPONDER, **esp),
    ]


def every_act() -> list[NodeEvent]:
    """A wire does everything once, to messages that nodes tell of and to ESP packets that nobody does."""
    init, auth, esp = "IKE_SA_INIT request 0", "IKE_AUTH request 1", "ESP spi 0xe0536141 sequence 7"
    request = message("request", 1, octets=2234)
    about = {"exchange": "IKE_AUTH", "message_id": 1}

    def drop(ms: float, reason: str, node: str = "responder", count: int = 1) -> NodeEvent:
        peer = WIRE_TO_RESPONDER if node == "responder" else WIRE_TO_INITIATOR
        return tell(ms, node, "datagram_dropped", peer=peer, reason=reason, count=count, detail="")

    return [
        *started(),
        tell(
            -1,
            "wire",
            "wire_fault",
            act="flood",
            match="start",
            datagram="start",
            octets=0,
            number=1,
            source=None,
            target=None,
            detail="100 requests in 1 s",
        ),
        initiator(0, "ike_sa_init_sent", **message("request")),
        fault(0.5, "drop", init),
        initiator(500, "retransmitted", message_id=0, exchange="IKE_SA_INIT", n=1),
        fault(500.4, "duplicate", init, detail="once"),
        responder(502, "ike_sa_init_received", **message("request")),
        responder(502.5, "ike_sa_init_sent", **message("response", octets=400)),
        responder(503, "response_repeated", message_id=0),
        fault(503.1, "delay", "IKE_SA_INIT response 0", "responder", detail="0.001 s"),
        initiator(504, "ike_sa_init_received", **message("response", octets=400)),
        tell(506, "wire", "wire_rebound", source="initiator", old=WIRE_TO_RESPONDER, new="10.0.0.4:41001"),
        initiator(510, "ike_auth_sent", **request),
        fault(510.2, "junk", auth, detail="10 times"),
        *(drop(511 + n / 10, "bad_icv") for n in range(3)),
        fault(510.3, "reflect", auth, detail="to its sender"),
        drop(512, "reflected", "initiator"),
        fault(510.4, "corrupt", auth, detail="bit 977"),
        drop(514, "bad_icv"),
        tell(515, "wire", "wire_junk_done", count=10),
        initiator(1010, "retransmitted", **about, n=1),
        responder(1013, "ike_auth_received", **request),
        fault(1100, "replay", esp, detail="once, 1 s later", octets=140),
        drop(2101, "esp_replayed"),
        fault(1200, "corrupt", "ESP spi 0xe0536141 sequence 8", detail="octet 20 with 0xff", octets=140),
        drop(1201, "esp_bad_icv"),
        fault(1300, "delay", "ESP spi 0xadceaa99 sequence 9", "responder", detail="0.050 s", octets=140),
        fault(1400, "truncate", auth, detail="no effect: it has only 100 octets"),
        tell(1500, "wire", "wire_faults_changed", faults=["drop any, times 1"], reason="ctl set"),
        tell(2200, "wire", "wire_flood_done", count=100, seconds=1.0, answers=12),
    ]
