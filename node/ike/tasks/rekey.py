"""CREATE_CHILD_SA for the IKE SA itself: a new one takes over its Child SAs (RFC 7296 1.3.2, 2.8.2, 2.18).

     initiator                                responder
    SK { SA (with SPIi), Ni, KEi }     -->
                                       <--    SK { SA (with SPIr), Nr, KEr }
    and from whoever made the new one, over the old one:
    SK { D(IKE) }                      -->
                                       <--    SK { }

The new IKE SA counts messages from 0; who initiated the exchange is its original initiator. Where both ends
do this at once there are two new ones and four nonces: that of the lowest is deleted again by its maker, the
other one inherits, and its maker deletes the old one (2.25.2).
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from node.crypto import kex
from node.crypto.keymat import IkeKeys, expand_ike_keys, rekeyed_skeyseed
from node.errors import DropReason, Incompatibility, LocalMisuse, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.ike.children import Times, times
from node.ike.outputs import KeysDerived, SaReplaced
from node.ike.phases import Established, Phase, Rekeyed
from node.ike.refusals import notify_for
from node.ike.sa import IkeSa
from node.ike.tasks import child, mobike, shares
from node.ike.tasks.create_child import MAX_GROUPS, CreateChild, refused
from node.ike.tasks.delete import DeleteChild, DeleteIke
from node.ike.tasks.reply import Reply
from node.model.events import EventName
from node.model.message import NO_SPI, SPI_SIZE, Message
from node.model.payloads import Delete, KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from node.model.proposal import Choice, accept, offer, select
from node.model.registry import ExchangeType, KeId, NotifyType, ProtocolId
from node.model.secret import Secret

#: Seconds for which an IKE SA waits to be deleted by whoever replaced it, or lost: then we do it ourselves.
ABANDONED = 60.0
#: Seconds for which an IKE SA that the peer made while we were making one waits for its part: longer than any
#: request is repeated.
UNCLAIMED = 300.0


@dataclass(frozen=True, slots=True)
class Rival:
    """The IKE SA that the peer made in place of the one that we are replacing, and its lowest nonce."""

    sa: IkeSa
    lowest: bytes


class RekeyIke:
    """Ask for a new IKE SA in place of this one."""

    exchange: ClassVar[ExchangeType] = ExchangeType.CREATE_CHILD_SA
    alone: ClassVar[bool] = True

    def __init__(self, sa: IkeSa, group: KeId | None = None, tries: int = 0) -> None:
        """`group` is the key exchange method of the request, by default that of the SA."""
        self._sa, self._group, self._tries = sa, group, tries
        self._spi = self._nonce = b""
        self._pair: kex.KeyPair | None = None
        self.rival: Rival | None = None

    def key(self) -> object:
        """One at a time."""
        return "rekey IKE"

    def move(self, sa: IkeSa) -> bool:
        """A new IKE SA is new already."""
        return False

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """SA with our new SPI, Ni, KEi."""
        sa, context = self._sa, self._sa.context
        if not isinstance(sa.data, Established):
            return None
        self._pair = context.key_pairs.take(self._group or shares.group_of(sa.data.suite))
        self._nonce, self._spi = context.entropy(shares.NONCE_SIZE), context.ike_spi()
        sa.event(EventName.SPI_ASSIGNED, spi=self._spi.hex())
        proposals = SecurityAssociation(offer(context.settings.ike_suites, self._spi))
        return proposals, Nonce(self._nonce), KeyExchange(self._pair.group, self._pair.public)

    def process(self, message: Message, now: float) -> None:
        """Take the new IKE SA, or the refusal. Raises PeerMisbehaved where the answer makes no sense."""
        refusal = exchanges.error_notify(message)
        if refusal is not None:
            self._refused(refusal, now)
            return
        sa, pair = self._sa, self._pair
        choice = accept(
            exchanges.required(message, SecurityAssociation).proposals, sa.context.settings.ike_suites
        )
        share = exchanges.required(message, KeyExchange)
        if choice is None or pair is None:
            raise PeerMisbehaved(
                DropReason.INVALID_PAYLOADS, "the answer does not choose one of our proposals"
            )
        if not share.group == pair.group == choice.suite.ke:
            raise PeerMisbehaved(DropReason.BAD_KE, f"the key share is for {share.group}")
        kex.check_public(share.group, share.data)
        nonce_r = shares.nonce_of(message)
        sa.agenda.came_through()
        spis = self._spi, checked_spi(choice.spi)
        nonces = self._nonce, nonce_r
        new = successor(sa, choice, spis, nonces, pair.shared(share.data), now, is_initiator=True)
        self._settle(new, min(nonces), now)

    def _settle(self, new: IkeSa, lowest: bytes, now: float) -> None:
        """Who replaces the old one, where the peer made a new one, too; `lowest` of our nonces."""
        sa, rival = self._sa, self.living_rival()
        if rival is None or lowest > rival.lowest:
            hand_over(sa, new)
            sa.begin_delete("rekeyed", (Delete(ProtocolId.IKE),), now)
            if rival is not None:
                _leave_to_peer(sa, rival.sa, now)
            return
        sa.event(EventName.REKEY_COLLISION, kept=False)
        hand_over(sa, rival.sa)
        wait_for_delete(sa, now)
        sa.touched.append(new)
        new.begin_delete("the peer's new IKE SA is kept", (Delete(ProtocolId.IKE),), now)

    def living_rival(self) -> Rival | None:
        """The peer's new IKE SA, unless the peer has deleted it again."""
        return self.rival if self.rival is not None and self.rival.sa.phase is Phase.ESTABLISHED else None

    def _refused(self, refusal: Notify, now: float) -> None:
        sa = self._sa
        sa.notified(refusal)
        group = shares.named_group(refusal)
        rival = self.living_rival()
        if rival is not None:
            hand_over(sa, rival.sa)
            wait_for_delete(sa, now)
        elif group in {suite.ke for suite in sa.context.settings.ike_suites} and self._tries < MAX_GROUPS:
            sa.ask(RekeyIke(sa, group, self._tries + 1), now)
        elif refusal.notify_type == NotifyType.TEMPORARY_FAILURE:
            sa.put_off(RekeyIke(sa), now, sa.times.expires_at)
        else:
            sa.event(EventName.IKE_REKEY_FAILED, reason=str(refusal.notify_type))


