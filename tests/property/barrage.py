"""Each message of a scene is preceded by mutants of it, one after the other, at the node that waits for it.

    Outer    mutants of the datagram, from somebody without keys
    Inner    mutants of the plaintext, sealed as the author would have sealed it

After each mutant the node is looked at. One that was not accepted has changed nothing, and was counted once.
Accepted ones can only be messages of IKE_SA_INIT, which nobody signed yet, and those of a peer with the keys;
then what they did is taken back, or left to expire, so that the next one finds the node as it was.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.crypto.keymat import IkeKeys
from node.ike.phases import AuthSent, Established, InitReplied
from node.ike.tasks.shares import protection_of
from node.model.message import Header
from node.model.proposal import Suite
from node.wire.asn1 import codec
from tests.property.hostile import Measured, Side, Stage, _entropy, play, sealed_with
from tests.property.scenes import SCENES, Scene, name_of
from tests.property.snapshot import Snapshot
from tests.property.strategies import STRATEGIES

#: Half-open IKE SAs that mutants of IKE_SA_INIT may make before their time is let pass: below the limit for
#: one source, so that each mutant is read.
HALF_OPEN = 8
#: Seconds after which a half-open IKE SA is gone, and as many later its last answer.
LIFETIME = 31.0
#: Mutants after which what the nodes told is looked through.
LOOK = 500


@dataclass(slots=True)
class Tally:
    """How many mutants by strategy, of those how many of protected messages; how many messages by name; what
    became of the mutants, and what they cost.
    """

    mutants: Counter[str] = field(default_factory=Counter)
    protected: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    cost: Measured = field(default_factory=Measured)


class Barrage:
    """What both kinds share. `share` is how many mutants of each strategy a message gets."""

    def __init__(self, stage: Stage, tally: Tally, draw: random.Random, share: int) -> None:
        self._stage, self._tally, self._draw, self._share = stage, tally, draw, share
        self._thrown = 0
        self._protected = False

    def __call__(self, side: Side, octets: bytes) -> None:
        if octets[:1] == b"\x30":
            self._stage.learn()
            self._protected = codec.Asn1Codec().peek(octets).protected
            self._tally.messages[name_of(octets)] += 1
            self._before(side, octets)

    def _before(self, side: Side, octets: bytes) -> None:
        raise NotImplementedError

    def _let_derive(self, side: Side, octets: bytes) -> None:
        """A junk message: it makes a half-open IKE SA derive its keys, once, and changes nothing else."""
        waiting = [sa for sa in side.node.endpoint._sas.values() if isinstance(sa.data, InitReplied)]
        snapshot = Snapshot(side.node)
        self._throw(side, octets[:-1] + bytes((octets[-1] ^ 1,)))
        assert snapshot.changes() == ["IkeSa.data"] * len(waiting)

    def _mutants(self, octets: bytes) -> Iterator[bytes]:
        for name, strategy in STRATEGIES.items():
            for mutant in strategy.some(octets, self._share, self._draw):
                self._tally.mutants[name] += 1
                self._tally.protected[name] += self._protected
                yield mutant

    def _throw(self, side: Side, octets: bytes) -> int:
        """Hand it over; how often it was counted as dropped, or as a keepalive. What is sent is lost."""
        before, mark = _counted(side), len(side.wire.sent)
        self._stage.hand(side, octets, self._stage.other(side).address)
        for sent, _ in side.wire.sent[mark:]:
            assert not any(s in sent for s in self._stage.secrets if len(s) >= 16), "a key was sent"
        del side.wire.sent[mark:]
        self._thrown += 1
        if self._thrown % LOOK == 0:
            self._stage.forget_lines()
        return _counted(side) - before


def _counted(side: Side) -> int:
    return side.node.log.dropped.total() + side.node.keepalives


class Outer(Barrage):
    """Mutants of the datagram."""

    def _before(self, side: Side, octets: bytes) -> None:
        if self._protected:
            self._let_derive(side, octets)
        start = last = Snapshot(side.node)
        for mutant in self._mutants(octets):
            dropped = self._throw(side, mutant)
            changes = last.changes()
            if changes:
                last = self._taken(side, start, last, f"{changes} by {mutant.hex()}")
            else:
                assert dropped == 1, f"counted {dropped} times: {mutant.hex()}"
                self._tally.outcomes["dropped"] += 1
        self._expire(side, start)

    def _taken(self, side: Side, start: Snapshot, last: Snapshot, what: str) -> Snapshot:
        """A mutant that is a good message of IKE_SA_INIT; what the next one finds."""
        assert not self._protected, what
        assert not side.established(), what
        self._tally.outcomes["another IKE_SA_INIT"] += 1
        self._stage.learn()
        if not side.node.endpoint.half_open:
            self._stage.forget_lines()
            last.restore()
            return last
        if side.node.endpoint.half_open == HALF_OPEN:
            self._expire(side, start)
        return Snapshot(side.node)

    def _expire(self, side: Side, start: Snapshot) -> None:
        """Let what mutants made come to its end: half-open IKE SAs, then the last answers of these.

        The clock goes back then: a cookie that is under way must not grow old.
        """
        begun = self._stage.time.now
        for _ in range(2):
            if start.changes() and not self._protected:
                self._stage.time.now += LIFETIME
                side.node._on_timer()
        assert start.changes() == []
        start.restore()
        self._stage.time.now = begun


class Inner(Barrage):
    """Mutants of the plaintext of a protected message, padding and all, under the right keys."""

    def __init__(self, stage: Stage, tally: Tally, draw: random.Random, share: int) -> None:
        super().__init__(stage, tally, draw, share)
        self._keys: dict[bytes, tuple[Suite, IkeKeys]] = {}

    def _before(self, side: Side, octets: bytes) -> None:
        self._learn()
        if not self._protected:
            return
        header = codec.Asn1Codec().peek(octets).header
        suite, keys = self._keys[header.spi_i]
        sealer = protection_of(suite, keys, header.from_original_initiator, _entropy).outbound
        start, end = codec._frame(octets)
        plain = _opened(suite, keys, header, octets[start:end], codec._read_encrypted(octets, end, sealer))
        self._let_derive(side, octets)
        snapshot = Snapshot(side.node)
        for mutant in self._mutants(plain):
            dropped = self._throw(side, sealed_with(sealer, header, _aligned(mutant, sealer.block)))
            self._tally.outcomes[self._outcome(side, snapshot, dropped)] += 1
            self._stage.learn()
            snapshot.restore()

    def _learn(self) -> None:
        """The keys of every IKE SA, also for messages that are sent when one side has forgotten them."""
        for side in self._stage.sides:
            for sa in side.node.endpoint._sas.values():
                if isinstance(sa.data, InitReplied | AuthSent | Established) and sa.protection is not None:
                    self._keys[sa.spi_i] = sa.data.suite, sa.protection.keys

    def _outcome(self, side: Side, snapshot: Snapshot, dropped: int) -> str:
        if not snapshot.changes():
            assert dropped == 1
            return "dropped"
        return "up" if side.established() else "refused"


def _opened(suite: Suite, keys: IkeKeys, header: Header, aad: bytes, blob: bytes) -> bytes:
    """The plaintext of a message, by what its receiver has."""
    return protection_of(suite, keys, not header.from_original_initiator, _entropy).inbound.open(aad, blob)


def _aligned(plain: bytes, block: int) -> bytes:
    """The plaintext with the least padding that makes whole blocks of it, or none."""
    missing = -len(plain) % block
    return plain + bytes(missing - 1) + bytes((missing - 1,)) if missing else plain


def run(kind: type[Barrage], directory: Path, goal: int, share: int, seed: int) -> Tally:
    """Scene after scene until each strategy had its goal."""
    tally, draw, number = Tally(), random.Random(seed), 0
    while min(tally.mutants[name] for name in STRATEGIES) < goal:
        for scene in SCENES.values():
            variables = scene.configuration(number)

            def one(stage: Stage, scene: Scene = scene) -> None:
                scene.play(stage, kind(stage, tally, draw, share))

            tally.cost.merge(play(directory, one, draw.randrange(2**32), variables))
            number += 1
    return tally
