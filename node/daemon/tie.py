"""The IKE process' tie to the supervisor: which ESP process there is, signals, and the end.

Rules:

1. The supervisor is the only one who says which ESP process there is: that process itself may be anybody's.
2. A closed tie means that the supervisor is gone: then there is nobody to go on for.
3. A word counts at once; whoever wants to hear of it hears in a turn of its own of the event loop.
"""

import asyncio
import select
from collections.abc import Callable

from node.daemon.channel import Channel
from node.daemon.orders import WORDS, Died, End, Letter, Started, Stop, Word, pack, unpack

#: The generation where there is no ESP process.
NOBODY = 0


class Tie:
    """`generation` and `pid` are those of the ESP process as this process began (pid 0: it has died);
    `instance` counts the IKE processes.

    `stopped` hears of a signal, `started` and `died` of an ESP process, `over` of the supervisor's end.
    """

    def __init__(self, channel: Channel, instance: int, generation: int, pid: int) -> None:
        self._channel = channel
        self.instance, self.pid = instance, pid
        self.generation = generation if pid else NOBODY
        #: How often an ESP process took the place of another one.
        self.restarts = max(0, generation - 1)
        self.stopped: Callable[[int], None] = lambda number: None
        self.started: Callable[[Started], None] = lambda word: None
        self.died: Callable[[Died], None] = lambda word: None
        self.over: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """Listen, in the running event loop, from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._channel.fileno(), self.read)

    def close(self) -> None:
        """Listen no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._channel.fileno())

    def wait_beside(self, other: Channel, seconds: float) -> None:
        """Wait until the other channel has something, or a word is here, which counts then."""
        both = select.poll()
        both.register(other, select.POLLIN)
        both.register(self._channel, select.POLLIN)
        both.poll(1000 * seconds)
        self.read()

    def end(self, generation: int) -> None:
        """Ask for the end of this ESP process."""
        self._channel.send(pack(generation, 0, End()))

    def read(self) -> None:
        """Take the words that are here."""
        try:
            while (document := self._channel.receive()) is not None:
                self._take(unpack(document, WORDS))
        except EOFError:
            self._soon(self.over)

    def _take(self, letter: Letter[Word]) -> None:
        match letter.message:
            case Stop(number):
                self._soon(self.stopped, number)
            case Started() as word:
                self.generation, self.pid, self.restarts = letter.generation, word.pid, letter.generation - 1
                self._soon(self.started, word)
            case Died() as word:
                self.generation, self.pid = NOBODY, 0
                self._soon(self.died, word)

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        if self._loop is not None:
            self._loop.call_soon(call, *arguments)
