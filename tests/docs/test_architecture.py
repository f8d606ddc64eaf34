"""docs/ARCHITECTURE.md says what the code says."""

import re

from node.errors import DropReason
from node.ike import echoes, endpoint, gate
from node.ike.phases import TRANSITIONS, Phase
from node.ike.settings import Limits
from node.model.events import EventName
from node.pki import certificate, path, verifier
from node.wire.asn1 import limits
from tests.docs import readme

TEXT = readme.ARCHITECTURE.read_text(encoding="utf-8")
DECISIONS = readme.ROOT / "docs" / "adr"


def test_the_phase_diagram_is_the_transition_table() -> None:
    (diagram,) = [b.text for b in readme.blocks(readme.ARCHITECTURE) if b.language == "mermaid"]
    arrows = re.findall(r"^\s+(\S+) --> (\w+)", diagram, re.MULTILINE)
    drawn = [(Phase(a), Phase(b)) for a, b in arrows if a != "[*]"]
    assert sorted(drawn) == sorted((a, b) for a, following in TRANSITIONS.items() for b in following)
    assert len(set(drawn)) == len(drawn)
    assert {b for a, b in arrows if a == "[*]"} == {"INIT_SENT", "INIT_REPLIED"}


def _exists(name: str, before: list[str]) -> bool:
    """A path from the root or from `node/`, or beside (or in) a place named before it in the same line."""
    beside = [place if place.endswith("/") else place.rpartition("/")[0] for place in before]
    starts = [readme.ROOT, readme.ROOT / "node"]
    return any((start / place / name).exists() for start in starts for place in ("", *beside))


def test_every_file_named_exists() -> None:
    missing = []
    for line in TEXT.splitlines():
        before: list[str] = []
        for name in re.findall(r"`([\w/.-]+(?:\.py|\.json|\.asn1|\.md|/))`", line):
            if not _exists(name, before):
                missing.append(name)
            before.append(name)
    assert missing == []


def test_every_module_of_the_node_is_in_a_named_place() -> None:
    for package in (p.parent.name for p in (readme.ROOT / "node").glob("*/__init__.py")):
        assert re.search(rf"\b{package}\b", TEXT), package


def test_the_bounds_are_those_of_the_code() -> None:
    rows = {row[0]: row[1] for row in readme.table_rows(readme.ARCHITECTURE, "at most:\n")}
    flood = Limits()
    wanted = {
        "octets of a message, elements, depth": [
            limits.MAX_DATAGRAM,
            limits.MAX_ELEMENTS,
            limits.MAX_DEPTH,
        ],
        "half-open IKE SAs": [
            flood.half_open,
            flood.half_open_per_source,
            int(flood.half_open_lifetime),
            flood.cookie_threshold,
        ],
        "a request without a cookie while one is wanted": [int(gate.COOKIES_PER_SECOND)],
        "IKE SAs in all": [flood.ike_sas],
        "unprotected refusals that we send": [int(endpoint.REFUSALS_PER_SECOND), endpoint.REFUSAL_BURST],
        "stored answers of closed SAs": [echoes.CAPACITY, int(echoes.LIFETIME)],
        "certificates looked at, their size, signatures checked": [
            verifier.MAX_CERTIFICATES,
            certificate.MAX_CERTIFICATE_OCTETS // 1024,
            path.MAX_SIGNATURE_CHECKS,
        ],
    }
    for effort, numbers in wanted.items():
        told = [int(n.replace(",", "")) for n in re.findall(r"(?<![\w/])\d[\d,]*\b", rows[effort])]
        assert [n for n in told if n in numbers] == numbers, (effort, told, numbers)


def test_every_event_and_drop_reason_is_documented() -> None:
    text = (readme.ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {*map(str, EventName), *map(str, DropReason)} <= documented


def test_the_index_of_decisions_is_complete_and_numbers_are_unique() -> None:
    files = sorted(p.name for p in DECISIONS.glob("*.md") if p.name != "README.md")
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[(\d{4})\]\((\d{4})(-[a-z0-9-]+\.md)\) \| \S", index, re.MULTILINE)
    assert [number + rest for _, number, rest in listed] == files
    assert all(shown == number for shown, number, _ in listed)
    numbers = [int(number) for _, number, _ in listed]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_decision_is_titled_with_its_number() -> None:
    for file in DECISIONS.glob("[0-9]*.md"):
        title = file.read_text(encoding="utf-8").splitlines()[0]
        match = re.match(r"# (\d+)[:.] \S", title)
        assert match, title
        assert int(match[1]) == int(file.name[:4])
