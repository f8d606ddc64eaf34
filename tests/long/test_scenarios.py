"""The scenarios that `make test` runs on another backend, on this one too."""

from collections.abc import Callable

import pytest

from tests.lab import scenarios
from tests.lab.conftest import Cli, cli, lab_name

__all__ = ["cli", "lab_name"]

pytestmark = pytest.mark.long


@pytest.mark.parametrize(("backend", "scenario"), scenarios.parameters(scenarios.REST))
def test_scenario(cli: Cli, lab_name: Callable[[str], str], backend: str, scenario: str) -> None:
    scenarios.judge(cli, backend, lab_name(backend), scenario)
