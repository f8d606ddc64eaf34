"""How a party proves who it is: every pair of methods, on both sides, and what happens where they misfit."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.crypto.signature import KeySigner
from node.errors import AuthFailure
from node.ike.transcript import shared_key_mic
from node.model.events import EventName as E
from node.model.message import Header
from node.model.payloads import Authentication, Identification, Notify, Payload
from node.model.registry import AuthMethod, HashId, IdType, NotifyType, PrfId
from node.model.secret import Secret
from node.pki.identity import ExpectedIdentity
from node.pki.sharedkey import SharedKeyVerifier
from node.ports import Sealer, Signer
from tests.engine.harness import INITIATOR, KEYS, RESPONDER, NodeOptions, Pair, credentials, variant
from tests.engine.test_authentication import forge, is_id, refused

SECRET = Secret(b"correct horse battery staple")
OTHER = Secret(b"correct horse battery stapler")
Change = Callable[[Payload], Payload | None]


def psk(options: NodeOptions, ours: Secret | None = SECRET, theirs: Secret | None = SECRET) -> NodeOptions:
    return variant(options, secret=ours, knows=theirs)


def shared(codec: str) -> Pair:
    return Pair(codec, psk(INITIATOR), psk(RESPONDER))


def method_at(pair: Pair, side: str) -> str:
    """By what the peer of that side proved itself."""
    node = pair.initiator if side == "initiator" else pair.responder
    (sa,) = node.endpoint.sas()
    assert sa.peer_auth == node.event(E.PEER_AUTH_VERIFIED).fields["method"]
    return str(sa.peer_auth)


MACS = {
    PrfId.PRF_HMAC_SHA2_256: "9e244274a6a04d55a9bff80309bc4ed6d767c35334c6406c7e0038580ab7e39f",
    PrfId.PRF_HMAC_SHA2_384: (
        "4ee2fd099a08007246a85631dd7d1e623e4bbcc5f60cb9b975ef41fa8340080a499d7cee91ccda7c78eb7f5bfc259e73"
    ),
    PrfId.PRF_HMAC_SHA2_512: (
        "2429252491781b6bca81aa110daa3f85885b949fd436c4d2d49443137e93fc85"
        "2dac031e7c465ea06e31bf65e644b647d6285bf339d7365a77a066e1e3498fe9"
    ),
}


SCHEMES = {
    "p256": "ECDSA with SHA-256",
    "p384": "ECDSA with SHA-384",
    "p521": "ECDSA with SHA-512",
    "ed25519": "Ed25519",
    "ed448": "Ed448",
    "rsa": "RSA with SHA-256",
    "pss": "RSASSA-PSS with SHA-256",
}


@pytest.mark.parametrize(("kind", "scheme"), SCHEMES.items())
def test_the_event_names_the_algorithm_of_the_signature(codec: str, kind: str, scheme: str) -> None:
    key = "rsa" if kind == "pss" else kind
    made = (with_key(who, key, pss=kind == "pss") for who in (INITIATOR, RESPONDER))
    pair = Pair(codec, *made).establish()
    for node in (pair.initiator, pair.responder):
        told = node.event(E.PEER_AUTH_VERIFIED).fields
        assert (told["method"], told["scheme"]) == ("DIGITAL_SIGNATURE", scheme)


def test_a_secret_has_no_algorithm_of_a_signature(codec: str) -> None:
    for node in (shared(codec).establish().initiator, shared(codec).establish().responder):
        assert "scheme" not in node.event(E.PEER_AUTH_VERIFIED).fields


@pytest.mark.parametrize(("prf", "expected"), MACS.items(), ids=map(str, MACS))
def test_the_mac_is_that_of_rfc_7296(prf: PrfId, expected: str) -> None:
    """Made with `openssl dgst -sha256 -mac HMAC -macopt hexkey:...`, of the pad, then of 00 to 3f."""
    assert shared_key_mic(prf, SECRET, bytes(range(64))).hex() == expected


def test_a_secret_on_both_sides(codec: str) -> None:
    """
    initiator                                     responder
    SA, KE, Ni                         -->
                                       <--    SA, KE, Nr
    IDi, IDr, AUTH, SA, TSi, TSr       -->
                                       <--    IDr, AUTH, SA, TSi, TSr
    """
    pair = shared(codec).establish()
    assert pair.up()
    for side in ("initiator", "responder"):
        node = getattr(pair, side)
        assert method_at(pair, side) == "SHARED_KEY_MIC"
        assert E.PEER_CERTIFICATE_VERIFIED not in node.names()
        for event in (E.IKE_SA_INIT_SENT, E.IKE_AUTH_SENT):
            assert {"CERT", "CERTREQ"}.isdisjoint(node.event(event).fields["payloads"])


@pytest.mark.parametrize("secret_of", ["initiator", "responder"])
def test_a_secret_against_a_certificate(codec: str, secret_of: str) -> None:
    """
    initiator                                             responder
    SA, KE, Ni                                 -->
                                               <--    SA, KE, Nr, CERTREQ
    IDi, CERT, IDr, AUTH, SA, TSi, TSr         -->
                                               <--    IDr, AUTH (shared key), SA, TSi, TSr
    """
    first = secret_of == "initiator"
    initiator = psk(INITIATOR, SECRET if first else None, None if first else SECRET)
    responder = psk(RESPONDER, None if first else SECRET, SECRET if first else None)
    pair = Pair(codec, initiator, responder).establish()
    assert pair.up()
    by_secret, by_certificate = ("responder", "initiator") if first else ("initiator", "responder")
    assert method_at(pair, by_secret) == "SHARED_KEY_MIC"
    assert method_at(pair, by_certificate) == "DIGITAL_SIGNATURE"
    asked = pair.responder.event(E.IKE_SA_INIT_SENT).fields["payloads"]
    assert ("CERTREQ" in asked) is not first  # type: ignore[operator]


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_a_wrong_secret(codec: str, by: str) -> None:
    """The initiator proves itself first, so it is told AUTHENTICATION_FAILED and nothing else; where only the
    responder's proof is wrong the initiator says so."""
    initiator = psk(INITIATOR, theirs=OTHER if by == "initiator" else SECRET)
    responder = psk(RESPONDER, theirs=OTHER if by == "responder" else SECRET)
    pair = Pair(codec, initiator, responder)
    assert refused(pair, by) is AuthFailure.WRONG_SHARED_KEY
    judge = pair.initiator if by == "initiator" else pair.responder
    assert E.PEER_AUTH_VERIFIED not in judge.names()
    assert "correct horse" not in repr(judge.outputs)


