"""The key log: every key of every SA, to decrypt a capture of the lab with. Off unless asked for.

    {"kind": "ike", "profile", "spi_i", "spi_r", "encr", "key_bits", "integ", "prf", "sk_d", "sk_ai", ...}
    {"kind": "esp", "spi", "direction", "source", "destination", "encr", "key_bits", "key", "integ", ...}

Rules:

1. It gives everything away, so nobody but us may read it: a file of ours, no link, mode 0600, or no start.
2. One JSON object a line, one write a line, appended. SPIs and keys are hexadecimal; an AEAD key ends with
   its salt, and what a suite does not have is empty.
3. Nobody is left in doubt: that it is on is an event, that it could not be written any more is another.
"""

import errno
import json
import os
import stat

from node.crypto.aead import encr_key_bits
from node.daemon.failure import StartError
from node.eventlog import EventLog
from node.ike.outputs import KeysDerived
from node.model.child import ChildSa, DirectionKeys
from node.model.events import EventName
from node.model.proposal import Suite
from node.model.registry import EncrId, EsnId
from node.net import clock

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o600


class KeyLog:
    """Writes keys to a file. Raises StartError where it cannot be made, or others could read it."""

    def __init__(self, path: str, profile: str, log: EventLog) -> None:
        self._path, self._profile, self._log = path, profile, log
        self._descriptor: int | None = _open(path)
        log.emit(EventName.KEYLOG_ENABLED, file=path)

    def ike(self, derived: KeysDerived) -> None:
        """The keys of an IKE SA (RFC 7296 2.14)."""
        keys = {name: getattr(derived.keys, name).reveal().hex() for name in derived.keys.__slots__}
        spis = {"spi_i": derived.spi_i.hex(), "spi_r": derived.spi_r.hex()}
        suite = {
            **_encryption(derived.suite),
            "integ": _integrity(derived.suite),
            "prf": str(derived.suite.prf),
        }
        self._write({"kind": "ike", "profile": self._profile, **spis, **suite, **keys})

    def inbound(self, child: ChildSa) -> None:
        """The keys of what arrives through a Child SA."""
        path = child.path
        self._esp(child, child.inbound_spi, child.inbound, "inbound", path.peer_host, path.local_host)

    def outbound(self, child: ChildSa) -> None:
        """The keys of what leaves through a Child SA."""
        path = child.path
        self._esp(child, child.outbound_spi, child.outbound, "outbound", path.local_host, path.peer_host)

    def close(self) -> None:
        """Nothing more is written."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _esp(
        self, child: ChildSa, spi: bytes, keys: DirectionKeys, direction: str, source: str, destination: str
    ) -> None:
        self._write(
            {
                "kind": "esp",
                "spi": spi.hex(),
                "direction": direction,
                "source": source,
                "destination": destination,
                **_encryption(child.suite),
                "key": keys.encr.reveal().hex(),
                "integ": _integrity(child.suite),
                "integ_key": keys.integ.reveal().hex(),
                "esn": child.suite.esn == EsnId.ESN,
                "ike_spi": child.ike_spi.hex(),
            }
        )

    def _write(self, fields: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        line = json.dumps({"ts": clock.stamp(clock.utc()), **fields}, separators=(",", ":")) + "\n"
        try:
            whole = os.write(self._descriptor, line.encode()) == len(line)
            problem = "" if whole else "the last line is not whole"
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            # The tunnel does not depend on it; who relies on the keys must know where they end.
            self._log.emit(EventName.KEYLOG_FAILED, file=self._path, detail=problem)
            self.close()


def _encryption(suite: Suite) -> dict[str, object]:
    return {"encr": str(EncrId(suite.encr.id)), "key_bits": encr_key_bits(suite.encr)}


def _integrity(suite: Suite) -> str:
    return str(suite.integ) if suite.integ else ""


def _open(path: str) -> int:
    try:
        descriptor = os.open(path, _FLAGS, _MODE)
    except OSError as error:
        raise _unusable(path, error) from error
    problem = _problem(path, os.fstat(descriptor))
    if problem:
        os.close(descriptor)
        raise StartError(f"keylog.file: {path}: {problem}")
    return descriptor


def _problem(path: str, found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file; set the path of a file"
    if found.st_uid != os.geteuid():
        return (
            f"belongs to uid {found.st_uid}, not to us (uid {os.geteuid()}); remove it, or set another path"
        )
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return f"mode {mode:04o} lets others read every key; run: chmod 0600 {path}"
    return ""


def _unusable(path: str, error: OSError) -> StartError:
    remedy = {
        errno.ELOOP: "it is a symbolic link: set the path of the file itself",
        errno.ENOENT: "make its directory",
        errno.EACCES: f"make its directory writable for uid {os.geteuid()}",
        errno.EROFS: "put it on a tmpfs, or on a volume",
        errno.EISDIR: "set the path of a file",
        # A FIFO without a reader.
        errno.ENXIO: "is no regular file; set the path of a file",
    }.get(error.errno or 0, "set another path, or none")
    return StartError(f"keylog.file: {path}: {error.strerror or error}; {remedy}")
