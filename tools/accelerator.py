"""`python tools/accelerator.py [--remove]`: compile node/crypto/rows.c beside it (docs/adr/0038).

The library is put in place only when it has passed the test that every node makes of it (`node.crypto.rows`).

Exit codes: 0 made or removed; 2 usage; 4 no compiler, no headers of OpenSSL, or the test was not passed.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from node.crypto import rows

SOURCE = rows.FILE.with_name("rows.c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = (
    *("-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"),
    *("-fstack-protector-strong", "-Wl,-z,relro,-z,now"),
)
REMEDY = "apt install gcc libc6-dev libssl-dev"


def compiler() -> str | None:
    """That of the environment (CC), or the first that is installed."""
    return os.environ.get("CC") or next(filter(shutil.which, COMPILERS), None)


def build(target: Path) -> str:
    """Make the library; what it is. Raises RuntimeError that names the remedy."""
    found = compiler()
    if found is None:
        raise RuntimeError(f"there is no C compiler ({', '.join(COMPILERS)}): {REMEDY}, or set CC")
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        order = [found, *FLAGS, "-o", str(fresh), str(SOURCE), "-lcrypto"]
        try:
            done = subprocess.run(order, capture_output=True, text=True, check=False)
        except OSError as error:
            raise RuntimeError(f"{found} cannot be run ({error.strerror}): {REMEDY}, or set CC") from error
        if done.returncode:
            raise RuntimeError(
                f"{found} failed, perhaps for headers: {REMEDY}\n{done.stderr.strip()[-1000:]}"
            )
        loaded = rows.load(fresh)
        if loaded.library is None:
            raise RuntimeError(f"what {found} made is not right: {loaded.told}")
        fresh.replace(target)
        return loaded.told
    finally:
        fresh.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build or remove, and say so."""
    parser = argparse.ArgumentParser(
        "python tools/accelerator.py", description="Compile rows.c, or remove it."
    )
    parser.add_argument("--remove", action="store_true", help="go back to Python alone")
    if parser.parse_args(arguments).remove:
        rows.FILE.unlink(missing_ok=True)
        print("accelerator: there is none now")
        return 0
    try:
        told = build(rows.FILE)
    except RuntimeError as error:
        print(f"accelerator: {error}", file=sys.stderr)
        return 4
    print(
        f"accelerator: made with {told}; nodes that start now use it, and images that are built now have it"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
