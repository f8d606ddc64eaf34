"""Octets of this process or another one that are in memory (RSS)."""

import ctypes
import gc
import resource
from pathlib import Path


def resident(process: int | None = None) -> int:
    """Those of a process by its number; those of this one after everything free was given back."""
    if process is None:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
    pages = Path(f"/proc/{process or 'self'}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()
