"""Chains that must be accepted and chains that must be refused, with the reason. A -> B: A issued B."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from node.errors import AuthError, AuthFailure
from node.model.registry import PayloadType
from node.pki import der
from node.pki.certificate import read
from node.pki.identity import ExpectedIdentity, identification
from node.pki.keys import KeyPolicy, check_signature_algorithm
from node.pki.names import DistinguishedName
from node.pki.path import MAX_SIGNATURE_CHECKS, Budget, anchor, find_path
from node.pki.verifier import MAX_CERTIFICATES, CertificateVerifier
from tests.property.stopwatch import Stopwatch
from tests.unit.pki import factory as make
from tests.unit.pki.factory import DAY, NOW, Issued, ca, failure, issue, leaf, tlv, usage, verify

#: What the verifier answers for: the reasons of AuthFailure that are about certificates and identities.
REASONS = frozenset(AuthFailure) - {
    AuthFailure.BAD_SIGNATURE,
    AuthFailure.WRONG_SHARED_KEY,
    AuthFailure.UNSUPPORTED_METHOD,
    AuthFailure.BAD_AUTH_NONCE,
    AuthFailure.REFUSED_BY_PEER,
}

Chain = tuple[list[bytes], list[bytes]]


@cache
def root() -> Issued:
    return ca("Root")


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _subordinate(extra: make.Extensions = (), issuer: Issued | None = None) -> Chain:
    """Root -> Sub (with `extra`) -> peer."""
    sub = ca("Sub", issuer or root(), extra)
    return [leaf("peer", sub).der, sub.der], [(issuer or root()).der]


def _below(sub: Issued) -> Chain:
    """Root -> `sub` -> peer."""
    return [leaf("peer", sub).der, sub.der], [root().der]


def _direct(end_entity: bytes) -> Chain:
    """Root -> `end_entity`."""
    return [end_entity], [root().der]


def _unknown_extension(critical: bool) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), critical


def _purposes(*oids: ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(oids), False


def _with_spki(spki: bytes) -> bytes:
    def change(fields: list[bytes]) -> None:
        fields[6] = spki

    return make.rebuilt(leaf("peer", root()), root(), change)


def _rsa_spki(modulus: int, exponent: int) -> bytes:
    def integer(number: int) -> bytes:
        return tlv(der.INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))

    key = tlv(der.SEQUENCE, integer(modulus) + integer(exponent))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return tlv(der.SEQUENCE, algorithm + tlv(der.BIT_STRING, b"\0" + key))


def _tampered() -> Chain:
    octets = bytearray(leaf("peer", root()).der)
    octets[-1] ^= 1
    return _direct(bytes(octets))


def _same_name_other_key() -> Chain:
    """Somebody else's CA of the same name: the key identifiers tell them apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    mine = ca("Twin", extra=[(x509.SubjectKeyIdentifier(b"1" * 20), False)], key=key)
    other = ca("Twin", extra=[(x509.SubjectKeyIdentifier(b"2" * 20), False)])
    named = x509.AuthorityKeyIdentifier(b"2" * 20, None, None)
    return [leaf("peer", other, extra=[(named, False)]).der], [mine.der]


def _deep(allowed: int, count: int) -> Chain:
    """Root with `allowed` as path length -> `count` CAs -> peer."""
    top = ca("Top", path_length=allowed)
    chain = [top]
    for number in range(count):
        chain.append(ca(f"Sub {number}", chain[-1]))
    return [leaf("peer", chain[-1]).der, *(one.der for one in chain[1:])], [top.der]


def _constrained(tree: str, *, excluded: bool = False) -> Chain:
    subtrees = make.general(tree)
    constraints = x509.NameConstraints(None if excluded else subtrees, subtrees if excluded else None)
    return _subordinate([(constraints, True)])


def _policy() -> Chain:
    return _subordinate(
        [(x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), True)]
    )


def _old_ca() -> Chain:
    old = ca("Old", end=NOW - timedelta(seconds=1))
    return [leaf("peer", old).der], [old.der]


