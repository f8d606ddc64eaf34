"""The end of `up` and of `run`: what was made and what happened, out of values; pure."""

from collections.abc import Iterable, Mapping, Sequence

from lab.backends.base import Certificate, LabInfo
from lab.checks import Check, Record
from lab.console import Style
from lab.events import NodeEvent
from lab.judge import Verdict
from lab.labels import Role
from lab.plan import NodePlan, Plan
from lab.render import clock, sentence
from lab.text import printable, span

#: Events of a node that a failed check shows.
SHOWN_EVENTS = 20
#: Lines of a node's stderr that a failed check shows.
SHOWN_PROSE = 20


def made(certificates: Sequence[Certificate]) -> str:
    """What the CA did, in one line."""
    fresh = [c for c in certificates if c.action != "kept"]
    leaves = [c for c in certificates if not c.authority]
    roots = [c.subject for c in certificates if c.authority]
    state = (
        "all kept"
        if not fresh
        else f"{len(fresh)} issued"
        + (f", {len(certificates) - len(fresh)} kept" if len(fresh) < len(certificates) else "")
    )
    names = ", ".join(c.name for c in leaves[:4]) + (
        f" and {len(leaves) - 4} more" if len(leaves) > 4 else ""
    )
    return f"{' and '.join(roots)}; {names} ({state})"


def last(record: Record | None, name: str) -> NodeEvent | None:
    """The node's last event of that name."""
    found = [event for event in record.events if event.name == name] if record else []
    return found[-1] if found else None


def summary_lines(
    plan: Plan, info: LabInfo, certificates: Sequence[Certificate], records: Mapping[str, Record]
) -> list[tuple[str, str]]:
    """What was made and what happened, as (topic, text)."""
    lines = [("ca", made(certificates))]
    addresses = {node.name: node.address for node in info.nodes}
    lines += [("node", _node(node, addresses)) for node in plan.nodes[:4]]
    if len(plan.nodes) > 4:
        lines.append(("node", f"... and {len(plan.nodes) - 4} more"))
    if plan.wire is not None:
        faults = f", seed {plan.wire.wire.seed}, {len(plan.wire.wire.faults)} faults"
        lines.append(("wire", f"between them, {addresses.get(plan.wire.name) or '(none)'}{faults}"))
    initiators = [node for node in plan.nodes if node.role is Role.INITIATOR]
    lines += _tunnels([records[node.name] for node in initiators if node.name in records])
    lines += _demo(plan, records)
    return lines


def _node(node: NodePlan, addresses: Mapping[str, str]) -> str:
    return f"{node.name}  outer {addresses.get(node.name) or '(none)'}  inner {node.inner_address}"


def _tunnels(records: Sequence[Record]) -> list[tuple[str, str]]:
    up = [(record, last(record, "ike_sa_established")) for record in records]
    established = [(record, event) for record, event in up if event]
    if not established:
        return [("ike", "no IKE SA")]
    record, event = established[0]
    count = f"{len(established)} x " if len(established) > 1 else ""
    lines = [("ike", f"{count}IKE SA established, {_field(event, 'suite')}")]
    if child := last(record, "child_sa_installed"):
        where = f"{_field(child, 'local')} === {_field(child, 'remote')}"
        lines.append(("esp", f"{count}Child SA installed, {_field(child, 'suite')}, {where}"))
    return lines


def _demo(plan: Plan, records: Mapping[str, Record]) -> list[tuple[str, str]]:
    lines = []
    responders = [records[n.name] for n in plan.nodes if n.role is Role.RESPONDER and n.name in records]
    initiators = [records[n.name] for n in plan.nodes if n.role is Role.INITIATOR and n.name in records]
    decrypted = [e for record in responders for e in record.events if e.name == "esp_payload_decrypted"]
    acknowledged = sum(1 for record in initiators if last(record, "esp_ack_received"))
    if decrypted:
        count = f" ({len(decrypted)} times)" if len(decrypted) > 1 else ""
        lines.append(("proof", f'responder decrypted "{_field(decrypted[0], "text")}"{count}'))
        lines.append(
            ("proof", f"{acknowledged} of {len(initiators)} initiators got the acknowledgement back")
        )
    if pings := [event for event in (last(record, "pings_completed") for record in initiators) if event]:
        sent, received = (sum(_number(event, key) for event in pings) for key in ("sent", "received"))
        average = sum(_decimal(event, "avg_ms") for event in pings) / len(pings)
        lines.append(
            ("proof", f"{received} of {sent} pings answered through the tunnel, {average:.1f} ms on average")
        )
    return lines


def _field(event: NodeEvent, name: str) -> str:
    value = event.fields.get(name, "?")
    return ", ".join(printable(str(v)) for v in value) if isinstance(value, list) else printable(str(value))


def _number(event: NodeEvent, name: str) -> int:
    value = event.fields.get(name)
    return value if isinstance(value, int) else 0


def _decimal(event: NodeEvent, name: str) -> float:
    value = event.fields.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def topic(name: str, text: str, style: Style) -> str:
    """`  name     text`."""
    return f"  {style.paint(f'{name:<9}', 'bold')} {text}"


def check_line(check: Check, style: Style) -> str:
    """One line of the verdict."""
    sign = style.paint("ok    ", "green") if check.passed else style.paint("FAILED", "red")
    reason = f": {check.reason}" if check.reason else ""
    return f"  {sign} {check.node}: {check.text}{reason}"


def verdict_line(scenario: str, verdict: Verdict, seconds: float, style: Style) -> str:
    """`PASS hello (1.2 s)`, or `FAIL` with the first reason."""
    if verdict.passed:
        return f"{style.paint('PASS', 'bold', 'green')} {scenario} ({span(seconds)})"
    first = next((check for check in verdict.checks if not check.passed), None)
    reason = f"{first.node}: {first.text}: {first.reason}" if first else ""
    if verdict.broken:
        reason = " ".join(verdict.broken)
    return f"{style.paint('FAIL', 'bold', 'red')} {scenario} ({span(seconds)}): {reason}"


def saw(record: Record, prose: Iterable[str], style: Style, count: int = SHOWN_EVENTS) -> list[str]:
    """What a node saw: its last `count` events and the last lines of its stderr."""
    events = record.events[-count:]
    state = "still running" if record.exit_code is None else f"exited with code {record.exit_code}"
    lines = [
        style.paint(
            f"  {record.node} ({state}) saw, the last {len(events)} of {len(record.events)} events:", "bold"
        )
    ]
    lines += [f"    {clock(event.moment)}  {sentence(event, style)}" for event in events]
    if record.exit_code:
        lines += [f"    stderr: {printable(line)}" for line in prose]
    return lines
