"""node/ike/context.Children: who holds which selectors, with many Child SAs of one peer."""

from node.crypto.suites import esp_suite
from node.ike.context import Children
from node.model.child import ChildSa, DirectionKeys
from node.model.message import Path
from node.model.payloads import Identification
from node.model.registry import IdType, PayloadType
from node.model.secret import Secret
from node.model.selectors import network

ALICE, BOB = (Identification(PayloadType.IDI, IdType.ID_FQDN, name) for name in (b"alice", b"bob"))
HELD = (network("10.1.0.0/24"),)
KEYS = DirectionKeys(Secret(bytes(36)), Secret(b""))


def child(spi: int, ike_spi: bytes = bytes(8)) -> ChildSa:
    octets = spi.to_bytes(4)
    path = Path("192.0.2.1", 500, "192.0.2.2", 500)
    return ChildSa(octets, octets, esp_suite("aes256gcm16"), KEYS, KEYS, HELD, HELD, path, ike_spi)


def test_selectors_are_held_until_the_last_child_sa_with_them_is_gone() -> None:
    children = Children()
    for spi in (256, 257):
        children.add(child(spi), ALICE)
    for spi in (256, 257):
        assert children.taken_by_another(HELD, BOB)
        assert not children.taken_by_another(HELD, ALICE)
        assert not children.taken_by_another((network("10.2.0.0/24"),), BOB)
        children.discard(spi.to_bytes(4))
    assert not children.taken_by_another(HELD, BOB)
    assert len(children) == 0


def test_a_child_sa_that_comes_again_counts_once() -> None:
    """As when its IKE SA is replaced by another one."""
    children, spi = Children(), (256).to_bytes(4)
    children.add(child(256), ALICE)
    children.add(child(256, b"replaced"), ALICE)
    assert (len(children), children.ike_spi(spi)) == (1, b"replaced")
    children.discard(spi)
    children.discard(spi)
    assert not children.taken_by_another(HELD, BOB)
