"""The page: one file that needs nothing else, runs no script and loads nothing."""

from pathlib import Path

from lab import __version__
from lab.ladder import compose
from lab.report import checks_part, events_part, head_part, ladder_part, packets_part, status_part, style
from lab.report.links import link, owners
from lab.report.markup import Html, element, join, text
from lab.report.packets_part import chosen
from lab.report.run import Run, nodes, words

#: What the page may do: nothing but look as it does.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_CONTENTS = (
    ("checks", "Checks"),
    ("ladder", "Ladder"),
    ("packets", "Packets"),
    ("events", "Events"),
    ("status", "Status"),
    ("files", "Files"),
)


def render(run: Run, place: Path) -> str:
    """The whole page. `place` is the file that it will be."""
    name = f"{head_part.verdict(run)}: {head_part.title(run)}"
    skip = element("a", text("To the content"), class_="skip", href="#content")
    main = element("main", join(_sections(run, place)), id="content")
    body = element("body", skip, head_part.head(run), _contents(main), main, _footer())
    page = element("html", _head(name), body, lang="en")
    # Whatever a file held that UTF-8 cannot write was made visible by `printable`.
    return f"<!DOCTYPE html>\n{page}\n"


def _head(name: str) -> Html:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", text(name)),
        element("style", style.sheet()),
    )


def _sections(run: Run, place: Path) -> list[Html]:
    made = compose.build(run.events)
    known = {words(node, "address"): words(node, "name") for node in nodes(run)}
    whose = owners(run.events, known)
    # A crowded capture is not shown whole: only what is in the page can be linked.
    links = link(made, chosen(run.packets), whose)
    zero = made.zero if run.events else _first(run)
    parts = [
        checks_part.checks(run),
        ladder_part.ladder(made, links),
        packets_part.packets(run, zero, whose),
        events_part.events(run, made),
        status_part.status(run),
        status_part.files(run, place),
    ]
    return [part for part in parts if part]


def _first(run: Run) -> float:
    return run.packets[0].moment_ns / 1e9 if run.packets else 0.0


def _contents(main: Html) -> Html:
    """Links to the sections that are there."""
    there = [(name, shown) for name, shown in _CONTENTS if f'<section id="{name}"' in main]
    links = (element("li", element("a", text(shown), href=f"#{name}")) for name, shown in there)
    return element("nav", element("ul", join(links)), aria_label="Contents")


def _footer() -> Html:
    said = (
        f"Made by ipseclab {__version__} from the files of the run. The page runs no script and loads "
        "nothing; what came from a peer, a capture or a file is shown as text, control characters as \\x1b."
    )
    return element("footer", element("p", text(said)))