def _v1_intermediate() -> Chain:
    """Root -> Sub, a version 1 certificate -> peer."""
    sub = ca("Sub", root())
    return [leaf("peer", sub).der, make.version_1(sub, root())], [root().der]


def _not_ca_below() -> Chain:
    sub = leaf("Sub", root())
    return _below(sub)


def _self_signed() -> Chain:
    return _direct(issue("peer", None).der)


def _window(start: timedelta, end: timedelta) -> Chain:
    return _direct(issue("peer", root(), start=NOW + start, end=NOW + end).der)


def _signed_with(algorithm: hashes.SHA224) -> Chain:
    return _direct(issue("peer", root(), algorithm=algorithm).der)


def _sha1_by_rsa() -> Chain:
    """What the library still signs with SHA-1, an RSA CA."""
    old = ca("Old RSA", key=rsa_key(2048))
    sha1 = bytes.fromhex("300d06092a864886f70d0101050500")
    algorithm, made = bytes.fromhex("300d06092a864886f70d01010b0500"), leaf("peer", old).der
    return [made.replace(algorithm, sha1)], [old.der]


def _dsa() -> bytes:
    key = dsa.generate_private_key(1024).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


SECOND = timedelta(seconds=1)
ACCEPTED: dict[str, Callable[[], Chain]] = {
    "Root -> peer": lambda: _direct(leaf("peer", root()).der),
    "Root -> Sub -> peer": _subordinate,
    "a version 1 leaf": lambda: _direct(make.version_1(leaf("peer", root()), root())),
    "no keyUsage": lambda: _direct(issue("peer", root()).der),
    "nonRepudiation alone": lambda: _direct(issue("peer", root(), [usage(content_commitment=True)]).der),
    "ipsecIKE": lambda: _direct(leaf("peer", root(), extra=[_purposes(ExtendedKeyUsageOID.IPSEC_IKE)]).der),
    "any purpose": lambda: _direct(
        leaf("peer", root(), extra=[_purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)]).der
    ),
    "the first second of validity": lambda: _window(timedelta(), DAY),
    "the last second of validity": lambda: _window(-DAY, timedelta()),
    "as many CAs as allowed": lambda: _deep(2, 2),
    "an unknown extension, not critical": lambda: _subordinate([_unknown_extension(False)]),
    "inside the permitted DN": lambda: _constrained("dn:CN=peer"),
    "outside the excluded DN": lambda: _constrained("dn:CN=another", excluded=True),
    "a critical policy without a demand": lambda: _subordinate(
        [(x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.3"), None)]), True)]
    ),
    "RSA with 2048 bits": lambda: _direct(issue("peer", root(), key=rsa_key(2048)).der),
    "exponent 65537": lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 65537))),
    "exponent of 33 bits": lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 2**32 + 1))),
    "P-521": lambda: _direct(issue("peer", root(), key=ec.generate_private_key(ec.SECP521R1())).der),
    "a version 1 CA that is configured": lambda: _v1_anchor(),
    "a self-signed certificate that is configured": lambda: _pinned(issue("peer", None)),
    "a configured CA that says it signs": lambda: _pinned(
        issue(
            "peer",
            None,
            [(x509.BasicConstraints(True, None), True), usage(key_cert_sign=True, digital_signature=True)],
        )
    ),
}


def _v1_anchor() -> Chain:
    top = ca("Root of version 1")
    return [leaf("peer", top).der], [make.version_1(top, top)]


def _pinned(one: Issued) -> Chain:
    return [one.der], [one.der]


