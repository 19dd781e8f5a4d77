"""bfd_instance."""

from __future__ import annotations

from dataclasses import dataclass, field

from keepalived_conf.model.base import Places


@dataclass(frozen=True, kw_only=True, slots=True)
class BfdInstance:
    """bfd_instance NAME."""

    name: str
    places: Places = field(default_factory=dict, compare=False, repr=False)
