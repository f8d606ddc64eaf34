"""The key log of a run: the keys that nodes wrote down, read back and merged.

One JSON object a line, written by `keylog: true`. Both nodes log the same SA, and the same twice is one. A
file that says two things of one SA is an error. Two nodes may well have derived different keys, where
somebody between them changed the key exchange: then both are kept, and the ICV tells whose a message is.
Keys are never printed.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from lab.decode.ciphers import Algorithms, Opener, algorithms
from lab.errors import UsageError
from lab.text import printable

#: What key logs are called, in the directory `keys/` of a run.
PATTERN = "*.keys"
#: Octets of a key log that are read: some 100,000 SAs.
MAX_SIZE = 64 << 20
_IKE_SPI, _ESP_SPI = 8, 4
#: No key of IKE or ESP is longer.
_MAX_KEY = 128
_DIRECTIONS = ("inbound", "outbound")


class KeyLogError(UsageError):
    """A key log that is none, or that contradicts itself; names file and line."""


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The keys of an IKE SA (RFC 7296 2.14); those of an AEAD end with the salt of 4 octets.

    Raises ValueError where they have not the sizes of their algorithms.
    """

    profile: str
    spi_i: bytes
    spi_r: bytes
    algorithms: Algorithms
    prf: str
    sk_d: bytes = field(repr=False)
    sk_ai: bytes = field(repr=False)
    sk_ar: bytes = field(repr=False)
    sk_ei: bytes = field(repr=False)
    sk_er: bytes = field(repr=False)
    sk_pi: bytes = field(repr=False)
    sk_pr: bytes = field(repr=False)

    def __post_init__(self) -> None:
        for from_initiator in (True, False):
            self.opener(from_initiator)

    @property
    def identity(self) -> tuple[bytes, ...]:
        """What the keys belong to."""
        return (self.spi_i, self.spi_r)

    @property
    def name(self) -> str:
        """The SA, for people."""
        return f"IKE SA {self.spi_i.hex()}/{self.spi_r.hex()}"

    @property
    def secret(self) -> tuple[object, ...]:
        """What both ends must agree upon."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def opener(self, from_initiator: bool) -> Opener:
        """What opens the messages of the original initiator, or of the responder."""
        pair = (self.sk_ei, self.sk_ai) if from_initiator else (self.sk_er, self.sk_ar)
        return Opener(self.algorithms, *pair)


@dataclass(frozen=True, slots=True)
class EspKeys:
    """The keys of one direction of a Child SA. `source` and `destination` are the outer addresses as the
    node that wrote this first saw them; `ike_spi` is that node's. Raises ValueError as IkeKeys does.
    """

    spi: bytes
    source: str
    destination: str
    algorithms: Algorithms
    esn: bool
    ike_spi: bytes
    key: bytes = field(repr=False)
    integ_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        self.opener()

    def opener(self) -> Opener:
        """What opens its packets."""
        return Opener(self.algorithms, self.key, self.integ_key)

    @property
    def identity(self) -> tuple[bytes, ...]:
        """What the keys belong to: an SPI is the receiver's."""
        return (self.spi, self.destination.encode())

    @property
    def name(self) -> str:
        """The SA, for people."""
        return f"ESP SA {self.spi.hex()} to {self.destination}"

    @property
    def secret(self) -> tuple[object, ...]:
        """What both ends must agree upon. Addresses are not in it: behind a NAT both ends see others."""
        return (self.spi, self.algorithms, self.esn, self.key, self.integ_key)


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything that is known of a run's keys, each SA once."""

    ike: tuple[IkeKeys, ...] = ()
    esp: tuple[EspKeys, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ike or self.esp)


def of_run(directory: Path) -> Keys:
    """The keys of the run in `directory`; none where there is no `keys/`. Raises KeyLogError."""
    return read(sorted((directory / "keys").glob(PATTERN)))


