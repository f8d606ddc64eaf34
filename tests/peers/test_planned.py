"""strongSwan in scenarios: what the schema, the references and lint say, and what the plan makes of it."""

from pathlib import Path

import pytest

from lab import library, lint, plan
from lab.backends.containers import containers, volumes
from lab.errors import UsageError
from lab.labels import KIND, Kind, Marks
from lab.lint import Kind as FileKind
from lab.peers import planned
from lab.peers.strongswan import Auth
from lab.plan import Plan
from lab.scenario import Scenario

HEAD = "title: t\ndescription: d\nexpect: {responder: {}, initiator: {}}\n"
PAIR = "nodes: {responder: {kind: strongswan}, initiator: {kind: strongswan}}\n"
MARKS = Marks("x", "s", "me", "1")


def read(tmp_path: Path, nodes: str) -> Scenario:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + nodes)
    return library.read(path)


def pair(tmp_path: Path, responder: str = "{}", initiator: str = "{}") -> Plan:
    nodes = (
        f"nodes:\n  responder: {{kind: strongswan, strongswan: {responder}}}\n"
        f"  initiator: {{kind: strongswan, strongswan: {initiator}}}\n"
    )
    return plan.make("x", read(tmp_path, nodes))


def test_a_pair_with_the_defaults(tmp_path: Path) -> None:
    made = plan.make("x", read(tmp_path, PAIR))
    assert made.strangers == ("responder", "initiator")
    (ours,) = planned.connections(made, made.node("initiator"))
    (theirs,) = planned.connections(made, made.node("responder"))
    assert (ours.name, ours.local_identity, ours.remote_identity) == (
        "responder",
        "fqdn:initiator",
        "fqdn:responder",
    )
    assert (ours.local_ts, ours.remote_ts) == (("10.1.0.0/24",), ("10.2.0.0/24",))
    assert (ours.local_ts, ours.remote_ts) == (theirs.remote_ts, theirs.local_ts)
    assert (ours.start, ours.remote_address, ours.certificate) == (True, "responder", "initiator.pem")
    assert (theirs.start, theirs.remote_address, theirs.certificate) == (False, "", "responder.pem")
    assert planned.files(made, made.node("responder")).credentials


def test_where_there_is_a_wire_the_initiator_talks_to_it(tmp_path: Path) -> None:
    made = plan.make("x", read(tmp_path, PAIR + "profile: rfc7296\nwire:\n"))
    (ours,) = planned.connections(made, made.node("initiator"))
    (theirs,) = planned.connections(made, made.node("responder"))
    assert (ours.name, ours.remote_address, ours.remote_identity) == ("responder", "wire", "fqdn:responder")
    assert theirs.remote_address == ""


def test_a_responder_has_a_connection_for_every_initiator(tmp_path: Path) -> None:
    nodes = "nodes: {responder: {kind: strongswan}, initiator: {kind: strongswan, count: 3}}\n"
    made = plan.make("x", read(tmp_path, nodes))
    found = planned.connections(made, made.node("responder"))
    assert [connection.remote_identity for connection in found] == [f"fqdn:initiator-0{n}" for n in (1, 2, 3)]
    assert len({connection.remote_ts for connection in found}) == 3


def test_settings_of_the_scenario(tmp_path: Path) -> None:
    settings = "{auth: psk, secret: x, ike: [aes128gcm16-prfsha256-x25519], dpd: 3, fragmentation: none, "
    settings += "rekey: {child: 9}}"
    made = pair(tmp_path, initiator=settings)
    (ours,) = planned.connections(made, made.node("initiator"))
    assert (ours.auth, ours.secret, ours.certificate) == (Auth.PSK, b"x", "")
    assert (ours.dpd, ours.fragmentation, ours.rekey_child, ours.rekey_ike) == (3, "no", 9, 0)
    assert ours.ike == ("aes128gcm16-prfsha256-x25519",)
    assert not planned.files(made, made.node("initiator")).credentials
    daemon = planned.daemon(
        pair(tmp_path, "{daemon: {cookie_threshold: 1, tries: 2}}").node("responder").config
    )
    assert (daemon.cookie_threshold, daemon.tries, daemon.retransmit) == (1, 2, 0.5)


