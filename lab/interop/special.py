"""The special cases: what the matrix does not show, each as a scenario with its own expectations. Data.

`FLIPPED` are run with the subject in both roles, `ONCE` with the subject as the initiator.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lab.interop.documents import ADDRESSES, NETWORKS, NEVER, OTHER, PEER, SUBJECT, Document, node, roles

#: Fast keys, so that a case takes seconds.
KEYS = {"key_type": "ecdsa-p256", "root_key_type": "ecdsa-p256"}
#: A peer that is gone is given up within two seconds.
IMPATIENT = {"retransmit": 0.2, "backoff": 1.5, "tries": 3}

Expect = dict[str, Any]
Settings = Mapping[str, Mapping[str, object]]


def cases() -> dict[str, Document]:
    """Every special case by its name."""
    return dict(_cases())


def _cases() -> Iterator[tuple[str, Document]]:
    for role in ("initiator", "responder"):
        for make in FLIPPED:
            yield f"{_name(make)}-{role}", make(role)
    for make in ONCE:
        yield _name(make), make("initiator")


def _name(make: Callable[[str], Document]) -> str:
    return make.__name__.replace("_", "-")


def _document(
    role: str, title: str, settings: Settings, expect: Mapping[str, Expect], **more: object
) -> Document:
    given = roles(role)
    return {
        "title": title,
        "description": f"{title}; the subject is the {role}.",
        "timeout": 30,
        "credentials": KEYS,
        "nodes": {side: node(side, given[side], **settings.get(side, {})) for side in given},
        "expect": dict(expect),
        **more,
    }


def _up(*events: object, never: list[str] = NEVER) -> Expect:
    return {
        "events": [*events, "ike_sa_established", "child_sa_installed"],
        "never": never,
        "sas": "established",
    }


def _down(*events: object) -> Expect:
    never = ["child_sa_installed", "ike_sa_established", "node_failed"]
    return {"events": list(events), "never": never, "sas": "none"}


def _pings() -> list[Document]:
    waits = [{"wait": {"node": side, "event": "child_sa_installed"}} for side in OTHER]
    return [*waits, *({"ctl": {"node": side, "command": ["ping", ADDRESSES[OTHER[side]]]}} for side in OTHER)]


def _initiator(role: str) -> tuple[str, str]:
    """The side that initiates and the one that responds, where the subject has this role."""
    return (SUBJECT, PEER) if role == "initiator" else (PEER, SUBJECT)


def _both(settings: Mapping[str, object]) -> Settings:
    return dict.fromkeys(OTHER, settings)


# --- the handshake ---


def fragmentation(role: str) -> Document:
    """RFC 7383: IKE_AUTH with a certificate does not fit into packets of 576 octets."""
    there: Expect = {**_up("message_fragmented", "message_reassembled"), "ordered": False}
    expect = dict.fromkeys(OTHER, there)
    small = _both({"daemon": {"fragment": 576}})
    return _document(role, "IKE_AUTH travels in fragments", small, expect, steps=_pings())


def cookie(role: str) -> Document:
    """RFC 7296 2.6: a stray request from the same address makes the responder ask for a cookie."""
    first, second = _initiator(role)
    settings: Settings = {first: {"start": False}, second: {"daemon": {"cookie_threshold": 1}}}
    steps = [
        *({"wait": {"node": side, "event": "udp_bound"}} for side in OTHER),
        {"ctl": {"node": first, "command": ["stray", second]}},
        {"wait": {"node": second, "event": "ike_sa_init_received"}},
        {"ctl": {"node": first, "command": ["initiate"]}},
        *_pings(),
    ]
    # Once in a while strongSwan takes no cookie in its first seconds: its clock of cookies starts anywhere.
    asked = {"event": "ike_sa_init_retried", "where": {"notify": "COOKIE"}}
    refused = {"event": "datagram_dropped", "where": {"reason": "cookie_required"}}
    # The stray request's IKE SA is still half-open in the end.
    answered = {**_up(refused), "sas": {"ike": 1, "child": 1, "half_open": 1}}
    return _document(
        role, "Under load a cookie is wanted", settings, {first: _up(asked), second: answered}, steps=steps
    )


def invalid_ke(role: str) -> Document:
    """RFC 7296 1.2: the initiator guesses a group that the responder does not want."""
    first, second = _initiator(role)
    settings: Settings = {
        first: {"ike": ["aes256-sha256-ecp256", "aes256-sha256-x25519"]},
        second: {"ike": ["aes256-sha256-x25519"]},
    }
    retried = {
        "event": "ike_sa_init_retried",
        "where": {"notify": "INVALID_KE_PAYLOAD", "group": "CURVE25519"},
    }
    refused = {"event": "notify_sent", "where": {"notify": "INVALID_KE_PAYLOAD"}}
    expect = {first: _up(retried), second: _up(refused)}
    return _document(role, "Another group is wanted", settings, expect, steps=_pings())


def narrowing(role: str) -> Document:
    """RFC 7296 2.9: the initiator asks for more than the responder grants."""
    first, second = _initiator(role)
    network = NETWORKS[second]
    wide = network.replace(".0.0/24", ".0.0/16")
    narrowed = {"event": "child_sa_installed", "where": {"remote": {"contains": network}}}
    expect = {first: _up(narrowed), second: _up()}
    expect[first]["ordered"] = False
    return _document(role, "Selectors are narrowed", {first: {"remote_ts": [wide]}}, expect, steps=_pings())


def wrong_psk(role: str) -> Document:
    """The two sides do not have the same key."""
    settings: Settings = {
        SUBJECT: {"auth": "psk", "secret": "a pre-shared key of one side"},
        PEER: {"auth": "psk", "secret": "a pre-shared key of the other"},
    }
    first, second = _initiator(role)
    expect = {first: _refused(), second: _refusing("wrong_shared_key")}
    return _document(role, "The pre-shared keys differ", settings, expect)


def _refused() -> Expect:
    told = {"event": "notify_received", "where": {"notify": "AUTHENTICATION_FAILED", "protected": True}}
    return _down(told, "ike_sa_failed")


def _refusing(reason: str) -> Expect:
    failed = {"event": "authentication_failed", "where": {"reason": reason}, "count": 1}
    return _down(
        failed, {"event": "notify_sent", "where": {"notify": "AUTHENTICATION_FAILED"}}, "ike_sa_failed"
    )


def wrong_identity(role: str) -> Document:
    """The responder expects somebody else than who comes."""
    first, second = _initiator(role)
    settings: Settings = {second: {"peer_identity": "fqdn:somebody-else"}}
    expect = {first: _refused(), second: _refusing("unexpected_identity")}
    return _document(role, "Somebody else was expected", settings, expect)


def wrong_ca(role: str) -> Document:
    """The initiator's certificate is of a CA that the responder does not trust."""
    first, second = _initiator(role)
    credentials = {**KEYS, "authorities": {"rogue": {}}, "certificates": {first: {"issuer": "rogue"}}}
    expect = {first: _refused(), second: _refusing("untrusted_issuer")}
    return _document(role, "Nobody trusts that CA", {}, expect, credentials=credentials)


