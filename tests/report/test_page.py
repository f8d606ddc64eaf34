"""The page as elements: what it says, what it never does, and that nothing anybody wrote becomes markup."""

import re
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab import palette
from lab.decode.values import Item, Kind
from lab.events import NodeEvent
from lab.report import events_part, links, packets_part, page, style
from lab.report.markup import Html, element, text
from lab.report.run import File, Run
from tests.report.reader import Node, read
from tests.report.runs import check, good, packet, results, strings, tree
from tests.report.samples import every_act, handshake, initiator, started, tell
from tests.report.test_ladder_wire import flood

EVIL = (
    "<script>alert(1)</script>\"' onload=x &amp;\ufffe\x1b[31m\x00\n\u202e\u2028\ud800"
    "</style></title></svg>]]>--><!--"
)
#: Every element that a page may have.
ELEMENTS = set(
    re.findall(
        r"\w+",
        """html head body meta title style a header nav main footer section h1 h2 p div span strong b code pre
        br ul li dl dt dd table caption thead tbody tr th td details summary figure figcaption svg g text rect
        line circle path polygon""",
    )
)


def shown(run: Run, place: Path = Path("/elsewhere/report.html")) -> Node:
    return read(page.render(run, place))


def part(run: Run, name: str) -> Node:
    return shown(run).one("section", id=name)


def hostile() -> Run:
    """Every text of a run is EVIL, or contains it."""
    statuses = {EVIL: strings({"ike_sas": [{"phase": "x"}], "dropped": {}, "child_sas": [{}]}, EVIL)}
    document = strings(results(checks=[check(passed=False, reason="x")], keylog=True), EVIL)
    document["lab"]["nodes"][0]["status"]["dropped"] = {EVIL: 3}
    told = [
        NodeEvent(event.moment, event.node, event.name, strings(event.fields, EVIL)) for event in every_act()
    ]
    told += [tell(1, EVIL, EVIL, **{EVIL: EVIL, "x": [EVIL]}), tell(2, "wire", f"wire_{EVIL}", role="wire")]
    told += [initiator(3, "ike_sa_init_sent", kind=EVIL, message_id=EVIL, payloads=[EVIL], octets=1)]
    one = packet(1, EVIL, tree=tree(EVIL, 60), problem=EVIL, remark=EVIL)
    packets = (
        replace(one, source=EVIL, target=EVIL, vantage=EVIL),
        packet(2, EVIL, kind=Kind.OTHER, problem=EVIL),
    )
    files = (File(EVIL, 1), File(f"keys/{EVIL}", 2), File("javascript:alert(1)", 3))
    return Run(
        Path("/runs") / EVIL.replace("\0", "").replace("\ud800", "\udc80"),
        told,
        document,
        statuses,
        files,
        packets,
        EVIL,
    )


@pytest.mark.parametrize("beside", [True, False])
def test_nothing_that_anybody_wrote_becomes_markup(beside: bool) -> None:
    run = hostile()
    written = page.render(
        replace(run, directory=Path("/runs/x")), Path(f"/{'runs' if beside else 'y'}/x/r.html")
    )
    for name in (written, page.render(run, Path("/y/r.html"))):
        root = read(name)
        assert {node.name for node in root.all()} <= ELEMENTS
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2028\u2029\ufeff\ud800-\udfff]", name
        )
        assert not [
            node for node in root.all() for key in node.attributes if key.startswith("on") or key == "style"
        ]
        assert root.text.count("alert(1)") > 60
        name.encode()
    assert "\\x1b[31m" in written


