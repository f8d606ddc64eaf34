"""The page and the picture in a real browser: nothing sticks out, nothing is loaded, both themes are drawn.

Widths are measured from outside, by a page that has the report in a frame of that width: the report itself
runs no script, and a window of a headless browser is never narrower than some 500 pixels.
"""

import html
import json
import re
import shutil
import struct
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab import palette
from lab.ladder import as_svg, compose
from lab.report import page
from tests.lab.conftest import Cli, unique
from tests.lab.conftest import cli as cli
from tests.report.runs import good
from tests.report.samples import ZERO, every_act
from tests.report.test_page import crowd, hostile

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed: apt install chromium"),
    pytest.mark.slow,
]

#: No name is resolved, so nothing leaves this host whatever a browser does by itself.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
DARK = "--blink-settings=preferredColorScheme=0"
FRAMES = """<!DOCTYPE html><title>frames</title><body style="margin:0">{frames}<script>
function measure(inner) {{
  const root = inner.documentElement, out = [];
  for (const each of inner.body.querySelectorAll('*')) {{
    const box = each.getBoundingClientRect();
    if (box.width && box.right > root.clientWidth + 1 && !each.closest('.scroll') && !each.closest('.skip'))
      out.push(each.outerHTML.slice(0, 80));
  }}
  const seen = name => [...inner.querySelectorAll(name)].some(each => each.getBoundingClientRect().width > 0);
  return {{
    width: root.clientWidth, needs: root.scrollWidth, out: out.slice(0, 5), scripts: inner.scripts.length,
    wide: seen('.wide'), narrow: seen('.narrow'),
  }};
}}
onload = () => {{
  const told = [];
  for (const frame of document.querySelectorAll('iframe')) {{
    const inner = frame.contentDocument;
    told.push(measure(inner));
    inner.querySelectorAll('details').forEach(each => each.open = true);
    told.push(measure(inner));
  }}
  document.title = JSON.stringify(told);
}};
</script>"""
WIDTHS = (320, 360, 768, 1600)


@dataclass(slots=True)
class Site:
    """A directory that a browser sees, and what was asked of it."""

    place: Path
    url: str
    asked: list[str] = field(default_factory=list)


