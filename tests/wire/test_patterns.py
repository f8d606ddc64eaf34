"""Which datagrams a fault is about: the grammar, what it matches, and what it says about mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire import patterns
from lab.wire.identity import read_asn1
from lab.wire.patterns import Seen
from lab.wire.problems import ConfigError
from tests.wire import support

DATAGRAMS = {
    "init": support.INIT_REQUEST,
    "init!": support.INIT_RESPONSE,
    "auth": support.AUTH_REQUEST,
    "auth!": support.AUTH_RESPONSE,
    "info": support.INFORMATIONAL,
    "esp7": support.esp(7),
    "esp8": support.esp(8),
    "other7": support.esp(7, 0x29FBFD90),
    "alive": support.KEEPALIVE,
    "wild": b"\x30\x80\0\0",
}
IKE = {"init", "init!", "auth", "auth!", "info", "wild"}
ESP = {"esp7", "esp8", "other7"}
ALL = set(DATAGRAMS)

MATCHES = [
    ("any", ALL),
    ("IKE", IKE),
    ("ike", IKE),
    ("ESP", ESP),
    ("keepalive", {"alive"}),
    ("IKE_SA_INIT", {"init", "init!"}),
    ("ike_sa_init RESPONSE", {"init!"}),
    ("IKE_AUTH request", {"auth"}),
    ("IKE_AUTH response 1", {"auth!"}),
    ("IKE_AUTH request 0x1", {"auth"}),
    ("IKE_AUTH request 2", set()),
    ("IKE_AUTH 1", {"auth", "auth!"}),
    ("IKE request", {"init", "auth", "info"}),
    ("IKE response 0", {"init!"}),
    ("INFORMATIONAL request 2", {"info"}),
    ("exchange 35", {"auth", "auth!"}),
    ("exchange 35 response", {"auth!"}),
    ("ESP sequence 7", {"esp7", "other7"}),
    ("ESP spi 0xc1a2b3c4", {"esp7", "esp8"}),
    ("ESP spi C1A2B3C4 sequence 8", {"esp8"}),
    ("ESP spi 29fbfd90", {"other7"}),
    ("datagram 3", ALL),
    ("datagram 4", set()),
    ("any from alice", ALL),
    ("any from bob", set()),
    ("any to responder", ALL),
    ("any from initiator", ALL),
    ("any from responder", set()),
    ("any to initiator", set()),
    ("  ESP   from  alice to responder ", ESP),
    ("any from 192.0.2.7", set()),
    ("start", set()),
]


@pytest.mark.parametrize(("text", "wanted"), MATCHES)
def test_what_a_pattern_matches(text: str, wanted: set[str]) -> None:
    pattern = patterns.read(text, support.NAMES)
    found = {
        name
        for name, octets in DATAGRAMS.items()
        if pattern.matches(Seen(read_asn1(octets, 8000), "alice", "responder", True, 3))
    }
    assert found == wanted


def _matches(text: str, names: set[str], seen: Seen) -> bool:
    return patterns.read(text, names).matches(seen)


def test_a_role_is_a_side_unless_a_node_has_that_name() -> None:
    identity = read_asn1(support.esp(1), 8000)
    forward = Seen(identity, "alice", "server", True)
    back = Seen(identity, "server", "alice", False)
    assert _matches("any from initiator", {"alice", "server"}, forward)
    assert not _matches("any from initiator", {"alice", "server"}, back)
    assert _matches("any from responder to initiator", {"alice", "server"}, back)
    # now it is one node, and alice another
    assert not _matches("any from initiator", {"alice", "initiator", "server"}, forward)
    assert not _matches("any to responder", {"alice", "server", "responder"}, forward)


MISTAKES = [
    ("", "has 0 words"),
    (7, "is no text"),
    (None, "is no text"),
    ("IKE_AUHT", "unknown word 'IKE_AUHT' (did you mean IKE_AUTH?)"),
    ("everything", "allowed are any, IKE, ESP"),
    ("IKE_AUTH reqest", "unknown word 'reqest' (did you mean request?)"),
    ("IKE_AUTH request one", "unknown word 'one'"),
    ("IKE_AUTH request 4294967296", "outside 0 to 4294967295"),
    ("IKE_AUTH request 12345678901", "unknown word '12345678901'"),
    ("ESP sequence", "behind sequence stands nothing"),
    ("ESP sequence x", "behind sequence stands 'x'"),
    ("ESP spi 0x123456789", "behind spi stands"),
    ("ESP sequense 7", "did you mean sequence?"),
    ("ESP request", "unknown word 'request'"),
    ("keepalive 1", "unknown word '1'; allowed are from, to"),
    ("datagram", "behind datagram stands nothing"),
    ("datagram 0", "outside 1"),
    ("start 1", "nothing may follow"),
    ("start from alice", "nothing may follow"),
    ("any from", "behind from stands nothing"),
    ("any from alice from bob", "from stands there twice"),
    ("any from alcie", "unknown node 'alcie' (did you mean alice?)"),
    ("any to 192.0.2.999", "unknown node '192.0.2.999'"),
    ("any " * 20, "has 20 words"),
]


@pytest.mark.parametrize(("text", "says"), MISTAKES)
def test_a_mistake_is_named(text: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        patterns.read(text, support.NAMES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_not_judged_where_they_are_not_known() -> None:
    assert patterns.read("any from whoever").source == "whoever"


@given(st.text())
def test_reading_raises_nothing_but_its_own_error(text: str) -> None:
    try:
        found = patterns.read(text, support.NAMES)
    except ConfigError:
        return
    assert patterns.read(found.text, support.NAMES) == found


_WORDS = "any IKE ESP IKE_AUTH start request 1 spi 0x1 sequence from to alice"


@given(st.lists(st.sampled_from(_WORDS.split())))
def test_words_in_any_order_are_read_or_refused(words: list[str]) -> None:
    try:
        found = patterns.read(" ".join(words), support.NAMES)
    except ConfigError:
        return
    assert found.text.split() == words