@pytest.mark.parametrize(
    "run", [good(), hostile(), good(events=every_act())], ids=["good", "hostile", "wire"]
)
@pytest.mark.parametrize(
    "place", [Path("/runs/hello-1/20260101T120000Z-hello/report.html"), Path("/y/r.html")]
)
def test_the_page_loads_and_runs_nothing(run: Run, place: Path) -> None:
    root = shown(run, place)
    for node in root.all():
        for key, value in node.attributes.items():
            assert key not in (
                "src",
                "srcset",
                "action",
                "formaction",
                "data",
                "background",
                "poster",
                "ping",
                "xlink:href",
            )
            if key == "href":
                parts = urlsplit(value)
                assert node.name == "a"
                assert not parts.scheme
                assert not parts.netloc
                assert value.startswith(("#", "./"))
                assert "../" not in value
    sheets = " ".join(str(part) for node in root.all("style") for part in node.inner)
    assert not re.search(r"url\(|@import|@font-face|expression|\\", sheets)
    policy = root.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.split("; ")[:2] == ["default-src 'none'", "style-src 'unsafe-inline'"]


def test_a_screen_reader_finds_its_way() -> None:
    for run in (good(), hostile()):
        root = shown(run)
        assert root.one("html").attributes["lang"] == "en"
        for landmark in ("header", "nav", "main", "footer", "h1"):
            root.one(landmark)
        ids = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
        assert len(ids) == len(set(ids))
        for node in root.all():
            for key in ("aria-labelledby", "href"):
                name = node.attributes.get(key, "")
                if key == "aria-labelledby" or name.startswith("#"):
                    assert not name or name.removeprefix("#") in ids
            if "tabindex" in node.attributes:
                assert node.attributes["role"] == "region"
                assert node.attributes["aria-label"]
        for table in root.all("table"):
            table.one("caption")
            assert all(th.attributes["scope"] in ("col", "row") for th in table.all("th"))
            columns = len(table.one("thead").all("th"))
            assert all(len(row.children) == columns for row in table.one("tbody").all("tr"))
        for picture in root.all("svg"):
            assert picture.attributes["aria-label"]
            assert picture.children[0].name == "title"


