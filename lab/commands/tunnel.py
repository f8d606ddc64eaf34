"""Whether a lab that runs has the tunnels that its scenario ends in, and getting them back.

1. What is missing is what the nodes say against what the scenario expects in the end; SAs beyond that are the
   user's business. A scenario that ends without SAs misses none.
2. An initiator without any IKE SA is asked to open one; what is on its way is waited for. Sides that disagree
   (one of them was restarted) are not mended: the lab is made again.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lab import judge
from lab.backends.base import Follower, Lab, LabInfo
from lab.commands.show import Status, ask_all
from lab.errors import CheckFailed
from lab.events import NodeEvent
from lab.labels import Role
from lab.plan import Plan

#: Seconds for a tunnel to come (back) up: a request that got lost on the way is repeated twice within it.
PATIENCE = 15.0
_NEWS = frozenset({"child_sa_installed", "ike_sa_failed", "child_sa_failed", "retransmission_gave_up"})

Statuses = Mapping[str, Status | None]


def absent(plan: Plan, info: LabInfo) -> tuple[str, ...]:
    """Nodes of the scenario that the lab does not have (any more)."""
    there = {node.name for node in info.nodes}
    return tuple(name for name in plan.names if name not in there)


def missing(plan: Plan, statuses: Statuses) -> tuple[str, ...]:
    """What is not there of the SAs that the scenario ends in, by node, in words."""
    found = []
    for name, expect in judge.expectations(plan).items():
        wanted, status = expect.sas, statuses.get(name)
        if wanted is None or not wanted.ike:
            continue
        if status is None:
            found.append(f"{name} does not answer")
            continue
        view = judge.sa_view(status)
        if view.ike < wanted.ike:
            found.append(f"{name} has {view.ike} of {wanted.ike} IKE SAs")
        elif view.child < wanted.child:
            found.append(f"{name} has {view.child} of {wanted.child} Child SAs")
    return tuple(found)


def restore(lab: Lab, info: LabInfo, plan: Plan, say: Callable[[str], None]) -> Statuses | None:
    """Wait for tunnels that are missing, and ask for those that nobody is opening. What the nodes say once
    nothing is missing; None where that does not come about."""
    since = datetime.now(UTC)
    statuses = ask_all(lab, info)
    if missing(plan, statuses) and not _on_the_way(statuses):
        # The nodes are asked one beside the other: a tunnel that came up in between looks like half a one.
        statuses = ask_all(lab, info)
    lacks = missing(plan, statuses)
    if not lacks:
        return statuses
    idle = [name for name in _initiators(plan) if (found := statuses.get(name)) and not found["ike_sas"]]
    if not idle and not _on_the_way(statuses):
        say(f"lab {info.name!r} runs, but its tunnel is broken: {', '.join(lacks)}")
        return None
    say(f"lab {info.name!r} runs without its tunnel: {', '.join(lacks)}: waiting for it")
    names = [node.name for node in info.endpoints]
    follower = lab.follow(names, live=True)
    try:
        _initiate(lab, idle)
        found = _wait(lab, info, plan, follower, since)
        if found is not None:
            say("the tunnel is up")
        return found
    finally:
        follower.close()


def _initiators(plan: Plan) -> list[str]:
    return [node.name for node in plan.nodes if node.role is Role.INITIATOR]


def _on_the_way(statuses: Statuses) -> bool:
    """Whether somebody is opening an IKE SA."""
    told = [status for status in statuses.values() if status is not None]
    return any(status["half_open"] or judge.sa_view(status).half_open for status in told)


def _initiate(lab: Lab, names: list[str]) -> None:
    for name in names:
        try:
            lab.control(name, ["initiate"], judge.CONTROL_TIMEOUT)
        except CheckFailed:
            # It is stopping, or has just begun by itself: what is missing in the end tells.
            continue


def _wait(lab: Lab, info: LabInfo, plan: Plan, follower: Follower, since: datetime) -> Statuses | None:
    deadline = time.monotonic() + PATIENCE
    while (told := follower.next(max(0.0, deadline - time.monotonic()))) is not None:
        if isinstance(told, NodeEvent) and told.name in _NEWS and told.moment >= since:
            statuses = ask_all(lab, info)
            if not missing(plan, statuses):
                return statuses
    return None
