"""Junk and floods against a socket on loopback, in small numbers."""

from lab.wire.identity import read_asn1
from tests.wire.conftest import Rig
from tests.wire.support import AUTH_REQUEST, INIT_REQUEST, WITH_NOTIFY, esp


def test_junk_arrives_before_the_honest_message(rig: Rig) -> None:
    process = rig.start({"act": "junk", "match": "IKE_AUTH request 1", "count": 40})
    rig.alice.send(AUTH_REQUEST, rig.wire)
    found = [rig.target.receive() for _ in range(41)]
    assert found[-1][0] == AUTH_REQUEST
    assert {str(read_asn1(octets, 8000)) for octets, _ in found} == {"IKE_AUTH request 1"}
    assert len({octets for octets, _ in found}) == 41
    # from the same port, so that nothing tells them apart
    assert len({source for _, source in found}) == 1
    assert process.wait_for("wire_junk_done", count=40)
    capture = rig.stop(process)
    assert [packet.comment for packet in capture.packets][:2] == [
        "held back for junk by fault 1: IKE_AUTH request 1",
        "junk 1 of 40 before packet 1",
    ]
    assert len(capture.packets) == 41


def test_a_flood_at_the_start_comes_from_many_addresses_and_counts_answers(rig: Rig) -> None:
    process = rig.start({"act": "flood", "match": "start", "count": 50, "seconds": 0.2})
    found = [rig.target.receive() for _ in range(50)]
    for octets, source in found[:30]:
        rig.target.send(b"COOKIE" + octets[:4], source)
    assert {str(read_asn1(octets, 8000)) for octets, _ in found} == {"IKE_SA_INIT request 0"}
    assert len({octets for octets, _ in found}) == 50
    assert len({host for host, _ in (source for _, source in found)}) > 40
    done = process.wait_for("wire_flood_done")
    assert (done["count"], done["answers"]) == (50, 30)
    assert 0.15 < done["seconds"] < 5
    # answers are nobody's, and the honest one is not in their way
    rig.alice.send(esp(1), rig.wire)
    assert rig.target.receive()[0] == esp(1)
    assert rig.alice.silent()
    capture = rig.stop(process)
    comments = [packet.comment for packet in capture.packets]
    assert comments == [*(f"flood by fault 1: {number} of 50" for number in range(1, 51)), ""]


def test_a_flood_that_is_triggered_looks_like_what_triggered_it(rig: Rig) -> None:
    process = rig.start({"act": "flood", "match": "IKE_SA_INIT request", "count": 20, "seconds": 0})
    rig.alice.send(WITH_NOTIFY, rig.wire)
    found = rig.target.octets(21)
    assert WITH_NOTIFY in found
    tail = WITH_NOTIFY[-20:]
    assert all(octets[-20:] == tail for octets in found)
    assert process.wait_for("wire_fault")["detail"] == "20 requests in 0 s"
    assert process.wait_for("wire_flood_done", count=20, answers=0)


def test_a_flood_can_be_set_and_stopped(rig: Rig) -> None:
    process = rig.start()
    rig.alice.send(INIT_REQUEST, rig.wire)
    rig.target.receive()
    assert rig.ask("set", faults={"act": "flood", "match": "start", "count": 100_000, "seconds": 600})["ok"]
    rig.target.octets(5)
    assert rig.ask("reset")["ok"]
    done = process.wait_for("wire_flood_done")
    assert 5 <= done["count"] < 100_000


def test_the_same_seed_makes_the_same_attack(rig: Rig) -> None:
    seen = []
    for _ in range(2):
        process = rig.start({"act": "flood", "match": "start", "count": 5, "seconds": 0})
        seen.append([(octets, source[0]) for octets, source in (rig.target.receive() for _ in range(5))])
        rig.stop(process)
    assert seen[0] == seen[1]
