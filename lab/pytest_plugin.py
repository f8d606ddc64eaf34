"""The pytest plugin: labs as fixtures. Found by pytest wherever this package is installed.

It must cost nothing where it is not used: the lab itself is imported by the first test that wants one.
"""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lab.testing import IpsecLab

BACKENDS = ("auto", "docker", "netns", "process")
MARKER = "ipsec_scenario"
#: The collectors that a lab may be shared below.
_OWNERS: dict[str, type[pytest.Collector]] = {
    "class": pytest.Class,
    "module": pytest.Module,
    "session": pytest.Session,
}
#: Labs of a test, and labs of a collector by scenario.
_LABS = pytest.StashKey[list["IpsecLab"]]()
_SHARED = pytest.StashKey[dict[str, "IpsecLab"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of labs."""
    group = parser.getgroup("ipsec lab", "IPsec labs as fixtures")
    add = group.addoption
    add(
        "--ipsec-backend",
        choices=BACKENDS,
        default=os.environ.get("IPSECLAB_BACKEND") or "auto",
        help="where labs run (IPSECLAB_BACKEND, else auto: Docker, network namespaces or plain processes)",
    )
    add("--ipsec-keep-on-failure", action="store_true", help="leave the labs of a failing test up")
    add(
        "--ipsec-timeout",
        type=float,
        default=None,
        metavar="SECONDS",
        help="for a lab to come up, and for each wait and command (default: the scenario's own)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    line = (
        f"{MARKER}(name, scope='function'): the scenario of `ipsec_lab`, by name or file, and who shares it"
    )
    config.addinivalue_line("markers", line)


@pytest.fixture
def ipsec_lab(request: pytest.FixtureRequest) -> "IpsecLab":
    """A lab that is up: of the scenario `hello`, or of what the marker `ipsec_scenario` names."""
    scenario, scope = _asked(request.node.get_closest_marker(MARKER))
    if scope == "function":
        return _up(request, scenario, request.node)
    # Without a class it is as with pytest's own scopes: the function's.
    owner = request.node.getparent(_OWNERS[scope]) or request.node
    shared: dict[str, IpsecLab] = owner.stash.setdefault(_SHARED, {})
    if scenario in shared:
        request.node.stash.setdefault(_LABS, []).append(shared[scenario])
    else:
        shared[scenario] = _up(request, scenario, owner)
    return shared[scenario]


@pytest.fixture
def ipsec_lab_factory(request: pytest.FixtureRequest) -> "Callable[..., IpsecLab]":
    """Brings labs up, as many as are called for; all of them are taken down after the test."""

    def make(scenario: str = "hello") -> "IpsecLab":
        return _up(request, scenario, request.node)

    return make


def _asked(marker: pytest.Mark | None) -> tuple[str, str]:
    """The scenario and the scope that a marker names."""

    def read(name: str = "hello", *, scope: str = "function") -> tuple[str, str]:
        if scope != "function" and scope not in _OWNERS:
            raise pytest.UsageError(
                f"{MARKER}: scope {scope!r} is unknown: choose function, {', '.join(_OWNERS)}"
            )
        return name, scope

    try:
        return read(*marker.args, **marker.kwargs) if marker else read()
    except TypeError as error:
        raise pytest.UsageError(
            f"@pytest.mark.{MARKER}: {error}: write it as {MARKER}('hello', scope='module')"
        ) from None


def _up(request: pytest.FixtureRequest, scenario: str, owner: Any) -> "IpsecLab":
    """Bring a lab up that lives as long as `owner`, a test or a collector."""
    from lab.errors import LabError
    from lab.testing import IpsecLab

    option = request.config.getoption
    keep = bool(option("--ipsec-keep-on-failure"))
    try:
        made = IpsecLab.plan(
            _place(request.path, scenario), option("--ipsec-backend"), option("--ipsec-timeout")
        )
        request.node.stash.setdefault(_LABS, []).append(made)
        made.check()
        owner.addfinalizer(lambda: made.finish(keep_if_failed=keep))
        made.up()
    except LabError as error:
        # It says all that a user can do about it; how we came to it helps nobody.
        pytest.fail(str(error), pytrace=False)
    return made


def _place(test: Path, scenario: str) -> str:
    """A file beside the test is found from wherever pytest is started."""
    beside = test.parent / scenario
    return str(beside) if scenario.endswith((".yaml", ".yml")) and beside.is_file() else scenario


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the nodes saw, in the report of a test that failed."""
    report = yield
    if report.failed and report.when != "teardown":
        keep = bool(item.config.getoption("--ipsec-keep-on-failure"))
        for lab in item.stash.get(_LABS, []):
            lab.failed = True
            report.sections.append((f"IPsec lab {lab.name}", lab.saw(kept=keep)))
    return report
