"""Running cells and special cases. Whatever happens to one of them is a result, and the next one is run.

strongSwan as the subject    all cells in one pair of containers (`pair`)
the lab's own node           every cell in a lab of its own: what a node is told, it is told when it starts
special cases                each in a lab of its own
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from lab import labels
from lab import plan as planning
from lab.backends.docker import DockerLab
from lab.errors import EnvironmentNotReady, LabError
from lab.interop import documents, ours, pair, pki
from lab.interop.cells import Cell
from lab.interop.documents import OTHER, Document
from lab.interop.pair import Pair
from lab.interop.results import CaseResult, CellResult
from lab.lifecycle import Outcome, Runner
from lab.render import sentence
from lab.scenario import SaCount

#: Events of each side that what failed keeps.
SHOWN = 30

Item = TypeVar("Item")
Result = TypeVar("Result")
TellCell = Callable[[CellResult], None]


def in_a_pair(runner: Runner, chosen: Sequence[Cell], tell: TellCell) -> list[CellResult]:
    """Cells of strongSwan against strongSwan, in one pair of containers."""
    name = _new_name()
    document = documents.of_cell(chosen[0])
    plan = planning.make(name, documents.scenario("interop", document), "ecdsa-p256")
    types = dict.fromkeys(cell.method.key_type for cell in chosen if cell.method.key_type)
    done = []
    try:
        runner.backend.create(plan, runner.tell)
        runner.backend.start(name)
        lab = runner.backend.lab(name)
        if not isinstance(lab, DockerLab):
            raise EnvironmentNotReady("the matrix needs containers: use --backend docker")
        with tempfile.TemporaryDirectory(prefix="ipseclab-interop-") as directory:
            issued = pki.issue(Path(directory), types or ["ecdsa-p256"])
            with closing(Pair(lab, issued)) as both:
                for cell in chosen:
                    done.append(both.run(cell))
                    tell(done[-1])
                return done
    finally:
        runner.take_down(name)


def own_cell(runner: Runner, cell: Cell) -> CellResult:
    """One cell with the lab's own node as the subject."""
    began = time.monotonic()
    try:
        outcome = _in_a_lab(runner, cell.name, ours.subject(documents.of_cell(cell)))
    except LabError as error:
        return CellResult(cell, time.monotonic() - began, (str(error),))
    facts: dict[str, Any] = {"problems": tuple(_problems(outcome))}
    if outcome.verdict.passed:
        told = {side: outcome.records[side].events for side in OTHER}
        facts = pair.judge(cell, None, outcome.statuses, pair.methods(told))
    facts |= _about(runner, outcome, bool(facts["problems"]))
    return CellResult(cell, time.monotonic() - began, **facts)


def case(runner: Runner, name: str, document: Document) -> CaseResult:
    """A special case."""
    began, title = time.monotonic(), str(document["title"])
    try:
        outcome = _in_a_lab(runner, name, document)
    except LabError as error:
        return CaseResult(name, title, time.monotonic() - began, (str(error),))
    problems = tuple(_problems(outcome)) or tuple(_apart(outcome))
    about = _about(runner, outcome, bool(problems))
    told = {side: dict(Counter(event.name for event in outcome.records[side].events)) for side in OTHER}
    return CaseResult(name, title, time.monotonic() - began, problems, told=told, **about)


def side_by_side(
    items: Sequence[Item], run: Callable[[Item], Result], tell: Callable[[Result], None], jobs: int
) -> list[Result]:
    """Run all items, `jobs` at a time; each result is told in its turn."""
    done = []
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(run, items):
            tell(result)
            done.append(result)
    return done


def _in_a_lab(runner: Runner, name: str, document: Document) -> Outcome:
    lab = _new_name()
    plan = planning.make(lab, documents.scenario(name, document))
    try:
        return runner.bring_up(plan, whole=True)
    finally:
        runner.take_down(lab)


def _new_name() -> str:
    return f"interop-{labels.new_session()[:8]}"


def _problems(outcome: Outcome) -> Iterator[str]:
    if outcome.verdict.broken:
        yield " ".join(outcome.verdict.broken)
    yield from (f"{c.node}: {c.text}: {c.reason}" for c in outcome.verdict.checks if not c.passed)


def _apart(outcome: Outcome) -> Iterator[str]:
    """Where both sides are to have one pair of SAs in the end, it is the same pair."""
    expected = [outcome.plan.scenario.expect[side].sas for side in OTHER]
    if all(sas == SaCount(1, 1) for sas in expected):
        yield from pair.crossed(outcome.statuses)


def _about(runner: Runner, outcome: Outcome, failed: bool) -> dict[str, Any]:
    """The versions of both sides, and where it failed also what they told."""
    strangers = outcome.plan.strangers
    versions: Mapping[str, str] = {
        record.node: f"{'' if record.node in strangers else 'our node '}{event.fields.get('version', '')}"
        for record in outcome.records.values()
        for event in record.events
        if event.name == "node_started"
    }
    style = runner.console.style
    saw = [
        f"{record.node}: {sentence(event, style)}"
        for record in outcome.records.values()
        for event in record.events[-SHOWN:]
    ]
    return {"versions": versions, "saw": tuple(saw if failed else ())}
