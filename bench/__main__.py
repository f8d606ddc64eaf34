"""`python -m bench [NAME ...]`: run all benchmarks, or those named, one after the other.

Each is a module or a package with its own options: `python -m bench.esp --help`. Exit code 1 where one of
them fails, or misses a goal.
"""

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_NAMES = sorted(
    [
        path.stem
        for path in _HERE.glob("*.py")
        if path.stem != "__main__" and "def main(" in path.read_text(encoding="utf-8")
    ]
    + [path.parent.name for path in _HERE.glob("*/__main__.py")]
)


def main(names: list[str]) -> int:
    """Run the named benchmarks; exit code 2 for a name there is none of."""
    unknown = [name for name in names if name not in _NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(_NAMES)}", file=sys.stderr)
        return 2
    missed = False
    for name in names or _NAMES:
        print(f"== {name}", flush=True)
        missed |= subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
