"""One vrrp_instance block on its way to a VrrpInstance: what was read, and how to complain about it."""

from __future__ import annotations

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.diagnostics import Diagnostics, KeepalivedClass
from keepalived_conf.grammar.vrrp_instance import VRRP_INSTANCE
from keepalived_conf.model import Place, Places
from keepalived_conf.syntax.parser import Statement

OWNER_PRIORITY = 255


class Draft:
    def __init__(self, reader: Reader, name: str, statement: Statement, order: int, silent: Reader) -> None:
        self.reader = reader
        self.silent = silent
        """For lines that are read again, one by one."""
        self.diagnostics: Diagnostics = reader.diagnostics
        self.name = name
        self.statement = statement
        self.order = order
        """Of the block among the blocks of the top level."""
        self.read: Read = reader.block(statement, VRRP_INSTANCE)
        self.places: Places = self.read.places

    def place(self, keyword: str) -> Place:
        """Where the keyword is written (its last line); the instance if it is not."""
        return self.places.get(keyword) or self.statement.place

    def width(self, keyword: str) -> int:
        return len(keyword) if keyword in self.places else len("vrrp_instance")

    def written(self, *keywords: str) -> str | None:
        """The first of these keywords that is written."""
        return next((keyword for keyword in keywords if keyword in self.places), None)

    def error(
        self,
        keyword: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        fatal: bool = False,
        keepalived: KeepalivedClass = KeepalivedClass.GENERAL_ERROR,
    ) -> None:
        """About a keyword: the caret stands below it."""
        self.diagnostics.error(
            self.place(keyword),
            code,
            f"({self.name}) {message}",
            hint=hint,
            fatal=fatal,
            keepalived=keepalived,
            width=self.width(keyword),
        )

    def warning(
        self,
        keyword: str,
        code: str,
        message: str,
        *,
        hint: str = "",
        keepalived: KeepalivedClass = KeepalivedClass.OK,
    ) -> None:
        self.diagnostics.warning(
            self.place(keyword),
            code,
            f"({self.name}) {message}",
            hint=hint,
            keepalived=keepalived,
            width=self.width(keyword),
        )

    def error_at(self, line: Statement, index: int, code: str, message: str, *, hint: str = "") -> None:
        """About one word of a line."""
        width = len(line.words[index].text) if index < len(line.words) else 1
        self.diagnostics.error(line.place_of(index), code, f"({self.name}) {message}", hint=hint, width=width)

    def error_at_end(self, code: str, message: str, *, hint: str = "") -> None:
        """About what the block lacks as a whole: at its closing brace, as keepalived does."""
        self.diagnostics.error(self.statement.end_place, code, f"({self.name}) {message}", hint=hint)
