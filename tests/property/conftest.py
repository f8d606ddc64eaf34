"""Certificates for the stages, made once."""

from pathlib import Path

import pytest

from tests.node.conftest import make_credentials

# What these assert is worth reading when it fails.
pytest.register_assert_rewrite(
    *(f"tests.property.{module}" for module in ("barrage", "hostile", "packets", "scenes", "snapshot"))
)


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `ipsec/certs/` in it."""
    root = tmp_path_factory.mktemp("hostile")
    make_credentials(root / "ipsec" / "certs")
    return root
