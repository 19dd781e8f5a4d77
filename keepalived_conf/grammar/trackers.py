"""Grammar tables of vrrp_script, vrrp_track_process and track_file."""

from __future__ import annotations

import dataclasses

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.common import COMMAND, NAME
from keepalived_conf.grammar.schema import (
    INT32_MAX,
    Block,
    Keyword,
    block_of,
    flag_row,
    in_effect,
    integer_row,
    opens,
    seconds_row,
)
from keepalived_conf.grammar.track_forms import (
    FILE,
    FILE_WEIGHT,
    INIT_FILE,
    PARAM_MATCH,
    PROCESS,
    PROCESS_WEIGHT,
    SCRIPT_WEIGHT,
    USER,
)
from keepalived_conf.grammar.track_rows import form_row, later
from keepalived_conf.model import TrackFile, TrackProcess, VrrpScript

SCRIPT_SECONDS_MAX = 4294
QUORUM_MAX = 65535
DELAY_MAX_S = 3600


def _all_in_effect(*rows: Keyword) -> tuple[Keyword, ...]:
    return tuple(map(in_effect, rows))


def _script_seconds(name: str, help_: str, *, default: str, since: str) -> Keyword:
    row = seconds_row(name, 0.001, SCRIPT_SECONDS_MAX, help_, worker="script", default=default, decimals=3)
    return later(dataclasses.replace(row, raised_to=1), since=since)


VRRP_SCRIPT = block_of(
    "vrrp_script",
    _all_in_effect(
        form_row(
            "script",
            COMMAND,
            "Program to run; status 0 is good",
            worker="script",
            since="1.1.13",
            default="required",
        ),
        _script_seconds("interval", "Time between two runs", default="1", since="1.1.13"),
        _script_seconds(
            "timeout", "How long a run may take until it counts as bad", default="interval", since="1.2.6"
        ),
        form_row(
            "weight",
            SCRIPT_WEIGHT,
            "What the priority is changed by; 0: fault while it is bad",
            worker="script",
            since="1.1.13",
            default="0",
        ),
        later(
            integer_row(
                "rise",
                1,
                INT32_MAX,
                "Good runs in a row that make it good",
                worker="script",
                default="1",
                unit="runs",
            ),
            since="1.1.18",
        ),
        later(
            integer_row(
                "fall",
                1,
                INT32_MAX,
                "Bad runs in a row that make it bad",
                worker="script",
                default="1",
                unit="runs",
            ),
            since="1.1.18",
        ),
        form_row("user", USER, "Who runs it", worker="script", since="1.3.0", default="script_user"),
        later(
            flag_row("init_fail", "Counts as bad until it has run", worker="script"),
            since="1.3.2",
        ),
    ),
    model=VrrpScript,
    head=NAME,
)


def _delay(name: str, help_: str, since: str = "") -> Keyword:
    row = seconds_row(name, 0.000001, DELAY_MAX_S, help_, worker="script", default="0")
    return later(row, since=since)


VRRP_TRACK_PROCESS = block_of(
    "vrrp_track_process",
    _all_in_effect(
        form_row(
            "process",
            PROCESS,
            "Process to count; with parameters it must have exactly these",
            worker="script",
            since="2.0.11",
            default="required",
            again="ignored",
        ),
        form_row(
            "param_match",
            PARAM_MATCH,
            "Parameters must be exactly these, begin with these, or begin like these",
            worker="script",
            default="exactly these if process has parameters",
            optional=True,
        ),
        form_row(
            "weight",
            PROCESS_WEIGHT,
            "What the priority is changed by; 0: fault while the count is bad",
            worker="script",
            since="2.0.11",
            default="0",
            stops_when_bare=False,
        ),
        later(
            integer_row(
                "quorum",
                1,
                QUORUM_MAX,
                "Good from this many processes on",
                worker="script",
                default="1",
                unit="processes",
            ),
            since="2.0.11",
        ),
        later(
            integer_row(
                "quorum_max",
                0,
                QUORUM_MAX,
                "Good up to this many processes; 0: there must be none",
                worker="script",
                default="unlimited",
                unit="processes",
            ),
            since="2.0.16",
        ),
        _delay("delay", "Sets fork_delay and terminate_delay", "2.0.11"),
        _delay("terminate_delay", "How long too few processes are put up with"),
        _delay("fork_delay", "How long there must be enough processes"),
        later(flag_row("full_command", "Compare with the whole command line", worker="script")),
    ),
    model=TrackProcess,
    head=NAME,
)


def _file_rows(since: str) -> tuple[Keyword, ...]:
    return _all_in_effect(
        form_row(
            "file",
            FILE,
            "File that holds one whole number",
            worker="script",
            since=since,
            default="required",
            again="ignored",
            stops_when_bare=False,
        ),
        form_row(
            "weight",
            FILE_WEIGHT,
            "What the number is multiplied with; 0: fault while it is not 0",
            worker="script",
            since=since,
            default="1",
            stops_when_bare=False,
        ),
        form_row(
            "init_file",
            INIT_FILE,
            "Make the file at start, or write it anew",
            worker="script",
            default="off; 0",
            optional=True,
        ),
    )


TRACK_FILE = block_of("track_file", _file_rows("2.0.0"), model=TrackFile, head=NAME)
VRRP_TRACK_FILE = block_of("vrrp_track_file", _file_rows("2.0.0"), model=TrackFile, head=NAME)


def _root(name: str, block: Block, help_: str, *, field: str, since: str) -> Keyword:
    return dataclasses.replace(opens(name, block, help_, worker="script"), since=since, field=field)


_TRACK_FILE_ROW = _root("track_file", TRACK_FILE, "A number in a file", field="track_files", since="2.1.0")

ROOT_ROWS: tuple[Keyword, ...] = (
    _root(
        "vrrp_script",
        VRRP_SCRIPT,
        "A program that says whether all is well",
        field="vrrp_scripts",
        since="1.1.13",
    ),
    _root(
        "vrrp_track_process",
        VRRP_TRACK_PROCESS,
        "Processes that must run, or must not",
        field="track_processes",
        since="2.0.11",
    ),
    _TRACK_FILE_ROW,
    dataclasses.replace(
        _TRACK_FILE_ROW,
        name="vrrp_track_file",
        block=VRRP_TRACK_FILE,
        alias_of="track_file",
        help="Old name of track_file",
        since="2.0.0",
        deprecated="write track_file",
        # keepalived says so in its log only.
        deprecated_class=KeepalivedClass.OK,
    ),
)
"""Rows of the top level that open the blocks of this module."""
