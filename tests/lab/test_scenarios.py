"""Scenario files: the shipped ones, what the schema refuses and where it points, references, planning."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from lab import library, plan
from lab.errors import ExitCode, UsageError
from lab.labels import Role
from lab.plan import Place
from lab.scenario import SaCount, Scenario

EVERY = {
    "hello",
    "wrong-ca",
    "expired-certificate",
    "impostor",
    "wrong-identity",
    "proposal-mismatch",
    "many-initiators",
    "graceful-stop",
    "not-yet-valid",
    "replayed-esp",
    "tampered-esp",
    "tampered-ike-auth",
    "replayed-ike-auth",
    "reflected-messages",
    "downgraded-proposal",
    "spoofed-flood",
    "junk-ike-auth",
    "lost-messages",
    "duplicated-and-reordered",
    "responder-restart",
    "psk",
    "wrong-psk",
    "virtual-ip",
    "liveness-peer-dies",
    "rekey-under-traffic",
    "loss-20",
    "loss-30",
}
MUST_FAIL = {
    "wrong-ca",
    "expired-certificate",
    "not-yet-valid",
    "impostor",
    "wrong-identity",
    "proposal-mismatch",
    "downgraded-proposal",
    "wrong-psk",
}
PLACE = Place("127.0.0.1", 8000, "peer", 8000, "ca", "cert", "key", "sock", False)

GOOD = """\
title: t
description: d
expect:
  responder: {events: [ike_sa_established]}
  initiator: {sas: none}
