"""The lab's own node as the subject, out of a document in which the subject is a strongSwan.

What a strongSwan is told becomes what our node is told; who does what, and what must happen, stay as they
are. What our node has no setting for is written down all the same: the scenario is then refused, by the name
of the setting, and the cell or case fails.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from lab.interop import documents, lives, mobility, modes, special
from lab.interop.documents import PEER, SUBJECT, Document
from lab.labels import Role
from lab.peers.strongswan import Auth

Settings = Mapping[str, Any]


def subject(document: Document) -> Document:
    """The same scenario with our node in the subject's place."""
    made = deepcopy(document)
    nodes = made["nodes"]
    role, settings = nodes[SUBJECT]["role"], nodes[SUBJECT]["strongswan"]
    nodes[SUBJECT] = {"role": role, "config": config(settings)}
    if "secret" in settings:
        nodes[SUBJECT]["psk"] = settings["secret"]
    made["profile"] = "rfc7296"
    expect = made["expect"][SUBJECT]
    made["expect"][SUBJECT] = {**expect, "events": [_told(event) for event in expect["events"]]}
    steps = [step for step in made.get("steps", ()) if role == Role.RESPONDER or not _opens(step)]
    made["steps"] = [_asked(step) for step in steps]
    return made


#: Our node tells with a message that it is in fragments.
_IN_FRAGMENTS: Document = {"fragments": {"least": 2}}
_TOLD: Mapping[str, Document] = {
    "message_fragmented": {"event": "ike_auth_sent", "where": _IN_FRAGMENTS},
    "message_reassembled": {"event": "ike_auth_received", "where": _IN_FRAGMENTS},
}


def _told(event: Document | str) -> Document | str:
    """What our node tells where a strongSwan tells this: the same, but for fragments and single addresses."""
    if isinstance(event, str):
        return _TOLD.get(event, event)
    where = {name: _plain(value) for name, value in event.get("where", {}).items()}
    return {**event, "where": where} if where else event


def _plain(value: object) -> object:
    """One address without the length of its prefix."""
    if isinstance(value, dict) and str(value.get("contains")).endswith("/32"):
        return {"contains": value["contains"].removesuffix("/32")}
    return value


#: What our node is asked for where a strongSwan is asked for this.
_ASKED: Mapping[tuple[str, ...], str] = {
    ("terminate", "child"): "delete-child",
    ("initiate", "child"): "create-child",
    ("rekey", "child"): "rekey-child",
    ("rekey", "ike"): "rekey-ike",
}


def _asked(step: Document) -> Document:
    given = step.get("ctl", {})
    if given.get("node") != SUBJECT or (command := _ASKED.get(tuple(given["command"]))) is None:
        return step
    return {"ctl": {"node": SUBJECT, "command": [command]}}


def _opens(step: Document) -> bool:
    """Our initiator opens its SAs by itself, once its peer is ready."""
    return bool(step.get("ctl") == {"node": SUBJECT, "command": ["initiate"]})


def config(settings: Settings) -> Document:
    """The node's configuration that says the same.

    An inner address that is lent, and the selectors of whom it is lent to (`dynamic`), need no words: they
    follow from `child.virtual_ip` and `child.pool` (RFC 7296 2.19).
    """
    made: Document = {"demo": {"message": "", "pings": 0}}
    for name, value in settings.items():
        if (rule := _RULES.get(name)) and value not in ([], ["dynamic"]):
            _set(made, *rule(value))
    _set_lives(made, settings.get("rekey", {}))
    # Our key says by which signature we authenticate; of RSA's two, PSS must be asked for.
    if settings.get("auth") == Auth.PSS:
        _set(made, "local.rsa_pss", True)
    if settings.get("auth") == Auth.PSK:
        _set(made, "local.auth", "psk")
        _set(made, "peer.auth", "psk")
    for name, value in settings.get("daemon", {}).items():
        if rule := _DAEMON.get(name):
            _set(made, *rule(value))
    return made


def _set_lives(made: Document, lives_: Mapping[str, int]) -> None:
    """strongSwan's clocks have no jitter here: both sides are to meet."""
    for name in ("ike", "child"):
        if name in lives_:
            _set(made, f"{name}.lifetime.rekey", lives_[name])
            _set(made, f"{name}.lifetime.jitter", 0)
    if "reauth" in lives_:
        # strongSwan does the one where it has opened the IKE SA, and the other where it has not.
        _set(made, "ike.lifetime.reauth", lives_["reauth"])
        _set(made, "ike.lifetime.jitter", 0)
        _set(made, "ike.auth_lifetime", lives_["reauth"])


