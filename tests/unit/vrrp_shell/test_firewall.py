"""The firewall's bookkeeping, before a kernel made of dictionaries."""

from __future__ import annotations

import random
from ipaddress import ip_interface
from typing import Any

from keepalived_conf.model import GlobalDefs, VirtualAddress
from vrrp_proc import nft
from vrrp_proc.firewall import Firewall, NftError, NftSocket
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop
from worker.clock import boottime

VIPS = tuple(VirtualAddress(interface=ip_interface(f"192.0.2.{n}/24"), dev="e0") for n in range(1, 30))


class Kernel(NftSocket):
    """Takes transactions; ``sets`` is what a kernel would have."""

    def __init__(self) -> None:
        self.sets: dict[str, set[bytes]] = {}
        self.comments: dict[str, str] = {}
        self.transactions = 0
        self.refuses = 0
        """How many of the next transactions."""

    def commit(self, messages: list[bytes]) -> None:
        if self.refuses:
            self.refuses -= 1
            raise NftError("refused")
        self.transactions += bool(messages)
        for message in messages:
            (answer,) = nft.answers(message)
            name = nft.table_of(answer).name
            if answer.kind == nft.NEWTABLE:
                self.sets.setdefault(name, set())
                self.comments[name] = nft.table_of(answer).comment
            elif answer.kind == nft.DELTABLE:
                del self.sets[name], self.comments[name]
            elif answer.kind == nft.NEWSETELEM:
                self.sets[name].update(nft.keys_of(answer))
            elif answer.kind == nft.DELSETELEM:
                for key in nft.keys_of(answer):
                    if key not in self.sets[name]:
                        raise NftError("No such file or directory")
                    self.sets[name].remove(key)

    def generation(self) -> int:
        return self.transactions

    def tables(self) -> list[nft.Table]:
        return [
            nft.Table(family=nft.IP, name=name, comment=comment) for name, comment in self.comments.items()
        ]

    def close(self) -> None:
        pass


class Guarded:
    def __init__(self) -> None:
        self.vips: tuple[VirtualAddress, ...] = ()

    def kept_out(self) -> tuple[VirtualAddress, ...]:
        return self.vips


class Scene:
    def __init__(self, **settings: Any) -> None:
        self.loop, self.kernel = Loop(boottime), Kernel()
        self.said: list[str] = []
        self.wall = Firewall(
            self.loop,
            "mine",
            LinkTable(),
            lambda _l, event, **_f: self.said.append(event),
            lambda: self.kernel,
        )
        self.wall.configure(GlobalDefs(**settings), VIPS)

    def out(self, table: str = "keepalived") -> set[bytes]:
        return self.kernel.sets[table]

    def close(self) -> None:
        self.wall.close()
        self.loop.close()


def keys(*vips: VirtualAddress) -> set[bytes]:
    return {vip.interface.ip.packed for vip in vips}


def test_the_tables_are_there_before_anything_is_kept_out() -> None:
    scene = Scene()
    scene.loop.drain_work()
    assert scene.out() == set()
    assert scene.kernel.transactions == 1
    scene.close()


def test_routers_of_one_turn_share_a_transaction() -> None:
    scene = Scene()
    scene.loop.drain_work()
    routers = [Guarded() for _number in range(10)]
    for number, router in enumerate(routers):
        router.vips = (VIPS[number],)
        scene.wall.changed(router)
    scene.wall.before_install(routers[7])
    assert scene.out() == keys(*VIPS[:10])
    scene.loop.drain_work()
    for router in routers:
        scene.wall.before_install(router)
    assert scene.kernel.transactions == 2
    scene.close()


def test_an_address_that_goes_from_one_router_to_another_is_never_let_in() -> None:
    scene = Scene()
    one, other = Guarded(), Guarded()
    one.vips = VIPS[:1]
    scene.wall.changed(one)
    scene.loop.drain_work()
    before = scene.kernel.transactions
    one.vips, other.vips = (), VIPS[:1]
    scene.wall.changed(one)
    scene.wall.changed(other)
    scene.loop.drain_work()
    assert scene.out() == keys(VIPS[0])
    assert scene.kernel.transactions == before
    scene.close()


def test_a_change_that_fails_is_followed_by_building_anew() -> None:
    scene, router = Scene(), Guarded()
    scene.loop.drain_work()
    scene.kernel.refuses = 1
    router.vips = VIPS[:2]
    scene.wall.changed(router)
    scene.loop.drain_work()
    assert scene.out() == keys(*VIPS[:2])
    assert scene.said.count("vrrp.firewall_repaired") == 1
    scene.close()


def test_a_kernel_that_refuses_all_is_told_of_once_and_tried_again() -> None:
    scene, router = Scene(), Guarded()
    scene.kernel.refuses = 5
    scene.loop.drain_work()
    router.vips = VIPS[:2]
    scene.wall.changed(router)
    scene.loop.drain_work()
    assert scene.said == ["vrrp.firewall_refused"]
    assert scene.loop.next_due_at() is not None
    for _try in range(5):
        scene.wall._look_again(boottime())
    assert scene.out() == keys(*VIPS[:2])
    assert scene.said == ["vrrp.firewall_refused", "vrrp.firewall"]
    scene.close()


def test_another_table_is_filled_before_the_old_one_goes() -> None:
    scene, router = Scene(), Guarded()
    router.vips = VIPS[:2]
    scene.wall.changed(router)
    scene.loop.drain_work()
    before = scene.kernel.transactions
    scene.wall.configure(GlobalDefs(nftables="other"), VIPS)
    scene.loop.drain_work()
    assert scene.kernel.transactions == before + 1
    assert scene.kernel.sets == {"other": keys(*VIPS[:2])}
    scene.close()


def test_without_need_nothing_is_asked_until_there_is_time() -> None:
    scene = Scene()
    scene.kernel.comments, scene.kernel.sets = (
        {"old": "mine", "foreign": ""},
        {"old": set(), "foreign": set()},
    )
    scene.wall.configure(GlobalDefs(), ())
    scene.wall.settle()
    assert scene.kernel.comments == {"foreign": ""}
    before = scene.kernel.transactions
    scene.wall.settle()
    assert scene.kernel.transactions == before
    scene.close()


def test_a_random_walk_ends_with_what_the_routers_want() -> None:
    dice = random.Random(4)
    scene = Scene()
    routers = [Guarded() for _number in range(6)]
    for _step in range(2000):
        router = dice.choice(routers)
        deed = dice.random()
        if deed < 0.6:
            router.vips = tuple(dice.sample(VIPS, dice.randrange(5)))
            scene.wall.changed(router)
        elif deed < 0.8:
            scene.wall.before_install(router)
            assert keys(*router.vips) <= scene.out()
        elif deed < 0.85:
            scene.kernel.refuses = 1
        elif deed < 0.9:
            router.vips = ()
            scene.wall.forget(router)
        else:
            scene.loop.drain_work()
            scene.wall.before_install(router)
            if scene.said[-1] == "vrrp.firewall_refused":
                scene.kernel.refuses = 0
                scene.wall._look_again(boottime())
            assert scene.out() == keys(*(vip for one in routers for vip in one.vips))
    scene.wall.remove()
    assert scene.kernel.sets == {}
    scene.close()
