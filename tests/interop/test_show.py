"""What `config show` prints is read by the real keepalived as the text it was made from: nothing it says
about the printed text is new, and its verdict is not worse.

`keepalived -t` runs in namespaces of its own, with the interfaces that the text names.
$PYKEEPALIVED_TEST_KEEPALIVED names another keepalived than Debian's, a newer one say.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import rows_of
from keepalived_conf.loading import LoadResult, load, load_text
from keepalived_conf.tools import show
from tests.lab import programs
from tests.unit.conf.test_corpus import FOLDER, ROWS, needs_corpus

TEST_S = 30
"""Longest run of a test of keepalived."""
MAY_BE_UNKNOWN = frozenset(row.name for _, row in rows_of(ROOT) if row.since > "2.2.7")
ALARMS = re.compile(r"^(?:\(.*?\bLine \d+\) )?(.*)$")

GOOD = """
global_defs {
    router_id director1
    @pykeepalived log_format json
    vrrp_garp_master_delay 3
    vrrp_version 3
    vrrp_skip_check_adv_addr
}
vrrp_instance A {
    state BACKUP
    interface eth0
    virtual_router_id 7
    priority 150
    advert_int 0.5
    nopreempt
    virtual_ipaddress {
        192.0.2.10/24 label eth0:vip
        192.0.2.11/24 dev eth1 scope link
    }
    virtual_ipaddress_excluded {
        2001:db8::10/64
    }
}
vrrp_instance B {
    interface eth1
    virtual_router_id 8
    version 2
    authentication {
        auth_type PASS
        auth_pass "a b#c"
    }
    unicast_src_ip 192.0.2.1
    unicast_peer {
        192.0.2.2
    }
    virtual_ipaddress {
        192.0.2.20
    }
}
virtual_server 192.0.2.10 80 {
    lvs_sched sh
    sh-port
    lvs_method NAT
    protocol TCP
    quorum 2
    hysteresis 1
    alpha
    sorry_server 10.0.0.9 80
    real_server 10.0.0.1 80 {
        weight 3
        TCP_CHECK {
            connect_timeout 2
        }
        HTTP_GET {
            retry 5
            url {
                path "/a?b=c"
                status_code 200-204 301
            }
        }
    }
}
virtual_server fwmark 9 {
    lvs_sched rr
    lvs_method DR
    persistence_timeout 60
    real_server 10.0.0.2 {
        inhibit_on_failure
    }
}
"""


def interfaces(text: str) -> list[str]:
    """Names of interfaces that a printed configuration uses."""
    found = set(re.findall(r"^ *(?:interface|vrf) (\S+)|\b(?:dev|iif|oif) (\S+)", text, re.MULTILINE))
    names = {name for pair in found for name in pair if name}
    return sorted(name for name in names if name != "lo" and re.fullmatch(r"[\w.-]{1,15}", name))


def verdict(path: Path, links: list[str]) -> tuple[int, set[str]]:
    """(status, messages without their places) of keepalived's own test."""
    program = programs.keepalived()
    made = "".join(
        f"ip link add {name} type veth peer name p{n}; ip link set {name} up; ip link set p{n} up; "
        for n, name in enumerate(links)
    )
    command = [*program.argv, "-t", "-f", str(path)]
    done = subprocess.run(
        ["unshare", "-n", "-m", "-u", "-i", "sh", "-c", f'{made} exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TEST_S,
        cwd=path.parent,
        check=False,
    )
    said = (done.stdout + done.stderr).splitlines()
    return done.returncode, {match[1].strip() for line in said if (match := ALARMS.match(line)) and match[1]}


def needs_keepalived() -> None:
    if why := programs.missing("keepalived"):
        pytest.skip(why)
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs root, or ./run test in a user namespace of its own, and unshare")


def newer(message: str) -> bool:
    match = re.fullmatch(r"Unknown keyword '(\S+)'", message)
    return match is not None and match[1] in MAY_BE_UNKNOWN


def renamed(message: str, old: set[str]) -> bool:
    """The same complaint in other words: of a route by its full prefix, of an address that is none."""
    for now, then in (
        ("cannot track route", "cannot track route"),
        ("No VIP specified", "parsed invalid IP"),
    ):
        if now in message and any(then in one for one in old):
            return True
    return False


def check(before: LoadResult, original: Path, folder: Path) -> str:
    """What is wrong with the verdict on the printed text; empty: nothing."""
    text = show.text(before.config, secrets=True)
    printed = folder / "shown.conf"
    printed.write_text(text, encoding="utf-8", errors="surrogateescape")
    links = interfaces(text)
    old_status, old = verdict(original, links)
    status, said = verdict(printed, links)
    new = {message for message in said - old if not (newer(message) or renamed(message, old))}
    worse = status not in (0, old_status) and not any(newer(message) for message in said)
    return f"{original.name}: {old_status} -> {status}: {sorted(new)}" if new or worse else ""


def test_a_good_configuration_stays_good(tmp_path: Path) -> None:
    needs_keepalived()
    original = tmp_path / "good.conf"
    original.write_text(GOOD)
    result = load_text(GOOD.encode())
    assert not result.fatal, result.text()
    assert verdict(original, ["eth0", "eth1"]) == (0, set())
    assert check(result, original, tmp_path) == ""
    text = show.text(result.config, secrets=True).replace("advert_int 0.5", "advert_int_s 0.5")
    (tmp_path / "bad.conf").write_text(text)
    assert verdict(tmp_path / "bad.conf", ["eth0", "eth1"]) == (5, {"Unknown keyword 'advert_int_s'"})


@needs_corpus
def test_the_corpus_gets_no_new_complaint(tmp_path: Path) -> None:
    needs_keepalived()
    wrong = []
    for row in ROWS:
        path = FOLDER / row["file"]
        result = load(path, config_id=os.uname().nodename.partition(".")[0])
        if not result.fatal and row["verdict"] != "hang":
            wrong.append(check(result, path, tmp_path))
    assert len(wrong) > 0.5 * len(ROWS)
    assert not any(wrong), "\n".join(one for one in wrong if one)
