"""Labs, nodes and outcomes as JSON values of the output schema."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lab.backends.base import Certificate, LabInfo, NodeInfo, Removed
from lab.lifecycle import Outcome


def stamp(moment: datetime | None) -> str | None:
    """RFC 3339, UTC, to the second."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def state(node: NodeInfo) -> str:
    """`running`, `paused`, `exited` or `created`."""
    if node.running:
        return "running"
    if node.paused:
        return "paused"
    # A whole machine that went down leaves nodes without an exit code.
    return "created" if node.started is None and node.exit_code is None else "exited"


def age(info: LabInfo) -> float:
    """Seconds since the lab was made."""
    return since(info.created)


def since(moment: datetime | None) -> float:
    """Seconds since then; 0 where it never was."""
    return 0.0 if moment is None else max(0.0, (datetime.now(UTC) - moment).total_seconds())


def node(info: NodeInfo, status: Mapping[str, Any] | None) -> dict[str, object]:
    """One node; `status` is what its control socket says, None where it did not answer."""
    return {
        "name": info.name,
        "role": info.role.value,
        "state": state(info),
        "exit_code": info.exit_code,
        "address": info.address,
        "started": stamp(info.started),
        "status": None if status is None else dict(status),
    }


def lab(info: LabInfo, statuses: Mapping[str, Mapping[str, Any] | None]) -> dict[str, object]:
    """One lab with its nodes."""
    return {
        "name": info.name,
        "backend": info.backend,
        "scenario": info.scenario or None,
        "owner": info.owner or None,
        "created": stamp(info.created),
        "age_seconds": round(age(info), 3),
        "nodes": [node(item, statuses.get(item.name)) for item in info.nodes],
    }


def certificate(found: Certificate) -> dict[str, object]:
    """One certificate of the CA's report."""
    return {
        "name": found.name,
        "authority": found.authority,
        "action": found.action,
        "subject": found.subject,
        "key_type": found.key_type,
        "not_after": found.not_after,
    }


def outcome(found: Outcome) -> dict[str, object]:
    """A lab that was brought up and judged."""
    return {
        "scenario": found.plan.scenario.name,
        "passed": found.verdict.passed,
        "seconds": round(found.seconds, 3),
        "lab": lab(found.info, found.statuses),
        "certificates": [certificate(item) for item in found.certificates],
        "checks": [
            {"node": c.node, "check": c.text, "passed": c.passed, "reason": c.reason or None}
            for c in found.verdict.checks
        ],
    }


def result(found: Outcome, vantage: str) -> dict[str, object]:
    """A run, for whoever reads its evidence later."""
    scenario = found.plan.scenario
    about = {"title": scenario.title, "description": scenario.description}
    capture = {"vantage": vantage if found.plan.capture else None, "keylog": found.plan.keylog}
    return {**outcome(found), **about, **capture}


def removed(found: Removed) -> list[dict[str, str]]:
    """What was removed."""
    return [{"kind": kind, "name": name} for kind, name in found.things]
