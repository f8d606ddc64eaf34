"""The SA payload: proposals out of the founding shape and its extensions (docs/ipseclab.asn1, SAPayload).

The three identifiers of the founding shape name the first encryption, integrity and key exchange transform.
Alone they are the whole proposal; otherwise `transforms` lists all of it, and they must agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.decode import algorithms, numbers
from lab.decode.algorithms import ENCR, INTEG, KE, PRF, Transform
from lab.decode.items import count, data
from lab.decode.problem import Unreadable
from lab.decode.schema import Fields
from lab.decode.values import Item

_IKE = 1
_IKE_SPI = 8
#: Octets of a value in the format TV (RFC 7296 3.3.5).
_SHORT_VALUE = 2
_FOUNDING = ((ENCR, "encryptionAlg"), (INTEG, "integrityAlg"), (KE, "dhGroup"))


@dataclass(frozen=True, slots=True)
class Offered:
    """A transform with the attributes that are not its key length."""

    transform: Transform
    attributes: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal (RFC 7296 3.3.1)."""

    number: int
    protocol: int
    spi: bytes
    transforms: tuple[Offered, ...] = field(default=())


def read(fields: Fields) -> tuple[Proposal, ...]:
    """The proposals. Raises Unreadable where the element is not as the module says."""
    listed = fields.get("transforms")
    transforms = map(Offered, _implied(fields)) if listed is None else map(_transform, listed)
    first = Proposal(fields["proposalNum"], fields["protocolID"], fields.get("spi", b""), tuple(transforms))
    _check_founding(fields, first)
    return (first, *map(_proposal, fields.get("proposals", ())))


def tree(proposals: Sequence[Proposal]) -> tuple[Item, ...]:
    """The proposals as items."""
    return tuple(map(_proposal_item, proposals))


def _proposal_item(proposal: Proposal) -> Item:
    protocol = numbers.name(numbers.PROTOCOLS, proposal.protocol, "protocol")
    spi = (data("SPI", proposal.spi),) if proposal.spi else ()
    size = count(len(proposal.transforms), "transform")
    return Item(
        f"Proposal {proposal.number}", f"{protocol}, {size}", (*spi, *map(_item, proposal.transforms))
    )


def _item(offered: Offered) -> Item:
    kind = offered.transform.type
    name = numbers.TRANSFORM_TYPES.get(kind, f"Transform of type {kind}")
    return Item(name, str(offered.transform), offered.attributes)


def _implied(fields: Fields) -> tuple[Transform, ...]:
    """The proposal that the three identifiers stand for; for IKE the HMAC is the PRF too."""
    found = []
    for kind, name in _FOUNDING:
        named = algorithms.named(kind, fields[name])
        if not named.id:
            continue
        if kind == INTEG and fields["protocolID"] == _IKE:
            prf = algorithms.also(PRF, fields[name])
            found += [prf] if prf else []
        found.append(named)
    return tuple(found)


def _check_founding(fields: Fields, first: Proposal) -> None:
    """Raise Unreadable where the founding fields, or their numbers, are not those of the first proposal."""
    transforms = tuple(offered.transform for offered in first.transforms)
    plain = not any(offered.attributes for offered in first.transforms)
    for kind, name in _FOUNDING:
        if algorithms.registered(fields[name]) != _identifier(transforms, kind):
            raise Unreadable(f"SA: {name} does not name the first transform of its type")
    whole = plain and _implied(fields) == transforms
    if whole != ("transforms" not in fields):
        raise Unreadable("SA: a list of transforms that the founding fields make superfluous")
    counts, sizes = {len(transforms)}, {len(first.spi)}
    if whole:
        named = [kind for kind, _ in _FOUNDING if any(t.type == kind for t in transforms)]
        counts = {len(named), len(transforms)} if first.protocol == _IKE else {len(named)}
        sizes |= {_IKE_SPI} if first.protocol == _IKE and "spi" not in fields else set()
    if fields["numTransforms"] not in counts:
        raise Unreadable(f"SA: numTransforms is {fields['numTransforms']}, there are {len(transforms)}")
    if fields["spiSize"] not in sizes:
        raise Unreadable(f"SA: spiSize is {fields['spiSize']}, the SPI has {len(first.spi)}")


def _identifier(transforms: Sequence[Transform], kind: int) -> str:
    first = next((t for t in transforms if t.type == kind), Transform(kind, 0))
    return algorithms.identifier(first)[0]


def _proposal(fields: Fields) -> Proposal:
    transforms = tuple(map(_transform, fields["transforms"]))
    return Proposal(fields["proposalNum"], fields["protocolID"], fields["spi"], transforms)


def _transform(fields: Fields) -> Offered:
    named = algorithms.transform(fields["transformType"], fields["algorithm"], fields.get("keyLength"))
    return Offered(named, tuple(map(_attribute, fields.get("attributes", ()))))


def _attribute(fields: Fields) -> Item:
    short, value = fields.get("short", False), fields["value"]
    if short and len(value) != _SHORT_VALUE:
        raise Unreadable(f"SA: a short attribute of {count(len(value))}")
    return data(f"Attribute {fields['attributeType']}{' (TV)' if short else ''}", value)
