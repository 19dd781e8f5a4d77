"""keepalived.conf as a library: read it, check it, take it apart, change it. docs/library.md has examples.

    from keepalived_conf import load
    result = load("/etc/keepalived/keepalived.conf")

The names here are brought in when they are first used: a worker that needs the model loads nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepalived_conf.diagnostics import Diagnostic as Diagnostic
    from keepalived_conf.diagnostics import KeepalivedClass as KeepalivedClass
    from keepalived_conf.diagnostics import Severity as Severity
    from keepalived_conf.diagnostics import render as render
    from keepalived_conf.loading import LoadResult as LoadResult
    from keepalived_conf.loading import exit_status as exit_status
    from keepalived_conf.loading import load as load
    from keepalived_conf.loading import load_text as load_text
    from keepalived_conf.model import Config as Config
    from keepalived_conf.model import Place as Place
    from keepalived_conf.syntax.edit import Document as Document
    from keepalived_conf.syntax.edit import NotFoundError as NotFoundError
    from keepalived_conf.syntax.edit import Statement as Statement

_HOMES = {
    "Config": "model",
    "Diagnostic": "diagnostics",
    "Document": "syntax.edit",
    "KeepalivedClass": "diagnostics",
    "LoadResult": "loading",
    "NotFoundError": "syntax.edit",
    "Place": "model",
    "Severity": "diagnostics",
    "Statement": "syntax.edit",
    "exit_status": "loading",
    "load": "loading",
    "load_text": "loading",
    "render": "diagnostics",
}
"""Public name -> module of this package."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
