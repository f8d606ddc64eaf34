"""The rules of the source tree as functions from a directory to a list of breaches, one line each.

They look at syntax trees only, so a rule holds for code that no test runs, and for imports under
TYPE_CHECKING. Each takes the root of a tree: the tests give it the project, and a small bad tree to show that
it can fail.
"""

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("node", "ca", "lab", "yamlschema", "linetalk")

MAX_FUNCTION_LINES = 65
MAX_MEDIAN_LINES = 10
MAX_FILE_LINES = 660

# Longest prefix wins. Groups of one layer are blind to one another unless SIDEWAYS says so.
LAYERS = {
    "node": 0,
    "node.model": 0,
    "node.ports": 0,
    "node.errors": 0,
    "node.version": 0,
    "node.wire.rfc7296": 1,
    "node.wire.asn1": 1,
    "node.crypto": 1,
    "node.esp": 2,
    "node.pki": 2,
    "node.ike": 3,
    "node.eventlog": 4,
    "node.prose": 4,
    "node.net": 4,
    "node.config": 4,
    "node.control": 4,
    "node.daemon": 4,
    "node.cli": 5,
    "node.__main__": 5,
}
# `node.wire` itself is a name that holds two packages: an import of it, or by it, is a way round the wall.
NAMESPACES = frozenset({"node.wire"})
SIDEWAYS = frozenset(
    {
        ("node.ports", "node.model"),
        ("node.ports", "node.errors"),
        ("node.errors", "node.model"),
        ("node.model", "node.errors"),
        ("node.__main__", "node.cli"),
    }
)
IO_LAYER = 4
# Layer 4 is the world outside: its parts may use one another, but only the daemon puts them together.
ROOT_OF_COMPOSITION = "node.daemon"
IO_MODULES = frozenset(
    {
        "socket",
        "time",
        "asyncio",
        "subprocess",
        "select",
        "selectors",
        "signal",
        "threading",
        "multiprocessing",
    }
    # the last is ours: sockets and pipes
    | {"random", "secrets", "linetalk"}
)
# Who may import which part of the library: prefixes of module names.
PRIVATE_LIBRARIES = {
    "cryptography.hazmat.primitives": ("node.crypto",),
    "cryptography.hazmat.asn1": ("node.wire.asn1",),
}
PROOFS = {
    "VerifiedPeer": ("node.pki",),
    "SharedKeyPeer": ("node.pki.sharedkey",),
    "AuthVerified": ("node.ike.transcript",),
}
PROFILE_WORDS = re.compile(r"asn\.?_?1|rfc7296", re.IGNORECASE)
SECRET_WORDS = frozenset({"icv", "mac", "hmac", "tag", "digest"})
# Here a tag is the first octet of a DER element.
DER_READERS = ("node.wire.asn1", "node.pki")


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed source file: dotted name, path relative to the root, text, tree."""

    name: str
    path: str
    text: str
    tree: ast.Module
    is_package: bool


@dataclass(frozen=True, slots=True)
class Import:
    """`target` is imported by `module`; with `from a import b` both `a` and `a.b` are looked at."""

    module: Module
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.module.path}:{self.line}: {self.module.name} imports {self.target}"


def modules(root: Path, packages: tuple[str, ...] = PACKAGES) -> Iterator[Module]:
    """Every module of `packages` under `root`, by path."""
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            relative = path.relative_to(root)
            is_package = path.name == "__init__.py"
            parts = relative.parent.parts if is_package else relative.with_suffix("").parts
            text = path.read_text(encoding="utf-8")
            yield Module(".".join(parts), relative.as_posix(), text, _tree(text), is_package)


@cache
def _tree(text: str) -> ast.Module:
    """A module's syntax, once for all rules: they only look at it."""
    return ast.parse(text)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def imports(module: Module) -> Iterator[Import]:
    """All imports of a module wherever they stand: top, function, TYPE_CHECKING, importlib by a literal."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (Import(module, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            yield from (Import(module, node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and last_name(node.func) in {"import_module", "__import__"}:
            yield from (
                Import(module, node.lineno, argument.value)
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )


def last_name(node: ast.expr) -> str:
    """`b` of the expressions `b` and `a.b`; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def is_in(name: str, prefix: str) -> bool:
    """Whether a dotted name is `prefix` or lies below it."""
    return name == prefix or name.startswith(f"{prefix}.")


def group(name: str) -> str:
    """The longest entry of LAYERS that `name` lies in; the bare `node` only stands for itself."""
    found = [prefix for prefix in LAYERS if prefix != "node" and is_in(name, prefix)]
    return max(found, key=len, default="node" if name == "node" else "")


def layer_breaches(root: Path) -> list[str]:
    """Imports inside `node` that go up or sideways, and modules that no layer knows."""
    found = []
    for module in modules(root, ("node",)):
        own = group(module.name)
        if not own and module.name not in NAMESPACES:
            found.append(
                f"{module.path}: {module.name} is in no layer: put it in LAYERS of tests/arch/rules.py"
            )
            continue
        found += [str(item) for item in imports(module) if _goes_wrong(own, item.target)]
    return found


def _goes_wrong(own: str, target: str) -> bool:
    if not is_in(target, "node"):
        return False
    if not own or target in NAMESPACES:
        return True
    other = group(target)
    if not other:  # `from node import x` names a module, or an attribute of the package, which has none
        return True
    if LAYERS[other] == LAYERS[own] == IO_LAYER and other != ROOT_OF_COMPOSITION:
        return False
    return other != own and LAYERS[other] >= LAYERS[own] and (own, other) not in SIDEWAYS