def _set(made: Document, path: str, value: object) -> None:
    *sections, name = path.split(".")
    for section in sections:
        made = made.setdefault(section, {})
    made[name] = value


Rule = Callable[[Any], tuple[str, object]]


def _as(path: str) -> Rule:
    return lambda value: (path, value)


def _inner(addresses: list[str]) -> tuple[str, object]:
    return "tun.address", addresses[0].partition("/")[0]


_RULES: Mapping[str, Rule] = {
    "identity": _as("local.identity"),
    "peer_identity": _as("peer.identity"),
    "ike": _as("ike.proposals"),
    "esp": _as("child.proposals"),
    "local_ts": _as("child.local_ts"),
    "remote_ts": _as("child.remote_ts"),
    "inner": _inner,
    "dpd": _as("ike.liveness.interval"),
    "vips": lambda value: ("child.virtual_ip", ["any4"]),
    "pool": lambda value: ("child.pool", [value]),
}
_DAEMON: Mapping[str, Rule] = {
    "retransmit": _as("ike.retransmit.timeout"),
    "backoff": _as("ike.retransmit.factor"),
    "tries": lambda value: ("ike.retransmit.tries", value + 1),
    "half_open": _as("ike.half_open.lifetime"),
    "cookie_threshold": _as("ike.half_open.cookie_threshold"),
    "fragment": _as("ike.fragment_size"),
}


# --- the special cases ---

#: What our node does not do by itself (childless IKE SAs) is left to its peer.
_CASES: tuple[Callable[[str], Document], ...] = (
    *(
        special.fragmentation,
        special.invalid_ke,
        special.narrowing,
        special.wrong_psk,
        special.wrong_identity,
    ),
    *(special.wrong_ca, special.expired_certificate, special.proposal_mismatch, special.child_mismatch),
    *(special.virtual_ip, special.inner_ipv6, special.outer_ipv6),
    *(lives.collide_child, lives.collide_ike, lives.short_lives),
    *(lives.reauthenticate, lives.short_authentications, lives.auth_lifetime),
)
#: What either side does.
_BY_EITHER: tuple[Callable[[str, str], Document], ...] = (
    *(lives.delete, lives.delete_child, lives.another_child, lives.liveness),
    *(lives.rekey_child, lives.rekey_child_pfs, lives.rekey_ike),
)


def cases() -> dict[str, Document]:
    """Every special case with our node as the subject, by its name."""
    return dict(_cases())


def _cases() -> Iterator[tuple[str, Document]]:
    for role in ("initiator", "responder"):
        for make in _CASES:
            yield f"{_name(make)}-{role}", subject(make(role))
        for by_either in _BY_EITHER:
            yield f"{_name(by_either)}-{role}", subject(by_either(role, SUBJECT))
            yield f"{_name(by_either)}-by-peer-{role}", subject(by_either(role, PEER))
        yield f"{_name(mobility.moves)}-{role}", subject(mobility.moves(role))
    yield from modes.cases().items()
    yield "cookie-initiator", _cookie_shown()
    yield "cookie-responder", _cookie_wanted()


def _name(make: Callable[..., Document]) -> str:
    return make.__name__.replace("_", "-")


def _cookie_wanted() -> Document:
    """Our responder can ask everybody for a cookie: no stray request is needed."""
    made = subject(special.cookie("responder"))
    made["nodes"][SUBJECT]["config"]["ike"] = {"half_open": {"cookie_threshold": 0}}
    made["steps"] = [step for step in made["steps"] if not _strays(step)]
    made["expect"][SUBJECT]["sas"] = "established"
    return made


def _strays(step: Document) -> bool:
    waited = step.get("wait", {})
    return "stray" in step.get("ctl", {}).get("command", ()) or waited.get("event") == "ike_sa_init_received"


def _cookie_shown() -> Document:
    """Our initiator opens its SAs as it starts: a cookie is wanted when it does so for the second time."""
    made = subject(special.cookie("initiator"))
    stray, seen, *pings = [step for step in made["steps"] if step.get("wait", {}).get("event") != "udp_bound"]
    seen["wait"]["count"] = 2
    again = [step | {"wait": step["wait"] | {"count": 2}} if "wait" in step else step for step in pings]
    made["steps"] = [
        *(step for step in pings if "wait" in step),
        {"ctl": {"node": SUBJECT, "command": ["terminate"]}},
        *documents.waits("ike_sa_deleted"),
        *(stray, seen),
        {"ctl": {"node": SUBJECT, "command": ["initiate"]}},
        *again,
    ]
    return made
