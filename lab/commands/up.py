"""`ipseclab up` and `ipseclab down`."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lab import library, output, story
from lab.backends.base import Backend, LabInfo, Removed
from lab.commands import facts, tunnel
from lab.commands.context import Context
from lab.errors import ExitCode, UsageError
from lab.labels import owner
from lab.lifecycle import Outcome, Runner
from lab.scenario import Scenario
from lab.text import listing, span

NEXT = {
    "status": "the tunnel, its SPIs and counters",
    "logs -f": "what both sides do, message by message",
    "shell initiator": "a shell in the initiator; try: python -m node ctl status",
    "run wrong-ca": "break it on purpose",
    "down": "stop and remove everything",
}


def up(context: Context, options: argparse.Namespace) -> int:
    """Bring a lab up, or say that it is up already."""
    scenario = library.load(options.scenario or library.DEFAULT_SCENARIO)
    found = context.holding(context.lab)
    backend = found[0] if found is not None else context.new_backend(options.subnet)
    runner = context.runner(backend)
    # Another `up` of this lab may be at work: what it makes counts.
    with backend.lock(context.lab):
        info = runner.existing(context.lab)
        if info is not None and _stands(context, runner, info, scenario, options):
            return ExitCode.OK
        runner.take_down(context.lab, keep_pki=True)
        outcome = _bring_up(context, runner, scenario, options)
    return _finish(context, runner, outcome)


def _stands(
    context: Context, runner: Runner, info: LabInfo, asked: Scenario, options: argparse.Namespace
) -> bool:
    """Whether the lab that is there is what was asked for, its tunnel included; says what it finds."""
    running = info.scenario or library.DEFAULT_SCENARIO
    stopped = [node.name for node in info.nodes if not node.running]
    if options.scenario and running != asked.name and not stopped:
        raise UsageError(
            f"lab {info.name!r} is up with the scenario {running!r}: take it down first with "
            "`ipseclab down`, or give the new one another name with -n"
        )
    known = _known(running, asked)
    plan = context.plan(info.name, known, None, wire=options.wire) if known else None
    stopped += tunnel.absent(plan, info) if plan else ()
    again = f"making it again{'' if asked.name == running else f' with the scenario {asked.name!r}'}"
    if stopped:
        context.console.line(f"lab {info.name!r} is not complete (not running: {listing(stopped)}): {again}")
        return False
    statuses = tunnel.restore(runner.backend.lab(info.name), info, plan, context.console.line) if plan else {}
    if statuses is None:
        context.console.line(f"the tunnel does not come up by itself: {again}")
        return False
    if context.json:
        output.print_json("up", {"already_up": True, "lab": facts.lab(info, statuses)})
    context.console.line(f"lab {info.name!r} is already up ({span(facts.age(info))}), nothing to do")
    return True


def _known(running: str, asked: Scenario) -> Scenario | None:
    """The scenario that is running, where we can tell: it may come from a file that we were not given."""
    if running == asked.name:
        return asked
    return library.load(running) if running in library.names() else None


def _bring_up(context: Context, runner: Runner, scenario: Scenario, options: argparse.Namespace) -> Outcome:
    plan = context.plan(context.lab, scenario, options.key_type, wire=options.wire)
    context.console.line(f"{context.style.paint(scenario.title, 'bold')} ({runner.backend.name})")
    try:
        return runner.bring_up(plan, whole=False)
    except BaseException:
        # Half a lab helps nobody, and an interrupted one is not what was asked for.
        with undisturbed():
            context.console.line(f"taking lab {context.lab!r} down again")
            runner.take_down(context.lab)
        raise


def _finish(context: Context, runner: Runner, outcome: Outcome) -> int:
    passed = outcome.verdict.passed
    console, style = context.console, context.console.style
    if context.json:
        output.print_json("up", {"already_up": False, **facts.outcome(outcome)})
    if not passed:
        console.line(f"{style.paint('the lab did not come up as it should', 'bold', 'red')}")
        runner.report_failure(outcome, runner.backend.lab(context.lab))
        console.line("it is left as it is: see `ipseclab logs`, then `ipseclab down`")
        return ExitCode.CHECK_FAILED
    console.line("")
    for name, text in story.summary_lines(outcome.plan, outcome.info, outcome.certificates, outcome.records):
        console.line(story.topic(name, text, style))
    console.line(
        f"{style.paint('up', 'bold', 'green')}: {outcome.plan.scenario.title} ({span(outcome.seconds)})"
    )
    _next_steps(context)
    return ExitCode.OK


def _next_steps(context: Context) -> None:
    console = context.console
    console.line("\nNext:")
    named = f" -n {context.name}" if context.name else ""
    shown = []
    for command in NEXT:
        verb, _, rest = command.partition(" ")
        more = f"{'' if verb == 'run' else named}{' ' + rest if rest else ''}"
        shown.append(f"{console.program} {verb}{more}")
    width = max(map(len, shown))
    for line, what in zip(shown, NEXT.values(), strict=True):
        console.line(f"  {line:<{width}}  {console.style.paint(what, 'dim')}")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Neither Ctrl-C nor a timeout ends what is in here: cleaning up is bounded by the grace period."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def down(context: Context, options: argparse.Namespace) -> int:
    """Stop and remove a lab, or every lab of ours. Nothing there is fine."""
    removed: list[tuple[str, Removed]] = []
    for backend in context.candidates():
        for name in _to_remove(context, backend, options.all):
            with backend.lock(name):
                removed.append((name, context.runner(backend).take_down(name, keep_pki=options.keep_pki)))
    things = [(name, found) for name, found in removed if found.things]
    if context.json:
        output.print_json("down", {"labs": [{"name": n, "removed": facts.removed(f)} for n, f in things]})
    for name, found in things:
        context.console.line(f"lab {name!r} is down: removed {_counts(found)}")
    if not things:
        context.console.line(
            "nothing to do: no lab of ours is there"
            if options.all
            else f"nothing to do: no lab {context.lab!r} is there"
        )
    return ExitCode.OK


_PLURALS = {"process": "processes", "directory": "directories"}


def _counts(removed: Removed) -> str:
    """`3 containers, 1 network`."""
    kinds = [kind for kind, _ in removed.things]
    counts = {kind: kinds.count(kind) for kind in kinds}
    return ", ".join(
        f"{count} {kind if count == 1 else _PLURALS.get(kind, kind + 's')}" for kind, count in counts.items()
    )


def _to_remove(context: Context, backend: Backend, everything: bool) -> list[str]:
    """With --all every lab that is ours; else the one lab, whether it is complete or only leftovers."""
    if not everything:
        return [context.lab]
    return list(backend.owned(owner()))
