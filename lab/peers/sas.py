"""The SAs of a strongSwan, out of `swanctl --list-sas --pretty`, and the same as the lab's status of a node.

Every field that is needed must be there and be what it should be; what else charon tells is passed over, as
newer versions tell more.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.peers import algorithms, vici
from lab.peers.algorithms import Suite
from lab.peers.identities import from_charon
from lab.peers.vici import Section, ViciError

_IKE_SPI = re.compile(r"[0-9a-f]{16}")
_ESP_SPI = re.compile(r"[0-9a-f]{8}")
_NUMBER = re.compile(r"\d{1,20}")
#: Child SAs in these states carry traffic.
CARRYING = frozenset({"INSTALLED", "REKEYING"})
#: IKE SAs in these are not yet established.
HALF_OPEN = frozenset({"CREATED", "CONNECTING"})
#: States of a Child SA that has no keys yet, or has them no more: charon tells neither SPI nor suite.
_BARE = frozenset({"CREATED", "ROUTED", "INSTALLING", "UPDATING", "RETRYING", "DESTROYING"})


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A Child SA with keys. Octets are those of inner packets; `encap`: ESP travels in UDP."""

    name: str
    number: int
    state: str
    mode: str
    encap: bool
    inbound_spi: str
    outbound_spi: str
    suite: Suite
    inbound_octets: int
    inbound_packets: int
    outbound_octets: int
    outbound_packets: int
    local: tuple[str, ...]
    remote: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IkeSa:
    """An IKE SA. `suite` and `established` (seconds since then) are None until that is known."""

    name: str
    number: int
    state: str
    initiator: bool
    spi_i: str
    spi_r: str
    local: str
    remote: str
    local_identity: str
    remote_identity: str
    nat: bool
    suite: Suite | None
    established: int | None
    local_vips: tuple[str, ...]
    remote_vips: tuple[str, ...]
    children: tuple[ChildSa, ...]


def parse(text: str) -> tuple[IkeSa, ...]:
    """The SAs in what swanctl wrote. Raises ViciError for anything else."""
    messages = vici.parse(text)
    names = [(message.name, message.event) for message in messages]
    if names[-1:] != [("list-sas", False)] or any(name != ("list-sa", True) for name in names[:-1]):
        raise ViciError("swanctl's answer is no list of SAs that ends")
    found = []
    for message in messages[:-1]:
        for name, section in message.content.items():
            found.append(_ike_sa(_Fields(name, section)))
    return tuple(found)


class _Fields:
    """A section whose elements are asked for by what they must be."""

    def __init__(self, place: str, element: vici.Element) -> None:
        if not isinstance(element, Mapping):
            raise ViciError(f"{place}: is no section")
        self.place, self._section = place, element

    def text(self, name: str, default: str | None = None) -> str:
        value = self._section.get(name, default)
        if not isinstance(value, str):
            raise ViciError(f"{self.place}: {name} is {'missing' if value is None else 'no text'}")
        return value

    def matching(self, name: str, form: re.Pattern[str]) -> str:
        value = self.text(name)
        if not form.fullmatch(value):
            raise ViciError(f"{self.place}: {name}: {value[:40]!r} is not {form.pattern}")
        return value

    def number(self, name: str) -> int:
        return int(self.matching(name, _NUMBER))

    def yes(self, name: str) -> bool:
        return self.text(name, "no") == "yes"

    def items(self, name: str) -> tuple[str, ...]:
        value = self._section.get(name, ())
        if not isinstance(value, tuple):
            raise ViciError(f"{self.place}: {name} is no list")
        return value

    def sections(self, name: str) -> Section:
        value = self._section.get(name, {})
        if not isinstance(value, Mapping):
            raise ViciError(f"{self.place}: {name} is no section")
        return value

    def suite(self) -> Suite | None:
        if "encr-alg" not in self._section:
            return None
        texts = {name: value for name, value in self._section.items() if isinstance(value, str)}
        try:
            return algorithms.from_sa(texts)
        except ValueError as error:
            raise ViciError(f"{self.place}: {error}") from None


