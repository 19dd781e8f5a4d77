"""Writes what is made from the tables: ``python -m keepalived_conf.tools.generate docs|schema|completion``.

``docs`` writes docs/configuration.md, ``schema`` docs/keepalived.schema.json, both of this source tree;
``completion`` prints JSON. With ``--check`` nothing is written: status 1 if a file is not up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from keepalived_conf.tools import completion, json_schema, markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"
INTRODUCTION = DOCS / "configuration.in.md"


def docs() -> str:
    return markdown.document(INTRODUCTION.read_text(encoding="utf-8"))


def schema() -> str:
    return json.dumps(json_schema.schema(), indent=1, ensure_ascii=False) + "\n"


FILES: dict[str, tuple[Path, Callable[[], str]]] = {
    "docs": (DOCS / "configuration.md", docs),
    "schema": (DOCS / "keepalived.schema.json", schema),
}


def stale() -> list[str]:
    """Names of files that are not what the tables say now."""
    return [
        name
        for name, (path, make) in FILES.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != make()
    ]


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        for name in stale():
            print(f"{FILES[name][0]} is not up to date: python -m {__spec__.name} {name}", file=sys.stderr)
        return 1 if stale() else 0
    if arguments == ["completion"]:
        print(json.dumps(completion.completion(), indent=1, ensure_ascii=False))
        return 0
    if not arguments or not set(arguments) <= set(FILES):
        print(f"usage: python -m {__spec__.name} docs|schema|completion|--check", file=sys.stderr)
        return 2
    for name in arguments:
        path, make = FILES[name]
        path.write_text(make(), encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
