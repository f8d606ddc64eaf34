"""Where a node has its data path, and the inner side that goes with it: the only place that chooses.

user-space   DataPlane and Pump here                     the host in user space
shared       DataPlane and Pump here, with TUN device    kernel sockets behind it
apart        in an ESP process (`node.daemon.remote`)    kernel sockets behind the device that it has
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_interface

from node.daemon.chaff import Chaff
from node.daemon.dataplane import DataPath, DataPlane
from node.daemon.failure import StartError
from node.daemon.inner import InnerSide, KernelInner, Listener, Telling, UserSpaceInner
from node.daemon.pump import BATCH, Other, Pump, Watch
from node.daemon.remote import RemotePath
from node.daemon.start import Apart, Started
from node.esp.host import Host
from node.esp.sa import Volume
from node.model.child import Mode
from node.net.transport import Transport
from node.net.tun import Tun
from node.net.udp import UdpSocket
from node.ports import Entropy


@dataclass(frozen=True, slots=True)
class Way:
    """What was chosen. `on_udp` takes what waits in a socket of ours; `remote` is the data path again where
    that is in another process.
    """

    plane: DataPath
    inner: InnerSide
    on_udp: Callable[[UdpSocket], None]
    close: Callable[[], None]
    remote: RemotePath | None = None


def choose(
    started: Started, listener: Listener, other: Other, gone: Callable[[str], None], entropy: Entropy
) -> Way:
    """`other` takes what comes from a peer and is no ESP packet, `gone` hears of the end of the TUN device.

    Must be called inside a running event loop. Raises StartError.
    """
    config = started.config
    # In transport mode the host has the outer address, which is known once there is a peer.
    outer = config.child.mode is Mode.TRANSPORT
    text = "" if outer else config.tun.address
    own = [ip_interface(text).ip] if text else []
    host = Host(own, int.from_bytes(entropy(2)), config.tun.mtu, loopback=outer)
    if started.apart is not None:
        return _apart(started, started.apart, host, listener, other)
    child = config.child
    volume = Volume(child.lifetime.octets, child.lifetime.packets)
    plane = DataPlane(started.transport, started.log, entropy, child.max_packets, volume, child.copy_dscp)
    pump = Pump(plane, started.transport, other)
    loop = asyncio.get_running_loop()
    end_chaff = Chaff(plane.send_dummies, child.tfc.dummies).run(loop)
    if started.tun is None:
        inner = UserSpaceInner(host, plane, listener, config.demo.port)
        return Way(plane, inner, pump.on_udp, end_chaff)
    watch = Watch(config.demo.port)
    kernel = _kernel(started, host, plane, watch, listener)
    end_shared = _shared(started.tun, pump, watch, kernel, gone)

    def close() -> None:
        end_chaff()
        end_shared()

    return Way(plane, kernel, pump.on_udp, close)


def _shared(
    tun: Tun, pump: Pump, watch: Watch, inner: InnerSide, gone: Callable[[str], None]
) -> Callable[[], None]:
    """Read the device in this process; returns how to end that."""
    loop = asyncio.get_running_loop()

    def on_gone(reason: str) -> None:
        loop.remove_reader(tun.fileno())
        gone(reason)

    def close() -> None:
        inner.close()
        loop.remove_reader(tun.fileno())
        tun.close()

    pump.attach(tun, watch, on_gone)
    loop.add_reader(tun.fileno(), pump.on_tun)
    return close


def _apart(started: Started, apart: Apart, host: Host, listener: Listener, other: Other) -> Way:
    apart.tie.listen()
    remote = RemotePath(apart.channel, apart.tie, started.log, started.transport.shared.udp)
    remote.begin()
    inner = _kernel(started, host, remote, remote, listener)

    def close() -> None:
        inner.close()
        remote.close()
        apart.tie.close()

    return Way(remote, inner, _intake(started.transport, other), close, remote)


def _intake(transport: Transport, other: Other) -> Callable[[UdpSocket], None]:
    """Hand on what waits in a socket that gets no ESP packets."""
    ports = {line.udp.port: line.port for line in transport}

    def on_udp(udp: UdpSocket) -> None:
        for _ in range(BATCH):
            received = udp.receive()
            if received is None:
                return
            other(ports[udp.port].steer(received[0]), *received)

    return on_udp


def _kernel(started: Started, host: Host, plane: DataPath, watch: Telling, listener: Listener) -> KernelInner:
    demo = started.config.demo
    try:
        return KernelInner(host, plane, watch, listener, demo.port, started.addresser)
    except OSError as error:
        text = started.config.tun.address
        detail = f"demo.port: UDP {text}[{demo.port}]: {error.strerror}; set another port"
        raise StartError(detail) from error
