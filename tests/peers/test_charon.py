"""charon's log as events: logs that strongSwan 6.1.0 wrote, and lines that it never would."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.events import NodeEvent, NodeProse
from lab.ladder import compose
from lab.ladder.values import Fate, Message
from lab.peers import charon
from lab.render import EVENTS

RECORDED = Path(__file__).parent / "recorded"


def told(name: str, role: str = "initiator") -> list[NodeEvent]:
    reader = charon.Reader(name.rpartition("-")[2], role)
    found = [
        item
        for line in (RECORDED / f"{name}.log").read_text("utf-8").splitlines()
        for item in reader.read(line)
    ]
    return [item for item in [*found, *reader.rest()] if isinstance(item, NodeEvent)]


def named(events: list[NodeEvent], name: str) -> list[NodeEvent]:
    return [event for event in events if event.name == name]


def only(events: list[NodeEvent], name: str) -> dict[str, object]:
    (event,) = named(events, name)
    return dict(event.fields)


LOGS = sorted(path.stem for path in RECORDED.glob("*.log"))


@pytest.mark.parametrize("name", LOGS)
def test_every_event_is_one_of_the_lab_and_stands_at_its_time(name: str) -> None:
    events = told(name)
    assert {event.name for event in events} <= EVENTS
    for spi in {event.fields.get("spi_i") for event in events}:
        moments = [event.moment for event in events if event.fields.get("spi_i") == spi]
        assert moments == sorted(moments)
    assert events[0].name == "node_started"
    assert events[0].fields["version"] in ("strongSwan 6.0.1", "strongSwan 6.1.0")
    assert events[0].moment.tzinfo is UTC
    of_sas = [event for event in events if "spi_i" in event.fields]
    assert all(event.fields["spi_i"] != "0" * 16 and event.fields["role"] for event in of_sas)
    assert all(":" in str(event.fields["peer"]) for event in of_sas)


@pytest.mark.parametrize("name", LOGS)
def test_a_log_that_is_read_twice_is_told_twice_the_same(name: str) -> None:
    assert told(name) == told(name)


def test_the_start_of_a_daemon() -> None:
    names = [event.name for event in told("wrong-ca-peer", "responder")][:6]
    assert names == [
        *("node_started", "tun_ready", "certificate_loaded", "certificate_loaded"),
        *("private_key_loaded", "udp_bound"),
    ]


def test_a_handshake_as_the_initiator_tells_it() -> None:
    events = told("delete-subject")
    sent = named(events, "ike_sa_init_sent")[0].fields
    assert sent["payloads"] == [
        *("SA", "KE", "NONCE", "N(NATD_S_IP)", "N(NATD_D_IP)", "N(FRAG_SUP)", "N(HASH_ALG)", "N(REDIR_SUP)"),
    ]
    assert (sent["kind"], sent["message_id"], sent["octets"]) == ("request", 0, 464)
    assert str(sent["peer"]).endswith(":500")
    assert str(named(events, "ike_auth_sent")[0].fields["peer"]).endswith(":4500")
    assert [event.fields["protocol"] for event in named(events, "proposal_chosen")] == ["IKE", "ESP"]
    assert only(events, "peer_certificate_verified")["subject"] == "CN=peer"
    assert only(events, "peer_certificate_verified")["issuer"] == "CN=IPsec Lab Root CA"
    assert only(events, "peer_auth_verified")["method"] == "ECDSA_WITH_SHA256_DER"
    up = only(events, "ike_sa_established")
    assert up["peer_identity"] == "fqdn:peer"
    assert up["suite"] == "ENCR_AES_CBC_256/PRF_HMAC_SHA2_256/AUTH_HMAC_SHA2_256_128/MODP_2048"
    child = only(events, "child_sa_installed")
    assert (child["local"], child["remote"]) == (["10.1.0.0/24"], ["10.2.0.0/24"])
    assert child["suite"] == "ENCR_AES_CBC_256/AUTH_HMAC_SHA2_256_128"


def test_a_delete_takes_the_child_sa_with_it() -> None:
    events = told("delete-subject")
    child, gone = only(events, "child_sa_installed"), only(events, "child_sa_deleted")
    assert (child["inbound_spi"], child["outbound_spi"]) == (gone["inbound_spi"], gone["outbound_spi"])
    assert str(only(events, "ike_sa_deleted")["reason"]).startswith("sending DELETE for IKE_SA")


def test_both_sides_of_a_handshake_make_one_ladder() -> None:
    rows = compose.build([*told("fragmentation-subject"), *told("fragmentation-peer", "responder")]).rows
    messages = [row for row in rows if isinstance(row, Message)]
    assert [(m.name, m.source, m.target) for m in messages[:4]] == [
        ("IKE_SA_INIT request 0", "subject", "peer"),
        ("IKE_SA_INIT response 0", "peer", "subject"),
        ("IKE_AUTH request 1", "subject", "peer"),
        ("IKE_AUTH response 1", "peer", "subject"),
    ]
    assert all(message.fate is Fate.ARRIVED for message in messages[:4])


def test_fragments_are_counted_and_the_message_has_its_own_size() -> None:
    events = told("fragmentation-subject")
    split, joined = only(events, "message_fragmented"), only(events, "message_reassembled")
    assert (split["octets"], split["fragments"]) == (768, 2)
    assert only(events, "ike_auth_sent")["octets"] == 768
    assert only(events, "ike_auth_received")["octets"] == joined["octets"]


def test_a_cookie_is_asked_for_and_brought() -> None:
    asked = named(told("cookie-subject"), "ike_sa_init_retried")
    assert asked[0].fields["notify"] == "COOKIE"
    dropped = named(told("cookie-peer", "responder"), "datagram_dropped")
    assert {event.fields["reason"] for event in dropped} == {"cookie_required"}


def test_another_group_is_asked_for_without_a_state() -> None:
    retried = only(told("invalid-ke-subject"), "ike_sa_init_retried")
    assert (retried["notify"], retried["group"], retried["n"]) == ("INVALID_KE_PAYLOAD", "CURVE25519", 1)
    responder = told("invalid-ke-peer", "responder")
    assert only(responder, "notify_sent")["notify"] == "INVALID_KE_PAYLOAD"
    assert not named(responder, "ike_sa_failed")


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("wrong-psk-peer", "wrong_shared_key", "MAC mismatched"),
        ("wrong-ca-peer", "untrusted_issuer", "no issuer certificate found"),
        ("expired-certificate-peer", "expired", "certificate invalid"),
        ("wrong-identity-peer", "unexpected_identity", "config found"),
    ],
)
def test_why_a_peer_was_not_authenticated(name: str, reason: str, detail: str) -> None:
    events = told(name, "responder")
    failed = only(events, "authentication_failed")
    assert failed["reason"] == reason
    assert detail in str(failed["detail"])
    assert only(events, "notify_sent")["notify"] == "AUTHENTICATION_FAILED"
    assert detail in str(only(events, "ike_sa_failed")["reason"])
    assert not named(events, "ike_sa_established")


def test_a_refusal_that_is_received_is_told_with_its_protection() -> None:
    events = told("wrong-ca-subject")
    refused = only(events, "notify_received")
    assert (refused["notify"], refused["protected"]) == ("AUTHENTICATION_FAILED", True)
    assert only(events, "ike_sa_failed")["reason"] == "received AUTHENTICATION_FAILED notify error"


def test_an_ike_sa_may_come_without_a_child_sa() -> None:
    events = told("child-mismatch-subject")
    assert (
        only(events, "child_sa_failed")["reason"] == "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"
    )
    assert not named(events, "ike_sa_deleted")


@pytest.mark.parametrize(
    ("name", "role"), [("rekey-ike-subject", "initiator"), ("rekey-ike-peer", "responder")]
)
def test_a_rekeyed_ike_sa_hands_its_child_over(name: str, role: str) -> None:
    events = told(name, role)
    old, gone = only(events, "ike_sa_rekeyed"), only(events, "ike_sa_deleted")
    assert old["spi_i"] == gone["spi_i"] == only(events, "ike_sa_established")["spi_i"]
    assert gone["reason"] == "rekeyed"
    assert not named(events, "child_sa_deleted")


def test_a_rekeyed_child_sa_is_replaced_by_another() -> None:
    events = told("rekey-child-subject")
    first, second = named(events, "child_sa_installed")
    assert only(events, "child_sa_rekeyed")["inbound_spi"] == first.fields["inbound_spi"]
    assert first.fields["inbound_spi"] != second.fields["inbound_spi"]


def test_of_two_new_ike_sas_one_is_kept_and_the_other_is_deleted_but_has_not_failed() -> None:
    events = told("collide-ike-peer", "responder")
    assert only(events, "rekey_collision")["kept"] is False
    assert only(events, "ike_sa_rekeyed")
    first, second = (event.fields for event in named(events, "ike_sa_deleted"))
    assert first["spi_i"] != second["spi_i"]
    assert only(events, "ike_sa_established")["spi_i"] in {first["spi_i"], second["spi_i"]}
    assert not named(events, "ike_sa_failed")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("CHILD_SA rekey collision lost, deleting redundant child net{2}", False),
        ("CHILD_SA rekey collision won, deleting old child net{1}", True),
        ("IKE_SA rekey collision won, waiting for delete for redundant IKE_SA subject[3]", True),
    ],
)
def test_who_wins_a_collision_is_told(text: str, kept: bool) -> None:
    reader = charon.Reader("a", "initiator")
    reader.read(line(text))
    spis = f"checkin IKEv2 SA peer[1] with SPIs {'c' * 16}_i {'d' * 16}_r"
    event = next(t for t in reader.read(line(spis, "MGR", 1, 2)) if isinstance(t, NodeEvent))
    assert (event.name, event.fields["kept"]) == ("rekey_collision", kept)


def test_a_peer_that_is_gone_is_given_up() -> None:
    events = told("liveness-subject")
    again = [event.fields for event in named(events, "retransmitted")]
    assert [fields["n"] for fields in again] == list(range(1, len(again) + 1))
    assert {fields["exchange"] for fields in again} == {"INFORMATIONAL"}
    names = [event.name for event in events]
    assert names.index("retransmission_gave_up") < names.index("ike_sa_deleted")


def line(text: str, group: str = "IKE", sa: int | None = 1, level: int = 1, thread: int = 7) -> str:
    about = {} if sa is None else {"ikesa-uniqueid": str(sa)}
    moment = "2026-01-02T03:04:05.000006"
    return json.dumps(
        {"time": moment, "thread": thread, "group": group, "level": level, **about, "msg": text}
    )


def test_what_has_no_meaning_is_prose_and_waits_its_turn() -> None:
    reader = charon.Reader("a", "initiator")
    assert reader.read(line("remote host is behind NAT")) == []
    done = reader.read(line(f"checkin IKEv2 SA lab[1] with SPIs {'a' * 16}_i {'b' * 16}_r", "MGR", level=2))
    assert done == [NodeProse("a", "[IKE] remote host is behind NAT")]
    assert reader.read(line("activating new tasks", level=2)) == []
    assert reader.rest() == []
    assert reader.read("no JSON") == [NodeProse("a", "no JSON")]


def test_an_sa_that_is_gone_is_told_of_even_where_its_spis_came_with_a_message() -> None:
    reader = charon.Reader("a", "responder")
    reader.read(line(f"checkout IKEv2 SA by message with SPIs {'c' * 16}_i {'0' * 16}_r", "MGR", None, 2))
    reader.read(line("10.0.0.9 is initiating IKE_SA (unnamed)[4]", sa=4))
    reader.read(line("received packet: from 10.0.0.9[500] to 10.0.0.1[500] (464 bytes)", "NET", 4))
    reader.read(line("checkin and destroy IKE_SA (unnamed)[4]", "MGR", 4, 2))
    reader.read(line("IKE_SA (unnamed)[4] state change: CONNECTING => DESTROYING", sa=4, level=2))
    (event, _prose) = sorted(
        reader.read(line("checkin and destroy of IKE_SA successful", "MGR", None, 2)),
        key=lambda t: isinstance(t, NodeProse),
    )
    assert isinstance(event, NodeEvent)
    assert event.name == "ike_sa_failed"
    about = {"spi_i": "c" * 16, "spi_r": "0" * 16, "peer": "10.0.0.9:500", "role": "responder"}
    assert dict(event.fields) == {**about, "reason": "DESTROYING"}
    assert event.moment == datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        (line("load: successfully loaded 1 connections, 0 unloaded", "DMN", None), True),
        (line("load: no connections found, 0 unloaded", "DMN", None), True),
        (line("load: loaded 0 of 1 connections, 1 failed to load, 0 unloaded", "DMN", None), True),
        (line("load: no pools found, 0 unloaded", "DMN", None), False),
        (line("load: loaded connection 'lab'", "DMN", None), False),
        ("load: successfully loaded 1 connections, 0 unloaded", False),
    ],
)
def test_when_a_responder_is_ready(text: str, ready: bool) -> None:
    assert charon.is_ready(text) is ready


def test_a_configuration_that_was_not_loaded_is_a_failure() -> None:
    text = "load: loaded 0 of 1 connections, 1 failed to load, 0 unloaded"
    (event,) = charon.Reader("a", "responder").read(line(text, "DMN", None))
    assert isinstance(event, NodeEvent)
    assert (event.name, event.fields["detail"]) == ("node_failed", text)


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("ESP decryption or ICV verification failed", "datagram_dropped", "esp_bad_icv"),
        (
            "discarding inbound IP packet 1.2.3.4[0] == 1.2.3.5[0] [1] due to policy",
            "packet_dropped",
            "inner_selector_mismatch",
        ),
        ("ESP sequence number verification failed:\n  src 1.2.3.4", "datagram_dropped", "esp_replayed"),
        ("received invalid IKE header from 1.2.3.4 - ignored", "datagram_dropped", "malformed"),
        (
            "ignoring IKE_SA setup from 1.2.3.4, per-IP half-open IKE_SA limit of 5 reached",
            "datagram_dropped",
            "half_open_source_limit",
        ),
    ],
)
def test_what_is_dropped_is_told_with_its_reason(text: str, name: str, reason: str) -> None:
    (event,) = charon.Reader("a", "responder").read(line(text, "NET", None))
    assert isinstance(event, NodeEvent)
    assert (event.name, event.fields["reason"]) == (name, reason)


def test_a_name_of_the_peer_is_no_other_event() -> None:
    """An identity is the peer's to choose; the line that it stands in is matched as a whole."""
    reader = charon.Reader("a", "responder")
    evil = "x' with ED25519 successful"
    reader.read(line(f"authentication of '{evil}' with RSA_EMSA_PKCS1_SHA2_256 failed"))
    reader.read(
        line("looking for peer configs matching 1.1.1.1[a]...2.2.2.2[IKE_SA lab[1] established between]")
    )
    assert not [item for item in reader.rest() if isinstance(item, NodeEvent)]


@given(st.text(max_size=100))
def test_any_line_is_prose_or_an_event(text: str) -> None:
    reader = charon.Reader("a", "initiator")
    for item in [
        *reader.read(text),
        *reader.read(line(text)),
        *reader.read(line(text, "MGR")),
        *reader.rest(),
    ]:
        assert isinstance(item, NodeEvent | NodeProse)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["time", "thread", "group", "level", "msg", "ikesa-uniqueid"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_prose_or_an_event(value: object) -> None:
    charon.Reader("a", "initiator").read(json.dumps(value))


def test_more_sas_than_anybody_has_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charon, "MAX_SAS", 3)
    reader = charon.Reader("a", "responder")
    for number in range(1, 20):
        reader.read(line("remote host is behind NAT", sa=number))
    assert len(reader._sas) == 3
