"""A warm `ipseclab up` against starting the same three containers that only run `true`, in turns, in one run.

Both sides make and remove a network and three containers of the node image; the lab issues nothing (its
certificates are kept) and builds nothing. The difference is what the lab itself costs: Python, handshake,
greeting, ten pings 20 ms apart.

    python -m bench.up [--rounds N] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

import docker
from docker.models.containers import Container

from lab.images import ensure_image

#: What a warm start may cost beyond the floor, in seconds.
GOAL = 2.5
_IPSECLAB = (sys.executable, "-m", "lab")


def floor(client: docker.DockerClient, image: str) -> float:
    """Seconds from nothing to three containers that have run `true` and are waited for."""
    name = f"ipseclab-floor-{uuid.uuid4().hex[:8]}"
    labels = {"org.ipseclab.bench": name}
    started = time.perf_counter()
    network = client.networks.create(name, driver="bridge", internal=True, labels=labels)
    containers: list[Container] = []
    try:
        for number in range(3):
            containers.append(
                client.containers.create(
                    image,
                    entrypoint=["/bin/true"],
                    labels=labels,
                    network="none" if number == 0 else name,
                    cap_drop=["ALL"],
                    read_only=True,
                    security_opt=["no-new-privileges:true"],
                )
            )
        for container in containers:
            container.start()
        for container in containers:
            container.wait()
        return time.perf_counter() - started
    finally:
        for container in containers:
            container.remove(force=True)
        network.remove()


def lab(name: str, *arguments: str) -> float:
    """Seconds that one command of the lab takes. Raises CalledProcessError with its output."""
    started = time.perf_counter()
    command = (*_IPSECLAB, "--backend", "docker", "--name", name, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return time.perf_counter() - started


def measure(rounds: int) -> dict[str, list[float]]:
    """Both sides in turns; the lab's first start, which issues the certificates, does not count."""
    client = docker.from_env()
    image = ensure_image(lambda line: print(line, file=sys.stderr), client).image_id
    name = f"bench-{uuid.uuid4().hex[:8]}"
    found: dict[str, list[float]] = {"floor": [], "up": [], "beyond": []}
    try:
        lab(name, "up")
        lab(name, "down", "--keep-pki")
        for _ in range(rounds):
            bare = floor(client, image)
            up = lab(name, "up")
            lab(name, "down", "--keep-pki")
            for key, value in (("floor", bare), ("up", up), ("beyond", up - bare)):
                found[key].append(value)
    finally:
        lab(name, "down")
        client.close()
    return found


def main() -> int:
    """Print the table; exit code 1 where the median is beyond the goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.up", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.rounds)
    for key, values in found.items():
        low, mid, high = min(values), statistics.median(values), max(values)
        print(f"{key:<8} {mid:6.2f} s  [{low:.2f} .. {high:.2f}]  n={len(values)}")
    print(f"goal: beyond <= {GOAL} s")
    if options.json:
        options.json.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return 0 if statistics.median(found["beyond"]) <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
