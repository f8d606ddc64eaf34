"""`ipseclab run`, `scenarios`: scenarios and their verdicts."""

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lab import evidence, junit, leaks, library, output, story
from lab.backends.base import Backend
from lab.commands import facts, verdicts
from lab.commands.context import Context
from lab.commands.jobs import Job, Jobs
from lab.commands.reports import Reports
from lab.commands.up import undisturbed
from lab.errors import ExitCode, LabError, UsageError
from lab.labels import check_name, new_session
from lab.lifecycle import Outcome, Runner
from lab.scenario import Scenario
from lab.text import span

ALL = "all"


def run(context: Context, options: argparse.Namespace) -> int:
    """Bring up, judge, say, keep the evidence, take down; one scenario, several or all of them."""
    names = [name for asked in options.scenarios for name in (library.names() if asked == ALL else (asked,))]
    scenarios = [library.load(name) for name in names]
    if options.list:
        return _list(context, scenarios)
    if options.jobs > 1 and context.name:
        raise UsageError("--jobs: every scenario needs a lab of its own: leave out --name")
    evidence.check()
    reports = Reports(context, options.junit)
    reports.open()
    backend = context.new_backend(options.subnet)
    if options.jobs > 1 and options.subnet and backend.name == "docker":
        raise UsageError("--jobs: networks of one engine need subnets of their own: leave out --subnet")
    results = []
    try:
        if options.jobs > 1:
            results = _side_by_side(context, backend, names, options, reports)
        else:
            for asked in zip(names, scenarios, strict=True):
                results.append(_run_one(context, context.runner(backend), asked, options, reports))
    finally:
        reports.close()
    passed = sum(bool(result["passed"]) for result in results)
    if context.json:
        output.print_json("run", {"passed": passed == len(results), "results": results})
    if len(results) > 1:
        context.console.line(f"\n{verdicts.table(reports.suites, context.console.style)}")
        context.console.line(f"{passed} of {len(results)} scenarios passed")
    return ExitCode.OK if passed == len(results) else ExitCode.CHECK_FAILED


def _list(context: Context, found: Sequence[Scenario]) -> int:
    """The names alone, for whoever wants to start each of them somewhere else."""
    if context.json:
        _print_scenarios(found)
    else:
        print("\n".join(scenario.name for scenario in found), flush=True)
    return ExitCode.OK


def _side_by_side(
    context: Context, backend: Backend, names: Sequence[str], options: argparse.Namespace, reports: Reports
) -> list[dict[str, object]]:
    """Run them at the same time; their results in the order of the names."""
    given = {"--backend": backend.name, "--subnet": options.subnet, "--key-type": options.key_type}
    words = [word for option, value in given.items() if value for word in (option, value)]
    words += ["--keep"] if options.keep else []
    words += {-1: ["--quiet"], 1: ["--verbose"]}.get(context.console.verbosity, [])
    jobs = Jobs(words, context.console.style.enabled, options.jobs)
    context.console.line(f"{len(names)} scenarios, {options.jobs} at a time ({backend.name})")
    results = {}
    with closing(jobs.run(names)) as ended:
        for job in ended:
            results[job.number] = _take_in(context, job, reports)
    return [result for _, result in sorted(results.items())]


def _take_in(context: Context, job: Job, reports: Reports) -> dict[str, object]:
    """Say what a job said, and its verdict; its result. Raises LabError where it could not judge."""
    print(job.said, end="", file=context.console.stream, flush=True)
    suites = junit.read(job.junit) if job.junit else []
    for suite in suites:
        reports.add(suite)
    document = json.loads(job.document or "{}")
    if "results" not in document:
        error = LabError(f"{job.scenario}: {document.get('error') or f'ended with code {job.code}'}")
        if job.code in set(ExitCode):
            error.exit_code = ExitCode(job.code)
        raise error
    for suite in () if context.json else suites:
        print(verdicts.line(suite, context.style), flush=True)
    (result,) = document["results"]
    return dict(result)


