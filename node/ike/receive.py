"""The way of a message through an IKE SA.

    request    direction -> window -> phase -> keys (once) -> integrity -> rules -> handler -> response stored
    and sent response   direction -> window -> keys -> integrity -> rules -> handler

A message in fragments goes on behind its integrity check once all of it is there (`node.ike.fragments`).

Rules:

1. Nothing changes before the integrity check passed, except that a half-open SA derives its keys, once. An
   authenticated fragment that does not complete its message changes what is collected, and no more.
2. An authenticated request always gets an answer: the handler's, or the refusal that `refusals` names.
3. What is raised out of here is to be dropped and counted; it had no effect.
"""

from dataclasses import replace

from node.errors import (
    AuthError,
    CriticalPayload,
    DecodeError,
    DropReason,
    IkeError,
    IntegrityError,
    LocalMisuse,
    MessageTooLarge,
    PeerMisbehaved,
)
from node.ike import authlife, exchanges, moves, reauthentication
from node.ike.outputs import Dropped, Transmit
from node.ike.phases import AuthSent, Established, InitReplied, InitSent
from node.ike.refusals import notify_for
from node.ike.sa import WINDOW_SIZE_OCTETS, IkeSa
from node.ike.tasks import auth, create, informational, init, rekey, stray
from node.ike.tasks.reply import Reply
from node.ike.window import digest
from node.model.events import EventName
from node.model.message import Envelope, Fragment, Message, Path
from node.model.payloads import Delete, Notify
from node.model.registry import ExchangeType, NotifyType, ProtocolId


def receive(sa: IkeSa, envelope: Envelope, path: Path, now: float) -> None:
    """Take a message that the session table routed to `sa`. Raises IkeError for what is to be dropped."""
    if envelope.header.from_original_initiator == sa.is_initiator:
        raise PeerMisbehaved(DropReason.WRONG_DIRECTION, "the I flag is that of our own messages")
    if envelope.header.is_response:
        _response(sa, envelope, path, now)
    else:
        _request(sa, envelope, path, now)


def _request(sa: IkeSa, envelope: Envelope, path: Path, now: float) -> None:
    header = envelope.header
    stored = _stored(sa, envelope, now)
    if stored is not None:
        sa.event(EventName.RESPONSE_REPEATED, message_id=header.message_id)
        sa.context.emit(Transmit(stored, path))
        return
    rules = exchanges.EXCHANGES.get(header.exchange)
    if rules is None or sa.phase not in rules.request_phases:
        raise PeerMisbehaved(DropReason.UNEXPECTED_MESSAGE, f"{header.exchange} request in phase {sa.phase}")
    if isinstance(sa.data, InitReplied) and sa.data.protection is None:
        init.derive_for_responder(sa, sa.data)
    try:
        message = _open(sa, envelope, path, now)
    except DecodeError as error:
        if error.authenticated:
            _refuse(sa, envelope, path, error)
        raise
    if message is None:
        return
    moves.follow(sa, path)
    sa.life.heard(now)
    sa.heard(header.message_id)
    sa.received(message)
    _answer(sa, envelope, message, path, now)


def _stored(sa: IkeSa, envelope: Envelope, now: float) -> tuple[bytes, ...] | None:
    """The stored answer where this is a request once more. Raises IkeError where it is dropped."""
    try:
        return sa.window.repeated(envelope.header.message_id, envelope.octets)
    except PeerMisbehaved as error:
        if error.reason is DropReason.OUT_OF_WINDOW and _is_authentic(sa, envelope):
            stray.tell(sa, envelope.header.message_id, now)
        last = sa.window.answers.get(envelope.header.message_id)
        if last is None:
            raise
        if not _comes_in_more_pieces(sa, envelope, last.fragments):
            raise
        return last.datagrams


def _is_authentic(sa: IkeSa, envelope: Envelope) -> bool:
    """Whether the peer made this message, whatever is in it."""
    if sa.protection is None or not envelope.protected:
        return False
    try:
        sa.context.codec.open(envelope, sa.protection.inbound)
    except DecodeError as error:
        return error.authenticated
    except IntegrityError:
        return False
    return True


def _comes_in_more_pieces(sa: IkeSa, envelope: Envelope, fragments: int) -> bool:
    """Whether this is the first fragment of an answered request, cut smaller than before.

    A peer that looks for a size which gets through does that (RFC 7383 2.4, 2.5.2): its octets are others, so
    it is known by its numbers (2.6.1), which count only once they are authenticated. Raises IntegrityError,
    DecodeError.
    """
    if sa.protection is None or not (sa.extensions.fragmentation and envelope.protected):
        return False
    opened = sa.context.codec.open(envelope, sa.protection.inbound)
    return isinstance(opened, Fragment) and opened.number == 1 and opened.total > fragments


def _answer(sa: IkeSa, envelope: Envelope, message: Message, path: Path, now: float) -> None:
    try:
        exchanges.check(message)
        rekey.claim(sa, message, now)
        reply = _handle(sa, message, path, now)
        _take_status(sa, message, now)
    except LocalMisuse:
        raise
    except IkeError as error:
        _refuse(sa, envelope, path, error)
        if not isinstance(error, AuthError):
            reason = error.reason if isinstance(error, PeerMisbehaved) else DropReason.INVALID_PAYLOADS
            sa.context.emit(Dropped(reason, path, str(error)))
        return
    try:
        sa.respond(envelope, reply.payloads, path)
    except MessageTooLarge as error:
        _refuse(sa, envelope, path, error)
        return
    for output in reply.after:
        sa.context.emit(output)
    if reply.close is not None:
        sa.close(reply.close)
    # What the handler wants to ask in turn goes out behind the answer.
    sa.advance(now)


