"""The verdict, check by check: what failed and why comes first."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.report.markup import Html, details, element, join, section, table, text
from lab.report.run import Run, items, words

#: Nodes whose checks are shown one by one; the failed checks of all nodes stand above them.
MAX_NODES = 400
#: Failed checks in the table above.
_MAX_FAILED = 400

Check = Mapping[str, Any]


def checks(run: Run) -> Html:
    """The section, empty where the run left no results."""
    found = items(run.results, "checks")
    if not found:
        return Html("")
    failed = [check for check in found if check.get("passed") is not True]
    return section("checks", "Checks", _failures(failed), *_by_node(found))


def _failures(failed: Sequence[Check]) -> Html:
    if not failed:
        return element("p", text("Everything that the scenario asks for holds."))
    rows = [(text(words(check, "node")), _failure(check)) for check in failed[:_MAX_FAILED]]
    more = len(failed) - len(rows)
    shown = table(
        "What failed, and why", ("Node", "What must hold, and why it does not"), rows, class_="wrap"
    )
    return join([shown, _more(f"{more:,} more failed checks are in results.json.") if more else Html("")])


def _failure(check: Check) -> Html:
    why = element("span", text(words(check, "reason") or "no reason was given"), class_="fail")
    return join([text(words(check, "check")), element("br"), why], Html(""))


def _more(said: str) -> Html:
    return element("p", text(said), class_="dim")


def _by_node(found: Sequence[Check]) -> list[Html]:
    groups: dict[str, list[Check]] = {}
    for check in found:
        groups.setdefault(words(check, "node"), []).append(check)
    shown = [_node(node, group) for node, group in list(groups.items())[:MAX_NODES]]
    more = len(groups) - len(shown)
    return [*shown, *([_more(f"The checks of {more:,} more nodes are in results.json.")] if more else [])]


def _node(node: str, group: Sequence[Check]) -> Html:
    """One node's checks, the failed ones first."""
    ordered = sorted(group, key=lambda check: check.get("passed") is True)
    holding = sum(check.get("passed") is True for check in group)
    kind, said = ("pass", "all hold") if holding == len(group) else ("fail", f"{len(group) - holding} failed")
    summary = join(
        [
            element("strong", text(node)),
            element("span", text(f"{len(group):,} check{'' if len(group) == 1 else 's'}")),
            element("span", text(said), class_=kind),
        ],
        Html(" · "),
    )
    rows = [(text(words(check, "check")), _verdict(check)) for check in ordered]
    return details(summary, table(f"Checks of {node}", ("Check", "Verdict"), rows, class_="wrap"))


def _verdict(check: Check) -> Html:
    if check.get("passed") is True:
        return element("span", text("holds"), class_="pass")
    reason = words(check, "reason")
    return element("span", text(f"failed: {reason}" if reason else "failed"), class_="fail")
