"""Values as JSON documents, for what passes between our own processes. Strict in what it reads.

    bytes, Secret      hexadecimal           tuple[X, ...]       list
    IP address         text                  Mapping[str, int]   object
    enumeration        its value             dataclass           object with exactly its fields

Rules:

1. Who sends may be somebody else by now: nothing is taken on trust. Kinds, sizes, counts, ranges and names
   are checked, and whatever is wrong is a `DocumentError`.
2. Nothing but the kinds above: no pickle, no class is named by a document.
3. A limit that is smaller than the general one stands with the field, as `Annotated`, or here, where the
   class belongs to a lower layer.
"""

import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Union, get_args, get_origin, get_type_hints

from node.esp.inner import MAX_PACKET
from node.esp.replay import MAX_WINDOW, MIN_WINDOW
from node.model.child import ESP_SPI_SIZE, ChildSa, Padding
from node.model.message import SPI_SIZE, Path
from node.model.proposal import Transform
from node.model.secret import Secret
from node.model.selectors import ANY_PORT, MAX_NARROWED, IPAddress, TrafficSelector

#: Octets of a document: a UDP datagram in hexadecimal, and what is around it.
MAX_DOCUMENT = 140_000
#: Octets of a value, characters of a text, members of a list or an object.
MAX_OCTETS, MAX_TEXT, MAX_MEMBERS = 65_535, 1_024, 255
MAX_NUMBER = 2**64 - 1
#: Octets of an interface's name (IFNAMSIZ).
MAX_INTERFACE = 15
#: Kinds whose readers are kept: ours are some fifty.
MAX_KINDS = 256


class DocumentError(Exception):
    """Octets that are not the expected document; the text names the place and what is wrong there."""


#: Makes a value of what JSON has, or raises DocumentError; the text is the place.
Reader = Callable[[Any, str], Any]


def write(document: Mapping[str, Any]) -> bytes:
    """The octets of a document. `document` holds values of the kinds above."""
    return json.dumps(_plain(document), separators=(",", ":")).encode()


