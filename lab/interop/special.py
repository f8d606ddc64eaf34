"""The special cases: what the matrix does not show, each as a scenario with its own expectations. Data.

`FLIPPED` are run with the subject in both roles, `ONCE` with the subject as the initiator. Here are those of
the handshake; `lives` has what comes after it.
"""

from collections.abc import Callable, Iterator

from lab.interop import documents, lives
from lab.interop.documents import (
    ADDRESSES,
    KEYS,
    NETWORKS,
    NEVER,
    OTHER,
    PEER,
    SUBJECT,
    Document,
    Expect,
    Settings,
)


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


def _down(*events: object) -> Expect:
    never = ["child_sa_installed", "ike_sa_established", "node_failed"]
    return {"events": list(events), "never": never, "sas": "none"}


# --- the handshake ---


def fragmentation(role: str) -> Document:
    """RFC 7383: IKE_AUTH with a certificate does not fit into packets of 576 octets."""
    there: Expect = {**documents.up("message_fragmented", "message_reassembled"), "ordered": False}
    expect = dict.fromkeys(OTHER, there)
    small = documents.both({"daemon": {"fragment": 576}})
    return documents.case(role, "IKE_AUTH travels in fragments", small, expect, steps=documents.pings())


def cookie(role: str) -> Document:
    """RFC 7296 2.6: a stray request from the same address makes the responder ask for a cookie."""
    first, second = documents.first_and_second(role)
    settings: Settings = {first: {"start": False}, second: {"daemon": {"cookie_threshold": 1}}}
    steps = [
        *documents.waits("udp_bound"),
        {"ctl": {"node": first, "command": ["stray", second]}},
        {"wait": {"node": second, "event": "ike_sa_init_received"}},
        {"ctl": {"node": first, "command": ["initiate"]}},
        *documents.pings(),
    ]
    # Once in a while strongSwan takes no cookie in its first seconds: its clock of cookies starts anywhere.
    asked = {"event": "ike_sa_init_retried", "where": {"notify": "COOKIE"}}
    refused = {"event": "datagram_dropped", "where": {"reason": "cookie_required"}}
    # The stray request's IKE SA is still half-open in the end.
    answered = {**documents.up(refused), "sas": {"ike": 1, "child": 1, "half_open": 1}}
    return documents.case(
        role,
        "Under load a cookie is wanted",
        settings,
        {first: documents.up(asked), second: answered},
        steps=steps,
    )


def invalid_ke(role: str) -> Document:
    """RFC 7296 1.2: the initiator guesses a group that the responder does not want."""
    first, second = documents.first_and_second(role)
    settings: Settings = {
        first: {"ike": ["aes256-sha256-ecp256", "aes256-sha256-x25519"]},
        second: {"ike": ["aes256-sha256-x25519"]},
    }
    retried = {
        "event": "ike_sa_init_retried",
        "where": {"notify": "INVALID_KE_PAYLOAD", "group": "CURVE25519"},
    }
    refused = {"event": "notify_sent", "where": {"notify": "INVALID_KE_PAYLOAD"}}
    expect = {first: documents.up(retried), second: documents.up(refused)}
    return documents.case(role, "Another group is wanted", settings, expect, steps=documents.pings())


def narrowing(role: str) -> Document:
    """RFC 7296 2.9: the initiator asks for more than the responder grants."""
    first, second = documents.first_and_second(role)
    network = NETWORKS[second]
    wide = network.replace(".0.0/24", ".0.0/16")
    narrowed = {"event": "child_sa_installed", "where": {"remote": {"contains": network}}}
    expect = {first: documents.up(narrowed), second: documents.up()}
    expect[first]["ordered"] = False
    return documents.case(
        role, "Selectors are narrowed", {first: {"remote_ts": [wide]}}, expect, steps=documents.pings()
    )


def wrong_psk(role: str) -> Document:
    """The two sides do not have the same key."""
    settings: Settings = {
        SUBJECT: {"auth": "psk", "secret": "a pre-shared key of one side"},
        PEER: {"auth": "psk", "secret": "a pre-shared key of the other"},
    }
    first, second = documents.first_and_second(role)
    expect = {first: _refused(), second: _refusing("wrong_shared_key")}
    return documents.case(role, "The pre-shared keys differ", settings, expect)


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
    first, second = documents.first_and_second(role)
    settings: Settings = {second: {"peer_identity": "fqdn:somebody-else"}}
    expect = {first: _refused(), second: _refusing("unexpected_identity")}
    return documents.case(role, "Somebody else was expected", settings, expect)


