"""Whether anything of a lab crossed the wire in clear: its captures against what is only ever said inside the
tunnel.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from lab import plaintext
from lab.backends.base import CAPTURES
from lab.checks import Check
from lab.lifecycle import Outcome
from lab.plaintext import Finding, Needles
from lab.plan import GREETING, Plan
from lab.wire import pcapng

#: What the check is called, and whose it is.
NODE, TEXT = "capture", "no plaintext on the wire"


def needles(plan: Plan) -> Needles:
    """What the nodes of this lab only ever say inside the tunnel."""
    messages = {_message(node.config) for node in plan.nodes}
    addresses = tuple(IPv4Interface(node.inner_address).ip for node in plan.nodes)
    networks = tuple(IPv4Network(node.inner_network) for node in plan.nodes)
    # Pairs grow with the square of the nodes; those of the first ones are enough to find a leak.
    return Needles(tuple(sorted(messages)), networks, addresses[:_MAX_PAIRED])


_MAX_PAIRED = 8


def _message(config: Mapping[str, object]) -> str:
    demo = config.get("demo")
    return str(demo.get("message") or GREETING) if isinstance(demo, Mapping) else GREETING


def search(plan: Plan, directory: Path) -> Iterator[Finding]:
    """What the captures in `directory` hold in clear. Raises CaptureError."""
    wanted = needles(plan)
    for path in sorted(directory.glob(CAPTURES)):
        yield from plaintext.search(path.name, pcapng.read(path.read_bytes()), wanted)


def check(plan: Plan, directory: Path) -> Check:
    """The verdict on the captures in `directory`; without a capture nothing is proven."""
    paths = list(directory.glob(CAPTURES))
    if not paths:
        return Check(NODE, TEXT, False, "nothing was captured")
    try:
        found = list(search(plan, directory))
    except pcapng.CaptureError as error:
        return Check(NODE, TEXT, False, f"the capture cannot be read: {error}")
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return Check(NODE, TEXT, not found, f"{found[0]}{more}" if found else "")


def judged(outcome: Outcome, directory: Path) -> Outcome:
    """The outcome with the verdict on its captures behind all others."""
    if not outcome.plan.capture:
        return outcome
    checks = (*outcome.verdict.checks, check(outcome.plan, directory))
    return replace(outcome, verdict=replace(outcome.verdict, checks=checks))
