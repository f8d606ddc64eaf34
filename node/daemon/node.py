"""A running node: one event loop that feeds engine and data path and carries out what the engine asks for.

Rules:

1. The engine's outputs are carried out in their order, all of them, before anything else is read.
2. Each wakeup does a bounded amount of work.
3. A bug is loud: whatever is raised in a callback ends the node with exit code 70.
"""

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address
from typing import Any

from node.config import Role
from node.daemon.assembly import peer_networks
from node.daemon.connect import find_path
from node.daemon.demo import Demo
from node.daemon.failure import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK, tell_bug
from node.daemon.keepalive import Keepalives
from node.daemon.keylog import KeyLog
from node.daemon.orders import Died, Word
from node.daemon.remote import RemotePath
from node.daemon.roaming import Roaming
from node.daemon.start import Started
from node.daemon.supervisor import Process, fate, too_often
from node.daemon.tie import Tie
from node.daemon.virtual import VirtualAddresses
from node.daemon.ways import choose
from node.errors import DropReason
from node.esp.sad import RekeyNeeded
from node.ike.outputs import (
    Dropped,
    Event,
    InstallInbound,
    InstallOutbound,
    KeysDerived,
    MoveSa,
    Output,
    RemoveOutbound,
    RemoveSa,
    SaDown,
    SaMoved,
    SaReplaced,
    SaUp,
    Transmit,
)
from node.ike.ratelimit import TokenBucket
from node.model.child import ChildSa, Mode
from node.model.events import EventName
from node.model.message import Path, host_port
from node.model.selectors import IPAddress, network
from node.net import clock
from node.net.addresswatch import AddressWatch
from node.net.steer import Steer
from node.ports import Entropy

#: Seconds that stopping waits for the answers to our DELETEs; a container gets 10 before it is killed.
STOP_PATIENCE = 4.0
#: Repeated requests that are told a second, and at once; the counter has them all.
REPEATS_PER_SECOND, REPEATS_BURST = 10.0, 100


