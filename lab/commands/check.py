"""`ipseclab check`: whether the lab that is up is as its scenario wants it in the end, now."""

import argparse

from lab import hindsight, library, output, story
from lab.backends.base import LabInfo
from lab.commands import facts
from lab.commands.context import Context
from lab.commands.reports import Reports
from lab.doctor.examine import head
from lab.errors import ExitCode, UsageError
from lab.lifecycle import Outcome


def check(context: Context, options: argparse.Namespace) -> int:
    """Judge the lab that is up by its scenario, as it is now. No step is taken, nothing is waited for."""
    backend, lab, info = context.find()
    asked = _asked(info, options.scenario)
    scenario = library.load(asked)
    if info.scenario and scenario.name != info.scenario:
        raise UsageError(
            f"lab {info.name!r} is up with the scenario {info.scenario!r}, not {scenario.name!r}: "
            "`ipseclab check` alone judges by that one"
        )
    reports = Reports(context, options.junit)
    reports.open()
    outcome = hindsight.outcome(lab, context.plan(info.name, scenario, None))
    try:
        reports.judged(asked, outcome, "")
    finally:
        reports.close()
    _tell(context, outcome, backend.name)
    return ExitCode.OK if outcome.verdict.passed else ExitCode.CHECK_FAILED


def _asked(info: LabInfo, given: str | None) -> str:
    """The name or file of the scenario. What plain compose starts is the default one."""
    running = info.scenario or library.DEFAULT_SCENARIO
    if given or running in library.names():
        return given or running
    raise UsageError(
        f"lab {info.name!r} is up with the scenario {running!r}, which has no name here: name its file: "
        f"`ipseclab check FILE -n {info.name}`"
    )


def _tell(context: Context, outcome: Outcome, backend: str) -> None:
    """The checks and the verdict; where one failed, the state of the machine and what its node saw."""
    verdict, style, console = outcome.verdict, context.style, context.console
    if not verdict.passed and console.verbosity >= 0:
        failed = {check.node for check in verdict.checks if not check.passed}
        lines = head(backend, console.style)
        for record in outcome.records.values():
            lines += story.saw(record, (), console.style) if record.node in failed else []
        for line in lines:
            console.line(line)
    if context.json:
        content = facts.outcome(outcome)
        del content["certificates"]
        output.print_json("check", content)
        return
    for found in verdict.checks:
        print(story.check_line(found, style))
    print(story.verdict_line(outcome.plan.scenario.name, verdict, outcome.seconds, style), flush=True)
