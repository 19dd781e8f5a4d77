"""Small configurations of instances, trackers and groups, with the judgement keepalived 2.4.3 gave of each.

``data/vrrp-judged.txt``: ``=== STATUS LINES`` and the text; the status of ``keepalived -t``, and the lines it
complains of. Ours must be the same status, and must name these lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bus import codec
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.loading import exit_status, slices
from keepalived_conf.tools import show
from tests.unit.conf.support import load

DATA = Path(__file__).parent / "data" / "vrrp-judged.txt"

CLOSES_TOO_MUCH = "written twice: of the block that is skipped, keepalived takes the } for an unknown keyword"
OTHERWISE = {
    "vrrp_sync_group G {\ngroup {\nA\n}\ngroup {\nB\n}": CLOSES_TOO_MUCH,
    "track_group T {\ngroup {\nA\n}\ngroup {\nB\n}": CLOSES_TOO_MUCH,
}
"""Part of a text -> why lines may be missing here."""


class Judged(NamedTuple):
    status: int
    lines: frozenset[int]
    text: str


def judged() -> list[Judged]:
    found = []
    for part in DATA.read_text(encoding="utf-8").split("\n=== ")[1:]:
        head, _, text = part.partition("\n")
        status, lines = head.split()
        numbers = () if lines == "-" else (int(line) for line in lines.split(","))
        found.append(Judged(int(status), frozenset(numbers), text + "\n"))
    return found


def test_as_keepalived_judges() -> None:
    cases = judged()
    assert len(cases) > 400
    wrong = []
    for case in cases:
        result = load(case.text)
        complaints = [item for item in result.diagnostics if item.keepalived is not KeepalivedClass.OK]
        named = {item.place.line for item in complaints if item.place is not None}
        missing = set() if any(part in case.text for part in OTHERWISE) else case.lines - named
        # Complaints about the whole have no line in keepalived: the status counts them.
        if exit_status(result) != case.status or missing or (complaints and not case.status):
            wrong.append(f"{case.text}keepalived: {case.status}, {sorted(case.lines)}\n{result.text()}")
    assert not wrong, "\n\n".join(wrong[:5]) + f"\n{len(wrong)} of {len(cases)}"


def test_every_complaint_names_a_line_and_a_column() -> None:
    for case in judged():
        for item in load(case.text).diagnostics:
            if item.keepalived is KeepalivedClass.OK:
                continue
            assert item.place is not None, item
            line = case.text.splitlines()[item.place.line - 1]
            assert 1 <= item.place.column <= len(line) + 1, f"{item}\n{line}"
            assert item.width >= 1


def test_what_show_writes_of_them_is_the_same_again() -> None:
    for case in judged()[::3]:  # enough of each kind
        result = load(case.text)
        if result.fatal:
            continue
        text = show.text(result.config, secrets=True)
        assert load(text).config == result.config, f"{case.text}\n{text}"
        for slice_ in slices(result.config).values():
            assert codec.loads(type(slice_), codec.dumps(slice_)) == slice_, case.text
