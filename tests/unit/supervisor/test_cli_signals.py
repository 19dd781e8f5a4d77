"""keepalived's face to the outside, row by row: options, signals, files, notifications, exit statuses.

``data/cli-signals.tsv`` has one row for each (facts, keepalived 2.4.3). Here each has a status: it holds
(with an assertion), it is different on purpose (with the reason, and an assertion where there is something
to assert), or it is not there yet (with the reason). A row without a status fails, and so does a status
without a row.
"""

from __future__ import annotations

import csv
import dataclasses
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor import options, rundir
from supervisor.options import WITHOUT_EFFECT, DaemonOptions, UsageError, parse
from tests.unit.supervisor import outside
from tests.unit.supervisor.outside import (
    GOOD,
    WORKERS_IGNORE,
    Shell,
    held_by,
    ignored_by_workers,
    pid_file,
    says_what_to_use_instead,
)

TSV = Path(__file__).parent / "data" / "cli-signals.tsv"
Key = tuple[str, str, str, int]
"""(category, name, process, number among equals)"""


def rows() -> dict[Key, dict[str, str]]:
    seen: Counter[tuple[str, str, str]] = Counter()
    found = {}
    with TSV.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            key = (row["category"], row["name"], row["process"])
            seen[key] += 1
            found[(*key, seen[key])] = row
    return found


ROWS = rows()


# --- options ------------------------------------------------------------------------------------------


def changed(*argv: str) -> dict[str, Any]:
    """What options change in a start."""
    found, plain = parse(list(argv), "1"), DaemonOptions()
    return {
        item.name: getattr(found, item.name)
        for item in dataclasses.fields(found)
        if getattr(found, item.name) != getattr(plain, item.name)
    }


IN_EFFECT: dict[str, tuple[str, dict[str, Any]]] = {
    "--use-file": ("a.conf", {"config": "a.conf"}),
    "--vrrp": ("", {"checkers": False}),
    "--check": ("", {"vrrp": False}),
    "--all": ("", {"all_workers": True}),
    "--log-console": ("", {"console": True}),
    "--log-detail": ("", {"detail": 1}),
    "--log-facility": ("local5", {"syslog_facility": 21}),
    "--all-config": ("", {"all_config": True}),
    "--no-syslog": ("", {"syslog": False}),
    "--umask": ("027", {"umask": 0o27}),
    "--dont-release-vrrp": ("", {"release_vips": False}),
    "--dont-release-ipvs": ("", {"dont_release_ipvs": True}),
    "--dont-fork": ("", {"foreground": True}),
    "--dump-conf": ("", {"dump": True}),
    "--pid": ("p", {"pid_file": "p"}),
    "--vrrp_pid": ("p", {"vrrp_pid_file": "p"}),
    "--checkers_pid": ("p", {"checkers_pid_file": "p"}),
    "--bfd_pid": ("p", {"bfd_pid_file": "p"}),
    "--namespace": ("blue", {"namespace": "blue"}),
    "--config-id": ("id", {"config_id": "id"}),
    "--signum": ("STOP", {"show": "15\n"}),
    "--config-test": ("", {"config_test": True}),
    "--ignore-sigint": ("", {"ignore_sigint": True}),
    "--version": ("", {"show": "pykeepalived 1\n"}),
    "--help": ("", {"show": options.HELP}),
}
"""Option -> (argument, what it changes in a start)."""

REFUSED = {"--genhash": ("there is no genhash here", "md5sum")}
"""Option -> words of the message: not a daemon, so none is started."""


def option_rows() -> list[tuple[str, str, str]]:
    return [(row["name"], row["short_or_number"], row["argument_or_format"]) for key, row in ROWS.items()
            if key[0] == "option" and row["name"] != "(bad option)"]  # fmt: skip


