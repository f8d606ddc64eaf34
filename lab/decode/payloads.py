"""The payloads of RFC 7296 section 3 as trees, out of the elements of docs/ipseclab.asn1.

A payload that breaks a rule of the module raises Unreadable, with the rule.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.decode import algorithms, association, certificates, numbers, signatures
from lab.decode.items import address, count, data, is_text, octets, text
from lab.decode.problem import Unreadable
from lab.decode.schema import PAYLOAD_TYPES, Fields
from lab.decode.values import Item

#: Payloads in one message, and certificates of it that are looked into.
MAX_PAYLOADS, MAX_CERTIFICATES = 256, 10
#: Payload types that only frame others, and so never stand as unknown.
_FRAMES = frozenset({0, 46, 53})
_SA, _KE, _NONCE, _CERT = 33, 34, 40, 37
_FOUNDING = (("sa", _SA), ("ke", _KE), ("nonce", _NONCE), ("cert", _CERT))
_X509 = 4
_DIGITAL_SIGNATURE = 14
_CERT_HASH = 20
_SIGNATURE_HASH_ALGORITHMS, _INVALID_KE = 16431, 17


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload: its type, its notation for a title ("SA", "Ni", "N(COOKIE)"), its tree."""

    type: int
    notation: str
    item: Item


def ordered(fields: Fields) -> list[tuple[str, Fields]]:
    """The alternatives with their elements in the order of the message: founding fields at their positions
    (`order`), all others in between. Raises Unreadable where that is not as the module says.
    """
    founding = [(name, fields[name]) for name, _ in _FOUNDING if name in fields]
    usual = list(range(len(founding)))
    positions = fields.get("order", usual)
    if "order" in fields and positions == usual:
        raise Unreadable("order: written out, though the founding fields stand first")
    if len(set(positions)) != len(founding) or len(positions) != len(founding):
        raise Unreadable("order: not one position for each founding field")
    found = list(fields.get("payloads", ()))
    for position, payload in sorted(zip(positions, founding, strict=True), key=lambda pair: pair[0]):
        if position > len(found):
            raise Unreadable("order: a position outside the message")
        found.insert(position, payload)
    if len(found) > MAX_PAYLOADS:
        raise Unreadable(f"more than {MAX_PAYLOADS} payloads")
    names = [name for name, _ in found]
    if {names.index(name) for name, _ in _FOUNDING if name in names} != set(positions):
        raise Unreadable("payloads: the first of its type stands outside the founding field")
    return found


def trees(elements: Sequence[tuple[str, Fields]], response: bool) -> Iterator[Payload]:
    """The payloads of a request or a response. Raises Unreadable."""
    looked_into = 0
    for name, fields in elements:
        looked_into += name == "cert"
        yield _payload(name, fields, response, looked_into <= MAX_CERTIFICATES)


def _payload(name: str, fields: Fields, response: bool, look_into: bool) -> Payload:
    if name == "unknown":
        return _unknown(fields)
    children = certificate(fields, look_into) if name == "cert" else READERS[name](fields)
    return shown(name, fields, children, response)


def shown(name: str, fields: Fields, children: tuple[Item, ...], response: bool) -> Payload:
    """A payload by the name of its alternative, with what is in it."""
    number = PAYLOAD_TYPES[name]
    notation = numbers.PAYLOADS[number]
    if number == _NONCE:
        notation = "Nr" if response else "Ni"
    if name == "notify":
        notation = f"N({_notification(fields)})"
    heading = (
        f"{numbers.PAYLOAD_WORDS[number]} ({notation if number == _NONCE else numbers.PAYLOADS[number]})"
    )
    return Payload(number, notation, Item(heading, _summary(name, fields, children), children))


def _summary(name: str, fields: Fields, children: tuple[Item, ...]) -> str:
    """What stands beside the heading: the gist."""
    if name == "notify":
        return _notification(fields)
    if name in {"idI", "idR"}:
        return children[-1].value
    if name == "cert":
        found = {child.name: child.value for child in children}
        return found.get("Subject", "")
    if name in {"sa", "tsI", "tsR"}:
        return count(len(children), "proposal" if name == "sa" else "selector")
    return ""


