"""Whether anything of a lab crossed the wire in clear: its captures against what is only ever said inside the
tunnel.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from lab.backends.base import CAPTURES
from lab.checks import Check
from lab.lifecycle import Outcome
from lab.plaintext import MIN_TEXT, Finding, Needles, search
from lab.plan import GREETING, Plan
from lab.wire import pcapng

#: What the check is called, and whose it is.
NODE, TEXT = "capture", "no plaintext on the wire"


def needles(plan: Plan) -> Needles:
    """What the nodes of this lab only ever say inside the tunnel."""
    messages = {_message(node.config).encode() for node in plan.nodes}
    networks = [IPv4Network(node.inner_network) for node in plan.nodes]
    networks += [network for node in plan.nodes for network in _pool(node.config)]
    return Needles(tuple(networks), tuple(sorted(text for text in messages if len(text) >= MIN_TEXT)))


def _message(config: Mapping[str, object]) -> str:
    demo = config.get("demo")
    return str(demo.get("message", GREETING)) if isinstance(demo, Mapping) else GREETING


def _pool(config: Mapping[str, object]) -> list[IPv4Network]:
    """Inner addresses that this node gives to others."""
    child = config.get("child")
    texts = child.get("pool", ()) if isinstance(child, Mapping) else ()
    return [IPv4Network(text) for text in map(str, texts) if ":" not in text]


def found(plan: Plan, directory: Path) -> tuple[Finding, ...]:
    """What the captures in `directory` hold in clear. Raises CaptureError."""
    captures = ((path.name, pcapng.read(path.read_bytes())) for path in sorted(directory.glob(CAPTURES)))
    return search(captures, needles(plan))


def check(plan: Plan, directory: Path) -> Check:
    """The verdict on the captures in `directory`; without a capture nothing is proven."""
    if not list(directory.glob(CAPTURES)):
        return Check(NODE, TEXT, False, "nothing was captured")
    try:
        leaks = found(plan, directory)
    except pcapng.CaptureError as error:
        return Check(NODE, TEXT, False, f"the capture cannot be read: {error}")
    more = f" and {len(leaks) - 1} more" if len(leaks) > 1 else ""
    return Check(NODE, TEXT, not leaks, f"{leaks[0]}{more}" if leaks else "")


def judged(outcome: Outcome, directory: Path) -> Outcome:
    """The outcome with the verdict on its captures behind all others."""
    if not outcome.plan.capture:
        return outcome
    checks = (*outcome.verdict.checks, check(outcome.plan, directory))
    return replace(outcome, verdict=replace(outcome.verdict, checks=checks))
