"""linkbeat_interfaces and interface_up_down_delays."""

from __future__ import annotations

import pytest

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.model import InterfaceDelay, LinkbeatInterface
from tests.unit.conf.support import codes, find, load, where


def linkbeat(lines: str) -> tuple[tuple[LinkbeatInterface, ...], list[str]]:
    result = load(f"linkbeat_interfaces {{\n{lines}\n}}\n")
    return result.config.linkbeat_interfaces, [c for c in codes(result) if c != "no-effect-yet"]


def delays(lines: str) -> tuple[tuple[InterfaceDelay, ...], list[str]]:
    result = load(f"interface_up_down_delays {{\n{lines}\n}}\n")
    return result.config.interface_delays, [c for c in codes(result) if c != "no-effect-yet"]


def test_linkbeat_lines() -> None:
    found, told = linkbeat("eth0\neth1 MII\neth2 ETHTOOL\neth3 IOCTL")
    assert found == (
        LinkbeatInterface(interface="eth0"),
        LinkbeatInterface(interface="eth1", method="MII"),
        LinkbeatInterface(interface="eth2", method="ETHTOOL"),
        LinkbeatInterface(interface="eth3", method="IOCTL"),
    )
    assert told == []


@pytest.mark.parametrize(("line", "method"), [("eth0 mii", None), ("eth0 MII x", "MII")])
def test_surplus_words_are_reported_and_the_interface_counts(line: str, method: str | None) -> None:
    found, told = linkbeat(line)
    assert [(one.interface, one.method) for one in found] == [("eth0", method)]
    assert told == ["extra-words"]


def test_the_last_line_of_an_interface_counts() -> None:
    assert linkbeat("eth0 MII\neth0 IOCTL")[0] == (LinkbeatInterface(interface="eth0", method="IOCTL"),)
    assert delays("eth0 1 2\neth0 3")[0] == (InterfaceDelay(interface="eth0", down_s=3.0),)


def test_a_name_no_interface_can_have_is_keepalived_s_fatal_class() -> None:
    result = load("linkbeat_interfaces {\nabcdefghijklmnop\n}\n")
    assert result.config.linkbeat_interfaces == ()
    bad = find(result, "invalid-value")
    assert bad.keepalived is KeepalivedClass.FATAL
    assert where(bad) == (2, 1)


def test_delay_lines() -> None:
    found, told = delays("eth0 0.5\neth1 255 0.000001")
    assert found == (
        InterfaceDelay(interface="eth0", down_s=0.5, up_s=0.0),
        InterfaceDelay(interface="eth1", down_s=255.0, up_s=0.000001),
    )
    assert told == []


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ("eth0", "missing-argument", 5),
        ("eth0 255.000001", "invalid-number", 6),
        ("eth0 -1", "invalid-number", 6),
        ("eth0 1 x", "invalid-number", 8),
    ],
)
def test_bad_delays_drop_the_line(line: str, code: str, column: int) -> None:
    result = load(f"interface_up_down_delays {{\n{line}\n}}\n")
    assert result.config.interface_delays == ()
    assert where(find(result, code)) == (2, column)


def test_delays_that_are_used_with_a_complaint() -> None:
    assert delays("eth0 0.0000005") == (
        (InterfaceDelay(interface="eth0", down_s=0.000001),),
        ["too-many-decimals"],
    )
    assert delays("eth0 1 2 3") == (
        (InterfaceDelay(interface="eth0", down_s=1.0, up_s=2.0),),
        ["extra-words"],
    )
