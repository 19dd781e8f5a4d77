"""Lines of virtual_rules and static_rules, with the judgement of keepalived 2.4.3.

Facts worth knowing (keepalived.conf(5), ip-rule(8)): there must be exactly one action; ``inet`` and
``inet6`` swallow the word behind them; a port without ``-`` is no range and the selector is dropped.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.entry_line import (
    UINT32_MAX,
    EntryLine,
    anywhere,
    prefix_of,
    prefix_text,
    realms_text,
)
from keepalived_conf.grammar.forms import Args, BadWordError, quoted
from keepalived_conf.model import PROTOCOL_KEEPALIVED, IpInterface, Rule
from keepalived_conf.syntax.iproute import IP_PROTOCOLS, ROUTE_TYPES, Kind
from keepalived_conf.syntax.values import BadValueError, c_number, c_number_before

_ACTIONS = {ROUTE_TYPES[name]: name for name in ("blackhole", "unreachable", "prohibit")}
_ONE_ACTION = "table, lookup, l3mdev, goto, nop, blackhole, unreachable or prohibit"
_RANGE = re.compile(r"\s*\+?([0-9]{1,20})-\s*\+?([0-9]{1,20})")
_INTERFACES = {"dev": "iif", "iif": "iif", "oif": "oif"}
_FLAGS = {"not": "invert", "no_track": "no_track"}
_PREFERENCE = ("preference", "order", "priority")
KEYWORDS = (
    "inet", "inet6", "from", "to", "table", "lookup", *_PREFERENCE, "tos", "dsfield", "fwmark", "realms",
    "suppress_prefixlength", "sup_pl", "suppress_ifgroup", "sup_group", *_INTERFACES, *_FLAGS, "tunnel-id",
    "uidrange", "l3mdev", "protocol", "ipproto", "sport", "dport", "type", "goto", "nop", *_ACTIONS.values(),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleForm:
    static: bool = False

    @property
    def takes(self) -> str:
        return (
            "[not] [from IPADDR[/LEN]] [to IPADDR[/LEN]] [dev IF] [fwmark MARK[/MASK]] [OPTIONS] "
            "table TABLE|goto N|nop|blackhole|unreachable|prohibit [preference N] [no_track]"
            + (" [track_group GROUP]" if self.static else "")
        )

    def read(self, args: Args) -> Any:
        """Rule; its preference is None where none is written."""
        return _Reading(args, self.static).rule()

    def write(self, value: Any) -> list[str]:
        return _written(value)

    def json(self, value: Any) -> Any:
        return " ".join(quoted(word) for word in self.write(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.takes}


class _Reading:
    """One line on its way to a rule."""

    def __init__(self, args: Args, static: bool) -> None:
        self.line = EntryLine(args)
        self.static = static
        self.family = 0
        """4, 6, or 0 as long as no word has one."""
        self.found: dict[str, Any] = {}
        self.anywhere: set[str] = set()
        """Fields that hold the word default."""
        self.for_tables = False
        """A word was met that goes with action table only."""

    def rule(self) -> Rule:
        line = self.line
        while line.more:
            word = line.word
            step = _STEPS.get(word)
            if step is not None and (word != "track_group" or self.static):
                line.args.use(line.index, word)
                step(self, word)
            else:
                self._action_word(word)
            line.index += 1
        return self._complete()

    def _drop(self, message: str, *, hint: str = "", number: bool = False) -> None:
        """The word here is left out, the rule is kept."""
        line = self.line
        line.args.note(
            line.index,
            "invalid-number" if number else "invalid-value",
            f"{message}; it is ignored",
            hint=hint,
            severity=Severity.ERROR,
            keepalived=KeepalivedClass.INVALID_NUMBER if number else KeepalivedClass.GENERAL_ERROR,
        )

    # --- one sub-keyword each, the word here is the keyword -----------------------------------------

    def family_word(self, word: str) -> None:
        """inet, inet6: the word behind is not looked at."""
        line, family = self.line, 6 if word == "inet6" else 4
        if self.family and self.family != family:
            raise line.bad(f"{word} does not go with the words before it", code="mixed-families")
        self.family = family
        line.index += 1
        if line.more and line.word != word:
            line.warn(
                "word-skipped",
                f"keepalived skips '{line.word}' because it stands behind {word}",
                hint=f"leave {word} out where there is an address, else write {word} {word}",
            )

    def address(self, word: str) -> None:
        line, field = self.line, "source" if word == "from" else "destination"
        line.next()
        prefix, family = prefix_of(line)
        if self.family and family != self.family:
            hint = "" if family else "write it first, or 0.0.0.0/0, ::/0"
            raise line.bad(
                f"{word} {line.word} does not go with the family of the words before it",
                hint=hint,
                code="mixed-families",
            )
        self.family = family
        self.found[field] = prefix
        (self.anywhere.discard if family else self.anywhere.add)(field)

    def table(self, _: str) -> None:
        line = self.line
        line.next()
        number = line.name(Kind.TABLE)
        if number == 0:
            raise line.bad("table 0 cannot be looked up")
        self.found["table"] = number
        self._action("table")

    def flag(self, word: str) -> None:
        self.found[_FLAGS[word]] = True

    def preference(self, word: str) -> None:
        line = self.line
        number = c_number(line.next().lstrip(" \t"))
        if number is None or number > UINT32_MAX:
            raise BadWordError(
                line.index,
                f"{word} '{line.word}' is not a whole number from 0 to {UINT32_MAX}",
                code="invalid-number",
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )
        self.found["preference"] = number

    def service(self, _: str) -> None:
        self.line.next()
        self.found["tos"] = self.line.name(Kind.DSFIELD)

    def firewall_mark(self, _: str) -> None:
        line = self.line
        mark, slash, mask = line.next().partition("/")
        try:
            self.found["fwmark"] = _mark(mark)
            self.found["fwmask"] = _mark(mask) if slash else None
        except BadValueError:
            raise line.bad(f"fwmark '{line.word}' is not MARK[/MASK]") from None

    def realms(self, _: str) -> None:
        line = self.line
        line.next()
        self.found["realms"] = line.realms()
        self.for_tables = True
        if self.family == 6:
            raise line.bad("realms are for IPv4 only")
        self.family = 4

    def suppress_prefixlength(self, _: str) -> None:
        self.line.next()
        self.found["suppress_prefixlength"] = self.line.number(2147483647)
        self.for_tables = True

    def suppress_ifgroup(self, _: str) -> None:
        self.line.next()
        self.found["suppress_ifgroup"] = self.line.name(Kind.GROUP)
        self.for_tables = True

    def interface(self, word: str) -> None:
        self.line.next()
        self.found[_INTERFACES[word]] = self.line.interface()

    def tunnel_id(self, _: str) -> None:
        self.line.next()
        self.found["tunnel_id"] = self.line.number(0xFFFFFFFFFFFFFFFF)

    def uid_range(self, _: str) -> None:
        line = self.line
        found = self._range(line.next(), 0xFFFFFFFF)
        if found is None:
            raise line.bad(f"uidrange '{line.word}' is not UID-UID")
        self.found["uidrange"] = found

    def ports(self, word: str) -> None:
        line = self.line
        found = self._range(line.next(), 0xFFFF)
        if found is None:
            self._drop(
                f"{word} '{line.word}' is not a range of ports", hint=f"write {word} {line.word}-{line.word}"
            )
            return
        self.found[word] = found

    def _range(self, word: str, mask: int) -> tuple[int, int] | None:
        match = _RANGE.match(word)
        if match is None:
            return None
        low, high = int(match[1]), int(match[2])
        if match.end() != len(word) or low > mask or high > mask:
            low, high = low & mask, high & mask
            self.line.warn(
                "invalid-number", f"of '{word}' keepalived takes {low}-{high}", hint=f"write {low}-{high}"
            )
        return low, high

    def l3mdev(self, _: str) -> None:
        self.found["l3mdev"] = True
        self._action("table")

    def protocol(self, word: str) -> None:
        self.line.next()
        try:
            self.found["protocol"] = self.line.number(255)
        except BadWordError as bad:
            self._drop(bad.message, hint=f"write {word} and a number: names are not known here", number=True)

    def ip_protocol(self, _: str) -> None:
        word = self.line.next().lstrip(" \t")
        number = IP_PROTOCOLS.get(word.lower() if word.isupper() else word)
        if number is None and word.isascii() and word.isdigit() and len(word) < 10 and int(word) <= 127:
            number = int(word)
        if number is None:
            self._drop(
                f"ipproto '{word}' is not a protocol", hint="write a name such as tcp, or a number up to 127"
            )
            return
        self.found["ipproto"] = number

    def track_group(self, _: str) -> None:
        line = self.line
        name = line.next()
        if "track_group" in self.found:
            # keepalived leaves the rest of the line unread.
            line.complain("duplicate", f"a second track_group ('{name}'): the rest is ignored")
            line.index = len(line.words)
            return
        self.found["track_group"] = name

    # --- actions ------------------------------------------------------------------------------------

    def _action(self, action: str) -> None:
        if "action" in self.found:
            raise self.line.bad("a second action", hint=f"one of {_ONE_ACTION}")
        self.found["action"] = action

    def _action_word(self, word: str) -> None:
        line = self.line
        if word == "type":
            line.args.use(line.index, word)
            word = line.next()
        if word == "goto":
            line.args.use(line.index, word)
            line.next()
            self.found["goto"] = line.number()
        elif word != "nop":
            known = ROUTE_TYPES.get(word)
            number = c_number(word) if known is None else known
            if number is None or number > 255 or word.startswith("-"):
                raise line.bad(
                    f"unknown word '{word}' in a rule",
                    hint=line.close_to(word, KEYWORDS),
                    code="unknown-word",
                )
            if number not in _ACTIONS:
                raise line.bad(f"'{word}' is no action of a rule", hint=f"write {_ONE_ACTION}")
            word = _ACTIONS[number]
        if word != "goto":
            line.args.use(line.index, word)
        self._action(word)

    # --- the whole ---------------------------------------------------------------------------------

    def _complete(self) -> Rule:
        found = self.found
        self._check_action()
        if not found.get("no_track"):
            if found.get("protocol", PROTOCOL_KEEPALIVED) != PROTOCOL_KEEPALIVED:
                self._complain_at(
                    "protocol",
                    "adjusted",
                    f"a rule that is tracked has protocol keepalived ({PROTOCOL_KEEPALIVED}); it is taken",
                    hint="write no_track as well, or leave protocol out",
                )
            found["protocol"] = PROTOCOL_KEEPALIVED
        elif "protocol" not in found:
            found["protocol"] = None
        if "track_group" in found and "iif" not in found:
            self._complain_at("track_group", "ignored", "track_group needs dev or iif: it is ignored")
            del found["track_group"]
        family = 6 if self.family == 6 else 4
        for field in self.anywhere:
            found[field] = anywhere(6 if self.family == 6 else 4)
        return Rule(family=6 if family == 6 else 4, **found)

    def _complain_at(self, word: str, code: str, message: str, *, hint: str = "") -> None:
        self.line.complain(code, message, hint=hint, index=self.line.words.index(word))

    def _check_action(self) -> None:
        found = self.found
        action = found.get("action")
        if action == "goto":
            if "preference" not in found:
                raise BadWordError(
                    0, "goto needs a preference", hint="write preference and a number below its target"
                )
            if found["preference"] >= found["goto"]:
                raise BadWordError(
                    self.line.words.index("goto"),
                    f"goto {found['goto']} does not lead forward from preference {found['preference']}",
                )
        if action is None:
            raise BadWordError(0, "the rule has no action", hint=f"write {_ONE_ACTION}")
        if action != "table" and self.for_tables:
            raise BadWordError(0, f"realms and suppress_* do not go with {action}")


def _mark(word: str) -> int:
    """strtoul with base 0: without digits 0, and then nothing may follow."""
    if not word:
        return 0
    number, behind = c_number_before(word)
    if behind or number > UINT32_MAX or word.lstrip(" \t").startswith("-"):
        raise BadValueError
    return number


_STEPS: dict[str, Callable[[_Reading, str], None]] = {
    **dict.fromkeys(("inet", "inet6"), _Reading.family_word),
    **dict.fromkeys(("from", "to"), _Reading.address),
    **dict.fromkeys(("table", "lookup"), _Reading.table),
    **dict.fromkeys(_FLAGS, _Reading.flag),
    **dict.fromkeys(_PREFERENCE, _Reading.preference),
    **dict.fromkeys(("tos", "dsfield"), _Reading.service),
    **dict.fromkeys(("suppress_prefixlength", "sup_pl"), _Reading.suppress_prefixlength),
    **dict.fromkeys(("suppress_ifgroup", "sup_group"), _Reading.suppress_ifgroup),
    **dict.fromkeys(_INTERFACES, _Reading.interface),
    **dict.fromkeys(("sport", "dport"), _Reading.ports),
    "fwmark": _Reading.firewall_mark,
    "realms": _Reading.realms,
    "tunnel-id": _Reading.tunnel_id,
    "uidrange": _Reading.uid_range,
    "l3mdev": _Reading.l3mdev,
    "protocol": _Reading.protocol,
    "ipproto": _Reading.ip_protocol,
    "track_group": _Reading.track_group,
}


def _written(value: Rule) -> list[str]:
    words = ["not"] if value.invert else []
    words += _selectors(value)
    if value.no_track and value.protocol is not None:
        words += ["protocol", str(value.protocol)]
    for word in ("suppress_prefixlength", "suppress_ifgroup", "preference"):
        if getattr(value, word) is not None:
            words += [word, str(getattr(value, word))]
    if value.realms is not None:
        words += ["realms", realms_text(value.realms)]
    words += _written_action(value)
    if value.no_track:
        words.append("no_track")
    if value.track_group is not None:
        words += ["track_group", value.track_group]
    return words


def _selectors(value: Rule) -> list[str]:
    words: list[str] = []
    prefixes: list[tuple[str, IpInterface | None]] = [("from", value.source), ("to", value.destination)]
    if value.family == 6 and value.source is None and value.destination is None:
        # The second one is the word that the first one swallows.
        words += ["inet6", "inet6"]
    for word, prefix in prefixes:
        if prefix is not None:
            words += [word, prefix_text(prefix)]
    for word in ("iif", "oif", "ipproto"):
        if getattr(value, word) is not None:
            words += [word, str(getattr(value, word))]
    if value.tos:
        words += ["tos", str(value.tos)]
    if value.fwmark is not None:
        words += ["fwmark", f"{value.fwmark:#x}" + ("" if value.fwmask is None else f"/{value.fwmask:#x}")]
    if value.tunnel_id:
        words += ["tunnel-id", str(value.tunnel_id)]
    for word in ("uidrange", "sport", "dport"):
        pair = getattr(value, word)
        if pair is not None:
            words += [word, f"{pair[0]}-{pair[1]}"]
    return words


def _written_action(value: Rule) -> list[str]:
    if value.l3mdev:
        return ["l3mdev"]
    if value.action == "table":
        return ["table", str(value.table)]
    return ["goto", str(value.goto)] if value.action == "goto" else [value.action]
