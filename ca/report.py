"""What a run tells: one line of text or of JSON for each certificate."""

import json

from ca.authority import Action, Outcome
from ca.keys import type_name
from ca.profiles import alternative_names, fingerprint, printable
from ca.request import KeyFile
from ca.window import stamp


def text_line(outcome: Outcome, check: bool) -> str:
    """`NAME: kept|made|reissued (why): what it is, where it is, its fingerprint`."""
    action: str = outcome.action
    if check and outcome.action is not Action.KEPT:
        action = f"must be {action}"
    why = f" ({'; '.join(outcome.reasons)})" if outcome.reasons else ""
    fixed = "".join(f"; {note}" for note in outcome.fixed)
    return f"{outcome.spec.name}: {action}{why}: {_facts(outcome)}{fixed}"


def _facts(outcome: Outcome) -> str:
    if outcome.certificate is None:
        return str(outcome.files.certificate)
    certificate, spec = outcome.certificate, outcome.spec
    key = "" if spec.key is KeyFile.OWN else f", {'wrong' if spec.key is KeyFile.WRONG else 'no'} key file"
    copy = "" if spec.copy_of is None else f", copy of {spec.copy_of}"
    names = ", ".join([printable(certificate.subject.rfc4514_string()), *alternative_names(certificate)])
    issuer = printable(certificate.issuer.rfc4514_string())
    span = f"{stamp(certificate.not_valid_before_utc)} to {stamp(certificate.not_valid_after_utc)}"
    return (
        f"{outcome.files.certificate}, {names}, {type_name(certificate.public_key())}{key}{copy}, "
        f"issued by {issuer}, valid {span}, SHA-256 {fingerprint(certificate)}"
    )


def json_line(outcome: Outcome, check: bool) -> str:
    """The same as one JSON object. What only a certificate has is null without one (`--check`)."""
    certificate, spec = outcome.certificate, outcome.spec
    facts: dict[str, object] = {
        "name": spec.name,
        "kind": "authority" if spec.authority else "certificate",
        "action": outcome.action.value,
        "check": check,
        "reasons": list(outcome.reasons),
        "fixed": list(outcome.fixed),
        "certificate": str(outcome.files.certificate),
        "key": None if spec.key is KeyFile.NONE else str(outcome.files.key),
        "key_belongs": spec.key is KeyFile.OWN,
        "copy_of": spec.copy_of,
    }
    facts |= {
        "subject": certificate.subject.rfc4514_string() if certificate else None,
        "issuer": certificate.issuer.rfc4514_string() if certificate else None,
        "names": alternative_names(certificate) if certificate else None,
        "key_type": type_name(certificate.public_key()) if certificate else None,
        "serial": f"{certificate.serial_number:x}" if certificate else None,
        "not_before": stamp(certificate.not_valid_before_utc) if certificate else None,
        "not_after": stamp(certificate.not_valid_after_utc) if certificate else None,
        "sha256": fingerprint(certificate) if certificate else None,
    }
    return json.dumps(facts)