def _unknown(fields: Fields) -> Payload:
    number = fields["payloadType"]
    if number in PAYLOAD_TYPES.values() or number in _FRAMES:
        raise Unreadable(f"unknown: payload type {number} has an element of its own")
    return unknown(fields)


def unknown(fields: Fields, names: Mapping[int, str] = numbers.PAYLOADS) -> Payload:
    """A payload of a type without a meaning here; some have a name."""
    number = fields["payloadType"]
    notation = numbers.name(names, number, "payload")
    children = (Item("Critical", "yes" if fields["critical"] else "no"), data("Body", fields["body"]))
    return Payload(number, notation, Item(f"Payload of type {numbers.named(names, number)}", "", children))


def _association(fields: Fields) -> tuple[Item, ...]:
    return association.tree(association.read(fields))


def _key_exchange(fields: Fields) -> tuple[Item, ...]:
    method = algorithms.transform(algorithms.KE, fields["dhGroup"])
    return (Item("Key Exchange Method", str(method)), data("Key Exchange Data", fields["publicKey"]))


def _nonce(fields: Fields) -> tuple[Item, ...]:
    return (data("Nonce Data", fields["data"]),)


def certificate(fields: Fields, look_into: bool) -> tuple[Item, ...]:
    """What is in CERT; `look_into` the certificate itself, too."""
    encoding = fields.get("encoding", _X509)
    found = (
        Item("Certificate Encoding", numbers.named(numbers.CERT_ENCODINGS, encoding)),
        Item("Certificate Data", octets(fields["certData"])),
    )
    return (*found, *certificates.tree(fields["certData"])) if encoding == _X509 and look_into else found


def _certificate_request(fields: Fields) -> tuple[Item, ...]:
    encoding, authorities = fields["encoding"], fields["authorities"]
    head = Item("Certificate Encoding", numbers.named(numbers.CERT_ENCODINGS, encoding))
    if encoding != _X509 or len(authorities) % _CERT_HASH:
        return (head, data("Certification Authority", authorities))
    hashes = (authorities[at : at + _CERT_HASH] for at in range(0, len(authorities), _CERT_HASH))
    return (
        head,
        *(Item("Certification Authority", f"SHA-1 of its public key: {one.hex()}") for one in hashes),
    )


def _identification(fields: Fields) -> tuple[Item, ...]:
    kind = fields["idType"]
    return (
        Item("ID Type", numbers.named(numbers.ID_TYPES, kind)),
        Item("Identification Data", identity(kind, fields["data"])),
    )


def identity(kind: int, value: bytes) -> str:
    """Identification data as people write it (RFC 7296 3.5)."""
    if (kind, len(value)) in {(1, 4), (5, 16)}:
        return address(value)
    if kind in {2, 3}:
        return text(value)
    if kind == 9:
        return certificates.distinguished_name(value) or octets(value)
    return text(value) if kind == 11 and is_text(value) else octets(value)


def _authentication(fields: Fields) -> tuple[Item, ...]:
    method = Item("Auth Method", numbers.named(numbers.AUTH_METHODS, fields["method"]))
    if fields["method"] == _DIGITAL_SIGNATURE:
        return (method, *signatures.tree(fields["data"]))
    return (method, data("Authentication Data", fields["data"]))


def _notification(fields: Fields) -> str:
    return numbers.name(numbers.NOTIFICATIONS, fields["notifyType"], "type")


def _notify(fields: Fields) -> tuple[Item, ...]:
    kind = fields["notifyType"]
    level = "error" if kind < numbers.FIRST_STATUS else "status"
    found = [
        Item("Protocol ID", numbers.named(numbers.PROTOCOLS, fields.get("protocolID", 0))),
        Item("Notify Message Type", f"{numbers.named(numbers.NOTIFICATIONS, kind)}, {level}"),
    ]
    if "spi" in fields:
        found.insert(1, data("SPI", fields["spi"]))
    if fields["data"]:
        found.append(Item("Notification Data", _notification_data(kind, fields["data"])))
    return tuple(found)


