"""NIST PKITS (Public Key Interoperability Test Suite, version 1.0.1) as data.

Files: package `cryptography_vectors`, x509/PKITS_data/certs. Every path runs from the trust anchor
TrustAnchorRootCertificate.crt; `Case.path` names the intermediates from the anchor downwards. A verdict is
`None` where the path is valid, otherwise the failure that must be reported. What is left out is listed in
`EXCLUDED`, with the reason.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cryptography_vectors

from node.errors import AuthFailure as F

ANCHOR = "TrustAnchorRootCertificate"


@dataclass(frozen=True, slots=True)
class Case:
    """One path: PKITS section, end entity, intermediates below the anchor, and the verdict."""

    section: str
    end_entity: str
    path: tuple[str, ...]
    failure: F | None = None


@cache
def der(name: str) -> bytes:
    """The DER of `certs/NAME.crt`."""
    with cryptography_vectors.open_vector_file(f"x509/PKITS_data/certs/{name}.crt", "rb") as file:
        octets: bytes = file.read()
    return octets


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _case(section: str, end_entity: str, path: str, failure: F | None = None) -> Case:
    return Case(section, end_entity, tuple(path.split()), failure)


_LEN6_00 = "pathLenConstraint6CACert pathLenConstraint6subCA0Cert pathLenConstraint6subsubCA00Cert"
_LEN6_11 = (
    "pathLenConstraint6CACert pathLenConstraint6subCA1Cert pathLenConstraint6subsubCA11Cert "
    "pathLenConstraint6subsubsubCA11XCert"
)
_LEN6_41 = (
    "pathLenConstraint6CACert pathLenConstraint6subCA4Cert pathLenConstraint6subsubCA41Cert "
    "pathLenConstraint6subsubsubCA41XCert"
)
_LEN1 = (
    "pathLenConstraint1CACert pathLenConstraint1SelfIssuedCACert pathLenConstraint1subCACert "
    "pathLenConstraint1SelfIssuedsubCACert"
)
_DN1 = "nameConstraintsDN1CACert"
_DN3 = "nameConstraintsDN3CACert"

CASES: tuple[Case, ...] = (
    # 4.1 signature verification
    _case("4.1.1", "ValidCertificatePathTest1EE", "GoodCACert"),
    _case("4.1.2", "InvalidCASignatureTest2EE", "BadSignedCACert", F.BAD_CERTIFICATE_SIGNATURE),
    _case("4.1.3", "InvalidEESignatureTest3EE", "GoodCACert", F.BAD_CERTIFICATE_SIGNATURE),
    # PKITS calls 4.1.4 and 4.1.5 valid. DSA is no algorithm of this project (`NOT_SUPPORTED`): refused. The
    # library cannot read keys of 4.1.5, which inherit DSA parameters.
    _case("4.1.4", "ValidDSASignaturesTest4EE", "DSACACert", F.WEAK_KEY),
    _case(
        "4.1.5",
        "ValidDSAParameterInheritanceTest5EE",
        "DSACACert DSAParametersInheritedCACert",
        F.MALFORMED_CERTIFICATE,
    ),
    _case("4.1.6", "InvalidDSASignatureTest6EE", "DSACACert", F.WEAK_KEY),
    # 4.2 validity periods
    _case("4.2.1", "InvalidCAnotBeforeDateTest1EE", "BadnotBeforeDateCACert", F.NOT_YET_VALID),
    _case("4.2.2", "InvalidEEnotBeforeDateTest2EE", "GoodCACert", F.NOT_YET_VALID),
    _case("4.2.3", "Validpre2000UTCnotBeforeDateTest3EE", "GoodCACert"),
    _case("4.2.4", "ValidGeneralizedTimenotBeforeDateTest4EE", "GoodCACert"),
    _case("4.2.5", "InvalidCAnotAfterDateTest5EE", "BadnotAfterDateCACert", F.EXPIRED),
    _case("4.2.6", "InvalidEEnotAfterDateTest6EE", "GoodCACert", F.EXPIRED),
    _case("4.2.7", "Invalidpre2000UTCEEnotAfterDateTest7EE", "GoodCACert", F.EXPIRED),
    _case("4.2.8", "ValidGeneralizedTimenotAfterDateTest8EE", "GoodCACert"),
    # 4.3 name chaining
    _case("4.3.1", "InvalidNameChainingTest1EE", "GoodCACert", F.UNTRUSTED_ISSUER),
    _case("4.3.2", "InvalidNameChainingOrderTest2EE", "NameOrderingCACert", F.UNTRUSTED_ISSUER),
    _case("4.3.3", "ValidNameChainingWhitespaceTest3EE", "GoodCACert"),
    _case("4.3.4", "ValidNameChainingWhitespaceTest4EE", "GoodCACert"),
    _case("4.3.5", "ValidNameChainingCapitalizationTest5EE", "GoodCACert"),
    _case("4.3.6", "ValidNameUIDsTest6EE", "UIDCACert"),
    _case("4.3.7", "ValidRFC3280MandatoryAttributeTypesTest7EE", "RFC3280MandatoryAttributeTypesCACert"),
    _case("4.3.8", "ValidRFC3280OptionalAttributeTypesTest8EE", "RFC3280OptionalAttributeTypesCACert"),
    _case("4.3.9", "ValidUTF8StringEncodedNamesTest9EE", "UTF8StringEncodedNamesCACert"),
    _case(
        "4.3.10",
        "ValidRolloverfromPrintableStringtoUTF8StringTest10EE",
        "RolloverfromPrintableStringtoUTF8StringCACert",
    ),
    _case("4.3.11", "ValidUTF8StringCaseInsensitiveMatchTest11EE", "UTF8StringCaseInsensitiveMatchCACert"),
    # 4.4 basic revocation: what must be valid is valid without looking at a CRL
    _case("4.4.7", "ValidTwoCRLsTest7EE", "TwoCRLsCACert"),
    _case("4.4.13", "ValidGeneralizedTimeCRLnextUpdateTest13EE", "GeneralizedTimeCRLnextUpdateCACert"),
    _case("4.4.14", "ValidNegativeSerialNumberTest14EE", "NegativeSerialNumberCACert"),
    _case("4.4.16", "ValidLongSerialNumberTest16EE", "LongSerialNumberCACert"),
    _case("4.4.17", "ValidLongSerialNumberTest17EE", "LongSerialNumberCACert"),
    _case(
        "4.4.19",
        "ValidSeparateCertificateandCRLKeysTest19EE",
        "SeparateCertificateandCRLKeysCertificateSigningCACert",
    ),
    # 4.5 self-issued certificates
    _case(
        "4.5.1",
        "ValidBasicSelfIssuedOldWithNewTest1EE",
        "BasicSelfIssuedNewKeyCACert BasicSelfIssuedNewKeyOldWithNewCACert",
    ),
    _case(
        "4.5.3",
        "ValidBasicSelfIssuedNewWithOldTest3EE",
        "BasicSelfIssuedOldKeyCACert BasicSelfIssuedOldKeyNewWithOldCACert",
    ),
    _case("4.5.4", "ValidBasicSelfIssuedNewWithOldTest4EE", "BasicSelfIssuedOldKeyCACert"),
    _case("4.5.6", "ValidBasicSelfIssuedCRLSigningKeyTest6EE", "BasicSelfIssuedCRLSigningKeyCACert"),
    _case(
        "4.5.8",
        "InvalidBasicSelfIssuedCRLSigningKeyTest8EE",
        "BasicSelfIssuedCRLSigningKeyCACert BasicSelfIssuedCRLSigningKeyCRLCert",
        F.NOT_A_CA,
    ),
    # 4.6 basic constraints
    _case("4.6.1", "InvalidMissingbasicConstraintsTest1EE", "MissingbasicConstraintsCACert", F.NOT_A_CA),
    _case("4.6.2", "InvalidcAFalseTest2EE", "basicConstraintsCriticalcAFalseCACert", F.NOT_A_CA),
    _case("4.6.3", "InvalidcAFalseTest3EE", "basicConstraintsNotCriticalcAFalseCACert", F.NOT_A_CA),
    _case("4.6.4", "ValidbasicConstraintsNotCriticalTest4EE", "basicConstraintsNotCriticalCACert"),
    _case(
        "4.6.5",
        "InvalidpathLenConstraintTest5EE",
        "pathLenConstraint0CACert pathLenConstraint0subCACert",
        F.PATH_LENGTH,
    ),
    _case(
        "4.6.6",
        "InvalidpathLenConstraintTest6EE",
        "pathLenConstraint0CACert pathLenConstraint0subCACert",
        F.PATH_LENGTH,
    ),
    _case("4.6.7", "ValidpathLenConstraintTest7EE", "pathLenConstraint0CACert"),
    _case("4.6.8", "ValidpathLenConstraintTest8EE", "pathLenConstraint0CACert"),
    _case("4.6.9", "InvalidpathLenConstraintTest9EE", _LEN6_00, F.PATH_LENGTH),
    _case("4.6.10", "InvalidpathLenConstraintTest10EE", _LEN6_00, F.PATH_LENGTH),
    _case("4.6.11", "InvalidpathLenConstraintTest11EE", _LEN6_11, F.PATH_LENGTH),
    _case("4.6.12", "InvalidpathLenConstraintTest12EE", _LEN6_11, F.PATH_LENGTH),
    _case("4.6.13", "ValidpathLenConstraintTest13EE", _LEN6_41),
    _case("4.6.14", "ValidpathLenConstraintTest14EE", _LEN6_41),
    _case(
        "4.6.15",
        "ValidSelfIssuedpathLenConstraintTest15EE",
        "pathLenConstraint0CACert pathLenConstraint0SelfIssuedCACert",
    ),
    _case(
        "4.6.16",
        "InvalidSelfIssuedpathLenConstraintTest16EE",
        "pathLenConstraint0CACert pathLenConstraint0SelfIssuedCACert pathLenConstraint0subCA2Cert",
        F.PATH_LENGTH,
    ),
    _case("4.6.17", "ValidSelfIssuedpathLenConstraintTest17EE", _LEN1),
    # 4.7 key usage
    _case(
        "4.7.1",
        "InvalidkeyUsageCriticalkeyCertSignFalseTest1EE",
        "keyUsageCriticalkeyCertSignFalseCACert",
        F.KEY_USAGE,
    ),
    _case(
        "4.7.2",
        "InvalidkeyUsageNotCriticalkeyCertSignFalseTest2EE",
        "keyUsageNotCriticalkeyCertSignFalseCACert",
        F.KEY_USAGE,
    ),
    _case("4.7.3", "ValidkeyUsageNotCriticalTest3EE", "keyUsageNotCriticalCACert"),
    # 4.13 name constraints
    _case("4.13.1", "ValidDNnameConstraintsTest1EE", _DN1),
    _case("4.13.2", "InvalidDNnameConstraintsTest2EE", _DN1, F.NAME_CONSTRAINTS),
    _case("4.13.3", "InvalidDNnameConstraintsTest3EE", _DN1, F.NAME_CONSTRAINTS),
    _case("4.13.4", "ValidDNnameConstraintsTest4EE", _DN1),
    _case("4.13.5", "ValidDNnameConstraintsTest5EE", "nameConstraintsDN2CACert"),
    _case("4.13.6", "ValidDNnameConstraintsTest6EE", _DN3),
    _case("4.13.7", "InvalidDNnameConstraintsTest7EE", _DN3, F.NAME_CONSTRAINTS),
    _case("4.13.8", "InvalidDNnameConstraintsTest8EE", "nameConstraintsDN4CACert", F.NAME_CONSTRAINTS),
    _case("4.13.9", "InvalidDNnameConstraintsTest9EE", "nameConstraintsDN4CACert", F.NAME_CONSTRAINTS),
    _case("4.13.10", "InvalidDNnameConstraintsTest10EE", "nameConstraintsDN5CACert", F.NAME_CONSTRAINTS),
    _case("4.13.11", "ValidDNnameConstraintsTest11EE", "nameConstraintsDN5CACert"),
    _case(
        "4.13.12",
        "InvalidDNnameConstraintsTest12EE",
        _DN1 + " nameConstraintsDN1subCA1Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case(
        "4.13.13",
        "InvalidDNnameConstraintsTest13EE",
        _DN1 + " nameConstraintsDN1subCA2Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case("4.13.14", "ValidDNnameConstraintsTest14EE", _DN1 + " nameConstraintsDN1subCA2Cert"),
    _case(
        "4.13.15",
        "InvalidDNnameConstraintsTest15EE",
        _DN3 + " nameConstraintsDN3subCA1Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case(
        "4.13.16",
        "InvalidDNnameConstraintsTest16EE",
        _DN3 + " nameConstraintsDN3subCA1Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case(
        "4.13.17",
        "InvalidDNnameConstraintsTest17EE",
        _DN3 + " nameConstraintsDN3subCA2Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case("4.13.18", "ValidDNnameConstraintsTest18EE", _DN3 + " nameConstraintsDN3subCA2Cert"),
    _case("4.13.19", "ValidDNnameConstraintsTest19EE", _DN1 + " nameConstraintsDN1SelfIssuedCACert"),
    _case("4.13.20", "InvalidDNnameConstraintsTest20EE", _DN1, F.NAME_CONSTRAINTS),
    _case("4.13.21", "ValidRFC822nameConstraintsTest21EE", "nameConstraintsRFC822CA1Cert"),
    _case(
        "4.13.22", "InvalidRFC822nameConstraintsTest22EE", "nameConstraintsRFC822CA1Cert", F.NAME_CONSTRAINTS
    ),
    _case("4.13.23", "ValidRFC822nameConstraintsTest23EE", "nameConstraintsRFC822CA2Cert"),
    _case(
        "4.13.24", "InvalidRFC822nameConstraintsTest24EE", "nameConstraintsRFC822CA2Cert", F.NAME_CONSTRAINTS
    ),
    _case("4.13.25", "ValidRFC822nameConstraintsTest25EE", "nameConstraintsRFC822CA3Cert"),
    _case(
        "4.13.26", "InvalidRFC822nameConstraintsTest26EE", "nameConstraintsRFC822CA3Cert", F.NAME_CONSTRAINTS
    ),
    _case("4.13.27", "ValidDNandRFC822nameConstraintsTest27EE", _DN1 + " nameConstraintsDN1subCA3Cert"),
    _case(
        "4.13.28",
        "InvalidDNandRFC822nameConstraintsTest28EE",
        _DN1 + " nameConstraintsDN1subCA3Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case(
        "4.13.29",
        "InvalidDNandRFC822nameConstraintsTest29EE",
        _DN1 + " nameConstraintsDN1subCA3Cert",
        F.NAME_CONSTRAINTS,
    ),
    _case("4.13.30", "ValidDNSnameConstraintsTest30EE", "nameConstraintsDNS1CACert"),
    _case("4.13.31", "InvalidDNSnameConstraintsTest31EE", "nameConstraintsDNS1CACert", F.NAME_CONSTRAINTS),
    _case("4.13.32", "ValidDNSnameConstraintsTest32EE", "nameConstraintsDNS2CACert"),
    _case("4.13.33", "InvalidDNSnameConstraintsTest33EE", "nameConstraintsDNS2CACert", F.NAME_CONSTRAINTS),
    _case("4.13.34", "ValidURInameConstraintsTest34EE", "nameConstraintsURI1CACert"),
    _case("4.13.35", "InvalidURInameConstraintsTest35EE", "nameConstraintsURI1CACert", F.NAME_CONSTRAINTS),
    _case("4.13.36", "ValidURInameConstraintsTest36EE", "nameConstraintsURI2CACert"),
    _case("4.13.37", "InvalidURInameConstraintsTest37EE", "nameConstraintsURI2CACert", F.NAME_CONSTRAINTS),
    _case("4.13.38", "InvalidDNSnameConstraintsTest38EE", "nameConstraintsDNS1CACert", F.NAME_CONSTRAINTS),
    # 4.16 private certificate extensions
    _case("4.16.1", "ValidUnknownNotCriticalCertificateExtensionTest1EE", ""),
    _case(
        "4.16.2",
        "InvalidUnknownCriticalCertificateExtensionTest2EE",
        "",
        F.UNKNOWN_CRITICAL_EXTENSION,
    ),
)

#: 4.8 to 4.12: the verdict depends on certificate policies, which are not supported.
NEEDS_POLICIES = _words(
    """
    AllCertificatesNoPoliciesTest2EE AllCertificatesSamePoliciesTest10EE
    AllCertificatesSamePoliciesTest13EE AllCertificatesanyPolicyTest11EE AnyPolicyTest14EE
    CPSPointerQualifierTest20EE DifferentPoliciesTest12EE DifferentPoliciesTest3EE
    DifferentPoliciesTest4EE DifferentPoliciesTest5EE DifferentPoliciesTest7EE DifferentPoliciesTest8EE
    DifferentPoliciesTest9EE InvalidMappingFromanyPolicyTest7EE InvalidMappingToanyPolicyTest8EE
    InvalidPolicyMappingTest10EE InvalidPolicyMappingTest2EE InvalidPolicyMappingTest4EE
    InvalidSelfIssuedinhibitAnyPolicyTest10EE InvalidSelfIssuedinhibitAnyPolicyTest8EE
    InvalidSelfIssuedinhibitPolicyMappingTest10EE InvalidSelfIssuedinhibitPolicyMappingTest11EE
    InvalidSelfIssuedinhibitPolicyMappingTest8EE InvalidSelfIssuedinhibitPolicyMappingTest9EE
    InvalidSelfIssuedrequireExplicitPolicyTest7EE InvalidSelfIssuedrequireExplicitPolicyTest8EE
    InvalidinhibitAnyPolicyTest1EE InvalidinhibitAnyPolicyTest4EE InvalidinhibitAnyPolicyTest5EE
    InvalidinhibitAnyPolicyTest6EE InvalidinhibitPolicyMappingTest1EE InvalidinhibitPolicyMappingTest3EE
    InvalidinhibitPolicyMappingTest5EE InvalidinhibitPolicyMappingTest6EE
    InvalidrequireExplicitPolicyTest3EE InvalidrequireExplicitPolicyTest5EE OverlappingPoliciesTest6EE
    UserNoticeQualifierTest15EE UserNoticeQualifierTest16EE UserNoticeQualifierTest17EE
    UserNoticeQualifierTest18EE UserNoticeQualifierTest19EE ValidPolicyMappingTest11EE
    ValidPolicyMappingTest12EE ValidPolicyMappingTest13EE ValidPolicyMappingTest14EE
    ValidPolicyMappingTest1EE ValidPolicyMappingTest3EE ValidPolicyMappingTest5EE
    ValidPolicyMappingTest6EE ValidPolicyMappingTest9EE ValidSelfIssuedinhibitAnyPolicyTest7EE
    ValidSelfIssuedinhibitAnyPolicyTest9EE ValidSelfIssuedinhibitPolicyMappingTest7EE
    ValidSelfIssuedrequireExplicitPolicyTest6EE ValidinhibitAnyPolicyTest2EE
    ValidinhibitPolicyMappingTest2EE ValidinhibitPolicyMappingTest4EE ValidrequireExplicitPolicyTest1EE
    ValidrequireExplicitPolicyTest2EE ValidrequireExplicitPolicyTest4EE inhibitAnyPolicyTest3EE
    """
)

#: 4.4, 4.5, 4.7.4, 4.7.5, 4.14, 4.15: the verdict depends on a CRL; revocation is not judged here.
NEEDS_CRLS = _words(
    """
    InvalidBadCRLIssuerNameTest5EE InvalidBadCRLSignatureTest4EE
    InvalidBasicSelfIssuedCRLSigningKeyTest7EE InvalidBasicSelfIssuedNewWithOldTest5EE
    InvalidBasicSelfIssuedOldWithNewTest2EE InvalidIDPwithindirectCRLTest23EE
    InvalidIDPwithindirectCRLTest26EE InvalidLongSerialNumberTest18EE InvalidMissingCRLTest1EE
    InvalidNegativeSerialNumberTest15EE InvalidOldCRLnextUpdateTest11EE InvalidRevokedCATest2EE
    InvalidRevokedEETest3EE InvalidSeparateCertificateandCRLKeysTest20EE
    InvalidSeparateCertificateandCRLKeysTest21EE InvalidUnknownCRLEntryExtensionTest8EE
    InvalidUnknownCRLExtensionTest10EE InvalidUnknownCRLExtensionTest9EE InvalidWrongCRLTest6EE
    InvalidcRLIssuerTest27EE InvalidcRLIssuerTest31EE InvalidcRLIssuerTest32EE InvalidcRLIssuerTest34EE
    InvalidcRLIssuerTest35EE InvaliddeltaCRLIndicatorNoBaseTest1EE InvaliddeltaCRLTest10EE
    InvaliddeltaCRLTest3EE InvaliddeltaCRLTest4EE InvaliddeltaCRLTest6EE InvaliddeltaCRLTest9EE
    InvaliddistributionPointTest2EE InvaliddistributionPointTest3EE InvaliddistributionPointTest6EE
    InvaliddistributionPointTest8EE InvaliddistributionPointTest9EE
    InvalidkeyUsageCriticalcRLSignFalseTest4EE InvalidkeyUsageNotCriticalcRLSignFalseTest5EE
    InvalidonlyContainsAttributeCertsTest14EE InvalidonlyContainsCACertsTest12EE
    InvalidonlyContainsUserCertsTest11EE InvalidonlySomeReasonsTest15EE InvalidonlySomeReasonsTest16EE
    InvalidonlySomeReasonsTest17EE InvalidonlySomeReasonsTest20EE InvalidonlySomeReasonsTest21EE
    Invalidpre2000CRLnextUpdateTest12EE ValidIDPwithindirectCRLTest22EE ValidIDPwithindirectCRLTest24EE
    ValidIDPwithindirectCRLTest25EE ValidNoissuingDistributionPointTest10EE ValidcRLIssuerTest28EE
    ValidcRLIssuerTest29EE ValidcRLIssuerTest30EE ValidcRLIssuerTest33EE ValiddeltaCRLTest2EE
    ValiddeltaCRLTest5EE ValiddeltaCRLTest7EE ValiddeltaCRLTest8EE ValiddistributionPointTest1EE
    ValiddistributionPointTest4EE ValiddistributionPointTest5EE ValiddistributionPointTest7EE
    ValidonlyContainsCACertsTest13EE ValidonlySomeReasonsTest18EE ValidonlySomeReasonsTest19EE
    """
)

#: Valid for PKITS, refused here on purpose: DSA.
NOT_SUPPORTED = ("ValidDSASignaturesTest4EE", "ValidDSAParameterInheritanceTest5EE")

#: End entities of the suite that no case judges, with the reason.
EXCLUDED = {
    **dict.fromkeys(NEEDS_POLICIES, "needs certificate policies"),
    **dict.fromkeys(NEEDS_CRLS, "needs CRLs"),
}


def names(ending: str) -> tuple[str, ...]:
    """The names of every certificate file that ends in `ending`, sorted."""
    folder = files(cryptography_vectors) / "x509" / "PKITS_data" / "certs"
    found = (entry.name.removesuffix(".crt") for entry in folder.iterdir())
    return tuple(sorted(name for name in found if name.endswith(ending)))
