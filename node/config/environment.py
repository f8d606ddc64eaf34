"""Settings from environment variables: `peer.address` is NODE_PEER__ADDRESS, two underscores for each dot.

Rules:

1. A string is taken as it stands (in quotes it is read as YAML); every other setting is read as YAML:
   `10`, `true`, `[a, b]`.
2. An empty variable counts as absent: that is what compose files pass for what nobody set.
3. A NODE_ variable that is no setting is an error, except those that belong to Node.js.
"""

from collections.abc import Mapping
from typing import Any

from node.config.schema import Place, settings
from yamlschema import Document, DocumentError, Problem, parse_scalar
from yamlschema.check import suggestion

PREFIX = "NODE_"

#: Variables of Node.js, whose prefix ours collides with; developers and base images have them set.
FOREIGN = frozenset(
    {
        "NODE_ENV",
        "NODE_OPTIONS",
        "NODE_PATH",
        "NODE_VERSION",
        "NODE_HOME",
        "NODE_DEBUG",
        "NODE_EXTRA_CA_CERTS",
    }
    | {"NODE_NO_WARNINGS", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_REPL_HISTORY", "NODE_ICU_DATA"}
)


def variable(place: Place) -> str:
    """The variable of a setting."""
    return PREFIX + "__".join(place).upper()


def documents(environment: Mapping[str, str]) -> list[tuple[Place, Document]]:
    """The settings in the environment, each as a document whose source is `environment: NAME`.

    Raises DocumentError for unknown variables and for values that are not YAML.
    """
    known = {variable(place): (place, schema) for place, schema in settings()}
    given = {n: v for n, v in environment.items() if n.startswith(PREFIX) and n not in FOREIGN and v}
    problems = [
        Problem(n, None, (), f"is no setting{suggestion(n, list(known))}") for n in given if n not in known
    ]
    found = []
    for name in sorted(given.keys() & known.keys()):
        place, schema = known[name]
        try:
            found.append((place, _document(name, given[name], schema)))
        except DocumentError as error:
            problems += error.problems
    if problems:
        raise DocumentError(problems)
    return found


def _document(name: str, text: str, schema: dict[str, Any]) -> Document:
    if schema.get("type") == "string" and text[0] not in "\"'":
        return Document(name, text)
    return parse_scalar(text, name)
