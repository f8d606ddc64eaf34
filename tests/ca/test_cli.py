"""The command line: every wrong setting is one line, exit code 2, and nothing is touched."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ca.conftest import CHEAP, Desk


def ask(**sections: object) -> str:
    return "--request=" + json.dumps(sections)


BAD = [
    (["--frob"], "unrecognized arguments: --frob"),
    (["../a"], "name: '../a' is not a name"),
    (["a/b"], "is not a name"),
    ([""], "is not a name"),
    (["x" * 64], "is not a name"),
    (["ca"], "'ca' is an authority and a certificate"),
    (["a", "--key-type", "rsa1024"], "--key-type: 'rsa1024' is unknown: choose one of"),
    (["a", "--days", "ten"], "--days: 'ten' is not a whole number"),
    (["a", "--days", "0"], "days: 0 is not a number of days"),
    (["a", "--days", "999999"], "days: 999999"),
    (["a", "--days", "3", "--not-after", "+1d"], "exclude each other"),
    (["a", "--not-before", "+2d", "--not-after", "+1d"], "before it begins"),
    (["a", "--not-before", "tomorrow"], "'tomorrow' is not a moment"),
    (["a", "--not-after", "0001-01-01"], "out of range"),
    (["a", "--not-after", "9999-12-31"], "out of range"),
    (["a", "--root-days", "-1"], "--root-days: -1 is out of range"),
    (["a", "-o", "xml"], "'xml' is unknown: choose one of text, json"),
    (["--request", "{"], "request:1:2: not JSON"),
    (["--request", "[]"], "request: [] is not an object"),
    (["--request", '{"certificates": {"a": {}, "a": {}}}'], "'a' is there twice"),
    (["--request", "@/nonexistent/request"], "/nonexistent/request: cannot read the request"),
    ([ask(certs={})], "request: unknown setting 'certs': known are authorities, certificates"),
    ([ask(certificates={"a": {"day": 1}})], "certificates.a: unknown setting 'day'"),
    ([ask(certificates={"a": {"days": True}})], "certificates.a.days: True"),
    ([ask(certificates={"a": {"issuer": "nobody"}})], "certificates.a.issuer: no authority 'nobody'"),
    ([ask(certificates={"a": {"ip": ["10.0.0.256"]}})], "certificates.a: '10.0.0.256'"),
    ([ask(certificates={"a": {"dns": "a"}})], "certificates.a.dns: 'a' is not a list"),
    ([ask(certificates={"a": {"dns": ["\u00fc"]}})], "certificates.a: "),
    ([ask(certificates={"a": {"subject": "CN=a,,"}})], "certificates.a.subject"),
    ([ask(certificates={"a": {"subject": "x" * 65}})], "certificates.a.subject"),
    ([ask(certificates={"a": {"identity": "\u001b[31m"}})], "certificates.a.identity"),
    ([ask(certificates={"a": {"key": "stolen"}})], "certificates.a.key: 'stolen' is unknown"),
    ([ask(certificates={"a": {"copy_of": "b"}})], "certificates.a.copy_of: no certificate 'b'"),
    ([ask(certificates={"a": {"copy_of": "a"}})], "certificates.a.copy_of"),
    ([ask(certificates={"a": {"copy_of": "b", "days": 3}, "b": {}})], "(a copy): unknown setting 'days'"),
    ([ask(certificates={"a": {"copy_of": "b"}, "b": {"key": "none"}})], "'b' has no key to copy"),
    ([ask(authorities={"x": {"issuer": "y"}, "y": {"issuer": "x"}})], "a loop"),
    ([ask(authorities={"ca": {"issuer": "x"}, "x": {}})], "'ca' is the root"),
    ([ask(authorities={"x": {"path_length": -1}})], "authorities.x.path_length: -1"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[says for _, says in BAD])
def test_usage_errors(desk: Desk, arguments: list[str], says: str) -> None:
    code, out, err = desk.call(*arguments)
    assert code == 2
    assert out == {}
    assert says in err
    assert len(err.splitlines()) == 1
    assert not desk.directory.exists()


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"CA_CHECK": "perhaps"}, "CA_CHECK: 'perhaps' is neither yes nor no"),
        ({"CA_DAYS": "x"}, "CA_DAYS: 'x' is not a whole number"),
        ({"CA_OUTPUT": "xml"}, "CA_OUTPUT: 'xml' is unknown"),
    ],
)
def test_environment_errors_name_the_variable(desk: Desk, environment: dict[str, str], says: str) -> None:
    code, _, err = desk.call("a", **environment)
    assert code == 2
    assert says in err


def test_everything_by_environment(desk: Desk, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"certificates": {"a": {"days": -1}}}')
    out = desk.run(
        CA_CERTS_DIR=str(tmp_path / "c"),
        CA_AUTHORITY_KEYS_DIR=str(tmp_path / "k"),
        CA_KEYS_DIR=str(tmp_path / "n" / "{name}"),
        CA_NAMES="b, c d",
        CA_REQUEST=f"@{request}",
        CA_DAYS="20",
        CA_ROOT_SUBJECT="CN=Our CA,O=School",
    )
    assert list(out) == ["ca", "a", "b", "c", "d"]
    assert out["ca"]["subject"] == "CN=Our CA,O=School"
    assert out["d"]["key"] == str(tmp_path / "n" / "d" / "d-key.pem")
    assert (tmp_path / "k" / "ca-key.pem").is_file()
    assert str(out["a"]["not_after"]) < str(out["b"]["not_after"])
    assert not desk.directory.exists()


def test_the_default_is_a_responder_and_an_initiator(desk: Desk) -> None:
    assert list(desk.run()) == ["ca", "responder", "initiator"]


def test_the_module_runs_and_says_one_line_each(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ca", "--dir", str(tmp_path), "a"]
    environment = {**CHEAP, "CA_OUTPUT": "text"}
    root = Path(__file__).parents[2]
    run = subprocess.run(
        command, env=environment, cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    first, second = run.stdout.splitlines()
    assert first.startswith("ca: made (there is none yet): ")
    assert second.startswith(
        f"a: made (there is none yet): {tmp_path}/a-cert.pem, CN=a, DNS:a, ecdsa-p256, issued by "
    )
    assert "SHA-256 " in second


def test_help_names_every_option_and_the_request(desk: Desk) -> None:
    command = [sys.executable, "-m", "ca", "--help"]
    root = Path(__file__).parents[2]
    text = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60).stdout
    for word in ("--keys-dir", "--replace", "CA_NAMES", "copy_of", "exit codes", "{name}"):
        assert word in text


def test_the_package_needs_only_cryptography_and_the_standard_library() -> None:
    allowed = {"ca", "cryptography", *sys.stdlib_module_names}
    for path in (Path(__file__).parents[2] / "ca").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in found} <= allowed, path
