"""Errors of the lab: one clear line for the user, and the exit code that belongs to it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes of `ipseclab`. `exec` and `shell` pass the command's own through."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    WARNINGS = 3
    ENVIRONMENT = 4
    NO_LAB = 5
    TIMEOUT = 124
    EXEC_FAILED = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130


class LabError(Exception):
    """Base of everything that ends a command; the text names the thing, the value and the remedy."""

    exit_code = ExitCode.CHECK_FAILED


class CheckFailed(LabError):
    """The lab did not do what the scenario says."""


class UsageError(LabError):
    """A wrong command line, or a scenario that does not fit its schema."""

    exit_code = ExitCode.USAGE


class EnvironmentNotReady(LabError):
    """No engine, no permission, no image, no room: nothing that the lab itself did wrong."""

    exit_code = ExitCode.ENVIRONMENT


class NoSuchLab(LabError):
    """No lab (or node) of that name."""

    exit_code = ExitCode.NO_LAB


class TimedOut(LabError):
    """The time that was allowed is over."""

    exit_code = ExitCode.TIMEOUT
