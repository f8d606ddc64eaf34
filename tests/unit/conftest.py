"""The compiled loops (docs/adr/0038), made here where there is a compiler, and whatever is asked of both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.crypto import rows
from node.crypto.rows import Library, Loaded
from tools.accelerator import build


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled loops."""
    file = tmp_path_factory.mktemp("loops") / "rows.compiled"
    try:
        build(file)
    except RuntimeError as error:
        if rows.FILE.exists():
            raise
        pytest.skip(f"the loops cannot be compiled here: {error}")
    return file


@pytest.fixture(scope="session")
def library(compiled: Path) -> Library:
    """Loaded."""
    return Library(compiled)


@pytest.fixture(scope="module", params=["python", "compiled"])
def loops(request: pytest.FixtureRequest) -> Iterator[str]:
    """Everything in the module is asked of Python, and of the compiled loops."""
    found = Loaded(None, "none")
    if request.param == "compiled":
        found = Loaded(request.getfixturevalue("library"), "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "load", lambda: found)
        yield request.param
