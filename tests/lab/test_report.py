"""`ipseclab report`: one page that needs nothing else, whatever a peer or a file says, wide, narrow, long."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab import ladder, ladder_svg
from lab.decode.values import Decoded, Item, Kind
from lab.events import NodeEvent
from lab.report import page
from lab.report.run import Run
from tests.lab.conftest import Cli, unique

QUICK = ("-b", "process", "--key-type", "ecdsa-p256")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert(1)</script>\"'&\x1b[31m\x00\u2028</style></svg>"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Reader(HTMLParser):
    """Collects tags and attributes, and checks that every element that opens is closed."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})
    # Inside an SVG these may close themselves.
    SVG = frozenset({"line", "rect", "circle", "path", "polygon"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID | self.SVG
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def event(name: str = "node_started", node: str = "initiator", **fields: object) -> NodeEvent:
    return NodeEvent(NOW, node, name, fields)


def packet(number: int, **given: str) -> Decoded:
    title, problem = given.get("title", "IKE_AUTH request 1"), given.get("problem", "")
    tree = Item("packet", "", (Item(title, problem, (Item("inside", title),)),))
    ends = ("127.0.0.1:8000", "127.0.0.2:8000")
    return Decoded(
        number,
        1_790_000_000_000_000_000,
        "x",
        *ends,
        Kind.IKE,
        title,
        tree,
        b"\x30\x03abc",
        False,
        problem,
        title,
    )


def run(**given: object) -> Run:
    """A run of values; every text is `said`."""
    said = str(given.get("said", "text"))
    node = {"name": "initiator", "role": "initiator"}
    results = {
        "scenario": said,
        "title": said,
        "description": said,
        "passed": False,
        "seconds": 1.0,
        "lab": {"name": said, "backend": said, "created": said, "nodes": [node]},
        "checks": [{"node": said, "check": said, "passed": False, "reason": said}],
        "vantage": said,
        "keylog": True,
    }
    events = (event(**{"role": said}), event("ike_sa_failed", reason=said), event(said, node=said, text=said))
    picture = ladder_svg.render(ladder.build(events), said)
    statuses = {said: {"ike_sas": [said], "child_sas": []}, "gone": None}
    packets = (packet(1, title=said, problem=said),)
    return Run(said, results, statuses, events, packets, picture, ((said, 1),))


def test_nothing_that_is_said_becomes_markup() -> None:
    text = page.render(run(said=EVIL))
    reader = Reader(text)
    assert "script" not in reader.tags
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u2028]", text)
    assert "&lt;script&gt;" in text


def test_the_page_loads_and_runs_nothing() -> None:
    reader = Reader(page.render(run()))
    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href"):
            assert "//" not in value, (tag, value)
    policy = [value for _, name, value in reader.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_a_screen_reader_finds_its_way() -> None:
    reader = Reader(page.render(run()))
    assert {"header", "main", "nav", "footer", "section", "caption", "th"} <= set(reader.tags)
    assert ("html", "lang", "en") in reader.attributes
    ids = {value for _, name, value in reader.attributes if name == "id"}
    targets = {value for _, name, value in reader.attributes if name == "aria-labelledby"}
    assert targets <= ids
    assert all(v[1:] in ids for _, name, v in reader.attributes if name == "href" and v.startswith("#"))


def test_a_long_run_is_cut_and_says_so() -> None:
    many = tuple(event() for _ in range(page.MAX_EVENTS + 5))
    long = replace(run(), events=many, packets=tuple(packet(n) for n in range(1, page.MAX_PACKETS + 8)))
    text = page.render(long)
    assert "5 more events are left out here: events.jsonl has them all" in text
    assert "7 more messages are left out here" in text
    assert len(text) < 3_000_000


def test_many_nodes_share_a_column() -> None:
    every = tuple(event(node=f"initiator-{number:02d}") for number in range(20))
    text = page.render(replace(run(), events=every))
    assert text.count('scope="col">initiator-') == 3
    assert 'scope="col">others' in text
    assert "<em>initiator-10</em>" in text


@pytest.fixture(scope="module")
def hello(cli: Cli) -> Path:
    """The directory of a run with a key log."""
    name = unique("report")
    assert cli("run", "hello", "-n", name, *QUICK).returncode == 0
    return (cli.home / "runs" / name / "latest").resolve()


def test_a_run_becomes_a_page_beside_its_files(cli: Cli, hello: Path) -> None:
    done = cli("report", hello.parent.name)
    assert (done.returncode, done.stdout.strip()) == (0, str(hello / "report.html"))
    text = (hello / "report.html").read_text("utf-8")
    Reader(text)
    for words in (
        "Two nodes, one tunnel, one greeting",
        "the wire node, between initiator and responder",
        "The keys of this run were logged.",
        "IKE_AUTH request 1: SK{IDi CERT",
        "no plaintext on the wire",
        "ESP payload decrypted",
        "<svg",
        "capture.pcapng",
    ):
        assert words in text, words
    written = cli.json("report", str(hello), "--out", str(hello.parent / "other.html"))
    assert Path(written["page"]).stat().st_size == written["octets"]


def test_what_is_no_run_is_told(cli: Cli, hello: Path, tmp_path: Path) -> None:
    assert "is no run" in cli("report", "nobody").stderr
    assert cli("report", "nobody").returncode == 5
    done = cli("report", str(hello), "--out", str(tmp_path / "no" / "where.html"))
    assert (done.returncode, "choose --out" in done.stderr) == (4, True)
    broken = tmp_path / "broken"
    shutil.copytree(hello, broken)
    (broken / "results.json").write_text("[")
    done = cli("report", str(broken))
    assert (done.returncode, "results.json: cannot be read" in done.stderr) == (4, True)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [360, 820, 1600])
def test_a_browser_shows_the_page_without_scrolling_sideways(
    cli: Cli, hello: Path, tmp_path: Path, width: int
) -> None:
    """Measured in a copy that is allowed a script; the page itself allows none."""
    assert cli("report", str(hello), "--out", str(tmp_path / "page.html")).returncode == 0
    text = (tmp_path / "page.html").read_text("utf-8")
    script = (
        "<script>document.title = JSON.stringify([innerWidth, document.documentElement.scrollWidth])</script>"
    )
    copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace(
        "</body>", script + "</body>"
    )
    (tmp_path / "copy.html").write_text(copy, "utf-8")
    picture = tmp_path / "page.png"
    shown = browse(tmp_path, width, "--dump-dom", str(tmp_path / "copy.html"))
    found = re.search(r"<title>(\[.*?\])</title>", shown)
    assert found, shown[:500]
    inner, whole = json.loads(found.group(1))
    assert whole <= inner <= max(width, 520)
    browse(tmp_path, width, f"--screenshot={picture}", str(tmp_path / "page.html"))
    assert picture.read_bytes().startswith(b"\x89PNG")


def browse(place: Path, width: int, *words: str) -> str:
    """What a headless Chromium writes."""
    argv = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    argv += [f"--user-data-dir={place / 'profile'}", f"--window-size={width},900"]
    done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
