"""What people see: progress and errors on stderr, colour only where it is wanted. Data goes to stdout, in
`output`.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
# One after the other for the nodes of a lab. Red and green keep their meaning.
NODE_COLOURS = ("cyan", "magenta", "yellow", "blue")


def wants_colour(is_terminal: bool, environment: Mapping[str, str], refused: bool = False) -> bool:
    """`--no-color` and NO_COLOR win, then FORCE_COLOR, then whether it is a terminal that is not `dumb`."""
    if refused or environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") not in (None, "", "0"):
        return True
    return is_terminal and environment.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Style:
    """Paints text, or leaves it as it is."""

    enabled: bool

    def paint(self, text: str, *names: str) -> str:
        """`text` in the named colours and weights."""
        if not self.enabled or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


@dataclass(frozen=True, slots=True)
class Console:
    """Where prose goes. `verbosity`: -1 errors only, 0 normal, 1 more. `program`: what the user types to run
    us; commands in messages are written `ipseclab ...` and shown so.
    """

    stream: TextIO
    style: Style
    verbosity: int = 0
    program: str = "ipseclab"

    def line(self, text: str) -> None:
        """A line of progress."""
        if self.verbosity >= 0:
            self._print(text)

    def detail(self, text: str) -> None:
        """A line that only `-v` shows."""
        if self.verbosity >= 1:
            self._print(self.style.paint(text, "dim"))

    def error(self, text: str) -> None:
        """A line that is always shown."""
        self._print(f"{self.style.paint('error:', 'bold', 'red')} {text}")

    def warning(self, text: str) -> None:
        """A line that is always shown, but is no reason to stop."""
        self._print(f"{self.style.paint('warning:', 'yellow')} {text}")

    def _print(self, text: str) -> None:
        print(text.replace("`ipseclab ", f"`{self.program} "), file=self.stream, flush=True)


def make_console(verbosity: int, no_colour: bool) -> Console:
    """The console of this process."""
    style = Style(wants_colour(sys.stderr.isatty(), os.environ, no_colour))
    return Console(sys.stderr, style, verbosity, typed(sys.argv[0], shutil.which("ipseclab")))


def typed(started: str, found: str | None) -> str:
    """What brings us up again: `ipseclab` where the shell finds this very one, else the way to it."""
    path = Path(started)
    if path.name != "ipseclab" or (found and Path(found).exists() and path.exists() and path.samefile(found)):
        return "ipseclab"
    beside = os.path.relpath(path)
    return beside if not beside.startswith("..") else str(path.absolute())


def stdout_style(no_colour: bool) -> Style:
    """How data on stdout is painted."""
    return Style(wants_colour(sys.stdout.isatty(), os.environ, no_colour))
