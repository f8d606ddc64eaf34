"""What every verb gets: the options, the console, and how to find a lab."""

from dataclasses import dataclass

from lab import plan as planning
from lab.backends import choose
from lab.backends.base import Backend, Lab, LabInfo
from lab.console import Console, Style
from lab.errors import NoSuchLab
from lab.labels import check_name
from lab.lifecycle import Runner
from lab.plan import Plan
from lab.scenario import Scenario

#: The lab that docker-compose.yml names where nobody says otherwise.
DEFAULT_NAME = "ipseclab"


@dataclass(frozen=True, slots=True)
class Context:
    """The global options and what follows from them. `name` is None where it was not given."""

    name: str | None
    backend: str
    json: bool
    console: Console
    style: Style
    timeout: float | None

    @property
    def lab(self) -> str:
        """The lab's name."""
        return check_name(self.name or DEFAULT_NAME)

    def waiting(self, text: str) -> None:
        """Told where another process holds a lab."""
        self.console.line(text)

    def new_backend(self, subnet: str | None) -> Backend:
        """The backend for a new lab; says so where `auto` falls back."""
        return choose.for_new_lab(self.backend, subnet, self.console.warning, self.waiting)

    def candidates(self) -> list[Backend]:
        """The backends in which labs may be."""
        return choose.candidates(self.backend, self.waiting)

    def holding(self, name: str) -> tuple[Backend, LabInfo] | None:
        """The backend that has this lab."""
        return choose.holding(name, self.backend, self.waiting)

    def find(self) -> tuple[Backend, Lab, LabInfo]:
        """The lab that is meant. Raises NoSuchLab."""
        found = self.holding(self.lab)
        if found is None:
            where = "" if self.backend == "auto" else f" (backend {self.backend})"
            raise NoSuchLab(
                f"no lab {self.lab!r} is up{where}: start it with `ipseclab up`, or name another with -n"
            )
        backend, info = found
        return backend, backend.lab(self.lab), info

    def runner(self, backend: Backend) -> Runner:
        """What brings labs up and takes them down."""
        return Runner(backend, self.console)

    def plan(
        self,
        name: str,
        scenario: Scenario,
        key_type: str | None,
        *,
        wire: bool = False,
        capture: bool = False,
    ) -> Plan:
        """A plan for a new lab."""
        return planning.make(name, scenario, key_type, wire=wire, capture=capture)
