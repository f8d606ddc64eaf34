"""Values of the published module as plain Python, made from the model by the text of docs/ipseclab.asn1.

This is the expectation that both independent decoders are held against; nothing of the codec is used.
"""

from collections.abc import Callable, Sequence
from typing import Any

from node.model import payloads as m
from node.model.message import Header
from node.model.proposal import Proposal, Transform
from node.model.registry import PayloadType, TransformType

Plain = dict[str, Any] | list[Any] | tuple[str, Any] | int | bytes | str | bool

ARC = "2.25.72626359925804047388312100943545564747"
HMAC = "1.2.840.113549.2"
AES = "2.16.840.1.101.3.4.1"
ML_KEM = "2.16.840.1.101.3.4.4"
BRAINPOOL = "1.3.36.3.3.2.8.1.1"
#: Transform type, transform ID, key length in bits: the table at the end of the module.
IDENTIFIERS: dict[tuple[int, int, int | None], str] = {
    (1, 12, 256): "1.2.840.113549.3.7",
    (1, 12, 192): f"{AES}.22",
    (1, 12, 128): f"{AES}.2",
    (1, 20, 128): f"{AES}.6",
    (1, 20, 192): f"{AES}.26",
    (1, 20, 256): f"{AES}.46",
    (1, 28, None): "1.2.840.113549.1.9.16.3.18",
    (2, 5, None): f"{HMAC}.9",
    (2, 6, None): f"{HMAC}.10",
    (2, 7, None): f"{HMAC}.11",
    (3, 12, None): f"{HMAC}.9",
    (3, 13, None): f"{HMAC}.10",
    (3, 14, None): f"{HMAC}.11",
    (4, 14, None): "1.3.6.1.5.5.8.1.2",
    (4, 19, None): "1.2.840.10045.3.1.7",
    (4, 20, None): "1.3.132.0.34",
    (4, 21, None): "1.3.132.0.35",
    (4, 28, None): f"{BRAINPOOL}.7",
    (4, 29, None): f"{BRAINPOOL}.11",
    (4, 30, None): f"{BRAINPOOL}.13",
    (4, 31, None): "1.3.101.110",
    (4, 32, None): "1.3.101.111",
    (4, 35, None): f"{ML_KEM}.1",
    (4, 36, None): f"{ML_KEM}.2",
    (4, 37, None): f"{ML_KEM}.3",
}
#: The PRF that comes with an integrity transform in the founding shape.
PRF_OF = {12: 5, 13: 6, 14: 7}


def identifier(kind: int, number: int, bits: int | None) -> str:
    return IDENTIFIERS.get((kind, number, bits), f"{ARC}.{int(kind)}.{int(number)}")


def transform(value: Transform) -> Plain:
    found: dict[str, Any] = {
        "transformType": int(value.type),
        "algorithm": identifier(value.type, value.id, value.key_length),
    }
    if value.key_length is not None and (value.type, value.id, value.key_length) not in IDENTIFIERS:
        found["keyLength"] = value.key_length
    if value.others:
        found["attributes"] = [
            {"attributeType": a.type, "value": a.value, "short": a.short} for a in value.others
        ]
    return found


def proposal(value: Proposal) -> Plain:
    return {
        "proposalNum": value.number,
        "protocolID": int(value.protocol),
        "spi": value.spi,
        "transforms": [transform(t) for t in value.transforms],
    }


def implied(protocol: int, firsts: Sequence[Transform | None]) -> tuple[Transform, ...]:
    """What the three identifiers of the founding shape stand for."""
    encr, integ, ke = firsts
    prf = None
    if integ is not None and protocol == 1 and integ.id in PRF_OF:
        prf = Transform(TransformType.PRF, PRF_OF[integ.id])
    found = [
        Transform(t.type, t.id, t.key_length if (t.type, t.id, t.key_length) in IDENTIFIERS else None)
        for t in (encr, prf, integ, ke)
        if t is not None
    ]
    return tuple(found)


