"""tools/accelerator: what it makes works, and what is missing is named with its remedy."""

from pathlib import Path

import pytest

from node.crypto import rows
from tools import accelerator
from tools.accelerator import build, main


def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"no-such-compiler cannot be run .* apt install gcc"):
        build(tmp_path / "rows.compiled")
    monkeypatch.delenv("CC")
    monkeypatch.setattr(accelerator, "COMPILERS", ())
    with pytest.raises(RuntimeError, match="there is no C compiler"):
        build(tmp_path / "rows.compiled")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(
        RuntimeError, match=r"false failed, perhaps for headers: apt install gcc .* libssl-dev"
    ):
        build(tmp_path / "rows.compiled")


def test_what_is_not_right_is_not_put_in_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = tmp_path / "rows.compiled"
    target.write_text("the one before")
    monkeypatch.setenv("CC", "true")
    with pytest.raises(RuntimeError, match="what true made is not right: none"):
        build(target)
    assert target.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rows, "FILE", tmp_path / "rows.compiled")
    monkeypatch.setattr(accelerator, "build", lambda target: target.write_text("built") and "OpenSSL 3")
    assert main([]) == 0
    assert (tmp_path / "rows.compiled").exists()
    assert "made with OpenSSL 3" in capsys.readouterr().out
    assert main(["--remove"]) == main(["--remove"]) == 0
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.undo()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert main([]) == 4
    assert "no-such-compiler cannot be run" in capsys.readouterr().err
