"""What show prints loads to the model it was made from, without a complaint."""

from __future__ import annotations

import pytest

from keepalived_conf.load import LoadResult, load_text
from keepalived_conf.load import load as load_file
from keepalived_conf.model import Config
from keepalived_conf.tools import show
from tests.unit.conf.test_corpus import FOLDER, ROWS, needs_corpus


def again(config: Config) -> LoadResult:
    """The configuration after a way through text."""
    text = show.text(config, secrets=True)
    result = load_text(text.encode("utf-8", "surrogateescape"), name="shown", config_id="oracle")
    assert result.config == config, text
    complaints = [str(item) for item in result.diagnostics if item.severity == "error"]
    assert not complaints, f"{complaints}\n{text}"
    return result


@needs_corpus
def test_the_corpus_comes_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    usable = 0
    for row in ROWS:
        result = load_file(FOLDER / row["file"], config_id="oracle")
        if not result.fatal:
            usable += 1
            again(result.config)
    with capsys.disabled():
        print(f" [{usable} of {len(ROWS)} configurations]", end="")
    assert usable > 0.6 * len(ROWS)