_F = AuthFailure
REFUSED: dict[str, tuple[AuthFailure, Callable[[], Chain]]] = {
    "nothing sent": (_F.NO_CERTIFICATE, lambda: ([], [root().der])),
    "junk": (_F.MALFORMED_CERTIFICATE, lambda: _direct(b"junk")),
    "empty": (_F.MALFORMED_CERTIFICATE, lambda: _direct(b"")),
    "octets after the certificate": (
        _F.MALFORMED_CERTIFICATE,
        lambda: _direct(leaf("peer", root()).der + b"\0"),
    ),
    "too many": (
        _F.MALFORMED_CERTIFICATE,
        lambda: ([leaf("peer", root()).der] * (MAX_CERTIFICATES + 1), [root().der]),
    ),
    "too large": (_F.MALFORMED_CERTIFICATE, lambda: _direct(b"\x30" * 16385)),
    "RSA with 1024 bits": (_F.WEAK_KEY, lambda: _direct(issue("peer", root(), key=rsa_key(1024)).der)),
    "a CA with 1024 bits": (_F.WEAK_KEY, lambda: _weak_ca()),
    "exponent 1": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 1)))),
    "exponent 0": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 0)))),
    "exponent 3": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 3)))),
    "exponent 65535": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 65535)))),
    "exponent of 34 bits": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 2**33 + 1)))),
    "even exponent": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 65536)))),
    "huge exponent": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047 + 1, 2**2046 + 1)))),
    "huge modulus": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**65535 + 1, 65537)))),
    "even modulus": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(2**2047, 65537)))),
    "modulus 0": (_F.WEAK_KEY, lambda: _direct(_with_spki(_rsa_spki(0, 65537)))),
    "P-192": (_F.WEAK_KEY, lambda: _direct(_with_spki(_p192()))),
    "DSA": (_F.WEAK_KEY, lambda: _direct(_with_spki(_dsa()))),
    "somebody else's CA": (_F.UNTRUSTED_ISSUER, lambda: ([leaf("peer", ca("Other")).der], [root().der])),
    "another CA of the same name": (_F.UNTRUSTED_ISSUER, _same_name_other_key),
    "self-signed": (_F.UNTRUSTED_ISSUER, _self_signed),
    "the other CA sent along": (
        _F.UNTRUSTED_ISSUER,
        lambda: ([leaf("peer", ca("Other")).der, ca("Other").der], [root().der]),
    ),
    "the intermediate is missing": (
        _F.UNTRUSTED_ISSUER,
        lambda: ([leaf("peer", ca("Sub", root())).der], [root().der]),
    ),
    "a bit of the signature": (_F.BAD_CERTIFICATE_SIGNATURE, _tampered),
    "signed with SHA-224": (_F.BAD_CERTIFICATE_SIGNATURE, lambda: _signed_with(hashes.SHA224())),
    "signed with SHA-1": (_F.BAD_CERTIFICATE_SIGNATURE, _sha1_by_rsa),
    "expired a second ago": (_F.EXPIRED, lambda: _window(-DAY, -SECOND)),
    "valid in a second": (_F.NOT_YET_VALID, lambda: _window(SECOND, DAY)),
    "an expired CA that is configured": (_F.EXPIRED, _old_ca),
    "an expired CA in between": (_F.EXPIRED, lambda: _below(ca("Sub", root(), end=NOW - SECOND))),
    "issued by an end entity": (_F.NOT_A_CA, _not_ca_below),
    "a version 1 CA in between": (_F.NOT_A_CA, _v1_intermediate),
    "a configured certificate that is no CA": (_F.NOT_A_CA, lambda: _anchored_below_leaf()),
    "cA FALSE": (
        _F.NOT_A_CA,
        lambda: _below(issue("Sub", root(), [(x509.BasicConstraints(False, None), True)])),
    ),
    "keyUsage without digitalSignature": (
        _F.KEY_USAGE,
        lambda: _direct(issue("peer", root(), [usage(key_encipherment=True)]).der),
    ),
    "a CA that may not sign certificates": (
        _F.KEY_USAGE,
        lambda: _below(
            issue("Sub", root(), [(x509.BasicConstraints(True, None), True), usage(crl_sign=True)])
        ),
    ),
    "serverAuth and clientAuth only": (
        _F.KEY_USAGE,
        lambda: _direct(
            leaf(
                "peer",
                root(),
                extra=[_purposes(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)],
            ).der
        ),
    ),
    "the CA itself": (_F.KEY_USAGE, lambda: _pinned(ca("peer"))),
    "the CA itself, version 1": (_F.KEY_USAGE, lambda: _pinned_v1()),
    "a CA without keyUsage as the peer": (
        _F.KEY_USAGE,
        lambda: _direct(issue("peer", root(), [(x509.BasicConstraints(True, None), True)]).der),
    ),
    "one CA too many": (_F.PATH_LENGTH, lambda: _deep(1, 2)),
    "outside the permitted DN": (_F.NAME_CONSTRAINTS, lambda: _constrained("dn:CN=another")),
    "inside the excluded DN": (_F.NAME_CONSTRAINTS, lambda: _constrained("dn:CN=peer", excluded=True)),
    "a constraint of an unknown form": (_F.NAME_CONSTRAINTS, lambda: _constrained_by_registered_id()),
    "an unknown critical extension, leaf": (
        _F.UNKNOWN_CRITICAL_EXTENSION,
        lambda: _direct(leaf("peer", root(), extra=[_unknown_extension(True)]).der),
    ),
    "an unknown critical extension, CA": (
        _F.UNKNOWN_CRITICAL_EXTENSION,
        lambda: _subordinate([_unknown_extension(True)]),
    ),
    "a policy is demanded": (_F.POLICY, _policy),
    "the name is another": (_F.IDENTITY_MISMATCH, lambda: _direct(leaf("impostor", root()).der)),
}


