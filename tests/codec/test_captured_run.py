"""Every message of a run of two engines, by two decoders that know the published module and nothing else.

    initiator   IKE_SA_INIT, IKE_AUTH, INFORMATIONAL { D }   -->
                                                             <--   the answers   responder

What the node read is turned into values by the text of the module (`plain`); asn1tools and pyasn1 must find
the same values, field by field, in the octets of the datagrams and in the opened plaintext.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asn1tools
import pytest

from node.model.message import Envelope, Fragment, Message
from node.model.registry import ExchangeType, PayloadType
from node.ports import Sealer
from node.wire.asn1.codec import Asn1Codec
from tests.codec import der_oracle, plain
from tests.engine.harness import CODECS, INITIATOR, RESPONDER, Pair, variant

MODULE = Path(__file__).resolve().parents[2] / "docs" / "ipseclab.asn1"
SUITES = [
    ("aes256-sha256-modp2048", "aes256-sha256"),
    ("aes256gcm16-prfsha256-modp2048", "aes256gcm16"),
]


class Recording(Asn1Codec):
    """The codec, remembering every message that it read."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def read(self, envelope: Envelope, /) -> Message:
        message = super().read(envelope)
        self.messages.append(message)
        return message

    def open(self, envelope: Envelope, opener: Sealer, /) -> Message | Fragment:
        message = super().open(envelope, opener)
        assert isinstance(message, Message)
        self.messages.append(message)
        return message


@dataclass(frozen=True, slots=True)
class Run:
    """The datagrams of a run in order, and the messages that their receivers read."""

    datagrams: list[bytes]
    messages: list[Message]


def run(ike: str, esp: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    codec = Recording()
    monkeypatch.setitem(CODECS, "asn1", lambda: codec)
    initiator, responder = (variant(options, ike=(ike,), esp=(esp,)) for options in (INITIATOR, RESPONDER))
    pair = Pair("asn1", initiator, responder).establish()
    assert pair.up()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert pair.empty()
    return Run([datagram.octets for datagram in pair.sent], codec.messages)


@pytest.fixture(params=SUITES, ids=[ike for ike, _ in SUITES])
def captured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A whole life of an IKE SA."""
    ike, esp = request.param
    return run(ike, esp, monkeypatch)


@pytest.fixture(scope="module")
def module() -> Any:
    return asn1tools.compile_files(str(MODULE), "der")


def inner_payloads(message: Message) -> bytes:
    """The InnerPayloads of a plaintext: without Padding and Pad Length."""
    return message.inner[: len(message.inner) - 1 - message.inner[-1]]


def expected(message: Message) -> dict[str, Any]:
    """What the module says the payload fields of a message are."""
    return plain.fields(message.payloads)


def decoded(module: Any, kind: str, octets: bytes) -> Iterator[Any]:
    """The value by each decoder; asn1tools must also write the same octets."""
    value = module.decode(kind, octets, check_constraints=True)
    assert module.encode(kind, value) == octets
    yield value
    yield der_oracle.decode(
        der_oracle.IKE_MESSAGE if kind == "IKEMessage" else der_oracle.INNER_PAYLOADS, octets
    )


def test_the_run_is_whole(captured: Run) -> None:
    kinds = [(m.header.exchange, m.header.is_response, m.protected) for m in captured.messages]
    assert kinds == [
        (ExchangeType.IKE_SA_INIT, False, False),
        (ExchangeType.IKE_SA_INIT, True, False),
        (ExchangeType.IKE_AUTH, False, True),
        (ExchangeType.IKE_AUTH, True, True),
        (ExchangeType.INFORMATIONAL, False, True),
        (ExchangeType.INFORMATIONAL, True, True),
    ]
    assert [m.octets for m in captured.messages] == captured.datagrams


def test_every_datagram_has_the_values_that_were_read(captured: Run, module: Any) -> None:
    for message in captured.messages:
        first = PayloadType.SK if message.protected else message.payloads[0].type
        header = plain.header(message.header, int(first))
        for value in decoded(module, "IKEMessage", message.octets):
            assert value.pop("header") == header
            if message.protected:
                assert set(value) == {"encrypted"}
                assert set(value["encrypted"]) == {"iv", "ciphertext", "icv"}
            else:
                assert value == expected(message)


def test_every_plaintext_has_the_values_that_were_read(captured: Run, module: Any) -> None:
    for message in captured.messages:
        if message.protected:
            for value in decoded(module, "InnerPayloads", inner_payloads(message)):
                assert value == expected(message)


def test_every_body_stands_in_the_octets_as_the_sender_makes_it(captured: Run) -> None:
    codec = Asn1Codec()
    for message in captured.messages:
        whole = message.inner if message.protected else message.octets
        for payload, body in zip(message.payloads, message.bodies, strict=True):
            assert codec.body(payload) == body
            assert body in whole


def test_the_certificate_and_the_authentication_nonce_are_protected(captured: Run) -> None:
    auth = [m for m in captured.messages if m.header.exchange == ExchangeType.IKE_AUTH]
    nonces = set()
    for message in auth:
        value = der_oracle.decode(der_oracle.INNER_PAYLOADS, inner_payloads(message))
        (nonce,) = (inside["data"] for name, inside in value["payloads"] if name == "authNonce")
        nonces.add(nonce)
        assert len(nonce) == 32
        assert not any(
            nonce in octets or value["cert"]["certData"] in octets for octets in captured.datagrams
        )
    assert len(nonces) == 2
