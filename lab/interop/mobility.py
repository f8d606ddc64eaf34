"""A side that changes its address while the tunnel stays (MOBIKE, RFC 4555), as a special case.

strongSwan's data path here, kernel-libipsec, cannot move a Child SA: it replaces the Child SA at once.
"""

from typing import Any

from lab.interop.documents import ADDRESSES, NEVER, OTHER, PEER, SUBJECT, Document, node, roles


def moves(role: str) -> Document:
    """The subject has this role; whoever initiates goes to another address and back, and pings go on."""
    given = roles(role)
    initiator = SUBJECT if role == "initiator" else PEER
    return {
        "title": "The initiator moves to another address",
        "description": f"The initiator moves to another address and back; the subject is the {role}.",
        "timeout": 40,
        "credentials": {"key_type": "ecdsa-p256", "root_key_type": "ecdsa-p256"},
        "nodes": {side: node(side, given[side], mobike=True) for side in given},
        "steps": [
            *({"wait": {"node": side, "event": "child_sa_installed"}} for side in OTHER),
            *_pings(),
            *_move(initiator, 1),
            *_move(initiator, 2),
        ],
        "expect": dict.fromkeys(OTHER, _stays()),
    }


def _move(initiator: str, number: int) -> list[Document]:
    """What the initiator then asks for is answered before pings go on; so is the new Child SA."""
    return [
        {"readdress": initiator},
        *({"wait": {"node": side, "event": "child_sa_rekeyed", "count": number}} for side in OTHER),
        *_pings(),
    ]


def _pings() -> list[Document]:
    return [{"ctl": {"node": side, "command": ["ping", ADDRESSES[OTHER[side]]]}} for side in OTHER]


def _stays() -> dict[str, Any]:
    return {
        "events": [{"event": "ike_sa_established", "count": 1}],
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": "established",
    }
