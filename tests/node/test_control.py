"""The control socket: good requests, bad input, bounds, stale files, and the client."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linetalk.answers import RequestError
from linetalk.server import MAX_CONNECTIONS, ControlServer, listen
from node.control import client
from node.control.protocol import COMMANDS, MAX_REQUEST, Request, parse_request

ROOT = Path(__file__).resolve().parents[2]

BAD_REQUESTS = [
    (b"", "is not JSON"),
    (b"\xff\xfe", "is not JSON"),
    (b"[" * 3000, "is not JSON"),
    (b"[]", 'not an object with a "command"'),
    (b"{}", 'not an object with a "command"'),
    (b'{"command": 1}', 'not an object with a "command"'),
    (b'{"command": "statsu"}', "did you mean 'status'?"),
    (b'{"command": "shutdown"}', "known are status"),
    (b'{"command": "status", "x": "1"}', "status takes no argument 'x'"),
    (b'{"command": "terminate", "ike_spi": 7}', "ike_spi is not a string"),
]


@pytest.mark.parametrize(("line", "message"), BAD_REQUESTS)
def test_a_bad_request_gets_its_reason(line: bytes, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(line)
    assert message in str(caught.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command: str) -> None:
    assert parse_request(json.dumps({"command": command}).encode()) == Request(command, {})


@given(st.binary(max_size=80) | st.recursive(st.none() | st.text(max_size=9), st.lists, max_leaves=5).map(
    lambda v: json.dumps({"command": v}).encode()
))  # fmt: skip
def test_any_line_is_a_request_or_a_refusal(line: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert parse_request(line).command in COMMANDS


def _handler(request: Request) -> Mapping[str, Any]:
    if request.command == "version":
        raise RequestError("not today")
    if request.command == "counters":
        raise ZeroDivisionError("a bug")
    return {"command": request.command, "arguments": dict(request.arguments)}


def _serve(path: Path, talk: Callable[[], Coroutine[Any, Any, None]]) -> list[BaseException]:
    """Run a server and a conversation with it; returns the bugs it reported."""
    bugs: list[BaseException] = []

    async def run() -> None:
        server = ControlServer(
            str(path), lambda line: _handler(parse_request(line)), bugs.append, MAX_REQUEST
        )
        await server.start()
        try:
            await asyncio.wait_for(talk(), 20)
        finally:
            await server.stop()

    asyncio.run(run())
    return bugs


async def _exchange(path: Path, *lines: bytes) -> list[Any]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        answers = []
        for line in lines:
            writer.write(line)
            answers.append(json.loads(await reader.readline()))
        return answers
    finally:
        writer.close()


def test_requests_are_answered_in_order_and_bad_ones_do_not_end_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def talk() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        answers = await _exchange(
            path, b'{"command": "status"}\n', b"nonsense\n", b'{"command": "version"}\n',
            b'{"command": "terminate", "ike_spi": "00"}\n',
        )  # fmt: skip
        assert answers == [
            {"ok": True, "command": "status", "arguments": {}},
            {"ok": False, "error": "the request is not JSON"},
            {"ok": False, "error": "not today"},
            {"ok": True, "command": "terminate", "arguments": {"ike_spi": "00"}},
        ]

    assert _serve(path, talk) == []
    assert not path.exists()


def test_a_line_without_end_is_refused_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def talk() -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * (MAX_REQUEST + 10))
        assert json.loads(await reader.readline())["error"] == f"a request has at most {MAX_REQUEST} octets"
        assert await reader.read() == b""
        writer.close()
        assert (await _exchange(path, b'{"command": "status"}\n'))[0]["ok"]

    assert _serve(path, talk) == []


def test_connections_are_bounded_and_come_free(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def talk() -> None:
        held = [await asyncio.open_unix_connection(str(path)) for _ in range(MAX_CONNECTIONS)]
        for reader, writer in held:
            writer.write(b'{"command": "status"}\n')
            assert json.loads(await reader.readline())["ok"]
        assert await _exchange(path, b"") == [{"ok": False, "error": "too many connections"}]
        for _, writer in held:
            writer.close()
        while not (await _exchange(path, b'{"command": "status"}\n'))[0]["ok"]:
            await asyncio.sleep(0)

    assert _serve(path, talk) == []


def test_a_bug_in_a_handler_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def talk() -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b'{"command": "counters"}\n')
        assert await reader.read() == b""
        writer.close()

    assert [type(bug) for bug in _serve(path, talk)] == [ZeroDivisionError]


def test_a_stale_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen(path).close()
    live = listen(path)
    with pytest.raises(OSError, match="another process listens"):
        listen(path)
    live.close()
    plain = tmp_path / "plain"
    plain.write_text("precious")
    with pytest.raises(OSError, match="is no socket"):
        listen(str(plain))
    assert plain.read_text() == "precious"
    with pytest.raises(FileNotFoundError):
        listen(str(tmp_path / "no" / "s"))


def _answering(path: Path, answer: bytes) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listener


CLIENT = [
    (["health"], b'{"ok": true, "healthy": true}\n', 0, "healthy: yes"),
    (["health"], b'{"ok": true, "healthy": false}\n', 1, "healthy: no"),
    (["status"], b'{"ok": true, "a": {"b": [1, 2]}}\n', 0, "a:\n  b: 1, 2"),
    (["status"], b'{"ok": true, "c": [{"d": null}]}\n', 0, "c:\n  [0]\n    d: none"),
    (["status"], b'{"ok": true, "a": "x\\u001b[2J"}\n', 0, "a: x\\x1b[2J"),
    (["terminate", "00"], b'{"ok": false, "error": "no IKE SA"}\n', 1, "error: no IKE SA"),
    (["status", "-o", "json"], b'{"ok": true}\n', 0, '{"ok": true}'),
    (["status"], b'{"ok": tr', 4, ""),
    (["health"], b"", 1, ""),
    (["status"], b"[]\n", 4, ""),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "answer", "code", "output"), CLIENT)
def test_the_client(
    arguments: list[str],
    answer: bytes,
    code: int,
    output: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with _answering(tmp_path / "s", answer):
        assert client.main([*arguments, "-s", str(tmp_path / "s")]) == code
    assert capsys.readouterr().out.strip() == output


def test_the_client_without_a_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_CONTROL__SOCKET", raising=False)
    assert client.main(["status"]) == 2
    assert client.main(["health"]) == 1
    assert client.main(["status", "-s", str(tmp_path / "s")]) == 4
    assert client.main(["health", "-s", str(tmp_path / "s")]) == 1
    assert "is the node running?" in capsys.readouterr().err
    monkeypatch.setenv("NODE_CONTROL__SOCKET", str(tmp_path / "s"))
    assert client.main(["status"]) == 4


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs uid 0 and setpriv")
def test_root_with_the_capabilities_of_a_container_reaches_the_socket_of_another_user() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        with _answering(path, b'{"ok": true, "healthy": true}\n'):
            os.chmod(directory, 0o1777)
            os.chown(path, 10001, 10001)
            path.chmod(0o600)
            bounding = "--bounding-set=-all,+setuid,+setgid,+net_admin"
            command = ["setpriv", bounding, "--no-new-privs", sys.executable, "-m", "node", "ctl", "health"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "NODE_CONTROL__SOCKET": str(path)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy: yes\n", "")


def test_the_client_imports_nothing_heavy() -> None:
    heavy = ("cryptography", "yaml", "asyncio", "node.ike", "node.crypto", "node.config")
    code = (
        "import sys; from node.cli import main\n"
        "main(['ctl', 'health', '-s', '/nonexistent'])\n"
        f"print([m for m in sys.modules if m.startswith({heavy!r})])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "[]"
