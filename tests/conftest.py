"""What every tier shares, also when pytest is called by hand."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from deploy.setup.common import search_path

# Unpacked peers and tools are found after the system's own.
os.environ["PATH"] = search_path()

# Hosts are noisy: a slow example says nothing about the code. Fixed seeds keep a red run repeatable.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
