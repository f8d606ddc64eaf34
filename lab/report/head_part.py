"""The top of the page: what was run, how it ended, where and with what, and a warning where keys lie."""

from collections.abc import Iterator

from lab import __version__
from lab.report.markup import Html, element, join, paragraphs, text
from lab.report.run import Run, items, nodes, words
from lab.text import span

#: Nodes whose versions are listed.
_LISTED = 6


def title(run: Run) -> str:
    """The scenario's title, or the run's name."""
    return words(run.results, "title") or words(run.results, "scenario") or run.directory.name


def verdict(run: Run) -> str:
    """`PASS`, `FAIL`, or `UNKNOWN` where the run left no results."""
    passed = run.results.get("passed")
    return {True: "PASS", False: "FAIL"}.get(passed, "UNKNOWN") if isinstance(passed, bool) else "UNKNOWN"


def head(run: Run) -> Html:
    """Everything up to the contents."""
    about = words(run.results, "description")
    return element(
        "header",
        _warning() if run.has_keys else Html(""),
        element("p", text(f"ipseclab, report of run {run.directory.name}"), class_="kicker"),
        element("h1", text(title(run))),
        element("div", _stamp(run), element("span", text(_sum(run))), class_="verdict"),
        element("div", paragraphs(about), class_="lead") if about else Html(""),
        element("dl", join(_fact(name, value) for name, value in _facts(run)), class_="facts"),
    )


def _warning() -> Html:
    return element(
        "div",
        element(
            "p", element("strong", text("This run's key log was on.")), text(" Nothing in it is secret.")
        ),
        element(
            "p",
            text(
                "Whoever has the files in keys/ can read everything that was captured, and this page shows "
                "it in clear. Share neither if the nodes carried anything but the lab's own messages."
            ),
        ),
        class_="warning",
        role="note",
    )


def _stamp(run: Run) -> Html:
    found = verdict(run)
    kind = {"PASS": "pass", "FAIL": "fail"}.get(found, "unknown")
    return element("span", text(found), class_=f"stamp {kind}")


def _sum(run: Run) -> str:
    checks = items(run.results, "checks")
    if not checks:
        return "no verdict: the run left no results.json, which older versions did not write"
    failed = sum(check.get("passed") is not True for check in checks)
    if failed:
        return f"{failed:,} of {len(checks):,} checks failed"
    return f"all {len(checks):,} checks hold"


def _fact(name: str, value: str) -> Html:
    return element("div", element("dt", text(name)), element("dd", text(value)))


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    seconds = run.results.get("seconds")
    known = {
        "Scenario": words(run.results, "scenario"),
        "Lab": words(run.results, "lab", "name"),
        "Backend": words(run.results, "lab", "backend"),
        "Began": words(run.results, "lab", "created").replace("T", " ").replace("Z", " UTC"),
        "Took": span(float(seconds)) if isinstance(seconds, int | float) else "",
        "Nodes": _count(run),
        "Captured at": words(run.results, "vantage"),
        "Profile, node version": _versions(run),
        "Cipher suite": _suite(run),
        "Report made by": f"ipseclab {__version__}",
    }
    yield from ((name, value) for name, value in known.items() if value)


def _count(run: Run) -> str:
    roles = [words(node, "role") for node in nodes(run)]
    return ", ".join(f"{roles.count(role)} {role}" for role in dict.fromkeys(roles) if role)


def _suite(run: Run) -> str:
    """What was agreed first; others may have agreed on something else."""
    told = (str(event.fields.get("suite", "")) for event in run.events if event.name == "ike_sa_established")
    return next(told, "none agreed").replace("/", " / ")


def _versions(run: Run) -> str:
    """What the nodes said when they started; most often all the same."""
    told = [event for event in run.events if event.name == "node_started"]
    found = list(dict.fromkeys(f"{e.fields.get('profile')}, {e.fields.get('version')}" for e in told))
    more = f" and {len(found) - _LISTED} others" if len(found) > _LISTED else ""
    return "; ".join(found[:_LISTED]) + more
