"""What the decoder should show of the node's own values: payload by payload, name and value.

Made from `node.model` and its registry, so that a name or a number that the two read differently shows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lab.decode.items import octets
from node.model import payloads as m
from node.model.message import Header
from node.model.proposal import Proposal, Transform
from node.model.registry import (
    EncrId,
    EsnId,
    ExchangeType,
    IntegId,
    KeId,
    NotifyType,
    OpenIntEnum,
    PayloadType,
    PrfId,
    ProtocolId,
    TransformType,
)

#: (name, value) as they stand in the tree.
Said = tuple[str, str]

NOTATIONS = {
    PayloadType.SA: "SA",
    PayloadType.KE: "KE",
    PayloadType.IDI: "IDi",
    PayloadType.IDR: "IDr",
    PayloadType.CERT: "CERT",
    PayloadType.CERTREQ: "CERTREQ",
    PayloadType.AUTH: "AUTH",
    PayloadType.DELETE: "D",
    PayloadType.VENDOR_ID: "V",
    PayloadType.TSI: "TSi",
    PayloadType.TSR: "TSr",
    PayloadType.CP: "CP",
    PayloadType.EAP: "EAP",
    PayloadType.AUTH_NONCE: "AUTH_NONCE",
}
IDS: dict[int, type[OpenIntEnum]] = {
    TransformType.ENCR: EncrId,
    TransformType.PRF: PrfId,
    TransformType.INTEG: IntegId,
    TransformType.KE: KeId,
    TransformType.ESN: EsnId,
}


def title(header: Header, payloads: Sequence[m.Payload], protected: bool) -> str:
    """The title of an opened message, where the registry of the node has all the names."""
    words = " ".join(notation(payload, header.is_response) for payload in payloads)
    kind = "response" if header.is_response else "request"
    shown = f"SK{{{words}}}" if protected else words or "no payloads"
    return f"{ExchangeType(header.exchange)} {kind} {header.message_id}: {shown}"


def notation(payload: m.Payload, response: bool) -> str:
    if isinstance(payload, m.Nonce):
        return "Nr" if response else "Ni"
    if isinstance(payload, m.Notify):
        return f"N({NotifyType(payload.notify_type)})"
    return NOTATIONS[payload.type]


def named(kind: type[OpenIntEnum], number: int) -> str:
    """As the decoder writes a number that both registries name."""
    return f"{kind(number)} ({int(number)})"


def _association(payload: m.SecurityAssociation) -> Iterator[Said]:
    for proposal in payload.proposals:
        yield from _proposal(proposal)


def _proposal(proposal: Proposal) -> Iterator[Said]:
    many = f"{len(proposal.transforms)} transform{'' if len(proposal.transforms) == 1 else 's'}"
    yield f"Proposal {proposal.number}", f"{ProtocolId(proposal.protocol)}, {many}"
    if proposal.spi:
        yield "SPI", octets(proposal.spi)
    for transform in proposal.transforms:
        yield _transform(transform)


def _transform(transform: Transform) -> Said:
    value = named(IDS[transform.type], transform.id)
    if transform.key_length is not None:
        value += f", key length {transform.key_length} bits"
    names = {1: "Encryption Algorithm (ENCR)", 2: "Pseudorandom Function (PRF)"}
    names |= {3: "Integrity Algorithm (INTEG)", 4: "Key Exchange Method (KE)"}
    names |= {5: "Extended Sequence Numbers (ESN)"}
    return names[transform.type], value


def _selectors(payload: m.TrafficSelectors) -> Iterator[Said]:
    for selector in payload.selectors:
        yield "Start Port", str(selector.start_port)
        yield "End Port", str(selector.end_port)
        yield "Starting Address", str(selector.start)
        yield "Ending Address", str(selector.end)


def _notify(payload: m.Notify) -> Iterator[Said]:
    level = "error" if NotifyType(payload.notify_type).is_error else "status"
    if payload.spi:
        yield "SPI", octets(payload.spi)
    yield "Notify Message Type", f"{named(NotifyType, payload.notify_type)}, {level}"


def _delete(payload: m.Delete) -> Iterator[Said]:
    yield "Protocol ID", named(ProtocolId, payload.protocol)
    yield from (("SPI", spi.hex()) for spi in payload.spis)


def _signature(payload: m.Authentication) -> Iterator[Said]:
    size = payload.data[0]
    yield "Auth Method", "Digital Signature (14)"
    yield "AlgorithmIdentifier", octets(payload.data[1 : 1 + size])
    yield "Signature Value", octets(payload.data[1 + size :])


def _authorities(payload: m.CertificateRequest) -> Iterator[Said]:
    for at in range(0, len(payload.authorities), 20):
        yield "Certification Authority", f"SHA-1 of its public key: {payload.authorities[at : at + 20].hex()}"


_SAID: dict[type, Callable[[Any], Iterator[Said]]] = {
    m.SecurityAssociation: _association,
    m.KeyExchange: lambda p: iter(
        (("Key Exchange Method", named(KeId, p.group)), ("Key Exchange Data", octets(p.data)))
    ),
    m.Nonce: lambda p: iter((("Nonce Data", octets(p.data)),)),
    m.AuthNonce: lambda p: iter((("Nonce Data", octets(p.data)),)),
    m.Identification: lambda p: iter((("Identification Data", f'"{p.data.decode()}"'),)),
    m.Certificate: lambda p: iter((("Certificate Data", octets(p.data)),)),
    m.CertificateRequest: _authorities,
    m.Authentication: _signature,
    m.Notify: _notify,
    m.Delete: _delete,
    m.TrafficSelectors: _selectors,
}


def said(payload: m.Payload) -> list[Said]:
    """Names and values that must stand in the tree of a payload, in this order."""
    return list(_SAID[type(payload)](payload))
