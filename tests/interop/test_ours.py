"""Our node against strongSwan: how it is told what a strongSwan is told, and the part of `make interop` that
`make test` runs.

Both roles, each authentication method, key exchange and suite, IPv6 inside and outside; each cell with pings
both ways and both sides' view of their SAs.
"""

import sys
from collections.abc import Iterator

import pytest

import yamlschema
from lab import images, library, plan, references
from lab.backends.docker import DockerBackend
from lab.console import Console, Style
from lab.errors import UsageError
from lab.interop import cells, documents, ours, runs
from lab.interop.cells import KES, METHODS, ROLES, SUITES, Cell
from lab.interop.documents import OTHER, PEER, SUBJECT, Document
from lab.labels import Kind, Role
from lab.lifecycle import Runner
from lab.peers import image

#: One cell for each authentication method in each role; the other values go round.
SUBSET = tuple(
    Cell(role, auth, KES[(number + turn) % len(KES)], list(SUITES)[(number + 2 * turn) % len(SUITES)])
    for turn, role in enumerate(ROLES)
    for number, auth in enumerate(METHODS)
)
#: IPv6 on either side of the tunnel, and SAs that are replaced. `make interop` has all cases.
SUBSET_CASES = ("inner-ipv6-initiator", "outer-ipv6-responder", "rekey-ike-by-peer-responder")
CASES = ours.cases()
DOCUMENTS = {cell.name: ours.subject(documents.of_cell(cell)) for cell in cells.matrix()} | CASES


def test_the_subset_has_every_value_in_both_roles_where_it_matters() -> None:
    assert len({cell.name for cell in SUBSET}) >= 12
    assert {(cell.role, cell.auth) for cell in SUBSET} == {(r, a) for r in ROLES for a in METHODS}
    assert {(cell.role, cell.suite) for cell in SUBSET} == {(r, s) for r in ROLES for s in SUITES}
    assert {cell.ke for cell in SUBSET} == set(KES)
    assert set(SUBSET_CASES) <= set(CASES)


def test_every_case_that_is_asked_of_us_is_there_in_both_roles() -> None:
    wanted = {
        *("fragmentation", "cookie", "invalid-ke", "narrowing", "wrong-psk", "wrong-identity", "wrong-ca"),
        *("expired-certificate", "proposal-mismatch", "virtual-ip", "inner-ipv6", "outer-ipv6"),
        *("delete", "delete-by-peer", "liveness", "liveness-by-peer"),
        *("delete-child", "delete-child-by-peer", "another-child", "another-child-by-peer"),
        *("rekey-child", "rekey-child-by-peer", "rekey-child-pfs", "rekey-child-pfs-by-peer"),
        *("rekey-ike", "rekey-ike-by-peer", "collide-child", "collide-ike", "short-lives"),
        *("reauthenticate", "short-authentications", "auth-lifetime"),
    }
    assert {f"{name}-{role}" for name in wanted for role in ROLES} <= set(CASES)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_our_node_is_good(name: str) -> None:
    document = DOCUMENTS[name]
    whole = yamlschema.Document(name, document)
    assert not yamlschema.check(whole, library.whole_schema(), library.formats())
    assert not references.check(whole)
    for side in OTHER:
        assert document["nodes"][side].get("kind", Kind.NODE) == (
            Kind.NODE if side == SUBJECT else "strongswan"
        )
        assert document["expect"][side]


def test_one_clock_of_a_strongswan_is_two_of_ours() -> None:
    """As the initiator it authenticates anew by it, as the responder it asks for that (RFC 4478)."""
    made = ours.config({"rekey": {"reauth": 8}, "daemon": {"make_before_break": True}})
    assert made["ike"] == {"lifetime": {"reauth": 8, "jitter": 0}, "auth_lifetime": 8}


def test_what_a_strongswan_is_told_our_node_is_told() -> None:
    told = {
        "identity": "fqdn:a",
        "peer_identity": "fqdn:b",
        "ike": ["aes256-sha256-ecp256", "aes256-sha256-x25519"],
        "esp": ["aes128gcm16"],
        "local_ts": ["fd00:1::/64"],
        "remote_ts": ["dynamic"],
        "inner": ["fd00:1::1/128"],
        "dpd": 1,
        "daemon": {"retransmit": 0.2, "backoff": 1.5, "tries": 3, "cookie_threshold": 1, "fragment": 576},
        "rekey": {"child": 10, "ike": 30},
        "start": False,
    }
    made = ours.config(told)
    assert made["local"]["identity"] == "fqdn:a"
    assert made["peer"] == {"identity": "fqdn:b"}
    assert made["ike"]["proposals"] == told["ike"]
    # strongSwan counts repetitions, our node sendings.
    assert made["ike"]["retransmit"] == {"timeout": 0.2, "factor": 1.5, "tries": 4}
    assert made["ike"]["half_open"] == {"cookie_threshold": 1}
    assert made["ike"]["fragment_size"] == 576
    assert made["ike"]["liveness"] == {"interval": 1}
    assert made["ike"]["lifetime"] == {"rekey": 30, "jitter": 0}
    assert made["child"] == {
        "proposals": ["aes128gcm16"],
        "local_ts": ["fd00:1::/64"],
        "lifetime": {"rekey": 10, "jitter": 0},
    }
    assert made["tun"]["address"] == "fd00:1::1"


