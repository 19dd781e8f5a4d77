"""Tracked files: real files, real inotify."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keepalived_conf.model import InitFile, TrackFile
from script_proc import files as files_module
from script_proc import init_file
from script_proc import inotify as inotify_module
from script_proc.file_value import leading_number, reading
from script_proc.files import FileTrackers, look
from script_proc.inotify import Inotify

# --- the number ------------------------------------------------------------------------------------

_strtol = ctypes.CDLL(None).strtoll
_strtol.restype = ctypes.c_longlong
_strtol.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)

_NUMBER_LIKE = st.lists(
    st.sampled_from([b" ", b"\t", b"\n", b"\v", b"-", b"+", b"0", b"0x", b"0X", b"7", b"8", b"42", b"a", b"F",
                     b"g", b".", b"\0", b"\xff"]),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(_NUMBER_LIKE)
@example(b"0x")
@example(b"0xg1")
@example(b"-0x10")
@example(b"08")
@example(b"+ 5")
@example(b"\x1c5")
def test_the_number_is_what_strtol_reads(data: bytes) -> None:
    assert (leading_number(data) or 0) == _strtol(data, None, 0)


@given(st.integers(), st.sampled_from(["{}", " {}\n", "{} # down for maintenance", "\n{:+d}x"]))
def test_numbers_come_back_unless_they_are_outside_32_bits(number: int, form: str) -> None:
    inside = -(2**31) <= number <= 2**31
    assert reading(form.format(number).encode()[:127]).value == (number if inside else None)


@given(st.binary(max_size=300))
def test_any_content_is_a_number_or_ignored(data: bytes) -> None:
    found = reading(data)
    assert found.value is None or -(2**31) <= found.value <= 2**31
    assert found == reading(data[:127])
    assert len(found.text) < 100


def test_only_the_first_127_octets_count() -> None:
    assert reading(b" " * 126 + b"25").value == 2
    assert reading(b" " * 127 + b"25").value == 0


# --- the files -------------------------------------------------------------------------------------


class Log:
    """Remembers what was logged."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def _say(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    debug = info = warning = error = _say


