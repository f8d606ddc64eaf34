"""What can go wrong, as one line for the user and one exit code.

Exit codes: 0 all is in order, 1 `--check` found something to do, 2 usage or request, 4 environment.
"""

EXIT_OK = 0
EXIT_CHECK = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 4
EXIT_INTERRUPTED = 130


class CaError(Exception):
    """A problem told to the user in one line that names the setting or file, the value and the remedy."""

    exit_code = EXIT_ENVIRONMENT


class RequestError(CaError):
    """The command line, an environment variable or the request is wrong."""

    exit_code = EXIT_USAGE


class StoreError(CaError):
    """A directory or file cannot be used as it is."""

    exit_code = EXIT_ENVIRONMENT
