"""Our node and a strongSwan whose SAs live for seconds: five minutes of pings both ways, and none is lost."""

import sys
from contextlib import closing

import pytest

from lab import images
from lab.backends.docker import DockerBackend
from lab.console import Console, Style
from lab.interop import lives, ours, results, runs
from lab.interop.cells import ROLES
from lab.interop.results import CaseResult
from lab.lifecycle import Runner
from lab.peers import image
from tests.long.conftest import Figure

pytestmark = [pytest.mark.long, pytest.mark.docker]

SECONDS = 300


@pytest.mark.parametrize("role", ROLES)
def test_short_lives(role: str, figure: Figure) -> None:
    """In the end one pair of SAs is left, which both sides tell of alike."""
    try:
        image.ensure_image(print)
    except images.ImageError as error:
        pytest.skip(f"no image of strongSwan: {error}")
    with closing(DockerBackend(print)) as backend:
        runner = Runner(backend, Console(sys.stderr, Style(False), -1))
        backend.prepare(runner.tell)
        document = ours.subject(lives.short_lives(role, SECONDS))
        done: CaseResult = runs.case(runner, f"soak-{role}", document)
    assert done.passed, (done.problems, done.saw)
    figure(f"{SECONDS} s of lives of {lives.CHILD_LIFE} and {lives.IKE_LIFE} s", results.figures(done))