class Bench:
    """File trackers, and what they told."""

    def __init__(self, look_each_s: float = 1000.0) -> None:
        self.log = Log()
        self.told: list[tuple[str, int, str]] = []
        self.trackers = FileTrackers(
            lambda *told: self.told.append(told), cast(Any, self.log), look_each_s=look_each_s
        )

    def value(self, name: str = "f") -> int:
        return next(value for told, value, _ in reversed(self.told) if told == name)

    async def until(self, value: int, name: str = "f", timeout_s: float = 10.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self.value(name) != value:
            assert loop.time() < end, f"{name} is {self.value(name)}, not {value}: {self.told}"
            await asyncio.sleep(0.002)

    @property
    def values(self) -> list[int]:
        found: list[int] = []
        for _, value, _ in self.told:
            if not found or found[-1] != value:
                found.append(value)
        return found


def track(path: Path | str, name: str = "f", init: InitFile | None = None) -> TrackFile:
    return TrackFile(name=name, file=str(path), init_file=init)


def play(body: Callable[[Bench], Coroutine[Any, Any, None]], look_each_s: float = 1000.0) -> Bench:
    bench = Bench(look_each_s)

    async def run() -> None:
        before = len(os.listdir("/proc/self/fd"))
        try:
            await asyncio.wait_for(body(bench), 30)
        finally:
            bench.trackers.close()
        assert len(os.listdir("/proc/self/fd")) == before, "descriptors were leaked"

    asyncio.run(run())
    return bench


def test_a_value_is_told_at_once_and_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "weight"
    file.write_text("5\n")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        assert bench.told == [("f", 5, "5")]
        file.write_text("-0x10")
        await bench.until(-16)
        file.unlink()
        await bench.until(0)
        file.write_text("7")
        await bench.until(7)

    play(body)


def test_replaced_and_moved_files_are_followed(tmp_path: Path) -> None:
    file, fresh = tmp_path / "weight", tmp_path / "fresh"
    file.write_text("1")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        for number in range(2, 12):
            fresh.write_text(str(number))
            fresh.rename(file)
            await bench.until(number)
        file.rename(fresh)
        await bench.until(0)
        fresh.rename(file)
        await bench.until(11)
        file.write_text("12")  # the file that is there now is watched like the first
        await bench.until(12)

    bench = play(body)
    assert bench.values == [*range(1, 12), 0, 11, 12]


def test_a_folder_that_appears_later_and_one_that_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "weight"

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        assert bench.told == [("f", 0, "missing")]
        file.parent.mkdir(parents=True)
        file.write_text("3")
        await bench.until(3)
        (tmp_path / "a").rename(tmp_path / "old")
        await bench.until(0)
        (tmp_path / "new" / "b").mkdir(parents=True)
        (tmp_path / "new" / "b" / "weight").write_text("4")
        (tmp_path / "new").rename(tmp_path / "a")
        await bench.until(4)
        (tmp_path / "old" / "b" / "weight").write_text("99")
        file.write_text("5")
        await bench.until(5)

    assert 99 not in play(body).values


def test_links_are_followed_wherever_they_change(tmp_path: Path) -> None:
    # As a mounted ConfigMap: weight -> ..data/weight, ..data -> a folder that is swapped by rename.
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "weight").write_text(str(number))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "weight").symlink_to("..data/weight")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(tmp_path / "weight"),))
        assert bench.value() == 1
        (tmp_path / "..tmp").symlink_to("v2")
        (tmp_path / "..tmp").rename(tmp_path / "..data")
        await bench.until(2)
        (tmp_path / "v2" / "weight").write_text("20")
        await bench.until(20)
        (tmp_path / "weight").unlink()
        await bench.until(0)
        (tmp_path / "weight").symlink_to(tmp_path / "v1" / "weight")
        await bench.until(1)
        (tmp_path / "v1" / "weight").write_text("10")
        await bench.until(10)

    play(body)


def test_links_in_a_circle_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(tmp_path / "a"),))
        assert bench.value() == 0
        (tmp_path / "b").unlink()
        (tmp_path / "b").write_text("8")
        await bench.until(8)

    play(body)


def test_a_file_written_under_another_name_of_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weight").write_text("1")
    os.link(tmp_path / "elsewhere" / "weight", tmp_path / "weight")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(tmp_path / "weight"),))
        (tmp_path / "elsewhere" / "weight").write_text("2")
        await bench.until(2)

    play(body)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    really = os.open

    def spy(path: str, *flags: int) -> int:
        opened.append(path)
        return really(path, *flags)

    monkeypatch.setattr(os, "open", spy)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    names = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path / "folder"}

    async def body(bench: Bench) -> None:
        bench.trackers.apply(tuple(track(path, name) for name, path in names.items()))
        assert [told[:2] for told in bench.told] == [(name, 0) for name in names]
        bench.trackers.apply(tuple(track(path, name) for name, path in names.items()))

    signal.alarm(20)  # a blocked open is no assertion
    try:
        bench = play(body)
    finally:
        signal.alarm(0)
    warned = [fields["tracker"] for event, fields in bench.log.said if event == "script.file_odd"]
    assert warned == list(names), "each is told of once"
    assert not opened


def test_a_number_outside_32_bits_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "weight"
    file.write_text("6")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        file.write_text("99999999999")
        while len(bench.told) < 2:
            await asyncio.sleep(0.002)
        assert bench.told[1] == ("f", 6, "6 stays: 99999999999 is outside 32 bits and ignored")
        bench.trackers.apply((track(file),))
        assert bench.value() == 6

    play(body)


def test_a_restarted_worker_holds_what_it_knew(tmp_path: Path) -> None:
    file = tmp_path / "weight"
    file.write_text("99999999999")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file), track(tmp_path / "none", "g")), held={"f": 6, "g": 6})
        assert (bench.value("f"), bench.value("g")) == (6, 0)

    play(body)


