"""startup_script and shutdown_script: a program with none of our workers beside it. The shell.

Runs in a process of its own that the supervisor forks before the first worker, and after the last one. It is
run once, as its user, with its time limit; SIGTERM to this process ends it.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal

from bus.codec import loads
from keepalived_conf.model import GlobalDefs, Script, ScriptSlice
from script_proc.jobs import Job, Result
from script_proc.program import Program
from script_proc.runner import Runner, Started, use_signals_for_children
from script_proc.users import program_of
from worker import log as logging
from worker.clock import boottime

__all__ = ["run_hook"]

_PR_SET_PDEATHSIG = 1


def run_hook(name: str, payload: bytes) -> None:
    """Run the ``startup`` or the ``shutdown`` script of an encoded ScriptSlice to its end. How it ended is in
    the log, and nobody's fault."""
    settings = loads(ScriptSlice, payload).globals
    script, timeout_s = _wanted(name, settings)
    if script is None:
        return
    # Without the supervisor nobody waits for it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    use_signals_for_children()
    asyncio.run(_run(f"{name}_script", program_of(script, settings), timeout_s))


def _wanted(name: str, settings: GlobalDefs) -> tuple[Script | None, float]:
    if name == "startup":
        return settings.startup_script, settings.startup_script_timeout_s
    return settings.shutdown_script, settings.shutdown_script_timeout_s


async def _run(purpose: str, program: Program, timeout_s: float) -> None:
    log = logging.logger("script")
    runner = Runner(name="hook", concurrent=1, log=log)
    over = asyncio.Event()

    def started(what: Started) -> None:
        log.info("script.started", purpose=purpose, program=program.path, pid=what.pid, timeout_s=timeout_s)

    def ended(job: Job, result: Result) -> None:
        over.set()
        fields = {"purpose": job.purpose, "program": job.program.path, **result.fields()}
        (log.info if result.good else log.warning)("script.ended", **fields)

    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, runner.terminate, purpose, "the daemon stops"
    )
    job = Job(key=purpose, purpose=purpose, program=program, asked_at=boottime(), timeout_s=timeout_s)
    runner.submit(job, on_ended=ended, on_started=started)
    await over.wait()
    runner.close()
