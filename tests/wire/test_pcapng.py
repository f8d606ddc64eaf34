"""pcapng files: what is written is read again, a fixed file octet by octet, and nothing else is believed."""

import contextlib
import io
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire.pcapng import (
    LINK_ETHERNET,
    LINK_RAW,
    SECRETS_ESP,
    Capture,
    CaptureError,
    Interface,
    Packet,
    Writer,
    read,
    resume,
    write,
)

#: Text that an option can hold; an empty one is not written.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PACKETS = st.builds(Packet, st.integers(0, (1 << 64) - 1), st.binary(max_size=99), st.integers(0, 1), TEXTS)
CAPTURES = st.builds(
    Capture,
    TEXTS,
    st.tuples(*[st.builds(Interface, TEXTS, st.sampled_from([LINK_RAW, LINK_ETHERNET]))] * 2),
    st.lists(PACKETS, max_size=5).map(tuple),
    st.lists(st.tuples(st.just(SECRETS_ESP), st.binary(max_size=30)), max_size=2).map(tuple),
)
SMALL = Capture(
    "run 1", (Interface("wire", LINK_RAW),), (Packet(1_000_000_001, b"abcde", comment="dropped"),)
)


AGAIN = Packet(2_000_000_002, b"fghij", comment="sent again")


def octets_of(capture: Capture) -> bytes:
    stream = io.BytesIO()
    write(stream, capture)
    return stream.getvalue()


@given(CAPTURES)
def test_what_is_written_is_read_again(capture: Capture) -> None:
    octets = octets_of(capture)
    assert read(octets) == capture
    assert len(octets) % 4 == 0


def test_a_file_octet_by_octet() -> None:
    """draft-ietf-opsawg-pcapng, sections 4.1 to 4.3, by hand."""
    section = (
        "0a0d0d0a 38000000 4d3c2b1a 0100 0000 ffffffffffffffff"
        "0100 0500 72756e2031 000000 0400 0800 69707365636c6162 0000 0000 38000000"
    )
    interface = (
        "01000000 28000000 6500 0000 00000000 0200 0400 77697265 0900 0100 09 000000 0000 0000 28000000"
    )
    packet = (
        "06000000 38000000 00000000 00000000 01ca9a3b 05000000 05000000 6162636465 000000"
        "0100 0700 64726f70706564 00 0000 0000 38000000"
    )
    assert octets_of(SMALL).hex() == "".join((section + interface + packet).split())


def test_every_packet_is_out_when_packet_returns() -> None:
    stream = io.BytesIO()
    buffered = io.BufferedWriter(stream, 1 << 20)
    writer = Writer(buffered, (Interface("wire", LINK_RAW),), "x")
    for number in range(3):
        writer.packet(Packet(number, b"abc"))
        assert len(read(stream.getvalue()).packets) == number + 1


@given(CAPTURES, st.data())
def test_a_file_that_was_cut_off_keeps_what_is_whole(capture: Capture, data: st.DataObject) -> None:
    octets = octets_of(capture)
    kept = octets[: data.draw(st.integers(0, len(octets)))]
    try:
        found = read(kept)
    except CaptureError:
        # not even the section header
        assert len(kept) < len(octets_of(Capture(capture.comment, (), ())))
        return
    assert found.packets == capture.packets[: len(found.packets)]


