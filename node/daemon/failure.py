"""Why a node does not start: one line for the user and the exit code."""

import traceback

from linetalk.writer import LineWriter
from node.eventlog import EventLog
from node.model.events import EventName

#: Exit codes of the node, as documented in docs/events.md.
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_BUG = 0, 1, 2, 4, 70


class StartError(Exception):
    """The environment is not as the configuration says; the text names file or setting, value and remedy."""

    exit_code = EXIT_ENVIRONMENT


def tell_bug(log: EventLog, error: BaseException) -> None:
    """Tell a bug in full: a traceback on stderr and an event."""
    LineWriter(2).write("".join(traceback.format_exception(error)))
    log.emit(EventName.NODE_FAILED, detail=f"bug: {type(error).__name__}: {error}", code=EXIT_BUG)
