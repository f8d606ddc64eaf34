"""How the lab marks what is its own, and the rules for names.

1. Everything created carries `org.ipseclab.lab`; `down` removes by this label and by nothing else.
2. A lab that plain compose started carries the same labels, but for the scenario.
3. `down --all` touches what this user owns, and what has a lab but no owner.
"""

import getpass
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lab.errors import UsageError

PREFIX = "org.ipseclab."
LAB = PREFIX + "lab"
NODE = PREFIX + "node"
ROLE = PREFIX + "role"
#: Of a node that is not the lab's own: what it is.
KIND = PREFIX + "kind"
OWNER = PREFIX + "owner"
SESSION = PREFIX + "session"
SCENARIO = PREFIX + "scenario"
#: Of a sniffer: the node whose network it shares.
BESIDE = PREFIX + "beside"

# A lab's name becomes part of container, network, volume and file names, and of host names (RFC 1035 2.3.1).
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Role(StrEnum):
    """What a node does in the lab."""

    CA = "ca"
    RESPONDER = "responder"
    INITIATOR = "initiator"
    #: Relays between initiators and responder; never established with anybody.
    WIRE = "wire"
    #: Captures at a node; not a node of the lab.
    SNIFFER = "sniffer"


class Kind(StrEnum):
    """What a node is."""

    NODE = "node"
    STRONGSWAN = "strongswan"


@dataclass(frozen=True, slots=True)
class Marks:
    """What one run of the CLI puts on everything it creates."""

    lab: str
    scenario: str
    owner: str
    session: str

    def labels(self, node: str | None = None, role: Role | None = None) -> dict[str, str]:
        """Labels for a thing of the lab, or of one node of it."""
        marks = {LAB: self.lab, SCENARIO: self.scenario, OWNER: self.owner, SESSION: self.session}
        if node is not None:
            marks[NODE] = node
        if role is not None:
            marks[ROLE] = role.value
        return marks


def owner() -> str:
    """Who runs this: the login name, or the uid where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def new_session() -> str:
    """A fresh session id."""
    return uuid.uuid4().hex


def may_remove(found: Mapping[str, str], who: str) -> bool:
    """Whether `who` may remove a thing with these labels in `down --all`."""
    return LAB in found and found.get(OWNER, who) == who


def check_name(name: str) -> str:
    """Return `name` if it can be a lab's name; raises UsageError."""
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"lab name {name!r}: use 1 to 32 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
    )
