"""The border between IKE and ESP process from both sides: each against a hostile one at the other end."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.daemon import espd, remote
from node.daemon.channel import Channel, pair
from node.daemon.espd import EspProcess
from node.daemon.orders import (
    ANSWERS,
    NOTICES,
    ORDERS,
    AddInbound,
    AddOutbound,
    Answer,
    Arrived,
    Count,
    Counts,
    Died,
    Done,
    End,
    Expired,
    Gone,
    Heard,
    Inner,
    Left,
    Letter,
    Lost,
    Move,
    Newest,
    Notice,
    Number,
    Order,
    Passed,
    Query,
    Refused,
    Remove,
    Reset,
    Started,
    Statuses,
    Stop,
    Strayed,
    Tell,
    pack,
    unpack,
)
from node.daemon.pump import Watch
from node.daemon.remote import RemotePath
from node.daemon.tie import NOBODY, Tie
from node.errors import DropReason
from node.esp.ip import pack_udp
from node.esp.sa import Volume
from node.esp.tunnel import Incoming, Outgoing
from node.eventlog import EventLog
from node.model.events import EventName
from node.model.message import Path
from node.net.steer import Port
from node.net.transport import Line
from node.net.tun import Tun
from node.net.udp import UdpSocket
from node.prose import Palette
from tests.node.conftest import PATIENCE
from tests.unit.esp.support import CBC, GCM, LOCAL, OURS, PEER, THEIRS, child, end, ipv4, mirrored

DEMO_PORT = 7000
PATH = Path("192.0.2.1", 4500, "192.0.2.2", 4500)
MESSAGE = pack_udp(ip_address(LOCAL), ip_address(PEER), 7000, DEMO_PORT, b"hello")


class Device(Tun):
    """A TUN device that is a socket pair."""

    def __init__(self, descriptor: int) -> None:
        self._take(descriptor, "test")


@dataclass(slots=True)
class Esp:
    """An ESP process in a thread, and its surroundings."""

    channel: Channel
    kernel: socket.socket
    peer: socket.socket
    port: int
    numbers: int = 0
    generation: int = 4

    def say(self, octets: bytes) -> None:
        assert self.channel.send(octets, PATIENCE)

    def hear(self) -> Letter[Answer | Notice]:
        assert self.channel.wait(PATIENCE)
        document = self.channel.receive()
        assert document is not None
        return unpack(document, (*ANSWERS, *NOTICES))

    def send(self, order: Order, generation: int | None = None) -> int:
        self.numbers += 1
        self.say(pack(self.generation if generation is None else generation, self.numbers, order))
        return self.numbers

    def ask(self, order: Order) -> Answer | Notice:
        """The answer to an order; notices in between are passed over."""
        number = self.send(order)
        while (letter := self.hear()).number != number:
            assert not letter.number
        assert letter.generation == self.generation
        return letter.message

    def install(self) -> None:
        path = Path("127.0.0.1", self.port, "127.0.0.1", self.peer.getsockname()[1])
        for kind in (AddInbound, AddOutbound):
            assert self.ask(kind(replace(child(), path=path))) == Done()


@pytest.fixture
def esp() -> Iterator[Esp]:
    ours, theirs = pair()
    tie, held = pair()
    inside, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inside.setblocking(False)
    kernel.settimeout(PATIENCE)
    udp = UdpSocket("127.0.0.1", 0)
    line = Line(udp, Port(b"\x30"))
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    peer.settimeout(PATIENCE)
    failed: list[BaseException] = []
    process = EspProcess(
        *(Device(inside.fileno()), line, theirs, held, 4, Watch(DEMO_PORT), 0, Volume(), os.urandom)
    )

    def run() -> None:
        try:
            process.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Esp(ours, kernel, peer, udp.port)
    finally:
        tie.close()
        thread.join(PATIENCE)
        for one in (ours, theirs, held, inside, kernel, udp, peer):
            one.close()
    assert not thread.is_alive()
    assert failed == []


def test_the_way_of_a_packet_and_of_the_answer(esp: Esp) -> None:
    esp.install()
    assert esp.ask(Tell(None)) == Done()
    esp.kernel.send(MESSAGE)
    datagram = esp.peer.recv(65_535)
    other = end(mirrored(child()))
    found = other.tunnel.decapsulate(datagram)
    assert isinstance(found, Incoming)
    assert found.packet == MESSAGE
    assert esp.hear().message == Left(MESSAGE, THEIRS, 1)
    answer = pack_udp(ip_address(PEER), ip_address(LOCAL), 7000, DEMO_PORT, b"ACK hello")
    sent = other.tunnel.encapsulate(answer)
    assert isinstance(sent, Outgoing)
    esp.peer.sendto(sent.datagram, ("127.0.0.1", esp.port))
    assert esp.kernel.recv(65_535) == answer
    told = esp.hear().message
    assert told == Arrived(answer, f"127.0.0.1:{esp.peer.getsockname()[1]}", OURS, 1)
    assert esp.ask(Newest(OURS)) == Number(1)
    statuses = esp.ask(Query(0))
    assert isinstance(statuses, Statuses)
    (status,) = statuses.found
    assert (status.inbound_packets, status.outbound_packets) == (1, 1)
    assert esp.ask(Query(1)) == Statuses(())


def test_without_a_child_sa_nothing_leaves_and_the_count_is_exact(esp: Esp) -> None:
    for _ in range(34):
        esp.kernel.send(MESSAGE)
    told: list[Lost] = []
    while sum(lost.times for lost in told) < 34:
        number = esp.send(Count())
        while (letter := esp.hear()).number != number:
            assert isinstance(letter.message, Lost)
            told.append(letter.message)
        assert isinstance(letter.message, Counts)
    assert {(lost.event, lost.reason, lost.peer) for lost in told} == {
        (EventName.PACKET_DROPPED, DropReason.NO_SA, None)
    }
    esp.peer.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        esp.peer.recv(65_535)


def test_wrong_orders_change_nothing_and_end_nothing(esp: Esp) -> None:
    esp.install()
    for wrong in (
        b"",
        b"\0",
        b"[]",
        b"{" * 1000,
        pack(4, 1, Move(OURS, Path("127.0.0.1", 1, "127.0.0.1", 1)))[:-1],
    ):
        if wrong:
            esp.say(wrong)
    esp.say(pack(4, 0, Strayed(bytes(8), Path("127.0.0.1", 1, "127.0.0.1", 1))))
    for refused in (
        AddInbound(child()),
        AddOutbound(child()),
        AddInbound(replace(child(), inbound_spi=bytes(4))),
        Move(OURS, Path("fd00::1", 1, "fd00::2", 1)),
        AddInbound(replace(child(GCM), inbound_spi=OURS[::-1], inbound=child(CBC).inbound)),
    ):
        assert isinstance(esp.ask(refused), Refused)
    statuses = esp.ask(Query(0))
    assert isinstance(statuses, Statuses)
    assert len(statuses.found) == 1


def test_an_order_for_the_process_before_is_void(esp: Esp) -> None:
    esp.install()
    for generation in (0, 3, 5, 2**64 - 1):
        esp.send(Remove(OURS), generation)
        esp.send(Reset(), generation)
    statuses = esp.ask(Query(0))
    assert isinstance(statuses, Statuses)
    assert len(statuses.found) == 1
    assert esp.ask(Reset()) == Done()
    assert esp.ask(Query(0)) == Statuses(())


def test_an_inner_packet_of_ours_is_sent_whatever_it_is(esp: Esp) -> None:
    esp.install()
    for packet in (b"", b"\x45", bytes(65_535), ipv4(PEER, LOCAL, b"x"), ipv4(LOCAL, PEER, b"good")):
        esp.send(Inner(packet))
    found = end(mirrored(child())).tunnel.decapsulate(esp.peer.recv(65_535))
    assert isinstance(found, Incoming)
    assert found.packet == ipv4(LOCAL, PEER, b"good")


def test_what_is_not_esp_goes_to_the_ike_process_at_a_bounded_rate(
    esp: Esp,
) -> None:
    esp.peer.sendto(b"\x30" + bytes(9), ("127.0.0.1", esp.port))
    passed = esp.hear().message
    assert isinstance(passed, Passed)
    assert (passed.octets, passed.path.peer_port) == (b"\x30" + bytes(9), esp.peer.getsockname()[1])
    told = 0
    for _ in range(espd.PASSED_BURST * 3):
        esp.peer.sendto(b"\x30" + bytes(9), ("127.0.0.1", esp.port))
    number = esp.send(Count())
    while esp.hear().number != number:
        told += 1
    assert told < espd.PASSED_BURST * 2


def test_a_packet_from_elsewhere_waits_a_moment_for_where_the_answer_goes(esp: Esp) -> None:
    esp.install()
    other = end(mirrored(child()))
    sent = other.tunnel.encapsulate(ipv4(PEER, LOCAL, b"from elsewhere"))
    assert isinstance(sent, Outgoing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        elsewhere.settimeout(PATIENCE)
        elsewhere.sendto(sent.datagram, ("127.0.0.1", esp.port))
        strayed = esp.hear().message
        assert isinstance(strayed, Strayed)
        assert strayed.path.peer_port == elsewhere.getsockname()[1]
        esp.send(Move(OURS, strayed.path))
        esp.send(Heard())
        assert esp.kernel.recv(65_535) == ipv4(PEER, LOCAL, b"from elsewhere")
        esp.kernel.send(ipv4(LOCAL, PEER, b"answer"))
        assert elsewhere.recv(65_535)


def test_where_nobody_says_so_the_packet_is_delivered_all_the_same(esp: Esp) -> None:
    esp.install()
    other = end(mirrored(child()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
        for number in range(12):
            sent = other.tunnel.encapsulate(ipv4(PEER, LOCAL, b"%d" % number))
            assert isinstance(sent, Outgoing)
            elsewhere.sendto(sent.datagram, ("127.0.0.1", esp.port))
            assert esp.kernel.recv(65_535) == ipv4(PEER, LOCAL, b"%d" % number)


def test_nobody_listens_and_packets_flow(esp: Esp) -> None:
    """The IKE process is busy, or dead: its channel fills up, and nothing waits for it."""
    esp.install()
    assert esp.ask(Tell(None)) == Done()
    for _ in range(3 * espd.PASSED_BURST):
        esp.kernel.send(MESSAGE)
        assert esp.peer.recv(65_535)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(st.binary(min_size=1, max_size=120), max_size=6))
def test_whatever_is_ordered_it_goes_on(esp: Esp, documents: list[bytes]) -> None:
    for document in documents:
        esp.say(document)
    assert isinstance(esp.ask(Query(0)), Statuses)


# -- the other side ------------------------------------------------------------------------------------------


Script = Callable[[Letter[Order]], list[bytes]]


@dataclass(frozen=True, slots=True)
class Stage:
    """The IKE process' side, who plays the others, and what was heard of them."""

    path: RemotePath
    tie: Tie
    esp: Channel
    supervisor: Channel
    heard: dict[str, list[Any]]

    def ended(self) -> list[int]:
        """The generations that were to be ended."""
        found = []
        while (document := self.supervisor.receive()) is not None:
            found.append(unpack(document, (End,)).generation)
        return found