def package_breaches(root: Path) -> list[str]:
    """`node`, `lab` and `ca` never import each other; what serves `node` and `lab` knows neither."""
    served = {"node": {"yamlschema", "linetalk"}, "lab": {"yamlschema", "linetalk"}}
    return [
        str(item)
        for module in modules(root)
        for item in imports(module)
        if (top := item.target.split(".")[0]) in PACKAGES
        and (own := module.name.split(".")[0]) != top
        and top not in served.get(own, set[str]())
    ]


def wire_breaches(root: Path) -> list[str]:
    """`lab.wire` runs beside the nodes, where nothing else is installed: the standard library, itself and
    `linetalk`, which has no more.
    """
    return [
        str(item)
        for module in modules(root, ("lab", "linetalk"))
        if (of_wire := is_in(module.name, "lab.wire")) or is_in(module.name, "linetalk")
        for item in imports(module)
        if not (of_wire and is_in(item.target, "lab.wire"))
        and item.target.split(".")[0] not in sys.stdlib_module_names | {"linetalk"}
    ]


def library_breaches(root: Path) -> list[str]:
    """Parts of pyca/cryptography that one package of `node` keeps to itself."""
    return [
        str(item)
        for module in modules(root, ("node",))
        for item in imports(module)
        for library, owners in PRIVATE_LIBRARIES.items()
        if is_in(item.target, library) and not any(is_in(module.name, owner) for owner in owners)
    ]


def io_breaches(root: Path) -> list[str]:
    """Sockets, clocks, event loops, processes and the system's random numbers below layer 4."""
    found = []
    for module in modules(root, ("node",)):
        if LAYERS.get(group(module.name), 0) >= IO_LAYER:
            continue
        found += [str(item) for item in imports(module) if item.target.split(".")[0] in IO_MODULES]
        found += [
            f"{module.path}:{node.lineno}: {module.name} uses os.urandom"
            for node in ast.walk(module.tree)
            if (isinstance(node, ast.Attribute) and node.attr in {"urandom", "getrandom"})
            or (
                isinstance(node, ast.ImportFrom)
                and any(a.name in {"urandom", "getrandom"} for a in node.names)
            )
        ]
    return found


def profile_word_breaches(root: Path) -> list[str]:
    """The engine does not know which codec is in use: no name of one in `node/ike`, not even in prose."""
    return [
        f"{module.path}:{number}: names a wire profile: {line.strip()}"
        for module in modules(root, ("node",))
        if is_in(module.name, "node.ike")
        for number, line in enumerate(module.text.splitlines(), 1)
        if PROFILE_WORDS.search(line)
    ]


def compare_breaches(root: Path) -> list[str]:
    """`==` on something called icv, mac, tag or digest: hmac.compare_digest takes the same time for all.

    A comparison with None, a number or a NAMED_CONSTANT is about a kind (an ASN.1 tag), not about a secret.
    """
    return [
        f"{module.path}:{node.lineno}: compare with hmac.compare_digest: {ast.unparse(node)}"
        for module in modules(root)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and any(_is_secret(side, _secret_words(module)) for side in (node.left, *node.comparators))
        and not any(_is_kind(side) for side in (node.left, *node.comparators))
    ]


def _secret_words(module: Module) -> frozenset[str]:
    reads_der = any(is_in(module.name, reader) for reader in DER_READERS)
    return SECRET_WORDS - {"tag"} if reads_der else SECRET_WORDS


def _is_secret(side: ast.expr, words: frozenset[str]) -> bool:
    while isinstance(side, ast.Subscript | ast.Call):
        side = side.func if isinstance(side, ast.Call) else side.value
    return not words.isdisjoint(last_name(side).lower().split("_")[-1:])


def _is_kind(side: ast.expr) -> bool:
    if isinstance(side, ast.Constant):
        return not isinstance(side.value, bytes)
    return last_name(side).isupper()


def proof_breaches(root: Path) -> list[str]:
    """A proof object that is made anywhere but where the proving is done proves nothing."""
    return [
        f"{module.path}:{node.lineno}: {module.name} makes a {last_name(node.func)}"
        for module in modules(root)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and (owners := PROOFS.get(last_name(node.func)))
        and not any(is_in(module.name, owner) for owner in owners)
    ]


def docstring_breaches(root: Path) -> list[str]:
    """Every module says in its first line what lives in it."""
    return [f"{m.path}: no docstring" for m in modules(root) if not (ast.get_docstring(m.tree) or "").strip()]


def function_lengths(root: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, int]:
    """Lines of every function, from `def` to its last line, by place."""
    return {
        f"{module.path}:{node.lineno}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in modules(root, packages)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def size_breaches(root: Path, packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Functions and files over the limits, and packages whose median function is."""
    long = function_lengths(root, packages).items()
    found = [f"{where}: {lines} lines" for where, lines in long if lines > MAX_FUNCTION_LINES]
    for module in modules(root, packages):
        if (lines := len(module.text.splitlines())) > MAX_FILE_LINES:
            found.append(f"{module.path}: {lines} lines")
    for package in packages:
        lengths = function_lengths(root, (package,)).values()
        if lengths and (median := statistics.median(lengths)) > MAX_MEDIAN_LINES:
            found.append(f"{package}: the median function has {median} lines")
    return found
