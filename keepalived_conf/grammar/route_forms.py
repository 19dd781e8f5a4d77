"""Lines of virtual_routes and static_routes, in the order and with the judgement of keepalived 2.4.3.

Facts worth knowing (keepalived.conf(5), ip-route(8)): the family is that of the first word that has one,
and ``default`` has none, so that it must stand before; ``inet`` and ``inet6`` swallow the word behind
them; ``to`` takes no type; a bad hop ends the list of hops and the route is kept.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.encap_forms import read_encap
from keepalived_conf.grammar.entry_line import EntryLine, anywhere, prefix_of
from keepalived_conf.grammar.forms import Args, BadWordError, quoted
from keepalived_conf.grammar.route_words import (
    FLAGS,
    KEYWORDS,
    NAMES,
    NUMBERS,
    PREFERENCES,
    SWITCHES,
    TIMES,
    write_route,
)
from keepalived_conf.model import (
    PROTOCOL_KEEPALIVED,
    IpAddress,
    IpInterface,
    NextHop,
    Route,
)
from keepalived_conf.syntax import values
from keepalived_conf.syntax.iproute import ROUTE_TYPES
from keepalived_conf.syntax.values import BadValueError

_TIME = re.compile(r"(.*?)(m?)(?:s|secs?)", re.IGNORECASE)

RTT_MIN_MS = 200
RTT_MAX_MS = 120_000
"""The kernel's bounds of a retransmission timeout (net/tcp.h)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RouteForm:
    static: bool = False

    @property
    def takes(self) -> str:
        return (
            "[TYPE] IPADDR[/LEN]|default [via IPADDR] [dev IF] [src IPADDR] [table TABLE] [metric N] "
            "[OPTIONS] [no_track] "
            + ("[track_group GROUP] " if self.static else "")
            + "[nexthop [via IPADDR] [dev IF] [weight N]]..."
        )

    def read(self, args: Args) -> Any:
        return _Reading(args, self.static).route()

    def write(self, value: Any) -> list[str]:
        return write_route(value)

    def json(self, value: Any) -> Any:
        return " ".join(quoted(word) for word in self.write(value))

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.takes}


