"""Parent of the node processes of one lab of the netns backend, and the probe whether there can be one:

    python -m lab.backends.netns_supervisor DIRECTORY
    python -m lab.backends.netns_supervisor --probe

1. The wire is a bridge in a network namespace of its own; each node has a namespace with one end of a veth
   pair, `eth0`, whose other end is a port of the bridge.
2. It holds the namespaces by descriptors only: when it and the nodes are gone, so is everything.
3. As root it makes network namespaces straight away; as anybody else (or where root may not) in a user
   namespace. The probe does what a lab does, with one node, so what it says is true of the lab.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from enum import StrEnum
from ipaddress import IPv4Interface
from pathlib import Path

from lab.backends import netns_kernel as kernel
from lab.backends.supervisor import Supervisor

PROBE = "--probe"
#: The exit code of a probe or a supervisor that the kernel said no to; its one line on stderr says why.
REFUSED = 4
BRIDGE, LINK = "wire", "eth0"
#: What has no namespace of its own: it captures on the bridge.
SNIFFER = "sniffer"
_TUN = "/dev/net/tun"
_SYSTEM = Path("/proc/sys")
# linux/if_tun.h
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
#: What a container has, too: ICMP sockets and low ports for everybody, no address that nobody asked for.
_SETTINGS = (
    ("ipv4/ping_group_range", ("0 2147483647", "0 0")),
    ("ipv4/ip_unprivileged_port_start", ("0",)),
    ("ipv6/conf/default/addr_gen_mode", ("1",)),
)


class Way(StrEnum):
    """How namespaces are made: by root, or by anybody in a user namespace."""

    ROOT = "root"
    USER = "user"


def separate() -> Way:
    """Leave the host's network, by way of a user namespace where we may not otherwise. Raises OSError."""
    if os.geteuid() == 0:
        # Root of a container may be refused, and a user namespace still be allowed.
        with contextlib.suppress(PermissionError):
            kernel.unshare(kernel.CLONE_NEWNET, "new network namespace")
            return Way.ROOT
    kernel.new_user()
    return Way.USER


def build(addresses: dict[str, str]) -> dict[str, int]:
    """Make the wire and a namespace for each node; descriptors of the namespaces by node. Raises OSError.

    `addresses` are IPv4 addresses with prefix length. This process ends up in the namespace of the wire.
    """
    wire = kernel.new_network()
    nodes: dict[str, int] = {}
    with kernel.Links() as links:
        links.add_bridge(BRIDGE)
        bridge = socket.if_nametoindex(BRIDGE)
        for number, (node, address) in enumerate(addresses.items(), 1):
            nodes[node] = kernel.new_network()
            _settle()
            links.add_veth(f"port{number}", bridge, LINK, nodes[node])
            with kernel.Links() as inside:
                index = socket.if_nametoindex(LINK)
                inside.add_address(index, IPv4Interface(address))
                inside.up(index)
    kernel.enter(wire, kernel.CLONE_NEWNET)
    return nodes


def _settle() -> None:
    for name, values in _SETTINGS:
        for value in values:
            # A kernel without the setting, or a read-only /proc/sys: the node works without it, too.
            with contextlib.suppress(OSError):
                Path(_SYSTEM, "net", name).write_text(value)
                break


class NetnsSupervisor(Supervisor):
    """Starts each node in its namespace."""

    def prepare(self) -> None:
        """Make the wire."""
        separate()
        nodes = self.order["nodes"].items()
        self._namespaces = build({name: node["address"] for name, node in nodes if "address" in node})

    def enter(self, name: str) -> None:
        """Into the node's namespace; what has none stays on the wire."""
        if name in self._namespaces:
            kernel.enter(self._namespaces[name], kernel.CLONE_NEWNET)
        super().enter(name)


def probe() -> Way:
    """How a lab can be made here, tried with one node and a TUN device. Raises OSError."""
    way = separate()
    nodes = build({"probe": "192.0.2.1/24"})
    kernel.enter(nodes["probe"], kernel.CLONE_NEWNET)
    _try_tun()
    return way


def _try_tun() -> None:
    try:
        with open(_TUN, "r+b", buffering=0) as device:
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"probe", _IFF_TUN_NO_PI))
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({_TUN})") from error


def remedy(error: OSError) -> str:
    """What to do about it: the setting that forbids it, where there is one."""
    if _TUN in str(error):
        known = {
            errno.EACCES: f"chmod 0666 {_TUN}",
            errno.EPERM: f"let this container have the device: --device {_TUN}",
        }
        return known.get(error.errno or 0, "load the module: modprobe tun")
    if error.errno in (errno.EOPNOTSUPP, errno.ENODEV):
        return "load the modules: modprobe veth bridge"
    for name, bad, good in (
        ("user/max_user_namespaces", "0", "10000"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ):
        with contextlib.suppress(OSError):
            if Path(_SYSTEM, name).read_text().strip() == bad:
                return f"sysctl -w {name.replace('/', '.')}={good}"
    return "run as root, or let this container have CAP_SYS_ADMIN and CAP_NET_ADMIN"


def main() -> int:
    """Probe, or supervise the lab of DIRECTORY; REFUSED with one line where the kernel says no."""
    try:
        if sys.argv[1] == PROBE:
            print(json.dumps({"way": probe()}))
        else:
            NetnsSupervisor.of(Path(sys.argv[1])).run()
    except OSError as error:
        print(f"{error.strerror or error}: {remedy(error)}", file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
