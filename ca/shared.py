"""Files with secrets that nodes share (RFC 7296 2.15), one for each node that is asked for.

1. A file holds `0x`, 32 random octets in hexadecimal, and the end of the line.
2. Names with one label have one secret, names with different labels never the same.
3. A file that is in order is kept; one that this program cannot have made is not overwritten without
   `replace`.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ca import store
from ca.authority import Action, Run
from ca.errors import StoreError
from ca.store import KEY_MODE

#: As much as the strongest key that a lab negotiates (RFC 7296 2.15).
SECRET_OCTETS = 32
_FORM = re.compile(rb"0x[0-9a-f]{%d}\n" % (2 * SECRET_OCTETS))


@dataclass(frozen=True, slots=True)
class SecretOutcome:
    """What is reported about one file with a secret, which is not in it."""

    name: str
    label: str
    file: Path
    action: Action
    reasons: tuple[str, ...]
    fixed: tuple[str, ...]


def ensure_secrets(asked: Sequence[tuple[str, str]], run: Run) -> Iterator[SecretOutcome]:
    """Bring the files to what is asked for, names and labels, yielding one outcome for each."""
    found = {name: _inspect(name, run) for name, _ in asked}
    wanted: dict[str, bytes] = {}
    for _, label in asked:
        if label not in wanted:
            names = (name for name, of in asked if of == label)
            wanted[label] = _choose([found[name] for name in names], set(wanted.values()))
    for name, label in asked:
        yield _ensure_one(name, label, found[name], wanted[label], run)


def _inspect(name: str, run: Run) -> bytes | None:
    path = run.layout.secret(name)
    if not run.check:
        store.remove_leftover(path)
    store.require_own(path)
    octets = store.read(path)
    if octets is not None and not _FORM.fullmatch(octets) and not run.replace_foreign:
        raise StoreError(
            f"{path}: holds no secret that this program made and will not be overwritten: "
            "move it away, or say --replace"
        )
    return octets


def _choose(present: Sequence[bytes | None], taken: set[bytes]) -> bytes:
    """The first secret of these files that no other label has, or a new one."""
    for octets in present:
        if octets is not None and _FORM.fullmatch(octets) and octets not in taken:
            return octets
    return f"0x{secrets.token_hex(SECRET_OCTETS)}\n".encode()


def _ensure_one(name: str, label: str, found: bytes | None, wanted: bytes, run: Run) -> SecretOutcome:
    path = run.layout.secret(name)
    if found == wanted:
        return SecretOutcome(name, label, path, Action.KEPT, (), tuple(_fix_mode(path, run)))
    if not run.check:
        store.write(path, wanted, KEY_MODE)
    if found is None:
        return SecretOutcome(name, label, path, Action.MADE, ("there is none yet",), ())
    return SecretOutcome(name, label, path, Action.REISSUED, ("it is not the secret of its label",), ())


def _fix_mode(path: Path, run: Run) -> Iterator[str]:
    mode = store.wrong_mode(path, KEY_MODE)
    if mode is not None:
        if not run.check:
            store.set_mode(path, KEY_MODE)
        yield f"permissions of {path.name} were {mode:04o}, {'not ' if run.check else 'now '}{KEY_MODE:04o}"