class _Reading:
    """One line on its way to a route."""

    def __init__(self, args: Args, static: bool) -> None:
        self.line = EntryLine(args)
        self.static = static
        self.family = 0
        """4, 6, or 0 as long as no word has one."""
        self.found: dict[str, Any] = {}
        self.destination: IpInterface | None = None
        self.anywhere = False
        """The destination is the word default."""
        self.locks: set[str] = set()
        self.nexthops: list[NextHop] = []

    def route(self) -> Route:
        line = self.line
        while line.more:
            word = line.word
            if word == "nexthop":
                if self.nexthops:
                    line.complain(
                        "invalid-entry", "nexthop does not go with or", hint="write nexthop for each hop"
                    )
                    raise line.bad("what follows is left over")
                self._nexthops()
                break
            step = self._step(word)
            if step is None:
                self._destination(word)
            else:
                line.args.use(line.index, word)
                step()
            line.index += 1
        return self._complete()

    def _step(self, word: str) -> Callable[[], None] | None:
        """What reads the value of a sub-keyword; None: it is none."""
        found = _STEPS.get(word)
        if found is not None and (word != "track_group" or self.static):
            return lambda: found(self, word)
        return None

    def _same_family(self, family: int, what: str) -> None:
        if self.family and family != self.family:
            raise self.line.bad(
                f"{what} is of another family than the words before it", code="mixed-families"
            )
        self.family = family

    # --- one sub-keyword each, the word here is the keyword -----------------------------------------

    def family_word(self, word: str) -> None:
        """inet, inet6: the word behind is not looked at."""
        line = self.line
        self._same_family(6 if word == "inet6" else 4, word)
        line.index += 1
        if line.more and line.word != word:
            line.warn(
                "word-skipped",
                f"keepalived skips '{line.word}' because it stands behind {word}",
                hint=f"leave {word} out: the family follows from the addresses",
            )

    def number(self, word: str) -> None:
        field, high, lockable = NUMBERS[word]
        self._lock(word, lockable)
        self.found[field] = self.line.number(high)

    def _lock(self, word: str, lockable: bool = True) -> None:
        if self.line.next() == "lock" and lockable:
            self.locks.add(word)
            self.line.index += 1

    def named(self, word: str) -> None:
        field, kind = NAMES[word]
        self.line.next()
        self.found[field] = self.line.name(kind)
        if word == "table":
            self.found.pop("vrf", None)

    def flag(self, word: str) -> None:
        self.found[FLAGS[word]] = True

    def switch(self, word: str) -> None:
        self.line.next()
        self.found[SWITCHES[word]] = bool(self.line.number(1))

    def insertion(self, word: str) -> None:
        self.found["insertion"] = word

    def source_address(self, _: str) -> None:
        self.line.next()
        self.found["src"] = self._address("src")

    def _address(self, what: str) -> IpAddress:
        address = self.line.address()
        self._same_family(address.version, f"{what} {address}")
        return address

    def as_to(self, _: str) -> None:
        line = self.line
        line.complain("not-supported", "as (address translation) is not supported: it is ignored")
        if line.next() == "to":
            line.index += 1

    def gateway(self, word: str) -> None:
        line = self.line
        if word == "gw":
            line.complain("deprecated", "gw is deprecated", hint="write via")
        self._skip_family()
        self.found["via"] = self._address("via")

    def _skip_family(self) -> None:
        word = self.line.next()
        if word in ("inet", "inet6"):
            self._same_family(6 if word == "inet6" else 4, word)
            self.line.next()

    def source_prefix(self, _: str) -> None:
        line = self.line
        line.next()
        prefix, family = prefix_of(line)
        if family != 6:
            raise line.bad(f"from '{line.word}' is not IPv6: IPv4 routes have no source prefix")
        self._same_family(6, f"from {prefix}")
        self.found["source"] = prefix

    def interface(self, _: str) -> None:
        self.line.next()
        self.found["dev"] = self.line.interface()

    def encap(self, _: str) -> None:
        self.found["encap"] = read_encap(self.line)

    def expires(self, _: str) -> None:
        self._only_ipv6("expires")
        self.found["expires_s"] = self.line.number()

    def _only_ipv6(self, word: str) -> None:
        # keepalived looks at the family before it looks at the word.
        if self.family == 4:
            raise self.line.bad(f"{word} is for IPv6 only")
        self.family = 6
        self.line.next()

    def time(self, word: str) -> None:
        field, parts = TIMES[word]
        self._lock(word)
        count = self._time(word, parts)
        self.found[field] = count if parts == 1 else count / parts

    def _time(self, keyword: str, parts: int) -> int:
        """Of a time, or of a bare number of the kernel's units."""
        line, word = self.line, self.line.word.lstrip(" \t")
        text, decimals, factor = word, 0, 1
        if re.search("[sS]", word):
            match = _TIME.fullmatch(word)
            if match is None or not match[1]:
                raise self._bad_time(keyword, KeepalivedClass.GENERAL_ERROR)
            text, decimals, factor = match[1], 0 if match[2] else 3, parts
        if re.search("[eE]", text):
            raise self._bad_time(keyword, KeepalivedClass.GENERAL_ERROR)
        try:
            number, exact = values.decimal(text, decimals)
        except BadValueError:
            raise self._bad_time(keyword) from None
        count: int = round(number * 10**decimals)
        if count > RTT_MAX_MS * parts:
            raise self._bad_time(keyword)
        if not exact:
            unit = "ms" if factor > 1 else f"1/{parts} ms" if parts > 1 else "ms"
            line.args.note(
                line.index,
                "invalid-number",
                f"{keyword} '{line.word}' has too many decimals; {count} {unit} is taken",
                severity=Severity.ERROR,
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )
        count *= factor
        low, high = RTT_MIN_MS * parts, RTT_MAX_MS * parts
        if not low <= count <= high:
            count = low if count < low else high
            line.complain(
                "adjusted",
                f"{keyword} '{line.word}' is not within {RTT_MIN_MS} ms and {RTT_MAX_MS // 1000} s; "
                f"{count // parts} ms is taken",
                hint=f"write {keyword} {count // parts}ms",
            )
        return count

    def _bad_time(
        self, keyword: str, keepalived: KeepalivedClass = KeepalivedClass.INVALID_NUMBER
    ) -> BadWordError:
        return BadWordError(
            self.line.index,
            f"{keyword} '{self.line.word}' is not a time up to {RTT_MAX_MS // 1000} s",
            hint=f"write {keyword} 200ms or {keyword} 1.5s",
            code="invalid-number",
            keepalived=keepalived,
        )

    def realms(self, _: str) -> None:
        self.line.next()
        self.found["realms"] = self.line.realms()
        if self.family == 6:
            raise self.line.bad("realms are for IPv4 only")
        self.family = 4

    def features(self, _: str) -> None:
        if self.line.next() == "ecn":
            self.found["ecn"] = True
        else:
            self.line.complain("invalid-value", f"the feature '{self.line.word}' is unknown: it is ignored",
                               hint="ecn is the only one")  # fmt: skip

    def congestion_control(self, word: str) -> None:
        self._lock(word)
        self.found["congctl"] = self.line.word

    def router_preference(self, word: str) -> None:
        self._only_ipv6(word)
        named = PREFERENCES.get(self.line.word)
        self.found["pref"] = self.line.number(255) if named is None else named

    def ttl_propagate(self, _: str) -> None:
        word = self.line.next()
        if word not in ("enabled", "disabled"):
            self.line.complain(
                "invalid-value",
                f"ttl-propagate '{word}' is not enabled or disabled; disabled is taken",
            )
            self.found.setdefault("ttl_propagate", False)
            return
        self.found["ttl_propagate"] = word == "enabled"

    def alternative(self, _: str) -> None:
        """or: a second gateway, from the time before nexthop."""
        line = self.line
        line.complain("deprecated", "or is deprecated", hint="write nexthop via ADDRESS for each hop")
        if self.nexthops:
            line.complain("duplicate", "a second or is ignored")
            line.index += 1
            return
        self.nexthops.append(NextHop(via=self.found.pop("via", None)))
        line.next()
        self.nexthops.append(NextHop(via=line.address()))

    def track_group(self, _: str) -> None:
        name = self.line.next()
        if "track_group" in self.found:
            raise self.line.bad(f"a second track_group ('{name}')")
        self.found["track_group"] = name

    def vrf(self, _: str) -> None:
        self.line.next()
        self.found["vrf"] = self.line.interface()
        self.found.pop("table", None)

    # --- destination and hops -----------------------------------------------------------------------

    def _destination(self, word: str) -> None:
        line = self.line
        if word == "to":
            line.args.use(line.index, word)
            line.next()
        else:
            number = ROUTE_TYPES.get(word)
            if number is None:
                number = values.c_number(word)
                if number is not None and (number > 255 or word.startswith("-")):
                    number = None
            if number is not None:
                self.found["type"] = number
                line.next()
        word = line.word
        try:
            prefix, family = prefix_of(line)
        except BadWordError as bad:
            if bad.fatal or any(char in word for char in ".:"):
                raise
            hint = "a type stands before the destination, without to" if word in ROUTE_TYPES else ""
            raise line.bad(
                f"unknown word '{word}' in a route",
                hint=hint or line.close_to(word, KEYWORDS),
                code="unknown-word",
                keepalived=bad.keepalived,
            ) from None
        if self.family != family and self.family:
            hint = "" if family else f"write {word} before the words that have a family, or 0.0.0.0/0, ::/0"
            raise line.bad(
                f"{word} does not go with the family of the words before it", hint=hint, code="mixed-families"
            )
        self.family = family
        self.destination, self.anywhere = prefix, not family

    def _nexthops(self) -> None:
        """All hops, up to the end of the line. A bad one ends the list; the route is kept."""
        line = self.line
        try:
            while line.more and line.word == "nexthop":
                line.args.use(line.index, "nexthop")
                line.index += 1
                self.nexthops.append(self._nexthop())
            if line.more:
                word = line.word
                raise line.bad(
                    f"'{word}' is no word of a hop",
                    hint="write dev" if word == "oif" else "the hops are the last words of a route",
                    code="unknown-word",
                )
        except BadWordError as bad:
            if bad.fatal:
                raise
            line.args.note(
                bad.index,
                bad.code,
                f"nexthop: {bad.message}; this and what follows is left out",
                hint=bad.hint,
                severity=Severity.ERROR,
                keepalived=bad.keepalived,
            )

    def _nexthop(self) -> NextHop:
        line = self.line
        found: dict[str, Any] = {}
        while line.more:
            word = line.word
            if word not in ("via", "dev", "weight", "onlink", "encap", "realms", "as"):
                break
            line.args.use(line.index, f"nexthop.{word}")
            match word:
                case "via":
                    self._skip_family()
                    found["via"] = self._address("via")
                case "dev":
                    line.next()
                    found["dev"] = line.interface()
                case "weight":
                    line.next()
                    found["weight"] = line.number(256)
                    if not found["weight"]:
                        raise line.bad("weight is a whole number from 1 to 256", code="invalid-number")
                case "onlink":
                    found["onlink"] = True
                case "encap":
                    found["encap"] = read_encap(line)
                case "realms":
                    line.next()
                    found["realms"] = line.realms()
                    self._same_family(4, "realms")
                case _:
                    raise line.bad("as (address translation) is not supported")
            line.index += 1
        return NextHop(**found)

    # --- the whole ---------------------------------------------------------------------------------

    def _complete(self) -> Route:
        line, found = self.line, self.found
        if self.destination is None:
            raise BadWordError(
                0, "the route has no destination", hint="write the destination first, or default"
            )
        if not found.get("no_track"):
            if found.get("protocol", PROTOCOL_KEEPALIVED) != PROTOCOL_KEEPALIVED:
                line.complain(
                    "adjusted",
                    f"a route that is tracked has protocol keepalived ({PROTOCOL_KEEPALIVED}); it is taken",
                    hint="write no_track as well, or leave protocol out",
                    index=line.words.index("protocol"),
                )
            found["protocol"] = PROTOCOL_KEEPALIVED
        elif "protocol" not in found:
            found["protocol"] = None
        if "track_group" in found and "dev" not in found:
            line.complain(
                "ignored", "track_group needs dev: it is ignored", index=line.words.index("track_group")
            )
            del found["track_group"]
        destination = self.destination
        if self.anywhere:
            destination = anywhere(6 if self.family == 6 else 4)
        return Route(
            destination=destination,
            locks=tuple(sorted(self.locks)),
            nexthops=tuple(self.nexthops),
            **found,
        )


_STEPS: dict[str, Callable[[_Reading, str], None]] = {
    **dict.fromkeys(("inet", "inet6"), _Reading.family_word),
    **dict.fromkeys(NUMBERS, _Reading.number),
    **dict.fromkeys(TIMES, _Reading.time),
    **dict.fromkeys(NAMES, _Reading.named),
    **dict.fromkeys(FLAGS, _Reading.flag),
    **dict.fromkeys(SWITCHES, _Reading.switch),
    **dict.fromkeys(("add", "prepend", "append"), _Reading.insertion),
    **dict.fromkeys(("via", "gw"), _Reading.gateway),
    **dict.fromkeys(("dev", "oif"), _Reading.interface),
    "src": _Reading.source_address,
    "as": _Reading.as_to,
    "from": _Reading.source_prefix,
    "encap": _Reading.encap,
    "expires": _Reading.expires,
    "realms": _Reading.realms,
    "features": _Reading.features,
    "congctl": _Reading.congestion_control,
    "pref": _Reading.router_preference,
    "ttl-propagate": _Reading.ttl_propagate,
    "or": _Reading.alternative,
    "track_group": _Reading.track_group,
    "vrf": _Reading.vrf,
}
