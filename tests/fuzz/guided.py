"""Coverage-guided fuzzing of the configuration reader with atheris (dev extra ``fuzz``).

    python -m tests.fuzz.guided -max_total_time=600 CORPUS_FOLDER

Arguments are libFuzzer's. A finding ends the run and leaves its input in the working directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["keepalived_conf"]):
    from tests.fuzz.oracle import check
    from tests.fuzz.seeds import from_tables


def one(data: bytes) -> None:
    """An input of at most what a small file has: what matters is which lines it runs through."""
    check(data[:8000], thorough=True)


def main() -> None:
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    if folders and folders[0].is_dir() and not any(folders[0].iterdir()):
        for number, text in enumerate(from_tables(400)):
            (folders[0] / f"seed-{number}").write_bytes(text)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