class Answerer:
    """Plays an ESP process in a thread: what `script` says to each order."""

    def __init__(self, channel: Channel, script: Script) -> None:
        self._channel, self._script = channel, script
        self.orders: list[Order] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            if not self._channel.wait(0.02):
                continue
            document = self._channel.receive()
            assert document is not None
            letter = unpack(document, ORDERS)
            self.orders.append(letter.message)
            for said in self._script(letter):
                self._channel.send(said, 1.0)

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def honest(letter: Letter[Order]) -> list[bytes]:
    answers: dict[type[Order], Answer] = {
        Query: Statuses(()),
        Newest: Number(9),
        Count: Counts({"EAGAIN": 2}, 1),
    }
    if isinstance(letter.message, Inner | Heard):
        return []
    return [pack(letter.generation, letter.number, answers.get(type(letter.message), Done()))]


OF_PATH = ("renewed", "refused", "distrusted", "expired", "strayed", "passed", "gone")
OF_TIE = ("died", "over", "stopped")


def with_remote(
    script: Script, work: Callable[[Stage], Awaitable[None]], patience: float = remote.PATIENCE
) -> tuple[list[Order], dict[str, list[Any]]]:
    """Run `work` against an ESP process that does as `script` says; its orders, and what was heard."""
    ours, theirs = pair()
    tie_end, supervisor = pair()
    udp = UdpSocket("127.0.0.1", 0)
    # The paths of these tests are those of this port.
    udp.port = PATH.local_port
    heard: dict[str, list[Any]] = {name: [] for name in (*OF_PATH, *OF_TIE, "events")}

    def hear(name: str) -> Callable[..., None]:
        return lambda *what: heard[name].append(what[0] if len(what) == 1 else what)

    async def run() -> None:
        log = EventLog("n", lambda line: heard["events"].append(json.loads(line)), None, Palette(False))
        tie = Tie(tie_end, 3, 1, 77)
        tie.listen()
        path = RemotePath(ours, tie, log, udp, patience)
        for name in OF_PATH:
            setattr(path, name, hear(name))
        for name in OF_TIE:
            setattr(tie, name, hear(name))
        tie.started = lambda word: path.begun()
        try:
            path.begin()
            await work(Stage(path, tie, theirs, supervisor, heard))
            await asyncio.sleep(0)
        finally:
            path.close()
            tie.close()

    player = Answerer(theirs, script)
    try:
        asyncio.run(run())
    finally:
        player.close()
        for channel in (ours, theirs, tie_end, supervisor):
            channel.close()
        udp.close()
    return player.orders, heard


