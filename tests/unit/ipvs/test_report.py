"""Records for the bus: what makes a record a new condition, with a since of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ipvs_proc.desired import Memory, desired
from ipvs_proc.report import same_condition, states
from tests.unit.ipvs.builders import config, real, virtual

CONFIG = config(virtual(real(1, "a")))
DECISION = desired(CONFIG, {"a": True}, Memory())
SERVICE, SERVER = states(CONFIG, DECISION, DECISION.table, {}, "")


@pytest.mark.parametrize(
    ("record", "change", "same"),
    [
        (SERVICE, {"in_kernel": False}, False),
        (replace(SERVICE, in_kernel=False), {}, True),
        (SERVICE, {"quorum_up": False}, False),
        (SERVICE, {"sorry_active": True}, False),
        (SERVICE, {"weight_up": 7, "reason": "other words"}, True),
        (SERVER, {"in_kernel": False}, False),
        (SERVER, {"alive": False}, False),
        (SERVER, {"weight": 0}, False),
        (SERVER, {"reason": "other words"}, True),
    ],
)
def test_conditions(record: Any, change: dict[str, Any], same: bool) -> None:
    assert same_condition(record, replace(record, **change)) is same


def test_a_refusal_of_the_service_is_the_reason_of_its_servers() -> None:
    (key,) = DECISION.table
    service, server = states(CONFIG, DECISION, {}, {(key, None): "no such scheduler"}, "")
    assert (service.reason, server.reason) == ("no such scheduler", "no such scheduler")
    assert not service.in_kernel
    assert not server.in_kernel
