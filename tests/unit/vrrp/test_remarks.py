"""Adverts that are accepted with a remark: what is said of them, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.vrrp.build import T0, advert, backup, master
from vrrp_proc import effects as ef
from vrrp_proc.effects import Effect
from vrrp_proc.events import AdvertReceived
from vrrp_proc.packet import Remark

OTHER = Remark.ADDRESS_LIST_DIFFERS


def differing(priority: int, at: float, *remarks: Remark, source: str = "192.0.2.9") -> AdvertReceived:
    heard = advert(priority, at, source)
    return replace(heard, advert=replace(heard.advert, remarks=remarks or (OTHER,)))


def told(effects: list[Effect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, ef.Notice)]


@pytest.mark.parametrize(("skip", "counted"), [(False, 3), (True, 1)])
def test_skip_check_adv_addr_compares_the_addresses_of_a_new_sender_only(skip: bool, counted: int) -> None:
    instance = backup(skip_check_adv_addr=skip)
    said = told(instance.handle(differing(200, T0), T0))
    assert said == ["advert from 192.0.2.9: its addresses differ from ours"]
    for second in (1, 2):
        instance.handle(differing(200, T0 + second), T0 + second)
    assert instance.counters.by_reason[OTHER.value] == counted
    instance.handle(differing(201, T0 + 3, source="192.0.2.10"), T0 + 3)
    assert instance.counters.by_reason[OTHER.value] == counted + 1


def test_skip_check_adv_addr_skips_nothing_else_and_nothing_of_a_master() -> None:
    instance = backup(skip_check_adv_addr=True)
    for second in range(3):
        heard = differing(200, T0 + second, OTHER, Remark.INTERVAL_DIFFERS)
        instance.handle(heard, T0 + second)
    assert instance.counters.by_reason[Remark.INTERVAL_DIFFERS.value] == 3
    leader, at = master(skip_check_adv_addr=True)
    for moment in (at + 0.1, at + 0.2):
        leader.handle(differing(50, moment), moment)
    assert leader.counters.by_reason[OTHER.value] == 2
