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
from pathlib import Path
from typing import Any

import pytest

from tests.node.conftest import ROOT, Spawn, why_no_tun

OBSTACLE = why_no_tun()
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


ADDRESSER = """
import json, os, subprocess, sys
from ipaddress import ip_address, ip_network
from socket import if_nametoindex
from node.net import privileges
from node.net.addresser import Addresser
from node.net.tun import Tun
tun = Tun("t0")
networks = [ip_network("10.2.0.0/24"), ip_network("fd02::/64")]
tun.configure(None, networks, 1380)
user = privileges.User(10001, 10001, "x")
addresser = Addresser(if_nametoindex("t0"), {4}, networks, user)
(child,) = open(f"/proc/self/task/{os.getpid()}/children").read().split()
status = dict(line.split(":", 1) for line in open(f"/proc/{child}/status"))
held = len(os.listdir(f"/proc/{child}/fd"))
names = ("Uid", "CapEff", "CapPrm", "CapInh", "NoNewPrivs")
print(json.dumps({name: status[name].split()[0] for name in names}), held)
privileges.drop(user)
def show():
    run = lambda *w: json.loads(subprocess.run(["ip", "-j", *w], capture_output=True, text=True).stdout)
    (device,) = run("address", "show", "dev", "t0")
    routes = {r["dst"]: r.get("prefsrc") for r in run("route") if r.get("dev") == "t0"}
    print(json.dumps([[a["local"] for a in device["addr_info"]], routes]))
def order(call, text):
    try:
        call(ip_address(text))
        print("done")
    except OSError as error:
        print(error.strerror)
show()
order(addresser.add, "10.9.0.1"); show()
order(addresser.add, "10.9.0.2")
order(addresser.add, "fd09::1")
order(addresser.remove, "10.9.0.3")
order(addresser.remove, "10.9.0.1"); show()
order(addresser.add, "127.0.0.1")
order(addresser.add, "224.0.0.1")
order(addresser.add, "10.9.0.2"); show()
os.kill(int(child), 9)
order(addresser.remove, "10.9.0.2")
order(addresser.add, "10.9.0.3")
print(open(f"/proc/self/task/{os.getpid()}/children").read() == "")
addresser.close()
"""


def test_a_process_with_one_right_sets_the_address_and_takes_no_other_order() -> None:
    command = ["unshare", "-n", sys.executable, "-c", ADDRESSER]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    process, *said = done.stdout.splitlines()
    rights, held = process.rsplit(" ", 1)
    only = f"{1 << 12:016x}"
    assert json.loads(rights) == {
        "Uid": "10001",
        "CapEff": only,
        "CapPrm": only,
        "CapInh": f"{0:016x}",
        "NoNewPrivs": "1",
    }
    assert held == "4", "null for the standard ones, and its end of the pair"
    nothing, first, second = (
        "[[], {}]",
        '[["10.9.0.1"], {"10.2.0.0/24": "10.9.0.1"}]',
        '[["10.9.0.2"], {"10.2.0.0/24": "10.9.0.2"}]',
    )
    wrong = "Cannot assign requested address (%s)"
    assert said == [
        *(nothing, "done", first),
        *("File exists (10.9.0.2)", wrong % "fd09::1", wrong % "10.9.0.3"),
        *("done", nothing, wrong % "127.0.0.1", wrong % "224.0.0.1"),
        *("done", second),
        "the process that sets addresses does not answer",
        "the process that sets addresses is gone",
        "True",
    ]


@pytest.mark.parametrize(("pool", "wish"), [("10.9.0.0/24", "any4"), ("10.9.0.0/24", "10.9.0.7")])
def test_an_address_that_the_peer_gives_is_on_the_device_while_the_ike_sa_lasts(
    spawn: Spawn, namespaces: tuple[str, str], owned: Path, pool: str, wish: str
) -> None:
    left, right = namespaces
    variables = {"NODE_TUN__ENABLED": "true", "NODE_RUN__USER": "10001", "NODE_PEER__ADDRESS": "192.0.2.2"}
    inside = {"directory": owned, "NODE_LISTEN__ADDRESS": "0.0.0.0", **variables}
    gives: dict[str, Any] = {**inside, "NODE_ROLE": "responder", "NODE_CHILD__POOL": f"[{pool}]"}
    responder = spawn(prefix=("ip", "netns", "exec", right), **gives)
    responder.wait_for("udp_bound")
    asks: dict[str, Any] = {**inside, "NODE_ROLE": "initiator", "NODE_CHILD__VIRTUAL_IP": f"[{wish}]"}
    asks["NODE_CONTROL__SOCKET"] = str(owned / "control.sock")
    initiator = spawn(prefix=("ip", "netns", "exec", left), **asks)
    address = "10.9.0.1" if wish == "any4" else wish
    added = initiator.wait_for("inner_address_added")
    assert added["address"] == address
    assert responder.wait_for("esp_payload_decrypted")["source"] == address
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (10, 10)
    show = ["ip", "-n", left, "-j", "address", "show", "dev", "ipsec0"]
    assert f'"local":"{address}"' in subprocess.run(show, capture_output=True, text=True, check=True).stdout
    asked = [sys.executable, "-m", "node", "ctl", "--socket", str(owned / "control.sock")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command, name in (("status", None), ("terminate", "inner_address_removed")):
        said = subprocess.run([*asked, command], env=environment, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        if name is None:
            assert address in said.stdout
        else:
            assert initiator.wait_for(name)["address"] == address
    assert address not in subprocess.run(show, capture_output=True, text=True, check=True).stdout
    route = ["ip", "-n", left, "route", "get", "10.2.0.1"]
    refused = subprocess.run(route, capture_output=True, text=True)
    assert refused.returncode != 0, "without the address nothing leaves in clear"
    assert initiator.stop(signal.SIGTERM) == 0
    assert responder.stop(signal.SIGTERM) == 0
