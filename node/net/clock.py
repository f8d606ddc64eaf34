"""Time. Monotonic seconds drive the engine; wall clock is for certificates and for event stamps only."""

import time
from datetime import UTC, datetime

#: Seconds that never jump.
monotonic = time.monotonic


def utc() -> datetime:
    """The time of day with its zone."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, as `2026-11-23T13:25:50.000123Z`. `moment` is in UTC."""
    # Half of the time that strftime takes.
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
