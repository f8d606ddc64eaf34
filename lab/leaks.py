"""Whether anything of a lab crossed the wire in clear: its captures against what is only ever said inside the
tunnel.
"""

from collections.abc import Sequence
from pathlib import Path

from lab import plaintext
from lab.backends.base import CAPTURES
from lab.checks import Check
from lab.plaintext import Finding, Needles
from lab.plan import GREETING, Plan
from lab.wire import pcapng

#: What the check is called, and whose it is.
NODE, TEXT = "capture", "no plaintext on the wire"
