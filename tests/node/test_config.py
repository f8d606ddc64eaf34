"""Configuration: sources, precedence, defaults of the founding command lines, and errors that name their
source.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from node.config import Auth, Config, ConfigError, Role, Sources, Switch, load
from node.config.environment import FOREIGN, variable
from node.config.schema import plain, schema, settings
from yamlschema import Document, check

INITIATOR = {"NODE_ROLE": "initiator"}


def _load(environment: dict[str, str] | None = None, **more: Any) -> Config:
    return load(Sources(environment=environment or {}, **more))


def _file(path: Path, text: str) -> str:
    file = path / "node.yaml"
    file.write_text(text)
    return str(file)


def test_the_founding_command_lines_need_nothing_else() -> None:
    responder = _load(options=((("role",), "responder", "--mode"),), fallback=((("tun", "enabled"), False),))
    initiator = _load(options=((("role",), "initiator", "--mode"),), fallback=((("tun", "enabled"), False),))
    assert (responder.listen.address, responder.listen.port) == ("127.0.0.1", 8000)
    assert (initiator.listen.port, initiator.peer.address, initiator.peer.port) == (0, "127.0.0.1", 8000)
    assert responder.peer.identity == ("dn:CN=ipsec-initiator",)
    assert initiator.peer.identity == ("dn:CN=ipsec-responder",)
    assert responder.credentials.key == "ipsec/certs/responder-key.pem"
    assert initiator.credentials.certificate == "ipsec/certs/initiator-cert.pem"
    assert initiator.credentials.ca == "ipsec/certs/ca-cert.pem"
    assert responder.tun.enabled is initiator.tun.enabled is Switch.FALSE
    assert initiator.child.local_ts == responder.child.remote_ts == ("10.1.0.0/24",)
    assert initiator.child.remote_ts == responder.child.local_ts == ("10.2.0.0/24",)
    assert (initiator.tun.address, responder.tun.address) == ("10.1.0.1/24", "10.2.0.1/24")
    assert initiator.demo.message == "Hello from IPSec Initiator!"
    assert (initiator.demo.pings, initiator.demo.interval) == (10, 0.02)


def test_command_line_beats_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    file = _file(tmp_path, "role: initiator\nname: file\ndemo: {pings: 1, port: 1, interval: 1}\n")
    environment = {"NODE_NAME": "environment", "NODE_DEMO__PINGS": "2", "NODE_DEMO__PORT": "2"}
    options = ((("name",), "option", "--name"), (("demo", "pings"), 3, "--pings"))
    config = _load(environment, file=file, options=options)
    assert (config.name, config.demo.pings, config.demo.port, config.demo.interval) == ("option", 3, 2, 1.0)
    assert config.demo.message == "Hello from IPSec Initiator!"


def test_what_mode_implies_yields_to_every_source(tmp_path: Path) -> None:
    fallback = ((("tun", "enabled"), False),)
    assert _load(INITIATOR, fallback=fallback).tun.enabled is Switch.FALSE
    assert _load({**INITIATOR, "NODE_TUN__ENABLED": "true"}, fallback=fallback).tun.enabled is Switch.TRUE
    file = _file(tmp_path, "tun: {enabled: auto}")
    assert _load(INITIATOR, fallback=fallback, file=file).tun.enabled is Switch.AUTO


ENVIRONMENT = [
    ("NODE_PEER__ADDRESS", "responder", "peer.address", "responder"),
    ("NODE_PEER__PORT", "9000", "peer.port", 9000),
    ("NODE_PEER__IDENTITY", "fqdn:responder", "peer.identity", ("fqdn:responder",)),
    ("NODE_PEER__IDENTITY", "dn:CN=a, O=b", "peer.identity", ("dn:CN=a, O=b",)),
    ("NODE_PEER__IDENTITY", "[fqdn:a, fqdn:b]", "peer.identity", ("fqdn:a", "fqdn:b")),
    ("NODE_DEMO__MESSAGE", "a: b # c", "demo.message", "a: b # c"),
    ("NODE_DEMO__MESSAGE", "true", "demo.message", "true"),
    ("NODE_DEMO__MESSAGE", '"quoted"', "demo.message", "quoted"),
    ("NODE_DEMO__INTERVAL", "1", "demo.interval", 1.0),
    ("NODE_CHILD__LOCAL_TS", "[10.1.0.0/24, 10.3.0.0/24]", "child.local_ts", ("10.1.0.0/24", "10.3.0.0/24")),
    ("NODE_IKE__RETRANSMIT__TRIES", "3", "ike.retransmit.tries", 3),
    ("NODE_IKE__HALF_OPEN__COOKIE_THRESHOLD", "0", "ike.half_open.cookie_threshold", 0),
    ("NODE_CHILD__MAX_PACKETS", "20", "child.max_packets", 20),
    ("NODE_KEYLOG__FILE", "/run/keys.jsonl", "keylog.file", "/run/keys.jsonl"),
    ("NODE_IKE__INITIAL_CONTACT", "false", "ike.initial_contact", False),
    ("NODE_IKE__FRAGMENT_SIZE", "0", "ike.fragment_size", 0),
    ("NODE_IKE__FRAGMENT_SIZE", "576", "ike.fragment_size", 576),
    ("NODE_IKE__FRAGMENT_SIZE", "", "ike.fragment_size", 1280),
    ("NODE_TUN__ENABLED", "auto", "tun.enabled", Switch.AUTO),
    ("NODE_TUN__ENABLED", "false", "tun.enabled", Switch.FALSE),
    ("NODE_RUN__USER", "10001:10001", "run.user", "10001:10001"),
    ("NODE_RUN__USER", "10001", "run.user", "10001"),
    ("NODE_RUN__ONCE", "true", "run.once", True),
    ("NODE_CHILD__POOL", "[10.9.0.0/24, fd09::/64]", "child.pool", ("10.9.0.0/24", "fd09::/64")),
    ("NODE_CHILD__VIRTUAL_IP", "[any4, fd09::7]", "child.virtual_ip", ("any4", "fd09::7")),
    ("NODE_CHILD__VIRTUAL_IP", "[any4]", "tun.address", ""),
    ("NODE_CHILD__VIRTUAL_IP", "[]", "child.virtual_ip", ()),
    ("NODE_CHILD__VIRTUAL_IP", "[]", "tun.address", "10.1.0.1/24"),
    ("NODE_IKE__LIVENESS__INTERVAL", "30", "ike.liveness.interval", 30.0),
    ("NODE_PEER__PORT", "", "peer.port", 8000),
    ("NODE_LOCAL__RSA_PSS", "true", "local.rsa_pss", True),
    ("NODE_LOCAL__SHA1", "true", "local.sha1", True),
    ("NODE_LOCAL__AUTH", "certificate", "local.auth", Auth.CERTIFICATE),
]


@pytest.mark.parametrize(("name", "text", "place", "value"), ENVIRONMENT)
def test_a_variable_sets_its_setting(name: str, text: str, place: str, value: object) -> None:
    found: Any = _load({**INITIATOR, name: text})
    for step in place.split("."):
        found = getattr(found, step)
    assert found == value


def test_every_setting_has_a_variable_and_a_description() -> None:
    for place, described in settings():
        assert described["description"]
        assert variable(place) not in FOREIGN
    names = [variable(place) for place, _ in settings()]
    assert len(set(names)) == len(names)
    assert "NODE_IKE__HALF_OPEN__PER_SOURCE" in names


def test_variables_of_node_js_are_not_ours() -> None:
    _load({**INITIATOR, "NODE_OPTIONS": "--max-old-space-size=1", "NODE_ENV": "production"})


def test_each_direction_has_a_method_of_its_own() -> None:
    given = {"NODE_CREDENTIALS__PSK": "psk.txt", "NODE_LOCAL__IDENTITY": "keyid:sensor 7"}
    for ours, theirs in (("psk", "certificate"), ("certificate", "psk"), ("psk", "psk")):
        found = _load({**INITIATOR, **given, "NODE_LOCAL__AUTH": ours, "NODE_PEER__AUTH": theirs})
        assert (found.local.auth, found.peer.auth) == (Auth(ours), Auth(theirs))


BAD_VARIABLES = [
    ("NODE_PEER__ADRESS", "x", "NODE_PEER__ADRESS: is no setting (did you mean 'NODE_PEER__ADDRESS'?)"),
    ("NODE_PEER", "x", "NODE_PEER: is no setting"),
    ("NODE_LISTEN__PORT", "99999", "listen.port: 99999 is greater than the maximum of 65535"),
    ("NODE_LISTEN__PORT", "http", 'NODE_LISTEN__PORT: listen.port: "http" is not an integer'),
    ("NODE_LISTEN__ADDRESS", "localhost", "listen.address: 'localhost' is not an IP address"),
    ("NODE_ROLE", "responder2", "role: \"responder2\" is not one of responder, initiator"),
    ("NODE_PEER__IDENTITY", "responder", "peer.identity: 'responder' is not an identity"),
    ("NODE_PEER__IDENTITY", "[]", "peer.identity: has 0 entries"),
    ("NODE_CHILD__LOCAL_TS", "[10.1.0.1/24]", "child.local_ts[0]: '10.1.0.1/24' is not a network"),
    ("NODE_CHILD__LOCAL_TS", "[", "NODE_CHILD__LOCAL_TS: while parsing"),
    ("NODE_IKE__PROPOSALS", "[aes256-md5-modp2048]", "ike.proposals[0]: 'aes256-md5-modp2048': 'md5'"),
    ("NODE_TUN__NAME", "a/b", "tun.name:"),
    ("NODE_TUN__NAME", "a-name-that-is-too-long", "tun.name:"),
    ("NODE_TUN__ADDRESS", "10.9.0.1/24", "tun.address: 10.9.0.1 is outside child.local_ts (10.1.0.0/24)"),
    ("NODE_TUN__ADDRESS", "10.9.0.x", "tun.address: '10.9.0.x' is not an address such as 10.1.0.1"),
    ("NODE_TUN__ADDRESS", '""', "tun.address: is empty, and child.virtual_ip asks nobody for one; set one"),
    ("NODE_PROFILE", "ikev1", 'profile: "ikev1" is not one of asn1, rfc7296'),
    ("NODE_RUN__USER", "a b", "run.user:"),
    ("NODE_CHILD__REPLAY_WINDOW", "8", "child.replay_window: 8 is less than the minimum of 32"),
    ("NODE_CHILD__REPLAY_WINDOW", "8193", "child.replay_window: 8193 is greater than the maximum of 8192"),
    ("NODE_CHILD__PROPOSALS", "[aes256-sha256-esn]", "child.proposals[0]: 'aes256-sha256-esn': extended"),
    ("NODE_DEMO__MESSAGE", "\U0001f510" * 400, "demo.message: is longer than the 1368 octets"),
    ("NODE_IKE__HALF_OPEN__TOTAL", "5", "ike.half_open.per_source: is greater than ike.half_open.total"),
    ("NODE_IKE__HALF_OPEN__COOKIE_THRESHOLD", "-1", "cookie_threshold: -1 is less than the minimum of 0"),
    ("NODE_IKE__FRAGMENT_SIZE", "575", "ike.fragment_size: 575: every path carries 576 octets; set that or"),
    ("NODE_IKE__FRAGMENT_SIZE", "9001", "ike.fragment_size: 9001 is greater than the maximum of 9000"),
    ("NODE_IKE__FRAGMENT_SIZE", "-1", "ike.fragment_size: -1 is less than the minimum of 0"),
    ("NODE_CHILD__MAX_PACKETS", "4294967296", "child.max_packets: 4294967296 is greater than the maximum"),
    ("NODE_CONTROL__SOCKET", "/" + "a" * 107, "control.socket: is longer than 107 characters"),
    ("NODE_DEMO__INTERVAL", ".nan", "demo.interval:"),
    ("NODE_CHILD__VIRTUAL_IP", "[any5]", "child.virtual_ip[0]: 'any5' is neither any4, any6 nor an address"),
    ("NODE_CHILD__VIRTUAL_IP", "[127.0.0.1]", "child.virtual_ip[0]: '127.0.0.1' is neither any4"),
    ("NODE_CHILD__VIRTUAL_IP", "[any4, 10.9.0.1]", "child.virtual_ip: any4, 10.9.0.1: more than one"),
    ("NODE_CHILD__POOL", "[10.9.0.1/24]", "child.pool[0]: '10.9.0.1/24' is not a network"),
    ("NODE_CHILD__POOL", "[224.0.0.0/24]", "child.pool: 224.0.0.0/24 has no addresses of hosts"),
    ("NODE_CHILD__POOL", "[10.9.0.0/24, 10.9.0.0/16]", "child.pool: 10.9.0.0/16 overlaps 10.9.0.0/24"),
    ("NODE_IKE__LIVENESS__INTERVAL", "-1", "ike.liveness.interval: -1 is less than the minimum of 0"),
    ("NODE_LOCAL__AUTH", "password", 'local.auth: "password" is not one of certificate, psk'),
    ("NODE_LOCAL__AUTH", "psk", "credentials.psk: is empty, but local.auth is psk; name the file"),
    ("NODE_LOCAL__AUTH", "psk", "local.identity: is empty; with local.auth psk no certificate"),
    ("NODE_PEER__AUTH", "psk", "credentials.psk: is empty, but peer.auth is psk; name the file"),
    ("NODE_CREDENTIALS__PSK", "psk.txt", "credentials.psk: is not used; set local.auth or peer.auth to psk"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), BAD_VARIABLES)
def test_a_bad_variable_is_named(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load({**INITIATOR, name: text})
    assert message in str(caught.value)


BAD_FILES = [
    ("role: initiator\npear: {}", ":2:1: pear: is unknown (did you mean 'peer'?)"),
    ("role: initiator\nlisten:\n  prot: 1", ":3:3: listen.prot: is unknown (did you mean 'port'?)"),
    ("role: initiator\nrole: responder", ":2:1: role: stands here again"),
    ("role: [", ":1:8: while parsing"),
    ("- role", ":1:1: [\"role\"] is not a mapping"),
    ("name: x", "role: is not set"),
    ("role: initiator\npeer: {address: ''}", "peer.address: is empty; an initiator needs"),
    ("role: initiator\ntun: {enabled: maybe}", ":2:16: tun.enabled: \"maybe\" is not one of auto"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_bad_file_is_told_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(file=_file(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize("address", ["224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.0", "ff02::1", "::"])
def test_the_inner_address_is_that_of_one_host(address: str) -> None:
    anywhere = {"NODE_CHILD__LOCAL_TS": "['0.0.0.0/0', '::/0']"}
    with pytest.raises(ConfigError, match="is not the address of one host"):
        _load({**INITIATOR, **anywhere, "NODE_TUN__ADDRESS": address})


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert _load(INITIATOR, file=_file(tmp_path, "# nothing\n")) == _load(INITIATOR)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ConfigError, match=r"/no/file\.yaml: cannot be read: No such file or directory"):
        _load(file="/no/file.yaml")


@pytest.mark.parametrize("config", [_load({"NODE_ROLE": role.value}) for role in Role], ids=list(Role))
def test_a_printed_configuration_is_a_configuration(config: Config, tmp_path: Path) -> None:
    printed = yaml.safe_dump(plain(config), sort_keys=False)
    assert _load(file=_file(tmp_path, printed)) == config


def test_the_schema_is_a_schema_of_the_library_too() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema())
    from node.config.schema import FORMATS

    assert check(Document("f", {"role": "initiator"}), schema(), FORMATS) == ()


def test_a_virtual_ip_and_an_address_of_our_own_contradict() -> None:
    both = {**INITIATOR, "NODE_CHILD__VIRTUAL_IP": "[any4]", "NODE_TUN__ADDRESS": "10.1.0.1"}
    with pytest.raises(ConfigError, match=r"tun\.address: 10\.1\.0\.1: child\.virtual_ip asks the peer"):
        _load(both)


def test_an_empty_address_beside_a_virtual_ip_says_the_same_as_none() -> None:
    asks = {**INITIATOR, "NODE_CHILD__VIRTUAL_IP": "[any4]"}
    assert _load({**asks, "NODE_TUN__ADDRESS": '""'}) == _load(asks)


def test_who_takes_the_virtual_ip_of_a_file_back_has_an_address_of_its_own(tmp_path: Path) -> None:
    asks = _file(tmp_path, "child: {virtual_ip: [any4, any6]}\n")
    assert _load(INITIATOR, file=asks).tun.address == ""
    taken_back = _load({**INITIATOR, "NODE_CHILD__VIRTUAL_IP": "[]"}, file=asks)
    assert taken_back == _load(INITIATOR)


def test_only_an_initiator_asks_for_a_virtual_ip() -> None:
    with pytest.raises(ConfigError, match=r"child\.virtual_ip: only an initiator asks"):
        _load({"NODE_ROLE": "responder", "NODE_CHILD__VIRTUAL_IP": "[any4]"})
