"""The JSON schema of the configuration, derived from the dataclasses of `node.config.model`.

`format` names are checked by `FORMATS`; they say what is wrong with a value before anything is built from it.
"""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from ipaddress import ip_address, ip_interface
from typing import Any, TypeGuard, get_type_hints

from node.config.model import Config
from node.crypto.suites import esp_suite, ike_suite
from node.model.identity import parse_identity
from node.model.proposal import AEAD_IDS
from node.model.registry import EsnId
from node.model.selectors import is_host, network
from yamlschema import Format

#: A setting's place: ("ike", "retransmit", "timeout").
Place = tuple[str, ...]


def _or_empty(judge: Format) -> Format:
    return lambda text: judge(text) if text else None


def _network(text: str) -> None:
    try:
        network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network such as 10.1.0.0/24 ({error})") from None


def _address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None


def _interface(text: str) -> None:
    try:
        ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address such as 10.1.0.1 or 10.1.0.1/24 ({error})") from None


def _virtual_ip(text: str) -> None:
    if text not in ("any4", "any6"):
        try:
            usable = is_host(ip_address(text))
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"{text!r} is neither any4, any6 nor an address such as 10.9.0.7")


def _esp_proposal(text: str) -> None:
    suite = esp_suite(text)
    if suite.esn == EsnId.ESN and suite.encr.id not in AEAD_IDS:
        raise ValueError(f"{text!r}: extended sequence numbers need an AEAD algorithm, as in aes256gcm16-esn")


FORMATS: dict[str, Format] = {
    "address": _address,
    "address-or-empty": _or_empty(_address),
    "interface-or-empty": _or_empty(_interface),
    "network": _network,
    "virtual-ip": _virtual_ip,
    "identity": parse_identity,
    "identity-or-empty": _or_empty(parse_identity),
    "ike-proposal": ike_suite,
    "esp-proposal": _esp_proposal,
}


def schema() -> dict[str, Any]:
    """The schema of a configuration file (JSON Schema draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of an IPsec lab node",
        **section_schema(Config),
    }


def section_schema(section: type[Any]) -> dict[str, Any]:
    """The schema of one dataclass: a mapping without unknown keys."""
    properties = {}
    for name, kind, item in _fields(section):
        if _is_section(kind):
            properties[name] = section_schema(kind)
        else:
            properties[name] = {**item.metadata["schema"], **_default(item)}
    described = {"description": section.__doc__} if section is not Config else {}
    return {"type": "object", **described, "additionalProperties": False, "properties": properties}


def settings(section: type[Any] = Config, around: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every single setting: its place and its schema."""
    for name, kind, item in _fields(section):
        if _is_section(kind):
            yield from settings(kind, (*around, name))
        else:
            yield (*around, name), dict(item.metadata["schema"])


def build(section: type[Any], values: dict[str, Any]) -> Any:
    """An instance of a section from values that the schema accepted; what is absent keeps its default."""
    arguments = {}
    for name, kind, _ in _fields(section):
        if name in values:
            arguments[name] = _convert(kind, values[name])
    return section(**arguments)


def plain(value: Any) -> Any:
    """The reverse of `build`: the section as the lists and scalars of a file."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Enum):
        return {"true": True, "false": False}.get(value.value, value.value)
    return value


def _is_section(kind: Any) -> TypeGuard[type[Any]]:
    return isinstance(kind, type) and is_dataclass(kind)


def _fields(section: type[Any]) -> list[tuple[str, Any, Field[Any]]]:
    kinds = get_type_hints(section)
    return [(item.name, kinds[item.name], item) for item in fields(section)]


def _default(item: Field[Any]) -> dict[str, Any]:
    empty = item.default is MISSING or item.default in ("", ())
    return {} if empty else {"default": plain(item.default)}


def _convert(kind: Any, value: Any) -> Any:
    if _is_section(kind):
        return build(kind, value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(str(value).lower() if isinstance(value, bool) else value)
    if kind == tuple[str, ...]:
        return (value,) if isinstance(value, str) else tuple(value)
    # JSON Schema counts 8000.0 among the integers.
    return kind(value)