@pytest.mark.parametrize(
    ("auth", "asked"),
    [
        ("rsa", {}),
        ("ecdsa", {}),
        ("pss", {"local": {"rsa_pss": True}}),
        ("psk", {"local": {"auth": "psk"}, "peer": {"auth": "psk"}}),
    ],
)
def test_only_what_the_key_does_not_say_must_be_asked_for(auth: str, asked: dict[str, object]) -> None:
    made = ours.config({"auth": auth})
    assert {name: made[name] for name in ("local", "peer") if name in made} == asked


def test_the_key_of_a_cell_is_the_nodes_and_not_a_part_of_its_configuration() -> None:
    document = ours.subject(documents.of_cell(Cell("initiator", "psk", "x25519", "cbc")))
    assert document["nodes"][SUBJECT]["psk"] == documents.SECRET
    assert documents.SECRET not in str(document["nodes"][SUBJECT]["config"])


def test_our_initiator_is_not_told_to_begin_and_a_strongswan_is() -> None:
    begins = {"ctl": {"node": SUBJECT, "command": ["initiate"]}}
    assert begins not in ours.subject(documents.of_cell(Cell("initiator", "rsa", "x25519", "cbc")))["steps"]
    other = {"ctl": {"node": PEER, "command": ["initiate"]}}
    assert other in ours.subject(documents.of_cell(Cell("responder", "rsa", "x25519", "cbc")))["steps"]


def test_our_node_is_asked_in_its_own_words() -> None:
    def asked(name: str, side: str) -> list[list[str]]:
        steps = [step["ctl"] for step in CASES[name]["steps"] if "ctl" in step]
        return [step["command"] for step in steps if step["node"] == side and step["command"][0] != "ping"]

    assert asked("rekey-ike-initiator", SUBJECT) == [["rekey-ike"], ["rekey-child"]]
    assert asked("another-child-responder", SUBJECT) == [["delete-child"], ["create-child"]]
    assert asked("rekey-child-by-peer-initiator", PEER) == [["rekey", "child"]]
    assert asked("collide-child-initiator", SUBJECT) == [["rekey-child"]]
    assert asked("delete-initiator", SUBJECT) == [["terminate"]]


def test_a_cookie_is_shown_by_the_second_opening() -> None:
    scenario = documents.scenario("cookie", CASES["cookie-initiator"])
    made = plan.make("x", scenario)
    assert made.node(SUBJECT).role is Role.INITIATOR
    commands = [step["ctl"]["command"][0] for step in CASES["cookie-initiator"]["steps"] if "ctl" in step]
    assert commands == ["terminate", "stray", "initiate", "ping", "ping"]
    assert "stray" not in str(CASES["cookie-responder"]["steps"])


def test_what_our_node_cannot_do_fails_by_the_name_of_the_setting() -> None:
    document: Document = ours.subject(documents.of_cell(Cell("initiator", "ecdsa-p256", "x25519", "cbc")))
    document["nodes"][SUBJECT]["config"]["no_such_setting"] = 1
    with pytest.raises(UsageError, match=r"nodes\.subject\.config\.no_such_setting: is unknown"):
        documents.scenario("x", document)


# --- in containers ---


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """A runner with both images; skipped with the reason where that of strongSwan cannot be had."""
    try:
        image.ensure_image(print)
    except images.ImageError as error:
        pytest.skip(f"no image of strongSwan: {error}")
    backend = DockerBackend(print)
    made = Runner(backend, Console(sys.stderr, Style(False), -1))
    backend.prepare(made.tell)
    yield made
    backend.close()


@pytest.mark.docker
@pytest.mark.parametrize("cell", SUBSET, ids=lambda cell: cell.name)
def test_our_node_and_strongswan(runner: Runner, cell: Cell) -> None:
    result = runs.own_cell(runner, cell)
    assert result.passed, (result.problems, result.saw)
    assert result.versions[PEER].startswith("strongSwan ")


@pytest.mark.docker
@pytest.mark.parametrize("name", SUBSET_CASES)
def test_our_node_and_strongswan_in_a_special_case(runner: Runner, name: str) -> None:
    result = runs.case(runner, name, CASES[name])
    assert result.passed, (result.problems, result.saw)
