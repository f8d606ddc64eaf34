"""The netns backend where it differs from the others: namespaces, rights, what is left, what is refused. The
tests of every backend are in test_labs and test_verbs.
"""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import library, plan
from lab.backends import choose, netns, netns_supervisor
from lab.backends.docker import DockerBackend
from lab.backends.netns import NetnsBackend, NetnsState
from lab.backends.netns_supervisor import Way, remedy
from lab.backends.process import ProcessBackend
from lab.backends.supervisor import SUPERVISOR
from lab.errors import EnvironmentNotReady, UsageError
from tests.lab.conftest import Cli, unique, why_no_namespaces

QUICK = ("-b", "netns", "--key-type", "ecdsa-p256")


@pytest.fixture(scope="module")
def up(cli: Cli) -> Iterator[str]:
    """The name of a lab that is up."""
    if reason := why_no_namespaces():
        pytest.skip(reason)
    name = unique("ns")
    try:
        done = cli("up", "-n", name, *QUICK)
        assert done.returncode == 0, done.stderr
        yield name
    finally:
        assert cli("down", "-n", name, "-b", "netns").returncode == 0


_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
#: CAP_SETGID and CAP_SETUID of linux/capability.h.
_CHANGE_OF_USER = 1 << 6 | 1 << 7


def processes(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Process ids by node, the supervisor included."""
    monkeypatch.setenv("IPSECLAB_HOME", str(cli.home))
    return {node: found.pid for node, found in NetnsState(name, "netns").processes().items()}


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def inside(cli: Cli, name: str, node: str, *command: str) -> str:
    """What a command at a node writes."""
    done = cli("exec", "-n", name, "-b", "netns", node, "--", *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_node_sees_its_own_network_and_the_host_nothing_of_it(cli: Cli, up: str) -> None:
    ours = os.readlink("/proc/self/ns/net")
    seen = {
        inside(cli, up, node, "readlink", "/proc/self/ns/net").strip() for node in ("responder", "initiator")
    }
    assert len(seen) == 2
    assert ours not in seen
    lines = inside(cli, up, "initiator", "cat", "/proc/net/dev").splitlines()[2:]
    assert {line.split(":")[0].strip() for line in lines} == {"lo", "eth0", "ipsec0"}
    assert "wire" not in {name for _, name in socket.if_nameindex()}


def test_inner_packets_go_through_the_kernel(cli: Cli, up: str) -> None:
    events = cli.json("status", "-n", up, "-b", "netns")["labs"][0]["nodes"]
    assert [node["address"] for node in events] == ["172.28.0.2:8000", "172.28.0.3:8000"]
    logs = cli("events", "initiator", "-n", up, "-b", "netns").stdout
    assert '"tun_ready"' in logs
    assert '"via": "kernel"' in logs or '"via": "raw"' in logs


def test_nodes_have_no_rights_left(cli: Cli, up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root each is a user of its own; elsewhere it is this user. No capability in either case.

    The supervisor of a node reads nothing from a network; of root's rights it keeps the change of user.
    """
    found = processes(cli, up, monkeypatch)
    users = []
    for node in ("responder", "initiator"):
        supervisor = found[node]
        for kind in _CAPABILITIES:
            kept = int(_status(supervisor)[kind], 16)
            assert kept & ~_CHANGE_OF_USER == 0, f"the supervisor of the {node} has {kind} {kept:x}"
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        assert len(children) == 2
        for child in children:
            status = _status(int(child))
            for kind in _CAPABILITIES:
                assert int(status[kind], 16) == 0, f"{node} has {kind}"
        users.append({user for child in children for user in _status(int(child))["Uid"].split()})
    if os.geteuid() == 0:
        assert users == [{"10001"}, {"10002"}]
    else:
        assert users == [{str(os.geteuid())}] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root do nodes have a directory and a uid of their own")
def test_a_node_cannot_read_the_key_of_another(cli: Cli, up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPSECLAB_HOME", str(cli.home))
    directory = NetnsState(up, "netns").short_directory()
    for number, node in enumerate(("responder", "initiator"), 10001):
        own = (directory / node).stat()
        assert (own.st_uid, own.st_mode & 0o777) == (number, 0o700)
        key = (directory / node / "key" / f"{node}-key.pem").stat()
        assert (key.st_uid, key.st_mode & 0o777) == (number, 0o600)
    assert directory.stat().st_mode & 0o777 == 0o711
    assert {path.name for path in (directory / "certs").iterdir()} >= {"ca-cert.pem"}
    assert not list((directory / "certs").glob("*key*"))


def test_a_stopped_node_is_closed_and_a_killed_supervisor_leaves_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := why_no_namespaces():
        pytest.skip(reason)
    name = unique("ns")
    assert cli("up", "-n", name, *QUICK).returncode == 0
    found = processes(cli, name, monkeypatch)
    spaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in found.values()}
    assert len(spaces) == 3, "wire and nodes do not have a namespace each"
    NetnsBackend(print).lab(name).stop("initiator")
    refused = cli("exec", "-n", name, "-b", "netns", "initiator", "--", "true")
    assert refused.returncode == 125
    assert "initiator is not running" in refused.stderr
    os.kill(found[SUPERVISOR], signal.SIGKILL)
    short = NetnsState(name, "netns").short_directory()
    down = cli.json("down", "-n", name, "-b", "netns")["labs"][0]["removed"]
    assert {thing["name"] for thing in down if thing["kind"] == "process"} == {"responder"}
    # A namespace without a name is gone with its last process; its number may be another's by now.
    assert not [line for line in _command_lines() if f"/netns/{name}" in line]
    assert "ipseclab" not in "".join(line for line in _mounts() if " nsfs " in line)
    assert not short.exists()
    assert cli.json("down", "-n", name, "-b", "netns")["labs"] == []


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_text()
        except OSError:
            # It ended while we looked.
            continue


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("nonsense", "--subnet: "),
        ("172.28.0.1/16", "has host bits set"),
        ("fd00::/64", "--subnet: "),
        ("10.0.0.0/8", "overlaps 10.1.0.0/16, a network inside the tunnel"),
        ("10.2.9.0/24", "overlaps 10.2.0.0/16"),
    ],
)
def test_a_subnet_that_cannot_be(subnet: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"write 172\.28\.0\.0/16") as caught:
        NetnsBackend(print, subnet)
    assert message in str(caught.value)


