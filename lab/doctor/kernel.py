"""What `inside` tried, as findings. A place is where it was tried: `in a container`, `on this host`."""

from collections.abc import Mapping
from typing import Any

from lab.doctor.findings import Finding, fail, ok, warn

_PROCESS = "or use --backend process"


def tun_finding(probe: str, tried: Mapping[str, Any], needed: bool, where: str) -> Finding:
    """The finding of what `inside.try_tun` said."""
    level = fail if needed else warn
    step, error = tried["step"], tried["error"]
    if not error:
        return ok(probe, f"TUNSETIFF done {where}")
    if step == "open" and error in ("ENOENT", "ENODEV", "ENXIO"):
        fix = "sudo modprobe tun; in a container add --device /dev/net/tun; or use --backend process"
        return level(probe, "E-TUN-DEVICE", f"no /dev/net/tun {where} ({error})", fix)
    if step == "open":
        fix = "sudo chmod 0666 /dev/net/tun (udev's default), or use --backend process"
        return level(probe, "E-TUN-PERM", f"opening /dev/net/tun {where} says {error}", fix)
    fix = (
        "add --cap-add NET_ADMIN --device /dev/net/tun to the container around this, or use --backend process"
    )
    return level(probe, "E-TUN-CAP", f"/dev/net/tun opens, but TUNSETIFF {where} says {error}", fix)


def offload_finding(probe: str, tried: Mapping[str, Any]) -> list[Finding]:
    """The finding of the offloads of a TUN device; none where there is no device to ask."""
    if tried["error"]:
        return []
    if tried["offloads"] and not tried["header"]:
        return [ok(probe, f"IFF_VNET_HDR, and TUNSETOFFLOAD takes {tried['offloads']}")]
    said = f"IFF_VNET_HDR says {tried['header']}" if tried["header"] else "TUNSETOFFLOAD takes none"
    fix = "nothing to do: packets pass one by one; a newer kernel is faster"
    return [warn(probe, "E-TUN-OFFLOAD", f"no segmentation offload of TUN devices: {said}", fix)]


def udp_finding(probe: str, tried: Mapping[str, str], place: str) -> Finding:
    """The finding of UDP segmentation and receive offload."""
    fix = "nothing to do: datagrams pass one by one; Linux 5.0 or newer is faster"
    if tried["segment"]:
        return warn(probe, "E-UDP-GSO", f"sending with UDP_SEGMENT {place}: {tried['segment']}", fix)
    if tried["gro"]:
        return warn(probe, "E-UDP-GRO", f"UDP_SEGMENT sends, UDP_GRO {place}: {tried['gro']}", fix)
    return ok(probe, f"UDP_SEGMENT sends several datagrams at once, UDP_GRO takes them so {place}")


def steering_finding(probe: str, why: str, place: str) -> Finding:
    """The finding of several sockets on one port."""
    if not why:
        return ok(probe, f"a BPF program spreads one UDP port over several sockets {place}")
    fix = "nothing to do for one process a node; Linux 4.5 or newer lets several share a port"
    return warn(probe, "E-REUSEPORT", f"SO_REUSEPORT with SO_ATTACH_REUSEPORT_CBPF {place}: {why}", fix)


def capture_finding(probe: str, why: str, place: str) -> Finding:
    """The finding of a packet socket."""
    if not why:
        return ok(probe, f"a packet socket sees what passes {place}")
    fix = "only for captures: let containers have NET_RAW, or capture on the host as root"
    return warn(probe, "E-CAPTURE", f"a packet socket (AF_PACKET) {place}: {why}", fix)


def ports_finding(probe: str, tried: Mapping[str, str]) -> Finding:
    """The finding of the UDP ports in a container."""
    refused = {port: error for port, error in tried.items() if error}
    if not refused:
        return ok(probe, f"UDP {', '.join(tried)} can be bound in a container")
    told = ", ".join(f"{port} {error}" for port, error in refused.items())
    if "8000" in refused:
        fix = f"see the engine's security profile (docker info), {_PROCESS}"
        return fail(probe, "E-PORT-REFUSED", f"in a container: {told}", fix)
    fix = "update the engine (20.10 and newer allow it), or add net.ipv4.ip_unprivileged_port_start=0"
    return warn(probe, "E-PORT-PRIVILEGED", f"in a container: {told}", fix)


def ipv6_finding(probe: str, why: str) -> Finding:
    """The finding of IPv6 in a container."""
    if not why:
        return ok(probe, "IPv6 in a container (net.ipv6.conf.all.disable_ipv6=0 is taken)")
    fix = (
        "only for IPv6 labs: boot the engine's host without ipv6.disable=1 and let containers set the sysctl"
    )
    return warn(probe, "E-IPV6", f"no IPv6 in a container: {why}", fix)
