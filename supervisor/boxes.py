"""The black boxes that the supervisor owns: made, enlarged, and where they lie."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from supervisor.rundir import RunDir
from supervisor.table import BOXED, Process
from worker import log
from worker.blackbox import BlackBox

_LEAST_RECORDS = 256


def too_small(row: Process, records: int) -> bool:
    """Whether the role's black box has room for fewer records than that."""
    return row.box is not None and row.box.records < records


def fit(row: Process, run: RunDir, records: int) -> None:
    """See to it that a role about to start has a black box that is large enough.

    Only while no incarnation lives: what it wrote after the copy would be lost. OSError when there is
    no memory for it.
    """
    if row.role not in BOXED or (row.box is not None and not too_small(row, records)):
        return
    old, old_fd = row.box, row.box_fd
    path = run.box(row.role)
    # A file under its final name is complete: `pykeepalived fence` may need it at any moment.
    young = path.with_name(f"{path.name}.new") if path else None
    fd = _make(row.role, max(_LEAST_RECORDS, 1 << (2 * records - 1).bit_length()), young)
    box = BlackBox.attach(fd)
    if old is not None:
        box.take_over(old)
    if path is not None and young is not None:
        with contextlib.suppress(OSError):  # none there: it is in memory only, as was said
            young.replace(path)
    row.box, row.box_fd = box, fd
    if old is not None and old_fd is not None:
        old.close()
        os.close(old_fd)


def _make(role: str, records: int, path: Path | None) -> int:
    undo_bytes = 1 << 20 if role == "vrrp" else 4096
    slots = 1024 if role == "vrrp" else 1
    ring = 4096 if role == "vrrp" else 256
    if path is not None:
        try:
            return BlackBox.create(role, path, slots=slots, records=records, undo_bytes=undo_bytes, ring=ring)
        except OSError as error:
            log.logger("supervisor").warning(
                "box.in_memory_only",
                role=role,
                path=str(path),
                why=error.strerror,
                meaning="'pykeepalived fence' cannot clean up if every process is killed",
            )
            with contextlib.suppress(OSError):  # half made
                path.unlink()
    return BlackBox.create(role, None, slots=slots, records=records, undo_bytes=undo_bytes, ring=ring)
