"""vrrp_script, vrrp_track_process, track_file, and the lines that name them."""

from __future__ import annotations

import pytest

from keepalived_conf.grammar.forms import Args, Form
from keepalived_conf.grammar.track_forms import (
    FILE_WEIGHT,
    INIT_FILE,
    PARAM_MATCH,
    PROCESS,
    SCRIPT_WEIGHT,
    TRACK_BFD,
    TRACK_FILE,
    TRACK_INTERFACE,
    TRACK_SCRIPT,
    USER,
)
from keepalived_conf.loading import LoadResult, exit_status
from keepalived_conf.model import (
    InitFile,
    Script,
    ScriptUser,
    TrackFile,
    TrackProcess,
    TrackRef,
    VrrpInstance,
    VrrpScript,
    VrrpSlice,
    Weight,
)
from keepalived_conf.slicing import slices
from keepalived_conf.syntax.words import Word
from tests.unit.conf.support import codes, find, instance_text, load, where


def script(lines: str = "", *, name: str = "S") -> tuple[VrrpScript, LoadResult]:
    result = load(f'vrrp_script {name} {{\nscript "/bin/check -x"\n{lines}\n}}\n')
    assert len(result.config.vrrp_scripts) == 1, result.text()
    return result.config.vrrp_scripts[0], result


def process(lines: str) -> tuple[TrackProcess, LoadResult]:
    result = load(f"vrrp_track_process P {{\n{lines}\n}}\n")
    assert len(result.config.track_processes) == 1, result.text()
    return result.config.track_processes[0], result


def file(lines: str = "", *, keyword: str = "track_file") -> tuple[TrackFile, LoadResult]:
    result = load(f"{keyword} F {{\nfile /run/f\n{lines}\n}}\n")
    assert len(result.config.track_files) == 1, result.text()
    return result.config.track_files[0], result


def told(result: LoadResult) -> list[str]:
    """Codes without what is said of every file with trackers."""
    return [code for code in codes(result) if code not in ("no-effect-yet", "no-script-security")]


# --- vrrp_script ------------------------------------------------------------------------------


def test_script_defaults() -> None:
    found, result = script()
    assert found == VrrpScript(name="S", script=Script(command=("/bin/check", "-x")))
    assert (found.interval_s, found.timeout_s, found.rise, found.fall) == (1.0, 1.0, 1, 1)
    assert (found.weight, found.user, found.init_fail) == (Weight(value=0), None, False)
    assert told(result) == []


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("interval 2.5", "interval_s", 2.5),
        ("interval 0.001", "interval_s", 0.001),
        ("interval 4294", "interval_s", 4294.0),
        ("interval 7", "timeout_s", 7.0),
        ("interval 7\ntimeout 3", "timeout_s", 3.0),
        ("weight -253", "weight", Weight(value=-253)),
        ("weight 20 reverse", "weight", Weight(value=20, reverse=True)),
        ("rise 2147483647", "rise", 2147483647),
        ("fall 3", "fall", 3),
        ("user nobody", "user", ScriptUser(name="nobody")),
        ("user nobody nogroup", "user", ScriptUser(name="nobody", group="nogroup")),
        ("init_fail", "init_fail", True),
        ('script "/bin/other"', "script", Script(command=("/bin/other",))),
    ],
)
def test_script_values(line: str, field: str, value: object) -> None:
    found, result = script(line)
    assert getattr(found, field) == value
    assert told(result) == []


@pytest.mark.parametrize(
    ("line", "field", "value", "code"),
    [
        ("interval 0", "interval_s", 1.0, "raised"),
        ("timeout 0", "timeout_s", 1.0, "raised"),
        ("interval 4294.001", "interval_s", 1.0, "invalid-number"),
        ("interval 0.0001", "interval_s", 1.0, "raised"),
        ("interval x", "interval_s", 1.0, "invalid-number"),
        ("weight 254", "weight", Weight(value=253), "invalid-number"),
        ("weight -999", "weight", Weight(value=-253), "invalid-number"),
        ("weight x", "weight", Weight(value=0), "invalid-number"),
        ("weight 5 sideways", "weight", Weight(value=5), "unknown-word"),
        ("rise 0", "rise", 1, "invalid-number"),
        ("fall 2147483648", "fall", 1, "invalid-number"),
    ],
)
def test_script_values_that_cannot_be(line: str, field: str, value: object, code: str) -> None:
    found, result = script(line)
    assert getattr(found, field) == value
    assert told(result) == [code]
    assert find(result, code).place is not None
    assert where(find(result, code))[0] == 3


