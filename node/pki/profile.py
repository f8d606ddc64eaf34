"""What RFC 4945 asks of a peer's end entity certificate beyond a valid path."""

from node.errors import AuthError, AuthFailure
from node.pki.certificate import Certificate, Facts

_ANY_PURPOSE = "2.5.29.37.0"
_IPSEC_IKE = "1.3.6.1.5.5.7.3.17"


def check_end_entity(certificate: Certificate, found: Facts, is_anchor: bool) -> None:
    """Raises AuthError(KEY_USAGE) where the certificate's key is not meant to authenticate an IKE peer.

    keyUsage (RFC 4945 5.1.3.2): absent, or with digitalSignature or nonRepudiation. extendedKeyUsage
    (5.1.3.12): absent, or with ipsecIKE or anyExtendedKeyUsage; serverAuth and clientAuth alone are not
    enough. A CA's certificate (cA TRUE, or a configured one of version 1) authenticates nobody unless its
    keyUsage says outright that its key signs other things too.
    """
    usage = found.key_usage
    signs = usage is not None and (usage.digital_signature or usage.content_commitment)
    if usage is not None and not signs:
        detail = f"the key of {certificate} may not make signatures (keyUsage without digitalSignature)"
        raise AuthError(AuthFailure.KEY_USAGE, detail)
    if not signs and _is_ca(certificate, found, is_anchor):
        detail = (
            f"{certificate} is a CA certificate whose keyUsage lacks digitalSignature: no peer's certificate"
        )
        raise AuthError(AuthFailure.KEY_USAGE, detail)
    purposes = found.extended_key_usage
    if purposes is not None and purposes.isdisjoint((_ANY_PURPOSE, _IPSEC_IKE)):
        detail = f"the extendedKeyUsage of {certificate} has neither ipsecIKE nor anyExtendedKeyUsage"
        raise AuthError(AuthFailure.KEY_USAGE, detail)


def _is_ca(certificate: Certificate, found: Facts, is_anchor: bool) -> bool:
    basic = found.basic_constraints
    return (basic is not None and basic.ca) or (is_anchor and certificate.version == 1)
