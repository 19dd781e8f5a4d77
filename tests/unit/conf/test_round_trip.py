"""What show prints loads to the model it was made from, without a complaint."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from keepalived_conf.loading import LoadResult, load_text
from keepalived_conf.loading import load as load_file
from keepalived_conf.tools import show
from tests.unit.conf.generate import configurations
from tests.unit.conf.test_corpus import FOLDER, ROWS, needs_corpus

EXAMPLES = int(os.environ.get("PYKEEPALIVED_EXAMPLES", "100"))
"""Generated configurations; 10000 take some minutes."""


SAID_OF_WHAT_IS_WRITTEN = {
    "mixed-owners": "keepalived complains of a state BACKUP that is written, not of one by default",
    "xmit-base-set": "keepalived sets it for unicast on an ipvlan and then clears it: it is printed clear",
}
"""Codes that a printed text may add, and why."""


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Leaves that differ, as ``path: old -> new``."""
    if one == other:
        return
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        for field in dataclasses.fields(one):
            if field.compare:
                yield from differences(
                    getattr(one, field.name), getattr(other, field.name), f"{path}.{field.name}"
                )
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{path}[{index}]")
    else:
        yield f"{path}: {one!r} -> {other!r}"


def again(before: LoadResult) -> LoadResult:
    """The configuration after a way through text: equal, with nothing new to complain about."""
    text = show.text(before.config, secrets=True)
    after = load_text(text.encode("utf-8", "surrogateescape"), name="shown", config_id="oracle")
    assert after.config == before.config, f"{list(differences(before.config, after.config))}\n{text}"
    known = {item.code for item in before.diagnostics} | SAID_OF_WHAT_IS_WRITTEN.keys()
    new = [str(item) for item in after.diagnostics if item.severity == "error" and item.code not in known]
    assert not new, f"{new}\n{text}"
    return after


@needs_corpus
def test_the_corpus_comes_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    usable = 0
    for row in ROWS:
        result = load_file(FOLDER / row["file"], config_id="oracle")
        if not result.fatal:
            usable += 1
            again(result)
    with capsys.disabled():
        print(f" [{usable} of {len(ROWS)} configurations]", end="")
    assert usable > 0.6 * len(ROWS)


@given(configurations())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_generated_configurations_come_back_equal(text: str) -> None:
    result = load_text(text.encode(), name="generated", config_id="oracle")
    event(f"fatal: {result.fatal}")
    assume(not result.fatal)
    again(result)
