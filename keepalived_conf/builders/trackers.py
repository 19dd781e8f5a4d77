"""vrrp_script, vrrp_track_process, track_file -> model; and which of them a line may name.

Sources: keepalived.conf(5); order and judgement as keepalived 2.4.3: what is tracked must be defined above.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.builders.lines import lines_of, value_of
from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.grammar.schema import Block, Keyword
from keepalived_conf.grammar.trackers import QUORUM_MAX
from keepalived_conf.model import BfdInstance, TrackFile, TrackProcess, VrrpScript, Weight
from keepalived_conf.syntax.parser import Statement

Kind = str
"""What a tracker is: script, process, file, bfd; as in track_KIND."""


@dataclass(frozen=True, slots=True)
class Defined:
    """A tracker that may be named."""

    order: int
    """Of its block among the blocks of the top level."""
    weight: Weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Trackers:
    vrrp_scripts: tuple[VrrpScript, ...] = ()
    track_processes: tuple[TrackProcess, ...] = ()
    track_files: tuple[TrackFile, ...] = ()
    defined: dict[tuple[Kind, str], Defined] = field(default_factory=dict)
    """(kind, name) -> the first one of that name."""


def build_trackers(reader: Reader, root: Read, bfd_instances: tuple[BfdInstance, ...]) -> Trackers:
    """From the blocks of the top level, in file order."""
    scripts: list[VrrpScript] = []
    processes: list[TrackProcess] = []
    files: list[TrackFile] = []
    defined: dict[tuple[Kind, str], Defined] = {}
    weights = {one.name: one.weight for one in bfd_instances if one.vrrp}

    def define(kind: Kind, order: int, name: str, weight: Weight) -> None:
        defined.setdefault((kind, name), Defined(order, weight))

    for order, (keyword, statement) in enumerate(root.blocks):
        block = keyword.block
        assert block is not None
        match keyword.key:
            case "vrrp_script":
                script = _script(reader, keyword, statement, block)
                if script is not None and _first(reader, defined, "script", script.name, statement):
                    scripts.append(script)
                    define("script", order, script.name, script.weight)
            case "vrrp_track_process":
                process = _process(reader, keyword, statement, block)
                if process is not None and _first(reader, defined, "process", process.name, statement):
                    processes.append(process)
                    define("process", order, process.name, process.weight)
            case "track_file":
                file = _file(reader, keyword, statement, block)
                if file is not None and _first(reader, defined, "file", file.name, statement):
                    files.append(file)
                    define("file", order, file.name, file.weight)
            case "bfd_instance" if len(statement.words) > 1 and statement.words[1].text in weights:
                name = statement.words[1].text
                define("bfd", order, name, weights[name])
    return Trackers(
        vrrp_scripts=tuple(scripts),
        track_processes=tuple(processes),
        track_files=tuple(files),
        defined=defined,
    )


def _named(reader: Reader, keyword: Keyword, statement: Statement) -> str | None:
    """The name before the brace; without one keepalived stops with status 2."""
    if len(statement.words) < 2:
        reader.missing_word(statement, f"write: {keyword.name} NAME {{")
        return None
    return statement.words[1].text


def _first(
    reader: Reader, defined: dict[tuple[Kind, str], Defined], kind: Kind, name: str, statement: Statement
) -> bool:
    """Whether nothing of that name stands above: what tracks it finds the first one only."""
    if (kind, name) not in defined:
        return True
    reader.diagnostics.warning(
        statement.place_of(1),
        "duplicate-name",
        f"{statement.name} {name} is defined above already; this block is ignored",
        hint="give it another name",
        width=len(name),
    )
    return False


def _without(reader: Reader, statement: Statement, code: str, message: str, hint: str) -> None:
    """A block that lacks what it needs: keepalived says so at its closing brace."""
    reader.diagnostics.error(statement.end_place, code, f"{message}; the block is ignored", hint=hint)


def _script(reader: Reader, keyword: Keyword, statement: Statement, block: Block) -> VrrpScript | None:
    name = _named(reader, keyword, statement)
    read = reader.block(statement, block)
    if name is None:
        return None
    if not read.has("script"):
        _without(
            reader,
            statement,
            "no-script",
            f"vrrp_script {name} has no script",
            "write script and a program with its arguments",
        )
        return None
    return reader.model(
        read,
        block,
        VrrpScript,
        name=name,
        timeout_s=read.get("timeout", read.get("interval", 1.0)),
    )


def _process(reader: Reader, keyword: Keyword, statement: Statement, block: Block) -> TrackProcess | None:
    name = _named(reader, keyword, statement)
    read = reader.block(statement, block)
    if name is None:
        return None
    words: tuple[str, ...] | None = read.get("process")
    if words is None:
        _without(
            reader,
            statement,
            "no-process",
            f"vrrp_track_process {name} has no process",
            "write process and its path or name",
        )
        return None
    quorum, quorum_max = _quorum(reader, statement, block)
    terminate_s, fork_s = _delays(statement, block)
    has_parameters = len(words) > 1
    return reader.model(
        read,
        block,
        TrackProcess,
        name=name,
        weight=_weight(reader, statement, block, Weight(value=0)),
        param_match=read.get("param_match", "exact" if has_parameters else None),
        full_command=has_parameters or read.has("full_command") or read.has("param_match"),
        quorum=quorum,
        quorum_max=quorum_max,
        terminate_delay_s=terminate_s,
        fork_delay_s=fork_s,
    )


def _quorum(reader: Reader, statement: Statement, block: Block) -> tuple[int, int | None]:
    """Each line is judged by what stands above it: a quorum above quorum_max is ignored, and vice versa."""
    quorum, quorum_max = 1, QUORUM_MAX + 1
    for line in lines_of(statement, "quorum", "quorum_max"):
        number = value_of(line, block)
        if number is None:
            continue
        if line.name == "quorum":
            if number > quorum_max:
                _refuse(reader, line, f"quorum {number} is above quorum_max {quorum_max}")
            else:
                quorum = number
        elif (number or quorum > 1) and number < quorum:
            _refuse(reader, line, f"quorum_max {number} is below quorum {quorum}")
        else:
            quorum_max = number
            quorum = (quorum or 1) if number else 0
    return quorum, None if quorum_max > QUORUM_MAX else quorum_max


def _weight(reader: Reader, statement: Statement, block: Block, default: Weight) -> Weight:
    """The first weight that is not the default counts; keepalived complains of what follows it."""
    weight = default
    for line in lines_of(statement, "weight"):
        found: Weight | None = value_of(line, block)
        if weight.value != default.value:
            reader.diagnostics.error(
                line.place,
                "written-twice",
                f"weight is {weight.value} already; this line is ignored",
                hint="remove one of the lines",
                width=len("weight"),
            )
        elif found is not None:
            weight = Weight(value=found.value, reverse=weight.reverse or found.reverse)
    return weight


def _delays(statement: Statement, block: Block) -> tuple[float, float]:
    """(terminate_delay, fork_delay): delay sets both, and the later line counts."""
    terminate_s = fork_s = 0.0
    for line in lines_of(statement, "delay", "terminate_delay", "fork_delay"):
        seconds = value_of(line, block)
        if seconds is None:
            continue
        if line.name != "fork_delay":
            terminate_s = seconds
        if line.name != "terminate_delay":
            fork_s = seconds
    return terminate_s, fork_s


def _refuse(reader: Reader, line: Statement, message: str) -> None:
    reader.diagnostics.error(
        line.place_of(1),
        "contradiction",
        f"{message}; the line is ignored",
        hint="quorum must not be above quorum_max",
        width=len(line.words[1].text),
    )


def _file(reader: Reader, keyword: Keyword, statement: Statement, block: Block) -> TrackFile | None:
    name = _named(reader, keyword, statement)
    read = reader.block(statement, block)
    if name is None:
        return None
    if not read.has("file"):
        _without(
            reader,
            statement,
            "no-file-name",
            f"{keyword.name} {name} has no file",
            "write file and its path",
        )
        return None
    weight = _weight(reader, statement, block, Weight(value=1))
    return reader.model(read, block, TrackFile, name=name, weight=weight)