def test_of_a_wrong_secret_the_peer_hears_one_notification(codec: str) -> None:
    pair = Pair(codec, psk(INITIATOR, OTHER, OTHER), psk(RESPONDER))
    assert refused(pair, "responder") is AuthFailure.WRONG_SHARED_KEY
    assert pair.initiator.event(E.IKE_AUTH_RECEIVED).fields["payloads"] == ["N(AUTHENTICATION_FAILED)"]


@pytest.mark.parametrize("by", ["initiator", "responder"])
@pytest.mark.parametrize("expected", ["certificate", "secret"])
def test_the_other_kind_of_proof_than_is_expected(codec: str, by: str, expected: str) -> None:
    """A secret where a certificate is expected, and the reverse: refused before anything is computed."""
    shows = SECRET if expected == "certificate" else None
    judged, judge = (RESPONDER, INITIATOR) if by == "initiator" else (INITIATOR, RESPONDER)
    judged = psk(judged, ours=shows, theirs=None)
    judge = psk(judge, ours=None, theirs=None if shows else SECRET)
    pair = Pair(codec, *((judge, judged) if by == "initiator" else (judged, judge)))
    assert refused(pair, by) is AuthFailure.UNSUPPORTED_METHOD
    told = getattr(pair, by).event(E.AUTHENTICATION_FAILED).fields["detail"]
    assert "the peer authenticates by" in told
    assert ("expected is a certificate" if shows else "expected is a shared key") in told
    assert E.PEER_IDENTITY_VERIFIED not in getattr(pair, by).names()


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_a_certificate_does_not_help_who_has_no_secret(codec: str, by: str) -> None:
    """A peer that only claims the method of shared keys, with a signature as its AUTH."""
    pair = Pair(codec, psk(INITIATOR), psk(RESPONDER))
    forge(pair, relabel, "responder" if by == "initiator" else "initiator")
    assert refused(pair, by) is AuthFailure.WRONG_SHARED_KEY


