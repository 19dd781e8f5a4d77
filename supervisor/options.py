"""keepalived's command line, as far as it has an effect; the rest is accepted and named.

Source: keepalived(8), keepalived 2.4.3. An option that exists in keepalived never stops a start:
what it cannot do yet is reported once. A word that keepalived would refuse is refused.
"""

from __future__ import annotations

import getopt
import signal
from dataclasses import dataclass, field

DEFAULT_CONFIG = "/etc/keepalived/keepalived.conf"

_SHORT = "f:PClDS:g::eGu:XVIRndp:r:c:b:TaxA:mM::Ls:i:t::vhBO"
_LONG = [
    "use-file=", "vrrp", "check", "no_bfd", "all", "log-console", "log-detail", "log-facility=", "log-file=",
    "flush-log-file", "all-config", "no-syslog", "umask=", "release-vips", "dont-release-vrrp",
    "dont-release-ipvs", "dont-respawn", "dont-fork", "dump-conf", "pid=", "vrrp_pid=", "checkers_pid=",
    "bfd_pid=", "genhash", "address-monitoring", "snmp", "snmp-agent-socket=", "core-dump",
    "core-dump-pattern=", "no-mem-check", "mem-check-log", "openssl-mem-check", "namespace=", "config-id=",
    "signum=", "config-test", "config-fd=", "ignore-sigint", "perf=", "debug=", "version", "help",
    "run-dir=", "log-format=", "log-level=",
]  # fmt: skip

_NAMES = {
    "-f": "use-file", "-P": "vrrp", "-C": "check", "-B": "no_bfd", "-l": "log-console", "-D": "log-detail",
    "-S": "log-facility", "-g": "log-file", "-e": "all-config", "-G": "no-syslog", "-u": "umask",
    "-X": "release-vips", "-V": "dont-release-vrrp", "-I": "dont-release-ipvs", "-R": "dont-respawn",
    "-n": "dont-fork", "-d": "dump-conf", "-p": "pid", "-r": "vrrp_pid", "-c": "checkers_pid",
    "-b": "bfd_pid", "-T": "genhash", "-a": "address-monitoring", "-x": "snmp", "-A": "snmp-agent-socket",
    "-m": "core-dump", "-M": "core-dump-pattern", "-L": "mem-check-log", "-O": "openssl-mem-check",
    "-s": "namespace", "-i": "config-id", "-t": "config-test", "-v": "version", "-h": "help",
}  # fmt: skip

WITHOUT_EFFECT = {
    "log-file": "records go to standard error, the journal or syslog; redirect standard error to a file",
    "flush-log-file": "there is no log file; every record is written at once",
    "release-vips": "an address is taken off whether or not it is known to be set: always so here",
    "address-monitoring": "changes of addresses that matter to a virtual router are always logged",
    "dont-respawn": "a worker that died resumes where it was; a daemon that ended would lose every address",
    "snmp": "there is no SNMP agent; ask 'pykeepalived status --json'",
    "snmp-agent-socket": "there is no SNMP agent; ask 'pykeepalived status --json'",
    "core-dump": "a fault is one record with its traceback, not a core",
    "core-dump-pattern": "a fault is one record with its traceback; the kernel's pattern is left alone",
    "no-mem-check": "there is no check of allocations to turn off",
    "mem-check-log": "there is no check of allocations",
    "openssl-mem-check": "there is no check of allocations",
    "config-fd": "internal to keepalived: a reload is tested in a process of its own anyhow",
    "perf": "for keepalived's developers",
    "debug": "for keepalived's developers; --log-level=debug says more",
    "no_bfd": "there is no BFD worker yet",
}
"""Options that a start takes and that change nothing, with the reason; each is said once in the log."""

_REFUSED = {
    "genhash": "there is no genhash here; take the MD5 digest of a page with: curl -s URL | md5sum",
}
"""Not options of a daemon, but another program: to start one instead would be a surprise."""

SIGNALS = {
    "STOP": int(signal.SIGTERM),
    "RELOAD": int(signal.SIGHUP),
    "DATA": int(signal.SIGUSR1),
    "STATS": int(signal.SIGUSR2),
    "STATS_CLEAR": int(signal.SIGRTMAX) - 1,
    "JSON": int(signal.SIGRTMIN) + 2,
}
"""Names of --signum."""
DUMPS = {"DATA": "SIGUSR1", "STATS": "SIGUSR2", "STATS_CLEAR": "SIGRTMAX-1", "JSON": "SIGRTMIN+2"}
"""Those that write files of keepalived: heard, and answered in the log with what to use instead."""