async def _until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


def test_orders_and_answers() -> None:
    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        at.path.add_outbound(child())
        assert (at.path.size, at.path.newest(OURS), at.path.query()) == (1, 9, ())
        counted = at.path.count()
        assert (counted.errors, counted.untold) == ({"EAGAIN": 2}, 1)
        at.path.remove(OURS)
        at.path.remove(OURS)
        assert at.path.size == 0
        assert at.ended() == []

    orders, heard = with_remote(honest, work)
    wanted = [
        Reset(),
        AddInbound(child()),
        AddOutbound(child()),
        Newest(OURS),
        Query(0),
        Count(),
        Remove(OURS),
    ]
    assert orders == wanted
    assert heard["distrusted"] == []


GOOD_NOTICES: list[tuple[Notice, str]] = [
    (Strayed(bytes(8), PATH), "strayed"),
    (Passed(b"\x30123", PATH), "passed"),
    (Gone("ipsec0 is gone"), "gone"),
]


def strayed(generation: int, **path: Any) -> bytes:
    return pack(generation, 0, Strayed(bytes(8), replace(PATH, **path)))


HOSTILE: list[tuple[str, Callable[[int, int], list[bytes]]]] = [
    ("no document", lambda generation, number: [b"\x00"]),
    ("too long", lambda generation, number: [b" " * 140_001]),
    ("an order", lambda generation, number: [pack(generation, number, Query(0))]),
    ("another answer", lambda generation, number: [pack(generation, number, Number(1))]),
    ("an answer as a notice", lambda generation, number: [pack(generation, 0, Done())] * 2),
    ("a notice as an answer", lambda generation, number: [pack(generation, number, Gone("x"))]),
    ("silence", lambda generation, number: []),
    (
        "answers to other orders",
        lambda generation, number: [pack(generation, number + n, Done()) for n in (1, 2)],
    ),
    ("an answer of another process", lambda generation, number: [pack(generation + 1, number, Done())]),
    ("a port that is not ours", lambda generation, number: [strayed(generation, local_port=500)]),
    ("a path of IKE alone", lambda generation, number: [strayed(generation, carries_esp=False)]),
    (
        "another family",
        lambda generation, number: [strayed(generation, local_host="fd00::1", peer_host="fd00::2")],
    ),
    (
        "no interface",
        lambda generation, number: [
            strayed(generation, peer_host="fe80::1%4294967296", local_host="fe80::2")
        ],
    ),
    ("no packet", lambda generation, number: [pack(generation, 0, Left(b"\x00", THEIRS, 1))]),
    (
        "another event",
        lambda generation, number: [
            pack(generation, 0, Lost(EventName.NODE_STOPPED, DropReason.NO_SA, 1, None, ""))
        ],
    ),
]


