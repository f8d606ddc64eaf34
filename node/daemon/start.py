"""Everything before the first datagram, in an order that is part of the security.

    prepare   1. TUN device, addresses, routes      needs NET_ADMIN
              2. UDP ports                          some are below 1024; nothing is read from them yet
    begin     3. where a peer gives us our inner address, a process that keeps NET_ADMIN, for that alone
              4. another user, no capabilities      nothing after this runs as root
              5. certificates, private key, secret  readable for that user alone; so is the key log, if any
              6. DH key pair, control socket

Between the two a node may become several processes (`node.daemon.apart`).
A container has NET_ADMIN, SETUID and SETGID only: as root it could not read another user's key, as that
user it could not make the device.
"""

import errno
import os
import socket
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network

from node.config import Config, Switch
from node.crypto import rows
from node.daemon import credentials as files
from node.daemon.assembly import PROFILES, endpoint, peer_networks, virtual_ips
from node.daemon.channel import Channel
from node.daemon.credentials import Credentials
from node.daemon.failure import StartError
from node.daemon.keylog import KeyLog
from node.daemon.tie import Tie
from node.eventlog import EventLog
from node.ike.endpoint import Endpoint
from node.ike.outputs import Event
from node.model.child import Mode
from node.model.events import EventName
from node.net import privileges
from node.net.addresser import Addresser
from node.net.steer import Port
from node.net.transport import Line, Transport
from node.net.tun import DEVICE, Tun
from node.net.udp import UdpSocket


@dataclass(frozen=True, slots=True)
class Prepared:
    """What took privileges. `user` is whom to become, None to stay.

    `tun` is None where the inner side is in user space. `esp` is the socket of an ESP process and whom that
    becomes, None where there is no such process.
    """

    config: Config
    log: EventLog
    user: privileges.User | None
    tun: Tun | None
    transport: Transport
    esp: tuple[Line, privileges.User | None] | None


@dataclass(frozen=True, slots=True)
class Apart:
    """How an IKE process reaches the ESP process, and the supervisor."""

    channel: Channel
    tie: Tie


@dataclass(frozen=True, slots=True)
class Started:
    """What a node runs on.

    Where there is neither `tun` nor `apart`, the inner side is in user space; `keylog` is None without one,
    `addresser` where the inner address does not change.
    """

    config: Config
    log: EventLog
    tun: Tun | None
    credentials: Credentials
    endpoint: Endpoint
    transport: Transport
    keylog: KeyLog | None = None
    addresser: Addresser | None = None
    apart: Apart | None = None


def prepare(config: Config, log: EventLog) -> Prepared:
    """Steps 1 and 2. Raises StartError."""
    user = _user("run.user", config.run.user, privileges.IMAGE_USER)
    esp_user = _user("esp.user", config.esp.user, privileges.IMAGE_ESP_USER)
    if config.esp.user == "auto":
        esp_user = user and (esp_user or user)
    tun = _open_tun(config, log)
    transport = _bind(config)
    line = _split(config, log, tun, transport)
    return Prepared(config, log, user, tun, transport, line and (line, esp_user))


def begin(prepared: Prepared, apart: Apart | None = None) -> Started:
    """Steps 3 to 6 without the control socket. Raises StartError."""
    config, log = prepared.config, prepared.log
    addresser = _addresser(config, prepared.tun, prepared.user)
    drop_privileges(prepared.user, log)
    credentials = files.load(config, log)
    keylog = KeyLog(config.keylog.file, config.profile, log) if config.keylog.file else None
    engine = endpoint(config, credentials)
    engine.prepare()
    while (output := engine.poll()) is not None:
        if isinstance(output, Event):
            log.emit(output.name, **output.fields)
    _tell_bound(prepared.transport, log)
    tun = None if apart else prepared.tun
    return Started(config, log, tun, credentials, engine, prepared.transport, keylog, addresser, apart)


def _user(setting: str, text: str, auto: str) -> privileges.User | None:
    try:
        user = privileges.find_user(text, auto)
    except ValueError as error:
        raise StartError(f"{setting}: {error}; make the user, or leave {setting} empty to stay") from error
    if os.geteuid() == 0:
        return user
    if user is not None and text != "auto" and user.uid != os.geteuid():
        raise StartError(f"{setting}: {text}: only root can become another user; unset it")
    return None


