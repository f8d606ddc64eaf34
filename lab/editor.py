"""The comment in which a YAML file tells editors its schema: `# yaml-language-server: $schema=URI`."""

import re
from pathlib import Path

#: Our schemas, by the names of their files.
SCENARIO, NODE = "scenario.schema.json", "node.schema.json"
_COMMENT = re.compile(r"#\s*yaml-language-server:\s*\$schema=(\S+)")


def path(schema: str) -> Path:
    """The file of one of our schemas."""
    return Path(__file__).resolve().parent / "schemas" / schema


def comment(schema: str) -> str:
    """The line with which a file that we write begins."""
    return f"# yaml-language-server: $schema={path(schema).as_uri()}\n"


def named(text: str) -> str | None:
    """The file name of the schema that a document names above its content; None where it names none."""
    for line in text.splitlines():
        if found := _COMMENT.match(line):
            return found[1].rpartition("/")[2]
        if line.strip() and not line.startswith(("#", "%", "---")):
            return None
    return None
