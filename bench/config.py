"""Configuration test of large files, ours and keepalived side by side: ``./run bench config``.

Each trial is a whole ``-t -f FILE`` from process start to exit, in a network namespace of its own. The
programs take turns; medians count. ``--json`` prints one object per file with wall and processor time in
seconds, the ratios to keepalived, and our time per line, which stays level when the work is linear in size.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from bench._trials import ratio, shown
from tests.lab import programs
from tests.lab.programs import Program
from tests.lab.system import REPOSITORY, LabError

SERVERS_PER_SERVICE = 100
LIMIT_S = 120.0
GOAL_S = {"servers-10000": 2.0}
"""Most that our median may be."""
GOAL_RATIO = {"servers-10000": 10.0}


def instances(count: int) -> Iterator[str]:
    """Text of so many vrrp_instances, 250 an interface."""
    yield "global_defs {\n    router_id bench\n    vrrp_version 3\n    dynamic_interfaces\n}\n\n"
    for n in range(count):
        yield (
            f"vrrp_instance VI_{n} {{\n    state BACKUP\n    interface eth{n // 250}\n"
            f"    virtual_router_id {n % 250 + 1}\n    priority {100 + n % 100}\n"
            f"    advert_int 1\n    nopreempt\n"
            f"    virtual_ipaddress {{\n        10.{n // 250}.{n % 250}.1/24\n"
            f"        10.{n // 250}.{n % 250}.2/24\n"
            "    }\n}\n\n"
        )


def servers(count: int) -> Iterator[str]:
    """Text of so many real servers with a TCP_CHECK each, ten lines a server."""
    yield "global_defs {\n    router_id bench\n}\n\n"
    for service in range(-(-count // SERVERS_PER_SERVICE)):
        yield (
            f"virtual_server 10.{100 + service // 250}.{service % 250}.1 80 {{\n    delay_loop 6\n"
            "    lvs_sched rr\n    lvs_method NAT\n    protocol TCP\n\n"
        )
        for n in range(min(SERVERS_PER_SERVICE, count - service * SERVERS_PER_SERVICE)):
            yield (
                f"    real_server 10.{service // 250}.{service % 250}.{n + 1} 8080 {{\n"
                f"        weight {n % 5 + 1}\n        inhibit_on_failure\n        TCP_CHECK {{\n"
                "            connect_timeout 3\n            connect_port 8080\n            retry 2\n"
                "            delay_before_retry 1\n        }\n    }\n"
            )
        yield "}\n\n"


FILES: dict[str, tuple[Callable[[int], Iterator[str]], int]] = {
    "instances-1000": (instances, 1_000),
    "servers-1000": (servers, 1_000),
    "servers-10000": (servers, 10_000),
    "servers-40000": (servers, 40_000),
}


def trial(program: Program, path: pathlib.Path) -> tuple[float, float, int]:
    """(wall seconds of one test, seconds of processor time, exit status)."""
    argv = [shutil.which("unshare") or "unshare", "--net", "--mount", "--uts", "--ipc"]
    # What is installed has its bytecode; the first round writes it.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment.setdefault("PYTHONPYCACHEPREFIX", str(REPOSITORY / ".cache/pycache"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [*argv, *program.argv, "-t", "-f", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        timeout=LIMIT_S,
        check=False,
    )
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s, cpu_s, done.returncode


def measure(name: str, path: pathlib.Path, compared: list[Program], repeats: int) -> dict[str, object]:
    """Every program takes its turn in each round; the first round only warms the caches."""
    times: dict[str, list[float]] = {program.name: [] for program in compared}
    cpu_times: dict[str, list[float]] = {program.name: [] for program in compared}
    statuses: dict[str, int] = {}
    for turn in range(repeats + 1):
        for program in compared[turn % len(compared) :] + compared[: turn % len(compared)]:
            wall_s, cpu_s, statuses[program.name] = trial(program, path)
            if turn:
                times[program.name].append(wall_s)
                cpu_times[program.name].append(cpu_s)
    lines = path.read_text().count("\n")
    ours, other = compared[0].name, compared[-1].name
    row: dict[str, object] = {
        "file": name,
        "lines": lines,
        "wall_s": {key: round(statistics.median(value), 4) for key, value in times.items()},
        "cpu_s": {key: round(statistics.median(value), 4) for key, value in cpu_times.items()},
        "status": statuses,
        "cpu_us_per_line": round(statistics.median(cpu_times[ours]) / lines * 1e6, 2),
    }
    quotient = ratio(times[ours], times[other]) if ours != other else None
    if quotient is not None:
        row["ratio"] = round(quotient, 2)
    quotient = ratio(cpu_times[ours], cpu_times[other]) if ours != other else None
    if quotient is not None:
        row["cpu_ratio"] = round(quotient, 2)
    row["shown"] = {key: shown("wall_s", value) for key, value in times.items()}
    return row


def missed(row: dict[str, object]) -> list[str]:
    """Goals that a row misses, in words."""
    name = str(row["file"])
    walls = row["wall_s"]
    assert isinstance(walls, dict)
    ours_s = next(iter(walls.values()))
    found = []
    if name in GOAL_S and ours_s > GOAL_S[name]:
        found.append(f"{name}: {ours_s:.2f} s, goal {GOAL_S[name]} s")
    quotient = row.get("ratio")
    if name in GOAL_RATIO and isinstance(quotient, float) and quotient > GOAL_RATIO[name]:
        found.append(f"{name}: {quotient:.1f} times keepalived's time, goal {GOAL_RATIO[name]:g}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", metavar="FILE", choices=sorted(FILES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    options = parser.parse_args(argv)
    if os.geteuid():
        print("bench: needs root (network namespaces): sudo ./run bench config", file=sys.stderr)
        return 2
    try:
        compared = [programs.ours(), programs.keepalived()]
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (text, count) in FILES.items():
            if options.only and name not in options.only:
                continue
            path = pathlib.Path(folder, f"{name}.conf")
            path.write_text("".join(text(count)))
            row = measure(name, path, compared, options.repeats)
            rows.append(row)
            if options.json:
                print(json.dumps({key: value for key, value in row.items() if key != "shown"}), flush=True)
            else:
                print(
                    f"{name}  {row['lines']} lines, {row['cpu_us_per_line']} us of processor a line, "
                    f"ratio {row.get('ratio')} (processor {row.get('cpu_ratio')})"
                )
                for key, value in row["shown"].items():  # type: ignore[attr-defined]
                    print(f"    {key:14} {value}   status {row['status'][key]}")  # type: ignore[index]
                sys.stdout.flush()
    problems = [problem for row in rows for problem in missed(row)]
    for problem in problems:
        print(f"bench: goal missed: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
