"""What is asked for: names or a JSON request, checked completely before anything is touched.

1. Names alone ask for the defaults. Everything special rides in one JSON object, see `REQUEST_HELP`.
2. Every error names the place in the request, the value and the remedy.
3. The authority `ca` always exists: it is the one that the nodes trust.
"""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from ca.errors import RequestError
from ca.keys import KeyType
from ca.window import Window, parse_window

ROOT = "ca"
ROOT_SUBJECT = "IPsec Lab Root CA"
ROOT_DAYS = 3650
LEAF_DAYS = 365
# A classroom has hundreds of nodes; more is a mistake that would keep the machine busy for hours.
MAX_ENTRIES = 1000
# Some thousand entries with every setting stay far below it.
MAX_REQUEST_OCTETS = 1 << 20
# Longer chains than this serve no lesson, and the nodes cap the number of certificates they accept.
MAX_ISSUERS = 8

# A name becomes a file name, a directory name and a DNS name.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

REQUEST_HELP = """\
{
  "authorities": {                     besides "ca", or to change "ca" itself
    "NAME": {
      "issuer": "ca",                  an intermediate; left out: a root of its own
      "subject": "My CA",              common name, or a whole name "CN=My CA,O=Lab"
      "path_length": 0,                pathLenConstraint; left out: none
      "key_type", "days", "not_before", "not_after"    as below
    }
  },
  "certificates": {
    "NAME": {
      "issuer": "ca",                  which authority signs
      "identity": "NAME",              whom it speaks for: default of subject and dns
      "subject": "IDENTITY",           common name, or a whole name
      "dns": ["IDENTITY"],             subjectAltName; [] leaves it out
      "ip": [], "email": [],           more subjectAltNames
      "key_type": "rsa4096",           rsa2048 rsa3072 rsa4096 ecdsa-p256 ecdsa-p384 ecdsa-p521
                                       ed25519 ed448
      "days": 365,                     lifetime; -1: expired yesterday
      "not_before": "+1d",             a moment (RFC 3339) or relative to now (s m h d w)
      "not_after": "-1h",
      "key": "own",                    "wrong": the key file holds a key that does not belong to
                                       the certificate; "none": no key file is written
      "copy_of": "OTHER"               use OTHER's certificate (and with "key": "own" its key)
    }
  }
}"""


class KeyFile(StrEnum):
    """What the key file beside a certificate holds."""

    OWN = "own"
    WRONG = "wrong"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Spec:
    """One certificate that is asked for. `issuer` None: self-signed. `path_length`: authorities only."""

    name: str
    authority: bool
    issuer: str | None
    subject: x509.Name
    names: tuple[x509.GeneralName, ...]
    key_type: KeyType
    window: Window
    key: KeyFile = KeyFile.OWN
    copy_of: str | None = None
    path_length: int | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the command line says for all entries that do not say it themselves."""

    root_subject: str = ROOT_SUBJECT
    root_key_type: str = KeyType.RSA4096.value
    root_days: int = ROOT_DAYS
    key_type: str = KeyType.RSA4096.value
    days: int | None = None
    not_before: str | None = None
    not_after: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Everything asked for, issuers before what they issue and originals before their copies."""

    authorities: tuple[Spec, ...]
    certificates: tuple[Spec, ...]


_AUTHORITY_KEYS = frozenset(
    {"issuer", "subject", "path_length", "key_type", "days", "not_before", "not_after"}
)
_LEAF_KEYS = frozenset(
    {"issuer", "identity", "subject", "dns", "ip", "email", "key_type", "days", "not_before", "not_after"}
    | {"key", "copy_of"}
)
_COPY_KEYS = frozenset({"copy_of", "key", "key_type"})


def parse(text: str | None, names: Sequence[str], defaults: Defaults) -> Request:
    """Read a request (JSON, or `@FILE` with JSON) and plain names; raise `RequestError`."""
    document = _load(text) if text else {}
    _known(document, frozenset({"authorities", "certificates"}), "request")
    authorities = _entries(document, "authorities")
    certificates = _entries(document, "certificates")
    authorities.setdefault(ROOT, {})
    for name in names:
        certificates.setdefault(_name(name, "name"), {})
    if clash := sorted(authorities.keys() & certificates.keys()):
        raise RequestError(f"request: {clash[0]!r} is an authority and a certificate: rename one of them")
    if len(authorities) + len(certificates) > MAX_ENTRIES:
        raise RequestError(f"request: more than {MAX_ENTRIES} entries: split it")
    made = [_authority(name, entry, defaults) for name, entry in authorities.items()]
    leaves = [_leaf(name, entry, defaults) for name, entry in certificates.items()]
    _check_references(made, leaves)
    return Request(_issuers_first(made), tuple(sorted(leaves, key=lambda leaf: leaf.copy_of is not None)))


