"""The arrows between packages and the purity of the cores, enforced on the source itself.

The table is the one of docs/internals.md. ``violations`` works on any folder that is laid out like
this tree, so that the checker is itself tested on planted violations.
"""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODEL = "keepalived_conf.model"
MESSAGES = "bus.messages"
_EVERYWHERE = f"{MODEL}, {MESSAGES}"
"""Frozen dataclasses only: what a pure module may know of other packages, where an arrow allows it."""
WORKERS = ("vrrp_proc", "checker_proc", "ipvs_proc", "script_proc")

ARROWS: dict[str, tuple[str, ...]] = {
    "keepalived_conf": (),
    "bus": (),
    "worker": (),
    **dict.fromkeys(WORKERS, ("bus", "worker", MODEL)),
    "supervisor": ("keepalived_conf", "bus", "worker", *(f"{name}.process" for name in WORKERS)),
}
"""Package -> what its modules may import of the project: a package with all its modules, or one module."""

EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "bus.process": ("worker",),
    "supervisor.hooks": ("script_proc.hook",),  # startup_script and shutdown_script: no worker runs then
    "supervisor.explain_cli": ("vrrp_proc.flight", "vrrp_proc.record"),  # reads the black box of vrrp
}
"""Module (with everything below it) -> what it may import beyond its package's arrows."""

IMPURE = frozenset(
    {"socket", "select", "selectors", "os", "pathlib", "time", "random", "secrets", "subprocess", "signal",
     "threading", "multiprocessing", "fcntl", "ctypes", "mmap", "asyncio", "uvloop", "zmq", "pyroute2",
     "logging", "structlog"}
)  # fmt: skip

PURE_PATTERNS = (
    *(f"bus.{name}" for name in ("broker", "codec", "envelope", "gate", "messages", "outbox")),
    "bus.replica",
    *(f"checker_proc.{name}" for name in ("check", "fleet", "http", "ledger", "outcome", "pattern")),
    "checker_proc.schedule",
    *(f"ipvs_proc.{name}" for name in ("changes", "desired", "model", "reconcile")),
    *(f"keepalived_conf.{name}" for name in ("builders.*", "diagnostics", "grammar.*", "model*", "syntax.*")),
    "keepalived_conf.tools.diff*",
    "keepalived_conf.tools.identity",
    *(f"keepalived_conf.tools.{name}" for name in ("completion", "derived", "explain", "json_schema")),
    *(f"keepalived_conf.tools.{name}" for name in ("markdown", "settings", "show", "to_json", "write")),
    *(f"keepalived_conf.tools.lint.{name}" for name in ("finding", "rules_*", "view")),
    *(f"script_proc.{name}" for name in ("file_value", "proc_match", "proc_quorum")),
    *(f"vrrp_proc.{name}" for name in ("bpf", "checksum", "counters", "effects", "events", "garp_plan")),
    "vrrp_proc.flight",
    *(f"vrrp_proc.{name}" for name in ("instance", "notices", "packet", "record", "resume", "timers")),
    *(f"vrrp_proc.{name}" for name in ("backup", "handover", "mastership")),
    *(f"vrrp_proc.{name}" for name in ("firewall_rules", "nft")),
    *(f"vrrp_proc.{name}" for name in ("debounce", "group", "member", "router", "tracked", "tracking")),
    *(f"script_proc.{name}" for name in ("jobs", "program")),
    "supervisor.check_status",
    "supervisor.explain",
    *(f"script_proc.{name}" for name in ("ledger", "schedule", "track")),
    *(f"script_proc.{name}" for name in ("book", "notify")),
    "supervisor.policy",
    "worker.log_classic",
)
"""Modules (shell patterns allowed) that do no I/O and know no clock, whatever imports them."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """``module`` imports ``target`` (absolute, as far as it can be known) at ``line``."""

    module: str
    target: str
    line: int
    path: Path

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.module} imports {self.target}"


def modules(root: Path) -> dict[str, Path]:
    """Module name -> file, of all packages in the table that exist below ``root``."""
    found: dict[str, Path] = {}
    for package in ARROWS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Every import anywhere in the file, inside functions and ``if TYPE_CHECKING`` too."""
    is_package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                home = module.split(".")[: None if is_package else -1]
                home = home[: len(home) - (node.level - 1)]
                base = ".".join([*home, *([base] if base else [])])
            # `from package import module` imports the module
            full = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if name in known else base for name in full]
        elif isinstance(node, ast.Call) and _callee(node) in ("__import__", "import_module") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                targets = [first.value]
        for target in dict.fromkeys(targets):
            yield Import(module=module, target=target, line=getattr(node, "lineno", 0), path=path)