def relabel(payload: Payload) -> Payload:
    if isinstance(payload, Authentication):
        data = KeySigner(KEYS["p256"]()).sign(b"anything", frozenset({HashId.SHA2_256}))[1]
        return Authentication(AuthMethod.SHARED_KEY_MIC, data)
    return payload


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_mac_of_another_size(codec: str, size: int) -> None:
    pair = shared(codec)
    forge(pair, lambda p: replace(p, data=bytes(size)) if isinstance(p, Authentication) else p)
    assert refused(pair, "responder") is AuthFailure.WRONG_SHARED_KEY


def test_our_own_proof_comes_back(codec: str) -> None:
    """
    initiator                            responder
    IDi, AUTH, ...            -->
                              <--    IDi as IDr, AUTH of the initiator, ...

    A responder without the secret reflects what it got. AUTH is bound to the direction, so it proves nothing,
    not even where both parties have one identity.
    """
    initiator = psk(variant(INITIATOR, expects="fqdn:initiator"))
    responder = psk(variant(RESPONDER, expects="fqdn:initiator"), theirs=SECRET, ours=OTHER)
    pair = Pair(codec, initiator, responder)
    seen: list[Authentication] = []
    forge(pair, lambda p: remember(seen, p))
    forge(pair, lambda p: reflect(seen, p), "responder")
    assert refused(pair, "initiator") is AuthFailure.WRONG_SHARED_KEY
    assert len(seen) == 1


def remember(seen: list[Authentication], payload: Payload) -> Payload:
    if isinstance(payload, Authentication):
        seen.append(payload)
    return payload


def reflect(seen: list[Authentication], payload: Payload) -> Payload:
    if isinstance(payload, Authentication):
        return seen[0]
    return Identification(payload.type, IdType.ID_FQDN, b"initiator") if is_id(payload) else payload


@pytest.mark.parametrize("sent", ["fqdn", "keyid", "ipv4", "other"])
def test_with_a_secret_the_id_alone_is_compared(codec: str, sent: str) -> None:
    ids = {
        "fqdn": (IdType.ID_FQDN, b"initiator"),
        "keyid": (IdType.ID_KEY_ID, b"sensor 7"),
        "ipv4": (IdType.ID_IPV4_ADDR, bytes((192, 0, 2, 77))),
        "other": (IdType.ID_FQDN, b"mallory"),
    }
    kind, data = ids[sent]
    initiator = variant(psk(INITIATOR), change=lambda s: replace(s, local_id_type=kind, local_id=data))
    pair = Pair(codec, initiator, psk(RESPONDER))
    accepted = ExpectedIdentity.of_any("fqdn:initiator", "ipv4:192.0.2.77", "keyid:sensor 7")
    judge = SharedKeyVerifier(SECRET, accepted)
    object.__setattr__(pair.responder.endpoint._context, "verifier", judge)
    if sent == "other":
        assert refused(pair, "responder") is AuthFailure.UNEXPECTED_IDENTITY
        return
    assert pair.establish().up()


# -- signatures ----------------------------------------------------------------------------------------------


def with_key(options: NodeOptions, kind: str, **changes: object) -> NodeOptions:
    return variant(options, show=credentials(options.name, kind=kind), **changes)


