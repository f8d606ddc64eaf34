"""CREATE_CHILD_SA for Child SAs: one more, or one in place of another (RFC 7296 1.3.1, 1.3.3, 2.8, 2.25).

     initiator                                    responder
    SK { [N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr }   -->
                                                    <--   SK { SA, Nr, [KEr,] TSi, TSr }
    and after a rekey, from whoever made the new one:
    SK { D(old) }                                   -->
                                                    <--   SK { D(old) }

Where both ends replace the same Child SA at once there are two heirs and four nonces: the heir that was made
with the lowest of them is deleted again by its maker, and the maker of the other one deletes the old SA.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from node.crypto import kex
from node.crypto.keymat import derive_child_keys
from node.errors import DropReason, Incompatibility, LocalMisuse, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges, modes
from node.ike.children import ChildState, OwnedChild
from node.ike.outputs import Event, InstallInbound, InstallOutbound
from node.ike.phases import Established
from node.ike.refusals import notify_for
from node.ike.sa import IkeSa
from node.ike.tasks import child, shares
from node.ike.tasks.delete import DeleteChild, delete_child, remove_deleted
from node.ike.tasks.reply import Reply
from node.model.child import ChildSa, Mode, ModeWish
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from node.model.proposal import Suite, offer
from node.model.registry import ExchangeType, KeId, NotifyType, ProtocolId
from node.model.secret import Secret

#: Child SAs of one IKE SA, those that are being replaced included: more than any lab needs, little enough
#: that no peer fills the SAD.
MAX_CHILDREN = 64
#: Deletions of Child SAs that we have not heard of, kept while a request is in flight: an honest peer deletes
#: the one that it has just made.
MAX_STILLBORN = 64
#: How often a request is sent again for another group.
MAX_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Rival:
    """The heir that the peer made of the Child SA that we are replacing: its inbound SPI and lowest nonce."""

    spi: bytes
    lowest: bytes


class CreateChild:
    """Ask for a Child SA; in place of `old`, by its inbound SPI, where that is given."""

    exchange: ClassVar[ExchangeType] = ExchangeType.CREATE_CHILD_SA
    alone: ClassVar[bool] = False

    def __init__(
        self, sa: IkeSa, old: bytes | None, wanted: child.Wanted, group: KeId | None = None, tries: int = 0
    ) -> None:
        """`group` is the key exchange method of the request, by default that of the first suite."""
        self._sa, self.old, self._wanted, self._tries = sa, old, wanted, tries
        self._group = group or wanted.suites[0].ke
        self._pair: kex.KeyPair | None = None
        self._nonce = self._spi = b""
        self.rival: Rival | None = None
        # The peer's SPIs of Child SAs that it deleted while we waited: ours may be among them already.
        self.stillborn: frozenset[bytes] = frozenset()

    def key(self) -> object:
        """One for each old Child SA; a new one for each pair of selectors."""
        return "child", self.old or (self._wanted.local, self._wanted.peer)

    def move(self, sa: IkeSa) -> bool:
        """Ask over another IKE SA."""
        self._sa = sa
        return True

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """The request; nothing where the old one is gone or replaced, or such a one is there.

        An inner address is asked for in IKE_AUTH alone: without the one we want there is no Child SA.
        """
        sa, context = self._sa, self._sa.context
        if not self._has_a_point():
            return None
        self._nonce, self._spi = context.entropy(shares.NONCE_SIZE), context.child_spi()
        self._pair = context.key_pairs.take(self._group) if self._group else None
        rekeyed = () if self.old is None else (Notify(NotifyType.REKEY_SA, b"", ProtocolId.ESP, self.old),)
        share = (KeyExchange(self._pair.group, self._pair.public),) if self._pair else ()
        proposals = SecurityAssociation(offer(self._wanted.suites, self._spi))
        selectors = child.selectors(self._wanted.local, self._wanted.peer)
        mode = modes.say(self._wanted.mode.mode)
        sa.event(EventName.SPI_ASSIGNED, spi=self._spi.hex())
        return (*rekeyed, proposals, Nonce(self._nonce), *share, *selectors, *mode)

    def _has_a_point(self) -> bool:
        children = self._sa.children
        if self.old is not None:
            return self.old in children and may_be_rekeyed(children[self.old])
        if self._sa.context.settings.virtual_ips and not self._sa.own_addresses:
            return False
        same = (self._wanted.local, self._wanted.peer)
        return all((c.child.local, c.child.peer) != same for c in children.values())

    def process(self, message: Message, now: float) -> None:
        """Take the new Child SA, or the refusal. Raises PeerMisbehaved where the answer makes no sense."""
        refusal = exchanges.error_notify(message)
        if refusal is not None:
            self._refused(refusal, now)
            return
        agreed = child.confirm(self._sa, message, self._wanted)
        shared = self._shared(message, agreed.suite)
        nonce_r = shares.nonce_of(message)
        self._sa.agenda.came_through()
        if agreed.peer_spi in self.stillborn:
            self._sa.event(EventName.CHILD_SA_FAILED, reason="deleted by the peer at once")
            if self.old in self._sa.children:
                delete_child(self._sa, self.old, now)
            return
        if objection := child.objection(self._sa, agreed, self._wanted):
            self._sa.event(EventName.CHILD_SA_FAILED, reason=objection)
            self._sa.ask(DeleteChild(self._sa, self._spi, held=False), now)
            return
        made = _made(self._sa, agreed, self._spi, (self._nonce, nonce_r), shared, ours=True)
        owned = OwnedChild(made, silent=True, times=child.lifetime(self._sa, now))
        self._sa.add_child(owned)
        self._sa.context.emit(InstallInbound(made))
        _tell_installed(self._sa, made)
        self._settle(owned, min(self._nonce, nonce_r), now)

    def _settle(self, owned: OwnedChild, lowest: bytes, now: float) -> None:
        """Who replaces the old one, where the peer made an heir, too; `lowest` of our nonces."""
        sa, spi = self._sa, owned.child.inbound_spi
        if self.rival is not None and lowest < self.rival.lowest:
            sa.event(EventName.REKEY_COLLISION, inbound_spi=spi.hex(), kept=False)
            if self.old in sa.children and self.rival.spi in sa.children:
                inherit(sa, self.old, self.rival.spi)
            delete_child(sa, spi, now)
            return
        if self.rival is not None:
            sa.event(EventName.REKEY_COLLISION, inbound_spi=spi.hex(), kept=True)
            _leave_to_peer(sa, self.rival.spi)
        sa.children[spi] = replace(owned, silent=False)
        sa.context.emit(InstallOutbound(owned.child, self.old))
        if self.old is not None and self.old in sa.children:
            spis = {"old_spi": self.old.hex(), "inbound_spi": spi.hex()}
            sa.event(EventName.CHILD_SA_REKEYED, **spis)
            inherit(sa, self.old, spi)
            delete_child(sa, self.old, now)

    def _shared(self, message: Message, suite: Suite) -> Secret | None:
        """The result of the key exchange that the chosen suite has. Raises PeerMisbehaved."""
        shares = exchanges.every(message, KeyExchange)
        if suite.ke is None and not shares:
            return None
        if self._pair is None or not shares or not shares[0].group == self._pair.group == suite.ke:
            raise PeerMisbehaved(DropReason.BAD_KE, "the key share is not that of the chosen proposal")
        kex.check_public(shares[0].group, shares[0].data)
        return self._pair.shared(shares[0].data)

    def _refused(self, refusal: Notify, now: float) -> None:
        sa = self._sa
        sa.notified(refusal)
        # The peer made an heir of its own, or has deleted the old one: there is nothing left to want.
        settled = self.rival is not None or (self.old is not None and not self._has_a_point())
        group = shares.named_group(refusal)
        ours = group is not None and group in {suite.ke for suite in self._wanted.suites}
        if ours and self._tries < MAX_GROUPS and not settled:
            sa.ask(CreateChild(sa, self.old, self._wanted, group, self._tries + 1), now)
        elif refusal.notify_type == NotifyType.TEMPORARY_FAILURE and not settled:
            replaced = sa.children.get(self.old or b"")
            sa.put_off(self._again(), now, replaced.times.expires_at if replaced else None)
        elif refusal.notify_type == NotifyType.CHILD_SA_NOT_FOUND and self.old is not None and not settled:
            sa.remove_child(self.old)
            sa.ask(CreateChild(sa, None, self._wanted), now)
        elif not settled:
            sa.event(EventName.CHILD_SA_FAILED, reason=str(refusal.notify_type))

    def _again(self) -> "CreateChild":
        return CreateChild(self._sa, self.old, self._wanted)


def may_be_rekeyed(owned: OwnedChild) -> bool:
    """One that nobody replaces, and that the peer knows of."""
    return owned.state is ChildState.INSTALLED and not owned.silent


def rekey(sa: IkeSa, old: bytes, now: float) -> None:
    """Replace a Child SA, by its inbound SPI; one that is held back once the peer is known to have it."""
    owned = sa.children[old]
    if owned.held is not None:
        sa.children[old] = replace(owned, times=replace(owned.times, rekey_at=now))
        return
    sa.ask(CreateChild(sa, old, _allowed(sa, old)), now)


def create(sa: IkeSa, now: float) -> None:
    """Ask for a Child SA of the configured selectors."""
    sa.ask(CreateChild(sa, None, _allowed(sa, None)), now)


def answer(sa: IkeSa, message: Message, now: float) -> Reply:
    """Answer a request for a Child SA. Raises PeerMisbehaved."""
    rekeyed = exchanges.notifies(message, NotifyType.REKEY_SA)
    old = None
    if rekeyed:
        old, refusal = _find_old(sa, rekeyed[0])
        if refusal is not None:
            return refused(sa, refusal)
    if len(sa.children) + len(sa.lingering) >= MAX_CHILDREN:
        return refused(sa, Notify(NotifyType.NO_ADDITIONAL_SAS))
    try:
        return _agree(sa, message, old, now)
    except PeerIncompatible as error:
        notify = notify_for(error, protected=True)
        sa.event(EventName.CHILD_SA_FAILED, reason=str(error))
        return refused(sa, notify) if notify else Reply()


def _find_old(sa: IkeSa, rekeyed: Notify) -> tuple[bytes | None, Notify | None]:
    """Our inbound SPI of the Child SA to be replaced, or why it cannot be."""
    for spi, owned in sa.children.items():
        if (ProtocolId.ESP, owned.child.outbound_spi) == (rekeyed.protocol, rekeyed.spi):
            # What the peer names it has.
            sa.speak(spi)
            busy = owned.state is not ChildState.INSTALLED
            return spi, Notify(NotifyType.TEMPORARY_FAILURE) if busy else None
    return None, replace(rekeyed, notify_type=NotifyType.CHILD_SA_NOT_FOUND)


def _agree(sa: IkeSa, message: Message, old: bytes | None, now: float) -> Reply:
    """Make the Child SA. Raises PeerIncompatible, PeerMisbehaved."""
    if not isinstance(sa.data, Established):
        raise LocalMisuse(f"a Child SA in phase {sa.phase}")
    agreed = child.choose(sa, message, sa.data.proof.peer.identity, _allowed(sa, old))
    pair, shared = _key_exchange(sa, message, agreed.suite)
    nonce_i, nonce_r = shares.nonce_of(message), sa.context.entropy(shares.NONCE_SIZE)
    spi = sa.context.child_spi()
    made = _made(sa, agreed, spi, (nonce_i, nonce_r), shared, ours=False)
    owned = OwnedChild(made, silent=old is not None, times=child.lifetime(sa, now))
    sa.add_child(owned)
    sa.context.emit(InstallInbound(made))
    if old is not None:
        _take_heir(sa, old, Rival(spi, min(nonce_i, nonce_r)))
    share = (KeyExchange(pair.group, pair.public),) if pair else ()
    proposal, *selectors = child.response(agreed, spi)
    known_from = message.header.message_id + sa.window.accepts
    if old is None and not child.hold_back(sa, spi, sa.predecessors(), known_from, now):
        sa.context.emit(InstallOutbound(made))
    told = Event(EventName.CHILD_SA_INSTALLED, {**sa.labels, **child.describe(made)})
    return Reply((proposal, Nonce(nonce_r), *share, *selectors), (told,))


def _allowed(sa: IkeSa, old: bytes | None) -> child.Wanted:
    """What a Child SA may be: what the configuration allows, or what the one has that it replaces."""
    wanted = child.allowed(sa)
    if old is None:
        return wanted
    replaced = sa.children[old].child
    mode = ModeWish(replaced.mode)
    if replaced.mode is Mode.TRANSPORT:
        # Between the same hosts, which may have other addresses by now.
        return replace(wanted, mode=mode)
    return replace(wanted, local=replaced.local, peer=replaced.peer, mode=mode)


def _take_heir(sa: IkeSa, old: bytes, heir: Rival) -> None:
    """The peer has made an heir: that is it, unless we are making one, too."""
    inherit(sa, old, heir.spi)
    for active in sa.agenda.active(CreateChild):
        if active.old == old:
            active.rival = heir


def deleted_by_peer(sa: IkeSa, outbound_spis: tuple[bytes, ...], now: float) -> tuple[bytes, ...]:
    """Take down the Child SAs whose packets to the peer carry these SPIs; returns our SPIs for the answer."""
    known = {owned.child.outbound_spi for owned in sa.children.values()}
    for active in sa.agenda.active(CreateChild):
        if len(active.stillborn) + len(outbound_spis) <= MAX_STILLBORN:
            active.stillborn |= {spi for spi in outbound_spis if spi not in known}
    return remove_deleted(sa, frozenset(outbound_spis), now)


def inherit(sa: IkeSa, old: bytes, heir: bytes) -> None:
    """`heir` takes the place of `old`, which nobody rekeys any more."""
    sa.children[old] = replace(sa.children[old], state=ChildState.REKEYED, heir=heir)


def _leave_to_peer(sa: IkeSa, spi: bytes) -> None:
    """The peer's heir has lost: the peer deletes it."""
    if spi in sa.children:
        sa.children[spi] = replace(sa.children[spi], state=ChildState.REKEYED)