def _notification_data(kind: int, value: bytes) -> str:
    if kind == _INVALID_KE and len(value) == 2:
        return f"use {numbers.named(numbers.KE, int.from_bytes(value))}"
    if kind == _SIGNATURE_HASH_ALGORITHMS and len(value) % 2 == 0:
        pairs = (int.from_bytes(value[at : at + 2]) for at in range(0, min(len(value), 32), 2))
        return ", ".join(numbers.named(numbers.HASHES, pair) for pair in pairs)
    return octets(value)


def _delete(fields: Fields) -> tuple[Item, ...]:
    if len({len(spi) for spi in fields["spis"]}) > 1:
        raise Unreadable("delete: SPIs that are not all of one size")
    protocol = Item("Protocol ID", numbers.named(numbers.PROTOCOLS, fields["protocolID"]))
    return (protocol, *(Item("SPI", spi.hex()) for spi in fields["spis"]))


def _only_data(fields: Fields) -> tuple[Item, ...]:
    return (data("Data", fields["data"]),)


def _vendor(fields: Fields) -> tuple[Item, ...]:
    value = fields["data"]
    return (Item("Vendor ID", text(value) if is_text(value) else octets(value)),)


def _selectors(fields: Fields) -> tuple[Item, ...]:
    return tuple(map(selector, fields["selectors"]))


def selector(fields: Fields) -> Item:
    """A traffic selector. Raises Unreadable."""
    start, end = fields["startAddress"], fields["endAddress"]
    if len(start) != len(end) or len(start) not in {4, 16}:
        raise Unreadable("traffic selector: addresses that are not two of 4 or two of 16 octets")
    kind = "TS_IPV4_ADDR_RANGE (7)" if len(start) == 4 else "TS_IPV6_ADDR_RANGE (8)"
    protocol = numbers.named(numbers.IP_PROTOCOLS, fields["protocol"]) if fields["protocol"] else "any"
    return Item(
        "Traffic Selector",
        f"{address(start)} - {address(end)}, {_ports(fields)}, protocol {protocol}",
        (
            Item("TS Type", kind),
            Item("IP Protocol ID", protocol),
            Item("Start Port", str(fields["startPort"])),
            Item("End Port", str(fields["endPort"])),
            Item("Starting Address", address(start)),
            Item("Ending Address", address(end)),
        ),
    )


def _ports(fields: Fields) -> str:
    first, last = fields["startPort"], fields["endPort"]
    if (first, last) == (0, 65535):
        return "any port"
    return "opaque ports" if first > last else f"ports {first} - {last}"


def _configuration(fields: Fields) -> tuple[Item, ...]:
    kind = Item("CFG Type", numbers.named(numbers.CONFIGURATIONS, fields["cfgType"]))
    return (kind, *map(_configuration_attribute, fields["attributes"]))


def _configuration_attribute(fields: Fields) -> Item:
    value, kind = fields["value"], fields["attributeType"]
    shown = address(value) if len(value) in {4, 16} and kind != 7 else octets(value)
    return Item(numbers.name(numbers.CONFIGURATION_ATTRIBUTES, kind, "attribute"), shown)


#: What is in a payload, by the name of its alternative.
READERS: dict[str, Callable[[Fields], tuple[Item, ...]]] = {
    "sa": _association,
    "ke": _key_exchange,
    "nonce": _nonce,
    "idI": _identification,
    "idR": _identification,
    "certReq": _certificate_request,
    "auth": _authentication,
    "authNonce": _nonce,
    "notify": _notify,
    "delete": _delete,
    "vendorID": _vendor,
    "tsI": _selectors,
    "tsR": _selectors,
    "config": _configuration,
    "eap": _only_data,
}
