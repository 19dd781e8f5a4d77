"""vrrp_instance: unicast and its peers, the password of version 2."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from keepalived_conf.loading import exit_status
from keepalived_conf.model import UnicastPeer
from tests.unit.conf.support import codes, find, instance, where

# --- unicast ----------------------------------------------------------------------------------


def test_unicast() -> None:
    found, result = instance(
        "unicast_src_ip 10.0.0.8\nunicast_ttl 200\nunicast_peer {\n10.0.0.9 min_ttl 250 max_ttl 255\n"
        "10.0.0.10\n}"
    )
    assert found.source_address == ip_address("10.0.0.8")
    assert found.unicast_peers == (
        UnicastPeer(address=ip_address("10.0.0.9"), min_ttl=250, max_ttl=255),
        UnicastPeer(address=ip_address("10.0.0.10")),
    )
    assert found.unicast_ttl == 200
    assert found.check_unicast_src
    assert codes(result) == []


def test_check_unicast_src_own_and_global() -> None:
    peers = "unicast_peer { 10.0.0.9 }"
    assert not instance(peers)[0].check_unicast_src
    assert instance(f"check_unicast_src\n{peers}")[0].check_unicast_src
    assert instance(peers, globals_="vrrp_check_unicast_src")[0].check_unicast_src


def test_unicast_ttl_zero_is_the_default() -> None:
    found, result = instance("unicast_ttl 0\nunicast_peer { 10.0.0.9 }")
    assert found.unicast_ttl is None
    assert codes(result) == []


def test_unicast_without_peers_is_multicast_with_a_warning() -> None:
    found, result = instance("unicast_src_ip 10.0.0.8\nunicast_ttl 9")
    assert (found.unicast_peers, found.unicast_ttl) == ((), None)
    assert sorted(codes(result)) == ["unicast-ttl-ignored", "unicast-without-peers"]
    assert exit_status(result) == 5


@pytest.mark.parametrize(
    ("entry", "peers", "code", "column"),
    [
        ("10.0.0.x", [(None, None)], "invalid-value", 1),
        ("10.0.0.9 min_ttl", [(None, None), (None, None)], "invalid-entry", 10),
        ("10.0.0.9 min_ttl 256 max_ttl 9", [(None, None), (None, 9)], "invalid-number", 18),
        ("10.0.0.9 foo 1 min_ttl 7", [(None, None), (None, None)], "unknown-word", 10),
        ("10.0.0.9 min_ttl 9 max_ttl 8", [(None, None), (9, 8)], "ttl-range-empty", 1),
    ],
)
def test_of_a_bad_peer_what_is_good_counts(
    entry: str, peers: list[tuple[int | None, int | None]], code: str, column: int
) -> None:
    found, result = instance(f"unicast_peer {{\n10.0.0.7\n{entry}\n}}")
    assert [(peer.min_ttl, peer.max_ttl) for peer in found.unicast_peers] == peers
    assert codes(result) == [code]
    assert where(find(result, code)) == (10, column)


def test_peers_of_the_other_family_and_duplicates_are_dropped() -> None:
    found, result = instance("unicast_peer {\n10.0.0.7\n10.0.0.7\nfe80::9\n}")
    assert len(found.unicast_peers) == 1
    assert codes(result) == ["duplicate-peer", "mixed-families"]


# --- authentication ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "version", "expected", "told"),
    [
        ("auth_type PASS\nauth_pass secret", 2, b"secret", []),
        ("auth_pass secret\nauth_type PASS", 2, b"secret", []),
        ('auth_type PASS\nauth_pass "a # b"', 2, b"a # b", []),
        ("auth_type PASS\nauth_pass 123456789", 2, b"12345678", ["auth-pass-cut"]),
        ("auth_type PASS\nauth_pass 1234567é", 2, b"1234567\xc3", ["auth-pass-cut"]),
        ("auth_type PASS", 2, None, ["no-auth-pass"]),
        ("auth_pass secret", 2, None, ["no-auth-type"]),
        ("auth_type PASS\nauth_pass secret", 3, None, ["auth-in-version-3"]),
        ("auth_type AH\nauth_pass secret", 2, None, ["auth-ah"]),
        ("auth_type NONE\nauth_pass secret", 2, None, ["invalid-value", "no-auth-type"]),
        ("", 2, None, []),
    ],
)
def test_authentication(body: str, version: int, expected: bytes | None, told: list[str]) -> None:
    found, result = instance(f"version {version}\nauthentication {{\n{body}\n}}")
    assert found.auth_pass == expected
    assert codes(result) == told
    assert "secret" not in result.text().replace("auth_", "")
    assert expected is None or expected.decode("utf-8", "replace") not in repr(found)
