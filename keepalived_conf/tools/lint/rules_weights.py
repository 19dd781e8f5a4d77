"""Rules about trackers: what a failing check does, and what it never can (users-ask 15 and 24)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.view import Instance, Tracker, View, base_name

MAX_PRIORITY = 254

_MAINTENANCE = re.compile(r"maint|down|disable|drain|fault|stop|standby|manual|<", re.IGNORECASE)
"""In the name or the words of a check: that it is good means that the node should not serve."""


def weighted(one: Instance) -> list[Tracker]:
    return [tracker for tracker in one.effective if tracker.weight]


def reach(one: Instance, *, good: bool) -> int:
    """Priority with every weighted check good, or with every one failing."""
    total = one.model.priority + sum(tracker.change(good=good) for tracker in weighted(one))
    return max(1, min(MAX_PRIORITY, total))


def countable(one: Instance) -> bool:
    """Something can be said about the sum."""
    return all(map(bounded, weighted(one)))


def bounded(tracker: Tracker) -> bool:
    """It moves the priority and nothing else: from -254 on the instance goes into FAULT, and a file may
    hold any number."""
    return tracker.kind != "file" and abs(tracker.weight) < 254


def nopreempt_weight(view: View) -> Iterator[Finding]:
    """nopreempt and weights: the master stays, however low it sinks (KKV#72; KA#2379, #2599)."""
    for one in view.instances:
        trackers = [tracker for tracker in weighted(one) if bounded(tracker)]
        if one.model.preempt or not trackers:
            continue
        names = ", ".join(dict.fromkeys(tracker.name for tracker in trackers))
        yield Finding(
            code="lint-nopreempt-weight",
            place=one.at("nopreempt"),
            width=one.width("nopreempt"),
            message=f"({one.name}) with nopreempt this node never takes over from a living master: "
            f"the weight of {names} only changes a number",
            hint="take the weight out (a failing check then means FAULT, and the address moves), "
            "or take nopreempt out",
            also=(trackers[0].place,),
        )


def reverse_fault(view: View) -> Iterator[Finding]:
    """weight 0 reverse: in FAULT for as long as the check is good (KA#2103).

    That is what a check for a maintenance file wants, so what looks like one is left alone.
    """
    scripts = {one.name: one for one in view.config.vrrp_scripts}
    for one in view.instances:
        for tracker in one.trackers:
            script = scripts.get(tracker.name) if tracker.kind == "script" else None
            if script is None or tracker.weight or not tracker.reverse:
                continue
            words = (script.name, *script.script.command)
            if base_name(words[1]) in ("test", "[", "ls", "stat") or _MAINTENANCE.search(" ".join(words)):
                continue
            place = script.places.get("weight")
            yield Finding(
                code="lint-reverse-fault",
                place=place or tracker.place,
                width=len("weight") if place else len(tracker.name),
                message=f"({one.name}) weight 0 reverse: the instance is in FAULT for as long as "
                f"{tracker.name} is good",
                hint="take reverse out: a failing check then means FAULT",
                also=(tracker.place,),
            )


def weight_capped(view: View) -> Iterator[Finding]:
    """Priority and weight above 254: two such nodes come out equal (users-ask 15)."""
    for one in view.instances:
        if not countable(one) or one.owner:
            continue
        total = one.model.priority + sum(tracker.change(good=True) for tracker in weighted(one))
        if total > MAX_PRIORITY:
            yield Finding(
                code="lint-weight-capped",
                place=one.at("priority"),
                width=one.width("priority"),
                message=f"({one.name}) priority {one.model.priority} and the weights make {total}; "
                "no more than 254 counts, so a failing check takes away less than its weight",
                hint="lower the priority of every node by as much",
                also=(weighted(one)[0].place,),
            )


RULES = (nopreempt_weight, reverse_fault, weight_capped)
