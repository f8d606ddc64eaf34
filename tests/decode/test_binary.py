"""The decoder of RFC 7296 against the node's codec: the same names, the same values, the same verdict.

Among the suites are those that no Wireshark opens in IKE, ChaCha20-Poly1305: this decoder is their oracle.
"""

import json
import os
import random
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.decode.ciphers import Algorithms
from lab.decode.keylog import IkeKeys, Keys
from lab.decode.run import decode
from lab.decode.values import Decoded, Kind
from lab.wire import pcapng
from node.errors import DecodeError
from node.esp.ip import pack_udp
from node.model.message import Message
from tests.codec.rfc7296.samples import (
    AUTH,
    CLEARTEXT,
    CODEC,
    IKE_AUTH,
    INIT,
    PAYLOADS,
    SUITES,
    cleartext,
    opened,
    protected,
    sealed,
    sealer_of,
)
from tests.codec.rfc7296.test_bad_octets import BODIES, BOMBS, CHAINS, STRANGE
from tests.codec.rfc7296.test_fragments import LARGE, cut
from tests.codec.rfc7296.test_mutations import SEEDS
from tests.codec.rfc7296.test_sessions import NAME
from tests.decode import expected
from tests.decode.support import IKE_SUITES, ZERO, capture, find, make_run, walk
from tests.decode.test_messages import in_order
from tests.decode.test_tshark import ESP_SUITES, IKE_WITHOUT_ENTRY

#: Zero keys, as `sealer_of` has them.
KEYS = {
    "AES-CBC with HMAC": (Algorithms("ENCR_AES_CBC", 256, "AUTH_HMAC_SHA2_256_128"), 32, 32),
    "AES-GCM": (Algorithms("ENCR_AES_GCM_16", 256), 36, 0),
    "ChaCha20-Poly1305": (Algorithms("ENCR_CHACHA20_POLY1305", None), 36, 0),
}
MUTATIONS = 3_000
each_suite = pytest.mark.parametrize("suite", SUITES)


def keys_of(suite: str) -> Keys:
    """The keys of the sample messages."""
    used, size, integ = KEYS[suite]
    encr, mac = bytes(size), bytes(integ)
    secrets = (bytes(32), mac, mac, encr, encr, bytes(32), bytes(32))
    return Keys((IkeKeys("rfc7296", AUTH.spi_i, AUTH.spi_r, used, "PRF_HMAC_SHA2_256", *secrets),))


def on(port: int, *datagrams: bytes, keys: Keys | None = None) -> list[Decoded]:
    """Datagrams on a port of the profile, decoded."""
    ends = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    packets = [pcapng.Packet(ZERO, pack_udp(*ends, 40_000, port, octets)) for octets in datagrams]
    return list(decode(capture(packets), keys or Keys(), ""))


def one(octets: bytes, keys: Keys | None = None) -> Decoded:
    (found,) = on(500, octets, keys=keys)
    return found


@pytest.mark.parametrize("suite", [*IKE_SUITES, *IKE_WITHOUT_ENTRY])
def test_every_message_of_a_run_says_what_the_codec_says(suite: str, tmp_path: Path) -> None:
    run = make_run(suite, profile="rfc7296")
    found = [one for one in decode(run.capture, run.keys(tmp_path), "") if one.kind is Kind.IKE]
    assert len(found) == len(run.messages) == 6
    for message, shown in zip(run.messages, found, strict=True):
        assert shown.problem == ""
        assert shown.opened == message.protected
        assert shown.octets == message.octets
        assert shown.title == expected.title(message.header, message.payloads, message.protected)
        wanted = [said for payload in message.payloads for said in expected.said(payload)]
        assert in_order(shown.tree, [("Message ID", str(message.header.message_id)), *wanted])


@pytest.mark.parametrize("suite", ESP_SUITES)
def test_every_packet_of_a_run_is_opened(suite: str, tmp_path: Path) -> None:
    run = make_run(IKE_WITHOUT_ENTRY[0], suite, profile="rfc7296")
    found = [one for one in decode(run.capture, run.keys(tmp_path), "") if one.kind is Kind.ESP]
    assert [(one.opened, one.problem) for one in found] == [(True, "")] * len(run.inner)


def test_without_keys_the_protected_part_stays_closed(tmp_path: Path) -> None:
    run = make_run(profile="rfc7296")
    request = decode(run.capture, Keys(), "")[2]
    octets = find(request.tree, "Protected").value.partition(":")[0]
    assert request.title == f"IKE_AUTH request 1: SK{{{octets}}}"
    assert (request.opened, request.problem[:18]) == (False, "no keys of IKE SA ")
    (keys,) = run.keys(tmp_path).ike
    wrong = replace(keys, sk_ai=bytes(len(keys.sk_ai)), sk_ei=bytes(len(keys.sk_ei)))
    request = decode(run.capture, Keys((wrong,)), "")[2]
    assert (request.opened, "the ICV is not that of SK_ai and SK_ei" in request.problem) == (False, True)