def _callee(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def within(module: str, roof: str) -> bool:
    return module == roof or module.startswith(roof + ".")


def pure(module: str) -> bool:
    return any(fnmatch.fnmatchcase(module, pattern) for pattern in PURE_PATTERNS)


def arrow_violations(root: Path) -> list[str]:
    """Imports of the project that the table does not allow."""
    known = modules(root)
    found = []
    for module, path in known.items():
        package = module.split(".")[0]
        extra = [name for roof, names in EXCEPTIONS.items() if within(module, roof) for name in names]
        allowed = (package, *ARROWS[package], *extra)
        for one in imports(module, path, known):
            top = one.target.split(".")[0]
            if top in ("tests", "bench", "deploy"):
                found.append(f"{one}: nothing that is shipped imports {top}")
            elif top in ARROWS and not any(within(one.target, roof) for roof in allowed):
                found.append(f"{one}: {package} may import only {', '.join(ARROWS[package]) or 'itself'}")
    return found


def purity_violations(root: Path) -> list[str]:
    """Imports that a pure module must not have."""
    known = modules(root)
    found = []
    for module, path in known.items():
        if not pure(module):
            continue
        package = module.split(".")[0]
        for one in imports(module, path, known):
            top = one.target.split(".")[0]
            if top in IMPURE:
                found.append(f"{one}: a pure module knows no {top}")
            elif top in ARROWS:
                own = top == package and (pure(one.target) or one.target == package)
                if not own and one.target not in (MODEL, MESSAGES):
                    found.append(
                        f"{one}: a pure module imports only {_EVERYWHERE} and pure ones of {package}"
                    )
    return found


def plant(root: Path, **files: str) -> Path:
    """Sources below ``root``; ``a__b="..."`` becomes ``a/b.py``, packages get an ``__init__.py``."""
    for name, text in files.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return root


def test_no_import_against_the_arrows() -> None:
    assert len(modules(ROOT)) > len(ARROWS), "the tree was not found"
    assert arrow_violations(ROOT) == []


def test_pure_modules_import_no_io_no_clock_and_no_project() -> None:
    assert purity_violations(ROOT) == []


@pytest.mark.parametrize("pattern", PURE_PATTERNS)
def test_every_listed_pure_module_exists(pattern: str) -> None:
    assert [name for name in modules(ROOT) if fnmatch.fnmatchcase(name, pattern)], (
        f"{pattern} names no module: mend the list in {Path(__file__).name}"
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vrrp_proc__engine", "import checker_proc.check"),
        ("vrrp_proc__engine", "from ipvs_proc import model"),
        ("vrrp_proc__engine", "from keepalived_conf import lexer"),
        ("vrrp_proc__engine", "import keepalived_conf"),
        ("vrrp_proc__engine", "def f() -> None:\n    import supervisor.fork"),
        ("vrrp_proc__engine", "import importlib\nimportlib.import_module('supervisor.cli')"),
        ("vrrp_proc__engine", "from tests.lab import Lab"),
        ("vrrp_proc__deep__engine", "from ...ipvs_proc import model"),
        ("bus__client", "import worker.clock"),
        ("bus__client", "from keepalived_conf.model import Config"),
        ("worker__context", "from bus.client import Publisher"),
        ("keepalived_conf__loader", "import worker.control"),
        ("supervisor__fork", "from vrrp_proc.packet import decode"),
    ],
)
def test_a_planted_import_against_the_arrows_is_found(tmp_path: Path, module: str, source: str) -> None:
    root = plant(
        tmp_path, checker_proc__check="", ipvs_proc__model="", supervisor__fork="", vrrp_proc__packet="",
        keepalived_conf__lexer="", keepalived_conf__model="",
    )  # fmt: skip
    assert arrow_violations(root) == []
    plant(root, **{module: source})
    (found,) = arrow_violations(root)
    assert module.replace("__", "/") in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vrrp_proc__engine", "import bus\nimport worker.clock\nfrom keepalived_conf.model import VrrpSlice"),
        ("vrrp_proc__engine", "from keepalived_conf import model\nfrom vrrp_proc import packet"),
        ("vrrp_proc__engine", "import json\nfrom . import packet"),
        ("bus__process", "import worker.context"),
        ("supervisor__fork", "import vrrp_proc.process\nfrom keepalived_conf import lexer"),
        ("keepalived_conf__lexer", "import re\nfrom . import model\nfrom .model import Config"),
    ],
)
def test_what_the_arrows_allow_is_let_through(tmp_path: Path, module: str, source: str) -> None:
    plant(tmp_path, vrrp_proc__packet="", vrrp_proc__process="", keepalived_conf__model="")
    assert arrow_violations(plant(tmp_path, **{module: source})) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import path",
        "import zmq",
        "if True:\n    import asyncio",
        "from pyroute2.netlink import nlmsg",
        "from vrrp_proc import shell",
        "from bus import messages",
        "import keepalived_conf",
    ],
)
def test_a_planted_impurity_is_found(tmp_path: Path, source: str) -> None:
    root = plant(tmp_path, vrrp_proc__packet="import struct", vrrp_proc__shell="", keepalived_conf__model="")
    assert purity_violations(root) == []
    (found,) = purity_violations(plant(root, vrrp_proc__packet=source))
    assert "vrrp_proc/packet.py:" in found