_FACILITIES = {
    "user": 1,
    "daemon": 3,
    **{f"local{number}": 16 + number for number in range(8)},
    **{str(number): 16 + number for number in range(8)},
}
"""Argument of -S -> facility of syslog (RFC 3164 section 4.1.1)."""

HELP = """\
usage: pykeepalived [options]             run the daemon with keepalived's options
       pykeepalived status [--json]       processes, instances, services, and the age of each record
       pykeepalived status --check [--expect MASTER|BACKUP] [--instance NAME]   as a monitoring plugin
       pykeepalived explain INSTANCE [--json] [--last N]      why it is in its state, and how it came there
       pykeepalived events [--since N] [--topic T] [--json]
       pykeepalived step-down INSTANCE|GROUP|--all [--reason R] [--for T]       hand over and be held back
       pykeepalived resume INSTANCE|GROUP|--all
       pykeepalived restart WORKER        bus, ipvs, checker or vrrp, without losing anything
       pykeepalived reload [--wait]       read the configuration again
       pykeepalived stop                  give mastership back, then end
       pykeepalived log-level LEVEL       debug, info, warning, error
       pykeepalived fence                 take off every address that a dead daemon left behind
       pykeepalived config COMMAND        check, show, diff, lint, explain configurations (see config --help)

options of the daemon (as in keepalived):
  -f, --use-file=FILE      configuration (default /etc/keepalived/keepalived.conf)
  -n, --dont-fork          stay in the foreground
  -l, --log-console        log to standard error too
  -D, --log-detail         log more (twice: even more)
  -P, --vrrp               only VRRP             -C, --check     only health checks and IPVS
  -B, --no_bfd             no BFD                    --all       start every worker
  -G, --no-syslog          do not use syslog
  -V, --dont-release-vrrp  keep addresses at a stop    -I, --dont-release-ipvs  keep the IPVS table
  -p, --pid=FILE  -r, --vrrp_pid=FILE  -c, --checkers_pid=FILE  -b, --bfd_pid=FILE
  -i, --config-id=ID       value for @ID lines
  -e, --all-config         an include that fails is an error
  -s, --namespace=NAME     run in this network namespace
  -S, --log-facility=N     facility of syslog: 0..7, local0..local7, user, daemon
  -u, --umask=NUMBER       file creation mask
  -t, --config-test[=LOG]  check the configuration and exit
  -d, --dump-conf          log the configuration that was read
      --ignore-sigint      ignore SIGINT
      --signum=NAME        print the number of a signal: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON
  -v, --version   -h, --help
options of our own:
      --run-dir=DIR        sockets, locks and black boxes (default /run/pykeepalived/...)
      --log-format=auto|text|json|classic   --log-level=debug|info|warning|error
"""


class UsageError(Exception):
    """A command line that cannot be meant; the text says what and how to mend it."""


@dataclass(kw_only=True, slots=True)
class DaemonOptions:
    config: str = DEFAULT_CONFIG
    foreground: bool = False
    console: bool = False
    detail: int = 0
    vrrp: bool = True
    checkers: bool = True
    all_workers: bool = False
    dump: bool = False
    config_test: bool = False
    config_test_log: str | None = None
    config_id: str | None = None
    pid_file: str | None = None
    vrrp_pid_file: str | None = None
    checkers_pid_file: str | None = None
    bfd_pid_file: str | None = None
    release_vips: bool = True
    dont_release_ipvs: bool = False
    syslog: bool = True
    ignore_sigint: bool = False
    run_dir: str | None = None
    log_format: str = "auto"
    log_level: str = "info"
    show: str | None = None
    """Text to print instead of running (help, version, a signal number)."""
    all_config: bool = False
    namespace: str | None = None
    umask: int | None = None
    syslog_facility: int = 3
    given_log_format: bool = False
    """The command line says the format: it wins over log_format of the configuration."""
    complaints: list[str] = field(default_factory=list)
    """Values that cannot be used and stop nothing, as in keepalived."""
    without_effect: dict[str, str] = field(default_factory=dict)
    """Option as given -> why it changes nothing."""
    extra_words: list[str] = field(default_factory=list)


