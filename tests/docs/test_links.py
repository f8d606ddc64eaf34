"""Links between the documents lead somewhere, and pictures are well-formed."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs import readme

DOCUMENTS = readme.documents()
PICTURES = sorted((readme.ROOT / "docs" / "images").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def slug(heading: str) -> str:
    """The anchor that a heading gets on a code host."""
    text = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {slug(m[1]) for m in re.finditer(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(readme.ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    broken = []
    for link in readme.links(document):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        inside = target.is_relative_to(readme.ROOT)
        if not inside or not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.name)
def test_pictures_are_standalone_and_described(picture: Path) -> None:
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert {e.tag for e in root.iter()} & {f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"} == set()
    assert "prefers-color-scheme: dark" in "".join(root.itertext())


def test_every_picture_is_shown_somewhere() -> None:
    shown = {Path(link).name for document in DOCUMENTS for link in readme.links(document)}
    assert {p.name for p in PICTURES} <= shown
    assert PICTURES


def test_external_links_are_https_and_few_hosts() -> None:
    hosts = {link for d in DOCUMENTS for link in readme.links(d) if re.match(r"[a-z]+:", link)}
    assert all(link.startswith("https://www.rfc-editor.org/") for link in hosts), hosts
