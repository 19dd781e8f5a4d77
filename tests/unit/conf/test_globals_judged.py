"""global_defs, the top level, bfd_instance and interfaces: the judgement keepalived 2.4.3 gave of each line.

``data/globals-judged.txt``: ``=== STATUS LINES`` and the text; the status of ``keepalived -t``, and the lines
it complains of. Ours must be the same status, and must name these lines. Left out is what depends on the
machine: users, host names, number of CPUs, interfaces.
"""

from __future__ import annotations

from pathlib import Path

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.loading import exit_status
from tests.unit.conf.support import load

DATA = Path(__file__).parent / "data" / "globals-judged.txt"


def test_as_keepalived_judges() -> None:
    cases = DATA.read_text(encoding="utf-8").split("\n=== ")[1:]
    assert len(cases) > 1500
    wrong = []
    for case in cases:
        head, _, text = case.partition("\n")
        status, _, lines = head.partition(" ")
        result = load(text + "\n")
        named = {
            item.place.line
            for item in result.diagnostics
            if item.place is not None and item.keepalived is not KeepalivedClass.OK
        }
        wanted = set() if lines == "-" else {int(line) for line in lines.split(",")}
        if str(exit_status(result)) != status or wanted - named or (named and status == "0"):
            wrong.append(f"{text}\nkeepalived: {head}\n{result.text()}")
    assert not wrong, "\n\n".join(wrong[:5]) + f"\n{len(wrong)} of {len(cases)}"