@pytest.mark.parametrize(("why", "says"), HOSTILE, ids=[why for why, _ in HOSTILE])
def test_who_lies_is_ended_and_nothing_waits_for_it(
    why: str, says: Callable[[int, int], list[bytes]]
) -> None:

    def script(letter: Letter[Order]) -> list[bytes]:
        if isinstance(letter.message, AddInbound):
            return says(letter.generation, letter.number)
        return honest(letter)

    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        await _until(lambda: at.heard["distrusted"])
        assert (at.path.generation, at.path.size) == (NOBODY, 0)
        assert at.ended() == [1]
        at.path.add_outbound(child())
        assert at.path.query() == ()
        at.supervisor.send(pack(1, 0, Died(77, None, 9, False)))
        at.supervisor.send(pack(2, 0, Started(78)))
        await _until(lambda: at.heard["renewed"])
        assert at.heard["renewed"] == [[OURS]]
        assert (at.path.generation, at.tie.pid, at.tie.restarts) == (2, 78, 1)

    orders, heard = with_remote(script, work, 0.2)
    assert len(heard["distrusted"]) == 1
    assert not any(isinstance(order, AddOutbound) for order in orders), "half a Child SA is never installed"


@pytest.mark.parametrize(("notice", "where"), GOOD_NOTICES, ids=[where for _, where in GOOD_NOTICES])
def test_notices_are_heard_once_and_only_from_the_process_there_is(notice: Notice, where: str) -> None:
    async def work(at: Stage) -> None:
        for generation in (0, 2, 1):
            at.esp.send(pack(generation, 0, notice))
        await _until(lambda: at.heard[where])
        await asyncio.sleep(0.02)
        assert len(at.heard[where]) == 1

    with_remote(honest, work)