def test_no_value_of_a_file_that_is_written_slowly(tmp_path: Path) -> None:
    file = tmp_path / "weight"
    file.write_text("100")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        with open(file, "w") as writer:  # empty from here on
            await asyncio.sleep(0.05)
            writer.write("101")
        await bench.until(101)

    assert play(body).values == [100, 101]
    file.write_text("100")
    assert play(body, look_each_s=0.02).values == [100, 101], "a look at the wrong moment"


def test_without_inotify_changes_are_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Inotify) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Inotify, "__init__", refuse)
    monkeypatch.setattr(files_module, "_TICK_S", 0.02)
    file = tmp_path / "weight"

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        bench.trackers.apply((track(file),))
        file.write_text("9")
        await bench.until(9)

    bench = play(body)
    assert [event for event, _ in bench.log.said] == ["script.file_not_watched"]


def test_files_that_the_kernel_tells_nothing_of_are_looked_at(tmp_path: Path) -> None:
    prctl, set_name = ctypes.CDLL(None).prctl, 15
    name = Path(f"/proc/{os.getpid()}/comm")
    before = name.read_bytes().strip()

    async def body(bench: Bench) -> None:
        prctl(set_name, b"17")
        bench.trackers.apply((track(name),))
        assert bench.value() == 17
        prctl(set_name, b"18")
        await bench.until(18)

    try:
        play(body, look_each_s=0.02)
    finally:
        prctl(set_name, before)


def test_events_that_were_lost_lead_to_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = inotify_module.OVERFLOW
    read = Inotify.read
    monkeypatch.setattr(Inotify, "read", lambda self: [type(event)(-1, lost, "") for event in read(self)])
    file = tmp_path / "weight"

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file),))
        file.write_text("4")
        await bench.until(4)

    play(body)


def watches() -> int:
    """How many watches this process has."""
    found = 0
    for fd in os.listdir("/proc/self/fdinfo"):
        try:
            found += Path(f"/proc/self/fdinfo/{fd}").read_text().count("inotify wd:")
        except OSError:
            pass
    return found


def test_watches_are_given_back(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_text("1")

    async def body(bench: Bench) -> None:
        near, far = track(tmp_path / "b", "b"), track(tmp_path / "far" / "a", "a")
        bench.trackers.apply((near,))
        alone = watches()
        bench.trackers.apply((near, far))
        assert watches() == alone + 2
        (tmp_path / "far" / "a").unlink()
        await bench.until(0, "a")
        assert watches() == alone + 1
        bench.trackers.apply((near,))
        assert watches() == alone

    play(body)
    assert watches() == 0


def test_a_reload_keeps_what_goes_on_and_forgets_the_rest(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        (tmp_path / name).write_text(str(number))

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(tmp_path / "a", "a"), track(tmp_path / "b", "b")))
        bench.trackers.apply((track(tmp_path / "a", "a"), track(tmp_path / "c", "b")))
        assert (bench.value("a"), bench.value("b")) == (0, 2)
        (tmp_path / "b").write_text("50")
        (tmp_path / "c").write_text("51")
        await bench.until(51, "b")
        bench.trackers.apply((track(tmp_path / "c", "b"),))
        told = len(bench.told)
        (tmp_path / "a").write_text("52")
        (tmp_path / "c").write_text("53")
        await bench.until(53, "b")
        assert [name for name, _, _ in bench.told[told:]] == ["b"]
        bench.trackers.apply(())
        assert not bench.trackers._users
        bench.trackers.apply((track(tmp_path / "a", "a"),))
        assert bench.value("a") == 52

    play(body)


def test_two_trackers_of_one_file(tmp_path: Path) -> None:
    file = tmp_path / "weight"

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(file, "a"), track(file, "b")))
        file.write_text("1")
        await bench.until(1, "a")
        await bench.until(1, "b")
        bench.trackers.apply((track(file, "b"),))
        file.write_text("2")
        await bench.until(2, "b")

    play(body)


# --- init_file -------------------------------------------------------------------------------------