def test_addresses_come_from_the_subnet_and_must_suffice() -> None:
    made = plan.make("x", library.load("many-initiators"))
    hosts = [address.host for address in NetnsBackend(print, "192.168.7.0/24").addresses(made).values()]
    assert hosts[:2] == ["192.168.7.2", "192.168.7.3"]
    assert len(set(hosts)) == 21
    exact = NetnsBackend(print, "192.168.7.0/27").addresses(made)
    assert all(host.host != str(IPv4Network("192.168.7.0/27").broadcast_address) for host in exact.values())
    with pytest.raises(
        EnvironmentNotReady, match=r"21 nodes: a netns lab has room for 13 in 192\.168\.7\.0/28"
    ):
        NetnsBackend(print, "192.168.7.0/28").addresses(made)


def _probe_says(monkeypatch: pytest.MonkeyPatch, answer: Way | str) -> None:
    def found() -> Way:
        if isinstance(answer, Way):
            return answer
        raise EnvironmentNotReady(answer)

    def no_engine(self: DockerBackend) -> str:
        raise EnvironmentNotReady("Docker is not running")

    monkeypatch.setattr(netns, "_probe", found)
    monkeypatch.setattr(DockerBackend, "check", no_engine)


def test_auto_takes_namespaces_before_plain_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPSECLAB_HOME", str(tmp_path))
    _probe_says(monkeypatch, Way.USER)
    said: list[str] = []
    backend = choose.for_new_lab("auto", "192.168.7.0/24", said.append, print)
    assert type(backend) is NetnsBackend
    assert said == ["no Docker engine, using network namespaces instead (Docker is not running)"]
    assert backend.check().startswith("network namespaces in a user namespace, without root, Linux ")


def test_auto_ends_with_plain_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPSECLAB_HOME", str(tmp_path))
    _probe_says(monkeypatch, "no network namespaces here")
    said: list[str] = []
    backend = choose.for_new_lab("auto", None, said.append, print)
    assert type(backend) is ProcessBackend
    (line,) = said
    assert line.startswith("no Docker engine, using plain processes on loopback instead (")
    assert "no network namespaces here" in line
    with pytest.raises(EnvironmentNotReady):
        choose.for_new_lab("netns", None, said.append, print).check()


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (OSError(errno.ENOENT, "No such file or directory (/dev/net/tun)"), "load the module: modprobe tun"),
        (OSError(errno.EACCES, "Permission denied (/dev/net/tun)"), "chmod 0666 /dev/net/tun"),
        (OSError(errno.EPERM, "Operation not permitted (/dev/net/tun)"), "--device /dev/net/tun"),
        (OSError(errno.EOPNOTSUPP, "Operation not supported (bridge wire)"), "modprobe veth bridge"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(error: OSError, fix: str) -> None:
    assert fix in remedy(error)


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/other", "0", "run as root"),
    ],
)
def test_the_setting_that_forbids_namespaces_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, fix: str
) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    monkeypatch.setattr(netns_supervisor, "_SYSTEM", tmp_path)
    assert fix in remedy(PermissionError(errno.EPERM, "Operation not permitted (new user namespace)"))


def test_a_refused_probe_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/sh\necho 'Operation not permitted (new user namespace): run as root' >&2\nexit 4\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    with pytest.raises(EnvironmentNotReady) as caught:
        NetnsBackend(print).check()
    assert str(caught.value) == (
        "no network namespaces here: Operation not permitted (new user namespace): run as root, "
        "or use --backend process"
    )
