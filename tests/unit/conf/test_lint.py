"""The linter: names the mistakes users make, and is silent about good configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepalived_conf.loading import load
from keepalived_conf.tools.lint import lint, text
from tests.unit.conf.lint_support import MISTAKES, findings, header, named
from tests.unit.conf.test_corpus import FOLDER as CORPUS
from tests.unit.conf.test_corpus import ROWS, needs_corpus

# --- the 60 mistakes --------------------------------------------------------------------------------


def test_the_planted_mistakes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    missed = [path.name for path in MISTAKES if not named(path)]
    with capsys.disabled():
        print(f" [{len(MISTAKES) - len(missed)} of {len(MISTAKES)} mistakes named]", end="")
    assert len(MISTAKES) == 60
    assert missed == []


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_only_the_planted_mistake_is_named(path: Path) -> None:
    """A finding beside the planted mistake would be a false alarm: the rest of each file is good."""
    (expected,) = header(path, "expect")
    wanted = set(expected.partition("| loader:")[0].split()) | set(" ".join(header(path, "and")).split())
    _, found = findings(path)
    assert {one.code for one in found if one.code != "lint-not-done"} <= wanted


@pytest.mark.parametrize("path", MISTAKES, ids=lambda path: path.stem)
def test_findings_say_where_and_how_to_mend(path: Path) -> None:
    result, found = findings(path)
    for one in found:
        assert one.code.startswith("lint-")
        assert one.hint
        assert one.place is not None
        source = result.sources.get(one.place.file)
        if source is None:  # the other node's
            continue
        line = source[one.place.line - 1]
        assert one.width <= len(line) - one.place.column + 2, str(one.diagnostic)


# --- good configurations ------------------------------------------------------------------------------

REALLY_MISTAKEN = {
    "014-kadevel-chk-udp-sample.conf": {
        "lint-unchecked-real-server": "its only check is commented out: the sorry_server never comes in",
    },
    "021-kadevel-seq.conf": {
        "lint-script-unused": "nothing tracks check_oco; keepalived says so at start and drops it",
    },
    "056-kadevel-1884.conf": {
        "lint-not-done": "without any address in version 3 the daemon does not run VRRP; the test is milder",
    },
    "062-upstream-vrrp-scripts.conf": {
        "lint-mail-nowhere": "smtp_alert, and neither a server nor anybody to write to",
    },
    "068-upstream-ssl-get.conf": {
        "lint-service-without-vip": "its services are on .100 of the subnet, its instance holds .11 to .13",
    },
    "069-kadevel-one-delay.conf": {
        "lint-strict-blocks-vip": "vrrp_strict: nothing answers on the addresses",
    },
    "098-forensicid-copy.conf": {
        "lint-script-unused": "the instance tracks chk_haproxy, the script is named haproxy",
    },
    "116-busygina83-otus.conf": {
        "lint-script-relative": "the script's name keeps the backslashes of the program that wrote the file",
    },
    "134-kadevel-965.conf": {
        "lint-strict-blocks-vip": "vrrp_strict: nothing answers on the addresses",
    },
    "147-kadevel-play.conf": {
        "lint-mail-nowhere": "smtp_alert, and neither a server nor anybody to write to",
    },
    "153-upstream-virtualhost.conf": {
        "lint-tls-on-http-port": "SSL_GET asks port 80",
    },
    "174-kadevel-erik-tempelaar.conf": {
        "lint-script-unused": "its track_script is commented out; keepalived says so at start and drops it",
    },
    "177-kadevel-ipvlan-wire.conf": {
        "lint-strict-blocks-vip": "vrrp_strict: nothing answers on the addresses",
    },
}
"""File of the corpus that keepalived accepts -> code -> why the finding is right all the same."""


KNOWN = frozenset((Path(__file__).parent / "data" / "lint_known.txt").read_text().splitlines())
"""Files that the rules were tried on: there a new finding is a mistake of ours until shown otherwise."""


def found_in(row: dict[str, str]) -> dict[str, str]:
    """Code -> finding as text, over all identities the file has conditions on."""
    ids = ["oracle", *(pair.partition("=")[0] for pair in (row.get("config_ids") or "").split(";"))]
    found: dict[str, str] = {}
    for config_id in dict.fromkeys(one for one in ids if one not in ("", "-")):
        result = load(CORPUS / row["file"], config_id=config_id)
        found.update((one.code, text((one,), result)) for one in lint(result))
    return found


@needs_corpus
def test_silent_about_good_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    good = {row["file"]: found_in(row) for row in ROWS if row["verdict"].startswith("accepted")}
    silent = sum(not found for found in good.values())
    with capsys.disabled():
        print(f" [{silent} of {len(good)} good configurations get silence]", end="")
        for name, found in good.items():
            if name not in KNOWN:  # another corpus: whoever brings it judges what is found
                print("".join(f"\n{one}" for one in found.values()), end="")
    for name in KNOWN & good.keys():
        assert good[name].keys() == REALLY_MISTAKEN.get(name, {}).keys(), f"{name}: {good[name]}"
    assert silent >= len(good) * 0.7


REALLY_DIFFERENT = {
    "029-kadevel-1457.conf": {"lint-peer-router-id": "router_id HAP1_L2 on both nodes"},
    "030-kadevel-1887.conf": {"lint-peer-same-priority": "state MASTER and priority 100 on both nodes"},
    "070-kadevel-817.conf": {"lint-peer-two-masters": "state MASTER on both nodes"},
    "126-upstream-conditional-conf.conf": {
        "lint-weight-too-small": "eth2 is worth 20, and the priorities are 170 and 85",
    },
}
"""File of the corpus that holds two nodes -> code -> why it is right."""


@needs_corpus
def test_silent_about_good_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    """Files with conditions for several nodes are pairs: what the first two say to each other."""
    pairs = 0
    for row in ROWS:
        ids = [pair.partition("=")[0] for pair in (row.get("config_ids") or "").split(";")]
        if len(ids) < 2 or row["file"] not in KNOWN:
            continue
        pairs += 1
        here, there = (load(CORPUS / row["file"], config_id=one) for one in ids[:2])
        alone = {one.code for one in lint(here)}
        found = {one.code: text((one,), here, there) for one in lint(here, peer=there)}
        expected = REALLY_DIFFERENT.get(row["file"], {})
        assert found.keys() - alone == expected.keys(), f"{row['file']}: {found}"
    with capsys.disabled():
        print(f" [{pairs} pairs]", end="")