def test_each_child_sa_expires_once_each_and_unknown_ones_never() -> None:
    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        for _ in range(5):
            at.esp.send(pack(1, 0, Expired(THEIRS, THEIRS, True)))
            for exhausted in (False, True):
                at.esp.send(pack(1, 0, Expired(OURS, THEIRS, exhausted)))
        at.esp.send(pack(1, 0, Gone("the last")))
        await _until(lambda: at.heard["gone"])
        assert at.heard["expired"] == [(OURS, THEIRS, False), (OURS, THEIRS, True)]

    with_remote(honest, work)


def test_a_flood_of_notices_is_told_at_a_bounded_rate() -> None:
    async def work(at: Stage) -> None:
        for number in range(5_000):
            at.esp.send(pack(1, 0, Strayed(bytes(8), PATH)), 1.0)
            if number % 50 == 0:
                at.esp.send(pack(1, 0, Lost(EventName.PACKET_DROPPED, DropReason.NO_SA, 7, None, "x")), 1.0)
                await asyncio.sleep(0)
        at.esp.send(pack(1, 0, Gone("the last")), 1.0)
        await _until(lambda: at.heard["gone"])
        assert remote.TOLD_BURST <= len(at.heard["strayed"]) < 5_000
        dropped = [event["count"] for event in at.heard["events"] if event["event"] == "packet_dropped"]
        assert dropped == [14, 105]

    with_remote(honest, work)


def test_a_refused_child_sa_is_told_and_trust_stays() -> None:
    def script(letter: Letter[Order]) -> list[bytes]:
        if isinstance(letter.message, AddInbound):
            return [pack(letter.generation, letter.number, Refused("no keys like these"))]
        return honest(letter)

    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        await _until(lambda: at.heard["refused"])
        assert at.heard["refused"] == [(OURS, "no keys like these")]
        assert (at.path.size, at.path.generation) == (0, 1)

    with_remote(script, work)


def test_the_death_of_the_other_process_ends_the_wait() -> None:
    def script(letter: Letter[Order]) -> list[bytes]:
        return [] if isinstance(letter.message, Newest) else honest(letter)

    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        threading.Timer(0.05, lambda: at.supervisor.send(pack(1, 0, Died(77, 70, None, False)))).start()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        assert at.path.newest(OURS) == 0
        assert loop.time() - begin < remote.PATIENCE
        await _until(lambda: at.heard["died"])
        assert (at.heard["died"], at.heard["distrusted"]) == ([Died(77, 70, None, False)], [])
        at.path.packet(ipv4(LOCAL, PEER, b"x"))

    _, heard = with_remote(script, work)
    assert [event["reason"] for event in heard["events"]] == ["tun_queue_full"]


def test_what_was_told_to_the_ike_process_before_us_is_not_heard() -> None:
    def script(letter: Letter[Order]) -> list[bytes]:
        if isinstance(letter.message, Reset):
            late = [pack(1, (2 << 32) + 1, Done()), pack(1, 0, Passed(b"\x30old", PATH))]
            return [*late, *honest(letter)]
        return honest(letter)

    async def work(at: Stage) -> None:
        at.esp.send(pack(1, 0, Passed(b"\x30new", PATH)))
        await _until(lambda: at.heard["passed"])
        assert at.heard["passed"] == [(b"\x30new", PATH)]

    with_remote(script, work)


def test_signals_and_the_end_of_the_supervisor() -> None:
    async def work(at: Stage) -> None:
        at.supervisor.send(pack(0, 0, Stop(signal.SIGTERM)))
        await _until(lambda: at.heard["stopped"])
        assert at.heard["stopped"] == [15]
        at.supervisor.close()
        await _until(lambda: at.heard["over"])

    with_remote(honest, work)


@settings(max_examples=40, deadline=None)
@given(documents=st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=5))
def test_whatever_is_said_the_ike_process_goes_on(documents: list[bytes]) -> None:
    def script(letter: Letter[Order]) -> list[bytes]:
        return documents if isinstance(letter.message, AddInbound) else honest(letter)

    async def work(at: Stage) -> None:
        at.path.add_inbound(child())
        await _until(lambda: at.heard["distrusted"])
        assert at.path.size == 0

    with_remote(script, work)
