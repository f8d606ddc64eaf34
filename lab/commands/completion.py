"""`ipseclab completion`."""

import argparse

from lab import completion as shells
from lab import library
from lab.backends.choose import NAMES as BACKENDS
from lab.commands.context import Context
from lab.errors import ExitCode


def completion(context: Context, options: argparse.Namespace) -> int:
    """Print completion for a shell, to be sourced by it."""
    # The command line knows this verb, so it cannot be imported before it is complete.
    from lab import cli

    nodes = {
        group.name for name in library.names() for group in library.load(name).groups if group.count == 1
    }
    known = {
        "WHERE": BACKENDS,
        "FORM": ("table", "json"),
        "TYPE": cli.KEY_TYPES,
        "NODE": sorted(nodes),
        "SCENARIO|all": ("all",),
    }
    directory = str(library.scenario_directory().absolute())
    print(
        shells.script(options.shell, shells.read(cli.build_parser(), cli.ALIASES, known, directory)), end=""
    )
    return ExitCode.OK