def _take_status(sa: IkeSa, message: Message, now: float) -> None:
    """How many requests the authenticated peer takes at once (RFC 7296 2.3), and how long our authentication
    counts for it (RFC 4478); what makes no sense is nothing.
    """
    if not isinstance(sa.data, Established):
        return
    for notify in exchanges.every(message, Notify):
        if notify.notify_type == NotifyType.SET_WINDOW_SIZE and len(notify.data) == WINDOW_SIZE_OCTETS:
            sa.window.grant(int.from_bytes(notify.data))
    sa.auth = authlife.obey(sa.auth, message, now)


def _handle(sa: IkeSa, message: Message, path: Path, now: float) -> Reply:
    match message.header.exchange:
        case ExchangeType.IKE_AUTH:
            return auth.answer(sa, message, now)
        case ExchangeType.CREATE_CHILD_SA:
            return create.answer(sa, message, now)
        case _:
            return informational.answer(sa, message, path, now)


def _refuse(sa: IkeSa, envelope: Envelope, path: Path, error: IkeError) -> None:
    """Answer an authenticated request with an error; it ends the SA unless a payload was unsupported."""
    notify = notify_for(error, protected=True)
    if notify is None:
        raise error
    _tell_refusal(sa, error, notify)
    sa.respond(envelope, (notify,), path)
    if envelope.header.exchange == ExchangeType.IKE_AUTH or not isinstance(error, CriticalPayload):
        sa.close(str(error))


def _response(sa: IkeSa, envelope: Envelope, path: Path, now: float) -> None:
    header = envelope.header
    sa.window.expects(header.exchange, header.message_id)
    if isinstance(sa.data, InitSent):
        if (path.peer_host, path.peer_port) != (sa.path.peer_host, sa.path.peer_port):
            raise PeerMisbehaved(DropReason.UNEXPECTED_MESSAGE, "an unprotected answer from another address")
        init.complete(sa, sa.data, envelope, now)
        return
    try:
        message = _open(sa, envelope, path, now)
    except DecodeError as error:
        if error.authenticated:
            sa.answer_accepted(header.message_id)
            _fail(sa, error, now)
        raise
    if message is None:
        return
    sa.answer_accepted(header.message_id)
    moves.follow(sa, path)
    sa.life.heard(now)
    sa.heard(0)
    sa.received(message)
    try:
        exchanges.check(message)
        _complete(sa, message, now)
        _take_status(sa, message, now)
        sa.advance(now)
    except LocalMisuse:
        raise
    except IkeError as error:
        _fail(sa, error, now)


def _complete(sa: IkeSa, message: Message, now: float) -> None:
    # Of an IKE SA that is being deleted meanwhile any answer is one to wait for, that of IKE_AUTH as well.
    if isinstance(sa.data, AuthSent):
        auth.complete(sa, message, now)
        reauthentication.completed(sa, now)
    else:
        informational.complete(sa, message, now)


def _fail(sa: IkeSa, error: IkeError, now: float) -> None:
    """The responder's answer cannot be accepted: tell it so, protected, and end the SA (RFC 7296 2.21.2)."""
    notify = notify_for(error, protected=True)
    if notify is None or not isinstance(sa.data, AuthSent):
        sa.close(str(error))
        return
    _tell_refusal(sa, error, notify)
    # A notification about the Child SA alone does not end the IKE SA at the peer (RFC 7296 2.21.2).
    ends = () if exchanges.is_fatal(notify) else (Delete(ProtocolId.IKE),)
    sa.begin_delete(str(error), (notify, *ends), now)


def _open(sa: IkeSa, envelope: Envelope, path: Path, now: float) -> Message | None:
    """The message, or None where it came in fragments and some are missing. Raises IkeError."""
    if sa.protection is None:
        raise PeerMisbehaved(DropReason.UNEXPECTED_MESSAGE, "a protected message before there are keys")
    message_id, response = envelope.header.message_id, envelope.header.is_response
    known_by, found = digest(envelope.octets), sa.window.collected(message_id, response=response)
    if found is not None and found.has(known_by):
        raise PeerMisbehaved(DropReason.FRAGMENT_REPEATED, "a fragment that is there already")
    opened = sa.context.codec.open(envelope, sa.protection.inbound)
    if isinstance(opened, Message):
        return opened
    if not sa.extensions.fragmentation:
        raise PeerMisbehaved(
            DropReason.UNEXPECTED_MESSAGE, "a fragment, and fragmentation was not negotiated"
        )
    collected = sa.window.collect(message_id, response=response)
    given_up = collected.add(opened, known_by, len(envelope.octets), now)
    if given_up:
        sa.context.emit(Dropped(DropReason.FRAGMENTS_INCOMPLETE, path, given_up))
    if not collected.complete:
        return None
    parts = collected.ordered()
    message = sa.context.codec.join([part.fragment for part in parts])
    return replace(message, pieces=tuple(part.size for part in parts))


def _tell_refusal(sa: IkeSa, error: IkeError, notify: Notify) -> None:
    if isinstance(error, AuthError):
        sa.event(EventName.AUTHENTICATION_FAILED, reason=str(error.failure), detail=str(error))
    sa.event(EventName.NOTIFY_SENT, notify=str(notify.notify_type), detail=str(error))
