"""Priority, preemption, intervals and answers of an instance, and what strict mode makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from keepalived_conf.builders.vrrp_defaults import VrrpDefaults
from keepalived_conf.builders.vrrp_draft import OWNER_PRIORITY, Draft
from keepalived_conf.builders.vrrp_scan import Scan
from keepalived_conf.diagnostics import KeepalivedClass

ADVERT_INT_MAX_V3_CS = 4095
DEFAULT_PRIORITY = 100
DOWN_TIMER_ADVERTS = 3
BARE_TIMER_EXPIRED_PRIORITY = 254

State = Literal["MASTER", "BACKUP"]


def strict(draft: Draft, keyword: str, message: str, hint: str = "take it out, or strict mode") -> None:
    draft.error(keyword, "strict-mode", f"strict mode: {message}", hint=hint)


def election(draft: Draft, found: Scan, *, strict_mode: bool) -> tuple[State, int]:
    """(state, priority): each follows from the other where it is not written."""
    written = found.state
    priority = draft.read.get("priority")
    if "priority" in draft.read.refused:
        priority = DEFAULT_PRIORITY
    elif priority is None:
        priority = OWNER_PRIORITY if written == "MASTER" else DEFAULT_PRIORITY
        if written == "MASTER":
            draft.warning(
                "state",
                "owner-by-state",
                "state MASTER without priority makes it the address owner (priority 255)",
                hint="write a priority",
            )
    owner = priority == OWNER_PRIORITY
    if written is None:
        return ("MASTER" if owner else "BACKUP"), priority
    if strict_mode and (written == "MASTER") != owner:
        right: State = "MASTER" if owner else "BACKUP"
        strict(
            draft,
            "state",
            f"state MASTER is for priority {OWNER_PRIORITY}, and for no other; {right} is taken",
            f"write state {right}",
        )
        return right, priority
    return ("MASTER" if written == "MASTER" else "BACKUP"), priority


@dataclass(frozen=True, kw_only=True, slots=True)
class Preemption:
    preempt: bool
    delay_s: float
    timer_expired_backup: int | None


def preemption(draft: Draft, found: Scan, *, state: State, priority: int, strict_mode: bool) -> Preemption:
    read = draft.read
    preempt = not found.nopreempt
    delay_s = 0.0 if "preempt_delay" in read.refused else float(read.get("preempt_delay", 0.0))
    if not preempt and priority == OWNER_PRIORITY:
        draft.error(
            "nopreempt",
            "nopreempt-cleared",
            "nopreempt does not work with priority 255; it is cleared",
            hint="use a priority below 255",
        )
        preempt = True
    elif not preempt and state == "MASTER":
        draft.error(
            "nopreempt",
            "nopreempt-cleared",
            "nopreempt does not work with initial state MASTER; it is cleared",
            hint="write state BACKUP on every node",
        )
        preempt = True
    if delay_s and state == "MASTER":
        _clear_delay(draft, "initial state MASTER", "write state BACKUP on every node")
        delay_s = 0.0
    elif delay_s and strict_mode:
        _clear_delay(draft, "strict mode", "write one of the two")
        delay_s = 0.0
    elif delay_s and not preempt:
        _clear_delay(draft, "nopreempt", "write one of the two")
        delay_s = 0.0
    expired: int | None = None
    if read.has("timer_expired_backup"):
        expired = read.get("timer_expired_backup") or BARE_TIMER_EXPIRED_PRIORITY
        if preempt:
            draft.error(
                draft.written("timer_expired_backup", "thread_timer_expired") or "",
                "timer-expired-cleared",
                "timer_expired_backup needs nopreempt; it is cleared",
                hint="write nopreempt, or take it out",
            )
            expired = None
    return Preemption(preempt=preempt, delay_s=delay_s, timer_expired_backup=expired)


def _clear_delay(draft: Draft, other: str, hint: str) -> None:
    draft.error(
        "preempt_delay",
        "preempt-delay-cleared",
        f"preempt_delay does not work with {other}; it is cleared",
        hint=hint,
    )


def advert_int_cs(draft: Draft, version: int) -> int:
    written_s = float(draft.read.get("advert_int", 1.0))
    if version == 2:
        interval_cs = max(100, math.floor(written_s + 0.5) * 100)
        if interval_cs != round(written_s * 100, 6):
            draft.error(
                "advert_int",
                "advert-int-rounded",
                f"advert_int {written_s:g}: version 2 knows whole "
                f"seconds only; {interval_cs // 100} is taken",
                hint="write version 3 for shorter intervals",
            )
        return interval_cs
    interval_cs = math.floor(written_s * 100 + 0.5)
    if written_s * 100 >= ADVERT_INT_MAX_V3_CS + 1:
        draft.error(
            "advert_int",
            "advert-int-rounded",
            f"advert_int {written_s:g} is more than version 3 can say; 40.95 is taken",
            hint="write at most 40.95",
        )
        return ADVERT_INT_MAX_V3_CS
    if interval_cs != round(written_s * 100, 6):
        draft.error(
            "advert_int",
            "advert-int-rounded",
            f"advert_int {written_s:g} is rounded to {interval_cs / 100:g} (10 ms steps)",
        )
    return min(max(1, interval_cs), ADVERT_INT_MAX_V3_CS)


def answers(draft: Draft, defaults: VrrpDefaults, *, priority: int, strict_mode: bool) -> dict[str, Any]:
    """How it answers other routers, and its counts: fields of VrrpInstance."""
    read = draft.read
    adverts: int = read.get("down_timer_adverts", defaults.down_timer_adverts)
    if strict_mode and adverts != DOWN_TIMER_ADVERTS:
        strict(draft, "down_timer_adverts", f"down_timer_adverts is {DOWN_TIMER_ADVERTS}; that is taken")
        adverts = DOWN_TIMER_ADVERTS
    repeat: int | None = read.get("garp_lower_prio_repeat")
    delay_s: int | None = read.get("garp_lower_prio_delay")
    no_advert: bool | None = read.get("lower_prio_no_advert")
    send: bool | None = read.get("higher_prio_send_advert")
    if strict_mode:
        if repeat:
            strict(draft, "garp_lower_prio_repeat", "no gratuitous ARPs are sent then; 0 is taken")
        if delay_s:
            strict(draft, "garp_lower_prio_delay", "no gratuitous ARPs are sent then; 0 is taken")
        if no_advert is False:
            strict(draft, "lower_prio_no_advert", "lower_prio_no_advert is on; that is taken")
        if send:
            strict(draft, "higher_prio_send_advert", "higher_prio_send_advert is off; that is taken")
        repeat, delay_s, no_advert, send = 0, 0, True, False
    return {
        "down_timer_adverts": adverts,
        "garp_lower_prio_repeat": _first(
            repeat, defaults.garp_lower_prio_repeat, defaults.garp_master_repeat
        ),
        "garp_lower_prio_delay_s": _first(
            delay_s, defaults.garp_lower_prio_delay_s, defaults.garp_master_delay_s
        ),
        "lower_prio_no_advert": defaults.lower_prio_no_advert if no_advert is None else no_advert,
        "higher_prio_send_advert": defaults.higher_prio_send_advert if send is None else send,
        "owner_ignore_adverts": _owner_ignore_adverts(
            draft, defaults, priority=priority, strict_mode=strict_mode
        ),
    }


def _first(*candidates: int | None) -> int:
    return next(c for c in candidates if c is not None)


def _owner_ignore_adverts(draft: Draft, defaults: VrrpDefaults, *, priority: int, strict_mode: bool) -> bool:
    written: bool | None = draft.read.get("owner_ignore_adverts")
    if priority != OWNER_PRIORITY:
        if written:
            draft.error(
                "owner_ignore_adverts",
                "not-owner",
                "owner_ignore_adverts is for priority 255; it is ignored",
                hint="take it out",
            )
        return False
    if written is None:
        return strict_mode or defaults.owner_ignore_adverts
    if not written and strict_mode:
        strict(draft, "owner_ignore_adverts", "priority 255 ignores adverts; on is taken")
        return True
    if not written:
        # keepalived 2.4.3 says the same as in strict mode here and turns it on: off means off.
        draft.warning(
            "owner_ignore_adverts",
            "owner-ignore-off",
            "owner_ignore_adverts off is taken for on by keepalived 2.4.3; here it is off",
            hint="take the line out: off is the default",
            keepalived=KeepalivedClass.GENERAL_ERROR,
        )
    return written


def accepts(draft: Draft, found: Scan, *, priority: int, version: int, strict_mode: bool) -> bool:
    """Whether traffic to the addresses is let in."""
    owner = priority == OWNER_PRIORITY
    if found.accept is None:
        return owner or not strict_mode
    if found.accept and strict_mode and version == 2 and not owner:
        strict(draft, "accept", "version 2 lets nothing in (RFC 3768); accept is ignored")
        return False
    return found.accept
