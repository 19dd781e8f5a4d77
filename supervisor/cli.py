"""The ``pykeepalived`` command: the daemon with keepalived's flags, and the operator's verbs."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor import __version__
from supervisor.options import HELP, DaemonOptions, UsageError, parse

if TYPE_CHECKING:
    import argparse

    from supervisor.loader import Loaded

_VERBS = (
    "status", "events", "explain", "step-down", "resume", "restart", "reload", "stop", "fence", "log-level",
)  # fmt: skip
EXIT_USAGE, EXIT_CONFIG, EXIT_NO_CONFIG, EXIT_SOFTWARE = 1, 2, 6, 70
_CLONE_NEWNET = 0x40000000
"""setns(2): the descriptor must be of a network namespace."""
EXIT_UNKNOWN = 3
"""Of a monitoring plugin: the question could not be answered."""
EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL: not the file's fault, so a service manager may try again."""


def main() -> None:
    """Entry point of the ``pykeepalived`` command."""
    argv = sys.argv[1:]
    try:
        if argv and argv[0] == "config":
            from supervisor import config_cli

            status = config_cli.main(argv[1:])
        elif argv and argv[0] in _VERBS:
            status = _verb(argv[0], argv[1:])
        else:
            status = _daemon(parse(argv, __version__))
    except UsageError as error:
        print(f"pykeepalived: {error}", file=sys.stderr)
        status = EXIT_USAGE
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        status = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:  # noqa: BLE001 - a fault of ours; its traceback helps nobody at night
        status = _crashed(error)
    sys.stdout.flush()
    sys.exit(status)


def _crashed(error: Exception) -> int:
    """A fault of ours in one log record and one line. The workers see us gone and leave cleanly."""
    import traceback

    import structlog

    from worker import log

    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    if structlog.is_configured():
        log.logger("supervisor").exception("process.crashed", exc_info=error)
    print(
        f"pykeepalived: internal error at {where}: {type(error).__name__}: {error}; please report it",
        file=sys.stderr,
    )
    return EXIT_SOFTWARE


# --- the operator's verbs --------------------------------------------------------------------------


def _arguments(verb: str, argv: list[str]) -> argparse.Namespace:
    """What the operator wrote behind a verb. Ends the process as argparse does."""
    import argparse

    words = argparse.ArgumentParser(prog=f"pykeepalived {verb}", add_help=True)
    words.add_argument("--run-dir", help="run directory of the daemon that is meant")
    words.add_argument("-p", "--pid", dest="pid_file", help="PID file that the daemon was started with")
    words.add_argument("-s", "--namespace", metavar="NAME", help="network namespace that it was started with")
    if verb in ("status", "events"):
        words.add_argument(
            "--json", action="store_true", help="one JSON object (status) or one a line (events)"
        )
    if verb == "status":
        words.add_argument("--check", action="store_true", help="one line and status of a monitoring plugin")
        words.add_argument("--expect", choices=("MASTER", "BACKUP"), help="with --check: else CRITICAL")
        words.add_argument("--instance", action="append", metavar="NAME", help="with --check: only this one")
    if verb == "events":
        words.add_argument("--since", type=float, metavar="S", help="also show events of the last S seconds")
        words.add_argument("--topic", action="append", metavar="T", help="only streams or kinds that match")
        words.add_argument("--count", type=int, metavar="N", help="end after N events")
    if verb in ("step-down", "resume"):
        from supervisor import maintenance_cli

        maintenance_cli.add_arguments(words, verb)
    if verb == "restart":
        words.add_argument("worker", choices=("bus", "script", "ipvs", "checker", "vrrp"))
    if verb == "reload":
        words.add_argument("--wait", action="store_true", help="wait for the result; exit 1 when refused")
    if verb == "explain":
        words.add_argument("instance", help="name of a vrrp_instance")
        words.add_argument("--json", action="store_true", help="one JSON object")
        words.add_argument(
            "--last", type=int, default=5, metavar="N", help="how many transitions (default 5)"
        )
    if verb == "log-level":
        words.add_argument("level", choices=("debug", "info", "warning", "error"))
    return words.parse_args(argv)