def _run_one(
    context: Context,
    runner: Runner,
    asked: tuple[str, Scenario],
    options: argparse.Namespace,
    reports: Reports,
) -> dict[str, object]:
    """Run a scenario that was asked for by a name; its result as a value of the output schema."""
    reports.begin()
    try:
        outcome, directory = _judge(context, runner, asked[1], options)
    except LabError as error:
        reports.not_judged(*asked, error)
        raise
    reports.judged(asked[0], outcome, directory)
    return {**facts.outcome(outcome), "evidence": directory}


def _judge(
    context: Context, runner: Runner, scenario: Scenario, options: argparse.Namespace
) -> tuple[Outcome, str]:
    """A scenario's lab from beginning to end; what came out, and where the evidence is."""
    # Without -n every run has a lab of its own, so that runs never meet.
    name = context.lab if context.name else check_name(f"{scenario.name[:22]}-{new_session()[:8]}")
    context.console.line(f"{scenario.name}: {scenario.title} ({runner.backend.name}, lab {name})")
    with runner.backend.lock(name):
        try:
            runner.take_down(name, keep_pki=True)
            plan = context.plan(name, scenario, options.key_type, capture=True)
            outcome = runner.bring_up(plan, whole=True)
            directory = runner.collect(outcome)
            outcome = leaks.judged(outcome, directory)
            _tell(context, runner, outcome, directory)
            if options.keep:
                context.console.line(
                    f"  kept: `ipseclab status -n {name}`, and in the end `ipseclab down -n {name}`"
                )
            return outcome, str(directory)
        finally:
            if not options.keep:
                with undisturbed():
                    runner.take_down(name)


def _tell(context: Context, runner: Runner, outcome: Outcome, directory: Path) -> None:
    """Print the verdict and keep the evidence."""
    scenario, verdict = outcome.plan.scenario, outcome.verdict
    plain = type(context.style)(False)
    text = [story.verdict_line(scenario.name, verdict, outcome.seconds, plain), f"  {scenario.title}"]
    text += [story.check_line(check, plain) for check in verdict.checks]
    about = _about(outcome, runner.backend)
    text += [story.topic(*line, plain) for line in about]
    if not verdict.passed:
        runner.report_failure(outcome, runner.backend.lab(outcome.plan.lab))
        text += [line for record in outcome.records.values() for line in story.saw(record, (), plain)]
    else:
        for check in verdict.checks:
            context.console.detail(story.check_line(check, context.console.style))
    results = output.envelope("result", facts.result(outcome, runner.backend.vantage))
    evidence.write(directory, outcome.records.values(), outcome.statuses, results, "\n".join(text))
    line = story.verdict_line(scenario.name, verdict, outcome.seconds, context.style)
    if not context.json:
        print(line, flush=True)
    context.console.line(
        f"  {len(verdict.checks)} checks, judged in {span(verdict.seconds)}, evidence in {directory}"
    )
    if outcome.plan.keylog:
        context.console.line("  with the keys of this run (keylog: true): whoever has them can read it all")


def _about(outcome: Outcome, backend: Backend) -> list[tuple[str, str]]:
    """What a reader of the evidence must know of it."""
    lines = [("capture", f"capture.pcapng, taken at {backend.vantage}")] if outcome.plan.capture else []
    if outcome.plan.keylog:
        lines.append(("keys", "keys/ opens everything in it: the scenario says `keylog: true`"))
    return lines


def scenarios(context: Context, options: argparse.Namespace) -> int:
    """The scenarios that can be run by name."""
    found = [library.load(name) for name in library.names()]
    if context.json:
        _print_scenarios(found)
    else:
        print(
            output.table(("SCENARIO", "WHAT IT SHOWS"), [(s.name, s.title) for s in found], context.style),
            flush=True,
        )
    return ExitCode.OK


def _print_scenarios(found: Sequence[Scenario]) -> None:
    listed = [{"name": s.name, "title": s.title, "description": s.description} for s in found]
    output.print_json("scenarios", {"scenarios": listed})
