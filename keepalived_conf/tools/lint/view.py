"""The configuration as the rules look at it: instances with their trackers, services, programs to run.

Effective values come from the model. Where a rule points at a word, or asks what is written rather than
what counts, it is the tree that knows; the two are joined by name and by the place of the block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keepalived_conf.grammar.common import COMMAND, SCRIPT
from keepalived_conf.grammar.forms import Args, BadWordError
from keepalived_conf.model import Config, Place, Script, SyncGroup, TrackRef, VirtualServer, VrrpInstance
from keepalived_conf.syntax.parser import Node, Statement

KINDS = ("interface", "script", "file", "process", "bfd")
"""Of trackers, as in track_KIND."""
OWNER_PRIORITY = 255

_NOTIFY = re.compile(r"(?:notify(?:_(?!priority_changes|fifo$)\w+)?|(?:vrrp_|lvs_)?notify_fifo_script)$")
_PROGRAM_KEYWORDS = frozenset({"misc_path", "quorum_up", "quorum_down", "startup_script", "shutdown_script"})
_TRUE = frozenset({"", "true", "on", "yes"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program that the configuration has run."""

    script: Script
    bare: tuple[bool, ...]
    """Of each word of the command: it stood outside inner quotes."""
    role: str
    """Whose it is, for messages."""
    keyword: str
    place: Place
    width: int
    written: str
    """Source text of the command and what follows it."""

    @property
    def words(self) -> tuple[str, ...]:
        """Program and arguments, never empty."""
        return self.script.command


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

    def change(self, *, good: bool) -> int:
        """What it adds to the priority (defaults-behaviour: trackers; files count from their number)."""
        up = self.weight > 0
        sign = -1 if self.reverse else 1
        return sign * self.weight if good == up else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    model: SyncGroup
    trackers: tuple[Tracker, ...]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def members(self) -> tuple[str, ...]:
        return self.model.members


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """A virtual router with the block it was read from."""

    model: VrrpInstance
    statement: Statement
    trackers: tuple[Tracker, ...]
    """Those of its own that are followed: an owner and a member of a group lose their weights."""
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
        """All that it follows, those of its group included (they go before its own of the same name)."""
        if self.group is None or self.owner:
            return self.trackers
        unweighted = {(one.kind, one.name) for one in self.trackers if not one.weight}
        common = [one for one in self.group.trackers if (one.kind, one.name) not in unweighted]
        names = {(one.kind, one.name) for one in common}
        return (*common, *(one for one in self.trackers if (one.kind, one.name) not in names))


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
    config: Config
    file: str
    """The main file, as it was named."""
    instances: tuple[Instance, ...]
    groups: tuple[Group, ...]
    services: tuple[Service, ...]
    programs: tuple[Program, ...]
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


def _bare(command: str) -> Iterator[bool]:
    """Of each word of a command: whether it stands outside quotes."""
    for match in _TOKEN.finditer(command):
        yield "'" not in match[0] and '"' not in match[0]


def view_of(nodes: tuple[Node, ...], config: Config, file: str) -> View:
    top = tuple(node for node in nodes if isinstance(node, Statement) and node.words)
    globals_: dict[str, Statement] = {}
    blocks: dict[tuple[str, str], Statement] = {}
    for one in top:
        if one.name == "global_defs":
            globals_.update((line.name, line) for line in one.statements() if line.words)
        blocks.setdefault((one.name, text(one)), one)
    groups = tuple(
        Group(model=model, trackers=tuple(_trackers(blocks["vrrp_sync_group", model.name], model)))
        for model in config.sync_groups
    )
    group_of = {member: group for group in groups for member in group.members}
    return View(
        config=config,
        file=file,
        instances=tuple(
            Instance(
                model=model,
                statement=blocks["vrrp_instance", model.name],
                trackers=tuple(_trackers(blocks["vrrp_instance", model.name], model)),
                group=group_of.get(model.name),
            )
            for model in config.vrrp_instances
        ),
        groups=groups,
        services=tuple(_services(config.virtual_servers, top)),
        programs=tuple(_programs(top)),
        globals=globals_,
        statements=top,
        nodes=nodes,
    )


def _trackers(statement: Statement, model: VrrpInstance | SyncGroup) -> Iterator[Tracker]:
    for kind in KINDS:
        refs: tuple[TrackRef, ...] = getattr(model, f"track_{kind}")
        places = {line.words[0].text: line.place for line in lines(statement, f"track_{kind}")}
        for ref in refs:
            yield Tracker(
                kind=kind,
                name=ref.name,
                weight=ref.weight or 0,
                reverse=bool(ref.reverse),
                place=places.get(ref.name, statement.place),
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
            form = COMMAND if check or keyword == "misc_path" else SCRIPT
            try:
                script = form.read(Args(words=statement.words, first=1, raw=statement.raw))
            except BadWordError:
                continue  # the loader says why
            first = statement.words[1]
            whole = first.text if first.quoted else " ".join(word.text for word in statement.words[1:])
            bare = tuple(_bare(whole))
            size = len(script.command)
            yield Program(
                script=script,
                bare=bare[:size] if len(bare) >= size else (False,) * size,
                role=label if check else f"{keyword} of {label}",
                keyword=keyword,
                place=statement.place_of(1),
                width=len(first.text) + 2 * first.quoted,
                written=statement.raw[len(keyword) :].lstrip(),
            )
