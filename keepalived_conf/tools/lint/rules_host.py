"""Rules that need the machine: programs, modes of files, interfaces, the cloud it runs in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepalived_conf.diagnostics import Severity
from keepalived_conf.model import Place
from keepalived_conf.tools.lint.finding import FileFacts, Finding, Host
from keepalived_conf.tools.lint.rules_text import SECRETS
from keepalived_conf.tools.lint.view import Instance, View, last, lines, text, walk

READ_BY_OTHERS = 0o004
WRITTEN_BY_OTHERS = 0o002
WRITTEN_BY_OWNER = 0o200
WRITTEN_BY_GROUP = 0o020
EXECUTABLE = 0o111

_USERS = frozenset({"script_user", "user"})
"""Keywords that name who runs scripts."""


_INSTALLED = ("/etc/", "/run/", "/usr/local/etc/")
_EVERYWHERE = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/")


def at_home(view: View, host: Host) -> bool:
    """Whether this is a machine the configuration is for.

    A configuration is often checked on the desk where it is written; what that desk lacks is no mistake.
    It is at home where it is installed, where one of its own scripts is, and where one of its interfaces
    has an address that fits.
    """
    if host.real(view.file).startswith(_INSTALLED):
        return True
    for one in view.programs:
        path = one.words[0]
        if path.startswith("/") and not path.startswith(_EVERYWHERE) and host.file(path) is not None:
            return True
    there = host.interfaces()
    for router in view.instances:
        model = router.model
        near = [address.network for address in there.get(model.interface, ())]
        known = [address.interface.ip for address in model.virtual_addresses]
        known.extend(peer.address for peer in model.unicast_peers)
        if any(ip in net for ip in known for net in near):
            return True
    return False


# --- programs -------------------------------------------------------------------------------------


def programs(view: View, host: Host) -> Iterator[Finding]:
    """A check that cannot run, or that others can change (users-ask 15, section 2: scripts of root)."""
    if not at_home(view, host):
        return
    for one in view.programs:
        name = one.words[0]
        if name.startswith("<"):
            continue
        path = name if "/" in name else host.program(name)
        if path is not None and not path.startswith("/"):
            continue  # lint-script-relative has it
        facts = host.file(path) if path is not None else None
        code, message, hint = _program(name, path, facts)
        if code:
            yield Finding(
                code=code,
                place=one.place,
                width=one.width,
                message=f"{one.role}: {message}",
                hint=hint,
            )


def _program(name: str, path: str | None, facts: FileFacts | None) -> tuple[str, str, str]:
    """Code, message, hint; an empty code: nothing to say."""
    if path is None:
        return (
            "lint-script-missing",
            f"there is no program {name} on this machine",
            f"install the package that brings {name}, or write another check",
        )
    if facts is None:
        return (
            "lint-script-missing",
            f"there is no file {path} on this machine",
            "mend the path, or install the script",
        )
    if not facts.regular:
        return "lint-script-not-executable", f"{path} is not a file", "name the program itself"
    if not facts.mode & EXECUTABLE:
        return "lint-script-not-executable", f"{path} is not executable: it is never run", f"chmod +x {path}"
    if _writable(facts):
        return (
            "lint-script-writable",
            f"{path} can be changed by others than root, and it is run by the daemon",
            f"chown root:root {path} && chmod go-w {path}",
        )
    if facts.weak_path:
        return (
            "lint-script-writable",
            f"{path} can be replaced by others than root: {facts.weak_path} is not root's alone",
            f"chown root:root {facts.weak_path} && chmod go-w {facts.weak_path}",
        )
    return "", "", ""


def _writable(facts: FileFacts) -> bool:
    by_group = bool(facts.mode & WRITTEN_BY_GROUP) and facts.gid != 0
    return bool(facts.mode & WRITTEN_BY_OTHERS) or by_group


def users(view: View, host: Host) -> Iterator[Finding]:
    """A script whose user does not exist here is not run (users-ask section 2: scripts of root)."""
    if not at_home(view, host):
        return
    for line in (one for top in view.statements for one in walk((top,)) if one.name in _USERS):
        name = text(line)
        if name and not host.user(name):
            yield Finding(
                code="lint-no-such-user",
                place=line.place_of(1),
                width=len(name),
                message=f"{line.name}: there is no user {name} on this machine; the scripts are not run",
                hint=f"useradd --system --shell /usr/sbin/nologin {name}, or name another user",
            )
    for one in view.programs:
        user = one.script.user
        if user is not None and not host.user(user):
            yield Finding(
                code="lint-no-such-user",
                place=one.place,
                width=one.width,
                message=f"{one.role}: there is no user {user} on this machine; it is not run",
                hint=f"useradd --system --shell /usr/sbin/nologin {user}, or name another user",
            )


# --- files ----------------------------------------------------------------------------------------


def files(view: View, host: Host, sources: Iterable[str]) -> Iterator[Finding]:
    """Passwords that anyone can read, commands of root that others can write (nodeadm#45)."""
    secrets: dict[str, Place] = {}
    home = at_home(view, host)  # elsewhere it is a draft: worth a note, no more
    for one in walk(view.nodes):
        if one.name in SECRETS and len(one.words) > 1 and not _elsewhere(text(one, len(one.words) - 1)):
            secrets.setdefault(one.file, one.place)
    for name in sources:
        facts = host.file(name)
        if facts is None or not (home or facts.mode & WRITTEN_BY_OWNER):
            continue  # a copy that is kept and not worked on
        severity = Severity.WARNING if home else Severity.NOTE
        place = secrets.get(name)
        if place is not None and facts.mode & READ_BY_OTHERS:
            yield Finding(
                code="lint-secrets-readable",
                severity=severity,
                place=place,
                secret=True,
                message=f"every user of this machine can read {name} (mode {facts.mode:04o}), "
                "and it holds a password",
                hint=f"chmod 0640 {name}",
            )
        if _writable(facts):
            yield Finding(
                code="lint-config-writable",
                severity=severity,
                place=Place(file=name, line=1, column=1),
                message=f"others than root can write {name} (mode {facts.mode:04o}), "
                "and what it names is run by root",
                hint=f"chown root:root {name} && chmod go-w {name}",
            )


def _elsewhere(word: str) -> bool:
    """The secret itself is in another file: ``file:/path`` of auth_hmac."""
    return word.startswith("file:")


def key_files(view: View, host: Host) -> Iterator[Finding]:
    """A key of auth_hmac in a file that others can read: keepalived refuses it at start."""
    for one in walk(view.nodes):
        path = text(one, len(one.words) - 1).removeprefix("file:") if one.name == "key" else ""
        if not path.startswith("/"):
            continue
        facts = host.file(path)
        if facts is not None and facts.mode & 0o077:
            yield Finding(
                code="lint-secrets-readable",
                place=one.place,
                secret=True,
                message=f"others than its owner can use the key file {path} (mode {facts.mode:04o})",
                hint=f"chmod 0600 {path}",
            )


# --- network --------------------------------------------------------------------------------------


def network(view: View, host: Host) -> Iterator[Finding]:
    """Addresses that are not those of this machine or of its subnets (BRC#213; KA#1367)."""
    there = host.interfaces()
    if not there or not at_home(view, host):
        return
    dynamic = "dynamic_interfaces" in view.globals
    own = {address.ip for addresses in there.values() for address in addresses}
    for one in view.instances:
        name = one.model.interface
        if name and name not in there and not dynamic:
            yield _at(
                one,
                "interface",
                "lint-no-such-interface",
                f"there is no interface {name} on this machine; it has {_some(there)}",
                "mend the name, or write dynamic_interfaces in global_defs if it comes later",
            )
            continue
        source = one.model.source_address
        if source is not None and source not in own:
            keyword = "unicast_src_ip" if "unicast_src_ip" in one.model.places else "mcast_src_ip"
            yield _at(
                one,
                keyword,
                "lint-source-not-here",
                f"{source} is no address of this machine: adverts cannot be sent from it",
                "write the address of this node (the file of another node was copied?)",
            )
        yield from _peers(one, {address for address in own if address != source})
        yield from _off_subnet(one, host)


def _peers(one: Instance, own: set[object]) -> Iterator[Finding]:
    held = {address.interface.ip for address in one.model.virtual_addresses}
    listed = {str(p.address) for p in one.model.unicast_peers if p.address in own and p.address not in held}
    for line in lines(one.statement, "unicast_peer"):
        if line.words[0].text in listed:
            yield Finding(
                code="lint-peer-is-self",
                place=line.place,
                width=len(line.words[0].text),
                message=f"({one.name}) the peer {line.words[0].text} is this machine itself",
                hint="list the other nodes only",
            )


def _off_subnet(one: Instance, host: Host) -> Iterator[Finding]:
    there = host.interfaces()
    for address in one.model.virtual_addresses:
        net = address.interface.network
        near = there.get(address.dev, ())
        same = [other for other in near if other.version == net.version and other.ip != address.interface.ip]
        if not same or net.prefixlen < net.max_prefixlen or address.interface.ip.is_link_local:
            continue  # an address with a subnet of its own brings the route with it
        if any(address.interface.ip in other.network for other in same):
            continue
        yield Finding(
            code="lint-vip-off-subnet",
            place=address.places.get(""),
            width=len(str(address.interface.ip)),
            message=f"({one.name}) {address.interface.ip} is in no subnet of {address.dev} "
            f"({', '.join(str(other) for other in same)}): its neighbours have no way to it",
            hint="take an address of the subnet, or write its own: ADDRESS/PREFIX; "
            "right as it is where routers are told of it",
        )


def vmac_settings(view: View, host: Host) -> Iterator[Finding]:
    """A virtual MAC needs settings of its interface, and a container often may not write them
    (users-ask 35)."""
    if not at_home(view, host):
        return
    for one in view.instances:
        line = last(one.statement, "use_vmac")
        family = "ipv4" if one.model.family == 4 else "ipv6"
        path = f"/proc/sys/net/{family}/conf/all"
        if line is not None and not host.writable(f"{path}/forwarding"):
            yield _at(
                one,
                "use_vmac",
                "lint-vmac-settings",
                f"use_vmac needs to write settings below {path}, and they are read-only here",
                "mount /proc/sys writable (a container: --privileged, or systempaths=unconfined)",
            )


def multicast_in_cloud(view: View, host: Host) -> Iterator[Finding]:
    """Clouds carry no multicast: every node hears nobody and becomes master (users-ask 25; KA#97)."""
    cloud = host.cloud()
    for one in view.instances:
        if cloud and not one.model.unicast_peers and at_home(view, host):
            yield _at(
                one,
                "interface",
                "lint-multicast-in-cloud",
                f"this machine runs in {cloud}, whose networks carry no multicast: every node "
                "would be master",
                "write unicast_src_ip and unicast_peer { ... }",
            )


def _at(one: Instance, keyword: str, code: str, message: str, hint: str) -> Finding:
    return Finding(
        code=code,
        place=one.at(keyword),
        width=one.width(keyword),
        message=f"({one.name}) {message}",
        hint=hint,
    )


def _some(names: Iterable[str]) -> str:
    found = [name for name in sorted(names) if name != "lo"]
    return ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")


RULES = (programs, users, key_files, network, vmac_settings, multicast_in_cloud)
"""Rules that need the configuration and the machine; ``files`` also needs the names of the files."""
