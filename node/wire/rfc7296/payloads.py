"""The body of each payload, and back (RFC 7296 3.4 to 3.16).

A reader takes the octets of one body and must use them up; what it makes is written with the same octets,
but for bits that are reserved and a size of SPIs that are not there. Numbers without a name are kept. That a
nonce has 16 to 256 octets is refused on receipt alone, what we send is the engine's affair.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from node.errors import DropReason
from node.model.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
)
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TsType,
)
from node.model.selectors import TrafficSelector, UnknownSelector, address
from node.wire.rfc7296 import association
from node.wire.rfc7296.limits import (
    MAX_NONCE,
    MAX_REMEMBERED,
    MAX_REMEMBERED_SIZE,
    MAX_SELECTORS,
    MIN_NONCE,
)
from node.wire.rfc7296.misfit import Misfit
from node.wire.rfc7296.reader import Reader

#: 3.4: method, RESERVED, data. 3.5, 3.8: type or method, RESERVED, data. 3.6, 3.7: encoding, data.
_KE = struct.Struct(">Hxx")
_TYPED = struct.Struct(">Bxxx")
_ENCODED = struct.Struct(">B")
#: 3.10: protocol, SPI size, type, SPI, data. 3.11: protocol, SPI size, number of SPIs, SPIs.
_NOTIFY = struct.Struct(">BBH")
_DELETE = struct.Struct(">BBH")
#: 3.13: number of selectors, RESERVED. 3.13.1: type, protocol, length; ports, then two addresses.
_TS = struct.Struct(">Bxxx")
_SELECTOR = struct.Struct(">BBH")
_PORTS = struct.Struct(">HH")
#: 3.15: type, RESERVED. 3.15.1: one bit RESERVED and the type, length, value.
_CP = struct.Struct(">Bxxx")
_CP_ATTRIBUTE = struct.Struct(">HH")
_FIFTEEN_BITS = 0x7FFF

#: Octets of the two addresses of a selector (3.13.1).
_ADDRESS_SIZES = {TsType.TS_IPV4_ADDR_RANGE: 4, TsType.TS_IPV6_ADDR_RANGE: 16}


def _read_ke(reader: Reader) -> KeyExchange:
    (group,) = reader.fields(_KE)
    return KeyExchange(KeId.of(group), reader.rest())


def _write_ke(payload: KeyExchange) -> bytes:
    return _KE.pack(payload.group) + payload.data


def _read_idi(reader: Reader) -> Identification:
    (kind,) = reader.fields(_TYPED)
    return Identification(PayloadType.IDI, IdType.of(kind), reader.rest())


def _read_idr(reader: Reader) -> Identification:
    (kind,) = reader.fields(_TYPED)
    return Identification(PayloadType.IDR, IdType.of(kind), reader.rest())


def _write_id(payload: Identification) -> bytes:
    if payload.type not in (PayloadType.IDI, PayloadType.IDR):
        raise Misfit("id", f"{payload.type} is neither IDi nor IDr")
    return _TYPED.pack(payload.id_type) + payload.data


def _read_cert(reader: Reader) -> Certificate:
    (encoding,) = reader.fields(_ENCODED)
    return Certificate(CertEncoding.of(encoding), reader.rest())


def _write_cert(payload: Certificate) -> bytes:
    return _ENCODED.pack(payload.encoding) + payload.data


def _read_certreq(reader: Reader) -> CertificateRequest:
    (encoding,) = reader.fields(_ENCODED)
    return CertificateRequest(CertEncoding.of(encoding), reader.rest())


def _write_certreq(payload: CertificateRequest) -> bytes:
    return _ENCODED.pack(payload.encoding) + payload.authorities


def _read_auth(reader: Reader) -> Authentication:
    (method,) = reader.fields(_TYPED)
    return Authentication(AuthMethod.of(method), reader.rest())


def _write_auth(payload: Authentication) -> bytes:
    return _TYPED.pack(payload.method) + payload.data


def _read_nonce(reader: Reader) -> Nonce:
    data = reader.rest()
    if not MIN_NONCE <= len(data) <= MAX_NONCE:
        detail = f"{len(data)} octets instead of {MIN_NONCE} to {MAX_NONCE}"
        raise reader.malformed(detail, DropReason.BAD_NONCE)
    return Nonce(data)


def _read_notify(reader: Reader) -> Notify:
    protocol, spi_size, kind = reader.fields(_NOTIFY)
    spi = reader.take(spi_size)
    return Notify(NotifyType.of(kind), reader.rest(), ProtocolId.of(protocol), spi)


def _write_notify(payload: Notify) -> bytes:
    fields = _NOTIFY.pack(payload.protocol, len(payload.spi), payload.notify_type)
    return fields + payload.spi + payload.data


def _read_delete(reader: Reader) -> Delete:
    protocol, size, count = reader.fields(_DELETE)
    if count and not size:
        raise reader.malformed(f"{count} SPIs of no octet")
    octets = reader.take(size * count)
    spis = tuple([octets[at : at + size] for at in range(0, len(octets), size or 1)])
    return Delete(ProtocolId.of(protocol), spis)


def _write_delete(payload: Delete) -> bytes:
    size = len(payload.spis[0]) if payload.spis else 0
    if any(len(spi) != (size or -1) for spi in payload.spis):
        raise Misfit("delete/spis", "SPIs that are empty, or not all of one size")
    return _DELETE.pack(payload.protocol, size, len(payload.spis)) + b"".join(payload.spis)


def _read_tsi(reader: Reader) -> TrafficSelectors:
    return TrafficSelectors(PayloadType.TSI, *_selectors(reader))


def _read_tsr(reader: Reader) -> TrafficSelectors:
    return TrafficSelectors(PayloadType.TSR, *_selectors(reader))


def _selectors(reader: Reader) -> tuple[tuple[TrafficSelector, ...], tuple[UnknownSelector, ...]]:
    octets = reader.rest()
    remembered = len(octets) <= MAX_REMEMBERED_SIZE
    return (_known_selectors if remembered else _read_selectors)(octets, reader.path)


def _read_selectors(
    octets: bytes, path: str
) -> tuple[tuple[TrafficSelector, ...], tuple[UnknownSelector, ...]]:
    """Those with a meaning, and the others. Raises DecodeError."""
    reader = Reader(octets, path)
    (count,) = reader.fields(_TS)
    known: list[TrafficSelector] = []
    unknown: list[UnknownSelector] = []
    for index in range(count):
        kind, protocol, size = reader.fields(_SELECTOR)
        part = reader.part(size - _SELECTOR.size, f"selectors[{index}]")
        half = _ADDRESS_SIZES.get(kind)
        if half is None:
            unknown.append(UnknownSelector(TsType.of(kind), protocol, part.rest()))
        else:
            ports = part.fields(_PORTS)
            start, end = address(part.take(half)), address(part.take(half))
            known.append(TrafficSelector(start, end, protocol, *ports))
            part.end()
    reader.end()
    return tuple(known), tuple(unknown)


_known_selectors = lru_cache(MAX_REMEMBERED)(_read_selectors)


def _write_ts(payload: TrafficSelectors) -> bytes:
    if payload.type not in (PayloadType.TSI, PayloadType.TSR):
        raise Misfit("ts", f"{payload.type} is neither TSi nor TSr")
    parts = [*map(_write_selector, payload.selectors), *map(_write_unknown_selector, payload.others)]
    if len(parts) > MAX_SELECTORS:
        raise Misfit("ts", f"more than {MAX_SELECTORS} selectors")
    return _TS.pack(len(parts)) + b"".join(parts)


def _write_selector(selector: TrafficSelector) -> bytes:
    start, end = selector.start.packed, selector.end.packed
    if len(start) != len(end):
        raise Misfit("ts/selectors", "addresses of two families")
    size = _SELECTOR.size + _PORTS.size + len(start) + len(end)
    fields = _SELECTOR.pack(selector.type, selector.protocol, size)
    return fields + _PORTS.pack(selector.start_port, selector.end_port) + start + end


def _write_unknown_selector(selector: UnknownSelector) -> bytes:
    if selector.type in _ADDRESS_SIZES:
        raise Misfit("ts/selectors", f"{selector.type} as an unknown one")
    size = _SELECTOR.size + len(selector.data)
    return _SELECTOR.pack(selector.type, selector.protocol, size) + selector.data


def _read_cp(reader: Reader) -> Configuration:
    (kind,) = reader.fields(_CP)
    return Configuration(kind, tuple(_cp_attributes(reader)))


def _cp_attributes(reader: Reader) -> Iterator[ConfigurationAttribute]:
    while reader.more():
        kind, size = reader.fields(_CP_ATTRIBUTE)
        yield ConfigurationAttribute(kind & _FIFTEEN_BITS, reader.take(size))


def _write_cp(payload: Configuration) -> bytes:
    if any(a.type > _FIFTEEN_BITS for a in payload.attributes):
        raise Misfit("cp/attributes", "a type of more than 15 bits")
    parts = [_CP_ATTRIBUTE.pack(a.type, len(a.value)) + a.value for a in payload.attributes]
    return _CP.pack(payload.cfg_type) + b"".join(parts)


def _write_data(payload: Nonce | VendorId | Eap) -> bytes:
    return payload.data


def _write_unknown(payload: Unknown) -> bytes:
    if payload.type in _READERS or payload.type in FRAMES or not payload.type:
        raise Misfit("unknown", f"{payload.type} is no unknown payload")
    return payload.body


_WRITERS: dict[type[Payload], Callable[[Any], bytes]] = {
    SecurityAssociation: association.write,
    KeyExchange: _write_ke,
    Identification: _write_id,
    Certificate: _write_cert,
    CertificateRequest: _write_certreq,
    Authentication: _write_auth,
    Nonce: _write_data,
    Notify: _write_notify,
    Delete: _write_delete,
    VendorId: _write_data,
    TrafficSelectors: _write_ts,
    Configuration: _write_cp,
    Eap: _write_data,
    Unknown: _write_unknown,
}
#: How each type is read, and its name in errors.
_READERS: dict[int, tuple[Callable[[Reader], Payload], str]] = {
    PayloadType.SA: (association.read, "sa"),
    PayloadType.KE: (_read_ke, "ke"),
    PayloadType.IDI: (_read_idi, "idi"),
    PayloadType.IDR: (_read_idr, "idr"),
    PayloadType.CERT: (_read_cert, "cert"),
    PayloadType.CERTREQ: (_read_certreq, "certreq"),
    PayloadType.AUTH: (_read_auth, "auth"),
    PayloadType.NONCE: (_read_nonce, "nonce"),
    PayloadType.NOTIFY: (_read_notify, "notify"),
    PayloadType.DELETE: (_read_delete, "delete"),
    PayloadType.VENDOR_ID: (lambda reader: VendorId(reader.rest()), "vendorid"),
    PayloadType.TSI: (_read_tsi, "tsi"),
    PayloadType.TSR: (_read_tsr, "tsr"),
    PayloadType.CP: (_read_cp, "cp"),
    PayloadType.EAP: (lambda reader: Eap(reader.rest()), "eap"),
}
#: Payloads that hold the whole of a message (3.14, RFC 7383 2.5): they stand first and alone, never inside.
FRAMES = frozenset({int(PayloadType.SK), int(PayloadType.SKF)})


def read(kind: int, critical: bool, body: bytes) -> Payload:
    """The payload of a type with this body. Raises DecodeError."""
    found = _READERS.get(kind)
    if found is not None:
        reader = Reader(body, found[1])
        payload = found[0](reader)
        reader.end()
        return payload
    return Unknown(PayloadType(kind), critical, body)


def write(payload: Payload) -> bytes:
    """The body of a payload. Raises Misfit."""
    convert = _WRITERS.get(type(payload))
    if convert is None:
        raise Misfit("message", f"the profile has no {type(payload).__name__}")
    try:
        return convert(payload)
    except (struct.error, OverflowError) as error:
        raise Misfit(str(payload.type), str(error)) from error


def cookie(body: bytes) -> bytes:
    """The data of a Notify payload with this body, where it is a COOKIE. Raises DecodeError."""
    found = _read_notify(Reader(body, "notify"))
    return found.data if found.notify_type == NotifyType.COOKIE else b""
