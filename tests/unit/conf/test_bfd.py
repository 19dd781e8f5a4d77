"""bfd_instance: values, what is refused, what drops the session."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepalived_conf.loading import LoadResult
from keepalived_conf.model import BfdInstance, Weight
from tests.unit.conf.support import codes, find, load, where


def session(lines: str = "", *, neighbor: str = "192.0.2.1") -> tuple[BfdInstance, list[str]]:
    result = load(f"bfd_instance A {{\nneighbor_ip {neighbor}\n{lines}\n}}\n")
    assert len(result.config.bfd_instances) == 1, result.text()
    return result.config.bfd_instances[0], told(result)


def told(result: LoadResult) -> list[str]:
    return [code for code in codes(result) if code != "no-effect-yet"]


def test_defaults() -> None:
    assert session() == (BfdInstance(name="A", neighbor_ip=ip_address("192.0.2.1")), [])


def test_hop_limit_of_ipv6() -> None:
    one, _ = session(neighbor="2001:db8::1")
    assert one.ttl == 64


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("source_ip 192.0.2.2", "source_ip", ip_address("192.0.2.2")),
        ("min_rx 1.005", "min_rx_ms", 1.005),
        ("min_tx 4294967", "min_tx_ms", 4294967.0),
        ("idle_tx 1000", "idle_tx_ms", 1000.0),
        ("multiplier 255", "multiplier", 255),
        ("passive", "passive", True),
        ("ttl 7", "ttl", 7),
        ("hoplimit 7", "ttl", 7),
        ("max_hops -1", "max_hops", -1),
        ("multihop", "multihop", True),
        ("multihop off", "multihop", False),
        ("weight -253 reverse", "weight", Weight(value=-253, reverse=True)),
        ("neighbour_ip 192.0.2.9", "neighbor_ip", ip_address("192.0.2.9")),
        ("vrrp", "checker", False),
        ("checker", "vrrp", False),
        ("vrrp\nchecker", "vrrp", True),
    ],
)
def test_values(line: str, field: str, value: object) -> None:
    one, complaints = session(line)
    assert getattr(one, field) == value
    assert complaints == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("min_rx 0.999", "invalid-number"),
        ("idle_tx 999", "invalid-number"),
        ("min_tx x", "invalid-number"),
        ("multiplier 5x", "invalid-number"),
        ("multihop foo", "invalid-value"),
        ("weight 254", "invalid-number"),
        ("source_ip x", "invalid-value"),
    ],
)
def test_refused_values_leave_the_default(line: str, code: str) -> None:
    assert session(line) == (BfdInstance(name="A", neighbor_ip=ip_address("192.0.2.1")), [code])


def test_a_bad_word_behind_a_weight_leaves_the_number() -> None:
    one, complaints = session("weight 5 noreverse")
    assert one.weight == Weight(value=5)
    assert complaints == ["invalid-value"]


def test_more_hops_than_packets_can_travel() -> None:
    result = load("bfd_instance A {\nneighbor_ip 192.0.2.1\nmax_hops 200\nttl 100\n}\n")
    assert result.config.bfd_instances[0].max_hops == 100
    assert where(find(result, "clamped")) == (5, 1)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("bfd_instance A {\n}\n", "incomplete-block", (2, 1)),
        ("bfd_instance A {\nneighbor_ip x\n}\n", "invalid-value", (2, 13)),
        (
            "bfd_instance A {\nneighbor_ip 192.0.2.1\nsource_ip 2001:db8::1\n}\n",
            "incomplete-block",
            (4, 1),
        ),
        ("bfd_instance {\nneighbor_ip 192.0.2.1\n}\n", "no-name", (1, 13)),
        (f"bfd_instance {'n' * 32} {{\nneighbor_ip 192.0.2.1\n}}\n", "invalid-value", (1, 14)),
    ],
)
def test_what_drops_a_session(text: str, code: str, place: tuple[int, int]) -> None:
    result = load(text)
    assert result.config.bfd_instances == ()
    assert told(result) == [code]
    assert where(find(result, code)) == place


def two(second: str, first: str = "") -> LoadResult:
    return load(
        f"bfd_instance A {{\nneighbor_ip 192.0.2.1\n{first}\n}}\n"
        f"bfd_instance {second.partition(' ')[0]} {{\n{second.partition(' ')[2]}\n}}\n"
    )


@pytest.mark.parametrize(
    ("second", "first", "code"),
    [
        ("A neighbor_ip 192.0.2.2", "", "duplicate-name"),
        ("B neighbor_ip 192.0.2.1", "", "incomplete-block"),
        ("B neighbor_ip 192.0.2.1\nsource_ip 192.0.2.7", "", "incomplete-block"),
        ("B neighbor_ip 192.0.2.1\nsource_ip 192.0.2.7", "source_ip 192.0.2.8", ""),
        ("B neighbor_ip 192.0.2.1\nmultihop", "", ""),
        ("B neighbor_ip 192.0.2.2", "", ""),
    ],
)
def test_sessions_must_be_told_apart(second: str, first: str, code: str) -> None:
    result = two(second, first)
    assert told(result) == ([code] if code else [])
    assert [one.name for one in result.config.bfd_instances] == (["A"] if code else ["A", "B"])
