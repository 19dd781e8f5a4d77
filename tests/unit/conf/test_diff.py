"""What a reload would do: operations that make one configuration of another, and no others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Any

import pytest

from keepalived_conf.loading import load as load_file
from keepalived_conf.model import Config, HttpUrl, LvsSyncDaemon, Route, SyncGroup
from keepalived_conf.tools import diff_text
from keepalived_conf.tools.diff import NotMadeForError, Operation, apply, diff, renamed
from keepalived_conf.tools.identity import canonical, compared, is_block, keyed, many
from tests.unit.conf import random_models
from tests.unit.conf.support import load

TEXT = """\
global_defs {
    router_id one
    vrrp_startup_delay 3
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 5
    priority 100
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass hunter2
    }
    virtual_ipaddress {
        10.0.0.1/24
        10.0.0.2/24
    }
}
vrrp_instance VI_2 {
    interface eth1
    virtual_router_id 6
    virtual_ipaddress {
        10.0.1.1/24
    }
}
virtual_server 10.1.0.1 80 {
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    real_server 10.2.0.1 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 3
        }
    }
    real_server 10.2.0.2 80 {
        weight 1
        HTTP_GET {
            url {
                path /a
                status_code 200
            }
            url {
                path /b
            }
            url {
                path /c
            }
        }
    }
}
"""
SERVICE = "[10.1.0.1]:tcp:80"


def read(text: str) -> Config:
    result = load(text)
    assert not result.fatal, result.text()
    return result.config


def changed(*pairs: tuple[str, str], text: str = TEXT) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def said(*pairs: tuple[str, str]) -> list[str]:
    """The lines of a diff to the text with the replacements; applied, the operations give it."""
    a, b = read(TEXT), read(changed(*pairs))
    operations = diff(a, b)
    assert apply(a, operations) == canonical(b)
    return [diff_text.text(one) for one in operations]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("advert_int 1", "advert_int 2", ["vrrp: reset timer of VI_1: advert_int 1 -> 2"]),
        ("priority 100", "priority 90", ["vrrp: set priority of VI_1: 100 -> 90"]),
        ("10.0.0.2/24", "10.0.0.2/24\n10.0.0.9/24", ["vrrp: add address 10.0.0.9/24 dev eth0 to VI_1"]),
        ("        10.0.0.2/24\n", "", ["vrrp: remove address 10.0.0.2/24 dev eth0 from VI_1"]),
        ("hunter2", "hunter3", ["vrrp: set auth_pass of VI_1: ******** -> ********"]),
        ("lvs_sched rr", "lvs_sched wlc", [f"ipvs: set {{}} of {SERVICE}: rr -> wlc"]),
        (
            "real_server 10.2.0.1 80",
            "real_server 10.2.0.3 80",
            [
                f"ipvs+checker: remove real server [10.2.0.1]:80 from {SERVICE}",
                f"ipvs+checker: add real server [10.2.0.3]:80 to {SERVICE}",
            ],
        ),
        (
            "connect_timeout 3",
            "connect_timeout 4",
            [f"checker: set connect_timeout of TCP_CHECK 10.2.0.1 80 of [10.2.0.1]:80 of {SERVICE}: 3 -> 4"],
        ),
        (
            "status_code 200",
            "status_code 200 300-310",
            [f"checker: add status_code 300-310 to /a of HTTP_GET 10.2.0.2 80 of [10.2.0.2]:80 of {SERVICE}"],
        ),
        (
            "interface eth1",
            "interface eth2",
            ["vrrp: remove vrrp_instance VI_2", "vrrp: add vrrp_instance VI_2"],
        ),
    ],
)
def test_one_change(old: str, new: str, lines: list[str]) -> None:
    found = said((old, new))
    if "{}" in lines[0]:  # either of the names that keepalived has for it
        lines = [lines[0].format(word) for word in ("lb_algo", "lvs_sched") if word in found[0]]
    assert found == lines


def with_urls(config: Config, urls: tuple[HttpUrl, ...]) -> Config:
    service = config.virtual_servers[0]
    real = service.real_servers[1]
    check = dataclasses.replace(real.checks[0], urls=urls)
    real = dataclasses.replace(real, checks=(check,))
    service = dataclasses.replace(service, real_servers=(service.real_servers[0], real))
    return dataclasses.replace(config, virtual_servers=(service,))


# --- what is no change ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("comments and blanks", "# nothing\n\n" + TEXT.replace("priority 100", "priority   100 # percent")),
        (
            "addresses in another order",
            changed(("10.0.0.1/24", "X"), ("10.0.0.2/24", "10.0.0.1/24"), ("X", "10.0.0.2/24")),
        ),
        ("a virtual router renamed", changed(("VI_1", "renamed"))),
        ("a default written", changed(("priority 100", "priority 100\n garp_master_delay 5"))),
        ("a parameter", "$P=100\n" + changed(("priority 100", "priority $P"))),
    ],
)
def test_what_makes_no_difference(what: str, text: str) -> None:
    assert diff(read(TEXT), read(text)) == (), what


def test_blocks_and_servers_in_another_order() -> None:
    a = read(TEXT)
    service = a.virtual_servers[0]
    b = dataclasses.replace(
        a,
        vrrp_instances=a.vrrp_instances[::-1],
        virtual_servers=(dataclasses.replace(service, real_servers=service.real_servers[::-1]),),
    )
    assert a != b
    assert diff(a, b) == ()


def test_text_that_came_through_an_include(tmp_path: Path) -> None:
    plain, outer, inner = (tmp_path / name for name in ("plain.conf", "outer.conf", "inner.conf"))
    plain.write_text(TEXT)
    outer.write_text("include inner.conf\n")
    inner.write_text(TEXT)
    assert diff(load_file(plain).config, load_file(outer).config) == ()


def test_names_of_virtual_routers_that_changed_are_told_apart_from_work() -> None:
    a, b = read(TEXT), read(changed(("VI_1", "front"), ("priority 100", "priority 90")))
    assert renamed(a, b) == (("VI_1", "front"),)
    assert [diff_text.text(one) for one in diff(a, b)] == ["vrrp: set priority of front: 100 -> 90"]


def test_a_renamed_member_of_a_group_is_no_change_either() -> None:
    a = read(TEXT)
    names = {"VI_1": "x", "VI_2": "y"}
    routers = tuple(dataclasses.replace(one, name=names[one.name]) for one in a.vrrp_instances)
    sync = LvsSyncDaemon(interface="eth0", instance="VI_1")
    defs = dataclasses.replace(a.globals, lvs_sync_daemon=sync)
    a = dataclasses.replace(a, globals=defs, sync_groups=(SyncGroup(name="G", members=("VI_1", "VI_2")),))
    b = dataclasses.replace(
        a,
        vrrp_instances=routers,
        sync_groups=(SyncGroup(name="G", members=("y", "x")),),
        globals=dataclasses.replace(defs, lvs_sync_daemon=dataclasses.replace(sync, instance="x")),
    )
    assert diff(a, b) == ()
    b = dataclasses.replace(b, sync_groups=(SyncGroup(name="G", members=("y",)),))
    (one,) = diff(a, b)
    assert (one.kind, one.path[-1].field, one.path[-1].name) == ("remove", "members", "x")
    assert diff_text.text(one).startswith("vrrp: remove member x from G")
    other = dataclasses.replace(b.globals, lvs_sync_daemon=dataclasses.replace(sync, instance="y"))
    *_, one = diff(
        dataclasses.replace(b, sync_groups=()), dataclasses.replace(b, sync_groups=(), globals=other)
    )
    assert diff_text.text(one).startswith(
        "ipvs: set lvs_sync_daemon of global_defs: eth0 inst x -> eth0 inst y"
    )


def test_two_routers_that_swap_their_names_are_the_same_two() -> None:
    assert diff(read(TEXT), read(changed(("VI_1", "X"), ("VI_2", "VI_1"), ("X", "VI_2")))) == ()


# --- what is ordered -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "moves"), [((0, 1, 2), 0), ((2, 0, 1), 1), ((1, 2, 0), 1), ((2, 1, 0), 2)])
def test_urls_are_asked_in_their_order(order: tuple[int, ...], moves: int) -> None:
    a = read(TEXT)
    urls = a.virtual_servers[0].real_servers[1].checks[0].urls
    b = with_urls(a, tuple(urls[at] for at in order))
    operations = diff(a, b)
    assert [one.kind for one in operations] == ["move"] * moves
    assert apply(a, operations) == canonical(b)
    for one in operations:
        assert diff_text.text(one).startswith(
            f"checker: move url {one.path[-1].name} of HTTP_GET 10.2.0.2 80"
        )


def test_urls_that_come_first_come_in_their_order() -> None:
    a = read(TEXT)
    one, two, three = a.virtual_servers[0].real_servers[1].checks[0].urls
    b = with_urls(a, (HttpUrl(path="/x"), three, HttpUrl(path="/y"), one, two))
    operations = diff(a, b)
    assert sorted(one.kind for one in operations) == ["add", "add", "move"]
    assert apply(a, operations) == canonical(b)


def test_the_two_ends_of_a_range_are_not_a_list() -> None:
    a = Config(
        static_routes=(
            Route(destination=read(TEXT).vrrp_instances[0].virtual_addresses[0].interface, realms=(1, 2)),
        )
    )
    b = dataclasses.replace(a, static_routes=(dataclasses.replace(a.static_routes[0], realms=(2, 1)),))
    assert len(diff(a, b)) == 2
    assert apply(a, diff(a, b)) == canonical(b) != canonical(a)


# --- properties ------------------------------------------------------------------------------------------


def leaves(thing: Any, path: tuple[Hashable, ...] = ()) -> dict[tuple[Hashable, ...], Any]:
    """Every value of a canonical configuration by the way to it."""
    found: dict[tuple[Hashable, ...], Any] = {}
    for name in compared(type(thing)):
        value = getattr(thing, name)
        if isinstance(value, tuple) and name in many(type(thing)):
            for key, one in keyed(value).items():
                here = (*path, name, key)
                found |= leaves(one, here) if dataclasses.is_dataclass(one) else {here: one}
        elif is_block(value):
            found |= leaves(value, (*path, name))
        else:
            found[(*path, name)] = value
    return found


@dataclasses.dataclass(frozen=True)
class Case:
    config: Config

    @cached_property
    def canonical(self) -> Config:
        return canonical(self.config)

    @cached_property
    def leaves(self) -> dict[tuple[Hashable, ...], Any]:
        return leaves(self.canonical)


def resolve(thing: Any, operation: Operation) -> Any:
    """The object that an operation names, or None where it is not."""
    for step in operation.path:
        value = getattr(thing, step.field, None)
        if value is None:
            return None
        thing = keyed(value).get(step.key) if step.key is not None else value
        if thing is None:
            return None
    return thing


def check_properties(a: Case, b: Case) -> int:
    operations = diff(a.config, b.config)
    was, is_ = a.canonical, b.canonical
    assert apply(a.config, operations) == is_
    before, after = a.leaves, b.leaves
    different = sum(before.get(key, leaves) != after.get(key, leaves) for key in before.keys() | after.keys())
    moved = sum(one.kind == "move" for one in operations)
    assert len(operations) <= different + moved
    for one in operations:
        if one.kind != "move":
            assert resolve(was, one) != resolve(is_, one), f"an unchanged object is named: {one}"
    for one in operations[:: max(1, len(operations) // 5)]:
        for shown in (diff_text.text(one), json.dumps(diff_text.document(one)), repr(one)):
            assert random_models.SECRET not in shown
            assert random_models.SECRET.encode().hex() not in shown
    return len(operations)


def test_any_two_of_500_mutations(capsys: pytest.CaptureFixture[str]) -> None:
    rng = Random(0x56525250)
    base = random_models.config(rng)
    pool = [base, read(TEXT)]
    while len(pool) < 500:
        pool.append(random_models.mutated(rng.choice(pool), rng))
        if len(pool) % 50 == 0:
            pool.append(random_models.config(rng))
    cases = [Case(one) for one in pool]
    operations = 0
    for _ in range(500):
        operations += check_properties(rng.choice(cases), rng.choice(cases))
    with capsys.disabled():
        print(f" [{len(pool)} mutations, 500 pairs, {operations} operations]", end="")
    assert operations > 1000


def test_shuffled_members_make_no_difference() -> None:
    rng = Random(7)

    def shuffled(thing: Any) -> Any:
        changes: dict[str, Any] = {}
        for name in compared(type(thing)):
            value = getattr(thing, name)
            if isinstance(value, tuple) and name in many(type(thing)) and name != "urls":
                new = [shuffled(one) if dataclasses.is_dataclass(one) else one for one in value]
                rng.shuffle(new)
                changes[name] = tuple(new)
        return dataclasses.replace(thing, **changes)

    for _ in range(30):
        one = random_models.config(rng)
        assert diff(one, shuffled(one)) == ()


def test_operations_for_another_configuration_are_refused() -> None:
    a, b = read(TEXT), read(changed(("10.0.0.2/24", "10.0.0.9/24")))
    operations = diff(a, b)
    with pytest.raises(NotMadeForError, match="virtual_addresses: there is no"):
        apply(b, operations)
    with pytest.raises(NotMadeForError, match="vrrp_instances: there is no"):
        apply(Config(), operations)


def test_what_has_no_effect_yet_is_marked() -> None:
    a = read(TEXT)
    b = dataclasses.replace(a, globals=dataclasses.replace(a.globals, net_namespace="blue"))
    assert "net_namespace of global_defs: none -> blue (takes a restart)" in diff_text.text(diff(a, b)[0])


def test_the_document_of_an_operation() -> None:
    (one,) = diff(read(TEXT), read(changed(("priority 100", "priority 90"))))
    assert diff_text.document(one) == {
        "worker": "vrrp",
        "kind": "set",
        "in": ["VI_1"],
        "keyword": "priority",
        "old": "100",
        "new": "90",
        "in_effect": True,
        "text": "vrrp: set priority of VI_1: 100 -> 90",
    }


def test_one_server_of_thousands() -> None:
    a = read(TEXT)
    service = a.virtual_servers[0]
    reals = tuple(
        dataclasses.replace(service.real_servers[0], address=IPv4Address(0x0B000000 + number), checks=())
        for number in range(2000)
    )
    many_ = dataclasses.replace(a, virtual_servers=(dataclasses.replace(service, real_servers=reals),))
    fewer = dataclasses.replace(a, virtual_servers=(dataclasses.replace(service, real_servers=reals[1:]),))
    (one,) = diff(many_, fewer)
    assert diff_text.text(one) == f"ipvs: remove real server [11.0.0.0]:80 from {SERVICE}"
