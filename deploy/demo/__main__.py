"""``python -m deploy.demo [--keep | --down]``: see the package. Exit status 0 when nothing was lost that
should not be, 1 when something was, 2 when the demonstration could not be played."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.demo import stage as scene
from deploy.demo.screen import LIVE_VARIABLE, Screen
from deploy.demo.stage import Stage
from deploy.demo.story import HOST_LOSS, Ended, Loss, Story
from deploy.setup import uml
from tests.lab import Lab, conf, programs
from tests.lab.kernel import has_ip_vs
from tests.lab.programs import Program
from tests.lab.system import REPOSITORY, LabError

KEPT = REPOSITORY / ".cache/demo-lab"
"""Prefix of the lab that --keep left."""
TEST_KERNEL_S = 180.0
OURS, THEIRS = "pykeepalived", "keepalived"


@dataclass(kw_only=True)
class Performance:
    """One story in a thread of its own."""

    stage: Stage
    story: Story
    thread: threading.Thread
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run demo", description="Kill things, see what clients lose.")
    parser.add_argument("--keep", action="store_true", help="leave our lab up at the end (./run shell NODE)")
    parser.add_argument("--down", action="store_true", help="take down a lab that was kept, and end")
    parser.add_argument("--alone", action="store_true", help="do not run keepalived beside us")
    parser.add_argument("--logs", type=pathlib.Path, metavar="DIR", help="copy daemons' logs and files here")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _run(options, list(sys.argv[1:] if arguments is None else arguments))
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    if os.geteuid():
        raise LabError("needs root, or ./run demo, which makes namespaces of its own")
    if options.keep or options.down:
        taken_down = _take_down_kept()
        if options.down:
            print("the kept lab is down" if taken_down else "there is no kept lab")
            return 0
    screen = Screen()
    balancer, why_not = has_ip_vs(), ""
    if not balancer:
        if options.keep:
            why_not = "this kernel has no ip_vs, and a lab in the test kernel cannot be kept"
        elif uml.available():
            return _in_test_kernel(arguments, screen)
        else:
            why_not = "this kernel has no ip_vs and the test kernel is not there (./run setup brings it)"
    return _perform(options, screen, balancer, why_not)


# --- where to play ----------------------------------------------------------------------------------


def _in_test_kernel(arguments: list[str], screen: Screen) -> int:
    screen.line("This kernel has no ip_vs: the demonstration runs in the bundled test kernel (one slow CPU).")
    if screen.live:
        os.environ[LIVE_VARIABLE] = "1"
        os.environ["COLUMNS"] = str(shutil.get_terminal_size((110, 24)).columns)
    return uml.boot([sys.executable, "-m", "deploy.demo", *arguments], timeout_s=TEST_KERNEL_S)


def _take_down_kept() -> bool:
    try:
        prefix = KEPT.read_text().strip()
    except FileNotFoundError:
        return False
    KEPT.unlink()
    return bool(prefix) and Lab.remove(prefix)


# --- the performance --------------------------------------------------------------------------------


def _perform(options: argparse.Namespace, screen: Screen, balancer: bool, why_not: str) -> int:
    played = [programs.ours()]
    if not options.alone:
        if why := programs.missing("keepalived"):
            screen.line(f"Without keepalived beside us: {why}")
        else:
            played.append(programs.keepalived())
    _introduce(screen, balancer, why_not)
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.callback(ended.set)
        performances = [
            _performance(program, balancer, screen, ended, stack, options.logs) for program in played
        ]
        screen.start_clock()
        for performance in performances:
            performance.thread.start()
        while any(performance.thread.is_alive() for performance in performances):
            screen.status(
                f"{screen.clock()} | "
                + " | ".join(f"{p.stage.program.name}: {p.stage.counters()}" for p in performances)
            )
            time.sleep(0.2)
        screen.end_status()
        if options.keep:
            _keep(performances[0].stage, screen)
    return _judge(performances, screen, balancer, why_not)


def _performance(
    program: Program,
    balancer: bool,
    screen: Screen,
    ended: threading.Event,
    stack: contextlib.ExitStack,
    logs: pathlib.Path | None,
) -> Performance:
    configured = balancer or program.name == OURS
    stage = stack.enter_context(Stage(program, balancer=balancer, configured=configured, logs=logs))
    story = Story(stage, lambda text, kind: screen.event(program.name, text, kind), ended)
    performance = Performance(stage=stage, story=story, thread=threading.Thread(daemon=True))

    def play() -> None:
        try:
            story.play()
        except Ended:
            performance.error = "called off"
        except (OSError, LabError, TimeoutError) as error:
            performance.error = str(error)
            screen.event(program.name, f"the story broke off: {error}", "bad")
            for daemon in stage.lab.daemons:
                for line in daemon.log_text().splitlines()[-8:]:
                    screen.line(f"        {daemon.node}: {line}", "faint")

    performance.thread = threading.Thread(target=play, daemon=True)
    return performance


def _introduce(screen: Screen, balancer: bool, why_not: str) -> None:
    limit_s = conf.master_down_s(scene.PRIORITY["d2"], scene.ADVERT_INT_S)
    ping_ms, request_ms = scene.PING_INTERVAL_S * 1000, scene.REQUEST_INTERVAL_S * 1000
    screen.line("Directors d1 (priority 150) and d2 (100), web servers w1 and w2, a client of the virtual")
    screen.line(
        f"address {scene.VIRTUAL_ADDRESS}: a ping each {ping_ms:.0f} ms, a page each {request_ms:.0f} ms."
    )
    screen.line(f"advert_int is {scene.ADVERT_INT_S:g} s: by the RFC a silent death of d1 is noticed at most")
    screen.line(f"{limit_s * 1000:.0f} ms after its last advertisement.")
    if not balancer:
        screen.line(f"Load balancing is not shown: {why_not}.", "deed")
        screen.line("The directors serve the page themselves.", "deed")
    screen.line()


def _keep(stage: Stage, screen: Screen) -> None:
    stage.lab.keep = True
    stage.stop_clients()
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(stage.lab.prefix + "\n")
    screen.line()
    screen.line(f"The lab stays up: ./run shell NODE (d1 d2 w1 w2 c); files in {stage.lab.dir};")
    screen.line("it goes with ./run demo --down, or with the next one that is kept.")


def _cell(loss: Loss | None, judged: bool) -> tuple[str, str | None]:
    if loss is None:
        return "not played", None
    if loss.missing:
        return loss.missing, None
    if loss.lost_requests or loss.lost_pings:
        text = f"{loss.lost_s * 1000:.0f} ms ({loss.lost_requests} request{'s' * (loss.lost_requests != 1)})"
    else:
        text = "0 ms"
    if loss.moved and loss.step != HOST_LOSS:
        text += ", mastership moved"
    return text, ("good" if loss.ok else "bad") if judged else None


def _judge(performances: list[Performance], screen: Screen, balancer: bool, why_not: str) -> int:
    screen.line()
    screen.line("What clients lost", "head")
    screen.line()
    names = [performance.stage.program.name for performance in performances]
    by_name = {p.stage.program.name: {loss.step: loss for loss in p.story.losses} for p in performances}
    steps = list(dict.fromkeys(step for losses in by_name.values() for step in losses))
    rows: list[list[tuple[str, str | None]]] = []
    for step in steps:
        mine = by_name[names[0]].get(step)
        limit = "-" if mine is None or mine.limit_s is None else f"{mine.limit_s * 1000:.0f} ms"
        rows.append(
            [
                (step, None),
                *(_cell(by_name[name].get(step), name == names[0]) for name in names),
                (limit, None),
            ]
        )
    if not balancer:
        rows.append([("web server killed", None), *(("not shown", None) for _ in names), ("-", None)])
    screen.table(["step", *names, "allowed"], rows)
    screen.line()
    if not balancer:
        screen.line(f"not shown: {why_not}")
    ours = performances[0]
    faults = [
        loss.step for loss in ours.story.losses if not loss.ok or (loss.missing and loss.limit_s is None)
    ]
    if ours.error:
        screen.line(f"The story broke off: {ours.error}", "bad")
        return 1
    if faults:
        screen.line(f"Not as it should be: {', '.join(faults)}", "bad")
        return 1
    screen.line("Everything as it should be: killing a worker cost no client anything.", "good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