def rekey(sa: IkeSa, now: float) -> None:
    """Replace an IKE SA."""
    sa.ask(RekeyIke(sa), now)


def delete_ike(sa: IkeSa, reason: str, now: float, *, heir: bool = True) -> None:
    """Delete the IKE SA and with it all its Child SAs (RFC 7296 1.4.1).

    Where we are replacing it that must be through first: the peer may have the new one already. `heir`: that
    one is to end, too, then.
    """
    if isinstance(sa.data, Established) and sa.agenda.active(RekeyIke):
        sa.agenda.drop(lambda task: True)
        sa.ask(DeleteIke(sa, reason, heir=heir), now)
    else:
        sa.begin_delete(reason, (Delete(ProtocolId.IKE),), now)


def answer(sa: IkeSa, message: Message, now: float) -> Reply:
    """Answer a request for a new IKE SA in place of this one. Raises PeerMisbehaved."""
    ours, rekeys = sa.agenda.active(CreateChild) + sa.agenda.active(DeleteChild), sa.agenda.active(RekeyIke)
    # With a window above 1 what it asked before may still come, and is about what it asks for now.
    early = message.header.message_id != sa.window.expected_id
    if early or ours or any(active.living_rival() for active in rekeys):
        return refused(sa, Notify(NotifyType.TEMPORARY_FAILURE))
    if not sa.context.has_room():
        return refused(sa, Notify(NotifyType.NO_ADDITIONAL_SAS))
    try:
        choice, public = _judge(sa, message)
    except PeerIncompatible as error:
        notify = notify_for(error, protected=True)
        sa.event(EventName.IKE_REKEY_FAILED, reason=str(error))
        return refused(sa, notify) if notify else Reply()
    context, nonce_i = sa.context, shares.nonce_of(message)
    pair, nonce_r = context.key_pairs.take(shares.group_of(choice.suite)), context.entropy(shares.NONCE_SIZE)
    spis, nonces = (checked_spi(choice.spi), context.ike_spi()), (nonce_i, nonce_r)
    new = successor(sa, choice, spis, nonces, pair.shared(public), now, is_initiator=False)
    if rekeys:
        rekeys[0].rival = Rival(new, min(nonces))
        new.predecessor, new.times = sa, Times(expires_at=now + UNCLAIMED)
        sa.touched.append(new)
    else:
        hand_over(sa, new)
        wait_for_delete(sa, now)
    (proposal,) = offer((choice.suite,), spis[1])
    chosen = SecurityAssociation((replace(proposal, number=choice.number),))
    return Reply((chosen, Nonce(nonce_r), KeyExchange(pair.group, pair.public)))


