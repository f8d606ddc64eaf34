"""What the netns backend asks of the kernel: namespaces by unshare(2) and setns(2), links by rtnetlink(7).

1. Nothing is given a name outside: a namespace lives as long as a process in it or a descriptor of it, a veth
   pair as long as both its namespaces. What is killed leaves nothing.
2. A netlink socket speaks for the namespace in which it was made, wherever its process goes later.
3. Every failure is an OSError that says what was asked for.
"""

import ctypes
import os
import socket
import struct
from ipaddress import IPv4Interface
from pathlib import Path

# linux/sched.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
# linux/netlink.h
_NLMSG_ERROR, _NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 2, 0x001, 0x004, 0x200, 0x400
# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/veth.h, linux/if.h
_RTM_NEWLINK, _RTM_NEWADDR = 16, 20
_IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFF_UP = 0x1

#: struct nlmsghdr: length, type, flags, sequence, port.
_HEADER = struct.Struct("=IHHII")
#: struct ifinfomsg: family, pad, type, index, flags, change mask.
_LINK = struct.Struct("=BxHiII")
#: struct ifaddrmsg: family, prefix length, flags, scope, index.
_ADDRESS = struct.Struct("=BBBBI")
#: Octets of an acknowledgement: header, error, and our own header again.
_ANSWER = 8192
#: Seconds to wait for the kernel, which answers at once.
_PATIENCE = 5.0


class Links:
    """Links of the network namespace in which this was made; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE)
        self._socket.bind((0, 0))

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def up(self, index: int) -> None:
        """Bring a link up."""
        self._ask(_RTM_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP), f"link {index} up")

    def add_bridge(self, name: str) -> None:
        """Make a bridge that is up."""
        self._make(_text(_IFLA_IFNAME, name) + _kind("bridge"), f"bridge {name}")

    def add_veth(self, name: str, bridge: int, peer: str, peer_namespace: int) -> None:
        """Make a veth pair: `name` is up and a port of the bridge, `peer` is in the namespace of this
        descriptor.
        """
        # The far end cannot be up yet: the pair is tied together after both are made.
        far = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer)
        far += _number(_IFLA_NET_NS_FD, peer_namespace)
        body = _text(_IFLA_IFNAME, name) + _number(_IFLA_MASTER, bridge)
        self._make(body + _kind("veth", _attribute(_VETH_INFO_PEER, far)), f"veth pair {name}")

    def add_address(self, index: int, address: IPv4Interface) -> None:
        """Give a link an address, and with it the route to its network."""
        body = _ADDRESS.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        body += _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)
        self._ask(_RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, body, f"address {address}")

    def _make(self, attributes: bytes, what: str) -> None:
        fixed = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP)
        self._ask(_RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, fixed + attributes, what)

    def _ask(self, kind: int, flags: int, body: bytes, what: str) -> None:
        flags |= _NLM_F_REQUEST | _NLM_F_ACK
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        # One question at a time: the next message is its answer.
        answer = self._socket.recv(_ANSWER)
        if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR:
            raise OSError(f"the kernel's answer is no acknowledgement ({what})")
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        if code:
            raise OSError(-code, f"{os.strerror(-code)} ({what})")


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _kind(name: str, data: bytes = b"") -> bytes:
    details = _attribute(_IFLA_INFO_DATA, data) if data else b""
    return _attribute(_IFLA_LINKINFO, _text(_IFLA_INFO_KIND, name) + details)


def new_network() -> int:
    """Move this process into a new network namespace with its loopback up; a descriptor of it."""
    unshare(CLONE_NEWNET, "new network namespace")
    with Links() as links:
        links.up(socket.if_nametoindex("lo"))
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_user() -> None:
    """Move this process into a new user namespace, in which it is root and has no one else's uid."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER, "new user namespace")
    # Without this the kernel lets no ordinary user map a gid (user_namespaces(7)).
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (writing {path})") from error


def unshare(flags: int, what: str) -> None:
    """unshare(2), with the reason where it fails."""
    _call("unshare", (flags,), what)


def enter(descriptor: int, kind: int) -> None:
    """setns(2): move this thread into the namespace of this descriptor, which is of this kind."""
    _call("setns", (descriptor, kind), "entering a namespace")


def _call(name: str, arguments: tuple[int, ...], what: str) -> None:
    # os.unshare and os.setns exist from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} ({what})")