def _weak_ca() -> Chain:
    return _below(ca("Sub", root(), key=rsa_key(1024)))


def _p192() -> bytes:
    algorithm = tlv(der.SEQUENCE, bytes.fromhex("06072a8648ce3d020106082a8648ce3d030101"))
    return tlv(der.SEQUENCE, algorithm + tlv(der.BIT_STRING, b"\0\4" + bytes(48)))


def _anchored_below_leaf() -> Chain:
    no_ca = leaf("No CA", root())
    return [leaf("peer", no_ca).der], [no_ca.der]


def _pinned_v1() -> Chain:
    one = ca("peer")
    octets = make.version_1(one, one)
    return [octets], [octets]


def _constrained_by_registered_id() -> Chain:
    tree: list[x509.GeneralName] = [x509.RegisteredID(ObjectIdentifier("1.2.3"))]
    return _subordinate([(x509.NameConstraints(None, tree), True)])


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    certificates, anchors = ACCEPTED[case]()
    peer = verify(certificates, anchors)
    assert peer.certificate == certificates[0]
    assert peer.subject == "CN=peer"


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    reason, chain = REFUSED[case]
    assert failure(*chain()) == reason


def test_weak_hashes_are_refused_before_verifying() -> None:
    with pytest.raises(AuthError, match="RSA with SHA-1, which is not accepted"):
        verify(*_sha1_by_rsa())


def test_every_reason_is_shown_by_a_chain() -> None:
    """UNEXPECTED_IDENTITY is shown by test_identity_is_expected_first."""
    assert {reason for reason, _ in REFUSED.values()} == REASONS - {AuthFailure.UNEXPECTED_IDENTITY}


def test_identity_is_expected_first() -> None:
    judge = make.verifier([root().der], "dn:CN=peer")
    with pytest.raises(AuthError, match="CN=other") as caught:
        judge.verify([leaf("other", root()).der], identification("dn:CN=other", PayloadType.IDI))
    assert caught.value.failure is AuthFailure.UNEXPECTED_IDENTITY


def test_proof_carries_the_certificate() -> None:
    made = leaf("peer", root())
    peer = verify([made.der], [root().der])
    number = made.certificate.serial_number
    digest = made.certificate.fingerprint(hashes.SHA256()).hex()
    assert (peer.issuer, peer.serial, peer.fingerprint) == ("CN=Root", f"{number:x}", digest)
    assert made.certificate.tbs_certificate_bytes.find(peer.public_key) > 0


def test_several_anchors_and_junk_around() -> None:
    other, third = ca("Other"), ca("Third")
    sub = ca("Sub", other)
    sent = [leaf("peer", sub).der, b"junk", third.der, sub.der, sub.der]
    assert verify(sent, [root().der, other.der, third.der]).issuer == "CN=Sub"


def test_a_certificate_that_was_sent_is_never_an_anchor() -> None:
    other = ca("Other")
    assert failure([leaf("peer", other).der, other.der], [root().der]) == AuthFailure.UNTRUSTED_ISSUER


