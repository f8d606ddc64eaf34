"""Who must not get in, and what stays behind: nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.errors import AuthError, AuthFailure
from node.ike.phases import AuthSent, InitReplied
from node.model.events import EventName as E
from node.model.message import Header
from node.model.payloads import Authentication, AuthNonce, Identification, Payload
from node.model.registry import IdType, PayloadType
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, NodeOptions, Pair, credentials, variant


def refused(pair: Pair, by: str) -> AuthFailure:
    """Run the handshake; returns why the named node refused. Both sides must end with nothing."""
    pair.initiate()
    pair.drive()
    pair.pass_time(5)
    assert pair.empty()
    judge = pair.initiator if by == "initiator" else pair.responder
    other = pair.responder if by == "initiator" else pair.initiator
    assert E.CHILD_SA_INSTALLED not in pair.initiator.names()
    assert judge.event(E.NOTIFY_SENT).fields["notify"] == "AUTHENTICATION_FAILED"
    assert other.event(E.NOTIFY_RECEIVED).fields["notify"] == "AUTHENTICATION_FAILED"
    assert judge.told(E.IKE_SA_FAILED)
    return AuthFailure(str(judge.event(E.AUTHENTICATION_FAILED).fields["reason"]))


CASES = {
    "wrong ca": (dict(issuer="Rogue CA"), AuthFailure.UNTRUSTED_ISSUER),
    "expired": (dict(starts=-9, ends=-2), AuthFailure.EXPIRED),
    "not yet valid": (dict(starts=2, ends=9), AuthFailure.NOT_YET_VALID),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_a_certificate_that_does_not_hold(codec: str, by: str, case: str) -> None:
    how, failure = CASES[case]
    judged = RESPONDER if by == "initiator" else INITIATOR
    shown = variant(judged, show=credentials(judged.name, **how))  # type: ignore[arg-type]
    pair = Pair(codec, *((INITIATOR, shown) if by == "initiator" else (shown, RESPONDER)))
    assert refused(pair, by) is failure


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_an_impostor_without_the_key(codec: str, by: str) -> None:
    judged = RESPONDER if by == "initiator" else INITIATOR
    valid, foreign = credentials(judged.name), credentials("somebody")
    stolen = variant(judged, show=type(valid)(valid.certificate, foreign.key, valid.anchors))
    pair = Pair(codec, *((INITIATOR, stolen) if by == "initiator" else (stolen, RESPONDER)))
    assert refused(pair, by) is AuthFailure.BAD_SIGNATURE


def test_a_valid_certificate_of_somebody_else(codec: str) -> None:
    mallory = NodeOptions("mallory", "fqdn:responder", "192.0.2.1", "10.1.0.0/24", "10.2.0.0/24")
    assert refused(Pair(codec, mallory), "responder") is AuthFailure.UNEXPECTED_IDENTITY


def test_the_initiators_certificate_cannot_act_as_the_responder(codec: str) -> None:
    turncoat = variant(INITIATOR, address=RESPONDER.address, expects="fqdn:initiator")
    turncoat = variant(turncoat, local_ts=RESPONDER.local_ts, peer_ts=RESPONDER.peer_ts)
    assert refused(Pair(codec, responder=turncoat), "initiator") is AuthFailure.UNEXPECTED_IDENTITY


def test_an_identity_that_the_certificate_does_not_carry(pair: Pair) -> None:
    forge(pair, lambda p: Identification(p.type, IdType.ID_FQDN, b"initiator") if is_id(p) else p)
    mallory = credentials("mallory")
    object.__setattr__(pair.initiator.endpoint._context, "certificates", (mallory.certificate,))
    assert refused(pair, "responder") is AuthFailure.IDENTITY_MISMATCH


def test_a_certificate_without_a_valid_auth_never_authenticates(pair: Pair) -> None:
    def flip(payload: Payload) -> Payload:
        if isinstance(payload, Authentication):
            return Authentication(payload.method, payload.data[:-1] + bytes([payload.data[-1] ^ 1]))
        return payload

    forge(pair, flip)
    assert refused(pair, "responder") is AuthFailure.BAD_SIGNATURE


def test_no_certificate_at_all(pair: Pair) -> None:
    object.__setattr__(pair.initiator.endpoint._context, "certificates", ())
    assert refused(pair, "responder") is AuthFailure.NO_CERTIFICATE


@pytest.mark.parametrize(
    "nonce", [b"", bytes(31), bytes(33), "ni", "own"], ids=["none", "short", "long", "Ni", "the peer's own"]
)
def test_an_authentication_nonce_that_is_not_fresh(pair: Pair, nonce: bytes | str) -> None:
    if not pair.initiator.settings.authentication_nonce:
        pytest.skip("this profile has no authentication nonce")
    sender = pair.responder if nonce == "own" else pair.initiator
    forge_nonce(pair, nonce)
    assert (
        refused(pair, "initiator" if sender is pair.responder else "responder") is AuthFailure.BAD_AUTH_NONCE
    )


def is_id(payload: Payload) -> bool:
    return payload.type in (PayloadType.IDI, PayloadType.IDR)


def forge(pair: Pair, change: Callable[[Payload], Payload | None], node: str = "initiator") -> None:
    """Let a node send changed IKE_AUTH payloads, properly sealed."""
    codec = getattr(pair, node).codec
    honest = codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> object:
        if sealer is not None:
            payloads = [q for p in payloads if (q := change(p)) is not None]
        return honest(header, payloads, sealer, mtu)

    codec.seal = seal


def forge_nonce(pair: Pair, nonce: bytes | str) -> None:
    def change(payload: Payload) -> Payload | None:
        if not isinstance(payload, AuthNonce):
            return payload
        if nonce == "ni":
            return AuthNonce(auth_sent(pair).transcript.nonce_i)
        if nonce == "own":
            return AuthNonce(auth_sent(pair).auth_nonce)
        return AuthNonce(bytes(nonce)) if nonce else None  # type: ignore[arg-type]

    forge(pair, change, "responder" if nonce == "own" else "initiator")


def auth_sent(pair: Pair) -> AuthSent:
    (sa,) = pair.initiator.endpoint._sas.values()
    if not isinstance(sa.data, AuthSent):
        raise AssertionError(f"IKE_AUTH is under way, not {sa.phase}")
    return sa.data


def test_auth_is_bound_to_the_messages_of_ike_sa_init(pair: Pair) -> None:
    """A man in the middle who changes IKE_SA_INIT is found out by the signatures, not by luck."""
    pair.initiate()
    pair.drive(keep=lambda d: pair.initiator.codec.peek(d.octets).header.message_id == 0)
    (sa,) = pair.responder.endpoint._sas.values()
    if not isinstance(sa.data, InitReplied):
        raise AssertionError(f"half-open, not {sa.phase}")
    changed = replace(sa.data.transcript, request=sa.data.transcript.request + b"\0")
    sa.data = replace(sa.data, transcript=changed)
    pair.initiator.endpoint.handle_timeout(pair.now + 1)
    pair.flush(pair.initiator)
    pair.drive()
    failure = pair.responder.event(E.AUTHENTICATION_FAILED).fields["reason"]
    assert failure == AuthFailure.BAD_SIGNATURE


def test_the_verifier_refuses_by_raising(pair: Pair) -> None:
    with pytest.raises(AuthError):
        pair.responder.verifier.verify([], Identification(PayloadType.IDI, IdType.ID_FQDN, b"initiator"))
