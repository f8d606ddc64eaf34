"""What a peer can fill is bounded, and what it writes never reaches a shell or an interpreter."""

import ast
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import node
from node.model.registry import KeId
from tests.unit.pki import factory

ROOT = Path(__file__).resolve().parents[2]

#: Names that run what they are given.
_EXECUTE = frozenset(
    {"eval", "exec", "compile", "system", "popen", "Popen", "run_path", "__import__", "loads"}
)
#: Calls of these names that do not: JSON, and regular expressions and coroutines of our own.
_HARMLESS = {("json", "loads"), ("re", "compile")}
_MODULES = frozenset({"subprocess", "pickle", "marshal", "shelve", "pty", "code", "ctypes"})
#: Kept by key exchange method, of which there are a few; of one that is none nothing is kept.
_BY_GROUP = {"node.crypto.modp.modulus", "node.crypto.modp._parameters"}
#: prctl(2) and capset(2) of the start, before anybody sends anything; compiled loops, in a file beside it.
_AT_START = {"privileges.py", "rows.py"}


def caches() -> Iterator[tuple[str, "functools._lru_cache_wrapper[object]"]]:
    """Every function of the node that remembers its results."""
    for found in pkgutil.walk_packages(node.__path__, "node."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, functools._lru_cache_wrapper) and value.__module__ == found.name:
                yield f"{found.name}.{name}", value


def test_every_cache_is_bounded() -> None:
    found = {name: cache.cache_info().maxsize for name, cache in caches()}
    assert len(found) > 5
    assert {name for name, size in found.items() if (size or 10**9) > 1024} == _BY_GROUP


def test_variants_of_one_certificate_fill_nothing() -> None:
    """CVE-2021-41991: a thousand of them, each another one to every cache."""
    root = factory.ca("Root")
    good = factory.leaf("peer", root, "dns:peer").der
    for number in range(1_000):
        changed = good[:-2] + number.to_bytes(2)
        if changed != good:
            assert factory.failure([changed], [root.der], "fqdn:peer") is not None
    assert factory.failure([good], [root.der], "fqdn:peer") is None
    for name, cache in caches():
        info = cache.cache_info()
        assert info.currsize <= (info.maxsize or len(KeId)), name


def executing(path: Path) -> Iterator[str]:
    """Calls and imports by which octets of a peer could come to be executed."""
    for element in ast.walk(ast.parse(path.read_text())):
        where = f"{path}:{getattr(element, 'lineno', 0)}"
        if isinstance(element, ast.Import | ast.ImportFrom) and path.name not in _AT_START:
            names = [alias.name for alias in element.names]
            module = element.module if isinstance(element, ast.ImportFrom) else None
            yield from (f"{where}: {name}" for name in (*names, module) if name in _MODULES)
        elif isinstance(element, ast.Call):
            function = element.func
            if isinstance(function, ast.Name) and function.id in _EXECUTE:
                yield f"{where}: {function.id}"
            if isinstance(function, ast.Attribute) and function.attr in _EXECUTE:
                of = function.value.id if isinstance(function.value, ast.Name) else ""
                if (of, function.attr) not in _HARMLESS:
                    yield f"{where}: {function.attr}"


def test_the_node_executes_nothing() -> None:
    """CVE-2023-28771: what a packet holds went into a command line, by way of a log."""
    found = [breach for path in sorted((ROOT / "node").rglob("*.py")) for breach in executing(path)]
    assert found == []


def test_a_shell_would_be_found(tmp_path: Path) -> None:
    source = (
        "import os, subprocess\nos.system('log ' + peer)\neval(peer)\nsubprocess.Popen(peer, shell=True)\n"
    )
    (tmp_path / "bad.py").write_text(source)
    assert len(list(executing(tmp_path / "bad.py"))) == 4


def test_the_decoder_of_the_lab_is_past_its_known_bombs() -> None:
    """CVE-2026-59884, -59885, -59886 of pyasn1 before 0.6.4; the node does not use it at all."""
    locked = re.findall(r"^pyasn1==([\d.]+)", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    assert [tuple(map(int, version.split("."))) >= (0, 6, 4) for version in locked] == [True]
    assert "pyasn1" not in (ROOT / "requirements" / "node.txt").read_text()
