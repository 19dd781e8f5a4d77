"""The notifier over its own death: scripts in order and never two at once, FIFO lines exactly once, mail."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

import pytest

from keepalived_conf.model import Fifo, GlobalDefs, NotifyTarget, Script, ScriptSlice, SmtpServer
from tests.lab.system import alive
from tests.netns.script.notify_lab import INSTANCES, NotifyLab, Reader, event
from tests.unit.script.test_mail import SmtpServerStub

SCRIPT = """#!/bin/sh
mkdir "{folder}/lock.$2" 2>/dev/null || echo "$2 $4" >> "{folder}/overlaps"
echo "$2 $3 $4" >> "{folder}/runs"
rmdir "{folder}/lock.$2"
"""


def wanted(folder: Path, *, script: bool = False, fifo: bool = False) -> ScriptSlice:
    generic = None
    if script:
        path = folder / "notify.sh"
        path.write_text(SCRIPT.format(folder=folder))
        path.chmod(0o755)
        generic = Script(command=(str(path),), user="root" if os.geteuid() == 0 else None)
    return ScriptSlice(
        globals=GlobalDefs(vrrp_notify_fifo=Fifo(path=str(folder / "fifo")) if fifo else None),
        targets=tuple(
            NotifyTarget(kind="INSTANCE", name=f"V{index}", generic=generic) for index in range(INSTANCES)
        ),
    )


def expected_lines(events: int) -> list[str]:
    found = []
    for index in range(1, events + 1):
        message = event(index).message
        found.append(f'INSTANCE "{message.instance}" {message.to_state} {message.priority}')  # type: ignore[attr-defined]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def test_lines_are_written_once_and_in_order_whenever_the_worker_is_killed(folder: Path) -> None:
    events = 10_000
    reader = Reader(folder / "fifo")
    with NotifyLab(wanted(folder, fifo=True), folder) as lab:
        os.mkfifo(folder / "fifo")
        reader.come()
        lab.run(events, kills=25, chance=random.Random(4))
        lab.until(lambda: len(reader.lines) >= events)
        lab.stop()
        reader.go()
    assert reader.lines == expected_lines(events)


def test_lines_wait_for_a_reader_that_comes_and_goes(folder: Path) -> None:
    events = 3000
    chance = random.Random(5)
    reader = Reader(folder / "fifo")
    with NotifyLab(wanted(folder, fifo=True), folder) as lab:
        lab.start()
        lab.until((folder / "fifo").exists)
        assert stat.S_IMODE((folder / "fifo").stat().st_mode) == 0o600
        while lab.told < events:
            lab.tell(100)
            lab.until(lambda: lab.handled == lab.told)
            if chance.random() < 0.3:
                reader.come()
                lab.until(lambda: lab.lines == 0)
                reader.go()
            if chance.random() < 0.3:
                lab.kill()
                lab.start()
        reader.come()
        lab.until(lambda: len(reader.lines) >= events)
        lab.stop()
        reader.go()
        assert not (folder / "fifo").exists(), "made here, so removed at the end"
    assert reader.lines == expected_lines(events)


def test_scripts_are_run_in_order_and_never_two_of_an_instance_whenever_the_worker_is_killed(
    folder: Path,
) -> None:
    # All of the 10,000 transitions take minutes.
    events = int(os.environ.get("PYKEEPALIVED_TEST_TRANSITIONS", "400"))
    kills = max(8, events // 100)
    with NotifyLab(wanted(folder, script=True), folder) as lab:
        lab.run(events, kills=kills, chance=random.Random(6))
        lab.until(lambda: lab.scripts == 0, timeout_s=60 + events / 20)
        lab.stop()
    assert not (folder / "overlaps").exists(), (folder / "overlaps").read_text()
    runs = [line.split() for line in (folder / "runs").read_text().splitlines()]
    for index in range(INSTANCES):
        numbers = [int(number) for name, _, number in runs if name == f"V{index}"]
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(1, events // INSTANCES + 1))
        assert len(numbers) - len(set(numbers)) <= kills
    states = {name: (state, int(number)) for name, state, number in runs}
    for index in range(events - INSTANCES + 1, events + 1):
        message = event(index).message
        assert states[message.instance] == (message.to_state, message.number)  # type: ignore[attr-defined]


# --- scripts of FIFOs ------------------------------------------------------------------------------

FIFO_SCRIPT = """#!/bin/sh
echo "$$ $@" >> "{folder}/started"
while read -r line <&3; do echo "$line" >> "{folder}/lines"; done 3<"$2"
echo "$$" >> "{folder}/ended"
"""


def with_fifo_script(folder: Path) -> ScriptSlice:
    path = folder / "fifo.sh"
    path.write_text(FIFO_SCRIPT.format(folder=folder))
    path.chmod(0o755)
    made = wanted(folder, fifo=True)
    script = Script(command=(str(path), "own"), user="root" if os.geteuid() == 0 else None)
    return replace(made, globals=replace(made.globals, vrrp_notify_fifo_script=script))


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_the_script_of_a_fifo_is_started_once_and_continued_by_a_successor(folder: Path) -> None:
    with NotifyLab(with_fifo_script(folder), folder) as lab:
        lab.start()
        lab.until(lambda: len(rows(folder / "started")) == 1)
        for _ in range(5):
            lab.tell(8)
            lab.until(lambda: lab.handled == lab.told)
            lab.kill()
            lab.start()
        lab.until(lambda: len(rows(folder / "lines")) == 40)
        lab.stop()
    assert rows(folder / "lines") == expected_lines(40)
    (started,) = rows(folder / "started")
    pid, *arguments = started.split()
    assert arguments == ["own", str(folder / "fifo")]
    assert rows(folder / "ended") == [pid], "it saw the end of its FIFO"


def test_the_script_of_a_fifo_that_ends_is_started_again_and_no_line_is_lost(folder: Path) -> None:
    with NotifyLab(with_fifo_script(folder), folder) as lab:
        lab.start()
        lab.until(lambda: len(rows(folder / "started")) == 1)
        lab.tell(4)
        lab.until(lambda: len(rows(folder / "lines")) == 4)
        os.kill(int(rows(folder / "started")[0].split()[0]), signal.SIGKILL)
        lab.tell(4)
        lab.until(lambda: len(rows(folder / "lines")) == 8)
        assert len(rows(folder / "started")) == 2
        lab.stop()
    assert rows(folder / "lines") == expected_lines(8)


def test_what_still_runs_at_a_stop_is_ended(folder: Path) -> None:
    path = folder / "slow.sh"
    path.write_text(f'#!/bin/sh\ntrap "" TERM\necho $$ >> {folder}/pids\nwhile :; do sleep 0.1; done\n')
    path.chmod(0o755)
    made = wanted(folder, script=True)
    script = Script(command=(str(path),), user="root" if os.geteuid() == 0 else None)
    slow = replace(made, targets=(replace(made.targets[1], generic=script),))
    with NotifyLab(slow, folder) as lab:
        lab.start()
        lab.tell(1)
        lab.until(lambda: len(rows(folder / "pids")) == 1)
        lab.kill()
        lab.start()
        lab.tell(INSTANCES)
        lab.until(lambda: lab.handled == lab.told and lab.scripts == 2)
        assert len(rows(folder / "pids")) == 1, "the second one waits for the first, also over a kill"
        lab.stop()
    for pid in rows(folder / "pids"):
        assert not alive(int(pid))


# --- mail ------------------------------------------------------------------------------------------


def with_mail(folder: Path, port: int) -> ScriptSlice:
    settings = GlobalDefs(
        router_id="r1",
        smtp_server=SmtpServer(host="127.0.0.1", port=port),
        notification_email=("a@b",),
    )
    targets = tuple(replace(one, smtp_alert=True) for one in wanted(folder).targets)
    return ScriptSlice(globals=settings, targets=targets)


async def free_port() -> int:
    async with SmtpServerStub() as server:
        return server.port


def subjects(server: SmtpServerStub) -> list[str]:
    return [message_from_bytes(data)["Subject"] for data in server.messages]


def expected_subjects(events: int) -> list[str]:
    return [
        f"[r1] VRRP Instance {line.split()[1].strip(chr(34))} - Entering {line.split()[2]} state"
        for line in expected_lines(events)
    ]


def test_mails_are_sent_by_successors_whenever_the_worker_is_killed(folder: Path) -> None:
    """Before a word was said to the server, and in the middle of the dialogue."""
    events = 8 * INSTANCES
    server = SmtpServerStub(port=asyncio.run(free_port()), pause_s=0.02)
    chance = random.Random(8)
    kills = 0
    with NotifyLab(with_mail(folder, server.port), folder) as lab:
        lab.start()
        lab.tell(events)
        lab.until(lambda: lab.handled == lab.told)
        lab.kill()

        async def serve() -> None:
            nonlocal kills
            async with server, asyncio.timeout(60):
                while len(once(subjects(server))) < events:
                    lab.start()
                    ends_at = asyncio.get_running_loop().time() + 0.1 + 0.3 * chance.random()
                    while asyncio.get_running_loop().time() < ends_at:
                        lab.serve()
                        await asyncio.sleep(0.005)
                    lab.kill()
                    kills += 1
                lab.start()

        asyncio.run(serve())
        lab.stop()
    assert once(subjects(server)) == expected_subjects(events)
    assert kills > 2
    assert 0 < server.cut_short <= kills + 1
    assert len(server.messages) - events <= kills


def once(rows: list[str]) -> list[str]:
    """Without those that are the same as the one before."""
    return [row for row, before in zip(rows, [None, *rows], strict=False) if row != before]


def test_mails_that_wait_at_a_stop_are_handed_over(folder: Path) -> None:
    server = SmtpServerStub(port=asyncio.run(free_port()), pause_s=0.02)
    events = 2 * INSTANCES
    with NotifyLab(with_mail(folder, server.port), folder) as lab:
        lab.start()
        lab.tell(events)
        lab.until(lambda: lab.handled == lab.told and "mail.delayed" in lab.status())

        async def serve() -> None:
            async with server:
                await asyncio.to_thread(lab.stop)

        asyncio.run(serve())
        assert "mail.lost" not in lab.status()
    assert subjects(server) == expected_subjects(events)
