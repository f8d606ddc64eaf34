"""On which path datagrams to the peer leave, and when that changes (RFC 7296 2.23).

Rules:

1. With its IKE_AUTH an initiator goes to the port that IKE shares with ESP, wherever the peer took part in
   NAT detection: our ESP is always in UDP, which a peer that did not take part would not understand.
2. A responder takes the path of that IKE_AUTH, whatever it is.
3. After that a peer is followed only for a message or an ESP packet that is authenticated and new, and not
   where we are behind a NAT ourselves. A responder behind one is reached by a mapping that somebody set up:
   there the change is the peer's, if the peer's address changes on the way at all.
4. What is answered is answered where it came from; that moves nothing.
5. With MOBIKE none of this moves anybody: what a request asks for does, and an ESP packet from elsewhere is
   a reason to look whether the peer is there (`node.ike.tasks.mobike`).
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
    elif sa.mobility is None and may_follow(sa) and (path.carries_esp or not old.carries_esp):
        sa.path = path
        take_along(sa, old)


def take_along(sa: IkeSa, old: Path) -> None:
    """The peer is where the path of the IKE SA leads, no longer at `old`: the Child SAs go there, too."""
    local = host_port(sa.path.local_host, sa.path.local_port)
    sa.event(EventName.PEER_MOVED, old=old.peer, new=sa.path.peer, local=local)
    move_children(sa)


def tell_path(sa: IkeSa) -> None:
    """Put out where the IKE SA is, and whether there is a NAT in front of us."""
    sa.context.emit(SaMoved(sa.local_spi, sa.path, sa.extensions.nat.local))


def move_children(sa: IkeSa) -> None:
    """Child SAs send on the path of the IKE SA from now on."""
    tell_path(sa)
    for spi, owned in sa.children.items():
        sa.children[spi] = replace(owned, child=replace(owned.child, path=sa.path))
        sa.context.emit(MoveSa(spi, sa.path))


def may_follow(sa: IkeSa) -> bool:
    """Whether an address that changed is the peer's, and not our own on its way through a NAT."""
    nat = sa.extensions.nat
    return not nat.local or (nat.peer and not sa.is_initiator)
