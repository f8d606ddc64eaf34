"""What an endpoint tells about its SAs: plain values for the control socket."""

from dataclasses import dataclass

from node.ike.children import OwnedChild
from node.ike.phases import Established
from node.ike.sa import IkeSa
from node.model.message import host_port
from node.pki.identity import describe


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """A Child SA: SPIs in hexadecimal, selectors as text."""

    inbound_spi: str
    outbound_spi: str
    state: str
    mode: str
    suite: str
    local: tuple[str, ...]
    peer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaStatus:
    """An IKE SA: SPIs in hexadecimal; `established_at` is in monotonic seconds, None before that.

    `own_addresses` are inner addresses that the peer gave us, `peer_addresses` those that we gave it.
    `peer_auth` is the method by which the peer authenticated itself; `opened`: we began it, so it is we who
    authenticate anew. `local` is our outer end of its path. `mobike`: both speak it; `peer_outer_addresses`
    are further ones that the peer told (RFC 4555).
    """

    spi_i: str
    spi_r: str
    phase: str
    is_initiator: bool
    opened: bool
    local: str
    peer: str
    peer_identity: str | None
    peer_auth: str | None
    suite: str | None
    established_at: float | None
    own_addresses: tuple[str, ...]
    peer_addresses: tuple[str, ...]
    mobike: bool
    peer_outer_addresses: tuple[str, ...]
    children: tuple[ChildStatus, ...]


def status_of(sa: IkeSa) -> SaStatus:
    """The status of one IKE SA."""
    up = sa.data if isinstance(sa.data, Established) else None
    peer = up.proof.peer.identity if up else None
    return SaStatus(
        spi_i=sa.spi_i.hex(),
        spi_r=sa.spi_r.hex(),
        phase=str(sa.phase),
        is_initiator=sa.is_initiator,
        opened=sa.auth.ours if up else sa.is_initiator,
        local=host_port(sa.path.local_host, sa.path.local_port),
        peer=sa.path.peer,
        peer_identity=describe(peer.id_type, peer.data) if peer else None,
        peer_auth=str(up.proof.method) if up else None,
        suite=str(up.suite) if up else None,
        established_at=up.since if up else None,
        own_addresses=tuple(map(str, sa.own_addresses)),
        peer_addresses=tuple(map(str, sa.peer_addresses)),
        mobike=sa.mobility is not None,
        peer_outer_addresses=tuple(map(str, sa.mobility.others)) if sa.mobility else (),
        children=tuple(_child_status(c) for c in sa.children.values()),
    )


def _child_status(owned: OwnedChild) -> ChildStatus:
    child = owned.child
    return ChildStatus(
        inbound_spi=child.inbound_spi.hex(),
        outbound_spi=child.outbound_spi.hex(),
        state=str(owned.state),
        mode=str(child.mode),
        suite=str(child.suite),
        local=tuple(str(s) for s in child.local),
        peer=tuple(str(s) for s in child.peer),
    )
