"""Why a node does not start: one line for the user and the exit code."""

#: Exit codes of the node, as documented in docs/events.md.
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_BUG = 0, 1, 2, 4, 70


class StartError(Exception):
    """The environment is not as the configuration says; the text names file or setting, value and remedy."""

    exit_code = EXIT_ENVIRONMENT