class Node:
    """One endpoint of either role. Must be made inside a running event loop."""

    def __init__(self, started: Started, entropy: Entropy) -> None:
        self.config, self.log = started.config, started.log
        self.endpoint, self.transport = started.endpoint, started.transport
        self._keylog = started.keylog
        self.since = clock.monotonic()
        self.keepalives = 0
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[int] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone = asyncio.Event()
        self._stopping = False
        self._initiated: set[bytes] = set()
        self._repeats = TokenBucket(REPEATS_PER_SECOND, REPEATS_BURST)
        self._demo = Demo(self.config.demo, self.log, clock.monotonic)
        way = choose(started, self._demo.listener, self._other, self._tun_gone, entropy)
        self.plane, self._inner, self._close_way = way.plane, way.inner, way.close
        self._on_udp = way.on_udp
        self.endpoint.watch(self.plane.newest)
        self._demo.attach(self._inner)
        self.plane.strayed = self._strayed
        self.plane.expired = self._expire
        self.plane.changed = lambda change: self.log.emit(
            EventName.PATH_MTU_CHANGED, peer=change.host, old=change.before, mtu=change.now
        )
        self.tie = started.apart.tie if started.apart else None
        if way.remote is not None and self.tie is not None:
            self._hear_other_process(way.remote, self.tie)
        self.alive = Keepalives(self.config.ike.keepalive, self.transport.send)
        self._alive_timer: asyncio.TimerHandle | None = None
        self._virtual = VirtualAddresses(self._inner, self.log)
        self.roaming = Roaming(self.endpoint, self.transport, self._pump)
        self._watch = self._watch_addresses()
        self._loop.set_exception_handler(lambda _, context: self._on_loop_error(context))
        for line in self.transport:
            self._loop.add_reader(line.udp.fileno(), self._on_udp, line.udp)

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until stopped; returns the exit code. An initiator opens its IKE SA."""
        if self.config.role is Role.INITIATOR:
            self.initiate()
        return await self._done

    def initiate(self) -> None:
        """Open an IKE SA with the configured peer, in the background."""
        self._spawn(self._connect())

    def terminate(self, ike_spi: bytes) -> None:
        """Delete one IKE SA, by our SPI. Raises KeyError where there is none."""
        self.endpoint.delete(ike_spi, clock.monotonic())
        self._pump()

    def rekey_ike(self, ike_spi: bytes) -> None:
        """Replace one IKE SA, by our SPI. Raises KeyError where there is none."""
        self.endpoint.rekey_ike(ike_spi, clock.monotonic())
        self._pump()

    def reauthenticate(self, ike_spi: bytes) -> None:
        """Authenticate anew and replace one IKE SA, by our SPI. Raises KeyError where there is none."""
        self.endpoint.reauthenticate(ike_spi, clock.monotonic())
        self._pump()

    def create_child(self, ike_spi: bytes) -> None:
        """Ask for a Child SA over this IKE SA, unless it has one. Raises KeyError where there is none."""
        self.endpoint.create_child(ike_spi, clock.monotonic())
        self._pump()

    def rekey_child(self, inbound_spi: bytes) -> None:
        """Replace one Child SA. Raises KeyError where there is none."""
        self.endpoint.rekey_child(inbound_spi, clock.monotonic())
        self._pump()

    def delete_child(self, inbound_spi: bytes) -> None:
        """Delete one Child SA. Raises KeyError where there is none."""
        self.endpoint.delete_child(inbound_spi, clock.monotonic())
        self._pump()

    def stop(self, reason: str, code: int = EXIT_OK) -> None:
        """Delete all IKE SAs, wait a moment for the answers, then end with `code`.

        Repeated calls do nothing.
        """
        if not self._stopping:
            self._stopping = True
            self.log.emit(EventName.NODE_STOPPING, reason=reason)
            self._spawn(self._stop(code))

    def close(self) -> None:
        """Give back what the node holds."""
        for task in self._tasks:
            task.cancel()
        for timer in (self._timer, self._alive_timer):
            if timer is not None:
                timer.cancel()
        for line in self.transport:
            self._loop.remove_reader(line.udp.fileno())
        if self._watch is not None:
            self._loop.remove_reader(self._watch.fileno())
            self._watch.close()
        self._close_way()
        self.transport.close()
        if self._keylog is not None:
            self._keylog.close()

    @property
    def stopping(self) -> bool:
        """Whether the node is on its way out."""
        return self._stopping

    @property
    def inner_addresses(self) -> tuple[IPAddress, ...]:
        """Our addresses inside the tunnel."""
        return self._inner.addresses

    @property
    def inner_kind(self) -> str:
        """How inner packets reach this host: `kernel`, `raw` or `user-space`."""
        return self._inner.kind

    def failed(self, error: BaseException) -> None:
        """A bug: tell it in full and end."""
        tell_bug(self.log, error)
        self._finish(EXIT_BUG)

    async def _stop(self, code: int) -> None:
        self.endpoint.retire(clock.monotonic())
        self._pump()
        try:
            await asyncio.wait_for(self._all_gone.wait(), STOP_PATIENCE)
        except TimeoutError:
            left = len(self.endpoint.sas())
            self.log.emit(EventName.NODE_STOPPING, reason=f"{left} IKE SAs without an answer to DELETE")
        self._finish(code)

    async def _connect(self) -> None:
        peer = self.config.peer
        udp = self.transport.starting(shared=peer.port == peer.nat_port)
        try:
            path = await find_path(udp, peer.address, peer.port)
            self._refuse_loop(path)
        except OSError as error:
            fields = {"peer": host_port(peer.address, peer.port), "role": "initiator"}
            self.log.emit(EventName.IKE_SA_FAILED, **fields, reason=f"peer.address: {error}")
            self._outcome(False)
            return
        if not self._stopping:
            nat_path = self.transport.nat_path(path, peer.nat_port)
            self.endpoint.initiate(path, clock.monotonic(), nat_path)
            self._pump()

    def _refuse_loop(self, path: Path) -> None:
        """Raises OSError where the routes into the tunnel would catch the tunnel's own packets."""
        outer = ip_address(path.peer_host)
        if self._inner.kind == "user-space":
            return
        for text in peer_networks(self.config):
            if network(text).covers(outer):
                raise OSError(f"{outer} lies in child.remote_ts ({text}): the tunnel would carry itself")

    async def _show(self, child: ChildSa) -> None:
        self._outcome(await self._demo.run(child.peer))

    def _outcome(self, good: bool) -> None:
        """With run.once an initiator ends when it has shown what it could; otherwise it stays to be
        looked at.
        """
        if self.config.run.once and self.config.role is Role.INITIATOR:
            self.stop("run.once", EXIT_OK if good else EXIT_FAILED)

    # -- input -----------------------------------------------------------------------------------------------

    def _other(self, kind: Steer, octets: bytes, path: Path) -> None:
        """What comes from a peer and is no ESP packet."""
        match kind:
            case Steer.KEEPALIVE:
                self.keepalives += 1
            case Steer.TRUNCATED:
                self._dropped(Dropped(DropReason.TRUNCATED, path, f"{len(octets)} octets"))
            case Steer.ESP:
                # Come before the kernel knew whose it is (node.net.reuseport).
                self._dropped(Dropped(DropReason.ESP_UNKNOWN_SPI, path, "for the ESP process"))
            case Steer.IKE:
                message = self.transport.port_of(path).message(octets)
                self.endpoint.handle_datagram(message, path, clock.monotonic())
                self._pump()

    def _strayed(self, ike_spi: bytes, path: Path) -> None:
        self.endpoint.peer_moved(ike_spi, path, clock.monotonic())
        self._pump()

    def _on_addresses(self, watch: AddressWatch) -> None:
        watch.take()
        self.roaming.look()

    def _on_timer(self) -> None:
        self._timer = None
        self.endpoint.handle_timeout(clock.monotonic())
        self._pump()

    def _on_silence(self) -> None:
        self.alive.send_due(clock.monotonic())
        self._watch_silence()

    def _watch_silence(self) -> None:
        if self._alive_timer is not None:
            self._alive_timer.cancel()
        deadline = self.alive.deadline()
        self._alive_timer = None if deadline is None else self._loop.call_at(deadline, self._on_silence)
        # Without anybody to keep alive a packet costs nothing here.
        self.transport.on_send = self._on_send if self.alive else None

    def _on_send(self, path: Path) -> None:
        self.alive.note(path, clock.monotonic())

    # -- output ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        with self.log:
            while (output := self.endpoint.poll()) is not None:
                self._execute(output)
        self._set_timer(self.endpoint.deadline())
        if self._stopping and not self.endpoint.sas():
            self._all_gone.set()

    def _set_timer(self, deadline: float | None) -> None:
        """A timer that is due before stays: too early does no harm, and a new one for each datagram costs."""
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        # The loop's clock is the monotonic clock that the engine is given.
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _execute(self, output: Output) -> None:
        if self._keylog is not None:
            _log_keys(self._keylog, output)
        # Most outputs are events.
        match output:
            case Event():
                self._event(output)
            case Transmit():
                for datagram in output.datagrams:
                    self.transport.send_message(datagram, output.path)
            case InstallInbound() | InstallOutbound() | MoveSa() | RemoveOutbound() | RemoveSa():
                self._install(output)
            case SaMoved():
                self._keep_alive(output)
            case SaReplaced():
                self._replaced(output)
            case Dropped():
                self._dropped(output)
            case SaUp() | SaDown():
                self._keep_alive(output)
                self._sa_changed(output)

    def _install(self, output: InstallInbound | InstallOutbound | MoveSa | RemoveOutbound | RemoveSa) -> None:
        """What concerns the SAD."""
        match output:
            case InstallInbound():
                self.plane.add_inbound(output.child)
                if self.config.child.mode is Mode.TRANSPORT:
                    # The host inside is the one outside, at the address that this peer knows.
                    self._inner.move((output.child.local[0].start,))
            case InstallOutbound():
                self.plane.add_outbound(output.child)
                if output.replaces is None:
                    self._child_up(output.child)
            case MoveSa():
                self.plane.move(output.inbound_spi, output.path)
            case RemoveOutbound():
                self.plane.remove_outbound(output.inbound_spi)
            case RemoveSa():
                self.plane.remove(output.inbound_spi)

    def _event(self, event: Event) -> None:
        # Anybody who saw a request can repeat it without end: that must not fill a disk.
        if event.name is EventName.RESPONSE_REPEATED and not self._repeats.take(clock.monotonic()):
            self.log.count(event.name)
            return
        self.log.emit(event.name, **event.fields)
        if event.name is EventName.CHILD_SA_FAILED:
            self._outcome(False)

    def _keep_alive(self, change: SaUp | SaMoved | SaDown) -> None:
        match change:
            case SaUp(behind_nat=True):
                self.alive.begin(change.ike_spi, change.path, clock.monotonic())
            case SaMoved():
                self.alive.moved(change.ike_spi, change.path, change.behind_nat, clock.monotonic())
            case SaDown():
                self.alive.end(change.ike_spi)
        self._watch_silence()

    def _replaced(self, change: SaReplaced) -> None:
        """A new IKE SA goes on where the old one was."""
        self.plane.hand_over(change.old_spi, change.ike_spi)
        self.alive.replaced(change.old_spi, change.ike_spi)
        self._virtual.replaced(change.old_spi, change.ike_spi)
        if change.old_spi in self._initiated:
            self._initiated.remove(change.old_spi)
            self._initiated.add(change.ike_spi)
        self._watch_silence()

    def _expire(self, notice: RekeyNeeded) -> None:
        name = EventName.CHILD_SA_EXPIRED if notice.exhausted else EventName.CHILD_SA_EXPIRING
        spis = {"inbound_spi": notice.inbound_spi.hex(), "outbound_spi": notice.outbound_spi.hex()}
        self.log.emit(name, **spis)
        self.endpoint.expire_child(notice.inbound_spi, clock.monotonic(), hard=notice.exhausted)
        self._pump()

    # -- the ESP process -------------------------------------------------------------------------------------

    def _hear_other_process(self, remote: RemotePath, tie: Tie) -> None:
        """Where the data path is in another process."""
        remote.renewed, remote.refused = self._renew, self._refused
        remote.gone = self._tun_gone
        remote.passed = lambda octets, path: self._other(tie_port.steer(octets), octets, path)
        remote.distrusted = lambda reason: self.log.emit(
            EventName.PROCESS_DISTRUSTED, process=str(Process.ESP), reason=reason
        )
        tie.over, tie.died = self._supervisor_gone, self._esp_died

        def started(word: Word) -> None:
            self._tell_process(Process.ESP, tie.pid, tie.restarts)
            remote.begun()

        tie_port = self.transport.shared.port
        tie.started = started
        if tie.pid:
            self._tell_process(Process.ESP, tie.pid, tie.restarts)
        self._tell_process(Process.IKE, os.getpid(), tie.instance - 1)

    def _tell_process(self, process: Process, pid: int, restarts: int) -> None:
        self.log.emit(EventName.PROCESS_STARTED, process=str(process), pid=pid, restarts=restarts)

    def _esp_died(self, word: Died) -> None:
        self.log.emit(EventName.PROCESS_DIED, process=str(Process.ESP), **fate(word))
        if word.final:
            self.log.emit(EventName.NODE_FAILED, detail=too_often(Process.ESP), code=EXIT_ENVIRONMENT)
            self.stop("process_died", EXIT_ENVIRONMENT)

    def _supervisor_gone(self) -> None:
        """Killed: nobody would start us again, or the ESP process; peers find out for themselves."""
        os._exit(EXIT_BUG)

    def _renew(self, inbound_spis: Sequence[bytes]) -> None:
        """Their keys and counters are gone with the process that had them: new Child SAs take their place."""
        for spi in inbound_spis:
            with contextlib.suppress(KeyError):
                self.endpoint.rekey_child(spi, clock.monotonic())
        self._pump()

    def _refused(self, inbound_spi: bytes, reason: str) -> None:
        """The data path cannot have this Child SA, so there cannot be one."""
        self.log.emit(EventName.CHILD_SA_FAILED, inbound_spi=inbound_spi.hex(), reason=reason)
        with contextlib.suppress(KeyError):
            self.endpoint.delete_child(inbound_spi, clock.monotonic())
        self._pump()

    def _sa_changed(self, change: SaUp | SaDown) -> None:
        if isinstance(change, SaDown):
            # Whoever rekeyed it last: that an IKE SA is ours to watch does not change with that.
            self._virtual.down(change.ike_spi)
            self._initiated.discard(change.ike_spi)
            if change.is_initiator and not change.established:
                self._outcome(False)
        elif change.is_initiator:
            if not self._virtual.up(change.ike_spi, change.addresses):
                self.endpoint.delete(change.ike_spi, clock.monotonic())
                self._outcome(False)
            self._initiated.add(change.ike_spi)

    def _child_up(self, child: ChildSa) -> None:
        if (
            child.ike_spi in self._initiated
            and not self._stopping
            and (self.config.demo.message or self.config.demo.pings)
        ):
            self._spawn(self._show(child))

    def _dropped(self, dropped: Dropped) -> None:
        path = dropped.path
        peer = path.peer if path else None
        self.log.drop(EventName.DATAGRAM_DROPPED, dropped.reason, peer=peer, detail=dropped.detail)

    # -- plumbing --------------------------------------------------------------------------------------------

    def _watch_addresses(self) -> AddressWatch | None:
        """Hear of changes of our address, where we could move."""
        if not (self.config.ike.mobike and self.roaming.able):
            return None
        try:
            watch = AddressWatch()
        except OSError as error:
            self.log.emit(EventName.ADDRESSES_UNWATCHED, reason=str(error.strerror))
            return None
        self._loop.add_reader(watch.fileno(), self._on_addresses, watch)
        return watch

    def _tun_gone(self, reason: str) -> None:
        """Without its device the tunnel leads nowhere: tell the peer and end; routes keep plaintext in."""
        self.log.emit(EventName.TUN_GONE, reason=reason)
        self.stop("tun_gone", EXIT_ENVIRONMENT)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed(error)

    def _on_loop_error(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failed(error if error is not None else RuntimeError(str(context.get("message"))))

    def _finish(self, code: int) -> None:
        if not self._done.done():
            self._done.set_result(code)


def _log_keys(keylog: KeyLog, output: Output) -> None:
    match output:
        case KeysDerived():
            keylog.ike(output)
        case InstallInbound():
            keylog.inbound(output.child)
        case InstallOutbound():
            keylog.outbound(output.child)
        case _:
            return
