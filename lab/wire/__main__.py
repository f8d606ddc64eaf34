"""`python -m lab.wire`."""

import sys

from lab.wire.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
