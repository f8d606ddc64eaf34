"""A side that changes its address while the tunnel stays (MOBIKE, RFC 4555), as a special case.

strongSwan's data path here, kernel-libipsec, cannot move a Child SA: it replaces the Child SA at once.
"""

from lab.interop import documents
from lab.interop.documents import NEVER, OTHER, Document, Expect, ping


def moves(role: str) -> Document:
    """The subject has this role; whoever initiates goes to another address and back, and pings go on."""
    initiator, _ = documents.first_and_second(role)
    stays: Expect = {
        "events": [{"event": "ike_sa_established", "count": 1}],
        "never": [*NEVER, "ike_sa_deleted"],
        "sas": "established",
    }
    steps = [*documents.pings(), *_move(initiator, 1), *_move(initiator, 2)]
    title = "The initiator moves to another address and back"
    settings, expect = documents.both({"mobike": True}), dict.fromkeys(OTHER, stays)
    return documents.case(role, title, settings, expect, steps=steps, timeout=40)


def _move(initiator: str, number: int) -> list[Document]:
    """What the initiator then asks for is answered before pings go on; so is the new Child SA."""
    return [
        {"readdress": initiator},
        *documents.waits("child_sa_rekeyed", number),
        *map(ping, OTHER),
    ]
