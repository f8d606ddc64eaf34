"""On which path datagrams to the peer leave, and when that changes (RFC 7296 2.23).

Rules:

1. With its IKE_AUTH an initiator goes to the port that IKE shares with ESP, wherever the peer took part in
   NAT detection: our ESP is always in UDP, which a peer that did not take part would not understand.
2. A responder takes the path of that IKE_AUTH, whatever it is.
3. After that a peer is followed only for a message or an ESP packet that is authenticated and new, and not
   where we are behind a NAT ourselves. A responder behind one is reached by a mapping that somebody set up:
   there the change is the peer's, if the peer's address changes on the way at all.
4. What is answered is answered where it came from; that moves nothing.
"""

from dataclasses import replace

from node.ike.outputs import MoveSa, SaMoved
from node.ike.phases import InitReplied
from node.ike.sa import IkeSa
from node.model.events import EventName
from node.model.message import Path, host_port


def leave_ike_port(sa: IkeSa) -> None:
    """IKE_SA_INIT is over: an initiator goes on where ESP can go, too, if the peer can."""
    if sa.nat_path is not None and sa.extensions.nat.supported:
        sa.path = sa.nat_path


def follow(sa: IkeSa, path: Path) -> None:
    """Something authenticated and new came on `path`: take it for what we send from now on, by the rules."""
    old = sa.path
    if path == old:
        return
    if isinstance(sa.data, InitReplied):
        sa.path = path
    elif _may_follow(sa) and (path.carries_esp or not old.carries_esp):
        sa.path = path
        local = host_port(path.local_host, path.local_port)
        sa.event(EventName.PEER_MOVED, old=old.peer, new=path.peer, local=local)
        sa.context.emit(SaMoved(sa.local_spi, path))
        for spi, owned in sa.children.items():
            sa.children[spi] = replace(owned, child=replace(owned.child, path=path))
            sa.context.emit(MoveSa(spi, path))


def _may_follow(sa: IkeSa) -> bool:
    nat = sa.extensions.nat
    return not nat.local or (nat.peer and not sa.is_initiator)
