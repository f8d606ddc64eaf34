"""TUN, routes and two nodes with real kernel sockets, in network namespaces of their own.

namespace i  10.1.0.1 ipsec0 -- node -- veth 192.0.2.1  <-->  192.0.2.2 veth -- node -- ipsec0 10.2.0.1
namespace r
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.conftest import ROOT, Spawn, make_credentials


def _obstacle() -> str | None:
    if os.geteuid() != 0:
        return "needs uid 0"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "needs ip and unshare to make namespaces"
    probe = "from node.net.tun import Tun; Tun('probe0').close()"
    command = ["unshare", "-n", sys.executable, "-c", probe]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    return (
        None if done.returncode == 0 else f"cannot make a TUN device: {done.stderr.strip().splitlines()[-1:]}"
    )


OBSTACLE = _obstacle()
pytestmark = [
    pytest.mark.root,
    pytest.mark.tun,
    pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE)),
]

CONFIGURE = """
import subprocess
from ipaddress import ip_interface, ip_network
from node.net.tun import Tun
tun = Tun("t0")
for _ in range(2):
    tun.configure(ip_interface("10.1.0.1/24"), [ip_network("10.2.0.0/24"), ip_network("10.3.0.0/16")], 1380)
def show(*words):
    print(subprocess.run(["ip", "-j", *words], capture_output=True, text=True, check=True).stdout.strip())
show("address", "show", "dev", "t0")
show("route")
tun.close()
show("route")
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def test_addresses_and_routes_and_what_stays_when_the_device_is_gone() -> None:
    command = ["unshare", "-n", sys.executable, "-c", CONFIGURE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [device], before, after = (json.loads(line) for line in done.stdout.splitlines())
    assert (device["mtu"], "UP" in device["flags"]) == (1380, True)
    assert [(a["local"], a["prefixlen"]) for a in device["addr_info"]] == [("10.1.0.1", 32)]
    through = {r["dst"]: r for r in before if r.get("dev") == "t0"}
    assert set(through) == {"10.2.0.0/24", "10.3.0.0/16"}
    assert through["10.2.0.0/24"]["prefsrc"] == "10.1.0.1"
    refused = {r["dst"]: r["metric"] for r in before if r.get("type") == "unreachable"}
    assert set(refused) == set(through)
    assert all(refused[dst] > route["metric"] for dst, route in through.items())
    assert {r["dst"] for r in after if r.get("type") == "unreachable"} == set(through)
    assert len(after) == len(refused)


def test_kernel_errors_say_what_was_asked_for() -> None:
    code = (
        "from ipaddress import ip_network, ip_interface\n"
        "from node.net.netlink import Netlink\n"
        "try:\n"
        "    with Netlink() as n: n.add_route(ip_network('10.2.0.0/24'), 9999, ip_interface('10.1.0.1'), 1)\n"
        "except OSError as error: print(error.errno, error.strerror)\n"
    )
    command = ["unshare", "-n", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "(route to 10.2.0.0/24)" in done.stdout


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a veth pair."""
    left, right = f"ipseclab-i-{os.getpid()}", f"ipseclab-r-{os.getpid()}"
    ends = (f"vi{os.getpid()}", f"vr{os.getpid()}")
    try:
        for name in (left, right):
            _ip("netns", "add", name)
        _ip("link", "add", ends[0], "netns", left, "type", "veth", "peer", ends[1], "netns", right)
        for name, end, address in ((left, ends[0], "192.0.2.1/24"), (right, ends[1], "192.0.2.2/24")):
            _ip("-n", name, "address", "add", address, "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield left, right
    finally:
        for name in (left, right):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Credentials that belong to the user the nodes become, in a directory that it can reach."""
    root = Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/ipseclab-XXXXXX"], capture_output=True, text=True
        ).stdout.strip()
    )
    try:
        make_credentials(root / "ipsec" / "certs")
        for path in (root, *root.rglob("*")):
            os.chown(path, 10001, 10001)
        yield root
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("ping_group", ["0 2147483647", "1 0"], ids=["icmp-socket", "raw"])
def test_hello_and_pings_through_two_kernels(
    spawn: Spawn, namespaces: tuple[str, str], owned: Path, ping_group: str
) -> None:
    left, right = namespaces
    for name in namespaces:
        set_range = f"echo '{ping_group}' > /proc/sys/net/ipv4/ping_group_range"
        subprocess.run(["ip", "netns", "exec", name, "sh", "-c", set_range], check=True)
    variables = {"NODE_TUN__ENABLED": "true", "NODE_RUN__USER": "10001", "NODE_PEER__ADDRESS": "192.0.2.2"}
    inside = {"directory": owned, "NODE_LISTEN__ADDRESS": "0.0.0.0", **variables}
    responder = spawn(prefix=("ip", "netns", "exec", right), NODE_ROLE="responder", **inside)
    assert responder.wait_for("privileges_dropped")["uid"] == 10001
    responder.wait_for("udp_bound")
    initiator = spawn(prefix=("ip", "netns", "exec", left), NODE_ROLE="initiator", **inside)
    initiator.wait_for("child_sa_installed")
    hello = responder.wait_for("esp_payload_decrypted")
    assert (hello["text"], hello["source"]) == ("Hello from IPSec Initiator!", "10.1.0.1")
    assert hello["sequence"] == initiator.wait_for("esp_payload_sent")["sequence"]
    done = initiator.wait_for("pings_completed")
    via = "kernel" if ping_group.startswith("0") else "raw"
    assert (done["sent"], done["received"], done["via"]) == (10, 10, via)
    routes = subprocess.run(
        ["ip", "-n", left, "-j", "route"], capture_output=True, text=True, check=True
    ).stdout
    assert {"unicast", "unreachable"} == {
        r.get("type", "unicast") for r in json.loads(routes) if r["dst"] == "10.2.0.0/24"
    }
    assert initiator.stop(signal.SIGTERM) == 0
    assert "packet_dropped" not in initiator.names() + responder.names()
    responder.wait_for("ike_sa_deleted")
    assert responder.stop(signal.SIGTERM) == 0
    left_over = subprocess.run(
        ["ip", "-n", left, "-j", "link"], capture_output=True, text=True, check=True
    ).stdout
    assert "ipsec0" not in left_over


def test_without_a_device_auto_falls_back_and_true_fails(spawn: Spawn, credentials: Path) -> None:
    # Mode 0600 of /dev/net/tun and no capabilities: what an unprivileged user has.
    prefix = ("unshare", "-n", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to start without capabilities")
    fallen = spawn(prefix=prefix, NODE_ROLE="responder", NODE_TUN__ENABLED="auto")
    assert "NET_ADMIN" in fallen.wait_for("tun_unavailable")["reason"]
    fallen.wait_for("udp_bound")
    failing = spawn(prefix=prefix, NODE_ROLE="responder", NODE_TUN__ENABLED="true")
    assert failing.wait() == 4
    assert failing.events[-1]["detail"].startswith("tun.name: ipsec0: ")


def test_a_peer_inside_its_own_tunnel_is_refused(spawn: Spawn, credentials: Path) -> None:
    arguments = {"NODE_ROLE": "initiator", "NODE_TUN__ENABLED": "true", "NODE_LISTEN__ADDRESS": "0.0.0.0"}
    node = spawn("--once", prefix=("unshare", "-n"), NODE_PEER__ADDRESS="10.2.0.9", **arguments)
    assert node.wait() == 1
    reason = node.wait_for("ike_sa_failed")["reason"]
    assert (
        reason
        == "peer.address: 10.2.0.9 lies in child.remote_ts (10.2.0.0/24): the tunnel would carry itself"
    )
