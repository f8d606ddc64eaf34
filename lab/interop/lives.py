"""Special cases of the life of SAs: deleted, replaced, given up. Data; each with its own expectations.

`who` is the side that acts, where that can be either. Where both rekey at once, a wire node holds what they
send for longer than it takes to ask both: their requests cross on the way, whatever the machine does.
"""

from collections.abc import Mapping

from lab.interop import documents
from lab.interop.documents import NEVER, OTHER, PEER, SUBJECT, Document, Expect, Settings, ping

#: A peer that is gone is given up within two seconds.
IMPATIENT = {"retransmit": 0.2, "backoff": 1.5, "tries": 3}
#: Nothing is sent again while the wire holds it.
PATIENT = {"daemon": {"retransmit": 8}}
#: Seconds for which the wire holds a message: both sides are asked in less.
HELD = 2.5
#: Suites with a key exchange of their own, which a Child SA has from its first rekey on.
PFS = ["aes256gcm16-x25519"]

#: Seconds after which SAs are replaced where their lives are short, and for how long that is watched.
CHILD_LIFE, IKE_LIFE = 10, 30
SHORT = 25
#: Seconds for which an authentication counts, and how much earlier it is repeated.
AUTHENTICATED, EARLY = 8, 2
#: More does not fit into the steps and the time of a scenario.
LONGEST = 1500
#: Echo requests of one step, and how long they take at least (`PAUSE` of `lab.peers.commands`).
BURST, BURST_SECONDS = 100, 5


