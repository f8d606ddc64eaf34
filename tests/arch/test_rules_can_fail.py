"""Each rule finds the breach in a small bad tree, and nothing in the good tree beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.arch import rules

Rule = Callable[[Path], list[str]]

SMALL = "def g(): ...\ndef h(): ...\n"
GUARDED = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import node.ike.sa\n"

# rule, file, its source (a docstring is put before it), what the breach must say
BAD: tuple[tuple[Rule, str, str, str], ...] = (
    (
        rules.layer_breaches,
        "node/model/a.py",
        "import node.esp.packet",
        "node.model.a imports node.esp.packet",
    ),
    (rules.layer_breaches, "node/model/a.py", "from node import ports", "imports node.ports"),
    (rules.layer_breaches, "node/model/a.py", "from ..ports import Codec", "imports node.ports.Codec"),
    (rules.layer_breaches, "node/wire/asn1/a.py", "import node.wire.rfc7296", "imports node.wire.rfc7296"),
    (
        rules.layer_breaches,
        "node/wire/asn1/a.py",
        "from node.wire import rfc7296",
        "imports node.wire.rfc7296",
    ),
    (rules.layer_breaches, "node/wire/rfc7296/a.py", "import node.crypto.prf", "imports node.crypto.prf"),
    (rules.layer_breaches, "node/crypto/a.py", "import node.wire.asn1", "imports node.wire.asn1"),
    (rules.layer_breaches, "node/crypto/a.py", "import node.wire", "imports node.wire"),
    (rules.layer_breaches, "node/wire/__init__.py", "import node.wire.asn1", "imports node.wire.asn1"),
    (rules.layer_breaches, "node/esp/a.py", "import node.pki.path", "imports node.pki.path"),
    (rules.layer_breaches, "node/pki/a.py", GUARDED, "imports node.ike.sa"),
    (rules.layer_breaches, "node/pki/a.py", "def f():\n    import node.esp", "imports node.esp"),
    (
        rules.layer_breaches,
        "node/ike/a.py",
        "import importlib\nimportlib.import_module('node.net.udp')",
        "node.net.udp",
    ),
    (rules.layer_breaches, "node/net/a.py", "import node.daemon", "imports node.daemon"),
    (rules.layer_breaches, "node/daemon/a.py", "import node.cli", "imports node.cli"),
    (rules.layer_breaches, "node/elsewhere.py", "", "is in no layer"),
    (rules.package_breaches, "lab/a.py", "import node.model", "lab.a imports node.model"),
    (rules.package_breaches, "node/model/a.py", "import ca", "imports ca"),
    (rules.package_breaches, "ca/a.py", "from lab import images", "imports lab.images"),
    (rules.package_breaches, "yamlschema/a.py", "import node", "imports node"),
    (rules.package_breaches, "linetalk/a.py", "import node", "imports node"),
    (rules.package_breaches, "yamlschema/a.py", "import linetalk", "imports linetalk"),
    (rules.package_breaches, "ca/a.py", "import linetalk", "imports linetalk"),
    (rules.wire_breaches, "lab/wire/a.py", "from lab.errors import UsageError", "imports lab.errors"),
    (rules.wire_breaches, "lab/wire/a.py", "from lab import text", "imports lab.text"),
    (rules.wire_breaches, "lab/wire/a.py", "import lab", "imports lab"),
    (rules.wire_breaches, "lab/wire/a.py", "def f():\n    import yaml", "imports yaml"),
    (rules.wire_breaches, "lab/wire/__init__.py", "import yamlschema", "imports yamlschema"),
    (rules.wire_breaches, "linetalk/a.py", "import yaml", "imports yaml"),
    (rules.wire_breaches, "linetalk/a.py", "import lab.wire", "imports lab.wire"),
    (
        rules.library_breaches,
        "node/pki/a.py",
        "from cryptography.hazmat.primitives import hashes",
        "imports cryptography.hazmat.primitives.hashes",
    ),
    (
        rules.library_breaches,
        "node/esp/a.py",
        "from cryptography.hazmat import primitives",
        "imports cryptography.hazmat.primitives",
    ),
    (rules.library_breaches, "node/wire/rfc7296/a.py", "from cryptography.hazmat import asn1", "hazmat.asn1"),
    (rules.io_breaches, "node/ike/a.py", "import time", "imports time"),
    (rules.io_breaches, "node/ike/a.py", "import linetalk.server", "imports linetalk"),
    (rules.io_breaches, "node/esp/a.py", "from socket import AF_INET", "imports socket.AF_INET"),
    (rules.io_breaches, "node/crypto/a.py", "import os\nx = os.urandom(8)", "uses os.urandom"),
    (rules.io_breaches, "node/crypto/a.py", "from os import urandom", "uses os.urandom"),
    (rules.io_breaches, "node/model/a.py", "import asyncio.events", "imports asyncio.events"),
    (rules.profile_word_breaches, "node/ike/a.py", "profile = 'asn1'", "names a wire profile"),
    (rules.profile_word_breaches, "node/ike/a.py", "# as in RFC7296", "names a wire profile"),
    (rules.compare_breaches, "node/esp/a.py", "ok = icv == got", "hmac.compare_digest"),
    (rules.compare_breaches, "node/esp/a.py", "ok = packet.icv[:16] != got", "hmac.compare_digest"),
    (rules.compare_breaches, "node/pki/a.py", "ok = digest == other", "hmac.compare_digest"),
    (rules.compare_breaches, "ca/a.py", "ok = h.digest() == b'x'", "hmac.compare_digest"),
    (rules.compare_breaches, "node/crypto/a.py", "ok = got == expected_tag", "hmac.compare_digest"),
    (rules.proof_breaches, "node/ike/a.py", "proof = VerifiedPeer()", "makes a VerifiedPeer"),
    (rules.proof_breaches, "node/pki/a.py", "proof = SharedKeyPeer()", "makes a SharedKeyPeer"),
    (rules.proof_breaches, "node/ike/a.py", "proof = transcript.AuthVerified(1)", "makes a AuthVerified"),
    (rules.size_breaches, "node/a.py", SMALL + "def f():\n" + "    x = 1\n" * 65, "f: 66 lines"),
    (rules.size_breaches, "node/a.py", "x = 1\n" * 660, "661 lines"),
    (rules.size_breaches, "lab/a.py", "def f():\n" + "    x = 1\n" * 10, "median function has 11"),
)

GOOD: Mapping[str, str] = {
    "node/__init__.py": "",
    "node/model/a.py": "from node.model.b import x\nimport node.errors",
    "node/ports.py": "import node.model.a",
    "node/wire/__init__.py": "",
    "node/wire/asn1/a.py": "from cryptography.hazmat import asn1\nok = tag == 0x30\nsame = tag == wanted_tag",
    "node/crypto/a.py": "from cryptography.hazmat.primitives import hashes\nimport os\nimport hmac",
    "node/pki/a.py": "import node.crypto.keys\nproof = VerifiedPeer(1)",
    "node/ike/transcript.py": "import node.pki.a\nproof = AuthVerified(1)  # RFC 7296\nx = icv is None",
    "node/net/a.py": "import socket, time, asyncio\nimport node.ports",
    "node/daemon/a.py": "import node.net.a, node.wire.asn1, yamlschema, linetalk",
    "node/__main__.py": "from node.cli import main",
    "node/cli.py": "import node.daemon\ndef f():\n    return 1",
    "lab/a.py": "import yamlschema\nok = mac_address == other",
    "lab/wire/a.py": "import asyncio, os.path, linetalk\nfrom lab.wire import b\nimport lab.wire.b",
    "ca/a.py": "from cryptography.hazmat.primitives import hashes",
    "yamlschema/__init__.py": "",
    "linetalk/__init__.py": "import asyncio, linetalk.a",
}


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""What it is."""\n{source}', encoding="utf-8")
    return root


ALL_RULES = (*dict.fromkeys(rule for rule, *_ in BAD), rules.docstring_breaches)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: str(rule.__name__))
def test_good_tree_passes(rule: Rule, tmp_path: Path) -> None:
    assert rule(write(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("rule", "file", "source", "says"), BAD, ids=lambda value: getattr(value, "__name__", None)
)
def test_bad_tree_fails(rule: Rule, file: str, source: str, says: str, tmp_path: Path) -> None:
    breaches = rule(write(tmp_path, {file: source}))
    assert len(breaches) == 1
    assert says in breaches[0]
    assert file.split("/")[0] in breaches[0]


@pytest.mark.parametrize("source", ["", "x = 1", '""" """'])
def test_module_without_docstring_fails(source: str, tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "__init__.py").write_text(source, encoding="utf-8")
    assert rules.docstring_breaches(tmp_path) == ["ca/__init__.py: no docstring"]
