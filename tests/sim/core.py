"""The VRRP core as one object, optionally with faults planted into its source.

A mutated core is a second, private copy of the modules: nothing of the real ones is patched.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "checksum",
    "timers",
    "tracking",
    "packet",
    "record",
    "effects",
    "events",
    "counters",
    "notices",
    "garp_plan",
    "resume",
    "router",
    "tracked",
    "handover",
    "member",
    "backup",
    "mastership",
    "instance",
    "group",
)
"""In the order of their imports."""


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One planted fault: ``old`` occurs exactly once in the modules and is replaced by ``new``."""

    modules: tuple[str, ...]
    old: str
    new: str


class Core:
    """The modules of the core by name (Any: a mutated copy has its own classes)."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self.timers: Any = modules["timers"]
        self.tracking: Any = modules["tracking"]
        self.packet: Any = modules["packet"]
        self.record: Any = modules["record"]
        self.effects: Any = modules["effects"]
        self.events: Any = modules["events"]
        self.resume: Any = modules["resume"]
        self.handover: Any = modules["handover"]
        self.instance: Any = modules["instance"]
        self.group: Any = modules["group"]


def real_core() -> Core:
    """The core as it is."""
    return Core({name: importlib.import_module(f"vrrp_proc.{name}") for name in MODULES})


def _source(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


def mutated_core(*mutations: Mutation) -> Core:
    """A copy of the core with these faults in it. A fault that no longer fits the source is an error."""
    originals = {name: importlib.import_module(f"vrrp_proc.{name}") for name in MODULES}
    package = importlib.import_module("vrrp_proc")
    copies: dict[str, ModuleType] = {}
    try:
        for mutation in mutations:
            found = sum(_source(originals[name]).count(mutation.old) for name in mutation.modules)
            assert found == 1, f"{mutation.modules}: found {found} times, not once: {mutation.old!r}"
        for name in MODULES:
            path = originals[name].__file__
            source = _source(originals[name])
            for mutation in mutations:
                if name in mutation.modules:
                    source = source.replace(mutation.old, mutation.new)
            module = ModuleType(f"vrrp_proc.{name}")
            module.__file__ = path
            sys.modules[f"vrrp_proc.{name}"] = module
            setattr(package, name, module)  # what ``from vrrp_proc import name`` finds
            exec(compile(source, f"{path} (mutated)", "exec"), module.__dict__)
            copies[name] = module
    finally:
        for name in MODULES:
            sys.modules[f"vrrp_proc.{name}"] = originals[name]
            setattr(package, name, originals[name])
    return Core(copies)
