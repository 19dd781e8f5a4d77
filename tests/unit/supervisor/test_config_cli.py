"""``pykeepalived config ...``: words, files, statuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from keepalived_conf.diagnostics import Severity
from keepalived_conf.tools import lint
from supervisor import config_cli

GOOD = (
    "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n advert_int 1\n"
    " virtual_ipaddress {\n  192.0.2.1\n }\n}\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keepalived.conf"
    path.write_text(GOOD)
    return path


def test_check_says_a_line_and_a_status_for_each_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.conf"
    bad.write_text(GOOD.replace("virtual_router_id 1", "virtual_router_id x\n bogus"))
    assert config_cli.main(["check", str(file)]) == 0
    assert f"{file}: of 5 keywords 5 in effect" in capsys.readouterr().out
    assert config_cli.main(["check", str(file), str(bad)]) == 1
    said = capsys.readouterr().out
    assert f"{file}: accepted (keepalived -t would exit with 0)" in said
    assert f"{bad}:4:2: error: unknown keyword 'bogus'" in said


def test_check_json_is_one_object_a_line_and_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.conf")
    assert config_cli.main(["check", "--json", str(file), missing]) == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["file"], first["verdict"], first["exit"], first["diagnostics"]) == (
        str(file), "accepted", 0, [],
    )  # fmt: skip
    assert (second["file"], second["verdict"], second["exit"]) == (missing, "errors", 4)


def test_check_with_an_identity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "k.conf"
    path.write_text(GOOD + "@main bogus 1\n")
    assert config_cli.main(["check", "-i", "other", str(path)]) == 0
    assert config_cli.main(["check", "-i", "main", str(path)]) == 1
    assert "bogus" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["check"], ["diff", "one"], ["nonsense"], ["show", "--bogus", "f"]])
def test_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert config_cli.main(words) == 2
    assert "usage: pykeepalived config" in capsys.readouterr().err


def test_help_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    for verb in ("check", "show", "diff", "lint", "explain", "schema", "completion"):
        assert verb in said


def test_secrets_are_for_root(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert config_cli.main(["show", "--with-secrets", str(file)]) == 1
    captured = capsys.readouterr()
    assert "only root may see secrets" in captured.err
    assert captured.out == ""


def test_diff_prints_operations_and_says_who_is_called_otherwise(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.conf"
    new.write_text(GOOD.replace("advert_int 1", "advert_int 2").replace("instance V", "instance W"))
    assert config_cli.main(["diff", str(file), str(new)]) == 0
    assert capsys.readouterr().out == (
        "vrrp: reset timer of W: advert_int 1 -> 2\n"
        "# V is called W now: the same virtual router, it goes on\n"
    )
    assert config_cli.main(["diff", "--json", str(file), str(new)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["text"] == "vrrp: reset timer of W: advert_int 1 -> 2"


def test_diff_of_nothing_and_of_a_file_that_cannot_be_used(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config_cli.main(["diff", str(file), str(file)]) == 0
    assert capsys.readouterr().out == "# nothing to do\n"
    bad = tmp_path / "bad.conf"
    bad.write_text(GOOD.replace("advert_int 1", "advert_imt 7"))
    assert config_cli.main(["diff", str(file), str(bad)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "# nothing to do\n", "advert_int is 1 by itself"
    assert f"{bad}: an error; what it concerns is left out" in captured.err
    bad.write_text("vrrp_instance V {\n interface\n}\n")
    assert config_cli.main(["diff", str(file), str(bad)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{bad}:2:11: error: interface" in captured.err
    assert "cannot be used" in captured.err


SECRET = GOOD.replace(" advert_int 1\n", " authentication {\n  auth_type PASS\n  auth_pass hunter2\n }\n")


def test_show_is_a_configuration_again_and_keeps_secrets(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(SECRET)
    for words in (["show"], ["show", "--json"]):
        assert config_cli.main([*words, str(file)]) == 0
        said = capsys.readouterr().out
        assert "hunter2" not in said
        assert "virtual_router_id" in said
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert config_cli.main(["show", "--with-secrets", str(file)]) == 0
    file.write_text(capsys.readouterr().out)
    assert "auth_pass hunter2" in file.read_text()
    assert config_cli.main(["check", str(file)]) == 0


def test_show_of_a_file_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert config_cli.main(["show", str(tmp_path / "none")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{tmp_path}/none: cannot be used" in captured.err


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_cli.main(["explain", "vrrp_instance", "advert_int"]) == 0
    assert "vrrp_instance" in capsys.readouterr().out
    assert config_cli.main(["explain", "advert_imt"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "did you mean advert_int" in captured.err


def test_schema_and_completion_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")
    assert config_cli.main(["completion"]) == 0
    assert "vrrp_instance" in json.loads(capsys.readouterr().out)["blocks"]


def test_lint_finds_what_parses(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o640)
    assert config_cli.main(["lint", "--no-host", str(file)]) == 0
    assert "0 of keepalived's own complaints, 0 findings" in capsys.readouterr().out
    file.write_text(SECRET)
    file.chmod(0o644)
    assert config_cli.main(["lint", str(file)]) == 1
    assert "mode 0644" in capsys.readouterr().out
    assert config_cli.main(["lint", "--json", str(file)]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["file"] == str(file)
    assert any("0644" in one["message"] for one in body["findings"])


@pytest.mark.parametrize(
    ("code", "severity", "status"),
    [
        ("lint-x", Severity.NOTE, 0),
        ("lint-x", Severity.WARNING, 1),
        ("lint-not-done", Severity.NOTE, 1),
    ],
)
def test_a_note_of_the_linter_stops_no_pipeline(
    file: Path, monkeypatch: pytest.MonkeyPatch, code: str, severity: Severity, status: int
) -> None:
    finding = lint.Finding(code=code, message="m", place=None, hint="h", severity=severity)
    monkeypatch.setattr(lint, "lint", lambda *_args, **_kwargs: (finding,))
    assert config_cli.main(["lint", "--no-host", str(file)]) == status


def test_lint_of_two_machines(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer = tmp_path / "peer.conf"
    peer.write_text(GOOD.replace("advert_int 1", "advert_int 3"))
    assert config_cli.main(["lint", "--no-host", str(file), str(peer)]) == 1
    assert "advert_int" in capsys.readouterr().out


def test_include_that_must_be_there(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + "include none.conf\n")
    assert config_cli.main(["check", "--json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["exit"] == 0
    config_cli.main(["check", "--json", "-e", str(file)])
    assert json.loads(capsys.readouterr().out)["exit"] == 6