def parse(octets: bytes) -> dict[str, Any]:
    """The JSON object in `octets`. Raises DocumentError."""
    if len(octets) > MAX_DOCUMENT:
        raise DocumentError(f"more than {MAX_DOCUMENT} octets")
    try:
        found = json.loads(octets, object_pairs_hook=_members, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise DocumentError("no JSON") from None
    if not isinstance(found, dict):
        raise DocumentError("no object")
    return found


def read(kind: Any, value: Any, place: str = "document") -> Any:
    """A value of `kind` from what JSON has. Raises DocumentError."""
    return _reader(kind)(value, place)


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case Enum():
            return value.value
        case int():
            return value
        case bytes():
            return value.hex()
        case Secret():
            return value.reveal().hex()
        case IPv4Address() | IPv6Address():
            return str(value)
        case Mapping():
            return {str(key): _plain(member) for key, member in value.items()}
        case tuple() | list():
            return [_plain(member) for member in value]
    return {one.name: _plain(getattr(value, one.name)) for one in _own(type(value))}


def _own(kind: Any) -> list["Field[Any]"]:
    """The fields that make an instance."""
    return [one for one in fields(kind) if one.init]


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no whole number")


@lru_cache(MAX_KINDS)
def _reader(kind: Any) -> Reader:
    """How to read a kind."""
    if get_origin(kind) is typing.Annotated:
        return _bounded(*get_args(kind))
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _address if set(inner) == set(get_args(IPAddress)) else _optional(inner)
    if origin is tuple:
        return _list(_reader(inner[0]))
    if origin is Mapping:
        return _object(_reader(inner[1]))
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return _enumerated(kind)
        if is_dataclass(kind):
            return _record(kind)
    return _SIMPLE[kind]


def _bounded(kind: Any, most: int) -> Reader:
    """A number of at most `most`; of bytes, exactly so many."""
    read_it = _reader(kind)

    def bounded(value: Any, place: str) -> Any:
        found = read_it(value, place)
        if (len(found) != most) if isinstance(found, bytes) else found > most:
            raise DocumentError(f"{place}: out of range")
        return found

    return bounded


def _optional(inner: tuple[Any, ...]) -> Reader:
    (kind,) = (one for one in inner if one is not types.NoneType)
    read_it = _reader(kind)
    return lambda value, place: None if value is None else read_it(value, place)


def _list(read_it: Reader) -> Reader:
    def members(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > MAX_MEMBERS:
            raise DocumentError(f"{place}: no list of at most {MAX_MEMBERS}")
        return tuple(read_it(member, f"{place}[{number}]") for number, member in enumerate(value))

    return members


def _object(read_it: Reader) -> Reader:
    def members(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > MAX_MEMBERS:
            raise DocumentError(f"{place}: no object of at most {MAX_MEMBERS}")
        return {_text(key, place): read_it(member, place) for key, member in value.items()}

    return members


def _enumerated(kind: type[Enum]) -> Reader:
    """The numbers of our enumerations are open (`node.model.registry`); their names are not."""
    plain = _number if issubclass(kind, IntEnum) else _text

    def member(value: Any, place: str) -> Enum:
        try:
            return kind(plain(value, place))
        except ValueError:
            raise DocumentError(f"{place}: no {kind.__name__}") from None

    return member


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    readers = {one.name: _reader(hints[one.name]) for one in _own(kind)}
    check = _CHECKS.get(kind)

    def record(value: Any, place: str) -> Any:
        if not isinstance(value, dict) or value.keys() != readers.keys():
            raise DocumentError(f"{place}: no {kind.__name__}")
        found = kind(**{name: read_it(value[name], f"{place}.{name}") for name, read_it in readers.items()})
        if check is not None and not check(found):
            raise DocumentError(f"{place}: no possible {kind.__name__}")
        return found

    return record


def _number(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise DocumentError(f"{place}: no number")
    return value


def _truth(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise DocumentError(f"{place}: neither true nor false")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise DocumentError(f"{place}: no text of at most {MAX_TEXT} characters")
    return value


def _octets(value: Any, place: str) -> bytes:
    if not isinstance(value, str) or len(value) > 2 * MAX_OCTETS or not value.isascii():
        raise DocumentError(f"{place}: no octets")
    try:
        found = bytes.fromhex(value)
    except ValueError:
        raise DocumentError(f"{place}: no octets") from None
    if 2 * len(found) != len(value):
        raise DocumentError(f"{place}: no octets")
    return found


def _secret(value: Any, place: str) -> Secret:
    return Secret(_octets(value, place))


def _address(value: Any, place: str) -> IPAddress:
    try:
        return ip_address(_text(value, place))
    except ValueError:
        raise DocumentError(f"{place}: no address") from None


_SIMPLE: dict[Any, Reader] = {
    int: _number,
    bool: _truth,
    str: _text,
    bytes: _octets,
    Secret: _secret,
}


def _is_path(path: Path) -> bool:
    try:
        local, peer = ip_address(path.local_host), ip_address(path.peer_host)
    except ValueError:
        return False
    scopes = all(_is_scope(host.partition("%")[2]) for host in (path.local_host, path.peer_host))
    return scopes and local.version == peer.version and max(path.local_port, path.peer_port) <= ANY_PORT


def _is_scope(scope: str) -> bool:
    """The name of an interface, its number (32 bits), or nothing."""
    return len(scope) <= MAX_INTERFACE and not (scope.isdecimal() and int(scope) >= 2**32)


def _is_selector(selector: TrafficSelector) -> bool:
    same = selector.start.version == selector.end.version
    ports = max(selector.start_port, selector.end_port) <= ANY_PORT
    return same and int(selector.start) <= int(selector.end) and selector.protocol <= 255 and ports


def _is_child(child: ChildSa) -> bool:
    sizes = (len(child.inbound_spi), len(child.outbound_spi), len(child.ike_spi))
    sides = 1 <= len(child.local) <= MAX_NARROWED and 1 <= len(child.peer) <= MAX_NARROWED
    window = MIN_WINDOW <= child.replay_window <= MAX_WINDOW
    return sizes == (ESP_SPI_SIZE, ESP_SPI_SIZE, SPI_SIZE) and sides and window


#: What the kinds of the fields do not say.
_CHECKS: dict[type, Callable[[Any], bool]] = {
    ChildSa: _is_child,
    Padding: lambda padding: padding.multiple <= MAX_PACKET and 0 < padding.most <= MAX_PACKET,
    Path: _is_path,
    Transform: lambda transform: not transform.others,
    TrafficSelector: _is_selector,
}