def expired_certificate(role: str) -> Document:
    """The initiator's certificate expired yesterday."""
    first, second = _initiator(role)
    credentials = {**KEYS, "certificates": {first: {"days": -1}}}
    expect = {first: _refused(), second: _refusing("expired")}
    return _document(role, "The certificate has expired", {}, expect, credentials=credentials)


def proposal_mismatch(role: str) -> Document:
    """No common cipher suite for the IKE SA."""
    first, second = _initiator(role)
    settings: Settings = {
        first: {"ike": ["aes128gcm16-prfsha256-x25519"]},
        second: {"ike": ["chacha20poly1305-prfsha256-x25519"]},
    }
    told = {"event": "notify_received", "where": {"notify": "NO_PROPOSAL_CHOSEN", "protected": False}}
    sent = {"event": "notify_sent", "where": {"notify": "NO_PROPOSAL_CHOSEN"}}
    return _document(role, "No common suite", settings, {first: _down(told), second: _down(sent)})


def child_mismatch(role: str) -> Document:
    """No common suite for the Child SA: the IKE SA stays, without one (RFC 7296 1.2)."""
    first, second = _initiator(role)
    settings: Settings = {first: {"esp": ["aes128gcm16"]}, second: {"esp": ["aes256-sha256"]}}
    never = ["child_sa_installed", "ike_sa_deleted", "node_failed"]
    events = ["ike_sa_established", "child_sa_failed"]
    stays: Expect = {"events": events, "never": never, "sas": {"ike": 1, "child": 0}}
    answered = {**stays, "events": ["ike_sa_established"]}
    return _document(role, "An IKE SA without a Child SA", settings, {first: stays, second: answered})


