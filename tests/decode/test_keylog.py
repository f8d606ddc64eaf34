"""Key logs: what is read, what is merged, what is refused and how the refusal reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.decode import keylog
from lab.decode.keylog import KeyLogError
from lab.decode.run import decode
from lab.errors import ExitCode
from tests.decode.support import ESP_SUITES, IKE_SUITES, Run, make_run

RUN = make_run()


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def changed(line: str, **changes: object) -> str:
    return json.dumps(json.loads(line) | changes)


def line_of(run: Run, kind: str, node: str = "initiator") -> str:
    return next(line for line in run.logs[node] if json.loads(line)["kind"] == kind)


@pytest.mark.parametrize("ike", IKE_SUITES)
def test_both_nodes_log_the_same_sa_and_it_is_one(ike: str, tmp_path: Path) -> None:
    run = make_run(ike_suite=ike)
    keys = run.keys(tmp_path)
    assert (len(keys.ike), len(keys.esp)) == (1, 2)
    assert sum(len(lines) for lines in run.logs.values()) == 6
    one = keys.ike[0]
    assert (one.profile, one.spi_i.hex()) == ("asn1", json.loads(run.logs["responder"][0])["spi_i"])


@pytest.mark.parametrize("esp", ESP_SUITES)
def test_algorithms_are_those_of_the_log(esp: str, tmp_path: Path) -> None:
    run = make_run(esp_suite=esp)
    written = json.loads(line_of(run, "esp"))
    for one in run.keys(tmp_path).esp:
        assert (one.algorithms.encr, one.algorithms.integ) == (written["encr"], written["integ"])
        assert one.esn == esp.endswith("esn")
        assert len(one.key) == one.algorithms.key_size


def test_keys_are_in_no_repr(tmp_path: Path) -> None:
    keys = RUN.keys(tmp_path)
    secret = [value for name, value in json.loads(line_of(RUN, "ike")).items() if name.startswith("sk_")]
    secret.append(json.loads(line_of(RUN, "esp"))["key"])
    assert not any(value in repr(keys) or repr(bytes.fromhex(value)) in repr(keys) for value in secret)


def test_a_run_without_keys_has_none(tmp_path: Path) -> None:
    assert not keylog.of_run(tmp_path)
    RUN.write(tmp_path)
    assert keylog.of_run(tmp_path)


def test_the_end_of_a_line_that_was_never_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.keys"
    path.write_text(line_of(RUN, "ike") + "\n\n" + line_of(RUN, "esp")[:40])
    keys = keylog.read([path])
    assert (len(keys.ike), len(keys.esp)) == (1, 0)


def test_a_node_behind_a_nat_sees_other_addresses(tmp_path: Path) -> None:
    seen = [changed(line, source="198.51.100.1") for line in RUN.logs["responder"]]
    paths = [write(tmp_path / "a.keys", *RUN.logs["initiator"]), write(tmp_path / "b.keys", *seen)]
    assert len(keylog.read(paths).esp) == 2


def test_two_receivers_may_have_chosen_the_same_spi(tmp_path: Path) -> None:
    line = line_of(RUN, "esp")
    key = "00" * 32
    other = changed(line, destination="203.0.113.9", key=key)
    assert len(keylog.read([write(tmp_path / "a.keys", line, other)]).esp) == 2


def test_a_tampered_exchange_leaves_two_sets_of_keys_and_both_open(tmp_path: Path) -> None:
    """Whoever changes a KE payload makes the ends derive different keys: each opens what its node sent."""
    other = {
        name: "11" * (len(value) // 2)
        for name, value in json.loads(line_of(RUN, "ike")).items()
        if "sk_" in name
    }
    wrong = write(tmp_path / "a.keys", changed(line_of(RUN, "ike"), **other))
    right = write(tmp_path / "b.keys", *RUN.logs["responder"])
    keys = keylog.read([wrong, right])
    assert len(keys.ike) == 2
    assert all(one.opened for one in decode(RUN.capture, keys, "")[2:])


@pytest.mark.parametrize("kind", ["ike", "esp"])
def test_a_file_that_contradicts_itself_names_both_lines(kind: str, tmp_path: Path) -> None:
    line = line_of(RUN, kind)
    name = "sk_ei" if kind == "ike" else "key"
    path = write(tmp_path / "a.keys", line, line, changed(line, **{name: "22" * 32}))
    with pytest.raises(KeyLogError) as caught:
        keylog.read([path])
    assert str(caught.value).startswith(f"{path}:3: {kind.upper()} SA ")
    assert "other keys than in line 1" in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


def _without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda record: {key: value for key, value in record.items() if key != name}


def _with(**changes: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda record: record | changes


BAD: tuple[tuple[str, str, Callable[[dict[str, Any]], Any], str], ...] = (
    ("no object", "ike", lambda record: [record], "no JSON object"),
    ("another kind", "ike", _with(kind="ah"), "its kind is neither ike nor esp"),
    ("a kind that is no text", "ike", _with(kind=["ike"]), "its kind is neither ike nor esp"),
    ("no kind", "esp", _without("kind"), "its kind is neither ike nor esp"),
    ("no SPI", "ike", _without("spi_i"), "spi_i is missing or no str"),
    ("an SPI that is too short", "ike", _with(spi_r="00"), "spi_r has 1 octets instead of 8"),
    ("an ESP SPI of 8 octets", "esp", _with(spi="00" * 8), "spi has 8 octets instead of 4"),
    ("no hexadecimal", "ike", _with(sk_ei="zz"), "sk_ei is not hexadecimal"),
    ("spaces", "ike", _with(sk_d="00 11"), "sk_d is not the hexadecimal of a key"),
    ("an endless key", "ike", _with(sk_d="00" * 200), "sk_d is not the hexadecimal of a key"),
    ("a short key", "ike", _with(sk_er="00" * 16), "have 16 and 32 octets instead of 32 and 32"),
    ("a short integrity key", "esp", _with(integ_key=""), "have 32 and 0 octets instead of 32 and 32"),
    ("a strange cipher", "ike", _with(encr="ENCR_ROT13"), "encryption 'ENCR_ROT13' is not known"),
    ("a strange key length", "esp", _with(key_bits=100), "ENCR_AES_CBC has no keys of 100 bits"),
    ("a key length in words", "esp", _with(key_bits="256"), "key_bits is no number"),
    ("no integrity", "esp", _with(integ=""), "integrity '' is not known"),
    ("two integrities", "esp", _with(encr="ENCR_AES_GCM_16"), "brings its own integrity"),
    ("no address", "esp", _with(source="here"), "does not appear to be an IPv4 or IPv6 address"),
    ("a direction", "esp", _with(direction="up"), "direction is neither inbound nor outbound"),
    ("ESN in words", "esp", _with(esn="false"), "esn is missing or no bool"),
)


@pytest.mark.parametrize(("kind", "change", "says"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_a_bad_line_is_named(kind: str, change: Callable[[Any], Any], says: str, tmp_path: Path) -> None:
    good = line_of(RUN, kind)
    record = json.loads(good)
    path = write(tmp_path / "a.keys", good, json.dumps(change(record)))
    with pytest.raises(KeyLogError) as caught:
        keylog.read([path])
    text = str(caught.value)
    assert text.startswith(f"{path}:2: ")
    assert says in text
    assert "\n" not in text
    assert not any(isinstance(v, str) and len(v) >= 32 and v in text for v in record.values())


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"not json\n", b"{" * 100_000 + b"\n", b"\x1b[31m\n"])
def test_what_is_no_key_log_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.keys"
    path.write_bytes(content)
    with pytest.raises(KeyLogError, match=r"a\.keys"):
        keylog.read([path])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyLogError, match=r"nothing\.keys: cannot be read"):
        keylog.read([tmp_path / "nothing.keys"])