def _ike_sa(fields: _Fields) -> IkeSa:
    if (version := fields.text("version")) != "2":
        raise ViciError(f"{fields.place}: IKE version {version!r}: the lab speaks IKEv2 alone")
    established = fields.text("established", "")
    children = (_Fields(f"{fields.place}.{n}", c) for n, c in fields.sections("child-sas").items())
    return IkeSa(
        name=fields.place,
        number=fields.number("uniqueid"),
        state=fields.text("state"),
        initiator=fields.yes("initiator"),
        spi_i=fields.matching("initiator-spi", _IKE_SPI),
        spi_r=fields.matching("responder-spi", _IKE_SPI),
        local=_endpoint(fields, "local"),
        remote=_endpoint(fields, "remote"),
        local_identity=from_charon(fields.text("local-id")),
        remote_identity=from_charon(fields.text("remote-id")),
        nat=fields.yes("nat-any"),
        suite=fields.suite(),
        established=fields.number("established") if established else None,
        local_vips=fields.items("local-vips"),
        remote_vips=fields.items("remote-vips"),
        children=tuple(_child_sa(child) for child in children if child.text("state") not in _BARE),
    )


def _endpoint(fields: _Fields, side: str) -> str:
    host = fields.text(f"{side}-host")
    return f"{f'[{host}]' if ':' in host else host}:{fields.number(f'{side}-port')}"


def _child_sa(fields: _Fields) -> ChildSa:
    if (protocol := fields.text("protocol")) != "ESP":
        raise ViciError(f"{fields.place}: protocol {protocol!r}: the lab has ESP alone")
    suite = fields.suite()
    if suite is None:
        raise ViciError(f"{fields.place}: encr-alg is missing")
    return ChildSa(
        name=fields.text("name"),
        number=fields.number("uniqueid"),
        state=fields.text("state"),
        mode=fields.text("mode"),
        encap=fields.yes("encap"),
        inbound_spi=fields.matching("spi-in", _ESP_SPI),
        outbound_spi=fields.matching("spi-out", _ESP_SPI),
        suite=suite,
        inbound_octets=fields.number("bytes-in"),
        inbound_packets=fields.number("packets-in"),
        outbound_octets=fields.number("bytes-out"),
        outbound_packets=fields.number("packets-out"),
        local=fields.items("local-ts"),
        remote=fields.items("remote-ts"),
    )


# --- as the lab's status of a node ---


def status(node: str, sas: Sequence[IkeSa]) -> dict[str, Any]:
    """What `control(node, ["status"])` of a node of the lab says, as far as charon knows it.

    Child SAs that were replaced or deleted are left out; charon keeps them for some seconds.
    """
    up = [sa for sa in sas if sa.state == "ESTABLISHED"]
    return {
        "ok": True,
        "name": node,
        "profile": "rfc7296",
        "half_open": sum(sa.state in HALF_OPEN for sa in sas),
        "ike_sas": [_ike_status(sa) for sa in sas],
        "child_sas": [_child_status(sa, child) for sa in sas for child in carrying(sa)],
        "healthy": bool(up),
    }


def carrying(sa: IkeSa) -> tuple[ChildSa, ...]:
    """The Child SAs that carry traffic."""
    return tuple(child for child in sa.children if child.state in CARRYING)


def _ike_status(sa: IkeSa) -> dict[str, Any]:
    return {
        "spi_i": sa.spi_i,
        "spi_r": sa.spi_r,
        "phase": sa.state,
        "is_initiator": sa.initiator,
        "peer": sa.remote,
        "peer_identity": sa.remote_identity,
        "suite": sa.suite.iana if sa.suite else None,
        "established_for": sa.established,
        "children": [
            {
                "inbound_spi": child.inbound_spi,
                "outbound_spi": child.outbound_spi,
                "suite": child.suite.iana,
                "local": list(child.local),
                "peer": list(child.remote),
            }
            for child in carrying(sa)
        ],
    }


def _child_status(sa: IkeSa, child: ChildSa) -> dict[str, Any]:
    return {
        "inbound_spi": child.inbound_spi,
        "outbound_spi": child.outbound_spi,
        "ike_spi": sa.spi_i if sa.initiator else sa.spi_r,
        "suite": child.suite.iana,
        "local": list(child.local),
        "peer": list(child.remote),
        "path": sa.remote,
        "state": child.state,
        "inbound_packets": child.inbound_packets,
        "inbound_octets": child.inbound_octets,
        "outbound_packets": child.outbound_packets,
        "outbound_octets": child.outbound_octets,
    }
