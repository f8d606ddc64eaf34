"""What only a process in the right place can try: TUN device, offloads, ports, IPv6; told as one JSON object.

Its text is handed to `python -c` in a throw-away network namespace and in a throw-away container: it imports
nothing but the standard library, and whatever it makes is gone when it ends.
"""

import errno
import fcntl
import json
import os
import socket
import struct
from pathlib import Path

TUN_DEVICE = "/dev/net/tun"
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
#: TUN, no packet information, virtio-net header: as the node asks for.
IFF_TUN_NO_PI_VNET_HDR = 0x0001 | 0x1000 | 0x4000
#: Checksum, TSO for IPv4 and IPv6.
TSO = 0x01 | 0x02 | 0x04
#: UDP segmentation offload as well: Linux 6.2.
USO = TSO | 0x20 | 0x40
PORTS = (500, 4500, 8000)


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def try_tun() -> dict[str, str]:
    """`step` is the last thing that was tried, `error` the errno of what failed (empty if nothing did)."""
    try:
        device = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return {"step": "open", "error": _name(error), "offloads": ""}
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"doctor%d", IFF_TUN_NO_PI_VNET_HDR))
        return {"step": "TUNSETIFF", "error": "", "offloads": _offloads(device)}
    except OSError as error:
        return {"step": "TUNSETIFF", "error": _name(error), "offloads": ""}
    finally:
        os.close(device)


def _offloads(device: int) -> str:
    for bits, name in ((USO, "TSO and USO"), (TSO, "TSO")):
        try:
            fcntl.ioctl(device, TUNSETOFFLOAD, bits)
        except OSError:
            continue
        return name
    return ""


def try_port(port: int, host: str = "0.0.0.0") -> str:
    """The errno of binding this UDP port, empty if it worked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            return _name(error)
    return ""


def try_ipv6() -> str:
    """Why there is no IPv6 here, empty if there is."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return "the kernel has none"
    if Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip() != "0":
        return "net.ipv6.conf.all.disable_ipv6 is 1"
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError as error:
        return f"binding :: says {_name(error)}"
    return ""


def main() -> None:
    """Try everything and say what happened."""
    ports = {str(port): try_port(port) for port in PORTS}
    print(json.dumps({"tun": try_tun(), "ports": ports, "ipv6": try_ipv6()}))


if __name__ == "__main__":
    main()