def test_one_word_about_a_block_without_effect() -> None:
    result = load("bfd_instance B {\nneighbor_ip 192.0.2.1\nmin_rx 20\nmin_tx 30\n}\n")
    told_of = [item.message.split()[0] for item in result.diagnostics if item.code == "no-effect-yet"]
    assert told_of == ["bfd_instance"]


def test_a_script_block_without_program_is_dropped_at_its_brace() -> None:
    result = load("vrrp_script S {\ninterval 5\n  }\n")
    assert result.config.vrrp_scripts == ()
    assert where(find(result, "no-script")) == (3, 3)
    assert not result.fatal


def test_a_script_without_name_stops_keepalived() -> None:
    result = load('vrrp_script {\nscript "/bin/x"\n}\n')
    assert result.fatal
    assert exit_status(result) == 2


def test_of_two_scripts_of_one_name_the_first_counts() -> None:
    text = 'vrrp_script S {\nscript "/bin/a"\n}\nvrrp_script S {\nscript "/bin/b"\n}\n'
    result = load(text)
    assert [one.script.command for one in result.config.vrrp_scripts] == [("/bin/a",)]
    assert where(find(result, "duplicate-name")) == (4, 13)


# --- vrrp_track_process -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("process nginx", {"process": ("nginx",), "full_command": False, "param_match": None}),
        ("process nginx -g", {"process": ("nginx", "-g"), "full_command": True, "param_match": "exact"}),
        ("process nginx -g\nparam_match initial", {"param_match": "initial", "full_command": True}),
        ("process nginx\nparam_match", {"param_match": "exact", "full_command": True}),
        ("process nginx\nfull_command", {"full_command": True, "param_match": None}),
        ("process nginx\nweight -254 reverse", {"weight": Weight(value=-254, reverse=True)}),
        ("process nginx\nweight 0\nweight 7", {"weight": Weight(value=7)}),
        ("process nginx\nquorum 3\nquorum_max 4", {"quorum": 3, "quorum_max": 4}),
        ("process nginx\nquorum_max 0", {"quorum": 0, "quorum_max": 0}),
        ("process nginx\nquorum_max 0\nquorum_max 5", {"quorum": 1, "quorum_max": 5}),
        ("process nginx\ndelay 2", {"terminate_delay_s": 2.0, "fork_delay_s": 2.0}),
        ("process nginx\ndelay 2\nfork_delay 3", {"terminate_delay_s": 2.0, "fork_delay_s": 3.0}),
        ("process nginx\nfork_delay 3\ndelay 2", {"terminate_delay_s": 2.0, "fork_delay_s": 2.0}),
        ("process nginx\nterminate_delay 0.000001", {"terminate_delay_s": 0.000001, "fork_delay_s": 0.0}),
    ],
)
def test_process_values(lines: str, expected: dict[str, object]) -> None:
    found, result = process(lines)
    assert {name: getattr(found, name) for name in expected} == expected
    assert told(result) == []


@pytest.mark.parametrize(
    ("lines", "expected", "code", "place"),
    [
        ("process a\nquorum 5\nquorum_max 4", {"quorum": 5, "quorum_max": None}, "contradiction", (4, 12)),
        ("process a\nquorum_max 4\nquorum 5", {"quorum": 1, "quorum_max": 4}, "contradiction", (4, 8)),
        ("process a\nquorum 2\nquorum_max 0", {"quorum": 2, "quorum_max": None}, "contradiction", (4, 12)),
        ("process a\nquorum 0", {"quorum": 1}, "invalid-number", (3, 8)),
        ("process a\nquorum_max 65536", {"quorum_max": None}, "invalid-number", (3, 12)),
        ("process a\nprocess b", {"process": ("a",)}, "written-twice", (3, 1)),
        ("process a\nweight 4\nweight 5", {"weight": Weight(value=4)}, "written-twice", (4, 1)),
        ("process a\nweight 255", {"weight": Weight(value=0)}, "invalid-number", (3, 8)),
        ("process a\nweight", {"weight": Weight(value=0)}, "missing-argument", (3, 7)),
        ("process a\nparam_match some", {"param_match": None}, "invalid-value", (3, 13)),
        ("process a\ndelay 3600.5", {"fork_delay_s": 0.0}, "invalid-number", (3, 7)),
    ],
)
def test_process_values_that_cannot_be(
    lines: str, expected: dict[str, object], code: str, place: tuple[int, int]
) -> None:
    found, result = process(lines)
    assert {name: getattr(found, name) for name in expected} == expected
    assert told(result) == [code]
    assert where(find(result, code)) == place