def wrong_ca(role: str) -> Document:
    """The initiator's certificate is of a CA that the responder does not trust."""
    first, second = documents.first_and_second(role)
    credentials = {**KEYS, "authorities": {"rogue": {}}, "certificates": {first: {"issuer": "rogue"}}}
    expect = {first: _refused(), second: _refusing("untrusted_issuer")}
    return documents.case(role, "Nobody trusts that CA", {}, expect, credentials=credentials)


def expired_certificate(role: str) -> Document:
    """The initiator's certificate expired yesterday."""
    first, second = documents.first_and_second(role)
    credentials = {**KEYS, "certificates": {first: {"days": -1}}}
    expect = {first: _refused(), second: _refusing("expired")}
    return documents.case(role, "The certificate has expired", {}, expect, credentials=credentials)


def proposal_mismatch(role: str) -> Document:
    """No common cipher suite for the IKE SA."""
    first, second = documents.first_and_second(role)
    settings: Settings = {
        first: {"ike": ["aes128gcm16-prfsha256-x25519"]},
        second: {"ike": ["chacha20poly1305-prfsha256-x25519"]},
    }
    told = {"event": "notify_received", "where": {"notify": "NO_PROPOSAL_CHOSEN", "protected": False}}
    sent = {"event": "notify_sent", "where": {"notify": "NO_PROPOSAL_CHOSEN"}}
    return documents.case(role, "No common suite", settings, {first: _down(told), second: _down(sent)})


def child_mismatch(role: str) -> Document:
    """No common suite for the Child SA: the IKE SA stays, without one (RFC 7296 1.2)."""
    first, second = documents.first_and_second(role)
    settings: Settings = {first: {"esp": ["aes128gcm16"]}, second: {"esp": ["aes256-sha256"]}}
    never = ["child_sa_installed", "ike_sa_deleted", "node_failed"]
    events = ["ike_sa_established", "child_sa_failed"]
    stays: Expect = {"events": events, "never": never, "sas": {"ike": 1, "child": 0}}
    answered = {**stays, "events": ["ike_sa_established"]}
    return documents.case(role, "An IKE SA without a Child SA", settings, {first: stays, second: answered})


def virtual_ip(role: str) -> Document:
    """RFC 7296 2.19: the responder lends the initiator an address."""
    first, second = documents.first_and_second(role)
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
    return documents.case(role, "A virtual address is lent", settings, expect, steps=steps)


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
        *documents.waits("child_sa_installed"),
        *({"ctl": {"node": side, "command": ["ping", addresses[OTHER[side]]]}} for side in OTHER),
    ]
    return documents.case(
        role, "IPv6 through the tunnel", settings, dict.fromkeys(OTHER, documents.up()), steps=steps
    )


def outer_ipv6(role: str) -> Document:
    """IPv4 inside, IPv6 outside."""
    there = {"event": "ike_sa_established", "where": {"peer": {"matches": r"\[?fd.*"}}}
    expect: Expect = {"events": [there, "child_sa_installed"], "never": NEVER, "sas": "established"}
    return documents.case(
        role,
        "The tunnel itself is IPv6",
        {},
        dict.fromkeys(OTHER, expect),
        steps=documents.pings(),
        outer="ipv6",
    )


def childless(role: str) -> Document:
    """RFC 6023: IKE_AUTH without a Child SA, which CREATE_CHILD_SA then makes."""
    expect = dict.fromkeys(OTHER, documents.up())
    settings = documents.both({"childless": "force"})
    made = [{"event": "create_child_sa_received", "where": {"kind": "response"}}]
    first, _ = documents.first_and_second(role)
    expect[first] = {
        **documents.up(),
        "events": ["ike_sa_established", *made, "child_sa_installed"],
        "ordered": False,
    }
    return documents.case(role, "The Child SA comes by itself", settings, expect, steps=documents.pings())


FLIPPED: tuple[Callable[[str], Document], ...] = (
    *(fragmentation, cookie, invalid_ke, narrowing, wrong_psk, wrong_identity, wrong_ca, expired_certificate),
    *(proposal_mismatch, child_mismatch, virtual_ip, childless),
    *(lives.delete, lives.delete_child, lives.another_child, lives.liveness),
    *(lives.rekey_child, lives.rekey_child_pfs, lives.rekey_ike),
    *(lives.collide_child, lives.collide_ike, lives.short_lives),
    *(lives.reauthenticate, lives.short_authentications, lives.auth_lifetime),
)
ONCE: tuple[Callable[[str], Document], ...] = (inner_ipv6, outer_ipv6)
