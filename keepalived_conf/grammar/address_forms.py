"""Lines of virtual_ipaddress, virtual_ipaddress_excluded and static_ipaddress.

What is refused, mended and ignored: as keepalived 2.4.3 (keepalived.conf(5), ip-address(8)). The address
is the first word. A word without its value makes the line unusable; an unknown word is skipped.
"""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.entry_line import UINT32_MAX, EntryLine, prefix_text
from keepalived_conf.grammar.forms import Args, BadWordError, quoted
from keepalived_conf.model import IpInterface, StaticAddress, VirtualAddress
from keepalived_conf.syntax import values
from keepalived_conf.syntax.iproute import Kind
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

LABEL_CHARS_MAX = 15
"""IFNAMSIZ - 1 (linux/if.h)."""

_FLAGS = {
    "home": "home",
    "mngtmpaddr": "mngtmpaddr",
    "noprefixroute": "noprefixroute",
    "autojoin": "autojoin",
    "no_track": "no_track",
    "use_vmac": "use_vmac",
}
_TAKE_A_WORD = ("dev", "scope", "brd", "broadcast", "label", "peer", "preferred_lft", "track_group")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddressForm:
    static: bool = False

    @property
    def takes(self) -> str:
        return (
            "IPADDR[/LEN] [dev IF] [scope SCOPE] [brd IPADDR|+|-] [label LABEL] [peer IPADDR] [home] "
            "[-nodad] [mngtmpaddr] [noprefixroute] [autojoin] [no_track] [preferred_lft SECONDS|forever] "
            + ("[track_group GROUP]" if self.static else "[use_vmac]")
        )

    @property
    def words(self) -> list[str]:
        own, other = ("track_group", "use_vmac") if self.static else ("use_vmac", "track_group")
        return ["-nodad", own, *(word for word in (*_FLAGS, *_TAKE_A_WORD) if word not in (own, other))]

    def read(self, args: Args) -> Any:
        """VirtualAddress or StaticAddress; ``dev`` is empty where none is written."""
        return _Reading(args, self).address()

    def write(self, value: Any) -> list[str]:
        words = [prefix_text(value.interface)]
        if value.dev:
            words += ["dev", value.dev]
        if value.scope:
            words += ["scope", str(value.scope)]
        if value.broadcast is not None:
            words += ["brd", str(value.broadcast)]
        if value.label is not None:
            words += ["label", value.label]
        if value.peer is not None:
            words += ["peer", str(value.peer.ip)]
        words += [word for word, field in _FLAGS.items() if getattr(value, field, False)]
        if not value.no_dad:
            words.append("-nodad")
        host6 = value.interface.version == 6 and value.interface.network.prefixlen == 128
        if value.preferred_lft_s is not None and not (host6 and value.preferred_lft_s == 0):
            words += ["preferred_lft", str(value.preferred_lft_s)]
        elif value.preferred_lft_s is None and host6:
            words += ["preferred_lft", "forever"]
        if self.static and value.track_group is not None:
            words += ["track_group", value.track_group]
        return words

    def json(self, value: Any) -> Any:
        return " ".join(quoted(word) for word in self.write(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.takes}


class _Reading:
    """One line on its way to an address."""

    def __init__(self, args: Args, form: AddressForm) -> None:
        self.line = EntryLine(args)
        self.form = form
        self.found: dict[str, Any] = {"dev": ""}
        self.broadcast = ""
        """As written."""
        self.at: dict[str, int] = {}
        """Sub-keyword -> its index."""

    def address(self) -> VirtualAddress | StaticAddress:
        line = self.line
        self.found["interface"] = line.interface_address()
        line.index += 1
        while line.more:
            self._word(line.word)
            line.index += 1
        self._complete()
        make = StaticAddress if self.form.static else VirtualAddress
        return make(**self.found)

    def _word(self, word: str) -> None:
        line = self.line
        field = _FLAGS.get(word)
        if field is not None and not (word == "use_vmac" and self.form.static):
            self.found[field] = True
        elif word == "-nodad":
            self.found["no_dad"] = False
        elif word in _TAKE_A_WORD and not (word == "track_group" and not self.form.static):
            if line.index + 1 >= len(line.words):
                raise line.bad(f"'{word}' has no value behind it")
            line.args.use(line.index, word)
            self.at[word] = line.index
            line.index += 1
            self._value(word)
            return
        else:
            line.complain(
                "unknown-word",
                f"unknown word '{word}' behind an address is ignored",
                hint=line.close_to(word, self.form.words),
            )
            return
        line.args.use(line.index, word)

    def _value(self, keyword: str) -> None:
        line, word = self.line, self.line.word
        match keyword:
            case "dev":
                if self.found["dev"]:
                    raise line.bad("dev stands twice")
                self.found["dev"] = line.interface()
            case "scope":
                try:
                    self.found["scope"] = line.name(Kind.SCOPE)
                except BadWordError as bad:
                    line.complain(bad.code, f"{bad.message}; it is ignored", hint=bad.hint)
            case "brd" | "broadcast":
                self._broadcast(word)
            case "label":
                if len(word.encode("utf-8", "replace")) > LABEL_CHARS_MAX:
                    raise line.bad(f"label '{word}' is longer than {LABEL_CHARS_MAX} characters")
                self.found["label"] = word
            case "peer":
                self._peer()
            case "preferred_lft":
                self._preferred_lft(word)
            case _:
                if "track_group" in self.found:
                    # keepalived leaves the rest of the line unread.
                    line.complain("duplicate", f"a second track_group ('{word}'): the rest is ignored")
                    line.index = len(line.words)
                    return
                self.found["track_group"] = word

    def _broadcast(self, word: str) -> None:
        if isinstance(self.found["interface"], IPv6Interface):
            raise self.line.bad("IPv6 knows no broadcast address")
        if word not in ("+", "-"):
            try:
                values.broadcast_address(word)
            except BadValueError as bad:
                raise self.line.bad(f"brd '{word}' {bad}") from None
        self.broadcast = word

    def _peer(self) -> None:
        line, word = self.line, self.line.word
        if "peer" in self.found:
            line.complain("duplicate", f"a second peer ('{word}') is ignored")
            return
        try:
            peer = line.address()
        except BadWordError as bad:
            line.complain(bad.code, f"peer {bad.message}; it is ignored", hint=bad.hint)
            return
        interface: IpInterface = self.found["interface"]
        if peer.version != interface.version:
            line.complain(
                "mixed-families", f"peer {peer} is of another family than {interface.ip}; it is ignored"
            )
            return
        if interface.network.prefixlen != interface.max_prefixlen:
            line.complain(
                "prefix-ignored",
                f"with peer the prefix length of {interface} is ignored",
                hint=f"write {interface.ip} peer {peer}",
            )
            self.found["interface"] = ip_interface(interface.ip)
        self.found["peer"] = ip_interface(peer)

    def _preferred_lft(self, word: str) -> None:
        if word == "forever":
            self.found["preferred_lft_s"] = None
            return
        try:
            self.found["preferred_lft_s"] = self._leading(word)
        except BadValueError:
            self.line.args.note(
                self.line.index,
                "invalid-number",
                f"preferred_lft '{word}' is not a whole number from 0 to {UINT32_MAX}; it is ignored",
                hint="write a number of seconds, or forever",
                severity=Severity.ERROR,
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )

    def _leading(self, word: str) -> int:
        """A number, or one with rubbish behind it: the daemon of keepalived takes the number."""
        try:
            number = values.integer(word)
        except LeadingNumberError as leading:
            number = leading.number
            if number <= UINT32_MAX:
                self.line.args.note(
                    self.line.index,
                    "invalid-number",
                    f"preferred_lft '{word}' is not a whole number; {number} is taken",
                    hint=f"write preferred_lft {number}",
                    severity=Severity.ERROR,
                    keepalived=KeepalivedClass.INVALID_NUMBER,
                )
        if not 0 <= number <= UINT32_MAX:
            raise BadValueError
        return number

    # --- what one word does to another -------------------------------------------------------------

    def _complete(self) -> None:
        interface: IpInterface = self.found["interface"]
        if self.broadcast:
            self._complete_broadcast()
        if isinstance(interface, IPv6Interface):
            for word in ("scope", "label"):
                if self.found.pop(word, None):
                    self.line.complain(
                        "ignored", f"{word} is ignored for an IPv6 address", index=self.at[word]
                    )
            if interface.network.prefixlen == 128:
                self.found.setdefault("preferred_lft_s", 0)

    def _complete_broadcast(self) -> None:
        index = self.at["brd"] if "brd" in self.at else self.at["broadcast"]
        interface = self.found["interface"]
        if "peer" in self.found:
            self.line.complain("ignored", "brd does not go with peer: it is ignored", index=index)
        elif self.broadcast not in ("+", "-"):
            self.found["broadcast"] = IPv4Address(self.broadcast)
        elif interface.network.prefixlen > 30:
            self.line.complain(
                "ignored",
                f"brd {self.broadcast} needs a prefix of at most 30 bits: it is ignored",
                index=index + 1,
            )
        else:
            assert isinstance(interface, IPv4Interface)
            net = interface.network
            self.found["broadcast"] = net.broadcast_address if self.broadcast == "+" else net.network_address


VIRTUAL_ADDRESS = AddressForm()
STATIC_ADDRESS = AddressForm(static=True)