def _ratio(one: str, other: str) -> float:
    """Contrast as WCAG 2.2 has it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [palette.light, palette.dark])
@pytest.mark.parametrize("ground", palette.GROUNDS)
@pytest.mark.parametrize("name", palette.TEXTS)
def test_every_text_has_contrast(theme: object, ground: str, name: str) -> None:
    assert callable(theme)
    assert _ratio(theme(name), theme(ground)) >= 4.5


def test_the_style_uses_only_colours_that_are_there() -> None:
    sheet = style.sheet()
    assert set(re.findall(r"var\(--([a-z]+)\)", sheet)) <= set(palette.COLOURS)
    assert sheet.count("{") == sheet.count("}")


def test_the_head_says_what_ran_where_and_how_it_ended() -> None:
    root = shown(good())
    head = root.one("header")
    assert root.one("head").one("title").text.strip() == "PASS: Two nodes, one tunnel"
    assert head.one("span", class_="stamp pass").text.strip() == "PASS"
    assert [p.text.strip() for p in head.one("div", class_="lead").all("p")] == [
        "First. Still first.",
        "Second.",
    ]
    facts = {div.one("dt").text.strip(): div.one("dd").text.strip() for div in head.one("dl").all("div")}
    assert facts["Captured at"] == "the wire node"
    assert facts["Nodes"] == "1 responder, 1 initiator, 1 wire"
    assert facts["Cipher suite"].startswith("ENCR_AES_CBC_256")
    assert (facts["Backend"], facts["Took"], facts["Began"]) == (
        "process",
        "1.50 s",
        "2026-01-01 12:00:00 UTC",
    )
    assert facts["Profile, node version"] == "asn1, 0.1.0"
    assert not head.all("div", class_="warning")


@pytest.mark.parametrize(
    "run", [good(results=results(keylog=True)), good(results={}, files=(File("keys/initiator.keys", 9),))]
)
def test_a_key_log_is_warned_of_first(run: Run) -> None:
    first = shown(run).one("header").children[0]
    assert first.attributes == {"class": "warning", "role": "note"}
    assert "key log was on" in first.text


def test_what_failed_and_why_comes_first() -> None:
    failing = [check(), check(passed=False, reason="no ike_sa_established happened"), check("initiator")]
    run = good(results=results(passed=False, checks=failing))
    root = shown(run)
    assert root.one("span", class_="stamp fail").text.strip() == "FAIL"
    assert "1 of 3 checks failed" in root.one("header").text
    found = root.one("section", id="checks")
    rows = found.all("table")[0].one("tbody").all("tr")
    assert len(rows) == 1
    assert "no ike_sa_established happened" in rows[0].text
    assert [s.text.split() for s in found.all("summary")] == [
        ["responder", "·", "2", "checks", "·", "1", "failed"],
        ["initiator", "·", "1", "check", "·", "all", "hold"],
    ]
    # Within a node too.
    first = found.all("details")[0].one("tbody").all("tr")[0]
    assert "failed: no ike_sa_established happened" in first.text


def test_what_was_not_judged_is_not_called_good() -> None:
    for passed in (None, "yes", 1):
        stamp = shown(good(results=results(passed=passed))).one("span", class_="stamp unknown")
        assert stamp.text.strip() == "UNKNOWN"
    odd = good(results=results(checks=[{"node": "a", "check": "b", "passed": "true"}]))
    assert "1 of 1 checks failed" in shown(odd).one("header").text


def test_a_run_of_which_little_is_left_is_shown_all_the_same() -> None:
    root = shown(Run(Path("/runs/x"), [*started(), *handshake()]))
    assert "no verdict" in root.one("header").text
    assert [section.attributes["id"] for section in root.all("section")] == [
        "ladder",
        "packets",
        "events",
        "files",
    ]
    assert [a.attributes["href"] for a in root.one("nav").all("a")] == [
        "#ladder",
        "#packets",
        "#events",
        "#files",
    ]
    empty = shown(Run(Path("/runs/x"), []))
    assert "No node told of any message" in empty.text
    assert "The run left no capture" in empty.text


def test_documents_of_another_shape_are_no_reason_to_stop() -> None:
    statuses = {"ike_sas": 3, "child_sas": [3], "dropped": []}
    documents: list[object] = [[], "x", 7, None, {"nodes": [7, {"status": statuses}]}]
    for odd in documents:
        shown(good(results=results(lab=odd, checks=odd, certificates=odd, seconds="soon", title=odd)))
        shown(good(statuses={"a": odd}, results={}))


def test_a_capture_that_cannot_be_decoded_says_why() -> None:
    found = part(good(packets=(), problem="keys/a.keys:3: contradicts itself"), "packets")
    assert "The capture is not decoded: keys/a.keys:3: contradicts itself" in found.text


def test_packets_have_names_of_nodes_times_and_what_is_in_them() -> None:
    found = part(good(), "packets")
    opened = found.one("details", id="packet-11")
    words = opened.children[0].text.split()
    assert words[:6] == ["#11", "+11.0", "ms", "initiator", "→", "responder"]
    assert words[-1] == "opened"
    assert [b.text.strip() for b in opened.one("div", class_="tree").all("b")] == [
        "UDP",
        "Length",
        "IKE",
        "IKE Header",
        "Message ID",
    ]
    # What carries the message is closed, the message is open.
    states = [("open" in d.attributes) for d in opened.one("div", class_="tree").all("details")]
    assert states == [False, True, True]
    assert "0000 30 82 00 01" in " ".join(opened.one("pre").text.split())
    sealed = found.one("details", id="packet-16").text
    assert "Not opened: no keys" in sealed
    assert "The wire: delayed by fault 1" in sealed


def test_arrows_lead_to_their_packets_and_to_no_other() -> None:
    run = good(packets=[*good().packets, packet(700, "IKE_AUTH request 1: SK{IDi CERT}")])
    root = shown(run)
    found = {a.attributes["href"] for svg in root.all("svg") for a in svg.all("a")}
    assert found == {"#packet-1", "#packet-2", "#packet-11", "#packet-16"}
    for a in root.all("svg")[0].all("a"):
        number = a.attributes["href"].removeprefix("#packet-")
        name = a.all("text")[1].text.split(",")[0].strip()
        assert name in root.one("details", id=f"packet-{number}").text


def test_an_address_is_that_of_the_one_node_that_has_it() -> None:
    told = [*started(), tell(-9, "wire", "wire_ready", role="wire", address="10.0.0.4")]
    whose = links.owners(told, {"10.0.0.9:8000": "a", "10.0.0.9:8001": "b", "": "nobody"})
    places = ("10.0.0.3:8000", "10.0.0.3:1", "10.0.0.4:52867", "10.0.0.9:8001", "10.0.0.9:1", "fe80::1", "")
    assert [whose.of(place) for place in places] == ["initiator", "initiator", "wire", "b", "", "", ""]
    assert whose.name("10.0.0.9:1") == "10.0.0.9:1"


def test_the_ladder_is_there_wide_narrow_and_as_a_table() -> None:
    found = part(good(events=every_act()), "ladder")
    wide, narrow = (float(svg.attributes["width"]) for svg in found.all("svg"))
    assert wide > 700
    assert narrow <= 330
    rows = found.one("tbody").all("tr")
    assert len(rows) > 15
    assert "dropped by the wire" in found.one("table").text
    many = [tell(-9, f"initiator-{n}", "node_started", role="initiator") for n in range(3)]
    assert len(part(good(events=[*every_act(), *many]), "ladder").all("svg")) == 1


def test_events_stand_side_by_side_with_the_wire_between() -> None:
    found = part(good(events=every_act()), "events")
    heads = [th.text.strip() for th in found.one("thead").all("th")]
    assert heads == ["Time", "initiator", "wire", "responder"]
    for row in found.one("tbody").all("tr"):
        cells = row.all("td")
        told = [n for n, cell in enumerate(cells) if cell.text.strip()]
        assert len(told) == 1
        assert cells[told[0]].attributes["data-node"] == heads[told[0] + 1]


def crowd(nodes: int) -> list[NodeEvent]:
    told = [tell(-5, "responder", "node_started", role="responder")]
    for number in range(nodes):
        name = f"initiator-{number:03d}"
        about = {"spi_i": f"{number:016x}", "role": "initiator", "peer": "10.0.0.2:8000"}
        told.append(tell(-3, name, "node_started", role="initiator"))
        told += [tell(number, name, "peer_identity_verified", identity="x", **about) for _ in range(30)]
        told += [tell(number, name, "ike_sa_established", peer_identity="x", **about)]
    return told


def test_two_hundred_nodes_stay_readable() -> None:
    names = ["responder", *(f"initiator-{n:03d}" for n in range(200))]
    lab = {"nodes": [{"name": name, "role": name[:9], "status": None} for name in names]}
    checks = [check(name) for name in names for _ in range(20)]
    run = good(events=crowd(200), results=results(lab=lab, checks=checks))
    root = shown(run)
    assert [th.text.strip() for th in root.one("section", id="events").one("thead").all("th")] == [
        "Time",
        "Node",
        "What it told",
    ]
    assert "Shown are 200 of them" in root.one("section", id="events").text
    assert len(root.one("section", id="ladder").all("svg")) == 1
    assert len(root.one("section", id="checks").all("details")) == 201
    assert len(root.one("section", id="status").all("table")[0].one("tbody").all("tr")) == 201
    assert "and 185 more" in root.one("section", id="ladder").text


@pytest.mark.slow
def test_a_hundred_thousand_events_make_a_page_of_bounded_size_in_bounded_time() -> None:
    told = flood(33_000)
    began = time.monotonic()
    written = page.render(good(events=told), Path("/y/r.html"))
    assert time.monotonic() - began < 60
    assert len(written) < 2_000_000
    root = read(written)
    said = root.one("section", id="events").text
    assert f"{len(told):,} events. Shown are" in said
    assert "all are in events.jsonl" in said
    assert "... and " in root.one("section", id="ladder").text


def test_of_many_events_those_that_matter_stay() -> None:
    steps = [tell(n, "initiator", "ping_replied", seq=n) for n in range(events_part.MAX_EVENTS)]
    kept = events_part.chosen([*steps, *handshake()])
    assert len(kept) < 20
    assert "ike_sa_established" in {event.name for event in kept}
    trouble = [tell(n, "initiator", "datagram_dropped", count=n) for n in range(events_part.MAX_EVENTS + 9)]
    kept = events_part.chosen(trouble)
    assert (len(kept), kept[0], kept[-1]) == (events_part.MAX_EVENTS, trouble[0], trouble[-1])


def test_of_many_packets_the_first_and_last_of_each_shape_stay() -> None:
    pings = [packet(n, f"ESP 0xe0536141 sequence {n}: ICMP", kind=Kind.ESP) for n in range(1, 5000)]
    odd = packet(5000, "INFORMATIONAL request 2: SK{D}")
    other = [packet(5001, "ARP", kind=Kind.OTHER), packet(5002, "ARP", kind=Kind.OTHER, remark="lost")]
    kept = packets_part.chosen([*pings, odd, *other])
    assert len(kept) == 62
    assert (kept[0], kept[-3], kept[-2], kept[-1]) == (pings[0], pings[-1], odd, other[1])
    said = part(good(packets=[*pings, odd, *other]), "packets").text
    assert "5,002 packets were captured. Shown are 62 of them" in said
    unlike = [packet(n, "x" * n, remark="y" * (n // 150)) for n in range(1, 700)]
    assert len(packets_part.chosen(unlike)) == packets_part.MAX_PACKETS


def test_packets_with_much_in_them_make_no_endless_page() -> None:
    wide = Item("Packet", "", tuple(Item(f"part {n}", "x" * 5000) for n in range(5000)))
    packets = [packet(n, "y" * n, tree=wide, octets=bytes(65_000)) for n in range(1, 200)]
    written = page.render(good(packets=packets), Path("/y/r.html"))
    assert len(written) < 8_000_000
    assert "... more is left out" in written
    assert "The page is long enough" in written
    assert "more octets" not in written
    assert "62,952 octets more" in written
    deep = page.render(good(packets=[packet(1, "x", tree=tree("deep", 2000))]), Path("/y/r.html"))
    assert deep.count("<b>deep</b>") == 24


def test_status_sums_up_and_has_every_word() -> None:
    found = part(good(), "status")
    row = [cell.text.strip() for cell in found.all("table")[0].one("tbody").all("tr")[0].children]
    assert row == [
        "responder",
        "responder",
        "running",
        "10.0.0.2:8000",
        "ESTABLISHED",
        "1",
        "11 / 1,200",
        "bad_icv 3, esp_replayed 2",
    ]
    assert '"outbound_packets": 1200' in found.text
    assert "CN=responder" in found.text


def test_files_are_linked_where_the_page_lies_among_them() -> None:
    run = good(files=(File("events.jsonl", 1234), File("keys/a b?.keys", 5), File("x:y", 1)))
    beside = shown(run, run.directory / "report.html").one("section", id="files")
    assert [a.attributes["href"] for a in beside.all("a")] == [
        "./events.jsonl",
        "./keys/a%20b%3F.keys",
        "./x%3Ay",
    ]
    assert "SECRET" in beside.text
    assert "1,234 octets" in beside.text
    assert not shown(run, Path("/elsewhere/x.html")).one("section", id="files").all("a")


def test_text_is_escaped_in_content_and_attributes_and_cut() -> None:
    assert text("<&\"'>\x00\x1b") == "&lt;&amp;&quot;&#x27;&gt;\\x00\\x1b"
    made = element(
        "p", text("a"), title='"><script>', hidden=True, lang="", open=False, data_x="1", class_="c"
    )
    assert made == '<p title="&quot;&gt;&lt;script&gt;" hidden data-x="1" class="c">a</p>'
    assert element("br") == "<br>"
    assert text("x" * 5000).endswith("x ... (4,000 more characters)")
    assert element("p", Html("<b>"), Html("</b>")) == "<p><b></b></p>"
