"""`ipseclab report`: a run as one HTML page."""

import argparse
from pathlib import Path

from lab import evidence, output
from lab.commands.context import Context
from lab.errors import EnvironmentNotReady, ExitCode, NoSuchLab

#: The page's name in a run's directory.
PAGE = "report.html"


def options(parser: argparse.ArgumentParser) -> None:
    """The command line of the verb."""
    parser.add_argument(
        "target", nargs="?", metavar="RUN|LAB", help="a run's directory, or a lab (latest run)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"where the page goes ({PAGE} beside the run)"
    )


def report(context: Context, options: argparse.Namespace) -> int:
    """Write a run as one page: verdicts, ladder, every message opened, both sides' events."""
    # Only this verb needs the decoder, which takes a while to import.
    from lab.report import page, run

    directory = evidence.find_run(options.target or context.name or "")
    if directory is None and not options.target:
        directory = evidence.newest()
    if directory is None:
        raise NoSuchLab(
            f"{options.target or context.lab!r} is no run: name a directory of {evidence.runs_directory()}, "
            "or a lab with runs there; `ipseclab run hello` makes one"
        )
    path = options.out or directory / PAGE
    text = page.render(run.read(directory))
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise EnvironmentNotReady(f"{path}: cannot be written: {error.strerror}: choose --out") from error
    if context.json:
        output.print_json("report", {"run": directory.name, "page": str(path), "octets": len(text.encode())})
    else:
        print(path, flush=True)
    return ExitCode.OK
