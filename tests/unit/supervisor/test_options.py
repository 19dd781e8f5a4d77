"""keepalived's command line: the same letters mean the same."""

from __future__ import annotations

import pytest

from supervisor.options import UsageError, parse


def test_bench_style_start() -> None:
    words = "-f d.conf -n -l -D --all -p a -r b -c c -b d"
    found = parse(words.split(), "1")
    assert (found.config, found.foreground, found.console, found.detail) == ("d.conf", True, True, 1)
    assert (found.pid_file, found.vrrp_pid_file, found.checkers_pid_file, found.bfd_pid_file) == tuple("abcd")
    assert found.all_workers


@pytest.mark.parametrize(
    ("words", "vrrp", "checkers"),
    [
        ("", True, True),
        ("-P", True, False),
        ("-C", False, True),
        ("-P -C", True, True),
        ("--vrrp", True, False),
    ],
)
def test_which_workers(words: str, vrrp: bool, checkers: bool) -> None:
    found = parse(words.split(), "1")
    assert (found.vrrp, found.checkers) == (vrrp, checkers)


@pytest.mark.parametrize(
    ("words", "log"),
    [("-t", None), ("-tout.log", "out.log"), ("--config-test", None), ("--config-test=out.log", "out.log")],
)
def test_config_test_with_its_optional_log(words: str, log: str | None) -> None:
    found = parse([*words.split(), "-f", "x.conf"], "1")
    assert (found.config_test, found.config_test_log, found.config) == (True, log, "x.conf")


def test_clusters() -> None:
    found = parse(["-nlDDf", "x.conf"], "1")
    assert (found.foreground, found.console, found.detail, found.config) == (True, True, 2, "x.conf")
    found = parse(["-nt", "-f", "y"], "1")
    assert (found.foreground, found.config_test, found.config) == (True, True, "y")


def test_options_in_the_wild_never_stop_a_start() -> None:
    found = parse(["-D", "-S", "0", "-V", "-x", "-G", "-I", "-X", "-m", "-R"], "1")
    assert list(found.without_effect) == ["-x", "-X", "-m", "-R"]
    assert found.syslog_facility == 16
    assert not found.release_vips
    assert found.dont_release_ipvs
    assert not found.syslog


@pytest.mark.parametrize("words", ["-q", "--nonsense", "-f", "--use-file=", "--log-level=loud", "--signum=X"])
def test_what_keepalived_would_refuse(words: str) -> None:
    with pytest.raises(UsageError):
        parse(words.split(), "1")


def test_signal_numbers_and_version() -> None:
    assert parse(["--signum=STOP"], "1").show == "15\n"
    assert parse(["--signum=RELOAD"], "1").show == "1\n"
    assert parse(["-v"], "1.2").show == "pykeepalived 1.2\n"


def test_other_words_are_only_reported() -> None:
    assert parse(["-n", "word"], "1").extra_words == ["word"]
