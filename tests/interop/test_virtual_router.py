"""pykeepalived and Debian's keepalived form one virtual router: both ways round, v2 with PASS and v3,
IPv4 and IPv6, multicast and unicast.

The same cases with keepalived on both sides prove the laboratory; with ours on both sides, ours.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.interop.scenario import ACTIVE, PRIORITY, SLACK_S, STANDBY, Case, Record
from tests.lab import conf, probes
from tests.lab.wire import ArpFrame, NaFrame

SPOKEN = [
    (version, family, unicast) for version, family in ((2, 4), (3, 4), (3, 6)) for unicast in (False, True)
]
PAIRS = [("ours", "keepalived"), ("keepalived", "ours"), ("ours", "ours"), ("keepalived", "keepalived")]
CASES = [
    Case(active=active, standby=standby, version=version, family=family, unicast=unicast)
    for active, standby in PAIRS
    for version, family, unicast in SPOKEN
]
MASTER_OF = {
    "elected": ACTIVE,
    "taken over after stop": STANDBY,
    "back after stop": ACTIVE,
    "taken over after death": STANDBY,
    "back after death": ACTIVE,
}

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def test_the_higher_priority_is_elected_and_the_other_falls_silent(case: Case, record: Record) -> None:
    assert record.adverts(ACTIVE, "elected", "elected, settled")
    # one advert may already be under way when the better one comes
    assert record.adverts(STANDBY, record.at["elected"] + 0.5 * case.interval_s, "term") == []


def test_after_each_step_exactly_the_master_has_the_addresses(case: Case, record: Record) -> None:
    for moment, master in MASTER_OF.items():
        assert record.holders[moment] == [master], moment
        assert record.strays[moment] == [master], moment


def test_a_stop_hands_over_within_skew_time(case: Case, record: Record) -> None:
    zeros = [frame for frame in record.adverts(ACTIVE, "term") if frame.priority == 0]
    assert zeros, "no priority 0 advert"
    assert record.at["taken over after stop"] >= zeros[0].at
    skew_s = conf.skew_s(PRIORITY[STANDBY], case.interval_s, case.version)
    took_s = record.at["taken over after stop"] - zeros[0].at
    assert skew_s - 0.01 <= took_s <= skew_s + SLACK_S
    assert record.status[ACTIVE] == 0


def test_a_stopped_master_says_no_more_after_priority_0(case: Case, record: Record) -> None:
    sent = record.adverts(ACTIVE, "term", "taken over after stop, settled")
    first_zero = next(i for i, frame in enumerate(sent) if frame.priority == 0)
    assert [frame.priority for frame in sent[first_zero:] if frame.priority] == []


def test_a_silent_death_is_noticed_after_the_master_down_interval(case: Case, record: Record) -> None:
    last = record.adverts(ACTIVE, "back after stop", "cut")[-1]
    down_s = conf.master_down_s(PRIORITY[STANDBY], case.interval_s, case.version)
    took_s = record.at["taken over after death"] - last.at
    assert down_s - 0.01 <= took_s <= down_s + SLACK_S


@pytest.mark.parametrize("again", ["back after stop", "back after death"])
def test_the_higher_priority_fails_back(case: Case, record: Record, again: str) -> None:
    until = {"back after stop": "cut", "back after death": "end"}[again]
    assert record.adverts(ACTIVE, again, until)
    assert record.adverts(STANDBY, record.at[again] + 0.5 * case.interval_s, until) == []


def test_a_stopped_backup_says_nothing(case: Case, record: Record) -> None:
    assert record.adverts(STANDBY, "standby term") == []
    assert record.status[STANDBY] == 0
    assert record.adverts(ACTIVE, "standby term")


@pytest.mark.parametrize("node", [ACTIVE, STANDBY])
def test_every_advert_is_what_the_rfc_fixes(case: Case, record: Record, node: str) -> None:
    sent = record.adverts(node)
    assert {frame.priority for frame in sent} >= {PRIORITY[node]}
    for frame in sent:
        assert frame.priority in (0, PRIORITY[node])
        assert frame.payload.hex() == record.expected[node, frame.priority].hex()
        assert frame.dst == record.destinations[node]
        assert frame.src_mac == record.macs[node]
        if not case.unicast:
            group_mac = "01:00:5e:00:00:12" if case.family == 4 else "33:33:00:00:00:12"
            assert frame.dst_mac == group_mac
        if not (case.unicast and case.family == 6):  # keepalived leaves that one to the kernel: 64
            assert frame.ttl == 255
    # once more field by field, so that the reference itself is held against the decoder
    assert {(f.version, f.type, f.vrid, f.interval_cs) for f in sent} == {
        (case.version, 1, 51, case.interval_cs)
    }
    assert {f.addresses for f in sent} == {case.addresses}
    assert {f.checksum for f in sent} == {"message" if case.version == 2 else "pseudo"}
    if case.version == 2:
        assert {(f.auth_type, f.auth_data) for f in sent} == {(1, b"s3cret12")}


@pytest.mark.parametrize("moment", list(MASTER_OF))
def test_a_new_master_announces_every_address(case: Case, record: Record, moment: str) -> None:
    since, mac = record.at[moment] - 0.05, record.macs[MASTER_OF[moment]]
    frames = [f for f in record.frames if since <= f.at <= record.at[moment] + SLACK_S]
    if case.family == 4:
        garps = [f for f in frames if isinstance(f, ArpFrame) and f.gratuitous and f.sender_mac == mac]
        assert {f.sender for f in garps} == set(case.addresses)
        assert {(f.op, f.dst_mac, f.src_mac) for f in garps} == {(1, "ff:ff:ff:ff:ff:ff", mac)}
        assert all(isinstance(f.sender, IPv4Address) for f in garps)
    else:
        nas = [f for f in frames if isinstance(f, NaFrame) and f.unsolicited and f.link_address == mac]
        assert {f.target for f in nas} == set(case.addresses)
        assert {(f.override, f.hop_limit, f.dst_mac) for f in nas} == {(True, 255, "33:33:00:00:00:01")}


def test_clients_lose_no_more_than_the_protocol_asks(case: Case, record: Record) -> None:
    down_s = conf.master_down_s(PRIORITY[STANDBY], case.interval_s, case.version)
    assert probes.outage_s(record.answers, 0.02) <= down_s + SLACK_S
    last = [answer for answer in record.answers if answer.sent_at >= record.at["standby term"]]
    assert last
    assert probes.lost(last) == 0