def parse(argv: list[str], version: str) -> DaemonOptions:  # noqa: C901 - one case per option
    """Options of a daemon start. Raises UsageError."""
    try:
        pairs, words = getopt.gnu_getopt(_optional_arguments(argv), _SHORT.replace("::", ":"), _LONG)
    except getopt.GetoptError as error:
        raise UsageError(f"{error.msg}; see pykeepalived --help") from None
    found = DaemonOptions(extra_words=words)
    only_vrrp = only_check = False
    for flag, value in pairs:
        name = _NAMES.get(flag, flag.removeprefix("--"))
        if name in WITHOUT_EFFECT:
            found.without_effect[f"{flag} {value}".strip()] = WITHOUT_EFFECT[name]
        elif name in _REFUSED:
            raise UsageError(f"{flag}: {_REFUSED[name]}")
        elif name in ("use-file", "pid", "vrrp_pid", "checkers_pid", "bfd_pid", "config-id", "run-dir",
                      "namespace"):  # fmt: skip
            if not value:
                raise UsageError(f"option {flag} needs an argument; see pykeepalived --help")
            target = {
                "use-file": "config", "pid": "pid_file", "vrrp_pid": "vrrp_pid_file",
                "checkers_pid": "checkers_pid_file", "bfd_pid": "bfd_pid_file",
                "config-id": "config_id", "run-dir": "run_dir", "namespace": "namespace",
            }[name]  # fmt: skip
            setattr(found, target, value)
        elif name == "vrrp":
            only_vrrp = True
        elif name == "check":
            only_check = True
        elif name == "log-detail":
            found.detail += 1
        elif name == "config-test":
            found.config_test, found.config_test_log = True, value or None
        elif name == "log-format":
            found.log_format = _choice(flag, value, ("auto", "text", "json", "classic"))
            found.given_log_format = True
        elif name == "umask":
            found.umask = _umask(flag, value, found)
        elif name == "log-facility":
            if value in _FACILITIES:
                found.syslog_facility = _FACILITIES[value]
            else:
                found.complaints.append(
                    f"{flag} {value}: no facility of that name; use 0..7, local0..local7, user or daemon"
                )
        elif name == "log-level":
            found.log_level = _choice(flag, value, ("debug", "info", "warning", "error"))
        elif name == "help":
            found.show = HELP
        elif name == "version":
            found.show = f"pykeepalived {version}\n"
        elif name == "signum":
            if value not in SIGNALS:
                raise UsageError(f"no signal {value}: use one of {', '.join(SIGNALS)}")
            found.show = f"{SIGNALS[value]}\n"
        else:
            target, setting = {
                "all": ("all_workers", True), "all-config": ("all_config", True),
                "log-console": ("console", True),
                "dont-fork": ("foreground", True), "dump-conf": ("dump", True),
                "dont-release-vrrp": ("release_vips", False),
                "dont-release-ipvs": ("dont_release_ipvs", True),
                "no-syslog": ("syslog", False), "ignore-sigint": ("ignore_sigint", True),
            }[name]  # fmt: skip
            setattr(found, target, setting)
    if only_vrrp != only_check:  # given both, keepalived starts both as well
        found.vrrp, found.checkers = only_vrrp, only_check
    return found


def _umask(flag: str, value: str, found: DaemonOptions) -> int | None:
    """As C has numbers: 022, 0x12 or 18."""
    text = value.strip().lower()
    octal = len(text) > 1 and text[0] == "0" and text[1:].isdigit()
    try:
        number = int(text, 8 if octal else 0)
    except ValueError:
        number = -1
    if not 0 <= number <= 0o777:
        found.complaints.append(f"{flag} {value}: not a file creation mask; use 0 to 0777")
        return None
    return number


def _choice(flag: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise UsageError(f"{flag} {value}: use one of {', '.join(allowed)}")
    return value


def _optional_arguments(argv: list[str]) -> list[str]:
    """Make optional arguments explicit for Python's getopt: -t, -tLOG, --config-test[=LOG], -M."""
    out: list[str] = []
    for at, word in enumerate(argv):
        if word == "--":
            return out + argv[at:]
        if word in ("--config-test", "--core-dump-pattern", "--log-file", "--perf", "--debug"):
            out.append("--config-test" if word == "--config-test" else word + "=")
        elif word.startswith("--config-test="):
            out += ["-t", word.partition("=")[2]]
        elif word.startswith("-") and not word.startswith("--") and len(word) > 1:
            out += _cluster(word)
        else:
            out.append(word)
    return out


def _cluster(word: str) -> list[str]:
    """One short cluster with its optional-argument option made explicit: -nt -> -n -t ''."""
    for at, letter in enumerate(word[1:], 1):
        place = _SHORT.find(letter)
        if letter == ":" or place < 0:
            return [word]
        if _SHORT[place + 1 : place + 3] == "::":
            head = [word[:at]] if at > 1 else []
            return [*head, f"-{letter}", word[at + 1 :]]
        if _SHORT[place + 1 : place + 2] == ":":
            return [word]
    return [word]
