"""Reading what `python -m ca -o json` reports, for every backend."""

import json

from lab.backends.base import Certificate
from lab.errors import CheckFailed


def read_report(text: str) -> tuple[Certificate, ...]:
    """One certificate per line of the CA's stdout. Raises CheckFailed for a line that is none."""
    return tuple(_certificate(line) for line in text.splitlines() if line.strip())


def _certificate(line: str) -> Certificate:
    try:
        found = json.loads(line)
        return Certificate(
            name=str(found["name"]),
            action=str(found["action"]),
            subject=str(found["subject"]),
            key_type=str(found["key_type"]),
            not_after=str(found["not_after"]),
            authority=found["kind"] == "authority",
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckFailed(f"the CA wrote a line that is no report: {line[:200]!r}") from error


def failure(code: int, prose: str) -> CheckFailed:
    """The error for a CA that did not exit with 0, in its own words."""
    lines = [line for line in prose.splitlines() if line.strip()]
    said = lines[-1].removeprefix("ca: ").removeprefix("error: ") if lines else "it said nothing"
    return CheckFailed(f"the CA exited with code {code}: {said}")
