"""A peer that comes back: what was accepted is accepted again where nothing differs, and only there."""

from datetime import datetime, timedelta

import pytest

from node.errors import AuthError, AuthFailure
from node.model.registry import PayloadType
from node.pki import keys, path
from node.pki.certificate import Certificate
from node.pki.identity import ExpectedIdentity, identification
from node.pki.verifier import MAX_ACCEPTED, MAX_ACCEPTED_OCTETS, CertificateVerifier
from tests.unit.pki.factory import DAY, NOW, ca, issue, leaf, usage

SECOND = timedelta(seconds=1)
PEER = identification("dn:CN=peer", PayloadType.IDI)


class Judge(CertificateVerifier):
    """A verifier whose clock is set by hand."""

    def __init__(self, anchors: list[bytes], *expected: str) -> None:
        self.now = NOW
        super().__init__(anchors, ExpectedIdentity.of(*(expected or ("dn:CN=peer",))), lambda: self.now)

    def refusal(self, certificates: list[bytes], moment: datetime = NOW) -> AuthFailure | None:
        self.now = moment
        try:
            self.verify(certificates, PEER)
        except AuthError as error:
            return error.failure
        return None


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Certificate]:
    """The certificates whose signatures were verified."""
    found: list[Certificate] = []

    def counted(certificate: Certificate, issuer_spki: bytes) -> bool:
        found.append(certificate)
        return original(certificate, issuer_spki)

    original = keys.signed_by
    monkeypatch.setattr(path, "signed_by", counted)
    return found


def test_the_same_octets_are_judged_once(checks: list[Certificate]) -> None:
    root = ca("Root")
    sub = ca("Sub", root)
    judge, shown = Judge([root.der]), [leaf("peer", sub).der, sub.der]
    first = judge.verify(shown, PEER)
    assert len(checks) == 2
    assert judge.verify(shown, PEER) == first
    assert len(checks) == 2


@pytest.mark.parametrize("which", ["root", "sub", "peer"])
def test_time_is_looked_at_again(which: str) -> None:
    spans = {name: SECOND if name == which else DAY for name in ("root", "sub", "peer")}
    starts = {name: NOW - span for name, span in spans.items()}
    ends = {name: NOW + span for name, span in spans.items()}
    root = ca("Root", start=starts["root"], end=ends["root"])
    sub = ca("Sub", root, start=starts["sub"], end=ends["sub"])
    signs = (usage(digital_signature=True),)
    shown = [issue("peer", sub, signs, start=starts["peer"], end=ends["peer"]).der, sub.der]
    judge = Judge([root.der])
    assert judge.refusal(shown) is None
    assert judge.refusal(shown, NOW + SECOND) is None
    assert judge.refusal(shown, NOW + 2 * SECOND) is AuthFailure.EXPIRED
    assert judge.refusal(shown, NOW - SECOND) is None
    assert judge.refusal(shown, NOW - 2 * SECOND) is AuthFailure.NOT_YET_VALID
    assert judge.refusal(shown) is None


def test_one_octet_more_or_other_is_another_peer() -> None:
    root = ca("Root")
    sub = ca("Sub", root)
    good = leaf("peer", sub).der
    judge = Judge([root.der])
    assert judge.refusal([good, sub.der]) is None
    assert judge.refusal([good[:-1] + bytes((good[-1] ^ 1,)), sub.der]) is not None
    assert judge.refusal([good + b"\0", sub.der]) is AuthFailure.MALFORMED_CERTIFICATE
    assert judge.refusal([good]) is AuthFailure.UNTRUSTED_ISSUER
    assert judge.refusal([good, sub.der]) is None


def test_another_identity_is_judged_for_itself() -> None:
    root = ca("Root")
    shown = [leaf("peer", root, "dns:peer").der]
    judge = Judge([root.der], "fqdn:peer", "fqdn:other")
    judge.verify(shown, identification("fqdn:peer", PayloadType.IDI))
    with pytest.raises(AuthError) as refused:
        judge.verify(shown, identification("fqdn:other", PayloadType.IDI))
    assert refused.value.failure is AuthFailure.IDENTITY_MISMATCH


def test_another_verifier_remembers_nothing_of_it() -> None:
    one, other = ca("Root"), ca("Root")
    shown = [leaf("peer", one).der]
    assert Judge([one.der]).refusal(shown) is None
    assert Judge([other.der]).refusal(shown) is not None


def test_a_refusal_is_not_remembered(checks: list[Certificate]) -> None:
    judge, shown = Judge([ca("Root").der]), [leaf("peer", ca("Root")).der]
    assert judge.refusal(shown) is AuthFailure.BAD_CERTIFICATE_SIGNATURE
    assert judge.refusal(shown) is AuthFailure.BAD_CERTIFICATE_SIGNATURE
    assert len(checks) == 2
    assert not judge._accepted


def test_what_an_accepted_peer_can_fill_is_bounded() -> None:
    """CVE-2021-41991: a peer that is accepted sends its certificate with ever other ones beside it."""
    root = ca("Root")
    good = leaf("peer", root).der
    judge = Judge([root.der])
    for number in range(2 * MAX_ACCEPTED):
        assert judge.refusal([good, number.to_bytes(2)]) is None
    assert len(judge._accepted) == MAX_ACCEPTED
    assert judge.refusal([good, bytes(MAX_ACCEPTED_OCTETS)]) is None
    kept = [sum(map(len, certificates)) for certificates, _ in judge._accepted]
    assert max(kept) <= MAX_ACCEPTED_OCTETS