def test_cross_signed_intermediates() -> None:
    """Sub is certified twice, once by an expired CA: the other path is found, in either order."""
    key = ec.generate_private_key(ec.SECP256R1())
    old = ca("Old", end=NOW - SECOND)
    good, bad = ca("Sub", root(), key=key), ca("Sub", old, key=key)
    end_entity = leaf("peer", good).der
    for sent in ([end_entity, good.der, bad.der], [end_entity, bad.der, good.der]):
        assert failure(sent, [old.der, root().der]) is None


def test_same_named_anchors_are_all_tried() -> None:
    first, second = ca("Twin"), ca("Twin")
    assert failure([leaf("peer", second).der], [first.der, second.der]) is None


def test_constraints_of_the_configured_ca_hold() -> None:
    constraints = x509.NameConstraints(make.general("dn:CN=another"), None)
    top = ca("Top", extra=[(constraints, True)])
    assert failure([leaf("peer", top).der], [top.der]) == AuthFailure.NAME_CONSTRAINTS


def test_floor_is_a_parameter() -> None:
    old = issue("peer", root(), key=rsa_key(1024))
    expected = ExpectedIdentity.of("dn:CN=peer")
    judge = CertificateVerifier([root().der], expected, lambda: NOW, KeyPolicy(min_rsa_bits=1024))
    assert judge.verify([old.der], make.sent_id("dn:CN=peer")).subject == "CN=peer"


def test_configuration_errors_are_value_errors() -> None:
    expected = ExpectedIdentity.of("fqdn:peer")
    with pytest.raises(ValueError, match="no CA certificate"):
        CertificateVerifier([], expected, lambda: NOW)
    with pytest.raises(ValueError, match="configured CA"):
        CertificateVerifier([b"junk"], expected, lambda: NOW)
    with pytest.raises(ValueError, match=r"configured CA certificate is not usable: .* RSA with 1024 bits"):
        CertificateVerifier([ca("Weak", key=rsa_key(1024)).der], expected, lambda: NOW)


def _loops() -> list[bytes]:
    """Nine self-issued CAs of one name with nine keys, signing one another: 9! orders to line them up."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(9)]
    first = ca("Loop", key=keys[0])
    return [ca("Loop", first, key=key).der for key in keys]


def test_loops_are_bounded() -> None:
    maze = _loops()
    end_entity = leaf("peer", ca("Loop")).der
    anchors = [ca("Loop").der]
    with Stopwatch() as watch:
        found = failure([end_entity, *maze], anchors)
    assert found in {AuthFailure.BAD_CERTIFICATE_SIGNATURE, AuthFailure.UNTRUSTED_ISSUER}
    assert watch.own < 0.05


def test_names_are_compared_once_for_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger chooses how long names are, and how many orders there are to try."""
    long = ",".join(f"OU=unit {number}" for number in range(50))
    stranger = ca(f"CN=Loop,{long}")
    maze = [read(ca(f"CN=Loop,{long}").der) for _ in range(9)]
    honest, counted = DistinguishedName.__eq__, [0]

    def counting(one: DistinguishedName, other: object) -> bool:
        counted[0] += 1
        return bool(honest(one, other))

    monkeypatch.setattr(DistinguishedName, "__eq__", counting)
    with pytest.raises(AuthError):
        find_path(read(leaf("peer", stranger).der), maze, [anchor(root().der, KeyPolicy())], NOW, KeyPolicy())
    assert 0 < counted[0] <= 2 * (MAX_CERTIFICATES + 1) ** 2


_SHA256 = tlv(der.SEQUENCE, bytes.fromhex("0609608648016503040201"))
_SHA1 = tlv(der.SEQUENCE, bytes.fromhex("06052b0e03021a"))
_MGF1 = bytes.fromhex("06092a864886f70d010108")


def _pss(message: bytes, mask: bytes) -> bytes:
    """AlgorithmIdentifier of RSASSA-PSS with the hash for the message and that for MGF1; empty for absent."""
    fields = tlv(0xA0, message) if message else b""
    fields += tlv(0xA1, tlv(der.SEQUENCE, _MGF1 + mask)) if mask else b""
    fields += tlv(0xA2, bytes.fromhex("020120"))
    return tlv(der.SEQUENCE, bytes.fromhex("06092a864886f70d01010a") + tlv(der.SEQUENCE, fields))


