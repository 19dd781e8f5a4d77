"""bfd_instance -> model."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_conf.builders.reader import Read, Reader
from keepalived_conf.model import BfdInstance


@dataclass(frozen=True, kw_only=True, slots=True)
class Bfd:
    bfd_instances: tuple[BfdInstance, ...] = ()


def build_bfd(reader: Reader, root: Read) -> Bfd:  # noqa: ARG001
    """From the blocks of the top level, in file order."""
    return Bfd()
