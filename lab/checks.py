"""Judging: what nodes told against what the scenario wants. Pure functions over values.

1. `unmet` says what is still to come; while it is not empty the judge waits.
2. `broken` says what can no longer be put right; it ends the waiting at once.
3. A verdict names what was expected, and why it does not hold.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.events import NodeEvent, NodeExit, NodeProse, Told
from lab.scenario import Expectation, Pattern, SaCount, Wanted
from lab.text import printable


@dataclass(frozen=True, slots=True)
class SaView:
    """What a node says of its SAs: established IKE SAs, their Child SAs, and IKE SAs that are not
    established.
    """

    ike: int
    child: int
    half_open: int


@dataclass(slots=True)
class Record:
    """Everything that one node has told so far. `silence` is why it did not tell its SAs."""

    node: str
    events: list[NodeEvent] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    exit_code: int | None = None
    sas: SaView | None = None
    silence: str = ""

    def add(self, told: Told) -> None:
        """Note something that the node told."""
        match told:
            case NodeEvent():
                self.events.append(told)
            case NodeExit():
                self.exit_code = told.code
            case NodeProse():
                self.prose.append(told.line)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the verdict."""

    node: str
    text: str
    passed: bool
    reason: str = ""


def matches(pattern: Pattern, event: NodeEvent) -> bool:
    """Whether the event has the name and every wanted field."""
    return pattern.event == event.name and all(
        key in event.fields and value_matches(wanted, event.fields[key])
        for key, wanted in pattern.where.items()
    )


def value_matches(wanted: object, found: object) -> bool:
    """A scalar must be equal; a list: one of it. `matches` is a regular expression for the whole text,
    `contains` a part of a text or an element of a list, `least` and `most` bound a number, `other_than` is
    a value that must not fit."""
    if isinstance(wanted, Mapping):
        return all(_OPERATORS[name](value, found) for name, value in wanted.items())
    if isinstance(wanted, list):
        return any(value_matches(one, found) for one in wanted)
    return type(wanted) is type(found) and wanted == found


def _regex(wanted: object, found: object) -> bool:
    return isinstance(found, str) and re.fullmatch(str(wanted), found, re.DOTALL) is not None


def _contains(wanted: object, found: object) -> bool:
    if isinstance(found, str):
        return str(wanted) in found
    return isinstance(found, list) and wanted in found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _least(wanted: object, found: object) -> bool:
    low, number = _number(wanted), _number(found)
    return low is not None and number is not None and number >= low


def _most(wanted: object, found: object) -> bool:
    high, number = _number(wanted), _number(found)
    return high is not None and number is not None and number <= high


def _other_than(wanted: object, found: object) -> bool:
    return not value_matches(wanted, found)


_OPERATORS = {
    "matches": _regex,
    "contains": _contains,
    "least": _least,
    "most": _most,
    "other_than": _other_than,
}
_WORDS = {
    "matches": "matching",
    "contains": "containing",
    "least": ">=",
    "most": "<=",
    "other_than": "other than",
}


def describe(pattern: Pattern) -> str:
    """The pattern in words."""
    fields = [f"{key} {_words(value)}" for key, value in pattern.where.items()]
    return pattern.event + (f" with {' and '.join(fields)}" if fields else "")


def _words(wanted: object) -> str:
    if isinstance(wanted, Mapping):
        return ", ".join(f"{_WORDS[name]} {value!r}" for name, value in wanted.items())
    if isinstance(wanted, list):
        return "one of " + ", ".join(repr(one) for one in wanted)
    return f"= {wanted!r}"


def _times(wanted: Wanted) -> str:
    if wanted.most is None:
        return "" if wanted.least == 1 else f", at least {wanted.least} times"
    if wanted.least == wanted.most:
        return ", once" if wanted.least == 1 else f", {wanted.least} times"
    return f", {wanted.least} to {wanted.most} times"


def judge(expect: Expectation, record: Record) -> tuple[Check, ...]:
    """Every check of one node, as things stand."""
    checks = [_check_event(expect, index, record) for index in range(len(expect.events))]
    checks += [_check_never(pattern, record) for pattern in expect.never]
    checks.append(_check_exit(expect.exit_code, record))
    if expect.sas is not None:
        checks.append(_check_sas(expect.sas, record))
    return tuple(checks)


