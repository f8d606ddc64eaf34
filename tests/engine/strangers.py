"""What strangers send in IKE_SA_INIT, and what comes back: for tests of cookies, limits and floods."""

from dataclasses import replace

from node.ike.outputs import Transmit
from node.ike.settings import Limits, Settings
from node.model.message import NO_SPI, Header, HeaderFlags, Path
from node.model.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import ExchangeType, KeId, NotifyType
from tests.engine.harness import Pair

HERE = Path("192.0.2.2", 8000, "192.0.2.1", 8000)
STRANGER = Path("192.0.2.2", 8000, "198.51.100.7", 4000)
SPI, NI = bytes(range(1, 9)), bytes(range(32))
#: A public value that nothing is wrong with.
SHARE = (2**2000).to_bytes(256)


def limits(**changes: float) -> dict[str, object]:
    def change(settings: Settings) -> Settings:
        return replace(settings, limits=replace(Limits(), **changes))  # type: ignore[arg-type]

    return {"change": change}


def request(pair: Pair, *extra: Payload, spi: bytes = SPI, nonce: bytes = NI) -> bytes:
    header = Header(spi, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.INITIATOR)
    payloads = (
        *extra,
        SecurityAssociation(offer(pair.responder.settings.ike_suites)),
        KeyExchange(KeId.MODP_2048, SHARE),
        Nonce(nonce),
    )
    return pair.initiator.codec.seal(header, payloads, None, 0).octets


def throw(pair: Pair, octets: bytes, path: Path = STRANGER) -> list[bytes]:
    """Throw octets at the responder; returns the datagrams that it sends."""
    before = len(pair.responder.outputs)
    pair.responder.endpoint.handle_datagram(octets, path, pair.now)
    while (output := pair.responder.endpoint.poll()) is not None:
        pair.responder.record(output)
    return [
        octets
        for output in pair.responder.outputs[before:]
        if isinstance(output, Transmit)
        for octets in output.datagrams
    ]


def answer_with(pair: Pair, *notifies: Notify, path: Path | None = None) -> None:
    """An unprotected IKE_SA_INIT response of somebody's making arrives at the initiator."""
    (sa,) = pair.initiator.endpoint._sas.values()
    header = Header(sa.spi_i, NO_SPI, ExchangeType.IKE_SA_INIT, 0, HeaderFlags.RESPONSE)
    octets = pair.responder.codec.seal(header, notifies, None, 0).octets
    path = path or pair.initiator.path_to(pair.responder)
    pair.initiator.endpoint.handle_datagram(octets, path, pair.now)
    pair.flush(pair.initiator)


def cookie_in(pair: Pair, sent: list[bytes]) -> Notify:
    (octets,) = sent
    (notify,) = pair.initiator.codec.read(pair.initiator.codec.peek(octets)).payloads
    if not isinstance(notify, Notify) or notify.notify_type != NotifyType.COOKIE:
        raise AssertionError(f"{notify} is no cookie")
    return notify