def virtual_ip(role: str) -> Document:
    """RFC 7296 2.19: the responder lends the initiator an address."""
    first, second = _initiator(role)
    settings: Settings = {
        first: {"vips": ["0.0.0.0"], "local_ts": ["dynamic"], "inner": []},
        second: {"pool": "10.3.0.0/24", "remote_ts": ["dynamic"]},
    }
    lent = {"event": "child_sa_installed", "where": {"local": {"contains": "10.3.0.1/32"}}}
    used = {"event": "child_sa_installed", "where": {"remote": {"contains": "10.3.0.1/32"}}}
    expect = {
        first: {"events": [lent], "never": NEVER, "sas": "established"},
        second: {"events": [used], "never": NEVER, "sas": "established"},
    }
    steps = [
        {"wait": {"node": first, "event": "child_sa_installed"}},
        {"ctl": {"node": first, "command": ["ping", ADDRESSES[second]]}},
        {"ctl": {"node": second, "command": ["ping", "10.3.0.1"]}},
    ]
    return _document(role, "A virtual address is lent", settings, expect, steps=steps)


def inner_ipv6(role: str) -> Document:
    """IPv6 inside, IPv4 outside."""
    networks = {SUBJECT: "fd00:1::/64", PEER: "fd00:2::/64"}
    addresses = {side: network.replace("/64", "1") for side, network in networks.items()}
    settings = {
        side: {
            "local_ts": [networks[side]],
            "remote_ts": [networks[OTHER[side]]],
            "inner": [f"{addresses[side]}/128"],
        }
        for side in OTHER
    }
    steps = [
        *({"wait": {"node": side, "event": "child_sa_installed"}} for side in OTHER),
        *({"ctl": {"node": side, "command": ["ping", addresses[OTHER[side]]]}} for side in OTHER),
    ]
    return _document(role, "IPv6 through the tunnel", settings, dict.fromkeys(OTHER, _up()), steps=steps)


def outer_ipv6(role: str) -> Document:
    """IPv4 inside, IPv6 outside."""
    there = {"event": "ike_sa_established", "where": {"peer": {"matches": r"\[?fd.*"}}}
    expect: Expect = {"events": [there, "child_sa_installed"], "never": NEVER, "sas": "established"}
    return _document(
        role, "The tunnel itself is IPv6", {}, dict.fromkeys(OTHER, expect), steps=_pings(), outer="ipv6"
    )


def childless(role: str) -> Document:
    """RFC 6023: IKE_AUTH without a Child SA, which CREATE_CHILD_SA then makes."""
    expect = dict.fromkeys(OTHER, _up())
    settings = _both({"childless": "force"})
    made = [{"event": "create_child_sa_received", "where": {"kind": "response"}}]
    first, _ = _initiator(role)
    expect[first] = {**_up(), "events": ["ike_sa_established", *made, "child_sa_installed"], "ordered": False}
    return _document(role, "The Child SA comes by itself", settings, expect, steps=_pings())