def _judge(sa: IkeSa, message: Message) -> tuple[Choice, bytes]:
    """The chosen proposal and the peer's public value. Raises PeerIncompatible, PeerMisbehaved."""
    choice = select(
        exchanges.required(message, SecurityAssociation).proposals, sa.context.settings.ike_suites
    )
    if choice is None:
        raise PeerIncompatible(Incompatibility.PROPOSAL, "none of the peer's IKE proposals is acceptable")
    wanted, found = shares.group_of(choice.suite), exchanges.every(message, KeyExchange)
    if not found or found[0].group != wanted:
        shown = str(found[0].group) if found else "none"
        detail = f"the chosen suite needs a key share for {wanted}, there is {shown}"
        raise PeerIncompatible(Incompatibility.KEY_EXCHANGE, detail, int(wanted).to_bytes(2))
    kex.check_public(wanted, found[0].data)
    return choice, found[0].data


def successor(
    sa: IkeSa,
    choice: Choice,
    spis: tuple[bytes, bytes],
    nonces: tuple[bytes, bytes],
    shared: Secret,
    now: float,
    *,
    is_initiator: bool,
) -> IkeSa:
    """The new IKE SA of an exchange, with the same peer: no Child SA is its yet."""
    if not isinstance(sa.data, Established):
        raise LocalMisuse(f"an IKE SA is replaced in phase {sa.phase}")
    old, suite, context = sa.data, choice.suite, sa.context
    seed = rekeyed_skeyseed(child.prf_of(old.suite), old.protection.keys.sk_d, *nonces, shared)
    keys = expand_ike_keys(suite, seed, *nonces, *spis)
    new = IkeSa(context, sa.path, *spis, None, now, is_initiator=is_initiator)
    new.extensions, new.mobility = sa.extensions, sa.mobility
    new.life.heard(now)
    protection = shares.protection_of(suite, keys, is_initiator, context.entropy)
    new.data = Established(suite, protection, old.proof, now)
    _tell_keys(new, choice, shared, keys)
    return new


def _tell_keys(new: IkeSa, choice: Choice, shared: Secret, keys: IkeKeys) -> None:
    new.event(EventName.PROPOSAL_CHOSEN, protocol="IKE", suite=str(choice.suite))
    new.event(EventName.SHARED_SECRET_DERIVED, group=str(choice.suite.ke), octets=len(shared))
    if new.context.settings.reveal_keys:
        new.context.emit(KeysDerived(new.spi_i, new.spi_r, choice.suite, keys))


