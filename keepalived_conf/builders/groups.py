"""vrrp_sync_group, garp_group, track_group -> model.

A sync group is read before the instances (they ask what it says of their trackers) and completed after
them (it asks which of its members there are).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.builders.trackers import Trackers
from keepalived_conf.builders.tracks import tracks
from keepalived_conf.grammar.groups import GARP_GROUP, TRACK_GROUP, VRRP_SYNC_GROUP
from keepalived_conf.model import GarpGroup, GlobalDefs, Place, SyncGroup, TrackGroup, TrackRef
from keepalived_conf.syntax.parser import Statement

OWNER_PRIORITY = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    sync_groups: tuple[SyncGroup, ...] = ()
    """Members as written, until ``complete_sync_groups``."""
    garp_groups: tuple[GarpGroup, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """What a sync group asks of an instance, as its lines say it."""

    state: str | None
    """None: not written."""
    priority: int | None


def build_groups(reader: Reader, root: Read, trackers: Trackers, globals_: GlobalDefs) -> Groups:
    """From the blocks of the top level, in file order."""
    builder = _Builder(reader, trackers, globals_)
    for order, (keyword, statement) in enumerate(root.blocks):
        match keyword.name:
            case "vrrp_sync_group":
                builder.sync_group(statement, order)
            case "garp_group":
                builder.garp_group(statement)
            case "track_group":
                builder.track_group(statement)
    return Groups(
        sync_groups=tuple(builder.sync_groups),
        garp_groups=tuple(builder.garp_groups),
        track_groups=tuple(builder.track_groups),
    )


class _Builder:
    def __init__(self, reader: Reader, trackers: Trackers, globals_: GlobalDefs) -> None:
        self.reader = reader
        self.diagnostics = reader.diagnostics
        self.trackers = trackers
        self.globals = globals_
        self.sync_groups: list[SyncGroup] = []
        self.garp_groups: list[GarpGroup] = []
        self.track_groups: list[TrackGroup] = []
        self._names: dict[tuple[str, str], Place] = {}
        self._interfaces: dict[str, Place] = {}
        """Of all GARP groups."""

    def _name(self, statement: Statement) -> str | None:
        """The one word before the brace; None after a complaint."""
        if len(statement.words) != 2:
            self.diagnostics.error(
                statement.place,
                "no-name",
                f"{statement.name} needs one name; the block is ignored",
                hint=f"write: {statement.name} NAME {{",
                width=len(statement.name),
            )
            return None
        name = statement.words[1].text
        first = self._names.get((statement.name, name))
        if first is not None:
            self.diagnostics.error(
                statement.place_of(1),
                "duplicate-name",
                f"{statement.name} {name} is already defined at {first}; this block is ignored",
                hint="give it another name",
                width=len(name),
            )
            return None
        self._names[statement.name, name] = statement.place_of(1)
        return name

    def _members(self, read: Read, statement: Statement, name: str) -> tuple[str, ...]:
        """Names of the first group { } block; what a further one lists does not count."""
        blocks = [line for line in statement.statements() if line.words and line.name == "group"]
        filled: Statement | None = None
        for block in blocks:
            if filled is not None:
                self.diagnostics.error(
                    block.place,
                    "written-twice",
                    f"{statement.name} {name} has its members already; this group block is ignored",
                    hint="list all members in one block",
                    width=len("group"),
                )
            elif any(line.words for line in block.statements()):
                filled = block
            else:
                self.diagnostics.error(
                    block.end_place,
                    "empty-group",
                    f"{statement.name} {name} has an empty group block",
                    hint="write the names of instances in it",
                )
        found: list[str] = []
        for line in () if filled is None else filled.statements():
            for index, word in enumerate(line.words):
                found.append(word.text)
                read.places.setdefault(f"group {word.text}", line.place_of(index))
        return tuple(found)

    def _nobody(self, statement: Statement, name: str) -> None:
        self.diagnostics.error(
            statement.end_place,
            "no-members",
            f"{statement.name} {name} has no members; it is ignored",
            hint="write: group { NAME... }",
        )

    def sync_group(self, statement: Statement, order: int) -> None:
        name = self._name(statement)
        if name is None:
            return
        read = self.reader.block(statement, VRRP_SYNC_GROUP)
        members = self._members(read, statement, name)
        followed = tracks(self.reader, self.trackers, read, name, order)
        if not members:
            self._nobody(statement, name)
            return
        mail = read.get("smtp_alert", self.globals.smtp_alert_vrrp)
        self.sync_groups.append(
            self.reader.model(
                read,
                VRRP_SYNC_GROUP,
                SyncGroup,
                name=name,
                members=members,
                track_interface=followed.track_interface,
                track_script=followed.track_script,
                track_file=followed.track_file,
                track_process=followed.track_process,
                track_bfd=followed.track_bfd,
                smtp_alert=bool(self.globals.smtp_alert if mail is None else mail),
            )
        )

    def track_group(self, statement: Statement) -> None:
        name = self._name(statement)
        if name is None:
            return
        read = self.reader.block(statement, TRACK_GROUP)
        members = self._members(read, statement, name)
        if not members:
            self._nobody(statement, name)
            return
        self.track_groups.append(TrackGroup(name=name, members=members, places=read.places))

    # --- garp_group ----------------------------------------------------------------------------

    def garp_group(self, statement: Statement) -> None:
        read = self.reader.block(statement, GARP_GROUP)
        interfaces: list[str] = []
        for line in statement.statements():
            if line.words and line.name == "interface" and len(line.words) > 1:
                self._interface(line, 1, interfaces)
            elif line.words and line.name == "interfaces":
                entries = [entry for entry in line.statements() if entry.words]
                for entry in entries:
                    for index in range(len(entry.words)):
                        self._interface(entry, index, interfaces)
                if not entries:
                    self.diagnostics.error(
                        line.end_place,
                        "empty-group",
                        "interfaces is empty",
                        hint="write the names of interfaces in it",
                    )
        if read.get("garp_interval") is None and read.get("gna_interval") is None:
            self.diagnostics.error(
                statement.end_place,
                "no-interval",
                "garp_group has neither garp_interval nor gna_interval; it is ignored",
                hint="write garp_interval and a number of seconds",
            )
            for name in interfaces:
                del self._interfaces[name]
            return
        self.garp_groups.append(self.reader.model(read, GARP_GROUP, GarpGroup, interfaces=tuple(interfaces)))

    def _interface(self, line: Statement, index: int, found: list[str]) -> None:
        name = line.words[index].text
        first = self._interfaces.get(name)
        if first is not None:
            self.diagnostics.error(
                line.place_of(index),
                "duplicate-interface",
                f"{name} is in a garp_group already, at {first}; it is ignored here",
                hint="an interface is in one garp_group only",
                width=len(name),
            )
            return
        self._interfaces[name] = line.place_of(index)
        found.append(name)


# --- completion ----------------------------------------------------------------------------------------


def assign_members(
    reader: Reader, groups: tuple[SyncGroup, ...], instances: dict[str, Member]
) -> tuple[SyncGroup, ...]:
    """The groups with the members that exist and are in no group before; without those that have none."""
    taken: dict[str, str] = {}
    kept = []
    for group in groups:

        def complain(
            code: str, message: str, hint: str = "", member: str = "", group: SyncGroup = group
        ) -> None:
            place = group.places.get(f"group {member}") or group.places.get("group") or group.places[""]
            reader.diagnostics.error(place, code, message, hint=hint, width=len(member or "group"))

        members: list[str] = []
        for name in group.members:
            if name not in instances:
                complain(
                    "unknown-member",
                    f"vrrp_sync_group {group.name}: there is no vrrp_instance {name}; it is ignored",
                    "check the name, or take it out",
                    name,
                )
            elif name in taken:
                complain(
                    "member-of-two",
                    f"vrrp_sync_group {group.name}: {name} is in vrrp_sync_group {taken[name]} already; "
                    "it is ignored here",
                    "an instance is in one sync group only",
                    name,
                )
            else:
                taken[name] = group.name
                members.append(name)
        if not members:
            complain(
                "no-members",
                f"vrrp_sync_group {group.name}: none of its members exists; it is ignored",
            )
            continue
        if len(members) == 1:
            complain(
                "single-member",
                f"vrrp_sync_group {group.name} has only one member",
                "list the instances that must change state together",
            )
        _check_owners([instances[name] for name in members], group, complain)
        kept.append(replace(group, members=tuple(members)))
    return tuple(kept)


def _check_owners(members: list[Member], group: SyncGroup, complain: object) -> None:
    assert callable(complain)
    all_owners = False
    for index, member in enumerate(members):
        if all_owners and member.state == "BACKUP":
            complain(
                "mixed-owners",
                f"vrrp_sync_group {group.name}: some members are address owners and some are not",
                "give all of them priority 255, or none",
            )
        owner = member.state == "MASTER" and member.priority == OWNER_PRIORITY
        all_owners = owner and (all_owners or index == 0)


def drop_weights_of_owners(
    reader: Reader, groups: tuple[SyncGroup, ...], owners: frozenset[str]
) -> tuple[SyncGroup, ...]:
    """Trackers of a group with an address owner have no weight: its priority never changes."""
    kept = []
    for group in groups:
        if owners.isdisjoint(group.members):
            kept.append(group)
            continue
        changed: dict[str, tuple[TrackRef, ...]] = {}
        for keyword in ("track_script", "track_file", "track_process", "track_bfd", "track_interface"):
            refs: tuple[TrackRef, ...] = getattr(group, keyword)
            for ref in refs:
                if ref.weight:
                    reader.diagnostics.error(
                        group.places.get(keyword),
                        "weight-of-owner",
                        f"vrrp_sync_group {group.name}: {keyword} {ref.name} has no weight, since a member "
                        "has priority 255",
                        hint=f"write: {ref.name} weight 0",
                        width=len(keyword),
                    )
            changed[keyword] = tuple(replace(ref, weight=0) for ref in refs)
        kept.append(
            replace(
                group,
                track_interface=changed["track_interface"],
                track_script=changed["track_script"],
                track_file=changed["track_file"],
                track_process=changed["track_process"],
                track_bfd=changed["track_bfd"],
            )
        )
    return tuple(kept)
