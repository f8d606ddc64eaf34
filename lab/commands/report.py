"""`ipseclab report`: a run as one HTML page."""

import argparse
from pathlib import Path

from lab import evidence, output
from lab.commands.context import Context
from lab.errors import EnvironmentNotReady, ExitCode

#: What the page is called in the run's directory.
PAGE = "report.html"


def options(parser: argparse.ArgumentParser) -> None:
    """The command line of the verb."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="RUN|LAB",
        help="a run's directory, or a lab, whose latest run it is (latest run)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=f"the page ({PAGE} in the run's directory)")


def report(context: Context, options: argparse.Namespace) -> int:
    """Write a run as one page: verdicts, ladder, every message opened, both sides' events; print its path."""
    # Only this verb needs the decoder, which takes a while to import.
    from lab.report import page, run

    directory = evidence.meant(options.target, context.name, "is no run")
    found = run.load(directory)
    if found.problem:
        context.console.warning(f"the capture is not decoded: {found.problem}")
    path: Path = options.out or directory / PAGE
    text = page.render(found, path)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise EnvironmentNotReady(
            f"{path}: cannot be written: {error.strerror}: name another file with --out"
        ) from error
    if context.json:
        about = {"run": directory.name, "page": str(path), "octets": len(text.encode())}
        output.print_json("report", about)
    else:
        print(path, flush=True)
    return ExitCode.OK
