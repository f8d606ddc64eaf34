"""The verbs on real labs, as a user types them: idempotent, side by side, exit codes passed through, clean
pipes.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.lab.conftest import BACKENDS, PATIENCE, SCHEMA, Cli, unique

QUICK = ("--key-type", "ecdsa-p256")
Names = Callable[[str], str]


@pytest.mark.parametrize("backend", BACKENDS)
def test_up_up_down_down(cli: Cli, lab_name: Names, backend: str) -> None:
    name = lab_name(backend)
    where = ("-n", name, "-b", backend)
    first = cli("up", *where, *QUICK)
    assert first.returncode == 0, first.stderr
    assert first.stdout == ""
    assert '"Hello from IPSec Initiator!"' in first.stderr
    assert "10 of 10 pings" in first.stderr
    assert f"ipseclab logs -n {name} -f" in first.stderr
    second = cli("up", *where, *QUICK)
    assert second.returncode == 0, second.stderr
    assert f"lab {name!r} is already up (" in second.stderr
    other = cli("up", "wrong-ca", *where, *QUICK)
    assert other.returncode == 2
    assert "is up with the scenario 'hello'" in other.stderr
    document = cli.json("up", *where)
    assert document["already_up"] is True
    _look(cli, name, backend)
    assert cli.json("down", *where)["labs"][0]["name"] == name
    again = cli("down", *where)
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert cli("status", *where).returncode == 5


def _look(cli: Cli, name: str, backend: str) -> None:
    """Status, logs, events, exec of a lab that is up."""
    where = ("-n", name, "-b", backend)
    (found,) = cli.json("status", *where)["labs"]
    assert (found["name"], found["backend"], found["scenario"]) == (name, backend, "hello")
    for node in found["nodes"]:
        assert node["state"] == "running"
        assert [sa["phase"] for sa in node["status"]["ike_sas"]] == ["ESTABLISHED"]
        assert len(node["status"]["child_sas"]) == 1
    shown = cli("status", *where)
    assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [
        [name, "responder", "responder"],
        [name, "initiator", "initiator"],
    ]
    assert shown.stdout.count("ESTABLISHED") == 2
    logs = cli("logs", *where)
    assert "IKE SA established" in logs.stdout
    assert "ESP payload decrypted" in logs.stdout
    for text in (shown.stdout, shown.stderr, logs.stdout, logs.stderr):
        assert "\x1b" not in text, "an escape sequence in a pipe"
    assert "\x1b[" in cli("logs", *where, FORCE_COLOR="1").stdout
    assert "\x1b" not in cli("logs", *where, FORCE_COLOR="1", NO_COLOR="1").stdout
    events = [json.loads(line) for line in cli("events", "initiator", *where).stdout.splitlines()]
    line_schema = {**SCHEMA["$defs"]["line"], "$defs": SCHEMA["$defs"]}
    for event in events:
        jsonschema.Draft202012Validator(line_schema).validate(event)
    assert {event["node"] for event in events} == {"initiator"}
    assert "pings_completed" in {event["event"] for event in events}
    assert len(cli("logs", "--tail", "3", *where).stdout.splitlines()) == 3
    _exit_codes(cli, where)


def _exit_codes(cli: Cli, where: tuple[str, ...]) -> None:
    def run(*command: str) -> int:
        return cli("exec", *where, "initiator", "--", *command).returncode

    assert run("sh", "-c", "exit 0") == 0
    assert run("sh", "-c", "echo out of order >&2; exit 0") == 0
    assert run("sh", "-c", "exit 7") == 7
    assert run("sh", "-c", "kill -9 $$") == 137
    assert run("no-such-command") == 127
    assert run("/etc/passwd") == 126
    said = cli("exec", *where, "initiator", "--", "python", "-m", "node", "ctl", "health", "-o", "json")
    assert json.loads(said.stdout)["healthy"] is True
    both = cli("exec", *where, "responder", "--", "sh", "-c", "echo one; echo two >&2")
    assert (both.stdout, both.stderr) == ("one\n", "two\n")
    assert cli("exec", *where, "nobody", "--", "true").returncode == 5
    assert cli("exec", *where, "initiator").returncode == 2
    assert cli("shell", *where, "initiator").returncode == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_labs_at_once(cli: Cli, lab_name: Names, backend: str) -> None:
    names = [lab_name(backend) for _ in range(2)]
    started = [cli.start("up", "-n", name, "-b", backend, *QUICK) for name in names]
    for process in started:
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
    found = [cli.json("status", "-n", name, "-b", backend)["labs"][0] for name in names]
    addresses = [node["address"] for lab in found for node in lab["nodes"]]
    # In namespaces every lab has the same addresses; that they do not meet is what the rest shows.
    assert len(set(addresses)) == (2 if backend == "netns" else 4), "two labs share an address"
    assert cli("down", "-n", names[0], "-b", backend).returncode == 0
    (left,) = cli.json("status", "-n", names[1], "-b", backend)["labs"]
    assert all(len(node["status"]["child_sas"]) == 1 for node in left["nodes"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_down_cleans_up_after_a_command_that_was_killed(cli: Cli, lab_name: Names, backend: str) -> None:
    """SIGKILL in the middle of coming up: nothing could clean up, and `down` still finds everything."""
    name = lab_name(backend)
    with cli.start("up", "-n", name, "-b", backend, *QUICK) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "UDP bound" in line:
                break
        process.kill()
    done = cli("down", "-n", name, "-b", backend)
    assert done.returncode == 0, done.stderr
    assert "is down: removed" in done.stderr
    assert cli.json("down", "-n", name, "-b", backend)["labs"] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_interrupting_cleans_up(cli: Cli, lab_name: Names, backend: str) -> None:
    name = lab_name(backend)
    with cli.start("run", "hello", "-n", name, "-b", backend, *QUICK) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "certificate loaded" in line:
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert cli.json("down", "-n", name, "-b", backend)["labs"] == []


def test_time_is_up(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    done = cli("run", "hello", "-n", name, "-b", "process", "--timeout", "0.3", *QUICK)
    assert done.returncode == 124, done.stderr
    assert "--timeout" in done.stderr
    assert cli.json("down", "-n", name, "-b", "process")["labs"] == []


def test_a_check_that_fails_says_what_was_expected_and_what_each_node_saw(
    cli: Cli, lab_name: Names, tmp_path: Path
) -> None:
    scenario = tmp_path / "never.yaml"
    scenario.write_text(
        "title: t\ndescription: d\ntimeout: 20\ncredentials: "
        "{key_type: ecdsa-p256, root_key_type: ecdsa-p256}\n"
        "expect:\n  responder: {events: [ike_sa_established]}\n"
        "  initiator: {events: [{event: pings_completed}], never: [ike_sa_established]}\n"
    )
    done = cli("run", str(scenario), "-n", lab_name("process"), "-b", "process")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL never (")
    assert "initiator never ike_sa_established: it happened 1 times" in done.stdout
    for node in ("responder", "initiator"):
        assert f"{node} (still running) saw, the last" in done.stderr
    assert "IKE_SA_INIT sent" in done.stderr


def test_following_sees_what_happens_later(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    where = ("-n", name, "-b", "process")
    assert cli("up", *where, *QUICK).returncode == 0
    with cli.start("logs", "-f", "responder", *where) as follower:
        assert follower.stdout is not None
        asked = cli("exec", *where, "initiator", "--", "python", "-m", "node", "ctl", "terminate")
        assert asked.returncode == 0
        assert any("IKE SA deleted" in line for line in follower.stdout)
        # The lab's end is the end of its log.
        assert cli("down", *where).returncode == 0
        follower.communicate(timeout=30)
    assert follower.returncode == 0


def test_certificates_survive_when_asked(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    where = ("-n", name, "-b", "process")
    assert {c["action"] for c in cli.json("up", *where, *QUICK)["certificates"]} == {"made"}
    assert cli("down", "--keep-pki", *where).returncode == 0
    assert {c["action"] for c in cli.json("up", *where, *QUICK)["certificates"]} == {"kept"}


def test_a_lab_with_a_dead_node_is_made_again(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    where = ("-n", name, "-b", "process")
    assert cli("up", *where, *QUICK).returncode == 0
    assert cli("exec", *where, "initiator", "--", "python", "-m", "node", "ctl", "health").returncode == 0
    records = (cli.home / "labs" / name / "processes.jsonl").read_text().splitlines()
    (pid,) = [json.loads(line)["pid"] for line in records if json.loads(line)["node"] == "initiator"]
    os.kill(pid, signal.SIGKILL)
    with cli.start("logs", "-f", "initiator", *where) as follower:
        out, _ = follower.communicate(timeout=30)
    assert "exited with code 137" in out
    again = cli("up", *where, *QUICK)
    assert again.returncode == 0, again.stderr
    assert "is not complete (not running: initiator): making it again" in again.stderr


def test_auto_falls_back_and_says_so_in_one_line(cli: Cli, lab_name: Names, tmp_path: Path) -> None:
    name = lab_name("auto")
    nowhere = f"unix://{tmp_path}/docker.sock"
    done = cli("up", "-n", name, *QUICK, DOCKER_HOST=nowhere)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "no Docker engine" in line]
    assert len(said) == 1
    assert "network namespaces" in said[0] or "plain processes" in said[0]
    assert '"Hello from IPSec Initiator!"' in done.stderr


def test_no_engine_where_one_was_asked_for(cli: Cli, tmp_path: Path) -> None:
    done = cli("up", "-b", "docker", "-n", unique(), DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 4
    assert "Docker is not running" in done.stderr
    # The head of the doctor, its finding, and the error.
    assert done.stderr.count("\n") <= 3


@pytest.mark.docker
def test_a_subnet_that_is_taken(cli: Cli, lab_name: Names) -> None:
    import docker

    client = docker.from_env()
    name = lab_name("docker")
    pool = docker.types.IPAMPool(subnet="10.213.47.0/24")
    network = client.networks.create(unique("taken"), ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    try:
        done = cli("up", "-b", "docker", "-n", name, "--subnet", "10.213.47.0/25", *QUICK)
    finally:
        network.remove()
        client.close()
    assert done.returncode == 4, done.stderr
    assert "the subnet is taken by another network: choose another --subnet" in done.stderr
    assert cli.json("down", "-n", name, "-b", "docker")["labs"] == []


@pytest.mark.docker
def test_down_all_is_for_our_own_labs_and_for_leftovers(cli: Cli) -> None:
    """What `down --all` would remove; it is not run, other tests have labs on this engine."""
    import docker

    from lab.backends.docker import DockerBackend
    from lab.labels import LAB, OWNER

    client = docker.from_env()
    ours, theirs, nobodys = unique("ours"), unique("theirs"), unique("nobodys")
    made = [
        client.volumes.create(ours, labels={LAB: ours, OWNER: "me"}),
        client.volumes.create(theirs, labels={LAB: theirs, OWNER: "somebody-else"}),
        client.volumes.create(nobodys, labels={LAB: nobodys}),
        client.volumes.create(unique("foreign"), labels={"com.example.lab": "x"}),
    ]
    try:
        backend = DockerBackend(print)
        chosen = backend.owned("me")
        backend.close()
        assert {ours, nobodys} <= set(chosen)
        assert theirs not in chosen
        done = cli("down", "-b", "docker", "-n", ours)
        assert "removed 1 volume" in done.stderr
        left = {volume.name for volume in client.volumes.list()}
        assert {volume.name for volume in made[1:]} <= left
        assert ours not in left
    finally:
        for volume in made[1:]:
            volume.remove()
        client.close()


def test_two_ups_of_one_lab_meet_in_one_lab(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    started = [cli.start("up", "-n", name, "-b", "process", *QUICK) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert sum("already up" in text for text in said) == 1


def test_a_taken_loopback_port_is_avoided(cli: Cli, lab_name: Names) -> None:
    """Something listens on 127.0.0.1:8000: the process backend does not care."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", 8000))
        except OSError:
            # Somebody has it already: that is the situation that this test wants.
            busy.close()
        done = cli("up", "-n", lab_name("process"), "-b", "process", *QUICK)
    assert done.returncode == 0, done.stderr


def test_the_installed_command_is_the_same(cli: Cli) -> None:
    command = Path(sys.executable).with_name("ipseclab")
    if not command.exists():
        command = Path(sys.executable)
        arguments = [str(command), "-m", "lab", "version"]
    else:
        arguments = [str(command), "version"]
    done = subprocess.run(arguments, env=cli.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("ipseclab ")