def association(value: m.SecurityAssociation) -> Plain:
    first, *others = value.proposals
    kinds = (TransformType.ENCR, TransformType.INTEG, TransformType.KE)
    firsts = [next(iter(first.of(kind)), None) for kind in kinds]
    names = [
        identifier(kind, t.id if t else 0, t.key_length if t else None)
        for kind, t in zip(kinds, firsts, strict=True)
    ]
    said = [None if t is None or t.id == 0 else t for t in firsts]
    founding = implied(first.protocol, said) == first.transforms
    found: dict[str, Any] = {
        "proposalNum": first.number,
        "protocolID": int(first.protocol),
        "spiSize": len(first.spi),
        "numTransforms": sum(t is not None for t in said) if founding else len(first.transforms),
        "encryptionAlg": names[0],
        "integrityAlg": names[1],
        "dhGroup": names[2],
    }
    if first.spi:
        found["spi"] = first.spi
    if not founding:
        found["transforms"] = [transform(t) for t in first.transforms]
    if others:
        found["proposals"] = [proposal(p) for p in others]
    return found


def notify(value: m.Notify) -> Plain:
    found: dict[str, Any] = {
        "notifyType": int(value.notify_type),
        "data": value.data,
        "protocolID": int(value.protocol),
    }
    return found | ({"spi": value.spi} if value.spi else {})


def selectors(value: m.TrafficSelectors) -> Plain:
    return {
        "selectors": [
            {
                "protocol": s.protocol,
                "startPort": s.start_port,
                "endPort": s.end_port,
                "startAddress": s.start.packed,
                "endAddress": s.end.packed,
            }
            for s in value.selectors
        ]
    }


def configuration(value: m.Configuration) -> Plain:
    attributes = [{"attributeType": a.type, "value": a.value} for a in value.attributes]
    return {"cfgType": value.cfg_type, "attributes": attributes}


_VALUES: dict[type, Callable[[Any], Plain]] = {
    m.SecurityAssociation: association,
    m.KeyExchange: lambda p: {"dhGroup": identifier(4, p.group, None), "publicKey": p.data},
    m.Nonce: lambda p: {"data": p.data},
    m.Certificate: lambda p: {"certData": p.data, "encoding": int(p.encoding)},
    m.CertificateRequest: lambda p: {"encoding": int(p.encoding), "authorities": p.authorities},
    m.Identification: lambda p: {"idType": int(p.id_type), "data": p.data},
    m.Authentication: lambda p: {"method": int(p.method), "data": p.data},
    m.AuthNonce: lambda p: {"data": p.data},
    m.Notify: notify,
    m.Delete: lambda p: {"protocolID": int(p.protocol), "spis": list(p.spis)},
    m.VendorId: lambda p: {"data": p.data},
    m.TrafficSelectors: selectors,
    m.Configuration: configuration,
    m.Eap: lambda p: {"data": p.data},
    m.Unknown: lambda p: {"payloadType": int(p.type), "critical": p.critical, "body": p.body},
}
_NAMES = {
    33: "sa",
    34: "ke",
    35: "idI",
    36: "idR",
    37: "cert",
    38: "certReq",
    39: "auth",
    40: "nonce",
    41: "notify",
    42: "delete",
    43: "vendorID",
    44: "tsI",
    45: "tsR",
    47: "config",
    48: "eap",
    128: "authNonce",
}
_FOUNDING = {PayloadType.SA: "sa", PayloadType.KE: "ke", PayloadType.NONCE: "nonce", PayloadType.CERT: "cert"}


def fields(payloads: Sequence[m.Payload]) -> dict[str, Any]:
    """The payload fields of a message, or an InnerPayloads."""
    found: dict[str, Any] = {}
    positions: dict[str, int] = {}
    others = []
    for position, payload in enumerate(payloads):
        value = _VALUES[type(payload)](payload)
        field = _FOUNDING.get(payload.type)
        if field is not None and field not in found:
            found[field], positions[field] = value, position
        else:
            others.append((_NAMES.get(payload.type, "unknown"), value))
    order = [positions[name] for name in _FOUNDING.values() if name in positions]
    if others:
        found["payloads"] = others
    if order != list(range(len(order))):
        found["order"] = order
    return found


def header(value: Header, next_payload: int) -> Plain:
    return {
        "initiatorSPI": int.from_bytes(value.spi_i),
        "responderSPI": int.from_bytes(value.spi_r),
        "nextPayload": next_payload,
        "version": value.version,
        "exchangeType": int(value.exchange),
        "flags": value.flags,
        "messageID": value.message_id,
        "length": 0,
    }


def cleartext(head: Header, payloads: Sequence[m.Payload]) -> dict[str, Any]:
    """A whole cleartext IKEMessage."""
    first = int(payloads[0].type) if payloads else 0
    return {"header": header(head, first), **fields(payloads)}