@pytest.mark.parametrize(("name", "short", "argument"), option_rows())
def test_option(name: str, short: str, argument: str) -> None:
    """In effect, accepted with a reason, or refused with a message: by both of its names."""
    value = IN_EFFECT.get(name, ("", {}))[0] or (
        "x" if argument not in ("-", "genhash options") and argument[0] != "[" else ""
    )
    forms = [[f"{name}={value}"] if value else [name]]
    if short != "-":
        forms.append([short, value] if value else [short])
    for argv in forms:
        if name in REFUSED:
            with pytest.raises(UsageError) as refused:
                parse(argv, "1")
            for word in REFUSED[name]:
                assert word in str(refused.value)
        elif name in IN_EFFECT:
            assert changed(*argv) == IN_EFFECT[name][1], argv
        else:
            (why,) = parse(argv, "1").without_effect.values()
            assert why == WITHOUT_EFFECT[name.removeprefix("--")]
            assert len(why) > 20
            assert set(changed(*argv)) == {"without_effect"}


def test_every_reason_belongs_to_an_option_of_keepalived() -> None:
    names = {name.removeprefix("--") for name, _, _ in option_rows()}
    assert set(WITHOUT_EFFECT) <= names
    assert not set(WITHOUT_EFFECT) & {name.removeprefix("--") for name in IN_EFFECT}


@pytest.mark.parametrize(
    "words",
    ["-D -S 0 -V -x", "-G", "-m", "-R", "-I", "-X", "-n -l -D -d -P", "-dRl -f x.conf", "-M", "-Mcore.%p",
     "-g", "-g/var/log/k.log", "--flush-log-file", "-L -O --no-mem-check", "-A unix:/x", "-a", "-B",
     "-D -D -S 9", "-u 099", "--perf", "--perf=run", "--debug", "--debug=Dv", "--config-fd=3", "-S nonsense",
     "-s blue -i one", "--ignore-sigint", "-e", "word -n word"],
)  # fmt: skip
def test_what_is_found_in_the_wild_never_stops_a_start(words: str) -> None:
    found = parse(words.split(), "1")
    assert not found.config_test
    assert found.show is None


@pytest.mark.parametrize(
    ("words", "said"),
    [("-S 9", "-S 9: no facility of that name"), ("-u 099", "-u 099: not a file creation mask"),
     ("-u 01777", "-u 01777"), ("-u foo", "0 to 0777")],
)  # fmt: skip
def test_values_that_cannot_be_used_are_only_reported(words: str, said: str) -> None:
    found = parse(words.split(), "1")
    assert said in found.complaints[0]
    assert (found.umask, found.syslog_facility) == (None, 3)


@pytest.mark.parametrize(
    ("text", "number"), [("0", 16), ("7", 23), ("local0", 16), ("local7", 23), ("user", 1), ("daemon", 3)]
)
def test_facilities_of_syslog(text: str, number: int) -> None:
    assert parse(["-S", text], "1").syslog_facility == number


@pytest.mark.parametrize(("text", "mask"), [("022", 18), ("18", 18), ("0x12", 18), ("0", 0), ("0777", 511)])
def test_umask_is_a_number_as_c_has_them(text: str, mask: int) -> None:
    assert parse(["-u", text], "1").umask == mask


@pytest.mark.parametrize(
    ("name", "number"),
    [("STOP", 15), ("RELOAD", 1), ("DATA", 10), ("STATS", 12), ("STATS_CLEAR", 63), ("JSON", 36)],
)
def test_signum(name: str, number: int) -> None:
    assert parse([f"--signum={name}"], "1").show == f"{number}\n"


@pytest.mark.parametrize(
    "words", ["-q", "--nonsense", "-f", "--use-file=", "--signum=TDUMP", "--signum=stop", "-S"]
)
def test_what_keepalived_refuses_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="pykeepalived --help|use one of"):
        parse(words.split(), "1")


# --- the command itself -----------------------------------------------------------------------------------


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def test_where_things_are_printed(shell: Shell) -> None:
    """Help and version to standard error, a signal's number to standard output; all end with 0."""
    status, out, err = shell.run("-h")
    assert (status, out) == (0, "")
    assert "--use-file=FILE" in err
    status, out, err = shell.run("-v")
    assert (status, out) == (0, "")
    assert err.startswith("pykeepalived ")
    assert shell.run("--signum=RELOAD") == (0, "1\n", "")