@given(st.binary(max_size=200), CAPTURES, st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_wild_octets_are_refused_with_the_one_error(
    wild: bytes, capture: Capture, at: int, change: bytes
) -> None:
    good = octets_of(capture)
    for octets in (wild, good[:at] + change + good[at + len(change) :]):
        with contextlib.suppress(CaptureError):
            read(octets)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


GOOD = octets_of(SMALL)
SECTION = octets_of(Capture("", (), ()))
BAD = [
    (b"", "no section header"),
    (b"\xd4\xc3\xb2\xa1" + bytes(20), "not a little-endian pcapng file"),
    (GOOD[56:], "not one section"),
    (GOOD + GOOD, "not one section"),
    (SECTION + _block(6, bytes(20)), "a packet of interface 0, and there are 0"),
    (SECTION + _block(6, b""), "too short"),
    (GOOD + _block(6, struct.pack("<IIIII", 0, 0, 0, 9, 9)), "9 octets do not fit"),
    (GOOD + _block(10, struct.pack("<II", 1, 9)), "9 octets do not fit"),
    (SECTION + struct.pack("<III", 6, 13, 13), "13 octets"),
    (GOOD[:-4] + bytes(4), "ends with another length"),
    (SECTION + struct.pack("<II", 6, 1 << 30) + bytes(8), "octets at"),
]


@pytest.mark.parametrize(("octets", "says"), BAD)
def test_what_is_no_capture_of_ours_is_named(octets: bytes, says: str) -> None:
    with pytest.raises(CaptureError, match=says):
        read(octets)


def test_blocks_of_other_kinds_are_passed_over() -> None:
    assert read(GOOD + _block(5, bytes(12)) + _block(0x0BAD, b"")) == SMALL


def test_a_comment_that_is_too_long_is_cut_to_what_an_option_holds() -> None:
    stream = io.BytesIO()
    long = Packet(1, b"x", comment="€" * 50_000)
    write(stream, Capture("ä" * 50_000, (Interface("w", LINK_RAW),), (long,)))
    found = read(stream.getvalue())
    assert set(found.comment) == {"ä"}
    assert set(found.packets[0].comment) == {"€"}
    assert len(found.comment) == 32_500


def resumed(octets: bytes, *packets: Packet) -> bytes:
    """A file of these octets, gone on with by whoever writes SMALL."""
    stream = io.BytesIO(octets)
    writer = resume(stream, SMALL.interfaces, SMALL.comment)
    for packet in packets:
        writer.packet(packet)
    return stream.getvalue()


WHOLE = octets_of(replace(SMALL, packets=(*SMALL.packets, AGAIN)))
HEADER = octets_of(replace(SMALL, packets=()))


def test_a_capture_is_gone_on_with_in_its_one_section() -> None:
    assert resumed(GOOD, AGAIN) == WHOLE
    assert resumed(GOOD) == GOOD
    assert resumed(WHOLE, AGAIN) == WHOLE + WHOLE[len(GOOD) :]


@pytest.mark.parametrize("kept", range(len(GOOD)))
def test_what_was_cut_off_gives_way(kept: int) -> None:
    """Also a file of which not even the header was written."""
    assert resumed(GOOD[:kept], AGAIN) == HEADER + WHOLE[len(GOOD) :]


@given(CAPTURES, st.data())
def test_what_is_gone_on_with_can_be_read(capture: Capture, data: st.DataObject) -> None:
    octets = octets_of(capture)
    stream = io.BytesIO(octets[: data.draw(st.integers(0, len(octets)))])
    writer = resume(stream, capture.interfaces, capture.comment)
    writer.packet(AGAIN)
    *before, last = read(stream.getvalue()).packets
    assert tuple(before) == capture.packets[: len(before)]
    assert last == AGAIN


FOREIGN = [
    (octets_of(replace(SMALL, comment="run 2")), "begins otherwise"),
    (octets_of(replace(SMALL, interfaces=(Interface("wire", LINK_ETHERNET),))), "begins otherwise"),
    (b"what somebody wrote", "begins otherwise"),
    (b"x", "begins otherwise"),
    (GOOD[:-4] + bytes(4), "ends with another length"),
    (GOOD + struct.pack("<II", 6, 13) + bytes(5), "13 octets"),
    (GOOD + GOOD, "not one section"),
]


@pytest.mark.parametrize(("octets", "says"), FOREIGN)
def test_another_capture_is_left_as_it_is(octets: bytes, says: str) -> None:
    stream = io.BytesIO(octets)
    with pytest.raises(CaptureError, match=says):
        resume(stream, SMALL.interfaces, SMALL.comment)
    assert stream.getvalue() == octets
