"""`ipseclab doctor`, and its short form at the head of failure reports."""

import argparse
import time

from lab import output
from lab.commands.context import Context
from lab.doctor import findings as told
from lab.doctor.examine import examine, usable
from lab.errors import ExitCode
from lab.text import span


def doctor(context: Context, options: argparse.Namespace) -> int:
    """Try what a lab needs, and name the fix for what is missing. Exit code 4 where it must be done."""
    began = time.monotonic()
    found = examine(context.backend, options.subnet)
    good = usable(found)
    if context.json:
        content = {
            "backend": context.backend,
            "level": told.worst(found).value,
            "findings": [finding.as_json() for finding in found],
        }
        output.print_json("doctor", content)
    else:
        print("\n".join(told.full(found, context.style)), flush=True)
        counts = [f"{sum(f.level is level for f in found)} {level.value}" for level in told.Level]
        context.console.line(f"{', '.join(counts)} ({span(time.monotonic() - began)})")
    return ExitCode.OK if good else ExitCode.ENVIRONMENT
