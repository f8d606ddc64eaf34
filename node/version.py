"""The version of the project, as in pyproject.toml; a test keeps both equal."""

VERSION = "0.1.0"
