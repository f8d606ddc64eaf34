"""Looking up names: on virtual time with answers given by hand, and once for real."""

import queue
from collections.abc import Callable, Sequence

import pytest

from lab.wire import names
from lab.wire.names import Answer, Directory, Target
from tests.wire.support import World


class Resolver:
    """Lookups that wait for their answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Answer]] = []

    def __call__(self, name: str, answer: Answer) -> None:
        self.asked.append((name, answer))

    def answer(self, name: str, *addresses: str) -> None:
        """Answer the oldest question about a name."""
        index = next(i for i, (asked, _) in enumerate(self.asked) if asked == name)
        _, answer = self.asked.pop(index)
        answer(addresses, "" if addresses else "not known")


class Setup:
    def __init__(self, **nodes: str | None) -> None:
        self.world, self.resolver = World(), Resolver()
        self.changes = 0
        self.directory = Directory(nodes, self.resolver, self.world.later, self.world.now, self._changed)

    def _changed(self) -> None:
        self.changes += 1


def test_literal_addresses_are_known_and_others_are_their_own_name() -> None:
    s = Setup(alice="192.0.2.1", bob="192.0.2.2")
    s.directory.look()
    assert s.resolver.asked == []
    assert s.directory.name("192.0.2.2") == "bob"
    assert s.directory.name("192.0.2.9") == "192.0.2.9"
    assert s.directory.addresses == {"192.0.2.1", "192.0.2.2"}


def test_two_names_of_one_address_are_the_first_one() -> None:
    assert Setup(a="192.0.2.1", b="192.0.2.1").directory.name("192.0.2.1") == "a"


def test_a_source_waits_while_names_are_looked_up() -> None:
    s = Setup(alice=None, bob=None)
    s.directory.look()
    assert s.directory.name("192.0.2.1") is None
    s.resolver.answer("bob", "192.0.2.2", "192.0.2.22")
    assert s.changes == 1
    assert s.directory.name("192.0.2.22") == "bob"
    assert s.directory.name("192.0.2.1") is None
    s.resolver.answer("alice", "192.0.2.1")
    assert s.changes == 2
    assert s.directory.name("192.0.2.1") == "alice"


def test_a_name_that_nobody_has_yet_is_looked_up_again_when_somebody_comes() -> None:
    s = Setup(alice=None)
    s.directory.look()
    s.resolver.answer("alice")
    assert s.directory.name("192.0.2.1") == "192.0.2.1"
    s.world.run(names.AGAIN)
    assert s.resolver.asked == []
    assert s.directory.name("192.0.2.1") is None
    s.resolver.answer("alice", "192.0.2.1")
    assert s.directory.name("192.0.2.1") == "alice"


def test_nobody_waits_for_a_lookup_that_hangs() -> None:
    s = Setup(alice=None)
    s.directory.look()
    assert s.directory.name("192.0.2.1") is None
    s.world.run(names.PATIENCE / 2)
    assert s.changes == 0
    s.world.run(names.PATIENCE / 2)
    assert s.changes == 1
    # the late answer still counts
    s.resolver.answer("alice", "192.0.2.1")
    assert s.directory.name("192.0.2.1") == "alice"


def test_strangers_do_not_cause_lookups_without_end() -> None:
    s = Setup(alice=None)
    s.directory.look()
    s.resolver.answer("alice", "192.0.2.1")
    for number in range(50):
        s.directory.name(f"198.51.100.{number}")
    assert s.resolver.asked == []
    s.world.run(names.AGAIN)
    for number in range(50):
        s.directory.name(f"198.51.100.{number}")
    assert len(s.resolver.asked) == 1


def test_a_node_that_comes_back_with_another_address_is_known_again() -> None:
    s = Setup(alice=None)
    s.directory.look()
    s.resolver.answer("alice", "192.0.2.1")
    s.world.run(names.AGAIN)
    assert s.directory.name("192.0.2.5") is None
    s.resolver.answer("alice", "192.0.2.5")
    assert s.directory.name("192.0.2.5") == "alice"
    assert s.directory.addresses == {"192.0.2.5"}


class Hunt:
    """A target that is looked for."""

    def __init__(self) -> None:
        self.world, self.resolver = World(), Resolver()
        self.said: list[tuple[str, str]] = []
        Target(
            self.resolver,
            self.world.later,
            self.world.now,
            self._note("found"),
            self._note("missing"),
            self._note("lost"),
        ).look("server")

    def _note(self, word: str) -> Callable[[str], None]:
        return lambda text: self.said.append((word, text))


def test_a_target_that_is_there_is_found_at_once() -> None:
    hunt = Hunt()
    hunt.resolver.answer("server", "192.0.2.2", "192.0.2.3")
    assert hunt.said == [("found", "192.0.2.2")]


def test_a_target_that_is_missing_is_told_once_and_found_later() -> None:
    hunt = Hunt()
    for _ in range(3):
        hunt.resolver.answer("server")
        hunt.world.run(names.TARGET_PAUSE)
    hunt.resolver.answer("server", "192.0.2.2")
    assert hunt.said == [("missing", "server: not known"), ("found", "192.0.2.2")]


def test_a_target_that_never_comes_is_given_up() -> None:
    hunt = Hunt()
    while not hunt.said or hunt.said[-1][0] != "lost":
        hunt.resolver.answer("server")
        hunt.world.run(names.TARGET_PAUSE)
    assert hunt.world.time == pytest.approx(names.TARGET_PATIENCE, abs=1)
    assert hunt.said[-1][1] == "server: not known, for 60 s now"
    assert hunt.resolver.asked == []


def _ask(name: str, version: int) -> tuple[Sequence[str], str]:
    answers: queue.Queue[tuple[Sequence[str], str]] = queue.Queue()

    def soon(answer: Answer, addresses: Sequence[str], problem: str) -> None:
        answer(addresses, problem)

    names.asker(version, soon)(name, lambda addresses, problem: answers.put((addresses, problem)))
    return answers.get(timeout=30)


def test_the_system_is_asked_in_the_family_of_the_relay() -> None:
    assert "127.0.0.1" in _ask("127.0.0.1", 4)[0]
    assert "::1" in _ask("::1", 6)[0]


@pytest.mark.parametrize("name", ["::1", "a" * 70, "ä" * 70, "\udc80"])
def test_what_has_no_address_has_a_reason(name: str) -> None:
    addresses, problem = _ask(name, 4)
    assert list(addresses) == []
    assert problem
