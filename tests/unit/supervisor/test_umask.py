"""``-u`` counts more than ``umask`` of the file: for the script worker, at the start and at a reload."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus import codec
from keepalived_conf.model import ScriptSlice
from supervisor.loader import load_here
from tests.unit.supervisor.test_loader_limits import goes, owner
from tests.unit.supervisor.test_reload import Answers, Owner
from worker.control import read_slice

__all__ = ["owner"]

TEXT = (
    "global_defs {\n script_user root\n %s\n}\nvrrp_instance V {\n interface eth0\n virtual_router_id 1\n"
    " notify /bin/true\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n"
)


def mask_of(data: bytes) -> int | None:
    return codec.loads(ScriptSlice, data).globals.umask


@pytest.mark.parametrize(
    ("option", "line", "mask"),
    [(None, "", None), (None, "umask 022", 0o22), (0o27, "umask 022", 0o27), (0o27, "", 0o27), (0, "", 0)],
)
def test_the_command_line_wins(tmp_path: Path, option: int | None, line: str, mask: int | None) -> None:
    file = tmp_path / "k.conf"
    file.write_text(TEXT % line)
    _, slices = load_here(str(file), None, umask=option)
    assert mask_of(slices["script"]) == mask


def test_at_a_reload_too(owner: Owner) -> None:
    Path(owner.options.config).write_text(TEXT % "umask 022")
    owner.options.umask = 0o27
    goes(owner, Answers())
    assert owner.reload.attempt is not None
    new = owner.reload.attempt.new
    assert new is not None
    assert mask_of(read_slice(new.slices["script"])) == 0o27
