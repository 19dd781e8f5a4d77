"""Formulas, the advert grid, and the fence deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrrp_proc.timers import fence_deadline, fence_margin_s, next_on_grid, profile, survival_s


@pytest.mark.parametrize(
    ("interval_cs", "priority", "down_ms"),
    [(100, 254, 3007.81), (100, 100, 3609.38), (100, 1, 3996.09), (10, 200, 321.88), (1, 100, 36.09),
     (1, 254, 30.08)],
)  # fmt: skip
def test_tmr_02_tmr_03_down_interval_of_version_3(interval_cs: int, priority: int, down_ms: float) -> None:
    assert profile(3).down_s(priority, interval_cs, 3) * 1000 == pytest.approx(down_ms, abs=0.006)


@pytest.mark.parametrize("interval_cs", [100, 500])
def test_tmr_01_skew_of_version_2_does_not_depend_on_the_interval(interval_cs: int) -> None:
    assert profile(2).skew_s(100, interval_cs) == 156 / 256
    assert profile(2).down_s(100, 500, 3) == 15 + 156 / 256


def test_tmr_02_one_step_of_priority_at_one_centisecond_is_39_us() -> None:
    step_s = profile(3).skew_s(100, 1) - profile(3).skew_s(101, 1)
    assert step_s == pytest.approx(39.0625e-6)


def test_down_timer_adverts_multiplies() -> None:
    assert profile(3).down_s(255, 100, 5) == pytest.approx(5 + 1 / 256)


@pytest.mark.parametrize(("interval_cs", "after_s"), [(100, 2.8), (10, 0.28), (5, 0.13), (1, 0.01)])
def test_fence_deadline(interval_cs: int, after_s: float) -> None:
    assert fence_deadline(1000.0, interval_cs, 3) - 1000.0 == pytest.approx(after_s)


def test_fence_deadline_with_fewer_adverts_and_never_before_the_last_one() -> None:
    assert fence_deadline(1000.0, 100, 1) == pytest.approx(1000.8)
    assert fence_deadline(1000.0, 100, 10) == pytest.approx(1002.8)
    assert fence_deadline(1000.0, 1, 1) == 1000.0


@given(st.integers(1, 4095), st.integers(1, 100), st.integers(1, 254))
def test_fence_comes_before_any_peer_can_take_over(cs: int, adverts: int, priority: int) -> None:
    peer_at = 1000.0 + profile(3).down_s(priority, cs, min(3, adverts))
    assert fence_deadline(1000.0, cs, adverts) < peer_at
    assert survival_s(cs, adverts) - fence_margin_s(cs) <= fence_deadline(0.0, cs, adverts) + 1e-9


@given(st.floats(0, 1e6), st.integers(1, 4095), st.floats(0, 1e3))
def test_act_08_the_grid_neither_drifts_nor_bursts(due_at: float, cs: int, late_s: float) -> None:
    interval_s = cs / 100
    now = due_at + late_s
    next_at = next_on_grid(due_at, interval_s, now)
    assert now < next_at <= now + interval_s * 1.001
    steps = (next_at - due_at) / interval_s
    assert steps == pytest.approx(round(steps), abs=1e-3)


def test_a_point_still_to_come_stays() -> None:
    assert next_on_grid(10.0, 1.0, 9.5) == 10.0