def _open_tun(config: Config, log: EventLog) -> Tun | None:
    settings = config.tun
    if settings.enabled is Switch.FALSE or config.child.mode is Mode.TRANSPORT:
        return None
    interface = ip_interface(settings.address) if settings.address else None
    networks = [ip_network(text) for text in peer_networks(config)]
    address = str(interface.ip) if interface else None
    try:
        tun = Tun(settings.name)
        try:
            tun.configure(interface, networks, settings.mtu)
        except OSError:
            tun.close()
            raise
    except OSError as error:
        reason = _tun_problem(error)
        if settings.enabled is Switch.TRUE:
            raise StartError(f"tun.name: {settings.name}: {reason}; or set tun.enabled to false") from error
        log.emit(EventName.TUN_UNAVAILABLE, reason=reason, address=address)
        return None
    routes = [str(network) for network in networks]
    fields = {"name": tun.name, "address": address, "mtu": settings.mtu, "routes": routes}
    fields["accelerator"] = rows.load().told
    log.emit(EventName.TUN_READY, **fields)
    return tun


def _addresser(config: Config, tun: Tun | None, user: privileges.User | None) -> Addresser | None:
    """Who sets the addresses that a peer gives us, once we may not do that any more."""
    if tun is None or not config.child.virtual_ip:
        return None
    networks = [ip_network(text) for text in peer_networks(config)]
    versions = {address.version for address in virtual_ips(config)}
    try:
        return Addresser(socket.if_nametoindex(tun.name), versions, networks, user)
    except OSError as error:
        detail = f"child.virtual_ip: no process that sets inner addresses: {error}"
        raise StartError(f"{detail}; set tun.enabled to false, or tun.address in place of it") from error


def _tun_problem(error: OSError) -> str:
    remedies = {
        errno.ENOENT: f"there is no {DEVICE}; load the module `tun`, or pass the device to the container",
        errno.EACCES: f"{DEVICE} cannot be opened by uid {os.geteuid()}; start as root with NET_ADMIN",
        errno.EPERM: f"{DEVICE} refuses; start as root with NET_ADMIN (docker: --cap-add NET_ADMIN)",
        errno.EBUSY: "a device of this name exists; set tun.name to another one",
    }
    known = remedies.get(error.errno or 0)
    return known or f"cannot be set up: {error.strerror or error}"


def drop_privileges(user: privileges.User | None, log: EventLog) -> None:
    """Step 4. Raises StartError."""
    try:
        privileges.harden()
        bounding = privileges.drop(user)
    except OSError as error:
        name = user.name if user else "this user"
        raise StartError(
            f"run.user: cannot become {name} for good: {error}; the container needs SETUID and SETGID"
        ) from error
    fields = {"uid": os.getuid(), "gid": os.getgid(), "bounding_capabilities": bounding}
    log.emit(EventName.PRIVILEGES_DROPPED, **fields)


def _split(config: Config, log: EventLog, tun: Tun | None, transport: Transport) -> Line | None:
    """The socket of an ESP process; None where there will be none, which is told where it surprises."""
    wanted, shared = config.esp.process, transport.shared
    if wanted is Switch.FALSE or (tun is None and wanted is Switch.AUTO):
        return None
    if tun is None:
        raise StartError("esp.process: there is no TUN device to give to a process; set it to auto")
    try:
        return Line(shared.udp.split(shared.port), shared.port)
    except OSError as error:
        reason = f"the kernel does not share a UDP port by a program: {error.strerror}"
        if wanted is Switch.TRUE:
            raise StartError(f"esp.process: {reason}; set it to auto") from error
        log.emit(EventName.ESP_PROCESS_UNAVAILABLE, reason=reason)
        return None


def _bind(config: Config) -> Transport:
    profile, listen = PROFILES[config.profile], config.listen
    if profile.ike_port is None:
        return Transport(_open("listen.port", listen.address, listen.port, profile.port))
    nat = _open("listen.nat_port", listen.address, listen.nat_port, profile.port)
    if listen.port == listen.nat_port != 0:
        return Transport(nat)
    try:
        return Transport(nat, _open("listen.port", listen.address, listen.port, profile.ike_port))
    except StartError:
        nat.udp.close()
        raise


def _open(setting: str, address: str, number: int, port: Port) -> Line:
    try:
        return Line(UdpSocket(address, number, carries_esp=port.carries_esp), port)
    except OSError as error:
        low = "ports below 1024 need root, or net.ipv4.ip_unprivileged_port_start=0; or set a greater one"
        name, remedy = {
            errno.EADDRINUSE: (setting, "stop the process that has the port, or set another one"),
            errno.EADDRNOTAVAIL: ("listen.address", "set an address of this host, or 0.0.0.0"),
            errno.EACCES: (setting, low),
        }.get(error.errno or 0, ("listen", "set another address or port"))
        raise StartError(f"{name}: UDP {address}[{number}]: {error.strerror}; {remedy}") from error


def _tell_bound(transport: Transport, log: EventLog) -> None:
    for udp, port in transport:
        carries = ["ike", "esp"] if port.carries_esp else ["ike"]
        log.emit(EventName.UDP_BOUND, address=udp.address, port=udp.port, carries=carries)