@pytest.mark.parametrize(
    ("message", "mask", "accepted"),
    [
        (_SHA256, _SHA256, True),
        (_SHA1, _SHA1, False),
        (_SHA256, _SHA1, False),
        (b"", b"", False),
        (_SHA256, b"", False),
    ],
)
def test_pss_only_with_sha_2(message: bytes, mask: bytes, accepted: bool) -> None:
    outline = replace(read(root().der), algorithm=_pss(message, mask))
    if accepted:
        check_signature_algorithm(outline)
        return
    with pytest.raises(AuthError, match="RSASSA-PSS, which is not accepted"):
        check_signature_algorithm(outline)


@pytest.mark.parametrize(("salt", "refused"), [(32, None), (20, _F.BAD_CERTIFICATE_SIGNATURE)])
def test_pss_chain(salt: int, refused: AuthFailure | None) -> None:
    """An RSA CA that signs with RSASSA-PSS; the salt must be as long as the hash."""
    top = ca("PSS", key=rsa_key(2048))
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    builder = (
        x509.CertificateBuilder()
        .subject_name(make.name("peer"))
        .issuer_name(top.certificate.subject)
        .public_key(rsa_key(2048).public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    signed = builder.sign(rsa_key(2048), hashes.SHA256(), rsa_padding=scheme)
    assert failure([signed.public_bytes(Encoding.DER)], [top.der]) == refused


def test_key_of_another_kind() -> None:
    """The CA's name is right, but its key is RSA and the signature ECDSA."""
    assert failure([leaf("peer", ca("Twin")).der], [ca("Twin", key=rsa_key(2048)).der]) == (
        _F.BAD_CERTIFICATE_SIGNATURE
    )


def _version(number: int) -> Callable[[list[bytes]], None]:
    def change(fields: list[bytes]) -> None:
        fields[0] = tlv(0xA0, tlv(der.INTEGER, bytes((number,))))

    return change


def _without_version(fields: list[bytes]) -> None:
    """Extensions stay, so it is no version 1 certificate either."""
    del fields[0]


def _other_inner_algorithm(fields: list[bytes]) -> None:
    """ECDSA with SHA-384 inside the signed part, SHA-256 outside (RFC 5280 4.1.1.2)."""
    fields[2] = fields[2].replace(bytes.fromhex("040302"), bytes.fromhex("040303"))


@pytest.mark.parametrize(
    "change",
    [_version(1), _version(3), _without_version, _other_inner_algorithm],
    ids=["version 2", "version 4", "version 1 with extensions", "two algorithms"],
)
def test_well_signed_but_malformed(change: Callable[[list[bytes]], None]) -> None:
    octets = make.rebuilt(leaf("peer", root()), root(), change)
    assert failure([octets], [root().der]) == _F.MALFORMED_CERTIFICATE


def test_signatures_checked_for_one_peer_are_limited() -> None:
    """Nine intermediates and twenty CAs of one name: more pairs than the budget, so the search is cut off."""
    twins = [ca("Twin") for _ in range(20)]
    key = ec.generate_private_key(ec.SECP256R1())
    stranger = ca("Twin", key=key)
    maze = [ca("Twin", stranger).der for _ in range(MAX_CERTIFICATES - 1)]
    budget = Budget()
    outlines = [read(octets) for octets in maze]
    anchors = [anchor(twin.der, KeyPolicy()) for twin in twins]
    pairs = [(outline, one.certificate.spki) for one in anchors for outline in outlines]
    for pair in pairs[:MAX_SIGNATURE_CHECKS]:
        assert not budget.signed(*pair)
    assert not budget.signed(*pairs[0]), "what is known costs nothing"
    with pytest.raises(AuthError, match="too many certificates of the same name"):
        budget.signed(*pairs[MAX_SIGNATURE_CHECKS])
    with pytest.raises(AuthError):
        find_path(read(leaf("peer", stranger).der), outlines, anchors, NOW, KeyPolicy())
