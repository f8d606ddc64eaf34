"""Long runs and their figures: `make test-long`, never part of `make test`.

The figures of docs/measurements.md are the lines at the end of such a run.
"""

import gc
import os
from collections.abc import Callable, Iterator

import pytest

from tests.property.conftest import directory

__all__ = ["directory", "figure"]

#: What was measured, in the order in which it was.
_FIGURES: list[str] = []

Figure = Callable[[str, object], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """--goal and --seconds, for a quick look, or a long one."""
    parser.addoption("--goal", type=int, default=100_000, help="how many of each kind (default: 100,000)")
    parser.addoption("--seconds", type=int, default=600, help="of fuzzing for each target (default: 600)")


@pytest.fixture(scope="session")
def goal(request: pytest.FixtureRequest) -> int:
    """How many of each kind."""
    chosen: int = request.config.getoption("--goal")
    return chosen


@pytest.fixture(scope="session")
def seconds(request: pytest.FixtureRequest) -> int:
    """How long each target is fuzzed."""
    chosen: int = request.config.getoption("--seconds")
    return chosen


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Tell a figure at the end of the run: its name and its value."""

    def tell(name: str, value: object) -> None:
        _FIGURES.append(f"{request.node.name}: {name}: {value}")

    return tell


@pytest.fixture(scope="session", autouse=True)
def small_heap() -> Iterator[None]:
    """Let the garbage collector pass over what pytest holds: no node has that beside it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, and how busy the machine was."""
    if _FIGURES:
        terminalreporter.section("figures")
        for line in _FIGURES:
            terminalreporter.write_line(line)
        load = " ".join(f"{average:.1f}" for average in os.getloadavg())
        terminalreporter.write_line(f"load averages of 1, 5 and 15 minutes at the end: {load}")