class _Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Site(tmp_path, f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def browse(place: Path, *words: str) -> str:
    """What a headless Chromium writes."""
    argv = [CHROMIUM, *QUIET, f"--user-data-dir={place / 'profile'}", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def measure(site: Site) -> list[dict[str, object]]:
    """What frames of WIDTHS tell of report.html, twice each: as it is, and with everything opened."""
    frame = '<iframe src="report.html" style="width:{}px;height:900px;border:0;display:block"></iframe>'
    frames = FRAMES.format(frames="".join(map(frame.format, WIDTHS)))
    (site.place / "frames.html").write_text(frames, "utf-8")
    shown = browse(site.place, "--dump-dom", "--window-size=1700,1000", f"{site.url}/frames.html")
    found = re.search(r"<title>(\[.*?\])</title>", shown)
    assert found, shown[:500]
    told = json.loads(html.unescape(found[1]))
    assert isinstance(told, list)
    return told


def pixels(picture: Path) -> list[bytes]:
    """The rows of a PNG of 8 bits, RGB or RGBA, as Chromium writes it, three octets for each pixel."""
    data, at, packed = picture.read_bytes(), 8, b""
    assert data.startswith(b"\x89PNG")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour in (2, 6)) == (8, True)
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        packed += data[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    each = 3 if colour == 2 else 4
    raw, rows, before = zlib.decompress(packed), [], bytes(width * each)
    for number in range(height):
        start = number * (width * each + 1)
        before = _unfilter(raw[start], raw[start + 1 : start + 1 + width * each], before, each)
        rows.append(before)
    return [b"".join(row[n : n + 3] for n in range(0, len(row), each)) for row in rows]


def _unfilter(kind: int, row: bytes, before: bytes, each: int) -> bytes:
    """RFC 2083 6."""
    made = bytearray(row)
    for n, value in enumerate(row):
        left, above = (made[n - each] if n >= each else 0), before[n]
        corner = before[n - each] if n >= each else 0
        guess = left + above - corner
        paeth = min((left, above, corner), key=lambda near: abs(guess - near))
        made[n] = (value + (0, left, above, (left + above) // 2, paeth)[kind]) & 0xFF
    return bytes(made)


def rgb(colour: str) -> bytes:
    return bytes.fromhex(colour.removeprefix("#"))


@pytest.fixture(scope="module")
def run(cli: Cli) -> Path:
    """The page of a real run."""
    name = unique("browser")
    assert cli("run", "hello", "-n", name, "-b", "process", "--key-type", "ecdsa-p256").returncode == 0
    return Path(cli("report", name).stdout.strip())


PAGES = ["run", "wire", "crowd", "hostile"]


def put(kind: str, run: Path, site: Site) -> None:
    """Put a page where the browser finds it."""
    if kind == "run":
        shutil.copy(run, site.place / "report.html")
        return
    made = {
        "wire": good(events=every_act()),
        "crowd": good(events=crowd(200)),
        "hostile": hostile(),
    }[kind]
    (site.place / "report.html").write_text(page.render(made, site.place / "report.html"), "utf-8")


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_makes_the_page_wider_than_the_window(run: Path, site: Site, kind: str) -> None:
    put(kind, run, site)
    for told, width in zip(measure(site), sorted(WIDTHS * 2), strict=True):
        assert (told["width"], told["scripts"]) == (width, 0)
        assert (told["needs"], told["out"]) == (width, [])
        # With two lanes a narrow picture takes the place of the wide one.
        narrow = kind in ("run", "wire") and width <= 704
        assert (told["wide"], told["narrow"]) == (kind in ("run", "wire") and not narrow, narrow)


def test_what_is_too_wide_is_found(site: Site) -> None:
    """The test before this one can fail."""
    wide = page.render(good(), site.place / "x").replace("</main>", '<p style="width:700px">wide</p></main>')
    (site.place / "report.html").write_text(wide, "utf-8")
    found = [told["needs"] != told["width"] and bool(told["out"]) for told in measure(site)]
    assert found == [True] * 4 + [False] * 4


def asked_by_the_page(site: Site) -> set[str]:
    """What report.html made the browser ask for; what a browser wants by itself is not of any origin."""
    log = site.place / "net.json"
    browse(site.place, f"--log-net-log={log}", "--dump-dom", f"{site.url}/report.html")
    told = [event.get("params", {}) for event in json.loads(log.read_text("utf-8", "replace"))["events"]]
    assert f"{site.url}/report.html" in {params.get("url") for params in told}
    return {str(params["url"]) for params in told if params.get("initiator") == site.url and "url" in params}


@pytest.mark.parametrize("kind", PAGES)
def test_the_page_asks_the_network_for_nothing(run: Path, site: Site, kind: str) -> None:
    put(kind, run, site)
    assert asked_by_the_page(site) == set()
    assert site.asked == ["/report.html"]


@pytest.mark.parametrize(("theme", "options"), [(palette.light, ()), (palette.dark, (DARK,))])
def test_both_themes_are_drawn(run: Path, site: Site, theme: object, options: tuple[str, ...]) -> None:
    assert callable(theme)
    put("run", run, site)
    picture = site.place / "page.png"
    browse(
        site.place, *options, f"--screenshot={picture}", "--window-size=720,1600", f"{site.url}/report.html"
    )
    rows = pixels(picture)
    assert (len(rows[0]) // 3, len(rows)) == (720, 1600)
    assert rows[0][:3] == rgb(theme("paper"))
    seen = {row[at : at + 3] for row in rows for at in range(0, len(row), 3)}
    # The verdict, the arrows, the keys, the warning: all are there, in the colours of this theme.
    for name in ("green", "blue", "purple", "amber", "ink", "panel"):
        assert rgb(theme(name)) in seen, name


@pytest.mark.parametrize("options", [(), (DARK,)])
def test_the_picture_of_a_ladder_is_drawn_whole(tmp_path: Path, options: tuple[str, ...]) -> None:
    acts = [event for event in every_act() if event.moment < ZERO + timedelta(milliseconds=513)]
    picture = as_svg.render(compose.build(acts), "a heading")
    (tmp_path / "ladder.svg").write_text(picture, "utf-8")
    found = re.search(r'width="(\d+)" height="(\d+)"', picture)
    assert found
    width, height = int(found[1]), int(found[2])
    size = f"--window-size={width},{height}"
    browse(
        tmp_path, *options, f"--screenshot={tmp_path / 'x.png'}", size, f"file://{tmp_path / 'ladder.svg'}"
    )
    rows = pixels(tmp_path / "x.png")
    theme = palette.dark if options else palette.light
    seen = {row[at : at + 3] for row in rows for at in range(0, len(row), 3)}
    assert rows[0][:3] == rows[height - 1][-3:] == rgb(theme("paper"))
    for name in ("blue", "red", "orange", "ink"):
        assert rgb(theme(name)) in seen, name


def test_on_paper_the_page_is_light_and_whole(run: Path, site: Site) -> None:
    put("run", run, site)
    paper = site.place / "page.pdf"
    browse(site.place, DARK, f"--print-to-pdf={paper}", "--no-pdf-header-footer", f"{site.url}/report.html")
    assert paper.read_bytes().startswith(b"%PDF")
    count = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 2 <= count <= 12
