"""Faults as they are written: what is read, and what is said about mistakes."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import library
from lab.wire import faults
from lab.wire.faults import COMMON, SETTINGS, Act
from lab.wire.problems import ConfigError
from tests.wire.support import NAMES

GOOD: list[tuple[dict[str, object], str, dict[str, object]]] = [
    ({"act": "drop"}, "drop any", {"times": None, "skip": 0, "chance": 100}),
    ({"act": "drop", "match": "IKE_AUTH response 1", "times": 1}, "drop IKE_AUTH response 1, times 1", {}),
    ({"act": "duplicate"}, "duplicate any", {"copies": 1, "times": None}),
    ({"act": "reorder", "within": 2, "chance": 12.5}, "reorder any, chance 12.5, within 2", {"chance": 12.5}),
    ({"act": "delay", "seconds": 0.2, "jitter": 0.1}, "delay any, seconds 0.2, jitter 0.1", {"jitter": 0.1}),
    ({"act": "corrupt"}, "corrupt any", {"bits": 1, "octet": None}),
    ({"act": "corrupt", "octet": -1}, "corrupt any, octet -1", {"octet": -1, "mask": 255}),
    ({"act": "corrupt", "octet": 3, "mask": 1}, "corrupt any, octet 3, mask 1", {"mask": 1}),
    ({"act": "truncate", "octets": 0}, "truncate any, octets 0", {"octets": 0}),
    ({"act": "replay", "match": "ESP"}, "replay ESP", {"times": 1, "seconds": 1, "copies": 1}),
    ({"act": "replay", "times": 5}, "replay any, times 5", {"times": 5}),
    ({"act": "reflect"}, "reflect any", {"times": None}),
    ({"act": "rebind", "match": "datagram 3"}, "rebind datagram 3", {"times": 1}),
    ({"act": "downgrade"}, "downgrade any", {}),
    ({"act": "junk", "match": "IKE_AUTH request 1"}, "junk IKE_AUTH request 1", {"times": 1, "count": 10}),
    ({"act": "flood", "match": "start", "count": 9}, "flood start, count 9", {"count": 9, "seconds": 1}),
]


@pytest.mark.parametrize(("written", "text", "fields"), GOOD)
def test_what_is_read(written: dict[str, object], text: str, fields: dict[str, object]) -> None:
    found = faults.read(written, NAMES)
    assert str(found) == text
    assert found.act == written["act"]
    assert {name: getattr(found, name) for name in fields} == fields


def test_every_act_has_an_example_here() -> None:
    assert {written["act"] for written, _, _ in GOOD} == set(Act) == set(SETTINGS)


MISTAKES = [
    ([], "is no mapping"),
    ("drop", "is no mapping"),
    ({}, "act: is missing; allowed are drop, duplicate"),
    ({"act": "drp"}, "act: unknown act 'drp' (did you mean drop?)"),
    ({"act": ["drop"]}, "act: unknown act"),
    ({"act": "drop", "match": "IKE_AUHT"}, "match: 'IKE_AUHT': unknown word"),
    ({"act": "drop", "match": ["any"]}, "match: ['any'] is no text"),
    ({"act": "drop", "match": "start"}, "match: 'start' has no datagram to drop; only flood"),
    ({"act": "drop", "copies": 2}, "copies: drop has no setting 'copies'; allowed are match, times"),
    ({"act": "delay", "second": 2}, "second: delay has no setting 'second' (did you mean seconds?)"),
    ({"act": "delay"}, "seconds: is missing; delay needs it"),
    ({"act": "truncate"}, "octets: is missing; truncate needs it"),
    ({"act": "drop", "times": 0}, "times: 0 is not a whole number from 1 to"),
    ({"act": "drop", "times": 1.5}, "times: 1.5 is not a whole number"),
    ({"act": "drop", "times": True}, "times: True is not a whole number"),
    ({"act": "drop", "times": "2"}, "times: '2' is not a whole number"),
    ({"act": "drop", "times": None}, "times: None is not a whole number"),
    ({"act": "drop", "skip": -1}, "skip: -1 is not a whole number from 0"),
    ({"act": "drop", "chance": 0}, "chance: 0 is not a number above 0, at most 100"),
    ({"act": "drop", "chance": 101}, "chance: 101 is not a number above 0, at most 100"),
    ({"act": "drop", "chance": float("nan")}, "chance: nan is not a number"),
    ({"act": "delay", "seconds": 601}, "seconds: 601 is not a number from 0 to 600"),
    ({"act": "corrupt", "mask": 1}, "mask: needs `octet`"),
    ({"act": "corrupt", "octet": 1, "bits": 2}, "bits: is for random places"),
    ({"act": "corrupt", "octet": 1, "mask": 0}, "mask: 0 is not a whole number from 1 to 255"),
    ({"act": "drop", 7: 1}, "7: drop has no setting 7"),
]


@pytest.mark.parametrize(("written", "says"), MISTAKES)
def test_a_mistake_is_named_with_key_value_and_what_is_allowed(written: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        faults.read(written, NAMES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_path_leads_to_the_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        faults.read_all([{"act": "drop"}, {"act": "drop", "match": "x"}], NAMES)
    assert caught.value.path == (1, "match")
    assert str(caught.value.below("faults")).startswith("fault 2: match: 'x'")


@pytest.mark.parametrize("value", [None, {}, "drop", 3, [{"act": "drop"}] * 65])
def test_what_is_no_list_of_faults(value: object) -> None:
    with pytest.raises(ConfigError):
        faults.read_all(value, NAMES)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
_KEYS = st.sampled_from(
    ["match", *COMMON, *(key for settings in SETTINGS.values() for key in settings)]
) | st.text(max_size=6)


@given(st.sampled_from(list(Act)), st.dictionaries(_KEYS, _SCALARS | st.just("ESP"), max_size=4))
def test_wild_mappings_are_read_or_refused(act: Act, settings: dict[str, object]) -> None:
    try:
        found = faults.read({"act": str(act), **settings}, NAMES)
    except ConfigError:
        return
    assert found.act is act
    # what was accepted survives the way through JSON
    assert faults.read(json.loads(json.dumps({"act": str(act), **settings})), NAMES) == found


def test_the_schema_of_scenarios_and_the_wire_allow_the_same() -> None:
    wire, fault = (library.schema()["$defs"][name]["properties"] for name in ("wire", "fault"))
    assert wire["faults"]["maxItems"] == faults.MAX_FAULTS
    assert fault["act"]["enum"] == list(Act)
    settings = fault.keys() - {"act", "match"}
    own = {field.name: field.default for field in dataclasses.fields(faults.Fault)}
    assert settings == {key for table in (COMMON, *SETTINGS.values()) for key in table}
    for key in settings:
        meant = [table[key] for table in (COMMON, *SETTINGS.values()) if key in table]
        low = "exclusiveMinimum" if meant[0].above else "minimum"
        assert fault[key]["type"] == ("integer" if meant[0].whole else "number"), key
        # Where acts differ, the schema has the widest.
        bounds = (min(setting.low for setting in meant), max(setting.high for setting in meant))
        assert (fault[key][low], fault[key]["maximum"]) == bounds, key
        if "default" in fault[key]:
            assert {own[key], *(setting.default for setting in meant)} >= {fault[key]["default"]}, key