def _verb(verb: str, argv: list[str]) -> int:
    from supervisor import janitor
    from supervisor.operator import OperatorError, ask

    try:
        given = _arguments(verb, argv)
    except SystemExit as end:
        if verb == "status" and "--check" in argv and end.code:  # 2 would be an alarm
            print("PYKEEPALIVED UNKNOWN - wrong usage; see pykeepalived status --help")
            return EXIT_UNKNOWN
        raise
    run_dir = _run_dir(given.run_dir, given.pid_file, given.namespace)
    if verb == "status" and given.check:
        from supervisor.monitor import check

        return check(run_dir, expect=given.expect, instances=given.instance or ())
    if verb == "status" and (given.expect or given.instance):
        raise UsageError("status: --expect and --instance go with --check")
    if verb == "explain":
        from supervisor import explain_cli

        return explain_cli.run(run_dir, given.instance, as_json=given.json, last=max(1, given.last))
    if verb == "fence":
        return janitor.fence(run_dir)
    path = run_dir / "operator.sock"
    try:
        if verb == "status":
            from supervisor.view import show_status

            return show_status(ask(path, "status"), as_json=given.json)
        if verb == "events":
            from supervisor.view import follow_events

            return follow_events(
                f"ipc://{run_dir}/out",
                as_json=given.json,
                since_s=given.since,
                topics=given.topic,
                count=given.count,
            )
        if verb in ("step-down", "resume"):
            from supervisor import maintenance_cli

            return maintenance_cli.command(path, verb, given)
        if verb == "restart":
            answer = ask(path, "restart", role=given.worker)
            print(f"pykeepalived: {given.worker} (pid {answer['pid']}) is being replaced")
        elif verb == "reload":
            answer = ask(path, "reload", wait=given.wait, timeout_s=60.0)
            if given.wait:
                print(f"pykeepalived: generation {answer['generation']} is in force")
        elif verb == "stop":
            ask(path, "stop")
        else:
            ask(path, "log-level", level=given.level)
    except OperatorError as error:
        print(f"pykeepalived: {error}", file=sys.stderr)
        return 1
    return 0


# --- the daemon --------------------------------------------------------------------------------------


def _daemon(options: DaemonOptions) -> int:
    if options.show is not None:
        # keepalived prints help and version to standard error, a signal number to standard output.
        print(options.show, end="", file=sys.stdout if options.show.strip().isdigit() else sys.stderr)
        return 0
    for word in options.extra_words:
        print(f"pykeepalived: unexpected word {word!r} is ignored", file=sys.stderr)
        if word in HELP:
            print("pykeepalived: commands such as 'status' come first on the line", file=sys.stderr)
    for text in options.complaints:
        print(f"pykeepalived: {text}", file=sys.stderr)
    if options.config_test:
        return _config_test(options)
    options.config = os.path.abspath(options.config)  # we may leave this folder
    report: Callable[[int], None] = lambda _status: None  # noqa: E731 - replaced when we detach
    if not options.foreground:
        detached = _detach()
        if isinstance(detached, int):
            return detached
        report = detached
    status = _serve(options, report)
    report(status)
    # Exit handlers and interpreter shutdown have nothing to do and cost milliseconds.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve(options: DaemonOptions, started: Callable[[int], None]) -> int:
    from supervisor import fork, rundir
    from supervisor.systemd import Notifier
    from worker import log

    fork.name_after(sys.argv[0])
    # Until there are handlers, a HUP would end us, and process 1 of a container would not hear a TERM.
    signal.pthread_sigmask(signal.SIG_BLOCK, fork.OPERATOR_SIGNALS)
    notifier = Notifier()
    log.configure(
        level="debug" if options.detail > 1 else options.log_level,
        form=options.log_format,
        fd=2 if options.foreground or options.console else None,
        syslog=options.syslog and not options.console,
        facility=options.syslog_facility,
        detail=options.detail > 0,
    )
    if options.umask is not None:
        os.umask(options.umask)
    logger = log.logger("supervisor")
    problem = _enter_namespace(options.namespace) if options.namespace else ""
    if problem:
        logger.error("start.refused", why=problem)
        print(f"pykeepalived: {problem}", file=sys.stderr)
        return 1
    pid_path = Path(options.pid_file) if options.pid_file else None
    owner = None
    if pid_path is not None or not options.namespace:  # one in another namespace is in nobody's way
        owner = rundir.pid_file_owner(pid_path or Path("/run") / rundir.DEFAULT_PID_FILE)
    if owner:
        logger.error("start.refused", why="a daemon already runs", running_pid=owner)
        print(f"pykeepalived: a daemon already runs with pid {owner}; stop it first", file=sys.stderr)
        return 1
    try:
        run = rundir.prepare(_run_dir(options.run_dir, options.pid_file, options.namespace))
    except rundir.AlreadyRunning as error:
        logger.error("start.refused", why=str(error), running_pid=error.pid)
        print(f"pykeepalived: {error}", file=sys.stderr)
        return 1
    except rundir.RunDirError as error:
        logger.error("start.refused", why=str(error))
        print(f"pykeepalived: {error}", file=sys.stderr)
        return 1
    for word, why in options.without_effect.items():
        logger.warning("option.without_effect", option=word, why=why)
    not_written = rundir.write_pid_file(pid_path, os.getpid())
    if not_written:
        logger.warning("pid_file.not_written", why=not_written)

    logger.info("supervisor.starting", version=__version__, config=options.config, run_dir=str(run.path))
    loaded, status = _first_load(options)
    if loaded is None:
        rundir.remove_pid_file(pid_path)
        run.remove()
        return status
    if loaded.manifest.log_format and not options.given_log_format:
        log.set_form(loaded.manifest.log_format)
    from supervisor.daemon import Supervisor
    from supervisor.reload import restrict

    supervisor = Supervisor(options, run, notifier, __version__)
    if options.dump:
        workers = sorted(loaded.slices.keys() - {"hooks"})
        logger.info("config.summary", summary=loaded.manifest.summary, workers=workers)
    restrict(loaded, vrrp=options.vrrp, checkers=options.checkers, all_workers=options.all_workers)
    started(0)
    return supervisor.run(loaded)


