"""Find the way to the peer: resolve its name, a bounded number of times, and ask the kernel for our
address.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from ipaddress import ip_address

from node.model.message import Path
from node.net.resolve import addresses
from node.net.udp import UdpSocket

#: A name may not be known yet while a lab comes up: tries, and seconds between them.
TRIES, PAUSE = 10, 0.5


async def find_path(udp: UdpSocket, host: str, port: int) -> Path:
    """The path to the first usable address of `host`.

    Raises OSError, naming host and cause, after the last try.
    """
    for left in range(TRIES - 1, -1, -1):
        try:
            found = await _resolve(host, port, udp.version)
            return _first_usable(udp, found, port)
        except OSError:
            if not left:
                raise
        await asyncio.sleep(PAUSE)
    raise OSError(f"{host} was never tried")


async def _resolve(host: str, port: int, version: int) -> tuple[str, ...]:
    # What is an address already makes nobody wait: no thread, which costs as much as a key exchange.
    if _is_address(host):
        return addresses(host, port, version)
    return await _in_thread(lambda: addresses(host, port, version))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _in_thread(work: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Run `work` in a thread that nobody waits for: a resolver that hangs must not hold up a node that
    stops.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def settle(found: tuple[str, ...], error: Exception | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(found)

    def run() -> None:
        found: tuple[str, ...] = ()
        failure: Exception | None = None
        try:
            found = work()
        except Exception as error:
            failure = error
        # A loop that is closed by now has nobody who wants to know.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _first_usable(udp: UdpSocket, found: tuple[str, ...], port: int) -> Path:
    problems = []
    for address in found:
        try:
            return udp.path_to(address, port)
        except OSError as error:
            problems.append(f"{address}: {error.strerror}")
    raise OSError(f"no way to the peer ({', '.join(problems)})")
