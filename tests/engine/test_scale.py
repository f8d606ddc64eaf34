"""Many initiators against one responder: in sequence and at once; nothing is left when they are gone."""

import gc

from node.ike.timers import Timers
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, shared, variant

FAST = {"ike": ("aes256gcm16-prfsha256-x25519",), "esp": ("aes256gcm16",)}


def crowd(codec: str) -> Pair:
    return Pair(
        codec,
        variant(INITIATOR, **FAST),
        variant(RESPONDER, peer_ts="10.0.0.0/8", **FAST),
    )


def member(pair: Pair, number: int) -> Node:
    options = variant(
        INITIATOR,
        change=shared,
        address=f"198.51.{number // 250}.{number % 250}",
        local_ts=f"10.{number // 250}.{number % 250}.0/24",
        **FAST,
    )
    return pair.add(options)


def leave(pair: Pair, node: Node) -> None:
    node.endpoint.delete_all(pair.now)
    pair.flush(node)
    pair.drive()
    del pair.nodes[node.address]


def in_sequence(codec: str, count: int) -> None:
    """So many initiators come and go, one after the other. Raises AssertionError where anything grows."""
    pair = crowd(codec)
    tables = []
    for number in range(count):
        node = member(pair, number)
        pair.initiate(node)
        pair.drive()
        assert len(pair.responder.outbound) == 1
        leave(pair, node)
        pair.pass_time(1)
        pair.sent.clear()
        pair.responder.outputs.clear()
        if number in (99, count - 1):
            gc.collect()
            tables.append(len(gc.get_objects()))
    endpoint = pair.responder.endpoint
    assert not endpoint.sas()
    assert endpoint.half_open == 0
    assert len(endpoint._echoes) <= 40
    pair.pass_time(60)
    assert endpoint.deadline() is None
    assert len(endpoint._echoes) == 0
    assert tables[1] < tables[0] * 1.02 + 2 * count


def test_hundreds_in_sequence(codec: str) -> None:
    """A thousand of them: `make test-long`."""
    in_sequence(codec, 300)


def test_fifty_at_once(codec: str) -> None:
    pair = crowd(codec)
    nodes = [member(pair, number) for number in range(50)]
    for node in nodes:
        pair.initiate(node)
    pair.drive()
    assert len(pair.responder.endpoint.sas()) == len(pair.responder.outbound) == 50
    assert {sa.phase for sa in pair.responder.endpoint.sas()} == {"ESTABLISHED"}
    assert len({c.inbound_spi for c in pair.responder.children.values()}) == 50
    for node in nodes:
        leave(pair, node)
    assert not pair.responder.endpoint.sas()
    assert not pair.responder.children


def test_timers_do_not_pile_up() -> None:
    timers = Timers()
    for turn in range(10_000):
        timers.set(b"%d" % (turn % 10), float(turn))
    assert len(timers._heap) < 200
    assert timers.due(9_995.0) == [b"%d" % n for n in range(6)]
    timers.set(b"9", None)
    assert timers.next() == 9_996.0
