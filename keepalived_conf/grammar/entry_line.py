"""Reads a line of sub-keywords from left to right: addresses, routes, rules, as keepalived reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_interface

from keepalived_conf.diagnostics import KeepalivedClass, Severity
from keepalived_conf.grammar.forms import Args, BadWordError, MissingWordError
from keepalived_conf.model import Family, IpAddress, IpInterface, Realms
from keepalived_conf.syntax import values
from keepalived_conf.syntax.iproute import Kind
from keepalived_conf.syntax.values import BadPrefixError, BadValueError, LeadingNumberError

UINT32_MAX = 4294967295
ANYWHERE = ("default", "any", "all")
_SUGGESTION_CHARS_MAX = 30


class EntryLine:
    """A place in the words of one line, and the readers of what may stand there."""

    def __init__(self, args: Args) -> None:
        self.args = args
        self.words = [word.text for word in args.words]
        self.index = args.first

    @property
    def more(self) -> bool:
        return self.index < len(self.words)

    @property
    def word(self) -> str:
        """The word here; where there is none keepalived ends with status 2."""
        if self.index >= len(self.words):
            before = self.words[-1] if self.words else ""
            raise MissingWordError(len(self.words), f"a word is missing behind '{before}'")
        return self.words[self.index]

    def next(self) -> str:
        """Step on, and the word there."""
        self.index += 1
        return self.word

    # --- messages ---------------------------------------------------------------------------------

    def bad(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "invalid-entry",
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
    ) -> BadWordError:
        """The word here makes the line unusable."""
        return BadWordError(self.index, message, hint=hint, code=code, keepalived=keepalived)

    def complain(self, code: str, message: str, *, hint: str = "", index: int | None = None) -> None:
        """keepalived complains too and uses the line all the same."""
        self.args.note(
            self.index if index is None else index,
            code,
            message,
            hint=hint,
            severity=Severity.ERROR,
            keepalived=KeepalivedClass.GENERAL_ERROR,
        )

    def warn(self, code: str, message: str, *, hint: str = "", index: int | None = None) -> None:
        """keepalived says nothing."""
        self.args.note(self.index if index is None else index, code, message, hint=hint)

    def close_to(self, word: str, known: Iterable[str]) -> str:
        """A hint at the word that was meant, or nothing."""
        if len(word) > _SUGGESTION_CHARS_MAX:
            return ""
        close = difflib.get_close_matches(word, [name for name in known if name.islower()], n=1, cutoff=0.75)
        return f"did you mean {close[0]}?" if close else ""

    # --- values -----------------------------------------------------------------------------------

    def number(self, high: int = UINT32_MAX, low: int = 0) -> int:
        """The word here as a whole number; of one with rubbish behind it nothing is taken."""
        try:
            number = values.integer(self.word)
        except (BadValueError, LeadingNumberError):
            number = low - 1
        if not low <= number <= high:
            raise BadWordError(
                self.index,
                f"{self.words[self.index - 1]} '{self.word}' is not a whole number from {low} to {high}",
                code="invalid-number",
                keepalived=KeepalivedClass.INVALID_NUMBER,
            )
        return number

    def address(self) -> IpAddress:
        """The word here as an address without prefix length."""
        try:
            return values.address(self.word)
        except BadValueError as bad:
            hint = "write it without prefix length" if "/" in self.word else ""
            raise self.bad(f"'{self.word}' {bad}", hint=hint) from None

    def interface_address(self) -> IpInterface:
        """The word here as an address with prefix length; 32 or 128 unless one is written."""
        word = self.word
        try:
            return values.interface_address(word)
        except BadPrefixError as bad:
            return self._mended_prefix(word, bad.address)
        except BadValueError as bad_address:
            raise self.bad(f"'{word}' {bad_address}", keepalived=_class_of_prefix(word)) from None

    def _mended_prefix(self, word: str, address: IpAddress) -> IpInterface:
        prefix = word.partition("/")[2]
        if not prefix:
            self.warn(
                "invalid-prefix-length",
                f"'{word}' has no prefix length behind its slash; keepalived takes 0",
                hint=f"write {address}/{address.max_prefixlen} or another length",
            )
            return ip_interface(f"{address}/0")
        try:
            length = values.integer(prefix)
            if 0 <= length <= address.max_prefixlen:
                return ip_interface(f"{address}/{length}")
        except LeadingNumberError as leading:
            length = leading.number
        except BadValueError:
            length = -1
        if not 0 <= length <= address.max_prefixlen:
            length = address.max_prefixlen
        self.args.note(
            self.index,
            "invalid-prefix-length",
            f"'{word}' has no valid prefix length (0 to {address.max_prefixlen}); {length} is taken",
            hint=f"write {address}/{length}",
            severity=Severity.ERROR,
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
        return ip_interface(f"{address}/{length}")

    def interface(self) -> str:
        try:
            return values.interface_name(self.word)
        except BadValueError as bad:
            raise self.bad(f"{self.words[self.index - 1]} '{self.word}' {bad}") from None

    def name(self, kind: Kind) -> int:
        """Number of the name here. keepalived wants it in a file of iproute2, or as number."""
        try:
            return self.args.names.find(kind, self.word)
        except BadValueError as bad:
            close = self.close_to(self.word, self.args.names.names(kind))
            raise self.bad(
                f"{self.words[self.index - 1]} '{self.word}' {bad}",
                hint=close or f"write its number, or name it in /etc/iproute2/{kind.value}",
                code="unknown-name",
            ) from None

    def realms(self) -> Realms:
        """``[SOURCE/]DESTINATION``"""
        parts = self.word.split("/", 1)
        try:
            found = [self.args.names.find(Kind.REALM, part) for part in parts]
        except BadValueError:
            raise self.bad(
                f"realms '{self.word}' is not [SOURCE/]DESTINATION of realms 0 to 255",
                hint=f"names of realms come from /etc/iproute2/{Kind.REALM.value}",
                code="unknown-name",
            ) from None
        return (found[0], found[1]) if len(found) == 2 else (0, found[0])


def anywhere(family: Family) -> IpInterface:
    return ip_interface("::/0" if family == 6 else "0.0.0.0/0")


def prefix_of(line: EntryLine) -> tuple[IpInterface, int]:
    """The word here as (prefix, family). default, any, all: family 0, and 0.0.0.0/0 in its place."""
    word = line.word
    if word in ANYWHERE:
        return anywhere(4), 0
    if word == "default6":
        line.args.use(line.index, word)
        line.warn("deprecated", "default6 is deprecated", hint="write ::/0")
        return anywhere(6), 6
    found = line.interface_address()
    return found, 4 if isinstance(found.ip, IPv4Address) else 6


def _class_of_prefix(word: str) -> KeepalivedClass:
    """Of a word whose address is none: keepalived reads the number behind the slash before the address."""
    _, slash, prefix = word.partition("/")
    if not slash or not prefix:
        return KeepalivedClass.GENERAL_ERROR
    try:
        length = values.integer(prefix)
    except (BadValueError, LeadingNumberError):
        return KeepalivedClass.INVALID_NUMBER
    good = 0 <= length <= (128 if ":" in word else 32)
    return KeepalivedClass.GENERAL_ERROR if good else KeepalivedClass.INVALID_NUMBER


def prefix_text(value: IpInterface) -> str:
    """Address with prefix length, which is left out where it is that of a host."""
    return str(value.ip) if value.network.prefixlen == value.max_prefixlen else value.with_prefixlen


def realms_text(value: Realms) -> str:
    return f"{value[0]}/{value[1]}" if value[0] else str(value[1])
