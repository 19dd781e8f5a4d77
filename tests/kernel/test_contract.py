"""The contract of IpvsPort, kept by the real kernel."""

from __future__ import annotations

from tests.unit.ipvs.contract import PortContract


class TestKernel(PortContract):
    """Fixture ``port`` comes from conftest."""
