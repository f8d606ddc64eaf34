"""What every area shares: whether there is a Docker engine, asked once per process; property tests judge what
is done, and not how long that takes on a busy machine.
"""

from functools import cache

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@cache
def why_no_engine() -> str:
    """Empty where a Docker engine answers, else one line that says why not."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, RequestException) as error:
        return f"no Docker engine answers: {' '.join(str(error).split())[:200]}"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need an engine, with the reason, where there is none."""
    if item.get_closest_marker("docker") is not None and (reason := why_no_engine()):
        pytest.skip(reason)
