"""`ipseclab decode`: what was on the wire, message by message, opened where its keys are known."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import evidence, output
from lab.commands.context import Context
from lab.decode import keylog, run, text
from lab.decode.values import Decoded, Kind
from lab.errors import ExitCode, NoSuchLab, UsageError

#: Kinds that --only may name.
KINDS = (Kind.IKE.value, Kind.ESP.value)
_NUMBERS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is decoded: how it is called, its capture, its key logs, and where keys would come from."""

    name: str
    capture: Path
    keys: tuple[Path, ...]
    remedy: str


def decode(context: Context, options: argparse.Namespace) -> int:
    """Show every message of a run or a capture as a tree. Protected parts are opened with its key log."""
    target, numbers = _arguments(options.target, options.numbers)
    subject = _subject(context, target, tuple(options.keys))
    ports = frozenset(options.port) or run.PORTS
    keys = keylog.read(subject.keys)
    found = run.decode(run.load(subject.capture), keys, "", ports)
    if not keys:
        context.console.warning(f"{subject.name}: no keys, what is protected stays closed: {subject.remedy}")
    shown = _selected(found, options.only, numbers)
    if context.json:
        content = {"name": subject.name, "capture": str(subject.capture), "keys": bool(keys)}
        packets = [text.as_json(one, octets=options.hex) for one in shown]
        output.print_json("decode", {**content, "packets": packets})
        return ExitCode.OK
    zero = found[0].moment_ns if found else 0
    if options.brief:
        print(text.brief(shown, zero, context.style), flush=True)
        return ExitCode.OK
    everything = context.console.verbosity > 0
    for one in shown:
        tree = text.lines(one, zero, context.style, everything=everything, octets=options.hex)
        print("\n".join([*tree, ""]), flush=True)
    return ExitCode.OK


def _arguments(target: str | None, words: Sequence[str]) -> tuple[str | None, list[range]]:
    """The target, and the packets that are wanted: 3 or 3-7. A number alone is no target."""
    if target is not None and _NUMBERS.fullmatch(target) and not Path(target).exists():
        return None, [_range(word) for word in (target, *words)]
    return target, [_range(word) for word in words]


def _range(word: str) -> range:
    found = _NUMBERS.fullmatch(word)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise UsageError(f"{word!r} is no packet number: write 3, or 3-7")
    return range(first, last + 1)


def _selected(found: Sequence[Decoded], only: str | None, numbers: Sequence[range]) -> list[Decoded]:
    for wanted in numbers:
        if wanted[0] > len(found):
            raise UsageError(f"packet {wanted[0]}: the capture has {len(found)}")
    return [
        one
        for one in found
        if (only is None or one.kind == only) and (not numbers or any(one.number in n for n in numbers))
    ]


def _subject(context: Context, target: str | None, keys: tuple[Path, ...]) -> _Subject:
    """A pcapng file, a run's directory, the latest run of a lab, or the newest."""
    if target is not None and (file := Path(target)).is_file():
        beside = tuple(sorted((file.parent / "keys").glob(keylog.PATTERN)))
        return _Subject(file.name, file, keys or beside, "name its key logs with --keys FILE")
    directory = evidence.meant(target, context.name, "is neither a pcapng file nor a run")
    capture = directory / run.CAPTURE
    if not capture.is_file():
        raise NoSuchLab(f"{directory} has no {run.CAPTURE}: name a run with a capture, or a pcapng file")
    logs = tuple(sorted((directory / "keys").glob(keylog.PATTERN)))
    remedy = "run its scenario with `keylog: true`, or name key logs with --keys FILE"
    return _Subject(directory.name, capture, (*logs, *keys), remedy)