def test_a_process_block_without_process_is_dropped() -> None:
    result = load("vrrp_track_process P {\nquorum 2\n}\n")
    assert result.config.track_processes == ()
    assert where(find(result, "no-process")) == (3, 1)


# --- track_file -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", {"file": "/run/f", "weight": Weight(value=1), "init_file": None}),
        ("weight -254 reverse", {"weight": Weight(value=-254, reverse=True)}),
        ("weight 0", {"weight": Weight(value=0)}),
        ("init_file", {"init_file": InitFile()}),
        ("init_file 7 overwrite", {"init_file": InitFile(value=7, overwrite=True)}),
        ("init_file overwrite -3", {"init_file": InitFile(value=-3, overwrite=True)}),
    ],
)
def test_file_values(lines: str, expected: dict[str, object]) -> None:
    found, result = file(lines)
    assert {name: getattr(found, name) for name in expected} == expected
    assert told(result) == []


def test_the_old_name_of_track_file() -> None:
    found, result = file("weight 3", keyword="vrrp_track_file")
    assert found == file("weight 3")[0]
    assert told(result) == ["deprecated"]
    assert exit_status(result) == 0


@pytest.mark.parametrize(
    ("lines", "expected", "code", "place"),
    [
        ("file /run/g", {"file": "/run/f"}, "written-twice", (3, 1)),
        ("weight 255", {"weight": Weight(value=1)}, "invalid-number", (3, 8)),
        ("weight 2\nweight 3", {"weight": Weight(value=2)}, "written-twice", (4, 1)),
        ("init_file 300", {"init_file": InitFile(value=300)}, "unusual-value", (3, 11)),
        ("init_file 99999999999", {"init_file": InitFile()}, "invalid-number", (3, 11)),
        ("init_file now", {"init_file": InitFile()}, "invalid-value", (3, 11)),
    ],
)
def test_file_values_that_cannot_be(
    lines: str, expected: dict[str, object], code: str, place: tuple[int, int]
) -> None:
    found, result = file(lines)
    assert {name: getattr(found, name) for name in expected} == expected
    assert told(result) == [code]
    assert where(find(result, code)) == place


# --- lines that name trackers -------------------------------------------------------------------

TRACKERS = (
    'vrrp_script S {\nscript "/bin/x"\nweight 20 reverse\n}\n'
    "vrrp_track_process P {\nprocess nginx\nweight -3\n}\n"
    "track_file F {\nfile /run/f\n}\n"
    "bfd_instance B {\nneighbor_ip 10.9.9.9\nweight 11\n}\n"
)


def tracking(lines: str, *, before: str = TRACKERS) -> tuple[VrrpInstance, LoadResult]:
    result = load(before + instance_text(lines))
    assert len(result.config.vrrp_instances) == 1, result.text()
    return result.config.vrrp_instances[0], result


@pytest.mark.parametrize(
    ("lines", "field", "expected"),
    [
        ("track_interface {\neth1\n}", "track_interface", [("eth1", 0, False)]),
        ("track_interface {\neth1 weight 5 reverse\n}", "track_interface", [("eth1", 5, True)]),
        ("track_script {\nS\n}", "track_script", [("S", 20, True)]),
        ("track_script {\nS weight -7\n}", "track_script", [("S", -7, True)]),
        ("track_script {\nS weight -7 noreverse\n}", "track_script", [("S", -7, False)]),
        ("track_process {\nP\n}", "track_process", [("P", -3, False)]),
        ("track_process {\nP weight 254\n}", "track_process", [("P", 254, False)]),
        ("track_file {\nF\n}", "track_file", [("F", 1, False)]),
        ("track_file {\nF weight 0 reverse\n}", "track_file", [("F", 0, True)]),
        ("track_bfd {\nB\n}", "track_bfd", [("B", 11, False)]),
        ("track_bfd {\nB weight 253\n}", "track_bfd", [("B", 253, False)]),
        (
            "track_interface {\neth1\n}\ntrack_interface {\neth2\n}",
            "track_interface",
            [("eth1", 0, False), ("eth2", 0, False)],
        ),
    ],
)
def test_tracks(lines: str, field: str, expected: list[tuple[str, int, bool]]) -> None:
    found, result = tracking(lines)
    refs = tuple(TrackRef(name=n, weight=w, reverse=r) for n, w, r in expected)
    assert getattr(found, field) == refs
    assert told(result) == []


