"""What a running strongSwan can be asked for, as `ctl` asks a node of the lab; pure.

status                       its SAs
initiate [PEER|child]        open the SAs with a peer, or the only one; a Child SA where there is an IKE SA
terminate [PEER|child]       delete all IKE SAs, those with a peer, or the Child SAs alone
rekey ike|child              replace all SAs of the kind
reauthenticate               make IKE SAs anew with an authentication, where it has opened them
ping ADDRESS [COUNT]         through the tunnel; what is not answered is an error
reload                       read swanctl.conf again
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from lab.peers.strongswan import CHILD
from lab.wire import forge_rfc7296

#: Seconds that swanctl waits for what it asked for.
TIMEOUT = 15
_WAIT = ("--timeout", str(TIMEOUT))
#: Also what was taken out of the files is gone then.
RELOAD = ("swanctl", "--load-all", "--noprompt", "--clear")
PINGS = 3
#: Seconds for one answer, and until the next request, as for the lab's own nodes (lab/backends/echo.py).
PATIENCE, PAUSE = 2, 0.05
_MAX_PINGS = 100
_MAX_STRAYS = 20
_PEER = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")

_LIST = ("swanctl", "--list-sas", "--pretty")
STATUS, PING, STRAY = "status", "ping", "stray"


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `every`: once for each IKE SA, whose name comes behind."""

    argv: tuple[str, ...]
    every: bool = False

    def calls(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """What to run where these are the names of the IKE SAs."""
        return tuple((*self.argv, name) for name in dict.fromkeys(names)) if self.every else (self.argv,)


def of(words: Sequence[str]) -> Command:
    """The command for such words. Raises ValueError that names what there is."""
    verb, *rest = words
    make = _VERBS.get(verb)
    if make is None:
        known = ", ".join(_VERBS)
        raise ValueError(f"{verb!r} is nothing that a strongSwan can be asked for: there are {known}")
    return make(rest)


def problem(words: Sequence[str]) -> str:
    """What is wrong with such words; empty where nothing is."""
    try:
        of(words)
    except ValueError as error:
        return str(error)
    return ""


def _status(rest: Sequence[str]) -> Command:
    _at_most(rest, 0, STATUS)
    return Command(_LIST)


def _reload(rest: Sequence[str]) -> Command:
    _at_most(rest, 0, "reload")
    return Command(RELOAD)


def _initiate(rest: Sequence[str]) -> Command:
    _at_most(rest, 1, "initiate [PEER|child]")
    # charon makes the Child SA in the IKE SA that it has.
    peer = ("--ike", _peer(rest[0])) if rest and rest != ["child"] else ()
    return Command(("swanctl", "--initiate", *_WAIT, "--child", CHILD, *peer))


def _terminate(rest: Sequence[str]) -> Command:
    _at_most(rest, 1, "terminate [PEER|child]")
    if rest == ["child"]:
        return Command(("swanctl", "--terminate", *_WAIT, "--child", CHILD))
    peer = (_peer(rest[0]),) if rest else ()
    return Command(("swanctl", "--terminate", *_WAIT, "--ike", *peer), every=not peer)


def _rekey(rest: Sequence[str]) -> Command:
    if rest == ["child"]:
        return Command(("swanctl", "--rekey", "--child", CHILD))
    if rest == ["ike"]:
        return Command(("swanctl", "--rekey", "--ike"), every=True)
    raise ValueError("rekey: write `rekey ike` or `rekey child`")


def _reauthenticate(rest: Sequence[str]) -> Command:
    _at_most(rest, 0, "reauthenticate")
    return Command(("swanctl", "--rekey", "--reauth", "--ike"), every=True)


def ping(rest: Sequence[str]) -> tuple[str, int]:
    """The address and the number in `ADDRESS [COUNT]`. Raises ValueError."""
    if len(rest) not in (1, 2) or (len(rest) == 2 and not 0 < _number(rest[1]) <= _MAX_PINGS):
        raise ValueError(f"ping: write `ping ADDRESS [COUNT]`, at most {_MAX_PINGS}")
    return str(ip_address(rest[0])), int(rest[1]) if len(rest) == 2 else PINGS


def _ping(rest: Sequence[str]) -> Command:
    """One `ping` for each request: after a first answer it waits for others no longer than that one took."""
    address, count = ping(rest)
    script = (
        f"answered=0; for n in $(seq {count}); do",
        f"ping -n -q -c 1 -W {PATIENCE} {address} >/dev/null && answered=$((answered + 1));",
        f"sleep {PAUSE:g}; done;",
        f'echo "$answered of {count} echo requests to {address} were answered" >&2;',
        f'[ "$answered" -eq {count} ]',
    )
    return Command(("bash", "-c", " ".join(script)))


def _stray(rest: Sequence[str]) -> Command:
    """There is a shell in the image, and bash can send datagrams."""
    if len(rest) not in (1, 2) or (len(rest) == 2 and not 0 < _number(rest[1]) <= _MAX_STRAYS):
        raise ValueError(f"stray: write `stray PEER [COUNT]`, at most {_MAX_STRAYS}")
    target = f"/dev/udp/{_peer(rest[0])}/500"
    count = int(rest[1]) if len(rest) == 2 else 1
    # One seed each: no two are alike, and every run sends the same.
    requests = (forge_rfc7296.request(b"", Random(seed)) for seed in range(1, count + 1))
    sent = [f"printf '{_escaped(octets)}' >{target}" for octets in requests]
    return Command(("bash", "-c", " && ".join(sent)))


def _escaped(octets: bytes) -> str:
    return "".join(rf"\x{octet:02x}" for octet in octets)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _peer(text: str) -> str:
    if not _PEER.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a node")
    return text


def _at_most(rest: Sequence[str], count: int, usage: str) -> None:
    if len(rest) > count:
        raise ValueError(f"{' '.join(rest)!r} is too much: write `{usage}`")


_VERBS: dict[str, Callable[[Sequence[str]], Command]] = {
    STATUS: _status,
    "initiate": _initiate,
    "terminate": _terminate,
    "rekey": _rekey,
    "reauthenticate": _reauthenticate,
    PING: _ping,
    STRAY: _stray,
    "reload": _reload,
}
