"""A node that keeps all the rules of the wire and lies about everything else: its payloads are well-formed,
sealed with the right keys, and not what belongs there.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from ipaddress import ip_address
from typing import Any

from node.errors import LocalMisuse
from node.model.message import Header, Sealed
from node.model.payloads import (
    Authentication,
    AuthNonce,
    Certificate,
    Configuration,
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
)
from node.model.proposal import Proposal, Transform
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
)
from node.model.selectors import TrafficSelector
from node.ports import Sealer
from tests.property.hostile import Side

SIZES = (0, 1, 3, 4, 8, 15, 16, 20, 31, 32, 33, 64, 256, 300, 2000)


class Liar:
    """Changes what `side` seals, with a probability."""

    def __init__(self, side: Side, seed: int, share: float) -> None:
        self._draw, self._share = random.Random(seed), share
        codec: Any = side.node.endpoint._context.codec
        self._honest: Callable[[Header, Sequence[Payload], Sealer | None, int], Sealed] = codec.seal
        codec.seal = self._seal

    def _seal(
        self, header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int, /
    ) -> Sealed:
        if self._draw.random() < self._share:
            try:
                return self._honest(header, self._lie(list(payloads)), sealer, mtu)
            except LocalMisuse:
                # Not even a liar can write that down.
                return self._honest(header, payloads, sealer, mtu)
        return self._honest(header, payloads, sealer, mtu)

    def _lie(self, payloads: list[Payload]) -> tuple[Payload, ...]:
        draw = self._draw
        for _ in range(draw.choice((1, 1, 2, 3))):
            at = draw.randrange(len(payloads) + 1)
            chosen = payloads[at : at + 1]
            match draw.randrange(6):
                case 0:
                    payloads[at : at + 1] = []
                case 1:
                    payloads[at:at] = chosen * draw.choice((1, 2, 20))
                case 2:
                    payloads[at:at] = [self.invented()]
                case 3:
                    draw.shuffle(payloads)
                case _:
                    payloads[at : at + 1] = [self.changed(one) for one in chosen]
        return tuple(payloads)

    def changed(self, payload: Payload) -> Payload:
        """The payload with one field of another value."""
        draw = self._draw
        if isinstance(payload, SecurityAssociation):
            return SecurityAssociation(tuple(self._proposal(p) for p in payload.proposals))
        if isinstance(payload, TrafficSelectors):
            return replace(payload, selectors=self._selectors())
        name = draw.choice([f.name for f in fields(payload)])
        value = getattr(payload, name)
        if isinstance(value, bytes):
            cut = value[: draw.randrange(len(value) + 1)]
            turned = bytes(reversed(value))
            changes: dict[str, Any] = {name: draw.choice((cut, turned, value + b"\0", self._octets(), b""))}
            return replace(payload, **changes)
        return self.invented()

    def invented(self) -> Payload:
        """Any payload at all."""
        draw, octets = self._draw, self._octets()
        notify = draw.choice((1, 4, 5, 7, 9, 11, 14, 17, 24, 34, 38, 43, 8191, 16384, 16390, 16393, 65535))
        made: tuple[Payload, ...] = (
            Notify(NotifyType(notify), octets, ProtocolId(draw.randrange(5))),
            Notify(NotifyType(notify)),
            Delete(ProtocolId(draw.randrange(5)), tuple(draw.randbytes(4) for _ in range(draw.randrange(3)))),
            Delete(ProtocolId.IKE),
            Unknown(PayloadType(draw.choice((1, 6, 50, 54, 127, 200, 255))), draw.random() < 0.5, octets),
            Certificate(CertEncoding(draw.choice((0, 1, 4, 11, 12, 13, 255))), octets),
            Identification(
                draw.choice((PayloadType.IDI, PayloadType.IDR)), IdType(draw.randrange(14)), octets
            ),
            Authentication(AuthMethod(draw.choice((0, 1, 2, 3, 9, 10, 11, 13, 14, 255))), octets),
            KeyExchange(KeId(draw.choice((0, 1, 2, 14, 19, 31, 36, 1025))), octets),
            Nonce(octets),
            AuthNonce(octets),
            Eap(octets),
            Configuration(draw.randrange(6), ()),
            TrafficSelectors(draw.choice((PayloadType.TSI, PayloadType.TSR)), self._selectors()),
            SecurityAssociation((self._proposal(Proposal(1, ProtocolId.ESP, b"abcd", ())),)),
        )
        return draw.choice(made)

    def _octets(self) -> bytes:
        return self._draw.randbytes(self._draw.choice(SIZES))

    def _proposal(self, proposal: Proposal) -> Proposal:
        draw = self._draw
        transform = Transform(
            TransformType(draw.randrange(7)),
            draw.choice((0, 1, 2, 5, 12, 14, 20, 31)),
            draw.choice((None, 0, 128, 255, 256)),
        )
        return draw.choice(
            (
                replace(proposal, spi=draw.randbytes(draw.choice((0, 1, 4, 8)))),
                replace(proposal, spi=draw.choice((bytes(4), b"\0\0\0\xff", b"\xff" * 4))),
                replace(proposal, number=draw.choice((0, 1, 2, 255))),
                replace(proposal, protocol=ProtocolId(draw.randrange(5))),
                replace(proposal, transforms=proposal.transforms[1:]),
                replace(proposal, transforms=(*proposal.transforms, transform)),
                replace(proposal, transforms=(transform,) * draw.choice((1, 200))),
            )
        )

    def _selectors(self) -> tuple[TrafficSelector, ...]:
        draw = self._draw
        found = []
        for _ in range(draw.choice((0, 1, 1, 2, 20, 300))):
            size = draw.choice((4, 4, 4, 16))
            start, end = (
                ip_address(draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))) for _ in range(2)
            )
            ports = draw.choice((0, 1, 65535)), draw.choice((0, 1, 65535))
            found.append(TrafficSelector(start, end, draw.choice((0, 17, 255)), *ports))
        return tuple(found)