@pytest.mark.parametrize(
    ("lines", "field", "expected", "code", "column"),
    [
        ("track_interface {\neth1 weight 254\n}", "track_interface", [253], "weight-cut", 13),
        ("track_interface {\neth1 weight -254\n}", "track_interface", [-253], "weight-cut", 13),
        ("track_interface {\neth1 weight 255\n}", "track_interface", [0], "invalid-number", 13),
        ("track_interface {\neth1 eth2\n}", "track_interface", [], "invalid-entry", 6),
        ("track_interface {\neth1 weight\n}", "track_interface", [], "invalid-entry", 6),
        ("track_interface {\neth1 weight 5 noreverse\n}", "track_interface", [5], "unknown-word", 15),
        ("track_interface {\neth0\n}", "track_interface", [], "own-interface-tracked", 1),
        ("track_script {\nS weight x\n}", "track_script", [20], "invalid-number", 10),
        ("track_script {\nS weight 5 up\n}", "track_script", [5], "unknown-word", 12),
        ("track_script {\nT\n}", "track_script", [], "undefined-tracker", 1),
        ("track_file {\nF weight 5 up\n}", "track_file", [], "invalid-entry", 12),
        ("track_bfd {\nB weight 254\n}", "track_bfd", [11], "invalid-number", 10),
        ("track_bfd {\nB weight 5 up\n}", "track_bfd", [], "invalid-entry", 12),
        ("track_process {\nP weight 255\n}", "track_process", [-3], "invalid-number", 10),
    ],
)
def test_tracks_that_cannot_be(lines: str, field: str, expected: list[int], code: str, column: int) -> None:
    found, result = tracking(lines)
    assert [ref.weight for ref in getattr(found, field)] == expected
    assert told(result) == [code]
    line = (TRACKERS + instance_text(lines)).splitlines().index(lines.splitlines()[1]) + 1
    assert where(find(result, code)) == (line, column)


def test_a_tracker_counts_once() -> None:
    found, result = tracking("track_script {\nS\nS weight 3\n}")
    assert [ref.weight for ref in found.track_script] == [20]
    assert told(result) == ["duplicate-track"]


def test_what_is_tracked_must_be_defined_above() -> None:
    result = load(instance_text("track_script {\nS\n}") + TRACKERS)
    assert result.config.vrrp_instances[0].track_script == ()
    item = find(result, "undefined-tracker")
    assert where(item) == (9, 1)
    assert "above" in item.hint


def test_words_between_a_block_and_its_brace_are_dropped() -> None:
    found, result = tracking("track_interface eth1 {\neth2\n}")
    assert [ref.name for ref in found.track_interface] == ["eth2"]
    assert told(result) == ["extra-words"]


# --- forms ------------------------------------------------------------------------------------


def read(form: Form, text: str) -> object:
    words = tuple(Word(word, 1, False) for word in text.split())
    return form.read(Args(words=words, first=0, raw=text))


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (TRACK_INTERFACE, TrackRef(name="eth1", weight=0, reverse=False), "eth1 weight 0"),
        (TRACK_INTERFACE, TrackRef(name="eth1", weight=-3, reverse=True), "eth1 weight -3 reverse"),
        (TRACK_SCRIPT, TrackRef(name="S"), "S"),
        (TRACK_SCRIPT, TrackRef(name="S", weight=5, reverse=False), "S weight 5 noreverse"),
        (TRACK_FILE, TrackRef(name="F", weight=254, reverse=True), "F weight 254 reverse"),
        (TRACK_BFD, TrackRef(name="B", weight=1), "B weight 1"),
        (SCRIPT_WEIGHT, Weight(value=-5, reverse=True), "-5 reverse"),
        (FILE_WEIGHT, Weight(value=0), "0"),
        (USER, ScriptUser(name="u", group="g"), "u g"),
        (PROCESS, ("a", "b"), "a b"),
        (PARAM_MATCH, "exact", ""),
        (PARAM_MATCH, "partial", "partial"),
        (INIT_FILE, InitFile(value=-4, overwrite=True), "-4 overwrite"),
    ],
)
def test_what_a_form_writes_it_reads(form: Form, value: object, text: str) -> None:
    assert " ".join(form.write(value)) == text
    assert read(form, text) == value


def test_vrrp_learns_of_a_script_how_long_its_first_result_may_take_and_no_more() -> None:
    result = load(
        "vrrp_script a {\n script /bin/a\n interval 2\n timeout 3\n}\n"
        "vrrp_script b {\n script /bin/b\n}\n"
        "vrrp_instance V {\n interface lo\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n"
        " track_script {\n a\n }\n}\n"
    )
    wanted = slices(result.config)["vrrp"]
    assert isinstance(wanted, VrrpSlice)
    assert wanted.script_runs_s == {"a": 5.0}
