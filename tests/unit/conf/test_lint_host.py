"""The linter on a machine: scripts, users, modes, interfaces, the cloud it runs in."""

from __future__ import annotations

import os
from pathlib import Path

from keepalived_conf.diagnostics import Severity
from keepalived_conf.loading import load as load_file
from keepalived_conf.model import IpInterface
from keepalived_conf.tools.lint import FileFacts, lint
from keepalived_conf.tools.lint.host import LocalHost
from tests.unit.conf.lint_support import MadeUpHost, links, node, said, script_text
from tests.unit.conf.support import load


def test_another_machine_is_not_asked() -> None:
    """The desk where a file is written lacks its scripts and interfaces: no mistake."""
    source = script_text("/etc/keepalived/check.sh")
    host = MadeUpHost(files={"/etc/keepalived/check.sh": None}, links=links(eth0="192.168.1.2/24"))
    assert said(source, host=host) == ["lint-script-missing", "lint-vip-off-subnet"]
    host.home = False
    assert said(source, host=host) == []
    host.links = links(eth0="10.0.0.2/24")
    assert said(source, host=host) == ["lint-script-missing"], "its address fits: it is for this machine"


def test_a_draft_that_others_can_read_gets_a_note() -> None:
    result = load(node("authentication {\nauth_type PASS\nauth_pass secret\n}"))
    host = MadeUpHost(files={"t.conf": FileFacts(mode=0o644)})
    (one,) = lint(result, host=host)
    assert one.severity is Severity.WARNING
    host.home = False
    (one,) = lint(result, host=host)
    assert (one.code, one.severity) == ("lint-secrets-readable", Severity.NOTE)
    host.files["t.conf"] = FileFacts(mode=0o444)
    assert lint(result, host=host) == (), "a copy that nobody works on"


def test_interfaces_of_the_machine() -> None:
    source = node() + node(name="B", vrid=2, vips="10.0.1.1").replace("eth0", "eth7")
    host = MadeUpHost(links=links(eth0="10.0.0.2/24", lo="127.0.0.1/8"))
    (one,) = lint(load(source), host=host)
    assert one.code == "lint-no-such-interface"
    assert one.message.endswith("; it has eth0")
    assert said("global_defs {\ndynamic_interfaces\n}\n" + source, host=host) == []


def test_addresses_of_the_machine() -> None:
    host = MadeUpHost(links=links(eth0="10.0.0.2/24 192.0.2.1/28"))
    assert said(node(vips="10.0.0.1\n192.0.2.3"), host=host) == []
    assert said(node(vips="10.0.1.1/24"), host=host) == [], "it brings a subnet of its own"
    assert said(node(vips="10.0.1.1"), host=host) == ["lint-vip-off-subnet"]
    (one,) = lint(load(node("mcast_src_ip 10.0.0.7")), host=host)
    assert (one.code, one.place and one.place.line) == ("lint-source-not-here", 8)
    assert one.width == len("mcast_src_ip")
    peers = "unicast_peer {\n10.0.0.2\n10.0.0.3\n}"
    assert said(node(peers), host=host) == ["lint-peer-is-self"]


def test_users_of_scripts() -> None:
    host = MadeUpHost(missing_users=frozenset({"checker"}))
    source = script_text("/bin/check", "user checker")
    assert said(source, host=host) == ["lint-no-such-user"]
    assert said(source.replace("user checker", "user root"), host=host) == []
    assert said("global_defs {\nscript_user checker\n}\n" + script_text("/bin/check"), host=host) == [
        "lint-no-such-user"
    ]


def test_settings_of_virtual_macs() -> None:
    host = MadeUpHost(read_only=frozenset({"/proc/sys/net/ipv4/conf/all/forwarding"}))
    assert said(node("use_vmac"), host=host) == ["lint-vmac-settings"]
    assert said(node(), host=host) == []


def test_a_cloud_without_multicast() -> None:
    host = MadeUpHost(where="Amazon EC2")
    assert said(node(), host=host) == ["lint-multicast-in-cloud"]
    assert said(node("unicast_src_ip 10.0.0.3\nunicast_peer {\n10.0.0.2\n}"), host=host) == []


def test_modes_of_key_files() -> None:
    keys = "auth_hmac {\nkey 1 file:/etc/keepalived/key\nactive_key 1\n}"
    source = node(f"version 3\n{keys}")
    host = MadeUpHost(files={"/etc/keepalived/key": FileFacts(mode=0o640)})
    assert said(source, host=host) == ["lint-secrets-readable"]
    host.files["/etc/keepalived/key"] = FileFacts(mode=0o600)
    assert said(source, host=host) == []


def test_the_machine_itself(tmp_path: Path) -> None:
    """Real files through LocalHost: modes of the configuration, of an include, of a script."""
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\n")
    included = tmp_path / "more.conf"
    included.write_text(
        node("track_script {\na\nb\nc\n}\nauthentication {\nauth_type PASS\nauth_pass secret\n}")
    )
    main = tmp_path / "keepalived.conf"
    main.write_text(
        f"vrrp_script a {{\nscript {script}\n}}\n"
        f"vrrp_script b {{\nscript {tmp_path}/gone\n}}\n"
        "vrrp_script c {\nscript no-such-program-at-all\n}\ninclude more.conf\n"
    )
    main.chmod(0o640)
    included.chmod(0o640)
    script.chmod(0o644)
    host = _Elsewhere()
    expect = {"lint-script-not-executable", "lint-script-missing"}
    found = lint(load_file(main), host=host)
    assert {one.code for one in found} == expect
    assert sum(one.code == "lint-script-missing" for one in found) == 2
    included.chmod(0o644)
    (one,) = [one for one in lint(load_file(main), host=host) if one.code not in expect]
    assert one.code == "lint-secrets-readable"
    assert one.place is not None
    assert Path(one.place.file).name == "more.conf"
    included.chmod(0o662)
    assert {one.code for one in lint(load_file(main), host=host)} - expect == {"lint-config-writable"}


class _Elsewhere(LocalHost):
    """This machine with its files, but no interfaces: those of the test's machine are no part of it."""

    def interfaces(self) -> dict[str, tuple[IpInterface, ...]]:
        return {}

    def cloud(self) -> str:
        return ""


def test_paths_that_others_can_replace(tmp_path: Path) -> None:
    """By keepalived's rules for scripts of root: every folder on the way counts, sticky ones do not."""
    folder = tmp_path / "opt" / "ha"
    folder.mkdir(parents=True)
    script = folder / "check.sh"
    script.touch(mode=0o755)
    os.chmod(tmp_path / "opt", 0o755)
    os.chmod(folder, 0o755)
    host = LocalHost(root=str(tmp_path))
    facts = host.file("/opt/ha/check.sh")
    assert facts is not None
    assert (facts.mode, facts.regular, facts.weak_path) == (0o755, True, "")
    os.chmod(folder, 0o777)
    weak = host.file("/opt/ha/check.sh")
    assert weak is not None
    assert weak.weak_path == "/opt/ha"
    os.chmod(folder, 0o1777)
    sticky = host.file("/opt/ha/check.sh")
    assert sticky is not None
    assert sticky.weak_path == ""
    assert host.file("/opt/ha/none") is None
    assert host.program("no-such-program-at-all") is None
    assert host.program("sh") is not None


def test_interfaces_and_cloud_of_this_machine(tmp_path: Path) -> None:
    assert "lo" in LocalHost().interfaces()
    assert LocalHost(root=str(tmp_path)).cloud() == ""
    dmi = tmp_path / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    assert LocalHost(root=str(tmp_path)).cloud() == "Amazon EC2"