def _check_event(expect: Expectation, index: int, record: Record) -> Check:
    wanted = expect.events[index]
    text = describe(wanted.pattern) + _times(wanted)
    found = [event for event in record.events if matches(wanted.pattern, event)]
    if len(found) < wanted.least:
        return Check(record.node, text, False, _missing(wanted, len(found), record.events))
    if wanted.most is not None and len(found) > wanted.most:
        return Check(record.node, text, False, f"happened {len(found)} times")
    if expect.ordered and wanted.least > 0 and not _in_order(expect.events[: index + 1], record.events):
        return Check(record.node, text, False, "happened, but not after the events before it in the list")
    return Check(record.node, text, True)


def _missing(wanted: Wanted, count: int, events: Sequence[NodeEvent]) -> str:
    if count:
        return f"happened only {count} times"
    near = [event for event in events if event.name == wanted.pattern.event]
    if not near:
        return f"no {wanted.pattern.event} happened"
    last = near[-1]
    wrong = [
        f"{key} {printable(repr(last.fields[key])) if key in last.fields else 'missing'}"
        for key, value in wanted.pattern.where.items()
        if key not in last.fields or not value_matches(value, last.fields[key])
    ]
    return f"it happened with {', '.join(wrong)}"


def _in_order(wanted: Sequence[Wanted], events: Sequence[NodeEvent]) -> bool:
    """Whether first matches can be found one after the other."""
    position = 0
    for item in wanted:
        if item.least == 0:
            continue
        found = (i for i in range(position, len(events)) if matches(item.pattern, events[i]))
        if (at := next(found, None)) is None:
            return False
        position = at + 1
    return True


def _check_never(pattern: Pattern, record: Record) -> Check:
    found = sum(matches(pattern, event) for event in record.events)
    reason = f"it happened {found} times" if found else ""
    return Check(record.node, f"never {describe(pattern)}", not found, reason)


def _check_exit(wanted: int | None, record: Record) -> Check:
    text = "still running" if wanted is None else f"exits with code {wanted}"
    if record.exit_code == wanted:
        return Check(record.node, text, True)
    reason = "is still running" if record.exit_code is None else f"exited with code {record.exit_code}"
    return Check(record.node, text, False, reason)


def _check_sas(wanted: SaCount, record: Record) -> Check:
    text = _sas_words(SaView(wanted.ike, wanted.child, wanted.half_open))
    # A process that is gone has no SAs; that it may be gone is another check.
    found = SaView(0, 0, 0) if record.exit_code is not None else record.sas
    if found is None:
        return Check(record.node, text, False, record.silence or "the node was not asked")
    same = found == SaView(wanted.ike, wanted.child, wanted.half_open)
    return Check(record.node, text, same, "" if same else f"found {_sas_words(found)}")


def _sas_words(view: SaView) -> str:
    if view == SaView(0, 0, 0):
        return "no SA is left"
    half = f", {_plural(view.half_open, 'IKE SA')} not established" if view.half_open else ""
    return f"{_plural(view.ike, 'IKE SA')} with {_plural(view.child, 'Child SA')} established{half}"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def broken(expect: Expectation, record: Record) -> str | None:
    """Why this node can no longer pass, whatever happens next; None if it still can."""
    for check in (_check_never(pattern, record) for pattern in expect.never):
        if not check.passed:
            return f"{check.text}: {check.reason}"
    if record.exit_code is None:
        return None
    if record.exit_code != expect.exit_code:
        return f"exited with code {record.exit_code}"
    missing = [check for check in judge(expect, record) if not check.passed]
    return f"exited before {missing[0].text}" if missing else None


def waiting_for(expect: Expectation, record: Record) -> tuple[str, ...]:
    """What must still happen at this node before its SAs are worth asking for."""
    checks = [_check_event(expect, index, record) for index in range(len(expect.events))]
    checks.append(_check_exit(expect.exit_code, record))
    return tuple(check.text for check in checks if not check.passed)
