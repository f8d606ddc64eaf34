"""Getting captures and key logs out of the volume that the containers of a lab share.

1. Every container that mounts the volume can be asked, running or not.
2. What comes is a tar archive: only plain files that are named as we name them are taken, and nobody's paths.
"""

import re
import tarfile
from collections.abc import Iterable, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from lab.backends.base import KEYS
from lab.backends.containers import EVIDENCE_PLACE

_CAPTURE = re.compile(r"capture(-[a-z0-9-]+)?(\.\d+)?\.pcapng")
_KEYS = re.compile(r"[a-z0-9-]+\.keys")
_CHUNK = 1 << 20


def collect(api: Any, containers: Sequence[dict[str, Any]], directory: Path) -> None:
    """Copy what is in the volume of these containers; nothing where none has one."""
    holder = next(
        (c for c in containers if any(m["Destination"] == EVIDENCE_PLACE for m in c["Mounts"])), None
    )
    if holder is None:
        return
    chunks, _ = api.get_archive(holder["Id"], EVIDENCE_PLACE)
    with tarfile.open(fileobj=_Chunks(chunks), mode="r|") as archive:
        for member in archive:
            if member.isreg():
                _take(archive, member, directory)


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    name = Path(member.name).name
    if _CAPTURE.fullmatch(name):
        place = directory / name
    elif _KEYS.fullmatch(name):
        (directory / KEYS).mkdir(exist_ok=True)
        place = directory / KEYS / name
    else:
        return
    place.touch(mode=0o600)
    content = archive.extractfile(member)
    with place.open("wb") as file:
        while content is not None and (octets := content.read(_CHUNK)):
            file.write(octets)


class _Chunks(BufferedIOBase):
    """A stream of chunks as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """So many octets, fewer only at the end."""
        parts, found = [self._rest], len(self._rest)
        while (size is None or size < 0 or found < size) and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            found += len(chunk)
        whole = b"".join(parts)
        end = len(whole) if size is None or size < 0 else size
        self._rest = whole[end:]
        return whole[:end]
