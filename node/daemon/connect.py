"""Find the way to the peer: resolve its name, a bounded number of times, and ask the kernel for our
address.
"""

import asyncio
import concurrent.futures.thread

from node.model.message import Path
from node.net.resolve import addresses
from node.net.udp import UdpSocket

#: What the first use of a thread would import: later, as another user, the interpreter might not be allowed to
#: read its own library.
PRELOADED = (concurrent.futures.thread,)

#: A name may not be known yet while a lab comes up: tries, and seconds between them.
TRIES, PAUSE = 10, 0.5


async def find_path(udp: UdpSocket, host: str, port: int) -> Path:
    """The path to the first usable address of `host`.

    Raises OSError, naming host and cause, after the last try.
    """
    loop = asyncio.get_running_loop()
    for left in range(TRIES - 1, -1, -1):
        try:
            found = await loop.run_in_executor(None, addresses, host, port, udp.version)
            return _first_usable(udp, found, port)
        except OSError:
            if not left:
                raise
        await asyncio.sleep(PAUSE)
    raise OSError(f"{host} was never tried")


def _first_usable(udp: UdpSocket, found: tuple[str, ...], port: int) -> Path:
    problems = []
    for address in found:
        try:
            return udp.path_to(address, port)
        except OSError as error:
            problems.append(f"{address}: {error.strerror}")
    raise OSError(f"no way to the peer ({', '.join(problems)})")
