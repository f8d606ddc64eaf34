"""Transport mode against a strongSwan whose data path has none: what must happen where it cannot come about.

kernel-libipsec has tunnel mode alone, and no Child SA whose selectors hold the peer's outer address. charon
asks for transport mode and agrees to it all the same, and finds out when it installs the Child SA. Only our
node is the subject here, so its settings are its own.
"""

from lab.interop import documents
from lab.interop.documents import PEER, SUBJECT, Document, Expect, Settings

_NEVER = ["authentication_failed", "packet_dropped", "node_failed"]
#: Between the two hosts.
_HOSTS: dict[str, object] = {"local_ts": ["dynamic"], "remote_ts": ["dynamic"], "inner": []}
_EMPTY: Expect = {"events": ["ike_sa_established"], "never": _NEVER, "sas": {"ike": 1, "child": 0}}


def cases() -> dict[str, Document]:
    """Every case by its name."""
    return {
        "transport-asked-initiator": asked(),
        "transport-agreed-responder": agreed(),
        "transport-only-responder": only(),
    }


def asked() -> Document:
    """Our initiator asks. charon agrees, cannot have it, and answers with N(NO_PROPOSAL_CHOSEN): 6.0 without
    AUTH, so that there is no IKE SA for us, 6.1 with it.
    """
    refused = {"event": "notify_received", "where": {"notify": "NO_PROPOSAL_CHOSEN", "protected": True}}
    here: Expect = {
        "events": [refused],
        "never": [*_NEVER, "child_sa_installed"],
    }
    # 6.0 keeps an IKE SA that it has authenticated, too, of which its peer cannot know.
    there: Expect = {
        "events": ["child_sa_failed"],
        "never": ["child_sa_installed"],
        "sas": {"ike": 1, "child": 0},
    }
    return _case("initiator", "Transport mode is asked for in vain", {"mode": "transport"}, here, there)


def agreed() -> Document:
    """Our responder agrees. charon cannot have it, and deletes the Child SA: both sides keep the IKE SA."""
    installed = {"event": "child_sa_installed", "where": {"mode": "transport"}, "count": 1}
    deleted = {"event": "child_sa_deleted", "count": 1}
    here: Expect = {**_EMPTY, "events": ["ike_sa_established", installed, deleted]}
    there: Expect = {**_EMPTY, "events": ["ike_sa_established", "child_sa_failed"]}
    return _case("responder", "Transport mode is agreed to and given up", {"mode": "transport"}, here, there)


def only() -> Document:
    """charon asks for tunnel mode, which our responder does not take in the place of transport mode."""
    here: Expect = {**_EMPTY, "events": ["ike_sa_established", "child_sa_failed"]}
    told = {"event": "notify_received", "where": {"notify": "NO_PROPOSAL_CHOSEN", "protected": True}}
    there: Expect = {**_EMPTY, "events": [told, "ike_sa_established"], "ordered": False}
    return _case("responder", "Tunnel mode in the place of transport mode is refused", {}, here, there)


def _case(role: str, title: str, settings: dict[str, object], here: Expect, there: Expect) -> Document:
    given: Settings = {PEER: {**_HOSTS, **settings}}
    made = documents.case(role, title, given, {SUBJECT: here, PEER: there})
    made["nodes"][SUBJECT] = {
        "role": role,
        "config": {
            "child": {"mode": "transport"},
            "tun": {"enabled": False},
            "demo": {"message": "", "pings": 0},
        },
    }
    made["profile"] = "rfc7296"
    return made