"""


def read(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return library.read(path)


def test_all_scenarios_are_there_and_the_default_is_first() -> None:
    assert set(library.names()) >= EVERY
    assert library.names()[0] == "hello"


@pytest.mark.parametrize("name", library.names())
def test_a_scenario_judges_every_node_and_says_what_it_teaches(name: str) -> None:
    scenario = library.load(name)
    assert scenario.title
    assert len(scenario.description) > 100
    for group in scenario.groups:
        expect = scenario.expect[group.name]
        assert expect.sas is not None or expect.exit_code, f"{group.name}: how many SAs are left is not said"
        assert expect.events, f"{group.name}: nothing must happen"
        assert expect.never, f"{group.name}: everything may happen"


@pytest.mark.parametrize("name", sorted(MUST_FAIL))
def test_where_it_must_fail_no_sa_is_left(name: str) -> None:
    scenario = library.load(name)
    assert all(scenario.expect[group.name].sas == SaCount(0, 0) for group in scenario.groups)


@pytest.mark.parametrize(
    "path", sorted(library.scenario_directory().glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_independent_validator_agrees_and_editors_find_the_schema(path: Path) -> None:
    jsonschema.Draft202012Validator(library.schema()).validate(yaml.safe_load(path.read_text()))
    first = path.read_text().splitlines()[0]
    target = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((path.parent / target).read_text()) == library.schema()


BAD = [
    ("title: t\ndescription: d\n", "mine.yaml:1:1: 'expect' is missing"),
    (GOOD + "stepz: []\n", "mine.yaml:6:1: stepz: is unknown (did you mean 'steps'?)"),
    (GOOD + "timeout: 0\n", "mine.yaml:6:10: timeout: 0 is not greater than 0"),
    (GOOD + "nodes: {Responder: }\n", "mine.yaml:6:9: nodes.Responder: the name"),
    (GOOD + "nodes: {responder: {cuont: 2}, initiator: }\n", "(did you mean 'count'?)"),
    (GOOD + "credentials: {key_type: rsa512}\n", '"rsa512" is not one of'),
    (GOOD + "steps: [{wait: {node: initiator}}]\n", "'event' is missing"),
    (GOOD + "steps: [{kill: responderr}]\n", "no node is called 'responderr' (did you mean responder?)"),
    (GOOD + "steps: [{faults: [{act: drop}]}]\n", "faults: the scenario has no wire: add `wire:` to it"),
    (GOOD + "wire:\nsteps: [{faults: [{act: rebind, count: 1}]}]\n", "rebind has no setting 'count'"),
    (GOOD + "wire: {faults: [{act: dorp}]}\n", '"dorp" is not one of'),
    (GOOD + "wire: {faults: [{act: drop, chance: 101}]}\n", "101 is greater than"),
    (
        GOOD + "wire: {faults: [{act: drop, match: ike_aut}]}\n",
        "mine.yaml:6:36: wire.faults[0].match: 'ike_aut'",
    ),
    (GOOD + "wire: {faults: [{act: drop, match: ESP from iniator}]}\n", "(did you mean initiator?)"),
    (GOOD + "wire: {faults: [{act: delay}]}\n", "is missing; delay needs it"),
    (GOOD + "wire: {fautls: []}\n", "(did you mean 'faults'?)"),
    (GOOD + "nodes: {responder: , initiator: , wire: {role: initiator}}\n", "or that of the CA or the wire"),
    (GOOD + "steps: [{stop: initiater}]\n", "no node is called 'initiater' (did you mean initiator?)"),
    (GOOD + "nodes: {initiator: }\n", "expect.responder: no node is called 'responder'"),
    (GOOD + "nodes: {responder: , initiator: , eve: {role: initiator}}\n", "says nothing about eve"),
    (GOOD + "nodes: {responder: {role: initiator}, initiator: }\n", "no responder"),
    (
        GOOD + "nodes: {responder: , initiator: {count: 2}, initiator-02: {role: initiator}}\n",
        "have one name",
    ),
    (GOOD.replace("[ike_sa_established]", "[Bad-Name]"), "does not match"),
    (
        GOOD.replace("[ike_sa_established]", "[{event: x, where: {a: {matches: '('}}}]"),
        "not a regular expression",
    ),
    (GOOD.replace("sas: none", "sas: some"), '"some" is not one of established, none'),
    (GOOD + "title: twice\n", "stands here again"),
    ("- 1\n", "is not a mapping"),
    ("title: [\n", "mine.yaml:2:1"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"'helo' is unknown \(did you mean hello\?\): there are "):
        library.load("helo")


def test_defaults(tmp_path: Path) -> None:
    scenario = read(tmp_path, GOOD)
    assert [(group.name, group.role, group.count) for group in scenario.groups] == [
        ("responder", Role.RESPONDER, 1),
        ("initiator", Role.INITIATOR, 1),
    ]
    assert scenario.timeout == 60


def test_many_nodes_get_names_networks_and_one_another(tmp_path: Path) -> None:
    made = plan.make("x", read(tmp_path, GOOD + "nodes: {responder: , initiator: {count: 3}}\n"))
    assert [node.name for node in made.nodes] == ["responder", "initiator-01", "initiator-02", "initiator-03"]
    assert made.ca.names == ("responder", "initiator-01", "initiator-02", "initiator-03")
    responder = made.nodes[0].configuration(PLACE)
    assert responder["peer"]["identity"] == ["fqdn:initiator-01", "fqdn:initiator-02", "fqdn:initiator-03"]
    assert responder["child"] == {"local_ts": ["10.2.0.0/24"], "remote_ts": ["10.1.0.0/16"]}
    third = made.nodes[3].configuration(PLACE)
    assert third["child"] == {"local_ts": ["10.1.3.0/24"], "remote_ts": ["10.2.0.0/24"]}
    assert third["tun"]["address"] == "10.1.3.1/24"
    assert third["peer"]["identity"] == "fqdn:responder"


def test_the_scenario_has_the_last_word_in_a_configuration(tmp_path: Path) -> None:
    nodes = "nodes: {responder: , initiator: {config: {demo: {pings: 3}, peer: {port: 9}}}}\n"
    config = plan.make("x", read(tmp_path, GOOD + nodes)).nodes[1].configuration(PLACE)
    assert config["demo"] == {"message": plan.GREETING, "pings": 3}
    assert config["peer"] == {"port": 9, "identity": "fqdn:responder", "address": "peer"}


def test_a_configuration_survives_the_environment() -> None:
    config = {"a": {"b": [1, "x"], "c": True}, "d": "plain", "e": "12", "f": "fqdn:x", "g": "", "h": 1.5}
    flat = plan.environment(config)
    assert flat["NODE_D"] == "plain"
    assert {name: yaml.safe_load(text) for name, text in flat.items()} == {
        "NODE_A__B": [1, "x"],
        "NODE_A__C": True,
        "NODE_D": "plain",
        "NODE_E": "12",
        "NODE_F": "fqdn:x",
        "NODE_G": "",
        "NODE_H": 1.5,
    }
    assert yaml.safe_load(plan.document(config)) == config


def test_the_ca_is_asked_for_everything_that_names_cannot_say(tmp_path: Path) -> None:
    special = "authorities: {rogue: {}}, certificates: {initiator: {days: -1}}"
    text = GOOD + f"credentials: {{key_type: ecdsa-p256, {special}}}\n"
    asked = plan.make("x", read(tmp_path, text)).ca.environment()
    assert asked["CA_NAMES"] == "responder initiator"
    assert asked["CA_KEY_TYPE"] == "ecdsa-p256"
    assert json.loads(asked["CA_REQUEST"]) == {
        "authorities": {"rogue": {}},
        "certificates": {"initiator": {"days": -1}},
    }
    assert plan.make("x", library.load("hello")).ca.environment() == {"CA_NAMES": "responder initiator"}
    assert plan.make("x", library.load("hello"), "ed25519").ca.key_type == "ed25519"
