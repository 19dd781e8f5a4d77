"""Rate limit for what the core tells operators: a flood of bad packets is one line, not a flood."""

from __future__ import annotations

from typing import Literal

from vrrp_proc.effects import Notice

REPEAT_S = 60.0


class NoticeLimiter:
    """Each kind of notice at once, then at most each ``REPEAT_S``; anew after ``reset``."""

    def __init__(self) -> None:
        self._next_at: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def notice(
        self,
        event_id: str,
        level: Literal["debug", "info", "warning", "error"],
        text: str,
        now: float,
        *,
        key: str = "",
        **fields: str | int | float,
    ) -> list[Notice]:
        """The notice, or nothing while notices of this id and ``key`` are held back."""
        slot = f"{event_id}/{key}"
        if now < self._next_at.get(slot, float("-inf")):
            self._suppressed[slot] = self._suppressed.get(slot, 0) + 1
            return []
        self._next_at[slot] = now + REPEAT_S
        suppressed = self._suppressed.pop(slot, 0)
        return [Notice(event_id=event_id, level=level, text=text, fields=fields, suppressed=suppressed)]

    def reset(self) -> None:
        """Mastership or master changed: what was known before may be news again (RFC 9568 section 7.1)."""
        self._next_at.clear()
