"""The configuration of a relay: what is read, and what is said about mistakes."""

import contextlib
import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire import config
from lab.wire.problems import ConfigError

SCENARIO_SCHEMA = Path(config.__file__).parents[1] / "schemas" / "scenario.schema.json"
LEAST = {"target": {"name": "server", "address": "172.28.0.2"}}
WHOLE = {
    "name": "w",
    "seed": 7,
    "profile": "rfc7296",
    "listen": {"address": "::"},
    "ports": [500, 4500],
    "target": {"name": "server", "address": "server.lab"},
    "nodes": {"alice": "2001:DB8::0:3", "bob": None},
    "faults": [{"act": "drop", "match": "any from bob"}],
    "capture": "/evidence/capture.pcapng",
    "control": "/run/wire.sock",
    "flood": {"sources": "2001:db8::/64"},
}


def test_a_scenario_may_have_the_seeds_that_a_relay_takes() -> None:
    def maxima(node: object) -> list[int]:
        if not isinstance(node, dict):
            return []
        own = [node["seed"]["maximum"]] if "maximum" in node.get("seed", ()) else []
        return own + [found for value in node.values() for found in maxima(value)]

    assert maxima(json.loads(SCENARIO_SCHEMA.read_text())) == [config.MAX_SEED]


def test_everything_but_the_target_has_a_default() -> None:
    found = config.parse(json.dumps(LEAST))
    assert (found.name, found.seed, found.profile, found.listen) == ("wire", 1, "asn1", "0.0.0.0")
    assert (found.ports, found.capture, found.control, found.sources) == ((8000,), "", "", None)
    assert (found.nodes, found.faults, found.version) == ({}, (), 4)


def test_everything_can_be_said() -> None:
    found = config.parse(json.dumps(WHOLE))
    assert (found.name, found.seed, found.profile, found.listen) == ("w", 7, "rfc7296", "::")
    assert (found.ports, found.target_name, found.target_address) == ((500, 4500), "server", "server.lab")
    # spelled as the kernel spells it
    assert found.nodes == {"alice": "2001:db8::3", "bob": None}
    assert [str(fault) for fault in found.faults] == ["drop any from bob"]
    assert found.names == {"server", "alice", "bob"}
    assert (found.sources, found.version) == (ip_network("2001:db8::/64"), 6)


MISTAKES: list[tuple[object, str]] = [
    ([], "[] is no object"),
    ({}, "target: is missing"),
    ({**LEAST, "prots": [1]}, "prots: unknown key (did you mean ports?)"),
    ({**LEAST, "name": ""}, "name: '' is no text of at least one character"),
    ({**LEAST, "seed": -1}, "seed: -1 is not a whole number from 0"),
    ({**LEAST, "seed": 1 << 32}, "seed: 4294967296 is not a whole number from 0"),
    ({**LEAST, "seed": True}, "seed: True is not a whole number"),
    ({**LEAST, "profile": "ans1"}, "profile: 'ans1' is unknown (did you mean asn1?)"),
    ({**LEAST, "listen": "0.0.0.0"}, "listen: '0.0.0.0' is no object"),
    ({**LEAST, "listen": {"address": "eth0"}}, "listen: address: 'eth0' is no IP address"),
    ({**LEAST, "listen": {"port": 1}}, "listen: port: unknown key"),
    ({**LEAST, "ports": []}, "ports: [] is no list of 1 to 16 ports"),
    ({**LEAST, "ports": [500, 0]}, "port 2: 0 is not a whole number from 1 to 65535"),
    ({**LEAST, "ports": [500, 500]}, "ports: one of them stands there twice"),
    ({"target": {"name": "x"}}, "target: address: None is no text"),
    ({"target": {"address": "::1"}}, "target: address: ::1 is no IPv4 address"),
    ({"target": {"address": "a", "nmae": "x"}}, "target: nmae: unknown key (did you mean name?)"),
    ({**LEAST, "nodes": ["a"]}, "nodes: ['a'] is no object"),
    ({**LEAST, "nodes": {"a": "b"}}, "nodes: a: 'b' is no IP address"),
    ({**LEAST, "nodes": {"server": None}}, "nodes: server: is the target"),
    ({**LEAST, "faults": {}}, "faults: {} is no list of faults"),
    ({**LEAST, "faults": [{"act": "drop"}, {"act": "x"}]}, "fault 2: act: unknown act 'x'"),
    ({**LEAST, "faults": [{"act": "drop", "match": "any from alice"}]}, "fault 1: match: 'any from alice'"),
    ({**LEAST, "capture": "a\0b"}, "capture: 'a\\x00b' is no text"),
    ({**LEAST, "flood": {"sources": "172.28.0.1/16"}}, "flood: sources: '172.28.0.1/16' is no network"),
    ({**LEAST, "flood": {"sources": "2001:db8::/64"}}, "flood: sources: 2001:db8::/64 is no IPv4 network"),
]


@pytest.mark.parametrize(("document", "says"), MISTAKES)
def test_a_mistake_is_named_with_its_place(document: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(json.dumps(document))
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ConfigError, match="no JSON"):
        config.parse(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), _JSON, max_size=4))
def test_wild_documents_are_read_or_refused(changes: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        config.read({**WHOLE, **changes})