# --- the life of the SAs ---


def delete(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.4.1: the subject deletes the IKE SA, and both sides have none."""
    gone: Expect = {
        "events": ["ike_sa_established", "child_sa_installed", "child_sa_deleted", "ike_sa_deleted"],
        "never": NEVER,
        "sas": "none",
    }
    steps = [*_pings(), {"ctl": {"node": who, "command": ["terminate"]}}]
    return _document(role, f"The {who} deletes the IKE SA", {}, dict.fromkeys(OTHER, gone), steps=steps)


def delete_child(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.4.1: the subject deletes the Child SA; the IKE SA stays."""
    gone: Expect = {
        "events": ["ike_sa_established", "child_sa_installed", "child_sa_deleted"],
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": {"ike": 1, "child": 0},
    }
    steps = [*_pings(), {"ctl": {"node": who, "command": ["terminate", "child"]}}]
    return _document(role, f"The {who} deletes the Child SA", {}, dict.fromkeys(OTHER, gone), steps=steps)


def rekey_child(role: str) -> Document:
    """RFC 7296 1.3.3: the subject replaces the Child SA, and traffic goes on."""
    replaced = [{"event": "child_sa_installed", "count": 2}, {"event": "child_sa_rekeyed", "count": 1}]
    expect: Expect = {
        "events": replaced,
        "ordered": False,
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": "established",
    }
    steps = [
        *_pings(),
        {"ctl": {"node": SUBJECT, "command": ["rekey", "child"]}},
        *({"wait": {"node": side, "event": "child_sa_installed", "count": 2}} for side in OTHER),
        *_pings(),
    ]
    return _document(role, "The subject rekeys the Child SA", {}, dict.fromkeys(OTHER, expect), steps=steps)


def rekey_ike(role: str) -> Document:
    """RFC 7296 1.3.2: the subject replaces the IKE SA; the Child SA moves over, and traffic goes on."""
    replaced = {"event": "ike_sa_rekeyed", "count": 1}
    gone = {"event": "ike_sa_deleted", "count": 1}
    never = [*NEVER, "child_sa_deleted"]
    expect: Expect = {"events": [replaced, gone], "never": never, "sas": "established"}
    steps = [
        *_pings(),
        {"ctl": {"node": SUBJECT, "command": ["rekey", "ike"]}},
        *({"wait": {"node": side, "event": "ike_sa_deleted"}} for side in OTHER),
        *_pings(),
    ]
    return _document(role, "The subject rekeys the IKE SA", {}, dict.fromkeys(OTHER, expect), steps=steps)


def liveness(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 2.4: the other side vanishes; the subject asks, gives up and deletes its SAs."""
    dead_one = OTHER[who]
    settings: Settings = {who: {"dpd": 1, "daemon": IMPATIENT}}
    steps = [*_pings(), {"kill": dead_one}, {"wait": {"node": who, "event": "ike_sa_deleted"}}]
    alone: Expect = {
        "events": ["ike_sa_established", "retransmitted", "retransmission_gave_up", "ike_sa_deleted"],
        "never": ["authentication_failed", "node_failed"],
        "sas": "none",
    }
    dead: Expect = {"events": ["ike_sa_established"], "never": ["node_failed"], "exit_code": 137}
    return _document(role, f"The {dead_one} is dead", settings, {who: alone, dead_one: dead}, steps=steps)


FLIPPED: tuple[Callable[[str], Document], ...] = (
    *(fragmentation, cookie, invalid_ke, narrowing, wrong_psk, wrong_identity, wrong_ca, expired_certificate),
    *(proposal_mismatch, child_mismatch, virtual_ip, childless),
    *(delete, delete_child, rekey_child, rekey_ike, liveness),
)
ONCE: tuple[Callable[[str], Document], ...] = (inner_ipv6, outer_ipv6)
