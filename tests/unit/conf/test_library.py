"""The public face: names, and the examples of docs/library.md."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import keepalived_conf

PAGE = Path(__file__).resolve().parents[3] / "docs" / "library.md"


def test_the_examples_do_what_the_page_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.FAIL_FAST)
    assert found.attempted > 20
    assert found.failed == 0


def test_every_public_name_is_there() -> None:
    for name in keepalived_conf._HOMES:
        assert getattr(keepalived_conf, name).__name__ == name
    assert not hasattr(keepalived_conf, "no_such_name")


def test_the_library_needs_the_standard_library_only() -> None:
    code = (
        "import sys\nfrom keepalived_conf.loading import load_text\nfrom keepalived_conf import Document\n"
        "load_text(b'vrrp_instance A {\\n}\\n')\nDocument.parse(b'a')\n"
        "known = sys.stdlib_module_names | {'__main__'}\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - known))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=PAGE.parents[1], check=True
    )
    assert done.stdout.split() == ["keepalived_conf"]