@each_suite
def test_samples_of_every_payload_are_opened(suite: str) -> None:
    payloads = tuple(payload for payload, _ in PAYLOADS.values())
    found = one(sealed(AUTH, payloads, sealer_of(suite)), keys_of(suite))
    assert (found.opened, found.problem) == (True, "")
    names = [item.name for item in walk(find(found.tree, "Encrypted and Authenticated (SK)"))]
    wanted = {"Security Association (SA)", "Configuration (CP)", "Payload of type 200", "Payload of type 128"}
    assert set(names) >= wanted


def test_where_a_message_stands() -> None:
    """RFC 7296 2, RFC 3948 2: port 500 has no marker, port 4500 has one or ESP or a keepalive."""
    octets = sealed(INIT, CLEARTEXT["IKE_SA_INIT"])
    spi = bytes.fromhex("c0000001")
    found = on(4500, bytes(4) + octets, octets, b"\xff", spi + bytes(40))
    assert [one.kind for one in found] == [Kind.IKE, Kind.ESP, Kind.KEEPALIVE, Kind.ESP]
    assert found[0].octets == octets
    found = on(500, octets, bytes(4) + octets)
    assert [(one.kind, one.problem == "") for one in found] == [(Kind.IKE, True), (Kind.IKE, False)]
    assert on(501, octets)[0].kind is Kind.OTHER


# Fragments


@each_suite
def test_a_message_in_fragments_is_shown_with_the_last(suite: str) -> None:
    datagrams, keys = cut(LARGE, suite), keys_of(suite)
    whole = one(sealed(AUTH, LARGE, sealer_of(suite)), keys)
    total = len(datagrams)
    found = on(500, *datagrams, keys=keys)
    assert [(one.opened, one.problem) for one in found] == [(True, "")] * total
    words = whole.title.partition("SK")[2]
    assert found[-1].title == f"IKE_AUTH request 1: SKF {total}/{total}{words}"
    assert found[0].title.startswith(f"IKE_AUTH request 1: SKF 1/{total}{{")
    assert "IDi" not in found[0].title


def test_fragments_come_in_any_order_and_again() -> None:
    datagrams, keys = cut(LARGE[:3], "AES-GCM", 1_000), keys_of("AES-GCM")
    assert len(datagrams) == 3
    for order in permutations(datagrams):
        found = on(500, order[0], order[0], *order[1:], keys=keys)
        assert ["IDi CERT" in one.title for one in found] == [False, False, False, True]
    found = on(500, *datagrams[:2], keys=keys)
    assert not [one for one in found if "IDi" in one.title]


def test_fragments_of_two_places_are_not_mixed() -> None:
    """A capture of both sides of a wire has each of them twice, and the message is shown at each."""
    datagrams, keys = cut(LARGE[:3], "AES-GCM", 1_000), keys_of("AES-GCM")
    ends = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    packets = [pcapng.Packet(ZERO, pack_udp(*ends, 40_000, 500, octets)) for octets in datagrams]
    sides = tuple(pcapng.Interface(name, pcapng.LINK_RAW) for name in ("left", "right"))
    both = tuple(replace(packet, interface=at) for packet in packets for at in (0, 1))
    found = decode(pcapng.Capture("", sides, both), keys, "")
    assert ["IDi CERT" in one.title for one in found] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("numbers", ["00000001", "00010000", "00020001", "00010021", "ffffffff"])
def test_fragments_whose_numbers_are_none(numbers: str) -> None:
    octets = protected(b"\0" * 16, "AES-GCM", frame=53, numbers=bytes.fromhex(numbers))
    assert "SKF: fragment" in one(octets, keys_of("AES-GCM")).problem


# The same verdict


def accepted(octets: bytes) -> bool:
    """Whether the node's codec reads a cleartext message."""
    try:
        CODEC.read(CODEC.peek(octets))
    except DecodeError:
        return False
    return True


def is_cleartext(octets: bytes) -> bool:
    return len(octets) < 17 or octets[16] not in (46, 53)


@pytest.mark.parametrize(("kind", "why", "body"), [b[:3] for b in BODIES], ids=[b[1] for b in BODIES])
def test_a_body_that_is_none(kind: int, why: str, body: str) -> None:
    octets = cleartext(kind, bytes.fromhex(body))
    assert one(octets, keys_of("AES-GCM")).problem, why