def hand_over(sa: IkeSa, new: IkeSa) -> None:
    """The new IKE SA inherits the Child SAs and what is still to be asked (RFC 7296 2.8)."""
    if not isinstance(sa.data, Established) or not isinstance(new.data, Established):
        raise LocalMisuse(f"an IKE SA hands over in phase {sa.phase} to one in phase {new.phase}")
    # Nobody replaces an IKE SA while it waits for an answer about a Child SA (RFC 7296 2.25.2).
    sa.heard(math.inf)
    new.predecessor = None
    new.times = times(sa.context.settings.ike_lifetime, new.data.since, sa.context.entropy)
    for owned in sa.children.values():
        new.add_child(replace(owned, child=replace(owned.child, ike_spi=new.local_spi)))
    new.auth = sa.auth
    new.heir, sa.heir = sa.heir, new
    new.renewal, sa.renewal = sa.renewal, None
    if new.renewal is not None:
        new.renewal.older = new
    new.older, sa.older = sa.older, None
    if new.older is not None:
        new.older.renewal = new
    new.own_addresses, new.peer_addresses = sa.own_addresses, sa.peer_addresses
    if sa.mobility is not None:
        # The addresses may have changed since the new one was made.
        new.path, new.extensions = sa.path, sa.extensions
    new.lingering.update(sa.lingering)
    sa.children.clear()
    sa.lingering.clear()
    sa.context.contacts.inherit(sa.local_spi, new.local_spi)
    sa.context.pools.inherit(sa.local_spi, new.local_spi)
    new.event(EventName.IKE_SA_REKEYED, old_spi_i=sa.spi_i.hex(), old_spi_r=sa.spi_r.hex())
    sa.context.emit(SaReplaced(sa.local_spi, new.local_spi))
    for task in sa.agenda.all():
        if task.move(new):
            new.agenda.add(task)
    sa.agenda.clear()
    sa.touched.append(new)


def wait_for_delete(sa: IkeSa, now: float) -> None:
    """Whoever replaced this IKE SA deletes it; if that never comes, we do."""
    if not isinstance(sa.data, Established):
        raise LocalMisuse(f"an IKE SA is replaced in phase {sa.phase}")
    sa.enter(Rekeyed(sa.data.protection))
    sa.times = replace(sa.times, rekey_at=None, expires_at=now + ABANDONED)
    mobike.tell_again(sa, now)


def claim(sa: IkeSa, message: Message, now: float) -> None:
    """The peer asks something over the IKE SA that it made while we were making one: it has won.

    Whoever has lost only deletes. What we made ends at the peer's end, too: it waits there to be deleted.
    """
    old = sa.predecessor
    ends = any(d.protocol == ProtocolId.IKE for d in exchanges.every(message, Delete))
    if old is None or ends:
        return
    sa.predecessor = None
    if isinstance(old.data, Established):
        hand_over(old, sa)
        wait_for_delete(old, now)
        sa.touched.append(old)


def _leave_to_peer(sa: IkeSa, lost: IkeSa, now: float) -> None:
    """The peer's new IKE SA has lost: the peer deletes it, if it ever heard of it; if not, we do."""
    sa.event(EventName.REKEY_COLLISION, kept=True)
    lost.times = Times(expires_at=now + ABANDONED)
    sa.touched.append(lost)


def deleted_by_peer(sa: IkeSa) -> None:
    """The peer deletes this IKE SA: where it has made a new one of it, the Child SAs are that one's."""
    for active in sa.agenda.active(RekeyIke):
        rival = active.living_rival()
        if rival is not None and isinstance(sa.data, Established):
            hand_over(sa, rival.sa)


def checked_spi(spi: bytes) -> bytes:
    """An IKE SPI of a proposal (RFC 7296 3.3.1). Raises PeerMisbehaved (BAD_SPI)."""
    if len(spi) != SPI_SIZE or spi == NO_SPI:
        raise PeerMisbehaved(DropReason.BAD_SPI, f"{spi.hex() or 'an empty string'} is not an IKE SPI")
    return spi