def test_files_are_made_at_the_first_start_only(tmp_path: Path) -> None:
    new, kept, again = tmp_path / "new", tmp_path / "kept", tmp_path / "again"
    kept.write_text("1")
    again.write_text("2")
    wanted = (
        track(new, "new", InitFile(value=-3)),
        track(kept, "kept", InitFile(value=10)),
        track(again, "again", InitFile(value=20, overwrite=True)),
    )

    async def body(bench: Bench) -> None:
        bench.trackers.apply(wanted, first_start=True)
        assert [told[:2] for told in bench.told] == [("new", -3), ("kept", 1), ("again", 20)]
        new.unlink()
        again.write_text("21")
        bench.trackers.apply(wanted)
        assert [told[:2] for told in bench.told[-3:]] == [("new", 0), ("kept", 1), ("again", 21)]
        assert not new.exists()

    play(body)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "kept"]


def test_a_link_is_replaced_not_followed_and_a_pipe_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / "link").symlink_to("precious")
    os.mkfifo(tmp_path / "pipe")
    init = InitFile(value=1, overwrite=True)

    async def body(bench: Bench) -> None:
        wanted = (track(tmp_path / "link", "link", init), track(tmp_path / "pipe", "pipe", init))
        bench.trackers.apply(
            (*wanted, track(tmp_path / "no" / "x", "x", init)), first_start=True, umask=0o022
        )
        assert (bench.value("link"), bench.value("pipe"), bench.value("x")) == (1, 0, 0)

    bench = play(body)
    assert (tmp_path / "precious").read_text() == "gold"
    assert (tmp_path / "link").stat().st_mode & 0o777 == 0o644
    failed = {fields["file"] for event, fields in bench.log.said if event == "script.file_not_initialised"}
    assert failed == {str(tmp_path / "pipe"), str(tmp_path / "no" / "x")}


def test_the_child_that_writes_for_others_says_what_it_could_not(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root becomes root")
    good, bad = str(tmp_path / "a b"), str(tmp_path / "none" / "x")
    assert init_file.write_as_root([(good, -5), (bad, 1)], 0o600) == {bad: "No such file or directory"}
    assert look(good).value == -5
    assert os.stat(good).st_mode & 0o777 == 0o600


# --- anything may happen to it ---------------------------------------------------------------------


def _mischief(root: Path, dice: random.Random) -> None:
    """One thing that people do to files, folders and links on the way root/a/b/f."""
    a, b, file = root / "a", root / "a" / "b", root / "a" / "b" / "f"
    number = str(dice.randrange(1, 10_000))

    def swap(path: Path, other: Path) -> None:
        """Change places, also when only one is there."""
        for source, target in ((path, root / "aside"), (other, path), (root / "aside", other)):
            if source.exists() or source.is_symlink():
                source.rename(target)

    match dice.randrange(9):
        case 0 | 1:
            file.write_text(number)
        case 2:
            (root / "fresh").write_text(number)
            (root / "fresh").rename(file)
        case 3:
            file.unlink()
        case 4:
            swap(a, root / "a2")
        case 5:
            swap(b, root / "b2")
        case 6:
            swap(file, root / "f2")
        case 7:
            (root / "elsewhere" / "f").write_text(number)
            swap(b, root / "link")
        case 8:
            b.mkdir(parents=True)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_to_it_the_value_is_right_in_the_end(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("../elsewhere" if seed % 2 else tmp_path / "elsewhere")
    (tmp_path / "f2").symlink_to(tmp_path / "elsewhere" / "f")

    async def body(bench: Bench) -> None:
        bench.trackers.apply((track(tmp_path / "a" / "b" / "f"),))
        for _ in range(15):
            for _ in range(dice.randrange(1, 8)):
                with contextlib.suppress(OSError):
                    _mischief(tmp_path, dice)
                if dice.random() < 0.3:
                    await asyncio.sleep(0)
            await bench.until(look(str(tmp_path / "a" / "b" / "f")).value or 0)

    play(body)
