"""swanctl.conf and strongswan.conf out of values: what they say, and that no value says more than it is."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import settings, strongswan
from lab.peers.identities import from_charon, to_charon
from lab.peers.strongswan import Auth, Connection, Daemon

PLAIN = Connection(
    name="responder",
    local_identity="fqdn:initiator",
    remote_identity="fqdn:responder",
    local_ts=("10.1.0.0/24",),
    remote_ts=("10.2.0.0/24",),
    ike=("aes256-sha256-modp2048",),
    esp=("aes256-sha256",),
    certificate="initiator.pem",
    remote_address="responder",
    start=True,
)

SWANCTL = """\
connections {
  responder {
    version = 2
    remote_addrs = responder
    local_port = 500
    remote_port = 500
    proposals = aes256-sha256-modp2048
    mobike = no
    fragmentation = yes
    childless = allow
    send_cert = always
    dpd_delay = 0s
    rekey_time = 0s
    rand_time = 0s
    local {
      auth = pubkey
      id = fqdn:initiator
      certs = initiator.pem
    }
    remote {
      auth = pubkey
      id = fqdn:responder
    }
    children {
      net {
        local_ts = 10.1.0.0/24
        remote_ts = 10.2.0.0/24
        esp_proposals = aes256-sha256
        mode = tunnel
        start_action = start
        dpd_action = clear
        close_action = none
        rekey_time = 0s
        rand_time = 0s
      }
    }
  }
}
"""


def test_a_plain_connection() -> None:
    assert strongswan.swanctl_conf([PLAIN]) == SWANCTL


def lines(**changes: Any) -> list[str]:
    made = strongswan.swanctl_conf([replace(PLAIN, **changes)])
    return [line.strip() for line in made.splitlines()]


@pytest.mark.parametrize(
    ("auth", "done", "demanded"),
    [
        (Auth.RSA, "pubkey", "ike:rsa-sha256-sha384-sha512"),
        (Auth.PSS, "ike:rsa/pss-sha256-sha384-sha512", "ike:rsa/pss-sha256-sha384-sha512"),
        (Auth.ECDSA, "pubkey", "ike:ecdsa-sha256-sha384-sha512"),
        (Auth.ED25519, "pubkey", "ike:ed25519-identity"),
        (Auth.PUBKEY, "pubkey", "pubkey"),
    ],
)
def test_the_method_is_demanded_of_the_peer(auth: Auth, done: str, demanded: str) -> None:
    assert [line for line in lines(auth=auth) if line.startswith("auth")] == [
        f"auth = {done}",
        f"auth = {demanded}",
    ]


def test_a_pre_shared_key_is_written_in_hexadecimal_for_both_identities_and_shown_nowhere() -> None:
    connection = replace(PLAIN, auth=Auth.PSK, secret=b'"} secret', certificate="")
    made = strongswan.swanctl_conf([connection])
    assert "certs" not in made
    section = made[made.index("secrets {") :]
    assert section.splitlines() == [
        *("secrets {", "  ike-responder {", "    id-1 = fqdn:initiator", "    id-2 = fqdn:responder"),
        *("    secret = 0x227d20736563726574", "  }", "}"),
    ]
    assert "secret'" not in repr(connection)
    assert "7d20" not in repr(connection)


def test_addresses_are_lent_and_asked_for() -> None:
    made = strongswan.swanctl_conf(
        [replace(PLAIN, pool="10.3.0.0/24"), replace(PLAIN, name="b", vips=("0.0.0.0",))]
    )
    assert "pools = pool-responder" in made
    assert "pools {\n  pool-responder {\n    addrs = 10.3.0.0/24\n  }\n}\n" in made
    assert "vips = 0.0.0.0" in made


def test_times_and_switches() -> None:
    made = lines(dpd=2, rekey_ike=30, rekey_child=5.4, mobike=True, fragmentation="no", childless="force")
    for line in ("dpd_delay = 2s", "mobike = yes", "fragmentation = no", "childless = force"):
        assert line in made
    assert [line for line in made if line.startswith("rekey_time")] == ["rekey_time = 30s", "rekey_time = 5s"]
    assert "remote_addrs = %any" in lines(remote_address="")
    assert {"reauth_time = 8s", "over_time = 2s"} <= set(lines(reauth=8, over=2))
    assert "make_before_break = yes" in strongswan.strongswan_conf(Daemon(make_before_break=True))


def test_the_daemon_reads_its_connections_and_logs_what_the_lab_reads() -> None:
    made = strongswan.strongswan_conf(Daemon(cookie_threshold=0, retransmit=0.25, dos_protection=False))
    load = re.search(r'^  load = "(.*)"$', made, re.MULTILINE)
    assert load is not None
    plugins = load[1].split()
    assert plugins.index("kernel-libipsec") < plugins.index("kernel-netlink")
    for line in (
        "load_modular = no",
        "cookie_threshold_ip = 0",
        "retransmit_timeout = 0.25",
        "dos_protection = no",
        'load = "swanctl --load-all --noprompt"',
        "json = yes",
        "mgr = 2",
    ):
        assert line in [found.strip() for found in made.splitlines()]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ike": ("aes256-sha256",)}, "'aes256-sha256' names no key exchange"),
        ({"ike": ("aes256-sha257-x25519",)}, "'sha257' is no algorithm"),
        ({"esp": ("sha256",)}, "'sha256' names no encryption"),
        ({"esp": ()}, "no proposal: name one for IKE and one for ESP"),
        ({"auth": Auth.PSK}, "a pre-shared key is there exactly with `auth: psk`"),
        ({"secret": b"x"}, "a pre-shared key is there exactly with `auth: psk`"),
    ],
)
def test_what_charon_would_misunderstand_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        replace(PLAIN, **changes)


def test_a_proposal_may_name_several_algorithms() -> None:
    text = "aes256-aes128-sha256-sha384-x25519-ecp256-ke1_mlkem768"
    assert f"proposals = {text}" in lines(ike=(text,))


# --- identities ---

FORMS = [
    ("fqdn:initiator", "fqdn:initiator", "initiator"),
    ("rfc822:a@b.example", "rfc822:a@b.example", "a@b.example"),
    ("ipv4:10.0.0.1", "10.0.0.1", "10.0.0.1"),
    ("ipv6:fd00::1", "fd00::1", "fd00::1"),
    ("dn:CN=a, O=b", "CN=a, O=b", "CN=a, O=b"),
]


@pytest.mark.parametrize(("ours", "configured", "printed"), FORMS)
def test_identities_go_to_charon_and_come_back(ours: str, configured: str, printed: str) -> None:
    assert to_charon(ours) == configured
    assert from_charon(printed) == ours


@pytest.mark.parametrize(
    "text",
    ["initiator", "fqdn:", "ipv4:x", "dn:x", "fqdn:*.example", "fqdn:^a$", "keyid:x", "%any", "fqdn:%any"],
)
def test_what_is_no_identity_or_a_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"identity|address"):
        to_charon(text)


# --- the format ---


def parsed(text: str) -> dict[str, Any]:
    """As strongSwan's lexer reads what we write: names, quoted and plain values, sections."""
    stack: list[dict[str, Any]] = [{}]
    for line in text.splitlines():
        line = line.strip()
        if line.endswith(" {") and " = " not in line:
            inner: dict[str, Any] = {}
            stack[-1][line[:-2]] = inner
            stack.append(inner)
        elif line == "}":
            stack.pop()
        else:
            name, _, value = line.partition(" = ")
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            stack[-1][name] = value
    assert len(stack) == 1
    return stack[0]


printable = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=40)


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_-]{0,8}", fullmatch=True), printable, max_size=5))
def test_no_value_becomes_anything_but_itself(values: dict[str, str]) -> None:
    assert parsed(settings.render({"section": values})) == {"section": values}


@pytest.mark.parametrize("value", ["a\nb = c", "a\rb", "\x00", "a\u2028b"])
def test_control_characters_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="has control characters"):
        settings.render({"name": value})


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a{", "a.b", "a\n"])
def test_names_are_words(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a setting"):
        settings.render({name: "x"})
