"""Decides for every certificate asked for whether it is kept, and issues it if not.

1. A pair on disk is kept only if nothing at all is wrong with it; the reasons are told.
2. Issuers come before what they issue: a new authority makes the signatures below it wrong, so everything
   below is reissued, also in a run that begins after a kill.
3. What this program cannot have made is never overwritten without `replace`: a lost CA key is lost for good.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from ca import keys, profiles, store
from ca.errors import StoreError
from ca.keys import KeyType, PrivateKey
from ca.request import KeyFile, Request, Spec
from ca.store import CERTIFICATE_MODE, KEY_MODE, Files, Layout


class Action(StrEnum):
    """What happened to one certificate (or would happen, with `check`)."""

    KEPT = "kept"
    MADE = "made"
    REISSUED = "reissued"


@dataclass(frozen=True, slots=True)
class Run:
    """What all steps of one run share. `tell` gets progress for people, one line at a time."""

    layout: Layout
    now: datetime
    renew_before: timedelta
    tell: Callable[[str], None]
    replace_foreign: bool = False
    check: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One pair as it is on disk. `problem` says why an existing key file cannot be used."""

    octets: bytes | None
    certificate: x509.Certificate | None
    key: PrivateKey | None = field(repr=False)
    key_octets: bytes | None = field(repr=False)
    problem: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """A pair that is in order; `chain` is what follows a certificate it issues (empty for a root)."""

    spec: Spec
    files: Files
    certificate: x509.Certificate
    octets: bytes
    key: PrivateKey | None = field(repr=False)
    chain: bytes = b""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is reported about one certificate. `certificate` is None only with `check`."""

    spec: Spec
    files: Files
    action: Action
    reasons: tuple[str, ...]
    fixed: tuple[str, ...]
    certificate: x509.Certificate | None


def ensure(request: Request, run: Run) -> Iterator[Outcome]:
    """Bring the store to what `request` asks, yielding one outcome per certificate once it is on disk."""
    held: dict[str, Held | None] = {}
    for spec in (*request.authorities, *request.certificates):
        outcome, held[spec.name] = _ensure_one(spec, held, run)
        yield outcome


def _ensure_one(spec: Spec, held: dict[str, Held | None], run: Run) -> tuple[Outcome, Held | None]:
    files = run.layout.files(spec.name, spec.authority)
    if not run.check:
        store.remove_leftover(files.certificate)
        store.remove_leftover(files.key)
    found = _inspect(spec, files)
    above = spec.copy_of or spec.issuer
    source = held[above] if above is not None else None
    if above is not None and source is None:
        outcome = Outcome(spec, files, _action(found), (f"{above} must be issued first",), (), None)
        return outcome, None
    reasons = tuple(_faults(spec, files, found, source, run))
    if not reasons and found.certificate is not None and found.octets is not None:
        fixed = tuple(_fix_modes(spec, files, run))
        kept = Held(
            spec, files, found.certificate, found.octets, found.key, _chain(spec, found.certificate, source)
        )
        return Outcome(spec, files, Action.KEPT, (), fixed, found.certificate), kept
    _refuse_foreign(spec, files, found, run)
    if run.check:
        return Outcome(spec, files, _action(found), reasons, (), None), None
    made = _issue(spec, files, found, source, run)
    return Outcome(spec, files, _action(found), reasons, (), made.certificate), made


def _action(found: Found) -> Action:
    return Action.MADE if found.octets is None else Action.REISSUED


def _inspect(spec: Spec, files: Files) -> Found:
    octets = store.read(files.certificate)
    certificate = None if octets is None else _first_certificate(octets)
    if spec.key is KeyFile.NONE:
        return Found(octets, certificate, None, None, None)
    store.require_own(files.key)
    key_octets = store.read(files.key)
    if key_octets is None:
        return Found(octets, certificate, None, None, None)
    try:
        return Found(octets, certificate, keys.from_pem(key_octets), key_octets, None)
    except keys.KeyUnusable as problem:
        return Found(octets, certificate, None, key_octets, str(problem))


def _first_certificate(octets: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(octets)
    except ValueError:
        return None


def _chain(spec: Spec, certificate: x509.Certificate, issuer: Held | None) -> bytes:
    if not spec.authority or issuer is None:
        return b""
    return profiles.to_pem(certificate) + issuer.chain


def _faults(spec: Spec, files: Files, found: Found, source: Held | None, run: Run) -> Iterator[str]:
    """Why the pair cannot be kept; nothing if it can."""
    if found.octets is None and found.key_octets is None:
        yield "there is none yet"
        return
    name = files.certificate.name
    if found.octets is None:
        yield f"{name} is missing"
    elif found.certificate is None:
        yield f"{name} holds no readable certificate"
    elif spec.copy_of is not None:
        if source is not None and found.octets != source.octets:
            yield f"{name} is not a copy of {source.files.certificate.name}"
    else:
        yield from _certificate_faults(spec, found.octets, found.certificate, source, run)
    if spec.key is not KeyFile.NONE:
        yield from _key_faults(_key_type(spec, source), spec.key, files, found)


def _key_type(spec: Spec, source: Held | None) -> KeyType:
    # A copied pair has the type of its original; a wrong key beside a copy may have any.
    if spec.copy_of is not None and spec.key is KeyFile.OWN and source is not None:
        return source.spec.key_type
    return spec.key_type


def _certificate_faults(
    spec: Spec, octets: bytes, certificate: x509.Certificate, issuer: Held | None, run: Run
) -> Iterator[str]:
    issuer_file = "" if issuer is None else issuer.files.certificate.name
    yield from profiles.faults(certificate, spec, None if issuer is None else issuer.certificate, issuer_file)
    yield from spec.window.faults(profiles.validity(certificate), run.now, run.renew_before)
    if octets != profiles.to_pem(certificate) + (b"" if issuer is None else issuer.chain):
        yield "the file does not hold exactly the certificate and its intermediates"


def _key_faults(key_type: KeyType, wanted: KeyFile, files: Files, found: Found) -> Iterator[str]:
    name = files.key.name
    if found.key is None or found.key_octets is None:
        yield f"{name} {found.problem or 'is missing'}"
        return
    if not found.key_octets.startswith(keys.PKCS8_LABEL):
        yield f"{name} is not PKCS#8"
    if keys.type_name(found.key) != key_type:
        yield f"{name} is {keys.type_name(found.key)}, asked {key_type}"
    elif found.certificate is not None and keys.belongs(found.key, found.certificate) != (
        wanted is KeyFile.OWN
    ):
        belongs = "does not belong" if wanted is KeyFile.OWN else "belongs"
        asked = "" if wanted is KeyFile.OWN else ", asked a wrong one"
        yield f"{name} {belongs} to {files.certificate.name}{asked}"


def _fix_modes(spec: Spec, files: Files, run: Run) -> Iterator[str]:
    pairs = [(files.certificate, CERTIFICATE_MODE)]
    if spec.key is not KeyFile.NONE:
        pairs.append((files.key, KEY_MODE))
    for path, mode in pairs:
        found = store.wrong_mode(path, mode)
        if found is not None:
            if not run.check:
                store.set_mode(path, mode)
            yield f"permissions of {path.name} were {found:04o}, {'not ' if run.check else 'now '}{mode:04o}"


def _refuse_foreign(spec: Spec, files: Files, found: Found, run: Run) -> None:
    """Raise `StoreError` rather than overwrite what this program cannot have made."""
    if run.replace_foreign:
        return
    remedy = "this program did not make it and will not overwrite it: move it away, or say --replace"
    if found.problem is not None:
        raise StoreError(f"{files.key}: {found.problem}: {remedy}")
    if found.certificate is not None and not profiles.ours(found.certificate):
        raise StoreError(f"{files.certificate}: has no critical keyUsage and key identifier: {remedy}")
    lone = found.key if found.octets is None and spec.copy_of is None else None
    if lone is not None and keys.type_name(lone) != spec.key_type:
        kind = keys.type_name(lone)
        raise StoreError(f"{files.key}: is {kind} without a certificate, asked {spec.key_type}: {remedy}")


def _issue(spec: Spec, files: Files, found: Found, source: Held | None, run: Run) -> Held:
    if spec.copy_of is not None and source is not None:
        return _copy(spec, files, source, run)
    # A key without a certificate is what a kill leaves, and how one asks for a new certificate: keep it.
    adopted = found.key if found.octets is None and _usable(spec, found) else None
    key = adopted if adopted is not None else _generate(spec.key_type, spec.name, run)
    certified = _generate(spec.key_type, spec.name, run) if spec.key is KeyFile.WRONG else key
    signer = source.key if source is not None else certified
    if signer is None:
        raise StoreError(f"{spec.issuer}: its key is not at hand: run again with the directory of its key")
    validity = spec.window.resolve(run.now)
    issuer = None if source is None else source.certificate
    certificate = profiles.build(spec, certified.public_key(), validity, issuer, signer)
    octets = profiles.to_pem(certificate) + (b"" if source is None else source.chain)
    if spec.key is not KeyFile.NONE and adopted is None:
        store.write(files.key, keys.to_pem(key), KEY_MODE)
    elif adopted is not None:
        store.set_mode(files.key, KEY_MODE)
    store.write(files.certificate, octets, CERTIFICATE_MODE)
    return Held(spec, files, certificate, octets, key, _chain(spec, certificate, source))


def _usable(spec: Spec, found: Found) -> bool:
    return (
        found.key is not None
        and found.key_octets is not None
        and found.key_octets.startswith(keys.PKCS8_LABEL)
        and keys.type_name(found.key) == spec.key_type
    )


def _copy(spec: Spec, files: Files, source: Held, run: Run) -> Held:
    key = source.key if spec.key is KeyFile.OWN else None
    if spec.key is KeyFile.WRONG:
        key = _generate(spec.key_type, spec.name, run)
    if key is not None:
        store.write(files.key, keys.to_pem(key), KEY_MODE)
    store.write(files.certificate, source.octets, CERTIFICATE_MODE)
    return replace(source, spec=spec, files=files, key=key)


def _generate(key_type: KeyType, name: str, run: Run) -> PrivateKey:
    if key_type is KeyType.RSA4096:
        run.tell(f"{name}: making an RSA-4096 key, this takes some seconds ...")
    return keys.generate(key_type)


def directories(request: Request, layout: Layout) -> dict[Path, int]:
    """Every directory that the request writes to, with the permissions it is created with."""
    found = {layout.certs_dir: store.CERTIFICATE_DIR_MODE}
    for spec in (*request.authorities, *request.certificates):
        if spec.key is not KeyFile.NONE:
            found.setdefault(layout.files(spec.name, spec.authority).key.parent, store.KEY_DIR_MODE)
    return found
