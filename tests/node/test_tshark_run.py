"""Two nodes as processes, their key log, and tshark with the tables that a run leaves: IKE and ESP opened."""

from ipaddress import ip_address
from pathlib import Path

from lab.decode import keylog, wireshark
from lab.decode.run import decode
from lab.decode.values import Kind
from lab.wire import pcapng
from node.esp.ip import pack_udp
from tests.decode.support import ZERO, capture, octets_of
from tests.decode.test_tshark import INSIDE, ike_of, read, texts, wrong
from tests.decode.test_wireshark import found, needs_tshark, version
from tests.node.conftest import Spawn
from tests.node.test_rfc7296 import PORT, Relay, relays, run

__all__ = ["relays"]
ENDS = ip_address("192.0.2.1"), ip_address("192.0.2.2")


def seen(relay: Relay) -> pcapng.Capture:
    """What passed the relay, between two addresses and on the port where it has its marker."""
    ways = {True: ENDS, False: ENDS[::-1]}
    packets = [
        pcapng.Packet(ZERO + number, pack_udp(*ways[forth], PORT, PORT, octets))
        for number, (forth, octets) in enumerate(relay.seen)
    ]
    return capture(packets)


@needs_tshark
def test_tshark_and_the_decoder_open_a_real_run(spawn: Spawn, relays: list[Relay], tmp_path: Path) -> None:
    logged = tmp_path / "both.keys"
    variables = {
        "NODE_IKE__PROPOSALS": "[aes256gcm16-prfsha384-ecp384]",
        "NODE_CHILD__PROPOSALS": "[aes256gcm16]",
        "NODE_KEYLOG__FILE": str(logged),
    }
    run(spawn, relays, **variables)
    keys = keylog.read([logged])
    assert (len(keys.ike), len(keys.esp)) == (1, 2)
    recorded = seen(relays[-1])
    (tmp_path / "capture.pcapng").write_bytes(octets_of(recorded))
    packets = read(tmp_path / "capture.pcapng", wireshark.write(tmp_path, keys, version()))
    messages, esp = ike_of(packets), [one for one in packets if "esp" in one]
    assert [
        wanted <= set(texts(one, "isakmp.typepayload")) for wanted, one in zip(INSIDE, messages, strict=True)
    ] == [True] * 6
    assert not [one for one in messages if wrong(one)]
    # A greeting, its acknowledgement, ten pings and their replies.
    assert [found(one, "esp.icv_good") for one in esp] == [["1"]] * 22
    assert [found(one, "icmp.type") for one in esp[2:]] == [["8"], ["0"]] * 10
    shown = decode(recorded, keys, "")
    assert [one.problem for one in shown] == [""] * len(packets)
    assert [one.kind for one in shown if one.opened] == [Kind.IKE] * 2 + [Kind.ESP] * 22 + [Kind.IKE] * 2