def _load(text: str) -> dict[str, object]:
    source = "request"
    if text.startswith("@"):
        source = text[1:]
        try:
            with Path(source).open("rb") as file:
                text = file.read(MAX_REQUEST_OCTETS + 1).decode()
        except OSError as error:
            raise RequestError(
                f"{source}: cannot read the request: {error.strerror}: check the path"
            ) from None
        except UnicodeDecodeError:
            raise RequestError(f"{source}: the request is not UTF-8 text: save it as UTF-8") from None
    if len(text) > MAX_REQUEST_OCTETS:
        raise RequestError(f"{source}: larger than {MAX_REQUEST_OCTETS} octets: split it")
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        place = f"{source}:{error.lineno}:{error.colno}"
        raise RequestError(f"{place}: not JSON ({error.msg}): see --help for the request") from None
    except RecursionError:
        raise RequestError(f"{source}: nested too deeply: see --help for the request") from None
    return _object(document, source)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen = [key for key, _ in pairs]
        twice = next(key for key in seen if seen.count(key) > 1)
        raise RequestError(f"request: {twice!r} is there twice: keep one of them")
    return result


def _object(value: object, where: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise RequestError(f"{where}: {_show(value)} is not an object: write {{...}}")


def _entries(document: Mapping[str, object], section: str) -> dict[str, dict[str, object]]:
    entries = _object(document.get(section, {}), section)
    return {_name(name, section): _object(entry, f"{section}.{name}") for name, entry in entries.items()}


def _known(entry: Mapping[str, object], known: frozenset[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise RequestError(f"{where}: unknown setting {key!r}: known are {', '.join(sorted(known))}")


def _name(value: str, where: str) -> str:
    if _NAME.fullmatch(value):
        return value
    raise RequestError(f"{where}: {_show(value)} is not a name: use up to 63 of letters, digits and . _ -")


def _text(entry: Mapping[str, object], key: str, where: str, default: str) -> str:
    value = entry.get(key, default)
    if isinstance(value, str) and value and value.isprintable():
        return value
    raise RequestError(f"{where}.{key}: {_show(value)} is not a text: write printable characters in quotes")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _key_type(entry: Mapping[str, object], where: str, default: str) -> KeyType:
    value = entry.get("key_type", default)
    try:
        return KeyType(str(value))
    except ValueError:
        choice = ", ".join(kind.value for kind in KeyType)
        raise RequestError(f"{where}.key_type: {_show(value)} is unknown: choose one of {choice}") from None


def _subject(text: str, where: str) -> x509.Name:
    """A plain text is the common name; a text with `=` is a whole name in the notation of RFC 4514."""
    try:
        if "=" in text:
            return x509.Name.from_rfc4514_string(text)
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
    except ValueError as error:
        reason = str(error) or "not in the notation of RFC 4514"
        raise RequestError(
            f"{where}.subject: {_show(text)}: {reason}: write CN=name,O=organization"
        ) from None


def _window(entry: Mapping[str, object], where: str, default_days: int, inherited: Defaults | None) -> Window:
    keys = ("days", "not_before", "not_after")
    if inherited is None or any(key in entry for key in keys):
        days, before, after = (entry.get(key) for key in keys)
        return parse_window(f"{where}.", days, before, after, default_days)
    return parse_window("--", inherited.days, inherited.not_before, inherited.not_after, default_days)


def _authority(name: str, entry: Mapping[str, object], defaults: Defaults) -> Spec:
    where = f"authorities.{name}"
    _known(entry, _AUTHORITY_KEYS, where)
    issuer = _text(entry, "issuer", where, ROOT) if "issuer" in entry else None
    subject = defaults.root_subject if name == ROOT else f"IPsec Lab CA {name}"
    length = entry.get("path_length")
    if length is not None and (
        not isinstance(length, int) or isinstance(length, bool) or length not in range(256)
    ):
        raise RequestError(f"{where}.path_length: {_show(length)} is not a length: write 0 to 255")
    if name == ROOT and issuer is not None:
        raise RequestError(f"{where}.issuer: {ROOT!r} is the root: give the intermediate another name")
    return Spec(
        name=name,
        authority=True,
        issuer=issuer,
        subject=_subject(_text(entry, "subject", where, subject), where),
        names=(),
        key_type=_key_type(entry, where, defaults.root_key_type),
        window=_window(entry, where, defaults.root_days, None),
        path_length=length,
    )


def _leaf(name: str, entry: Mapping[str, object], defaults: Defaults) -> Spec:
    where = f"certificates.{name}"
    _known(entry, _LEAF_KEYS, where)
    copy_of = _text(entry, "copy_of", where, "") if "copy_of" in entry else None
    if copy_of is not None:
        _known(entry, _COPY_KEYS, f"{where} (a copy)")
    identity = _text(entry, "identity", where, name)
    try:
        key = KeyFile(str(entry.get("key", KeyFile.OWN)))
    except ValueError:
        raise RequestError(
            f"{where}.key: {_show(entry['key'])} is unknown: choose own, wrong or none"
        ) from None
    return Spec(
        name=name,
        authority=False,
        issuer=_text(entry, "issuer", where, ROOT),
        subject=_subject(_text(entry, "subject", where, identity), where),
        names=_alternative_names(entry, where, identity),
        key_type=_key_type(entry, where, defaults.key_type),
        window=_window(entry, where, LEAF_DAYS, defaults),
        key=key,
        copy_of=copy_of,
    )


def _alternative_names(
    entry: Mapping[str, object], where: str, identity: str
) -> tuple[x509.GeneralName, ...]:
    names: list[x509.GeneralName] = []
    try:
        names += map(x509.DNSName, _texts(entry, "dns", where, [identity]))
        names += map(x509.RFC822Name, _texts(entry, "email", where, []))
        names += (x509.IPAddress(ipaddress.ip_address(text)) for text in _texts(entry, "ip", where, []))
    except ValueError as error:
        raise RequestError(f"{where}: {error}: correct dns, ip or email") from None
    return tuple(names)


def _texts(entry: Mapping[str, object], key: str, where: str, default: list[str]) -> list[str]:
    value = entry.get(key, default)
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise RequestError(f'{where}.{key}: {_show(value)} is not a list of texts: write ["..."]')
    return value


def _check_references(authorities: Sequence[Spec], leaves: Sequence[Spec]) -> None:
    known = {authority.name for authority in authorities}
    for spec in (*authorities, *leaves):
        if spec.issuer is not None and spec.issuer not in known:
            place = f"{'authorities' if spec.authority else 'certificates'}.{spec.name}.issuer"
            raise RequestError(f"{place}: no authority {spec.issuer!r}: known are {', '.join(sorted(known))}")
    originals = {leaf.name: leaf for leaf in leaves if leaf.copy_of is None}
    for leaf in leaves:
        if leaf.copy_of is None:
            continue
        place = f"certificates.{leaf.name}.copy_of"
        if leaf.copy_of not in originals:
            raise RequestError(f"{place}: no certificate {leaf.copy_of!r} that is itself no copy: add it")
        if leaf.key is KeyFile.OWN and originals[leaf.copy_of].key is not KeyFile.OWN:
            raise RequestError(
                f'{place}: {leaf.copy_of!r} has no key to copy: give this one "key": "wrong" or "none"'
            )


def _issuers_first(authorities: Sequence[Spec]) -> tuple[Spec, ...]:
    by_name = {authority.name: authority for authority in authorities}

    def depth(spec: Spec) -> int:
        steps = 0
        while spec.issuer is not None:
            steps += 1
            if steps > MAX_ISSUERS:
                raise RequestError(
                    f"authorities.{spec.name}.issuer: a loop or over {MAX_ISSUERS} in a row: end it in a root"
                )
            spec = by_name[spec.issuer]
        return steps

    # The root that the nodes trust comes first, and ties keep the order of the request.
    return tuple(sorted(authorities, key=lambda spec: (spec.name != ROOT, depth(spec))))


def check_windows(request: Request, now: datetime) -> None:
    """Raise `RequestError` for a validity that ends before it begins, before anything is issued."""
    for spec in (*request.authorities, *request.certificates):
        try:
            spec.window.resolve(now)
        except RequestError as error:
            raise RequestError(f"{spec.name}: {error}: correct days, not_before or not_after") from None
