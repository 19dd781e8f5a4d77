"""Mutation fuzzer for the configuration reader: ``python -m tests.fuzz.mutate --minutes 10``.

Each file is loaded in this process under limits of memory and processor time. A finding is written to a
file below ``--out`` with what happened; the same fault is reported once. Prints counts at the end; status
1 when anything was found.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.oracle import check
from tests.fuzz.seeds import WORDS, from_folder, from_tables, keywords

MEMORY_BYTES = 1 << 30
MAX_BYTES = 20_000
THOROUGH_EVERY = 10

Mutation = Callable[[bytearray, random.Random], None]
DIRECTIVES = [
    b"$A=", b"$A", b"${A}", b"$A=${A}${A}\n", b"\\\n", b"~SEQ(N,1,9) ", b"~LST({A,B},{a,b},{c}) ", b"@n ",
    b"@^n ", b"@pykeepalived ", b"include x*\n", b"${_RANDOM 1 9}", b"${_ENV HOME}", b"${_HASH}",
    b"include_check\n",
]  # fmt: skip
MARKS = [
    b"{",
    b"}",
    b'"',
    b"'",
    b"#",
    b"!",
    b"\\",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
]
NAMES = [word.encode() for word in sorted(set(keywords()))]
VALUES = [word.encode("utf-8") for word in WORDS]


def _at(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data) + 1)


def _insert(pool: list[bytes], glue: bytes = b"") -> Mutation:
    def mutate(data: bytearray, chance: random.Random) -> None:
        at = _at(data, chance)
        data[at:at] = glue + chance.choice(pool) + glue

    return mutate


def _flip(data: bytearray, chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _cut(data: bytearray, chance: random.Random) -> None:
    at = _at(data, chance)
    del data[at : at + chance.choice((1, 1, 3, 10, 80))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = _at(data, chance)
    data[at:at] = bytes(data[at : at + chance.randrange(1, 60)]) * chance.choice((1, 2, 5, 60))


def _lines(data: bytearray, chance: random.Random) -> None:
    """Drop, double, swap or move a line."""
    lines = bytes(data).split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one], lines[other] = lines[other], lines[one]
        case _:
            lines.insert(other, lines.pop(one))
    data[:] = b"\n".join(lines)


def _word(data: bytearray, chance: random.Random) -> None:
    """Another value in place of a word."""
    lines = bytes(data).split(b"\n")
    at = chance.randrange(len(lines))
    words = lines[at].split(b" ")
    words[chance.randrange(len(words))] = chance.choice(VALUES if chance.random() < 0.7 else NAMES)
    lines[at] = b" ".join(words)
    data[:] = b"\n".join(lines)


MUTATIONS: list[Mutation] = [
    _flip,
    _cut,
    _repeat,
    _lines,
    _lines,
    _word,
    _word,
    _word,
    _insert(MARKS),
    _insert(NAMES, b" "),
    _insert(VALUES, b" "),
    _insert(DIRECTIVES),
    _insert(DIRECTIVES, b"\n"),
]


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One to six changes to a seed, sometimes with a piece of another in it."""
    data = bytearray(chance.choice(seeds))
    if chance.random() < 0.1:
        other = chance.choice(seeds)
        at = _at(data, chance)
        data[at:at] = other[: chance.randrange(len(other) + 1)]
    for _ in range(chance.randrange(1, 7)):
        chance.choice(MUTATIONS)(data, chance)
    return bytes(data[:MAX_BYTES])


def fault(error: BaseException) -> str:
    """What makes two findings the same one."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "keepalived_conf" in frame.filename] or frames
    last = inside[-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}: {str(error)[:200]}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=1_000_000, help="end after so many files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder with configurations to start from as well")
    parser.add_argument("--out", type=Path, default=Path(".cache/fuzz"), help="where findings go")
    given = parser.parse_args(argv)
    out = given.out.resolve()
    seeds = list(from_tables(2000))
    if given.corpus:
        seeds.extend(from_folder(given.corpus))
    chance = random.Random(given.seed)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    found: dict[str, int] = {}
    worst_s, statuses, done = 0.0, dict[int, int](), 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # includes find nothing there
        while done < given.count and time.monotonic() - started < given.minutes * 60:
            data = mutated(seeds, chance)
            done += 1
            try:
                result, took_s = check(data, thorough=done % THOROUGH_EVERY == 0)
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                what = fault(error)
                found[what] = found.get(what, 0) + 1
                if found[what] == 1:
                    out.mkdir(parents=True, exist_ok=True)
                    path = out / f"finding-{given.seed}-{done}.conf"
                    path.write_bytes(data)
                    print(f"{what}\n    {path}", flush=True)
                continue
            worst_s = max(worst_s, took_s)
            code = result.highest.value
            statuses[code] = statuses.get(code, 0) + 1
        os.chdir("/")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{done} files in {time.monotonic() - started:.0f} s from {len(seeds)} seeds (seed {given.seed}): "
        f"{sum(found.values())} findings of {len(found)} kinds; slowest {worst_s:.2f} s, peak {peak_mb} MiB"
    )
    print(
        "highest class of keepalived's, files: " + ", ".join(f"{k}: {v}" for k, v in sorted(statuses.items()))
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