def test_config_test_log_is_appended_to_and_no_link(shell: Shell) -> None:
    file, log = shell.file(GOOD.replace("virtual_router_id 1", "virtual_router_id x")), shell.folder / "log"
    log.write_text("before\n")
    for option in (f"-t{log}", f"--config-test={log}"):
        assert shell.run(option, "-f", file) == (5, "", "")
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert sum("virtual_router_id: 'x'" in line for line in lines) == 2
    link = shell.folder / "link"
    link.symlink_to(log)
    for bad in (link, shell.folder / "none" / "log"):
        status, _, err = shell.run(f"-t{bad}", "-f", file)
        assert status == 1
        assert str(bad) in err


def test_without_effect_and_complaints_do_not_change_a_test(shell: Shell) -> None:
    file = shell.file(GOOD)
    status, _, err = shell.run("-D", "-S", "9", "-V", "-x", "-t", "-f", file, "word")
    assert status == 0
    assert "-S 9: no facility" in err
    assert "unexpected word 'word' is ignored" in err


# --- the rows --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Status:
    kind: str
    """holds, different, not yet"""
    check: Callable[[Shell], None] | None = None
    reason: str = ""


def holds(check: Callable[[Shell], None]) -> Status:
    return Status("holds", check)


def different(reason: str, check: Callable[[Shell], None] | None = None) -> Status:
    return Status("different", check, reason)


def not_yet(reason: str) -> Status:
    return Status("not yet", None, reason)


