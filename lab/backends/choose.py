"""Which backend: the one that was asked for, or the first that works."""

from collections.abc import Callable

from lab.backends.base import Backend, LabInfo
from lab.backends.netns import NetnsBackend
from lab.backends.process import ProcessBackend
from lab.errors import EnvironmentNotReady, NoSuchLab

NAMES = ("auto", "docker", "netns", "process")

Say = Callable[[str], None]


def _docker(waiting: Say, subnet: str | None = None) -> Backend:
    # The SDK takes a third of a second to import; nobody but this backend needs it.
    from lab.backends.docker import DockerBackend

    return DockerBackend(waiting, subnet)


def for_new_lab(name: str, subnet: str | None, say: Say, waiting: Say) -> Backend:
    """The backend for a lab that is to be made; `say` gets one line where `auto` had to fall back."""
    if name == "process":
        return ProcessBackend(waiting)
    if name == "netns":
        return NetnsBackend(waiting, subnet)
    backend = _docker(waiting, subnet)
    if name == "docker":
        return backend
    try:
        backend.check()
    except EnvironmentNotReady as error:
        return _without_engine(NetnsBackend(waiting, subnet), error, say, waiting)
    return backend


def _without_engine(namespaces: Backend, why: EnvironmentNotReady, say: Say, waiting: Say) -> Backend:
    try:
        namespaces.check()
    except EnvironmentNotReady as error:
        say(f"no Docker engine, using plain processes on loopback instead ({why}; {error})")
        return ProcessBackend(waiting)
    say(f"no Docker engine, using network namespaces instead ({why})")
    return namespaces


def _local(name: str, waiting: Say) -> list[Backend]:
    """The backends that need no engine to look for labs."""
    every: list[Backend] = [ProcessBackend(waiting), NetnsBackend(waiting)]
    return [backend for backend in every if name in ("auto", backend.name)]


def candidates(name: str, waiting: Say) -> list[Backend]:
    """The backends in which a lab may exist already; an engine that does not answer has none."""
    found = _local(name, waiting)
    if name == "docker":
        return [_docker(waiting)]
    if name == "auto":
        backend = _docker(waiting)
        try:
            backend.check()
        except EnvironmentNotReady:
            return found
        found.append(backend)
    return found


def holding(lab: str, name: str, waiting: Say) -> tuple[Backend, LabInfo] | None:
    """The backend that has this lab, and the lab; None where none has."""
    # An engine is asked last: that takes longer than the others together.
    for backend in _local(name, waiting):
        if (info := _info(backend, lab)) is not None:
            return backend, info
    for backend in candidates(name, waiting):
        if (info := _info(backend, lab)) is not None:
            return backend, info
    return None


def _info(backend: Backend, lab: str) -> LabInfo | None:
    try:
        return backend.lab(lab).info()
    except NoSuchLab:
        return None
