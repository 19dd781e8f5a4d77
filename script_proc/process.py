"""The script worker's process: its slice, its life. What it does is in the modules around it."""

from __future__ import annotations

from bus.codec import CodecError, loads
from keepalived_conf.model import ScriptSlice
from script_proc.capabilities import required_capabilities
from worker import log as logging
from worker.aio import AioWorker, run_aio
from worker.context import WorkerContext

__all__ = ["main", "required_capabilities", "required_records"]
"""All that the supervisor may know of this package."""


class ScriptWorker(AioWorker):
    """See the module."""

    def __init__(self, ctx: WorkerContext) -> None:
        self.ctx = ctx
        self.log = logging.logger(ctx.role)
        self._prepared: tuple[int, ScriptSlice] | None = None

    async def start(self) -> None:
        # Scripts that run as root must get root's rights back when they are started: the bounding set
        # stays as it is, and new privileges are allowed.
        for problem in self.ctx.drop_privileges(starts_programs=True):
            self.log.warning("script.privileges", problem=problem)

    def prepare(self, generation: int, payload: bytes) -> str | None:
        try:
            wanted = loads(ScriptSlice, payload)
        except CodecError as error:
            return f"script slice of generation {generation} cannot be read: {error}"
        self._prepared = (generation, wanted)
        return None

    def abort(self, generation: int) -> None:
        if self._prepared is not None and self._prepared[0] == generation:
            self._prepared = None

    async def apply(self, generation: int, phase: str) -> str | None:  # noqa: ARG002  (one phase here)
        if self._prepared is None or self._prepared[0] != generation:
            return f"generation {generation} was not prepared"
        self._prepared = None
        return None


def required_records(wanted: ScriptSlice) -> int:
    """Records of the black box for a slice."""
    return len(wanted.scripts) + len(wanted.files) + len(wanted.processes) + len(wanted.targets) + 16


def main(ctx: WorkerContext) -> None:
    """Entry point of the role ``script``; returns when told to stop or the supervisor is gone."""
    run_aio(ctx, ScriptWorker(ctx))
