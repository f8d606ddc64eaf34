"""bench/dataplane/content: octets that arrive are right, and one that is not is told."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from bench.dataplane import content
from bench.dataplane.content import DIGEST, main, send, serve

SIZE = 300_000


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_all_octets_are_right(threads: ThreadPoolExecutor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threads.submit(serve, server)
        with socket.create_connection(server.getsockname(), content.PATIENCE) as connection:
            assert send(connection, SIZE) == ""
        serving.result(content.PATIENCE)


def liar(threads: ThreadPoolExecutor, connection: socket.socket, there: bytes, back: bytes) -> "Future[None]":
    """The far end of a way on which `there` was added to what went, and `back` to what came."""

    def serve() -> None:
        came = content._all(connection) + there
        answer = bytes(SIZE)
        digests = hashlib.sha256(came).digest() + hashlib.sha256(answer).digest()
        connection.sendall(digests + answer[len(back) :] + back)
        connection.close()

    return threads.submit(serve)


@pytest.mark.parametrize(
    ("there", "back", "told"),
    [
        (b"", b"", ""),
        (b"x", b"", "of 300000 octets that were sent others arrived"),
        (b"", b"x", "of 300000 octets that were to come back others arrived"),
    ],
)
def test_other_octets_are_told(threads: ThreadPoolExecutor, there: bytes, back: bytes, told: str) -> None:
    near, far = socket.socketpair()
    lying = liar(threads, far, there, back)
    with near:
        assert send(near, SIZE) == told
    lying.result(content.PATIENCE)


def test_a_way_that_breaks_off_is_told() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(bytes(DIGEST))
        far.shutdown(socket.SHUT_WR)
        assert "others arrived" in send(near, 10)


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["send", "127.0.0.1", "many"]) == 2
    assert "serve ADDRESS" in capsys.readouterr().err
