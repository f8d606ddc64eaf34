"""Another address for a host; that nodes notice is for the scenario `mobike`."""

import json
from ipaddress import IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire import cli
from lab.wire.readdress import mirrored

TABLE = {
    "172.28.0.3/16": "172.28.255.252/16",
    "127.0.0.1/24": "127.0.0.254/24",
    "192.168.96.3/20": "192.168.111.252/20",
    "10.0.0.5/29": "10.0.0.2/29",
}


@pytest.mark.parametrize("old", TABLE)
def test_table(old: str) -> None:
    assert str(mirrored(IPv4Interface(old))) == TABLE[old]


@given(st.integers(0, 2**32 - 1), st.integers(8, 30))
def test_in_the_same_network_and_back(address: int, length: int) -> None:
    old = IPv4Interface((address, length))
    new = mirrored(old)
    assert new.network == old.network
    assert new != old
    assert mirrored(new) == old


def test_what_cannot_be_done_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["readdress", "--interface", "none-such"]) == cli.ENVIRONMENT
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert said["error"].startswith("none-such: ")
