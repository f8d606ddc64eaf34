"""Lists of SAs as strongSwan 6.1.0 wrote them, and lists that it never would write."""

from pathlib import Path

import pytest

from lab.judge import sa_view
from lab.peers import sas
from lab.peers.sas import IkeSa
from lab.peers.vici import ViciError

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.sas").read_text("utf-8")


def read(name: str) -> tuple[IkeSa, ...]:
    return sas.parse(recorded(name))


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.sas")))
def test_every_recorded_list_is_read(name: str) -> None:
    for sa in read(name):
        assert sa.suite is None or sa.suite.node
        assert all(child.mode == "TUNNEL" and child.encap for child in sa.children)


@pytest.mark.parametrize(
    ("name", "ike", "esp"),
    [
        ("initiator-ed25519-x25519-gcm128", "aes128gcm16-prfsha256-x25519", "aes128gcm16"),
        ("initiator-pss-ecp256-gcm256", "aes256gcm16-prfsha384-ecp256", "aes256gcm16"),
        ("responder-psk-ecp384-chacha", "chacha20poly1305-prfsha256-ecp384", "chacha20poly1305"),
        ("delete", None, None),
        ("virtual-ip", "aes256-sha256-modp2048", "aes256-sha256"),
    ],
)
def test_the_suites_of_recorded_sas(name: str, ike: str | None, esp: str | None) -> None:
    found = read(f"{name}-subject")
    assert [sa.suite.keywords for sa in found if sa.suite] == ([ike] if ike else [])
    assert [child.suite.keywords for sa in found for child in sa.children] == ([esp] if esp else [])


def test_both_sides_of_a_pair_say_the_same() -> None:
    (ours,), (theirs,) = read("initiator-pss-ecp256-gcm256-subject"), read("initiator-pss-ecp256-gcm256-peer")
    assert (ours.spi_i, ours.spi_r, ours.suite) == (theirs.spi_i, theirs.spi_r, theirs.suite)
    assert (ours.initiator, theirs.initiator) == (True, False)
    assert (ours.local, ours.remote) == (theirs.remote, theirs.local)
    assert ours.local.endswith(":4500")
    assert (ours.local_identity, ours.remote_identity) == ("fqdn:subject", "fqdn:peer")
    (child,), (other,) = ours.children, theirs.children
    assert (child.inbound_spi, child.outbound_spi) == (other.outbound_spi, other.inbound_spi)
    assert (child.inbound_packets, child.inbound_octets) == (other.outbound_packets, other.outbound_octets)
    assert child.inbound_packets == 6
    assert child.inbound_octets == 6 * 84
    assert (child.local, child.remote) == (("10.1.0.0/24",), ("10.2.0.0/24",))


def test_virtual_addresses_are_on_the_side_that_has_them() -> None:
    (ours,), (theirs,) = read("virtual-ip-subject"), read("virtual-ip-peer")
    assert (ours.local_vips, ours.remote_vips) == (("10.3.0.1",), ())
    assert (theirs.local_vips, theirs.remote_vips) == ((), ("10.3.0.1",))
    assert ours.children[0].local == ("10.3.0.1/32",)


def test_selectors_of_ipv6() -> None:
    (sa,) = read("inner-ipv6-subject")
    assert (sa.children[0].local, sa.children[0].remote) == (("fd00:1::/64",), ("fd00:2::/64",))


def test_a_half_open_ike_sa_has_no_peer_yet_and_counts_as_such() -> None:
    up, half = read("cookie-peer")
    assert (half.state, half.established, half.remote_identity) == ("CONNECTING", None, "")
    view = sa_view(sas.status("peer", (up, half)))
    assert (view.ike, view.child, view.half_open) == (1, 1, 1)


def test_a_child_sa_that_was_replaced_is_there_but_does_not_count() -> None:
    (sa,) = read("rekey-child-subject")
    assert [child.state for child in sa.children] == ["DELETED", "INSTALLED"]
    status = sas.status("subject", (sa,))
    assert len(status["child_sas"]) == len(status["ike_sas"][0]["children"]) == 1
    assert status["child_sas"][0]["inbound_spi"] == sa.children[1].inbound_spi


def test_a_child_sa_that_only_receives_is_not_counted() -> None:
    (sa,) = read("rekey-child-subject")
    status = sas.status("subject", (sa,))
    status["child_sas"].append({**status["child_sas"][0], "outbound_spi": ""})
    assert sa_view(status).child == 1
    status["child_sas"].append({**status["child_sas"][0], "outbound_spi": "00000001"})
    assert sa_view(status).child == 2


def test_an_ike_sa_without_a_child_sa() -> None:
    (sa,) = read("child-mismatch-subject")
    assert (sa.state, sa.children) == ("ESTABLISHED", ())


NAME = "initiator-ed25519-x25519-gcm128-subject"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    version = 2\n", "", "subject: version is missing|peer: version is missing"),
        ("version = 2", "version = 1", "IKE version '1'"),
        ("protocol = ESP", "protocol = AH", "protocol 'AH': the lab has ESP alone"),
        ("bytes-in = ", "bytes-in = -", "bytes-in: .* is not"),
        ("packets-out = ", "packets-out = 1e", "packets-out: .* is not"),
        ("spi-in = ", "spi-in = 0x", "spi-in: .* is not"),
        ("initiator-spi = ", "initiator-spi = g", "initiator-spi: .* is not"),
        ("remote-port = 4500", "remote-port = http", "remote-port: 'http' is not"),
        ("encr-alg = AES_GCM_16", "encr-alg = AES_GCM_17", "'AES_GCM_17_128' is unknown"),
        ("    child-sas {", "    child-sas = {", "child-sas is no section|is no element|neither indented"),
        ("        local-ts = [", "        local-ts {", "nor the end|is no element|neither indented"),
        ("list-sas reply {\n}\n", "", "is no list of SAs that ends"),
        ("list-sa event", "list-conn event", "is no list of SAs that ends"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(old: str, new: str, says: str) -> None:
    text = recorded(NAME)
    assert old in text
    with pytest.raises(ViciError, match=says):
        sas.parse(text.replace(old, new))


def test_fields_of_newer_versions_are_passed_over() -> None:
    text = recorded(NAME)
    more = text.replace("    version = 2\n", "    version = 2\n    colour = blue\n    more {\n    }\n")
    assert sas.parse(more) == sas.parse(text)


def test_an_identity_cannot_pretend_to_be_another_field() -> None:
    text = recorded(NAME).replace("remote-id = peer", "remote-id = peer nat-any=no } initiator = no {")
    (sa,) = sas.parse(text)
    assert sa.remote_identity.endswith("peer nat-any=no } initiator = no {")
    assert sa.initiator
