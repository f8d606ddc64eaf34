"""The first process of the namespaces, which `__main__` starts: it makes the places, starts the peers and
measures in turns.

    python -m bench.dataplane.inside JSON

What it finds goes to stdout, one JSON object a line: `{"peer": ...}`, `{"sample": ...}`, `{"skipped": ...}`,
`{"failed": ...}`, `{"load": ...}`. It cleans up nothing: all that it starts, makes and mounts ends with it.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.dataplane.figures import Bench, floor, turns
from bench.dataplane.peers import PROJECT, Cipher, Peer, chosen
from bench.dataplane.place import Failed, Place, command


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure: names of peers and measurements, trees of further nodes by label, an empty directory.

    `congestion` is that of TCP; empty for the system's.
    """

    peers: tuple[str, ...]
    figures: tuple[str, ...]
    rounds: int
    seconds: int
    directory: str
    trees: tuple[tuple[str, str], ...] = ()
    congestion: str = ""

    def text(self) -> str:
        """As an argument of the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Order":
        """What `text` wrote."""
        found = json.loads(text)
        for name in ("peers", "figures"):
            found[name] = tuple(found[name])
        found["trees"] = tuple((label, tree) for label, tree in found["trees"])
        return cls(**found)


def tell(kind: str, **fields: Any) -> None:
    """One line for `__main__`."""
    print(json.dumps({kind: fields}), flush=True)


def prepare(directory: Path) -> Path:
    """Hide the machine's /run and our directory behind memory of our own; certificates for both ends."""
    for path in ("/run", str(directory)):
        command(("mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", path))
    pki = directory / "pki"
    ecdsa = ("--key-type", "ecdsa-p256", "--root-key-type", "ecdsa-p256")
    python = (sys.executable, "-m", "ca", "--dir", str(pki), *ecdsa, "a", "b")
    command(python, environment={"PYTHONPATH": str(PROJECT)}, called="python -m ca")
    return pki


def brought_up(peer: Peer, order: Order, pki: Path) -> Bench | None:
    """The peer with its tunnel up; None where it is not installed, or does not come up, which is told."""
    if missing := peer.missing():
        tell("skipped", peer=peer.name, why=f"not installed: {missing}")
        return None
    place = Place.made(peer.name, Path(order.directory))
    try:
        peer.start(place, pki)
        target = peer.target(place)
        place.wait(lambda: place.answers(target), f"{peer.name}: an answer from {target}")
        peer.check(place)
    except Failed as error:
        tell("failed", peer=peer.name, round=0, figure="start", why=f"{error}; {place.said()}")
        return None
    tell("peer", name=peer.name, title=peer.title, version=peer.version())
    return Bench(peer, place, order.seconds, order.congestion)


def measure(order: Order, benches: dict[str, Bench]) -> None:
    """All rounds. A measurement that fails is told, and the next one goes on."""
    floors = {}
    for number, name, peer in turns(order.rounds, order.figures, list(benches)):
        if peer == next(iter(benches)) and name == order.figures[0]:
            tell("load", round=number, load=round(os.getloadavg()[0], 2))
            ciphers = {bench.peer.cipher for bench in benches.values()} - {None}
            floors = {cipher: floor(cipher) for cipher in Cipher if cipher in ciphers}
        try:
            found = benches[peer].measure(name, floors)
        except Failed as error:
            tell("failed", peer=peer, round=number, figure=name, why=str(error))
            continue
        for figure, value in found.items():
            tell("sample", round=number, peer=peer, figure=figure, value=value)


def main(arguments: list[str]) -> int:
    """Measure what was ordered."""
    order = Order.read(arguments[0])
    pki = prepare(Path(order.directory))
    benches = {}
    for peer in chosen(order.peers, order.trees):
        if (bench := brought_up(peer, order, pki)) is not None:
            benches[peer.name] = bench
    measure(order, benches)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
