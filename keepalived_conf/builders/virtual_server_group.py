"""virtual_server_group blocks -> VirtualServerGroup."""

from __future__ import annotations

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import GroupAddresses, GroupMark, VirtualServerGroup
from keepalived_conf.syntax.parser import Statement


def build_virtual_server_groups(reader: Reader, root: Read) -> dict[str, VirtualServerGroup]:
    """Name -> group, of all that can be used. Their lines were read with the top level."""
    entries = {
        id(line): entry
        for line, entry in zip(
            root.lines.get("virtual_server_group", ()),
            root.get("virtual_server_group", ()),
            strict=True,
        )
    }
    found: dict[str, VirtualServerGroup] = {}
    for statement in root.statements.get("virtual_server_group", ()):
        if len(statement.words) < 2:
            reader.missing_word(statement, "write: virtual_server_group NAME {")
            continue
        group = VirtualServerGroup(
            name=statement.words[1].text,
            entries=tuple(entries[id(line)] for line in statement.statements() if id(line) in entries),
            places={"": statement.place},
        )
        if not _usable(reader, statement, group):
            continue
        if group.name in found:
            reader.diagnostics.warning(
                statement.place_of(1),
                "duplicate-group",
                f"virtual_server_group {group.name} is defined at {found[group.name].places['']} already; "
                "this one is ignored",
                hint="give it another name",
                width=len(statement.words[1].text),
            )
            continue
        found[group.name] = group
    return found


def _usable(reader: Reader, statement: Statement, group: VirtualServerGroup) -> bool:
    if not group.entries:
        reader.diagnostics.error(
            statement.end_place,
            "empty-group",
            f"virtual_server_group {group.name} has no entries and is ignored",
            hint="write lines of ADDRESS PORT, or fwmark MARK",
        )
        return False
    if families(group) == {4, 6} and any(mark.family is None for mark in group.marks):
        reader.diagnostics.error(
            statement.end_place,
            "mixed-families",
            f"virtual_server_group {group.name} has IPv4, IPv6 and a mark without a family; it is ignored",
            hint="write inet or inet6 behind each mark",
        )
        return False
    return True


def families(group: VirtualServerGroup) -> set[int]:
    """Families that its lines name."""
    found: set[int] = set()
    for entry in group.entries:
        if isinstance(entry, GroupAddresses):
            found.add(entry.first.version)
        elif isinstance(entry, GroupMark) and entry.family is not None:
            found.add(entry.family)
    return found