def _run_dir(run_dir: str | None, pid_file: str | None, namespace: str | None) -> Path:
    """The run directory for these options: daemons in several namespaces of a machine stay apart."""
    from supervisor import rundir

    if namespace and not run_dir and not pid_file:
        return rundir.run_root() / "pykeepalived" / f"netns-{namespace}"
    return rundir.choose(run_dir, pid_file)


def _enter_namespace(name: str) -> str:
    """Go to a network namespace of ip-netns(8), with every process to come; returns why not, or nothing."""
    import ctypes

    if "/" in name or name in (".", ".."):
        return f"-s {name}: not a name; name a namespace that 'ip netns list' shows"
    try:
        fd = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"network namespace {name}: {error.strerror}; make it first: ip netns add {name}"
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET):
            return f"network namespace {name}: {os.strerror(ctypes.get_errno())}; start as root"
    finally:
        os.close(fd)
    return ""


def _first_load(options: DaemonOptions) -> tuple[Loaded | None, int]:
    """(what was loaded or None, exit status). Parsed in a child as every later load is."""
    import glob
    import select

    from supervisor.janitor import end_process
    from supervisor.loader import WALL_LIMIT_S, Loader
    from worker import log

    logger = log.logger("supervisor")
    if not os.path.exists(options.config) and not glob.glob(options.config):
        logger.error("config.missing", path=options.config, hint="name the file with -f FILE")
        print(f"pykeepalived: {options.config}: no such file; name it with -f FILE", file=sys.stderr)
        return None, EXIT_NO_CONFIG
    loader = Loader(options.config, options.config_id, all_config=options.all_config, umask=options.umask)
    # While the child reads, on the other CPU: what is needed next in any case. A second start that is
    # refused, and -v, came never here.
    from supervisor import daemon, table  # noqa: F401

    for role in ("bus", *(["vrrp"] if options.vrrp else [])):
        table.entry_point(role)
    poll = select.poll()
    poll.register(loader.fileno(), select.POLLIN)
    loaded = None
    late_at = time.monotonic() + WALL_LIMIT_S
    told_to_stop = {signal.SIGTERM} if options.ignore_sigint else {signal.SIGTERM, signal.SIGINT}
    while not (done := poll.poll(50)) and time.monotonic() < late_at:
        if told_to_stop & signal.sigpending():
            break
    if done:
        loaded = loader.result()
    else:
        end_process(loader.pid)
    os.waitpid(loader.pid, 0)
    loader.close()
    if loaded is None and told_to_stop & signal.sigpending():
        logger.info("supervisor.stopped", why="signal while the configuration was read")
        return None, 0
    if loaded is None:
        logger.error("config.unreadable", path=options.config, why="the loader ended without a result")
        return None, EXIT_TRY_AGAIN
    for finding in loaded.manifest.findings:
        level = {"error": logger.error, "warning": logger.warning}.get(finding.severity, logger.info)
        level("config.finding", severity=finding.severity, code=finding.code, text=finding.text)
    if loaded.manifest.fatal:
        logger.error("config.unusable", path=options.config)
        loaded.close()
        return None, loaded.manifest.exit_status if loaded.manifest.exit_status in (2, 4, 6) else EXIT_CONFIG
    return loaded, 0


def _config_test(options: DaemonOptions) -> int:
    # Not by the loader: nothing of the daemon is needed for a test.
    from keepalived_conf import loading as conf
    from keepalived_conf.diagnostics import render
    from keepalived_conf.tools.check import judged

    out = sys.stderr
    if options.config_test_log:
        try:
            fd = os.open(
                options.config_test_log,
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o644,
            )
        except OSError as error:
            print(f"pykeepalived: {options.config_test_log}: {error.strerror}", file=sys.stderr)
            return EXIT_USAGE
        out = os.fdopen(fd, "w")
    result = conf.load(options.config, config_id=options.config_id, all_config=options.all_config)
    # Nothing of it is garbage before we end: to look for some takes a quarter of a second at a million lines.
    gc.freeze()
    status = conf.exit_status(result)
    for item in (one for one in result.diagnostics if not one.implied):
        print(render(judged(item, status=status), result.sources.get), file=out)
    if result.left_out:
        print(f"... and {result.left_out} more", file=out)
    out.flush()
    return status


def _detach() -> Callable[[int], None] | int:
    """Go to the background. In the parent: the exit status, when the child has started or failed.

    In the child: the function by which it says how its start ended.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        answer = ours.recv(1)
        return answer[0] if answer else 1
    ours.close()
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    said = [False]

    def started(status: int) -> None:
        if not said[0]:
            said[0] = True
            try:
                theirs.send(bytes([status & 0xFF]))
            except OSError:
                pass
            theirs.close()
            for fd in (0, 1, 2):
                os.dup2(null, fd)

    return started


if __name__ == "__main__":
    main()
