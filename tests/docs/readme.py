"""The documents as the tests read them: fenced blocks, links, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_LOOP_WORDS = frozenset({"for", "do", "done", "while", "if", "then", "fi", "timeout"})


def documents() -> list[Path]:
    """Every Markdown file that readers get."""
    return sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})


def links(document: Path) -> Iterator[str]:
    """Targets of the links of a document, without those in code."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    yield from (match[1] for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", text)))


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document."""
    return [Block(m[1], m[2]) for m in _FENCE.finditer(document.read_text(encoding="utf-8"))]


def commands(document: Path) -> Iterator[list[str]]:
    """The words of every simple command in the console and bash blocks, without comments."""
    for block in blocks(document):
        if block.language in {"console", "bash"}:
            yield from _commands(block.text)


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word and not word.strip(";&|"):
                if words := _without_prefix(words):
                    yield words
                words = []
            else:
                words.append(word)


def _without_prefix(words: list[str]) -> list[str]:
    """`timeout 3 COMMAND` is COMMAND; the words of a loop's head are none."""
    if words[:1] == ["timeout"]:
        return words[2:]
    return (
        []
        if words and words[0] in _LOOP_WORDS - {"do", "then"}
        else [w for w in words if w not in {"do", "then"}]
    )


def table_rows(document: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = document.read_text(encoding="utf-8").partition(f"{heading}\n")[2]
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            break
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
