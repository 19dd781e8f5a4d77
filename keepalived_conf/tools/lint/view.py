"""The configuration as the rules look at it: instances with their trackers, services, programs to run.

Effective values come from the model. Where a rule points at a word (which line of which block, in the
order of the file), it is the tree that knows; the two are joined by name and by the place of the block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keepalived_conf.model import Place, VirtualServer, VrrpInstance
from keepalived_conf.syntax.parser import Node, Statement

TRACK_BLOCKS = {
    "track_interface": "interface",
    "track_script": "script",
    "track_file": "file",
    "track_process": "process",
    "track_bfd": "bfd",
}
OWNER_PRIORITY = 255

_NOTIFY = re.compile(r"(?:notify(?:_(?!priority_changes|fifo$)\w+)?|(?:vrrp_|lvs_)?notify_fifo_script)$")
_PROGRAM_KEYWORDS = frozenset({"misc_path", "quorum_up", "quorum_down", "startup_script", "shutdown_script"})
_TRUE = frozenset({"", "true", "on", "yes"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program that the configuration has run."""

    words: tuple[str, ...]
    """Program and arguments, quotes taken off; never empty."""
    bare: tuple[bool, ...]
    """Of each word: it stood outside inner quotes."""
    role: str
    """Whose it is, for messages."""
    keyword: str
    place: Place
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracker:
    """Something an instance follows."""

    kind: str
    """interface, script, file, process or bfd."""
    name: str
    weight: int
    """0: fault while it is bad (while it is good, if ``reverse``)."""
    reverse: bool
    place: Place
    of_group: bool = False
    """Written in the sync group of the instance."""

    def change(self, *, good: bool) -> int:
        """What it adds to the priority (defaults-behaviour: trackers; files count from their number)."""
        up = self.weight > 0
        sign = -1 if self.reverse else 1
        return sign * self.weight if good == up else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    name: str
    members: tuple[str, ...]
    weights_count: bool
    """sync_group_tracking_weight."""
    trackers: tuple[Tracker, ...]
    place: Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A virtual router with the block it was read from."""

    model: VrrpInstance
    statement: Statement
    strict: bool
    accept: bool
    trackers: tuple[Tracker, ...]
    """Those that are written in it, as they are written."""
    group: Group | None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def owner(self) -> bool:
        return self.model.priority == OWNER_PRIORITY

    def at(self, keyword: str) -> Place:
        return self.model.places.get(keyword) or self.statement.place

    def width(self, keyword: str) -> int:
        return len(keyword) if keyword in self.model.places else len("vrrp_instance")

    @property
    def effective(self) -> tuple[Tracker, ...]:
        """What really moves its priority: weights of members of most sync groups and of owners do not."""
        if self.owner:
            return ()
        own = [
            one
            for one in self.trackers
            if self.group is None or self.group.weights_count or one.kind == "process"
        ]
        return (*own, *(self.group.trackers if self.group else ()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    model: VirtualServer
    statement: Statement
    real_servers: tuple[Statement, ...]

    @property
    def name(self) -> str:
        return f"virtual_server {self.model.key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    instances: tuple[Instance, ...]
    groups: tuple[Group, ...]
    services: tuple[Service, ...]
    programs: tuple[Program, ...]
    tracker_weights: dict[tuple[str, str], Statement]
    """(kind, name) of vrrp_script, vrrp_track_process, track_file -> its block."""
    globals: dict[str, Statement]
    """Keyword of global_defs -> its last line."""
    statements: tuple[Statement, ...]
    """Of the top level."""
    nodes: tuple[Node, ...]


def walk(nodes: Iterator[Node] | tuple[Node, ...] | list[Node]) -> Iterator[Statement]:
    """Every statement, a block before what is in it."""
    for node in nodes:
        if isinstance(node, Statement) and node.words:
            yield node
            yield from walk(node.body or [])


def inner(statement: Statement, keyword: str) -> Iterator[Statement]:
    return (one for one in statement.statements() if one.name == keyword)


def lines(statement: Statement, keyword: str) -> Iterator[Statement]:
    """Lines of all blocks of that name in the block."""
    return (line for block in inner(statement, keyword) for line in block.statements() if line.words)


def last(statement: Statement, keyword: str) -> Statement | None:
    found = list(inner(statement, keyword))
    return found[-1] if found else None


def text(statement: Statement | None, index: int = 1) -> str:
    if statement is None or index >= len(statement.words):
        return ""
    return statement.words[index].text


def flag(statement: Statement | None) -> bool:
    """Of a keyword that may stand alone: it is there and does not say off."""
    return statement is not None and text(statement).lower() in _TRUE


def number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def base_name(path: str) -> str:
    return path.rpartition("/")[2]


_TOKEN = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"\\])+")


def split_command(command: str) -> Iterator[tuple[str, bool]]:
    """Words of a command as keepalived splits it (no shell), and whether each stood outside quotes."""
    for match in _TOKEN.finditer(command):
        word = match[0]
        bare = "'" not in word and '"' not in word
        yield word if bare else re.sub(r"['\"]", "", word), bare


def view_of(config_nodes: tuple[Node, ...], config: Any) -> View:
    top = tuple(node for node in config_nodes if isinstance(node, Statement) and node.words)
    globals_: dict[str, Statement] = {}
    trackers: dict[tuple[str, str], Statement] = {}
    for one in top:
        if one.name == "global_defs":
            globals_.update((line.name, line) for line in one.statements() if line.words)
        kind = {"vrrp_script": "script", "vrrp_track_process": "process"}.get(one.name)
        if one.name in ("track_file", "vrrp_track_file"):
            kind = "file"
        if kind is not None and len(one.words) > 1:
            trackers.setdefault((kind, one.words[1].text), one)
    groups = tuple(_group(one, trackers) for one in top if one.name == "vrrp_sync_group")
    return View(
        instances=tuple(_instances(config.vrrp_instances, top, trackers, groups, globals_)),
        groups=groups,
        services=tuple(_services(config.virtual_servers, top)),
        programs=tuple(_programs(top)),
        tracker_weights=trackers,
        globals=globals_,
        statements=top,
        nodes=config_nodes,
    )


def _instances(
    models: tuple[VrrpInstance, ...],
    top: tuple[Statement, ...],
    trackers: dict[tuple[str, str], Statement],
    groups: tuple[Group, ...],
    globals_: dict[str, Statement],
) -> Iterator[Instance]:
    by_name = {one.name: one for one in models}
    strict_default = flag(globals_.get("vrrp_strict"))
    for statement in top:
        model = by_name.get(text(statement)) if statement.name == "vrrp_instance" else None
        if model is None or model.places.get("") != statement.place:
            continue  # a second block of that name is no instance
        written = last(statement, "strict_mode")
        strict = flag(written) if written is not None else strict_default
        yield Instance(
            model=model,
            statement=statement,
            strict=strict,
            accept=_accept(statement, model, strict=strict),
            trackers=tuple(_trackers(statement, trackers)),
            group=next((group for group in groups if model.name in group.members), None),
        )


def _accept(statement: Statement, model: VrrpInstance, *, strict: bool) -> bool:
    """Whether packets to the addresses are let in (defaults-behaviour: strict mode)."""
    owner = model.priority == OWNER_PRIORITY
    written = [one.name for one in statement.statements() if one.name in ("accept", "no_accept")]
    accept = written[-1] == "accept" if written else owner or not strict
    return accept and not (strict and not owner and model.version == 2)


def _group(statement: Statement, trackers: dict[tuple[str, str], Statement]) -> Group:
    return Group(
        name=text(statement),
        members=tuple(word.text for line in lines(statement, "group") for word in line.words),
        weights_count=flag(last(statement, "sync_group_tracking_weight")),
        trackers=tuple(_trackers(statement, trackers, of_group=True)),
        place=statement.place,
    )


def _trackers(
    statement: Statement, defined: dict[tuple[str, str], Statement], *, of_group: bool = False
) -> Iterator[Tracker]:
    for keyword, kind in TRACK_BLOCKS.items():
        for line in lines(statement, keyword):
            words = [word.text for word in line.words]
            own = defined.get((kind, words[0]))
            if own is None and kind in ("script", "file", "process"):
                continue  # keepalived drops it; the loader says so
            source = last(own, "weight") if own is not None else None
            given = [word.text for word in source.words[1:]] if source is not None else []
            if "weight" in words:
                given = words[words.index("weight") + 1 :]
            value = number(given[0]) if given else None
            yield Tracker(
                kind=kind,
                name=words[0],
                weight=int(value) if value is not None else (1 if kind == "file" else 0),
                reverse="reverse" in given[1:],
                place=line.place,
                of_group=of_group,
            )


def _services(models: tuple[VirtualServer, ...], top: tuple[Statement, ...]) -> Iterator[Service]:
    by_place: dict[Place | None, list[VirtualServer]] = {}
    for one in models:
        by_place.setdefault(one.places.get(""), []).append(one)
    for statement in top:
        found = by_place.get(statement.place, []) if statement.name == "virtual_server" else []
        # A parameter of several lines makes several blocks of one place: the address tells them apart.
        model = next((one for one in found if str(one.address) == text(statement)), None)
        model = model or (found[0] if found else None)
        if model is not None:
            yield Service(
                model=model, statement=statement, real_servers=tuple(inner(statement, "real_server"))
            )


def _programs(top: tuple[Statement, ...]) -> Iterator[Program]:
    for block in top:
        label = " ".join(word.text for word in block.words[:2])
        for statement in walk((block,)):
            keyword = statement.name
            check = keyword == "script" and block.name == "vrrp_script"
            if not (check or keyword in _PROGRAM_KEYWORDS or _NOTIFY.match(keyword)):
                continue
            if statement.body is not None or len(statement.words) < 2:
                continue
            first = statement.words[1]
            whole = first.text
            if check and not first.quoted:
                whole = " ".join(word.text for word in statement.words[1:])
            words = list(split_command(whole))
            if words:
                yield Program(
                    words=tuple(word for word, _ in words),
                    bare=tuple(bare for _, bare in words),
                    role=label if check else f"{keyword} of {label}",
                    keyword=keyword,
                    place=statement.place_of(1),
                    width=len(first.text) + 2 * first.quoted,
                )