def _key_exchange(sa: IkeSa, message: Message, suite: Suite) -> tuple[kex.KeyPair | None, Secret | None]:
    """Our key pair and the shared secret, where the suite has a key exchange.

    Raises PeerIncompatible (KEY_EXCHANGE) where the share is of another group, PeerMisbehaved (BAD_KE).
    """
    if suite.ke is None:
        return None, None
    shares = exchanges.every(message, KeyExchange)
    if not shares or shares[0].group != suite.ke:
        found = str(shares[0].group) if shares else "none"
        detail = f"the chosen suite needs a key share for {suite.ke}, there is {found}"
        raise PeerIncompatible(Incompatibility.KEY_EXCHANGE, detail, int(suite.ke).to_bytes(2))
    kex.check_public(suite.ke, shares[0].data)
    pair = sa.context.key_pairs.take(suite.ke)
    return pair, pair.shared(shares[0].data)


def _made(
    sa: IkeSa,
    agreed: child.Agreed,
    spi: bytes,
    nonces: tuple[bytes, bytes],
    shared: Secret | None,
    *,
    ours: bool,
) -> ChildSa:
    """The Child SA of an exchange that is `ours` or the peer's; `spi` is our inbound SPI."""
    if not isinstance(sa.data, Established):
        raise LocalMisuse(f"a Child SA in phase {sa.phase}")
    sk_d = sa.data.protection.keys.sk_d
    keys = derive_child_keys(agreed.suite, child.prf_of(sa.data.suite), sk_d, *nonces, shared)
    return child.child_sa(sa, agreed, spi, keys, ours=ours)


def _tell_installed(sa: IkeSa, made: ChildSa) -> None:
    sa.event(EventName.CHILD_SA_INSTALLED, **child.describe(made))


def refused(sa: IkeSa, notify: Notify) -> Reply:
    """Answer with this notification alone."""
    sa.event(EventName.NOTIFY_SENT, notify=str(notify.notify_type), detail="CREATE_CHILD_SA")
    return Reply((notify,))
