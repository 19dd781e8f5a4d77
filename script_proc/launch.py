"""One program becomes a process. Blocks where its file system does, and may change who the calling thread
is: called in threads of the runner, a new one for each."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from dataclasses import dataclass
from types import FrameType

from script_proc import spawn, users
from script_proc.program import Program
from script_proc.security import Judgement, judge
from worker.clock import boottime

_NOT_FOR_CHILDREN = ("IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")
_SHORT_OF = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

# Between vfork and exec the parent stands still: with a program on a file system that does not answer,
# the whole worker would. (A documented switch of the standard library.)
setattr(subprocess, "_USE_VFORK", False)  # noqa: B010 - unknown to the type stubs


@dataclass(frozen=True, kw_only=True, slots=True)
class Launched:
    """A process that exists; whoever gets this owns the descriptors, and reaps it."""

    pid: int
    pidfd: int
    start_ticks: int
    started_at: float
    output: int
    """What it writes, non-blocking."""
    judgement: Judgement
    by_shell: bool
    """It has no ``#!`` line: a shell reads it, as keepalived has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Why there is no process."""

    why: str
    judgement: Judgement
    trouble: bool = False
    """For want of processes, memory or descriptors: says nothing about the program."""


def launch(program: Program, arguments: tuple[str, ...]) -> Launched | Refused:
    """Judge a program, and start it if it may be run."""
    judgement = judge(program)
    if not judgement.runnable:
        return Refused(why=judgement.reason, judgement=judgement)
    command = (*judgement.command, *arguments)
    try:
        reading, writing = _pipe()
    except OSError as error:
        return Refused(why=f"no pipe: {error.strerror}", judgement=judgement, trouble=True)
    pid = 0
    try:
        by_shell = False
        try:
            pid = _start(program, command, writing)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            by_shell = True
            pid = _start(program, ("/bin/sh", *command), writing)
        # Nobody else reaps it: until then its pid is its own.
        started_at = boottime()
        pidfd = os.pidfd_open(pid)
        ticks = start_ticks(pid) or 0
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        os.close(reading)
        if pid:
            _undo(pid)
        number = error.errno if isinstance(error, OSError) else None
        why = _why(command[0], error)
        return Refused(why=why, judgement=judgement, trouble=number in _SHORT_OF)
    finally:
        os.close(writing)
    return Launched(
        pid=pid,
        pidfd=pidfd,
        start_ticks=ticks,
        started_at=started_at,
        output=reading,
        judgement=judgement,
        by_shell=by_shell,
    )


def _start(program: Program, command: tuple[str, ...], output: int) -> int:
    who = program.identity
    assert who is not None, "judged"
    # Without rights: who it is meant to be is who we are, that was looked at when it was configured.
    identity = who if users.may_become_others() or who.uid != os.geteuid() else None
    env = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
    if spawn.usable():
        return spawn.spawn(command, identity=identity, umask=program.umask, env=env, output=output)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env=env,
        umask=program.umask,
        start_new_session=True,
        user=None if identity is None else identity.uid,
        group=None if identity is None else identity.gid,
        extra_groups=None if identity is None else identity.groups,
    )
    child.returncode = 0  # it is reaped here, by its number: the standard library need not care
    return child.pid


def _pipe() -> tuple[int, int]:
    """(reading, writing). Whoever holds the writing end could read as well: so a program is not ended by a
    signal in the middle of its work when it writes after this worker is gone."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(reading, False)
        with contextlib.suppress(OSError):
            both = os.open(f"/proc/self/fd/{writing}", os.O_RDWR | os.O_CLOEXEC)
            os.close(writing)
            writing = both
    except BaseException:
        os.close(reading)
        os.close(writing)
        raise
    return reading, writing


def _undo(pid: int) -> None:
    """It was started, but cannot be watched: better not run than run without an end."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(pid, 0)


def reap(pid: int) -> int | None:
    """Status of a child that has ended, negative: the signal that ended it; None: it has not ended."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0  # somebody else had it
    return os.waitstatus_to_exitcode(status) if found else None


def _why(path: str, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT and (interpreter := _interpreter(path)):
        return f"{path} cannot be run: its interpreter {interpreter} does not exist"
    if number == errno.EACCES and (interpreter := _interpreter(path)):
        return f"{path} cannot be run: permission denied (it, its interpreter {interpreter}, or its mount)"
    text = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path} cannot be run: {text}"


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as script:
            first = script.readline(256)
    except OSError:
        return ""
    words = first[2:].split() if first.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else ""


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot: field 22 of its stat; None: it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat_file:
            return int(stat_file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def group_exists(pgid: int) -> bool:
    """A process group has members, zombies included."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def living_groups() -> set[int]:
    """Process groups with members that are not zombies: a look at every process of the machine."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with (
                contextlib.suppress(OSError, ValueError, IndexError),
                open(f"/proc/{name}/stat", "rb") as file,
            ):
                state, _, group = file.read().rpartition(b")")[2].split()[:3]
                if state not in (b"Z", b"X"):
                    found.add(int(group))
    return found


def use_signals_for_children() -> None:
    """Once per process, from its main thread: let programs start with every signal as it is by default.

    What is ignored stays ignored in a program that is executed; what is caught does not. So the signals
    that a worker ignores are caught, by a function that does nothing.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # SIGPIPE and the like are restored by the standard library.
        if signal.getsignal(number) is signal.SIG_IGN and number != signal.SIGPIPE:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, _nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
