"""Validity windows: what was asked, what that means now, and whether an existing certificate still fits.

1. A bound is absolute (a moment) or relative to the run (`-2d`, `+1h`).
2. An absolute bound must be met exactly. With relative bounds the certificate must have the asked lifetime
   and be in the asked state (valid, expired, not yet valid): so one that is expired on purpose is kept too.
3. A certificate that was asked to be valid is renewed before its end, unless that end is absolute: it would
   come out the same again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ca.errors import RequestError

# A certificate starts this long before it is issued: the peer's clock may be behind ours.
CLOCK_SKEW = timedelta(minutes=5)
# Renewal starts this long before the end, or at a third of the lifetime if that is shorter.
RENEW_BEFORE = timedelta(days=30)
RENEW_FRACTION = 3
# A century: far beyond any lesson, and dates stay within what X.509 (year 9999) and datetime can hold.
MAX_DAYS = 36500
# RFC 5280 4.1.2.5: UTCTime begins in 1950.
EARLIEST = datetime(1950, 1, 1, tzinfo=UTC)

_RELATIVE = re.compile(r"([+-])([0-9]{1,9})([smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Bound = datetime | timedelta


@dataclass(frozen=True, slots=True)
class Validity:
    """The two moments of a certificate, both inclusive (RFC 5280 section 4.1.2.5), in UTC."""

    not_before: datetime
    not_after: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.not_after - self.not_before

    def state(self, now: datetime) -> str:
        """`valid`, `expired` or `not yet valid` at `now`."""
        if now > self.not_after:
            return "expired"
        return "not yet valid" if now < self.not_before else "valid"


@dataclass(frozen=True, slots=True)
class Window:
    """An asked validity: either bound may be left open, `lifetime` fills it."""

    lifetime: timedelta
    not_before: Bound | None = None
    not_after: Bound | None = None

    def resolve(self, now: datetime) -> Validity:
        """The window for a certificate issued at `now`; raise `RequestError` if it ends before it begins."""
        now = now.replace(microsecond=0)
        before, after = _moment(self.not_before, now), _moment(self.not_after, now)
        if before is None:
            past = after is not None and after <= now
            before = after - self.lifetime if after is not None and past else now - CLOCK_SKEW
        if after is None:
            after = before + self.lifetime
        if before >= after:
            raise RequestError(f"the validity ends ({stamp(after)}) before it begins ({stamp(before)})")
        return Validity(before, after)

    def faults(self, existing: Validity, now: datetime, renew_before: timedelta) -> Iterator[str]:
        """Why `existing` is not what this window asks for; nothing if it is."""
        asked = self.resolve(now)
        if isinstance(self.not_before, datetime) and existing.not_before != asked.not_before:
            yield f"starts {stamp(existing.not_before)}, asked {stamp(asked.not_before)}"
        if isinstance(self.not_after, datetime) and existing.not_after != asked.not_after:
            yield f"ends {stamp(existing.not_after)}, asked {stamp(asked.not_after)}"
        if self._fixed_lifetime() and existing.lifetime != asked.lifetime:
            yield f"lifetime is {_span(existing.lifetime)}, asked {_span(asked.lifetime)}"
        yield from self._state_faults(existing, asked, now, renew_before)

    def _fixed_lifetime(self) -> bool:
        if isinstance(self.not_after, datetime):
            return False
        return not (isinstance(self.not_before, datetime) and self.not_after is not None)

    def _state_faults(
        self, existing: Validity, asked: Validity, now: datetime, renew_before: timedelta
    ) -> Iterator[str]:
        state, wanted = existing.state(now), asked.state(now)
        if state != wanted:
            yield _misfit(existing, state, wanted)
        elif state == "valid" and not isinstance(self.not_after, datetime):
            margin = min(renew_before, (asked.not_after - now) / RENEW_FRACTION)
            if existing.not_after - now <= margin:
                yield f"expires {stamp(existing.not_after)}, within the renewal time of {_span(margin)}"
        elif state == "not yet valid" and isinstance(self.not_before, timedelta):
            margin = min(renew_before, self.not_before / RENEW_FRACTION)
            if existing.not_before - now <= margin:
                yield f"becomes valid {stamp(existing.not_before)}, asked to be not yet valid"


def _misfit(existing: Validity, state: str, wanted: str) -> str:
    match state:
        case "expired":
            text = f"expired {stamp(existing.not_after)}"
        case "not yet valid":
            text = f"is not valid before {stamp(existing.not_before)}"
        case _:
            text = "is valid now"
    return text if wanted == "valid" else f"{text}, asked to be {wanted}"


def _moment(bound: Bound | None, now: datetime) -> datetime | None:
    return now + bound if isinstance(bound, timedelta) else bound


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(duration: timedelta) -> str:
    days = duration / timedelta(days=1)
    return f"{days:g} days" if days >= 1 else f"{duration.total_seconds():g} seconds"


def parse_bound(where: str, value: object) -> Bound:
    """`-2d`, `+1h` (units s m h d w) or an RFC 3339 moment; `where` names the setting in `RequestError`."""
    wrong = f"{where}: {value!r} is not a moment: write 2030-01-31T12:00:00Z, or relative to now -2d or +1h"
    if not isinstance(value, str):
        raise RequestError(wrong)
    if relative := _RELATIVE.fullmatch(value):
        sign, count, unit = relative.groups()
        seconds = int(count) * _UNITS[unit]
        if seconds > MAX_DAYS * _UNITS["d"]:
            raise RequestError(f"{where}: {value!r} is more than {MAX_DAYS} days away: choose less")
        return timedelta(seconds=-seconds if sign == "-" else seconds)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RequestError(wrong) from None
    moment = moment.replace(microsecond=0, tzinfo=moment.tzinfo or UTC)
    if moment < EARLIEST or moment.year > EARLIEST.year + 2 * MAX_DAYS // 365:
        raise RequestError(f"{where}: {value!r} is out of range: choose a year between 1950 and 2150")
    return moment.astimezone(UTC)


def parse_window(
    where: str, days: object, not_before: object, not_after: object, default_days: int
) -> Window:
    """Three settings to a window; None leaves one open. Negative `days`: it ended that many days ago."""
    before = None if not_before is None else parse_bound(f"{where}not_before", not_before)
    after = None if not_after is None else parse_bound(f"{where}not_after", not_after)
    if days is None:
        return Window(timedelta(days=default_days), before, after)
    if not isinstance(days, int) or isinstance(days, bool) or days == 0 or abs(days) > MAX_DAYS:
        raise RequestError(
            f"{where}days: {days!r} is not a number of days: write 1 to {MAX_DAYS}, or -1 for ended yesterday"
        )
    if after is not None:
        raise RequestError(f"{where}days: {days} and {where}not_after exclude each other: keep one of them")
    if days < 0:
        return Window(timedelta(days=default_days), before, timedelta(days=days))
    return Window(timedelta(days=days), before)