_NO_SCRIPTS = not_yet("no worker runs scripts yet")
_NO_FIFO = not_yet("no worker writes to a FIFO yet")
_NO_MAIL = not_yet("no worker sends mail yet")
_NO_BFD = not_yet("there is no BFD worker yet")
_NO_DUMP = different(
    "no file is written: 'pykeepalived status --json' shows the same at any time, without a signal"
)
_DEBUG_BUILD = different("of keepalived's debugging builds only")
_WORKER = different(
    WORKERS_IGNORE, ignored_by_workers(signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
)
_RELOADS = "tests/netns/vrrp/test_life.py"

STATUS: dict[Key, Status] = {
    ("option", "(bad option)", "parent", 1): holds(outside.bad_option),
    ("signal", "SIGHUP", "parent", 1): holds(outside.hup),
    ("signal", "SIGUSR1", "parent", 1): different(
        "the log says what to use", says_what_to_use_instead("DATA")
    ),
    ("signal", "SIGUSR2", "parent", 1): different(
        "the log says what to use", says_what_to_use_instead("STATS")
    ),
    ("signal", "SIGRTMAX-1", "parent", 1): different(
        "the log says what to use; counters are never cleared", says_what_to_use_instead("STATS_CLEAR")
    ),
    ("signal", "SIGRTMIN+2", "parent", 1): different(
        "the log says what to use", says_what_to_use_instead("JSON")
    ),
    ("signal", "SIGTERM", "parent", 1): holds(outside.stop),
    ("signal", "SIGINT", "parent", 1): holds(outside.interrupt),
    ("signal", "SIGRTMAX", "any", 1): _DEBUG_BUILD,
    ("signal", "SIGPIPE", "any", 1): holds(ignored_by_workers(signal.SIGPIPE)),
    ("signal", "SIGCHLD", "any", 1): holds(
        held_by("tests/chaos/test_container.py", "test_orphans_are_reaped")
    ),
    ("signal", "SIGXCPU", "children", 1): not_yet("workers take no real-time priority yet"),
    ("signal", "SIGHUP", "vrrp", 1): different(
        WORKERS_IGNORE, held_by(_RELOADS, "test_reload_changes_only_what_differs")
    ),
    ("signal", "SIGUSR1", "vrrp", 1): _WORKER,
    ("signal", "SIGUSR2", "vrrp", 1): different(WORKERS_IGNORE, ignored_by_workers(signal.SIGUSR2)),
    ("signal", "SIGRTMAX-1", "vrrp", 1): different(WORKERS_IGNORE, ignored_by_workers(63)),
    ("signal", "SIGRTMIN+2", "vrrp", 1): different(WORKERS_IGNORE, ignored_by_workers(36)),
    ("signal", "SIGTERM SIGINT", "vrrp", 1): _WORKER,
    ("signal", "SIGHUP", "checker", 1): _WORKER,
    ("signal", "SIGUSR1", "checker", 1): _WORKER,
    ("signal", "SIGTERM SIGINT", "checker", 1): _WORKER,
    ("signal", "SIGHUP", "bfd", 1): _NO_BFD,
    ("signal", "SIGUSR1", "bfd", 1): _NO_BFD,
    ("signal", "SIGTERM SIGINT", "bfd", 1): _NO_BFD,
    ("signal", "SIGUSR2 STATS_CLEAR JSON", "checker bfd", 1): holds(
        ignored_by_workers(signal.SIGUSR2, 63, 36)
    ),
    ("file", "configuration", "parent", 1): holds(outside.default_file),
    ("file", "run folder", "all", 1): different(
        "sockets, locks and black boxes need a folder of their own: /run/pykeepalived",
        lambda _: outside.must(rundir.choose(None, None).parts[-2:] == ("pykeepalived", "default")),
    ),
    ("file", "parent PID", "parent", 1): different(
        "written where -p says and nowhere else; one daemon is kept from another by a lock",
        pid_file("-p", "pid_file"),
    ),
    ("file", "vrrp PID", "vrrp", 1): different(
        "written where -r says and nowhere else", pid_file("-r", "vrrp_pid_file")
    ),
    ("file", "checker PID", "checker", 1): different(
        "written where -c says and nowhere else", pid_file("-c", "checkers_pid_file")
    ),
    ("file", "bfd PID", "bfd", 1): _NO_BFD,
    ("file", "data dump", "parent", 1): _NO_DUMP,
    ("file", "data dump", "vrrp", 1): _NO_DUMP,
    ("file", "data dump", "checker", 1): _NO_DUMP,
    ("file", "data dump", "bfd", 1): _NO_BFD,
    ("file", "statistics", "vrrp", 1): _NO_DUMP,
    ("file", "JSON", "vrrp", 1): _NO_DUMP,
    ("file", "reload marker", "parent", 1): not_yet("reload_file has no effect yet; 'reload --wait' waits"),
    ("file", "saved configuration", "parent", 1): not_yet("config_save_dir has no effect yet"),
    ("file", "saved state", "children", 1): different("internal to keepalived's debugging"),
    ("file", "mail debug log", "children", 1): _DEBUG_BUILD,
    ("file", "stack trace", "any", 1): different(
        "a fault is one log record with its traceback, never a file", outside.internal_error
    ),
    ("file", "other dumps", "any", 1): _DEBUG_BUILD,
    ("file", "TMPDIR", "all", 1): different("no file is written there"),
    ("file", "iproute2 names", "vrrp", 1): holds(outside.iproute_names),
    ("file", "syslog names", "all", 1): different("records carry the process in a field of their own"),
    ("file", "agentx socket", "children", 1): different(WITHOUT_EFFECT["snmp"]),
    ("notify", "notify_master|backup|fault|stop|deleted", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "notify (instance)", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "notify (group)", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "notify_master_rx_lower_pri", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "VRRP FIFO line", "vrrp", 1): _NO_FIFO,
    ("notify", "VRRP FIFO line", "vrrp", 2): _NO_FIFO,
    ("notify", "LVS FIFO line", "checker", 1): _NO_FIFO,
    ("notify", "LVS FIFO line", "checker", 2): _NO_FIFO,
    ("notify", "VSNAME", "checker", 1): holds(outside.service_names),
    ("notify", "RSNAME", "checker", 1): different(
        "within a virtual server: its protocol is that of the virtual server", outside.server_names
    ),
    ("notify", "order", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "duplicates", "vrrp", 1): not_yet("sync groups are read, no worker acts on them yet"),
    ("notify", "FIFO script", "checker or vrrp", 1): _NO_FIFO,
    ("notify", "FIFO file", "checker and vrrp", 1): _NO_FIFO,
    ("notify", "quorum_up quorum_down notify_up notify_down", "checker", 1): _NO_SCRIPTS,
    ("notify", "MISC_CHECK exit", "checker", 1): _NO_SCRIPTS,
    ("notify", "vrrp_script exit", "vrrp", 1): _NO_SCRIPTS,
    ("notify", "mail subject", "vrrp", 1): _NO_MAIL,
    ("notify", "mail subject", "vrrp", 2): _NO_MAIL,
    ("notify", "mail subject", "checker", 1): _NO_MAIL,
    ("notify", "mail subject", "checker", 2): _NO_MAIL,
    ("environment", "TMPDIR", "-", 1): different("no file is written there"),
    ("environment", "PATH", "-", 1): _NO_SCRIPTS,
    ("environment", "NOTIFY_SOCKET", "-", 1): holds(outside.notify_socket),
    ("environment", "any", "-", 1): holds(outside.environment_in_the_file),
    ("environment", "(scripts)", "-", 1): _NO_SCRIPTS,
    ("exit", "0", "daemon", 1): holds(
        held_by("tests/chaos/test_container.py", "test_term_gives_everything_back_and_ends_with_status_0")
    ),
    ("exit", "1", "daemon", 1): holds(outside.bad_option),
    ("exit", "2", "daemon and child", 1): holds(outside.unusable),
    ("exit", "4", "daemon and child", 1): different(
        "a file that cannot be read is the configuration's fault; missing rights are said, and lived with",
        held_by("tests/netns/test_unprivileged.py", "test_without_rights_one_line_says_why_and_what_to_do"),
    ),
    ("exit", "6", "daemon", 1): holds(outside.no_configuration),
    ("exit", "70", "daemon and child", 1): holds(outside.internal_error),
    ("exit", "204", "daemon and child", 1): different(
        "a reading cut short by lack of memory ends with 75: a service manager may try again",
        held_by("tests/unit/supervisor/test_first_load.py", "test_a_loader_that_died_is_not_the_files_fault"),
    ),
    ("exit", "0 1 2 4 5 6", "-t", 1): holds(outside.exit_statuses),
    ("exit", "child 1 2 4", "parent", 1): different(
        "a worker that ends is replaced, whatever its status: the daemon does not end with it",
        held_by("tests/chaos/test_kills.py", "test_nobody_outside_notices"),
    ),
    ("exit", "respawn", "parent", 1): different(
        "back-off 0, 0, 50 ms, 200 ms, 1 s, ... 5 s, and never beyond the fence",
        held_by("tests/unit/supervisor/test_policy.py", "test_back_off_grows_and_never_gives_up"),
    ),
}


@pytest.mark.parametrize("key", STATUS, ids=lambda key: "-".join(map(str, key)))
def test_row(key: Key, shell: Shell) -> None:
    assert key in ROWS
    status = STATUS[key]
    assert status.check is not None or status.reason
    if status.kind == "holds":
        assert status.check is not None
    if status.check is not None:
        status.check(shell)


def test_every_row_has_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    kinds: Counter[str] = Counter()
    for key in ROWS:
        if key in STATUS:
            kinds[STATUS[key].kind] += 1
            continue
        assert key[0] == "option", f"no status: {key}"
        name = key[1].removeprefix("--")
        status = (
            "in effect"
            if key[1] in IN_EFFECT
            else "refused"
            if key[1] in REFUSED
            else "accepted without effect"
            if name in WITHOUT_EFFECT
            else ""
        )
        assert status, f"no status: {key}"
        kinds[status] += 1
    with capsys.disabled():
        print(
            f" [{len(ROWS)} rows: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()) + "]",
            end="",
        )
    assert sum(kinds.values()) == len(ROWS)