def test_the_container_has_few_rights_and_a_volume_of_its_own(tmp_path: Path) -> None:
    made = pair(tmp_path, initiator="{inner: [10.9.0.1/32, 'fd00::1/128']}")
    found = {container.node: container for container in containers(made, MARKS)}
    assert found["initiator"].capabilities == ("NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE")
    assert found["initiator"].devices == ("/dev/net/tun",)
    assert found["initiator"].labels[KIND] == Kind.STRONGSWAN
    assert found["initiator"].kind is Kind.STRONGSWAN
    assert found["initiator"].environment == {"INNER_ADDRESSES": "10.9.0.1/32 fd00::1/128"}
    assert found["responder"].environment == {"INNER_ADDRESSES": "10.2.0.1/32"}
    assert {mount.volume for mount in found["responder"].mounts} == {"responder-swanctl", "responder-key"}
    assert {"initiator-swanctl", "responder-swanctl"} <= set(volumes(made))
    assert found["ca"].kind is Kind.NODE
    assert KIND not in found["ca"].labels


SCHEMA_SAYS = [
    ("{auth: magic}", '"magic" is not one of pubkey, rsa, pss, ecdsa, ed25519, psk'),
    ("{ike: []}", "has 0 entries, at least 1 are needed"),
    ("{fragmentation: yes}", "is not one of send, accept, none"),
    ("{daemon: {cookie: 1}}", "nodes.responder.strongswan.daemon.cookie: is unknown"),
    ("{proposals: [x]}", "nodes.responder.strongswan.proposals: is unknown"),
    ("{dpd: -1}", "-1 is less than the minimum of 0"),
]
REFERENCES_SAY = [
    ("{ike: [aes256-sha256]}", "strongswan.ike[0]: 'aes256-sha256' names no key exchange"),
    ("{ike: [aes256-sha256-x25519, rot13]}", "strongswan.ike[1]: 'rot13' is no algorithm"),
    ("{esp: [sha256]}", "strongswan.esp[0]: 'sha256' names no encryption"),
    ("{identity: somebody}", "strongswan.identity: 'somebody' is no identity"),
    ("{peer_identity: 'fqdn:*'}", "strongswan.peer_identity: 'fqdn:*' would be a pattern"),
    ("{auth: psk}", "strongswan.auth: psk needs a pre-shared key: add `secret: ...`"),
    ("{secret: x}", "strongswan.secret: is a pre-shared key, which nobody asks for"),
]


@pytest.mark.parametrize(("settings", "says"), SCHEMA_SAYS + REFERENCES_SAY)
def test_settings_that_are_wrong_are_said_with_their_place(tmp_path: Path, settings: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"{HEAD}nodes:\n  responder: {{kind: strongswan, strongswan: {settings}}}\n  initiator:\n"
    )
    (problem,) = lint.report(path, FileKind.SCENARIO).problems
    assert says in str(problem)
    assert ":5:" in str(problem)
    with pytest.raises(UsageError):
        library.read(path)


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        (
            "nodes: {responder: {strongswan: {}}, initiator: }\n",
            "is for a node of this kind: add `kind: strongswan`",
        ),
        (
            "nodes: {responder: {kind: strongswan, config: {}}, initiator: }\n",
            "is for the lab's own nodes: write `strongswan:`",
        ),
        (PAIR + "wire:\n", "wire: relays the profile asn1, which responder does not speak: add `profile: rf"),
        (
            PAIR + "steps: [{ctl: {node: responder, command: [fly]}}]\n",
            "steps[0].ctl.command: 'fly' is nothing",
        ),
        (
            "nodes: {responder: {kind: libreswan}, initiator: }\n",
            '"libreswan" is not one of node, strongswan',
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, nodes: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, nodes)
    assert says in str(caught.value)


def test_lint_asks_strongswan_settings_of_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + PAIR)
    assert lint.report(path, FileKind.SCENARIO).problems == ()


def test_the_shipped_scenario_is_good() -> None:
    scenario = library.load(str(library.scenario_directory() / "interop" / "strongswan-pair.yaml"))
    assert all(group.kind is Kind.STRONGSWAN for group in scenario.groups)
    assert all(expect.sas and expect.events and expect.never for expect in scenario.expect.values())
