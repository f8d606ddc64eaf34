"""Talking to the wire node of a lab that runs: which faults it has, and changing them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.backends.base import Lab
from lab.errors import CheckFailed

#: Seconds for one question: starting Python in a container of a busy machine takes its time.
PATIENCE = 20.0


def ask(lab: Lab, name: str, *words: str) -> Mapping[str, Any]:
    """`python -m lab.wire ctl WORDS` at the wire node. Raises CheckFailed with what it says."""
    answer = lab.ask(name, ["python", "-m", "lab.wire", "ctl", *words], PATIENCE)
    try:
        found = json.loads(answer.out)
    except ValueError:
        lines: Sequence[str] = [line for line in answer.err.splitlines() if line.strip()] or ["no answer"]
        raise CheckFailed(f"{name}: ctl {words[0]}: {lines[-1]}") from None
    if not isinstance(found, dict) or found.get("ok") is not True:
        said = found.get("error", "it says no") if isinstance(found, dict) else answer.out[:200]
        raise CheckFailed(f"{name}: ctl {words[0]}: {said}")
    return found


def change(lab: Lab, name: str, faults: Sequence[Mapping[str, Any]]) -> None:
    """Put these faults in force, in place of those before; none: an honest wire. Raises CheckFailed."""
    ask(lab, name, *(["set", json.dumps([dict(fault) for fault in faults])] if faults else ["reset"]))