@pytest.mark.parametrize(("why", "octets"), [c[:2] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_a_datagram_that_is_no_message(why: str, octets: bytes) -> None:
    found = one(octets)
    # Keepalives are not looked at here.
    assert found.problem or found.kind is Kind.KEEPALIVE, why


def test_both_accept_the_same_of_the_bad_datagrams() -> None:
    for case in STRANGE:
        octets = bytes.fromhex(case["hex"])
        found = one(octets)
        # What the node refuses for its size alone is shown here, and a keepalive is none of its codec's.
        if is_cleartext(octets) and len(octets) < 10_000 and found.kind is not Kind.KEEPALIVE:
            assert accepted(octets) == (found.problem == ""), (case["id"], found.problem)


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """One to three octets changed, taken out or put in, and lengths that say so as often as not."""
    changed = bytearray(octets)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, chance.randrange(256))
            case 2:
                changed[at] = chance.choice((0, 1, 2, 3, 4, 8, 0x7F, 0x80, 0xFF))
            case _:
                changed[at] ^= 1 << chance.randrange(8)
    if chance.random() < 0.8 and len(changed) >= 28:
        changed[24:28] = len(changed).to_bytes(4)
    return bytes(changed)


def test_both_accept_the_same_cleartext_messages() -> None:
    chance, seen = random.Random(1), Counter[bool]()
    samples = [sealed(INIT, payloads) for payloads in CLEARTEXT.values()]
    samples += [sealed(INIT, (payload,)) for payload, _ in PAYLOADS.values()]
    samples += [octets for name, octets in SEEDS.items() if "skf" not in name]
    for _ in range(MUTATIONS):
        octets = mutated(chance.choice(samples), chance)
        if is_cleartext(octets) and len(octets) > 3:
            found = one(octets)
            assert accepted(octets) == (found.problem == ""), (octets.hex(), found.problem)
            seen[found.problem == ""] += 1
    assert min(seen[True], seen[False]) > 300


@each_suite
def test_both_accept_the_same_plaintexts(suite: str) -> None:
    chance, seen, keys = random.Random(2), Counter[bool](), keys_of(suite)
    message = opened(sealed(AUTH, IKE_AUTH, sealer_of(suite)), sealer_of(suite))
    assert isinstance(message, Message)
    block = sealer_of(suite).block
    for _ in range(MUTATIONS // 3):
        inner = mutated(message.inner, chance)
        pad = -(len(inner) + 1) % block
        octets = protected(inner + bytes(pad) + bytes((chance.choice((pad, pad, pad, 255)),)), suite)
        try:
            opened(octets, sealer_of(suite))
            fine = True
        except DecodeError:
            fine = False
        found = one(octets, keys)
        assert (found.opened, found.problem == "") == (fine, fine), found.problem
        assert fine or found.problem.startswith("opened, but malformed inside: ")
        seen[fine] += 1
    assert min(seen[True], seen[False]) > 50


@given(st.binary(max_size=300), st.sampled_from([500, 4500]), st.booleans())
def test_any_octets(octets: bytes, port: int, marked: bool) -> None:
    assert len(on(port, bytes(4) * marked + octets, keys=keys_of("AES-GCM"))) == 1


@pytest.mark.parametrize("name", BOMBS)
def test_as_many_of_anything_as_fit_are_read(name: str) -> None:
    assert one(BOMBS[name]).kind is Kind.IKE


# Sessions of real daemons (see tests/codec/rfc7296/test_sessions.py)

RECORDED = {
    "ikev2-decrypt-aes256cbc": ("ENCR_AES_CBC", "AUTH_HMAC_SHA2_256_128"),
    "ikev2-decrypt-aes256gcm16": ("ENCR_AES_GCM_16", ""),
}


def sessions() -> list[dict[str, Any]]:
    path = os.environ.get(NAME)
    found = json.loads(Path(path).read_text())["sessions"] if path else []
    return [session for session in found if Path(session["file"]).stem in RECORDED]


@pytest.mark.skipif(not os.environ.get(NAME), reason=f"{NAME} names no file of recorded sessions")
def test_recorded_sessions_are_opened() -> None:
    found = sessions()
    assert len(found) == len(RECORDED)
    for session in found:
        keys = {f"sk_{name}": bytes.fromhex(session[f"sk_{name}"]) for name in ("ai", "ar", "ei", "er")}
        encr, integ = RECORDED[Path(session["file"]).stem]
        spis = bytes.fromhex(session["spi_i"]), bytes.fromhex(session["spi_r"])
        used = Algorithms(encr, 256, integ)
        known = Keys((IkeKeys("rfc7296", *spis, used, "", sk_d=b"", sk_pi=b"", sk_pr=b"", **keys),))
        raw = [bytes.fromhex(message["raw"]) for message in session["messages"]]
        shown = on(500, *raw, keys=known)
        assert [one.problem for one in shown] == [""] * len(raw)
        assert [one.opened for one in shown] == [not is_cleartext(octets) for octets in raw]