def delete(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.4.1: one side deletes the IKE SA, and both sides have none."""
    gone: Expect = {
        "events": ["ike_sa_established", "child_sa_installed", "child_sa_deleted", "ike_sa_deleted"],
        "never": NEVER,
        "sas": "none",
    }
    steps = [*documents.pings(), _ctl(who, "terminate")]
    return documents.case(role, f"The {who} deletes the IKE SA", {}, dict.fromkeys(OTHER, gone), steps=steps)


def delete_child(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.4.1: one side deletes the Child SA; the IKE SA stays."""
    gone: Expect = {
        "events": ["ike_sa_established", "child_sa_installed", "child_sa_deleted"],
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": {"ike": 1, "child": 0},
    }
    steps = [*documents.pings(), _ctl(who, "terminate", "child")]
    return documents.case(
        role, f"The {who} deletes the Child SA", {}, dict.fromkeys(OTHER, gone), steps=steps
    )


def another_child(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.3.1: a Child SA after the first one is gone, by CREATE_CHILD_SA in the same IKE SA."""
    again: Expect = {
        "events": [{"event": "child_sa_installed", "count": 2}, {"event": "child_sa_deleted", "count": 1}],
        "ordered": False,
        "never": [*NEVER, "ike_sa_deleted", "child_sa_rekeyed"],
        "sas": "established",
    }
    steps = [
        *documents.pings(),
        _ctl(who, "terminate", "child"),
        *documents.waits("child_sa_deleted"),
        _ctl(who, "initiate", "child"),
        *documents.waits("child_sa_installed", 2),
        *map(ping, OTHER),
    ]
    title = f"The {who} deletes the Child SA and makes another"
    return documents.case(role, title, {}, dict.fromkeys(OTHER, again), steps=steps)


def liveness(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 2.4: the other side vanishes; `who` asks, gives up and deletes its SAs."""
    dead_one = OTHER[who]
    settings: Settings = {who: {"dpd": 1, "daemon": IMPATIENT}}
    steps = [*documents.pings(), {"kill": dead_one}, {"wait": {"node": who, "event": "ike_sa_deleted"}}]
    alone: Expect = {
        "events": ["ike_sa_established", "retransmitted", "retransmission_gave_up", "ike_sa_deleted"],
        "never": ["authentication_failed", "node_failed"],
        "sas": "none",
    }
    dead: Expect = {"events": ["ike_sa_established"], "never": ["node_failed"], "exit_code": 137}
    return documents.case(
        role, f"The {dead_one} is dead", settings, {who: alone, dead_one: dead}, steps=steps
    )


# --- rekeying ---


def rekey_child(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.3.3: one side replaces the Child SA, and traffic goes on."""
    return _rekeyed_child(role, who, f"The {who} rekeys the Child SA", {}, {})


def rekey_child_pfs(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.3.3: the same with a key exchange, which the first Child SA of an IKE SA has none of."""
    title = f"The {who} rekeys the Child SA, with a key exchange"
    suite = {"where": {"suite": {"contains": "CURVE25519"}}}
    return _rekeyed_child(role, who, title, documents.both({"esp": PFS}), suite)


def _rekeyed_child(
    role: str, who: str, title: str, settings: Settings, second: Mapping[str, object]
) -> Document:
    expect: Expect = {
        "events": [
            {"event": "child_sa_installed", "count": 2},
            {"event": "child_sa_installed", "count": 1 if second else 2, **second},
            {"event": "child_sa_rekeyed", "count": 1},
            {"event": "child_sa_deleted", "count": 1},
        ],
        "ordered": False,
        "never": _UNHARMED,
        "sas": "established",
    }
    steps = [
        *documents.pings(),
        _ctl(who, "rekey", "child"),
        *documents.waits("child_sa_deleted"),
        *map(ping, OTHER),
    ]
    return documents.case(role, title, settings, dict.fromkeys(OTHER, expect), steps=steps)


def rekey_ike(role: str, who: str = SUBJECT) -> Document:
    """RFC 7296 1.3.2: one side replaces the IKE SA; the Child SA moves over, and traffic goes on.

    The Child SA is then rekeyed in the new IKE SA: its keys are derived from the new SK_d (2.18).
    """
    expect: Expect = {
        "events": [
            {"event": "ike_sa_rekeyed", "count": 1},
            {"event": "ike_sa_deleted", "count": 1},
            {"event": "child_sa_rekeyed", "count": 1},
        ],
        "never": [*NEVER, "rekey_collision"],
        "sas": "established",
    }
    steps = [
        *documents.pings(),
        _ctl(who, "rekey", "ike"),
        *documents.waits("ike_sa_deleted"),
        *map(ping, OTHER),
        _ctl(who, "rekey", "child"),
        *documents.waits("child_sa_rekeyed"),
        *map(ping, OTHER),
    ]
    title = f"The {who} rekeys the IKE SA"
    return documents.case(role, title, {}, dict.fromkeys(OTHER, expect), steps=steps)


def collide_child(role: str) -> Document:
    """RFC 7296 2.8.1: both sides replace the Child SA at once; of the two new ones one is left."""
    expect: Expect = {
        "events": [
            # strongSwan tells of what it sends through, our node of both heirs.
            {"event": "child_sa_installed", "count": {"least": 2, "most": 3}},
            {"event": "rekey_collision", "count": 1},
            {"event": "child_sa_rekeyed", "count": 1},
            {"event": "child_sa_deleted", "count": 2},
        ],
        "ordered": False,
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": "established",
    }
    return _collision(role, "child", "child_sa_deleted", 2, expect)


def collide_ike(role: str) -> Document:
    """RFC 7296 2.8.2: both sides replace the IKE SA at once; one inherits the Child SA."""
    expect: Expect = {
        "events": [
            {"event": "rekey_collision", "count": 1},
            {"event": "ike_sa_rekeyed", "count": 1},
            {"event": "ike_sa_deleted", "count": 2},
        ],
        "ordered": False,
        "never": [*NEVER, "child_sa_deleted"],
        "sas": "established",
    }
    return _collision(role, "ike", "ike_sa_deleted", 2, expect)


def _collision(role: str, what: str, last: str, count: int, expect: Expect) -> Document:
    held = {"act": "delay", "match": "IKE", "seconds": HELD}
    steps = [
        *documents.pings(),
        {"faults": [held]},
        *(_ctl(side, "rekey", what) for side in OTHER),
        *documents.waits("rekey_collision"),
        {"faults": []},
        *documents.waits(last, count),
        *map(ping, OTHER),
    ]
    title = f"Both sides rekey the {'IKE' if what == 'ike' else 'Child'} SA at once"
    expected = dict.fromkeys(OTHER, expect)
    return documents.case(
        role, title, documents.both(PATIENT), expected, steps=steps, profile="rfc7296", wire={}, timeout=60
    )


def short_lives(role: str, seconds: int = SHORT) -> Document:
    """Child SAs of ten seconds and IKE SAs of thirty by the clocks of both sides, and traffic through all."""
    lives = {"rekey": {"child": CHILD_LIFE, "ike": IKE_LIFE}}
    bursts = [ping(side, str(BURST)) for side in OTHER]
    rekeyed = {"child_sa_rekeyed": seconds // CHILD_LIFE - 1, "ike_sa_rekeyed": seconds // IKE_LIFE - 1}
    expect: Expect = {
        "events": [{"event": name, "count": {"least": n}} for name, n in rekeyed.items() if n > 0],
        "ordered": False,
        "never": [*NEVER, "child_sa_expired", "retransmission_gave_up"],
        "sas": "established",
    }
    steps = [*documents.pings(), *(bursts * -(-seconds // (2 * BURST_SECONDS)))]
    return documents.case(
        role,
        f"Lives of {CHILD_LIFE} and {IKE_LIFE} s for {seconds} s, and nothing is lost",
        documents.both(lives),
        dict.fromkeys(OTHER, expect),
        steps=steps,
        timeout=2 * seconds + 30,
    )


# --- reauthentication ---


def reauthenticate(role: str) -> Document:
    """RFC 7296 2.8.3: who opened the IKE SA authenticates anew, told to, and deletes the old one then."""
    first, _ = documents.first_and_second(role)
    steps = [
        *documents.pings(),
        _ctl(first, "reauthenticate"),
        *(ping(side, str(BURST)) for side in OTHER),
        *documents.waits("ike_sa_deleted"),
        *map(ping, OTHER),
    ]
    return _authenticated_anew(role, f"The {first} authenticates anew", {}, 1, steps)


def short_authentications(role: str) -> Document:
    """The same by the clock of who opened the IKE SA, while pings go both ways all the time."""
    first, _ = documents.first_and_second(role)
    title = f"The {first} authenticates anew every {AUTHENTICATED} s, and nothing is lost"
    return _authenticated_anew(role, title, {first: {"reauth": AUTHENTICATED, "over": EARLY}}, 3, _bursts(3))


def auth_lifetime(role: str) -> Document:
    """RFC 4478: the responder says how long an authentication counts, and the initiator obeys in time."""
    first, second = documents.first_and_second(role)
    title = f"The {second} wants to be authenticated anew every {AUTHENTICATED} s, and nothing is lost"
    # strongSwan obeys so much earlier, and ends so much later what it asked for.
    lives = {second: {"reauth": AUTHENTICATED, "over": EARLY}, first: {"over": EARLY}}
    return _authenticated_anew(role, title, lives, 4, _bursts(4))


def _bursts(last: int) -> list[Document]:
    """Pings both ways, and after them the end of so many IKE SAs: then no other one is due for a while.

    The bursts are shorter than three authentications, or four that are repeated early.
    """
    bursts = [ping(side, str(BURST)) for side in (SUBJECT, PEER, SUBJECT)]
    return [*documents.pings(), *bursts, *documents.waits("ike_sa_deleted", last), *map(ping, OTHER)]


def _authenticated_anew(
    role: str, title: str, lives: Mapping[str, Mapping[str, int]], least: int, steps: list[Document]
) -> Document:
    """A new IKE SA, whole and authenticated, is up before the old one goes, at least so many times."""
    expect: Expect = {
        "events": [
            {"event": "peer_auth_verified", "count": {"least": least + 1}},
            {"event": "ike_sa_established", "count": {"least": least + 1}},
            {"event": "child_sa_installed", "count": {"least": least + 1}},
            {"event": "ike_sa_deleted", "count": {"least": least}},
        ],
        "ordered": False,
        "never": [*NEVER, "ike_sa_rekeyed", "retransmission_gave_up"],
        "sas": "established",
    }
    settings = {
        side: {"daemon": {"make_before_break": True}, **({"rekey": lives[side]} if side in lives else {})}
        for side in OTHER
    }
    return documents.case(role, title, settings, dict.fromkeys(OTHER, expect), steps=steps, timeout=60)


#: A single rekey harms nobody.
_UNHARMED = [*NEVER, "ike_sa_deleted", "rekey_collision", "notify_sent"]


def _ctl(side: str, *words: str) -> Document:
    return {"ctl": {"node": side, "command": list(words)}}
