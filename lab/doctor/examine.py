"""All probes of a backend at once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lab.console import Style
from lab.doctor import host
from lab.doctor.findings import Finding, Level, short

Probe = Callable[[], list[Finding]]


def _docker(subnet: str | None, brief: bool) -> list[Finding]:
    # The SDK takes a third of a second to import; nobody but this probe needs it.
    from lab.doctor import engine

    return engine.probe(subnet, brief=brief)


def _probes(backend: str, subnet: str | None, brief: bool) -> list[Probe]:
    """What matters for a backend; `auto` is every backend. `brief` leaves out what no lab needs."""
    alone = backend == "netns"
    docker, netns, process = (backend in ("auto", name) for name in ("docker", "netns", "process"))
    chosen: Mapping[Probe, bool] = {
        partial(_docker, subnet, brief): docker,
        host.compose: docker and not brief,
        partial(host.namespaces, alone, brief=brief): netns and (alone or not brief),
        partial(host.ports, backend == "process"): process,
        host.sockets: (netns or process) and not brief,
        host.disk: True,
        host.python: True,
        host.tshark: not brief,
    }
    return [probe for probe, wanted in chosen.items() if wanted]


def examine(backend: str, subnet: str | None = None, *, brief: bool = False) -> list[Finding]:
    """Run the probes; findings in the order of the probes. Made for a few seconds at most."""
    probes = _probes(backend, subnet, brief)
    with ThreadPoolExecutor(len(probes)) as pool:
        return [finding for findings in pool.map(lambda probe: probe(), probes) for finding in findings]


def usable(findings: Sequence[Finding]) -> bool:
    """Whether labs of the backend that was examined can work."""
    return not any(finding.level is Level.FAIL for finding in findings)


def head(backend: str, style: Style, subnet: str | None = None) -> list[str]:
    """The head of a failure report: the machine first, so that nobody looks for its faults in the lab."""
    return short(examine(backend, subnet, brief=True), style)
