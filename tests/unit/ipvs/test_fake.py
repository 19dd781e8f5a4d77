"""The fake kernel keeps the contract that the real one is held to in tests/kernel."""

from __future__ import annotations

import pytest

from ipvs_proc.port import FakeIpvs, IpvsUnavailableError
from tests.unit.ipvs.contract import PortContract


class TestFake(PortContract):
    @pytest.fixture
    def port(self) -> FakeIpvs:
        fake = FakeIpvs()
        fake.refuse = {"nonesuch"}
        return fake


def test_without_ipvs_every_verb_says_so() -> None:
    fake = FakeIpvs()
    fake.available = False
    for verb in (fake.info, fake.services, fake.flush, fake.timeouts):
        with pytest.raises(IpvsUnavailableError):
            verb()
    with pytest.raises(IpvsUnavailableError):
        fake.perform([])
