"""Bad and odd IKE_SA_INIT requests of strangers: what each may cause at a responder that speaks RFC 7296.

drop        no answer, no state
notify:N    no state; no answer, or N alone
accept      the usual answer and a half-open IKE SA, or a refusal of the proposal or the group
"""

import json
from pathlib import Path

import pytest

from node.errors import DropReason
from node.ike.outputs import Dropped, Event
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import KeyExchange, Notify
from tests.engine.harness import RESPONDER, Pair, variant
from tests.engine.strangers import throw

CASES = json.loads((Path(__file__).parents[1] / "vectors" / "ike_sa_init_bad.json").read_text())["cases"]
SUITES = ("aes256-sha256-modp2048", "aes256-sha256-x25519", "aes256-sha256-ecp256")
#: The list says of it: ignored, or refused, never parsed as trusted. Here payloads of other exchanges are
#: refused, and these are not even well-formed.
REFUSED = {"cert-init"}
BY_POLICY = {"NO_PROPOSAL_CHOSEN", "INVALID_KE_PAYLOAD"}


def stage() -> Pair:
    return Pair("rfc7296", responder=variant(RESPONDER, ike=SUITES))


def answers(pair: Pair, octets: bytes) -> list[Message]:
    codec = pair.initiator.codec
    return [codec.read(codec.peek(answer)) for answer in throw(pair, octets)]


def notified(found: list[Message]) -> set[str]:
    """The notifications of answers that hold nothing else."""
    return {
        str(p.notify_type)
        for message in found
        for p in message.payloads
        if len(message.payloads) == 1 and isinstance(p, Notify)
    }


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_stranger_causes_no_more_than_it_may(case: dict[str, str]) -> None:
    pair = stage()
    octets = bytes.fromhex(case["hex"])
    found = answers(pair, octets)
    expect = "drop" if case["id"] in REFUSED else case["expect"]
    accepted = [m for m in found if any(isinstance(p, KeyExchange) for p in m.payloads)]
    assert len(found) <= 1
    if expect == "accept":
        assert accepted or notified(found) & BY_POLICY
        assert pair.responder.endpoint.half_open == len(accepted)
        return
    assert pair.responder.endpoint.half_open == 0
    assert not pair.responder.endpoint.sas()
    assert notified(found) <= {expect.removeprefix("notify:")}
    assert len(found) == len(notified(found))
    assert pair.responder.dropped.total() == 1
    assert not any(
        isinstance(o, Event) and o.name is EventName.DH_KEY_PAIR_GENERATED for o in pair.responder.outputs
    )


def test_all_of_them_at_once_leave_nothing_behind() -> None:
    """Each three times: the honest initiator gets its IKE SA all the same."""
    pair = stage()
    for case in CASES * 3:
        throw(pair, bytes.fromhex(case["hex"]))
    drops = [o for o in pair.responder.outputs if isinstance(o, Dropped)]
    assert all(isinstance(o.reason, DropReason) for o in drops)
    assert pair.responder.endpoint.half_open <= 10
    pair.establish()
    pair.pass_time(60)
    assert pair.up()
    assert pair.responder.endpoint.half_open == 0
