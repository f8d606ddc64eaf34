"""Short lives of an IKE SA that between them have every message of the profile, both ways.

A scene takes a stage and somebody who sees each datagram of interest before it arrives. Ahead of these, the
nodes do what it takes to get there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node.ike.sa import IkeSa
from node.model.payloads import Delete, Nonce, Notify, Payload, SecurityAssociation, TrafficSelectors
from node.model.proposal import offer
from node.model.registry import ExchangeType, NotifyType, PayloadType, ProtocolId
from node.wire.asn1.codec import Asn1Codec
from tests.property.hostile import Side, Stage, Variables

#: Sees a datagram before it arrives.
Meddle = Callable[[Side, bytes], None]

#: IKE and ESP suites; one scene after the other has the next ones. Key exchange methods are quick, but for
#: that of the founding suite.
SUITES = (
    ("aes256-sha256-modp2048", "aes256-sha256"),
    ("aes256gcm16-prfsha256-x25519", "aes256gcm16"),
    ("chacha20poly1305-prfsha384-ecp256", "chacha20poly1305-esn"),
    ("aes128-sha512-ecp384", "aes128-sha384"),
    ("aes192gcm16-prfsha512-x448", "aes128gcm16-esn"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens, and with which further configuration."""

    play: Callable[[Stage, Meddle], None]
    variables: Variables = field(default_factory=dict)

    def configuration(self, number: int) -> Variables:
        """The variables of both roles, with the suites of this number."""
        ike, esp = SUITES[number % len(SUITES)]
        suites = {"NODE_IKE__PROPOSALS": f"[{ike}]", "NODE_CHILD__PROPOSALS": f"[{esp}]"}
        return {role: {**suites, **self.variables.get(role, {})} for role in ("initiator", "responder")}


def established(stage: Stage) -> IkeSa:
    """Bring an IKE SA up, undisturbed; the initiator's side of it."""
    stage.initiate()
    stage.drive()
    (sa,) = stage.initiator.established()
    assert len(stage.responder.established()) == 1
    return sa


def ask(stage: Stage, side: Side, exchange: ExchangeType, *payloads: Payload) -> None:
    """Let a side send a request in its one established IKE SA."""
    (sa,) = side.established()
    sa.send_request(exchange, payloads, stage.time())
    side.node.endpoint._settle(sa, stage.time())
    side.node._pump()


def _handshake(stage: Stage, meddle: Meddle) -> None:
    stage.initiate()
    stage.drive(meddle)
    assert [len(side.established()) for side in stage.sides] == [1, 1]


def _refusal(stage: Stage, meddle: Meddle) -> None:
    stage.initiate()
    stage.drive(meddle)
    assert [len(side.established()) for side in stage.sides] != [1, 1]


def _deletion(stage: Stage, meddle: Meddle) -> None:
    established(stage)
    stage.initiator.node.endpoint.delete_all(stage.time())
    stage.initiator.node._pump()
    stage.drive(meddle)
    assert not any(side.node.endpoint.sas() for side in stage.sides)


def _child_deletion(stage: Stage, meddle: Meddle) -> None:
    (child,) = (owned.child for owned in established(stage).children.values())
    ask(stage, stage.initiator, ExchangeType.INFORMATIONAL, Delete(ProtocolId.ESP, (child.inbound_spi,)))
    stage.drive(meddle)
    assert not stage.responder.node.plane.query()


def _liveness(stage: Stage, meddle: Meddle) -> None:
    established(stage)
    ask(stage, stage.responder, ExchangeType.INFORMATIONAL)
    stage.drive(meddle)


def _another_child(stage: Stage, meddle: Meddle) -> None:
    (child,) = (owned.child for owned in established(stage).children.values())
    payloads = (
        Notify(NotifyType.REKEY_SA, b"", ProtocolId.ESP, child.inbound_spi),
        SecurityAssociation(offer((child.suite,), b"\xc0\xff\xee\x01")),
        Nonce(bytes(range(32))),
        TrafficSelectors(PayloadType.TSI, child.local),
        TrafficSelectors(PayloadType.TSR, child.peer),
    )
    ask(stage, stage.initiator, ExchangeType.CREATE_CHILD_SA, *payloads)
    stage.drive(meddle)


def _only(role: str, **variables: str) -> Mapping[str, Mapping[str, str]]:
    return {role: {f"NODE_{name}": value for name, value in variables.items()}}


_WARY = _only("responder", IKE__HALF_OPEN__COOKIE_THRESHOLD="0")
_ANOTHER_GROUP = {
    **_only("initiator", IKE__PROPOSALS="[aes256-sha256-ecp256, aes256-sha256-x25519]"),
    **_only("responder", IKE__PROPOSALS="[aes256-sha256-x25519]"),
}

SCENES = {
    "handshake": Scene(_handshake),
    "deletion": Scene(_deletion),
    "deletion of the Child SA": Scene(_child_deletion),
    "liveness": Scene(_liveness),
    "another Child SA": Scene(_another_child),
    "no common proposal": Scene(_refusal, _only("initiator", IKE__PROPOSALS="[aes128-sha384-ecp521]")),
    "another group": Scene(_handshake, _ANOTHER_GROUP),
    "a cookie": Scene(_handshake, _WARY),
    "a cookie and another group": Scene(
        _handshake,
        {role: {**_ANOTHER_GROUP[role], **_WARY.get(role, {})} for role in ("initiator", "responder")},
    ),
    "an initiator that nobody expects": Scene(_refusal, _only("responder", PEER__IDENTITY="dn:CN=other")),
    "a responder that nobody expects": Scene(_refusal, _only("initiator", PEER__IDENTITY="dn:CN=other")),
}


def name_of(octets: bytes) -> str:
    """What a message is called in a tally: `IKE_AUTH request`."""
    header = Asn1Codec().peek(octets).header
    return f"{header.exchange} {'response' if header.is_response else 'request'}"