def read(paths: Iterable[Path]) -> Keys:
    """The keys of all these files, merged. Raises KeyLogError."""
    merging = _Merging()
    for path in paths:
        for number, line in _lines(path):
            try:
                merging.add(_record(line), path, number)
            except ValueError as error:
                said = printable(str(error))
                raise KeyLogError(
                    f"{path}:{number}: {said}: remove the line, or name another file"
                ) from error
    found = merging.found.values()
    return Keys(
        tuple(record for record in found if isinstance(record, IkeKeys)),
        tuple(record for record in found if isinstance(record, EspKeys)),
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines. A last one without its end is left out: whoever wrote it was stopped."""
    try:
        if path.stat().st_size > MAX_SIZE:
            raise KeyLogError(f"{path}: larger than {MAX_SIZE >> 20} MB: not a key log of a node")
        whole = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KeyLogError(f"{path}: cannot be read: {error}: name another file") from error
    lines = whole.split("\n")[:-1]
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


class _Merging:
    """Records so far, each once, and where each file says what."""

    def __init__(self) -> None:
        self.found: dict[tuple[object, ...], IkeKeys | EspKeys] = {}
        self._said: dict[tuple[Path, type, tuple[bytes, ...]], tuple[tuple[object, ...], int]] = {}

    def add(self, record: IkeKeys | EspKeys, path: Path, number: int) -> None:
        """Take in a record of a line. Raises ValueError where it contradicts another of the same file."""
        of_what = (path, type(record), record.identity)
        secret, line = self._said.setdefault(of_what, (record.secret, number))
        if secret != record.secret:
            raise ValueError(f"{record.name} has other keys than in line {line}")
        self.found.setdefault((type(record), *record.secret), record)


_T = TypeVar("_T")


def _record(line: str) -> IkeKeys | EspKeys:
    """A line of a key log. Raises ValueError, without a value that could be a key."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON object") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    readers: Mapping[object, Callable[[Mapping[str, Any]], IkeKeys | EspKeys]] = {"ike": _ike, "esp": _esp}
    kind = found.get("kind")
    reader = readers.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ValueError("its kind is neither ike nor esp")
    return reader(found)


def _ike(found: Mapping[str, Any]) -> IkeKeys:
    names = ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr")
    return IkeKeys(
        _text(found, "profile"),
        _octets(found, "spi_i", _IKE_SPI),
        _octets(found, "spi_r", _IKE_SPI),
        _algorithms(found),
        _text(found, "prf"),
        *(_octets(found, name) for name in names),
    )


def _esp(found: Mapping[str, Any]) -> EspKeys:
    if _text(found, "direction") not in _DIRECTIONS:
        raise ValueError("direction is neither inbound nor outbound")
    return EspKeys(
        _octets(found, "spi", _ESP_SPI),
        _address(found, "source"),
        _address(found, "destination"),
        _algorithms(found),
        _typed(found, "esn", bool),
        _octets(found, "ike_spi", _IKE_SPI),
        _octets(found, "key"),
        _octets(found, "integ_key"),
    )


def _algorithms(found: Mapping[str, Any]) -> Algorithms:
    bits = found.get("key_bits")
    if bits is not None and (isinstance(bits, bool) or not isinstance(bits, int)):
        raise ValueError("key_bits is no number")
    return algorithms(_text(found, "encr"), bits, _text(found, "integ"))


def _typed(found: Mapping[str, Any], name: str, kind: type[_T]) -> _T:
    value = found.get(name)
    if not isinstance(value, kind):
        raise ValueError(f"{name} is missing or no {kind.__name__}")
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    return _typed(found, name, str)


def _octets(found: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    """Octets in hexadecimal; the text itself stays out of the error."""
    written = _text(found, name)
    try:
        value = bytes.fromhex(written)
    except ValueError:
        raise ValueError(f"{name} is not hexadecimal") from None
    if size is not None and len(value) != size:
        raise ValueError(f"{name} has {len(value)} octets instead of {size}")
    if len(value) > _MAX_KEY or len(written) != 2 * len(value):
        raise ValueError(f"{name} is not the hexadecimal of a key")
    return value


def _address(found: Mapping[str, Any], name: str) -> str:
    return str(ip_address(_text(found, name)))
