"""The command itself: what a user meets is words and a status, never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from supervisor import cli


def run(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pykeepalived", *argv])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_fault_of_ours_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(cli, "_verb", broken)
    assert run(monkeypatch, "status") == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "internal error at test_cli.py:" in said
    assert "ZeroDivisionError: planted" in said


def test_no_daemon_is_said_with_the_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "status", "--run-dir", str(tmp_path)) == 1
    assert f"no daemon here: there is no {tmp_path}/operator.sock" in capsys.readouterr().err


def test_a_wrong_option_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--nonsense") == 1
    assert "see pykeepalived --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (
            "vrrp_instance V {\n interface lo\n virtual_router_id 1\n virtual_ipaddress { 192.0.2.1 }\n}\n",
            0,
            "",
        ),
        ("vrrp_instance V {\n interface eth0\n virtual_router_id 300\n}\n", 5, "virtual_router_id"),
    ],
)
def test_config_test(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    status: int,
    said: str,
) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(text.replace("interface lo", "interface eth0"))
    assert run(monkeypatch, "-t", "-f", str(path)) == status
    assert said in capsys.readouterr().err


def test_fence_without_a_run_directory_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "fence", "--run-dir", str(tmp_path / "none")) == 0
    assert "nothing to fence" in capsys.readouterr().out