class Old:
    """The signer of a node from before RFC 7427: it looks at nothing that the peer announced."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, octets: bytes, peer_hashes: frozenset[HashId], /) -> tuple[AuthMethod, bytes]:
        return self._signer.sign(octets, frozenset())


def make_old(pair: Pair, side: str) -> None:
    """That side does not know SIGNATURE_HASH_ALGORITHMS, and the other hears nothing of it."""
    node = getattr(pair, side)
    signer = node.endpoint._context.signer
    if not isinstance(signer, KeySigner):
        raise TypeError("only a key signs")
    object.__setattr__(node.endpoint._context, "signer", Old(signer))
    honest = node.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> object:
        if sealer is None:
            payloads = [p for p in payloads if not is_hashes(p)]
        return honest(header, payloads, sealer, mtu)

    node.codec.seal = seal


def is_hashes(payload: Payload) -> bool:
    return isinstance(payload, Notify) and payload.notify_type == NotifyType.SIGNATURE_HASH_ALGORITHMS


SCHEME_OF = {
    "p256": "ECDSA with SHA-256",
    "p384": "ECDSA with SHA-384",
    "p521": "ECDSA with SHA-512",
    "ed25519": "Ed25519",
    "ed448": "Ed448",
    "rsa": "RSA with SHA-256",
}


@pytest.mark.parametrize("kind", SCHEME_OF)
def test_every_kind_of_key(codec: str, kind: str) -> None:
    pair = Pair(codec, with_key(INITIATOR, kind), with_key(RESPONDER, kind)).establish()
    assert pair.up()
    assert method_at(pair, "initiator") == method_at(pair, "responder") == "DIGITAL_SIGNATURE"
    for node in (pair.initiator, pair.responder):
        assert node.event(E.PEER_AUTH_VERIFIED).fields["scheme"] == SCHEME_OF[kind]


@pytest.mark.parametrize("who", ["initiator", "responder", "both"])
def test_rsassa_pss(codec: str, who: str) -> None:
    initiator = with_key(INITIATOR, "rsa", pss=who != "responder")
    responder = with_key(RESPONDER, "rsa", pss=who != "initiator")
    pair = Pair(codec, initiator, responder).establish()
    assert pair.up()
    for node, other in ((pair.initiator, "responder"), (pair.responder, "initiator")):
        by_pss = node.event(E.PEER_AUTH_VERIFIED).fields["scheme"] == "RSASSA-PSS with SHA-256"
        assert by_pss is (who in (other, "both"))


@pytest.mark.parametrize("old", ["initiator", "responder"])
@pytest.mark.parametrize(
    ("kind", "method"),
    [("p256", "ECDSA_SHA256_P256"), ("p384", "ECDSA_SHA384_P384"), ("p521", "ECDSA_SHA512_P521")],
)
def test_a_peer_that_knows_the_classic_methods_alone(codec: str, old: str, kind: str, method: str) -> None:
    """Both parties sign by the classic method of their curve; over asn1 everybody is known to have hashes."""
    pair = Pair(codec, with_key(INITIATOR, kind), with_key(RESPONDER, kind))
    make_old(pair, old)
    pair.establish()
    assert pair.up()
    assert method_at(pair, "responder" if old == "initiator" else "initiator") == method
    assert method_at(pair, old) == (method if codec == "rfc7296" else "DIGITAL_SIGNATURE")


@pytest.mark.parametrize("old", ["initiator", "responder"])
def test_sha_1_is_used_where_both_ask_for_it(old: str) -> None:
    pair = Pair("rfc7296", with_key(INITIATOR, "rsa", sha1=True), with_key(RESPONDER, "rsa", sha1=True))
    make_old(pair, old)
    pair.establish()
    assert pair.up()
    assert method_at(pair, "initiator") == method_at(pair, "responder") == "RSA_SIGNATURE"


def test_sha_1_is_not_used_between_peers_that_know_better(codec: str) -> None:
    pair = Pair(codec, with_key(INITIATOR, "rsa", sha1=True), with_key(RESPONDER, "rsa", sha1=True))
    pair.establish()
    assert method_at(pair, "initiator") == method_at(pair, "responder") == "DIGITAL_SIGNATURE"


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_sha_1_is_refused_by_who_did_not_ask_for_it(codec: str, by: str) -> None:
    """The other side would sign with SHA-1, and says that it knows nothing else."""
    pair = Pair(
        codec,
        with_key(INITIATOR, "p256" if by == "initiator" else "rsa", sha1=by == "responder"),
        with_key(RESPONDER, "p256" if by == "responder" else "rsa", sha1=by == "initiator"),
    )
    make_old(pair, "responder" if by == "initiator" else "initiator")
    assert refused(pair, by) is AuthFailure.UNSUPPORTED_METHOD
    detail = str(getattr(pair, by).event(E.AUTHENTICATION_FAILED).fields["detail"])
    assert "RSA with SHA-1; accepted are SHA2_256, SHA2_384, SHA2_512, IDENTITY" in detail


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_no_signature_is_made_with_sha_1_unasked(by: str) -> None:
    """An RSA key and a peer that knows method 1 alone: an initiator ends the IKE SA itself, a responder says
    AUTHENTICATION_FAILED, and nothing is left."""
    pair = Pair("rfc7296", with_key(INITIATOR, "rsa", sha1=True), with_key(RESPONDER, "rsa", sha1=True))
    node = getattr(pair, by)
    node.endpoint._context.signer._sha1 = False
    make_old(pair, "responder" if by == "initiator" else "initiator")
    pair.initiate()
    pair.drive()
    pair.pass_time(60)
    assert pair.empty()
    failed = node.event(E.AUTHENTICATION_FAILED).fields
    assert failed["reason"] == AuthFailure.UNSUPPORTED_METHOD
    assert "our RSA-2048 key signs by RSA with SHA-256" in str(failed["detail"])
    assert "it announced no hashes" in str(failed["detail"])
    assert node.told(E.IKE_SA_FAILED)
    if by == "initiator":
        assert E.IKE_AUTH_SENT not in node.names()


@pytest.mark.parametrize("by", ["initiator", "responder"])
def test_a_hash_that_was_not_announced(codec: str, by: str) -> None:
    """
    initiator                                       responder
    ..., N(SIGNATURE_HASH_ALGORITHMS: SHA2_512)  -->
                                                 <--  AUTH with SHA2_256
    """
    only = {"change": lambda s: replace(s, signature_hashes=(HashId.SHA2_512,))}
    judge = variant(INITIATOR if by == "initiator" else RESPONDER, **only)
    pair = Pair(codec, *((judge, RESPONDER) if by == "initiator" else (INITIATOR, judge)))
    deaf = pair.responder if by == "initiator" else pair.initiator
    object.__setattr__(deaf.endpoint._context, "signer", Deaf(deaf.endpoint._context.signer))
    assert refused(pair, by) is AuthFailure.UNSUPPORTED_METHOD
    detail = getattr(pair, by).event(E.AUTHENTICATION_FAILED).fields["detail"]
    assert detail == "the peer signed with SHA2_256, we announced SHA2_512"


class Deaf:
    """A signer that uses SHA-256 whatever the peer announced."""

    def __init__(self, signer: object) -> None:
        if not isinstance(signer, KeySigner):
            raise TypeError("only a key signs")
        self._signer = signer

    def sign(self, octets: bytes, peer_hashes: frozenset[HashId], /) -> tuple[AuthMethod, bytes]:
        return self._signer.sign(octets, frozenset({HashId.SHA2_256}))


def test_the_hash_that_the_peer_announced_is_used(codec: str) -> None:
    only = {"change": lambda s: replace(s, signature_hashes=(HashId.SHA2_512,))}
    assert Pair(codec, variant(INITIATOR, **only), variant(RESPONDER, **only)).establish().up()
