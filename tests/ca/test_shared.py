"""Files with shared secrets: one for each label, kept while they are in order, never shown."""

import json
import re
import stat

import pytest

from tests.ca.conftest import Desk


def ask(**labels: str) -> str:
    return "--request=" + json.dumps({"psk": labels})


def secret(desk: Desk, name: str) -> str:
    return (desk.directory / f"{name}-psk.txt").read_text()


def test_one_label_is_one_secret(desk: Desk) -> None:
    out = desk.run(ask(left="tunnel", right="tunnel", other="another"))
    assert {out[name]["action"] for name in ("left", "right", "other")} == {"made"}
    assert {out[name]["kind"] for name in ("left", "right", "other")} == {"psk"}
    assert secret(desk, "left") == secret(desk, "right") != secret(desk, "other")
    assert re.fullmatch(r"0x[0-9a-f]{64}\n", secret(desk, "left"))
    for name in ("left", "other"):
        file = desk.directory / f"{name}-psk.txt"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert out[name]["psk"] == str(file)


def test_it_is_not_in_what_is_told(desk: Desk) -> None:
    for output in ("json", "text"):
        desk.capture.readouterr()
        from ca.cli import main

        arguments = [ask(left="tunnel"), "-o", output, "--dir", str(desk.directory)]
        cheap = {"CA_KEY_TYPE": "ecdsa-p256", "CA_ROOT_KEY_TYPE": "ecdsa-p256"}
        assert main(arguments, cheap) == 0
        told = desk.capture.readouterr()
        assert "left" in told.out
        assert secret(desk, "left").strip()[2:] not in told.out + told.err


def test_a_secret_that_is_in_order_is_kept(desk: Desk) -> None:
    request = ask(left="tunnel", right="tunnel")
    desk.run(request)
    before = desk.contents()
    out = desk.run(request)
    assert (out["left"]["action"], out["right"]["action"]) == ("kept", "kept")
    assert desk.contents() == before
    assert desk.call(request, "--check")[0] == 0


def test_who_joins_gets_the_secret_that_is_there(desk: Desk) -> None:
    desk.run(ask(left="tunnel"))
    first = secret(desk, "left")
    out = desk.run(ask(right="tunnel", left="tunnel"))
    assert (out["right"]["action"], out["left"]["action"]) == ("made", "kept")
    assert secret(desk, "right") == secret(desk, "left") == first


def test_other_labels_are_other_secrets_afterwards(desk: Desk) -> None:
    desk.run(ask(left="tunnel", right="tunnel"))
    out = desk.run(ask(left="tunnel", right="another"))
    assert (out["left"]["action"], out["right"]["action"]) == ("kept", "reissued")
    assert secret(desk, "left") != secret(desk, "right")
    out = desk.run(ask(left="tunnel", right="tunnel"))
    assert out["right"]["reasons"] == ["it is not the secret of its label"]
    assert secret(desk, "left") == secret(desk, "right")


def test_check_changes_nothing(desk: Desk) -> None:
    desk.run("a")
    code, out, _ = desk.call(ask(a="tunnel", b="tunnel"), "--check")
    assert (code, out["b"]["action"], out["b"]["check"]) == (1, "made", True)
    assert not list(desk.directory.glob("*-psk.txt"))


def test_permissions_are_put_right(desk: Desk) -> None:
    desk.run(ask(left="tunnel"))
    (desk.directory / "left-psk.txt").chmod(0o644)
    assert desk.call(ask(left="tunnel"), "--check")[0] == 1
    out = desk.run(ask(left="tunnel"))
    assert out["left"]["fixed"] == ["permissions of left-psk.txt were 0644, now 0600"]


@pytest.mark.parametrize("content", ["my own secret, typed by hand", "0x" + "A" * 64 + "\n", "0x00\n"])
def test_a_secret_of_somebody_else_is_not_overwritten(desk: Desk, content: str) -> None:
    desk.run("a")
    (desk.directory / "left-psk.txt").write_text(content)
    code, _, told = desk.call(ask(left="tunnel"))
    assert (code, secret(desk, "left")) == (4, content)
    assert "left-psk.txt: holds no secret that this program made" in told
    assert content.strip() not in told
    assert desk.run(ask(left="tunnel"), "--replace")["left"]["action"] == "reissued"
    assert secret(desk, "left") != content


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"a/b": "x"}, "psk: 'a/b' is not a name"),
        ({"a": ""}, "psk.a: '' is not a text"),
        ({"a": 1}, "psk.a: 1 is not a text"),
        ({"a": "two words"}, "psk.a: 'two words' is not a name"),
        (["a"], "psk: ['a'] is not an object"),
    ],
)
def test_a_bad_request_is_named(desk: Desk, section: object, message: str) -> None:
    code, _, told = desk.call("--request=" + json.dumps({"psk": section}))
    assert code == 2
    assert message in told
