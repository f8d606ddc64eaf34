"""What the wire tells and takes is what the documents say."""

import ast
import re

import yaml

from lab.render import EVENTS
from lab.wire.faults import COMMON, SETTINGS, Act, read, read_all
from lab.wire.identity import EXCHANGES
from tests.docs import readme
from tests.node.conftest import ROOT

FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def told() -> dict[str, set[str]]:
    """Every event that the source tells, with the fields that it has there."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "lab" / "wire").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "tell"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                fields = found.setdefault(str(node.args[0].value), set())
                fields |= {keyword.arg for keyword in node.keywords if keyword.arg}
    return found


def test_every_event_is_documented_with_its_fields_and_has_words() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8").partition("## The wire")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text.partition("\n## ")[0], re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", fields))) for name, fields in rows}
    assert documented == told()
    assert documented.keys() <= EVENTS


def test_every_act_is_in_the_manual_with_its_settings_and_defaults() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) ?\|$", FAULTS, re.MULTILINE)
    written = {act: keys for act, keys in rows if act in tuple(Act)}
    assert list(written) == [str(act) for act in Act]
    for act in Act:
        assert set(re.findall(r"`(\w+)`", written[act])) == set(SETTINGS[act])
        for key, default in re.findall(r"`(\w+)` \((\d+)\)", written[act]):
            needed = {name: 1 for name, setting in SETTINGS[act].items() if setting.required}
            more = {"octet": 0} if key == "mask" else {}
            assert getattr(read({"act": str(act), **needed, **more}), key) == int(default)


def test_the_manual_has_an_example_of_each_act() -> None:
    (block,) = (b for b in readme.blocks(ROOT / "docs" / "faults.md") if b.text.startswith("- "))
    examples = read_all(yaml.safe_load(block.text), {"initiator", "responder"})
    assert [example.act for example in examples] == list(Act)


def test_every_common_setting_and_exchange_is_in_the_manual() -> None:
    for key in COMMON:
        assert f"| `{key}: " in FAULTS
    for name in list(EXCHANGES.values())[:4]:
        assert f"`{name}`" in FAULTS
