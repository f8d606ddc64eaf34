"""What a strongSwan can be asked for, and what its answers become."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.backends import strongswan
from lab.backends.base import Answer
from lab.errors import CheckFailed
from lab.peers import commands
from lab.wire.identity import read_rfc7296

LISTED = (Path(__file__).parent / "recorded" / "cookie-peer.sas").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        ("status", "swanctl --list-sas --pretty"),
        ("initiate", "swanctl --initiate --timeout 15 --child net"),
        ("initiate responder", "swanctl --initiate --timeout 15 --child net --ike responder"),
        ("initiate child", "swanctl --initiate --timeout 15 --child net"),
        ("terminate responder", "swanctl --terminate --timeout 15 --ike responder"),
        ("terminate child", "swanctl --terminate --timeout 15 --child net"),
        ("rekey child", "swanctl --rekey --child net"),
        ("reload", "swanctl --load-all --noprompt --clear"),
    ],
)
def test_words_and_commands(words: str, argv: str) -> None:
    assert commands.problem(words.split()) == ""
    assert commands.of(words.split()).calls([]) == (tuple(argv.split()),)


@pytest.mark.parametrize("words", ["terminate", "rekey ike", "reauthenticate"])
def test_all_ike_sas_are_named_one_by_one_and_once(words: str) -> None:
    calls = commands.of(words.split()).calls(["a", "b", "a"])
    assert [call[-2:] for call in calls] == [("--ike", "a"), ("--ike", "b")]
    assert commands.of(words.split()).calls([]) == ()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("explode", "'explode' is nothing that a strongSwan can be asked for: there are status, initiate"),
        ("status now", "'now' is too much: write `status`"),
        ("rekey", "write `rekey ike` or `rekey child`"),
        ("rekey all", "write `rekey ike` or `rekey child`"),
        ("ping", "write `ping ADDRESS"),
        ("ping 10.2.0.1 1000", "at most 100"),
        ("ping 10.2.0.1 -1", "at most 100"),
        ("ping -f", "does not appear to be an IPv4 or IPv6 address"),
        ("initiate --child", "'--child' is no name of a node"),
        ("terminate a;b", "'a;b' is no name of a node"),
        ("stray a/b", "'a/b' is no name of a node"),
        ("stray a 21", "at most 20"),
    ],
)
def test_what_cannot_be_asked_says_what_can(words: str, says: str) -> None:
    assert says in commands.problem(words.split())


def test_strays_are_requests_of_which_no_two_are_alike() -> None:
    _, _, script = commands.of(["stray", "responder", "3"]).argv
    found = []
    for part in script.split(" && "):
        text, _, target = part.partition(" >")
        assert target == "/dev/udp/responder/500"
        octets = bytes.fromhex(text.removeprefix("printf '").removesuffix("'").replace("\\x", ""))
        identity = read_rfc7296(octets, 500)
        assert "IKE_SA_INIT request 0" in str(identity)
        found.append(octets[:8])
    assert len(set(found)) == 3


class Daemon:
    """Answers as swanctl would, and notes what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[tuple[str, ...]]()

    def __call__(self, words: Sequence[str]) -> Answer:
        self.asked.append(tuple(words))
        return self.answers.pop(0)


def test_the_status_is_that_of_a_node() -> None:
    status = strongswan.control(Daemon(Answer(0, LISTED, "")), "peer", ["status"])
    assert status["ok"] is True
    assert [sa["phase"] for sa in status["ike_sas"]] == ["ESTABLISHED", "CONNECTING"]
    assert status["half_open"] == 1
    json.dumps(status)


def test_a_half_open_ike_sa_has_no_name_to_terminate_it_by() -> None:
    daemon = Daemon(Answer(0, LISTED, ""), Answer(0, "terminate completed successfully\n", ""))
    assert strongswan.control(daemon, "peer", ["terminate"])["said"] == ["terminate completed successfully"]
    assert daemon.asked[1][-2:] == ("--ike", "subject")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            Answer(1, "a\ninitiate failed: no such child\n", ""),
            "peer: ctl initiate: initiate failed: no such child",
        ),
        (Answer(22, "", "connecting failed\n"), "peer: ctl initiate: connecting failed"),
        (Answer(3, "", ""), "peer: ctl initiate: exit code 3"),
    ],
)
def test_a_command_that_fails_says_its_last_words(answer: Answer, says: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        strongswan.control(Daemon(answer), "peer", ["initiate"])
    assert str(caught.value) == says


def test_every_ping_is_waited_for_and_must_be_answered(tmp_path: Path) -> None:
    """The script itself, with a `ping` that answers but once in a while."""
    ping = tmp_path / "ping"
    lines = ("#!/bin/sh", 'printf "%s;" "$*" >>"$0.log"', '[ -e "$0.deaf" ] && exit 1', 'touch "$0.deaf"')
    ping.write_text("\n".join(lines), "utf-8")
    ping.chmod(0o755)
    argv = commands.of(["ping", "fd00:2::1", "2"]).argv
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(argv, env=path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "1 of 2 echo requests to fd00:2::1 were answered\n")
    assert (tmp_path / "ping.log").read_text("utf-8") == 2 * "-n -q -c 1 -W 2 fd00:2::1;"
    (tmp_path / "ping.deaf").unlink()
    argv = commands.of(["ping", "fd00:2::1", "1"]).argv
    assert subprocess.run(argv, env=path, capture_output=True, check=False).returncode == 0


def test_what_is_no_command_and_what_is_no_list_are_checks_that_fail() -> None:
    with pytest.raises(CheckFailed, match="ctl fly: 'fly' is nothing"):
        strongswan.control(Daemon(), "peer", ["fly"])
    with pytest.raises(CheckFailed, match="peer: list of SAs: line 1 of swanctl's answer"):
        strongswan.control(Daemon(Answer(0, "what?\n", "")), "peer", ["status"])
