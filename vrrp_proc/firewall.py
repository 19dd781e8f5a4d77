"""The firewall of the worker: keeps traffic to virtual addresses out where an instance wants that.

The tables in the kernel are ours alone and wear a comment that says whose they are, so that a successor that
knows nothing else finds and replaces them. Each change is one transaction. The kernel answers within the
system call; a change that it refuses is told and tried again, VRRP goes on without.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from keepalived_conf.model import GlobalDefs, VirtualAddress
from vrrp_proc import nft
from vrrp_proc.firewall_rules import Element, Form, Wanted, clear
from vrrp_proc.links import LinkTable
from vrrp_proc.loop import Loop, Timer

_NETLINK_NETFILTER = 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SOL_NETLINK, _NETLINK_CAP_ACK = 270, 10
_BUFFER_BYTES = 8 << 20
_RECEIVE_BYTES = 1 << 16
_SLICE_ELEMENTS = 512
"""Addresses that change in one transaction, more or less: no advert waits for more."""
_LOOK_EVERY_S = 10.0
"""How often it is seen whether somebody else has changed our tables."""
_RETRY_S = 10.0


class NftError(Exception):
    """The kernel has refused, or has not answered."""


class NftSocket:
    """Transactions and questions to nf_tables. Synchronous: answers are there when the call returns."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        with contextlib.suppress(OSError):
            self._sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._sock.bind((0, 0))
        self._sequence = 0

    def commit(self, messages: list[bytes]) -> None:
        """All of the messages or none. Raises NftError."""
        if not messages:
            return
        batch = [nft.begin(), *messages[:-1], nft.acknowledged(messages[-1]), nft.end()]
        first = self._send(batch)
        done = False
        for answer in self._answers(first, len(batch)):
            if answer.error:
                raise NftError(os.strerror(answer.error))
            done = done or answer.sequence == first + len(messages)
        if not done:
            raise NftError("the transaction was not acknowledged")

    def ask(self, question: bytes) -> list[nft.Answer]:
        """What the kernel answers; nothing when what is asked for is not there. Raises NftError."""
        first = self._send([question])
        found: list[nft.Answer] = []
        while received := self._answers(first, 1):
            found += received
            if received[-1].kind in (nft.ERROR, nft.DONE):
                break
        for answer in found:
            if answer.error and answer.error != errno.ENOENT:
                raise NftError(os.strerror(answer.error))
        return [answer for answer in found if answer.kind not in (nft.ERROR, nft.DONE)]

    def generation(self) -> int:
        """Changes with each transaction of anybody."""
        return next((nft.generation_of(one) for one in self.ask(nft.get_generation())), -1)

    def tables(self) -> list[nft.Table]:
        return [nft.table_of(one) for one in self.ask(nft.get_tables())]

    def keys(self, family: int, table: str, name: str) -> set[bytes]:
        """What is in a set."""
        found = self.ask(nft.get_elements(family, table, name))
        return {key for answer in found for key in nft.keys_of(answer)}

    def rules(self, family: int, table: str) -> int:
        """How many rules a table has."""
        found = self.ask(nft.get_rules(family, table))
        return sum(nft.table_of_rule(answer) == table for answer in found)

    def _send(self, messages: list[bytes]) -> int:
        with contextlib.suppress(OSError):
            while self._sock.recv(_RECEIVE_BYTES):
                pass  # left over from a question that failed
        first = self._sequence + 1
        self._sequence += len(messages)
        try:
            self._sock.sendto(nft.numbered(messages, first), (0, 0))
        except OSError as error:
            raise NftError(error.strerror or str(error)) from None
        return first

    def _answers(self, first: int, count: int) -> list[nft.Answer]:
        """What waits, of one question (a dump goes on with each look)."""
        found: list[nft.Answer] = []
        while True:
            try:
                data = self._sock.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return found
            except OSError as error:
                raise NftError(error.strerror or str(error)) from None
            found += (one for one in nft.answers(data) if first <= one.sequence < first + count)

    def close(self) -> None:
        self._sock.close()


class Router(Protocol):
    """A virtual router as the firewall sees it."""

    def kept_out(self) -> Collection[VirtualAddress]:
        """Addresses that no traffic may reach: while they are on an interface, or may be."""


class Firewall:
    """What is kept out, for all routers of a worker. ``comment`` says whose the tables are."""

    def __init__(
        self,
        loop: Loop,
        comment: str,
        links: LinkTable,
        log: Callable[..., None],
        connect: Callable[[], NftSocket] = NftSocket,
    ) -> None:
        self._loop, self._comment, self._links, self._log = loop, comment, links, log
        self._connect = connect
        self._socket: NftSocket | None = None
        self._form: Form | None = None
        """As wanted."""
        self._built: Form | None = None
        """As the kernel has it; None: not known."""
        self._wanted = Wanted()
        self._changed: dict[Router, None] = {}
        self._scheduled = False
        self._generation = -1
        self._refused = ""
        self._timer = Timer(self._look_again)

    # --- what the worker says ------------------------------------------------------------------

    def configure(self, settings: GlobalDefs, addresses: Iterable[VirtualAddress]) -> None:
        """A configuration is in force; ``addresses`` are all that may have to be kept out."""
        form = Form.of(settings, self._comment, addresses)
        if form == self._form:
            return
        self._form = form
        self._refused = ""
        if form.families or (self._built is not None and self._built.families):
            self._schedule()

    def settle(self) -> None:
        """When there is time: if nothing is to be kept out, take off what an earlier life has left."""
        if self._stale:
            self._change(set(), set())

    def changed(self, router: Router) -> None:
        """Look at this router when the adverts have left."""
        if router in self._wanted or router.kept_out():
            self._changed[router] = None
            self._schedule()

    def forget(self, router: Router) -> None:
        """It is gone."""
        self._changed.pop(router, None)
        if router in self._wanted:
            self._change(*self._wanted.put(router, frozenset()))

    def before_install(self, router: Router) -> None:
        """Addresses of this router are about to be put on."""
        if router in self._changed:
            self._slice(first=router)

    def remove(self) -> None:
        """Nothing of ours is to stay: the worker stops for good."""
        if self._built is not None and not self._built.families:
            return
        try:
            strays = self._own_tables()
            self._connected().commit([one for family, name in strays for one in clear(family, name)])
        except (NftError, OSError) as error:
            if self._built is not None:
                self._log("warning", "vrrp.firewall_left", reason=str(error))
            return
        if strays:
            self._log("info", "vrrp.firewall_removed", table=min(strays)[1])

    def close(self) -> None:
        self._loop.arm(self._timer, None)
        if self._socket is not None:
            self._socket.close()

    # --- doing it --------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.add_work(self._slice)

    def _slice(self, first: Router | None = None) -> bool:
        """Take in some routers and tell the kernel. Returns whether some are left."""
        added: set[Element] = set()
        removed: set[Element] = set()
        if first is not None:
            self._changed = {first: None} | self._changed
        while self._changed and (self._stale or len(added) + len(removed) < _SLICE_ELEMENTS):
            router = next(iter(self._changed))
            del self._changed[router]
            news = self._wanted.put(router, self._elements(router))
            added |= news[0]
            removed |= news[1]
        both = added & removed  # went from one router to another
        self._change(added - both, removed - both)
        if first is None:
            self._scheduled = bool(self._changed)
        return self._scheduled

    @property
    def _stale(self) -> bool:
        return self._built is None or self._built != self._form

    def _elements(self, router: Router) -> frozenset[Element]:
        form = self._form
        if form is None:
            return frozenset()
        found = (form.element(vip, self._ifindex) for vip in router.kept_out())
        return frozenset(element for element in found if element is not None)

    def _ifindex(self, name: str) -> int | None:
        link = self._links.by_name(name)
        return link.index if link is not None else None

    def _change(self, added: set[Element], removed: set[Element]) -> None:
        if self._stale:
            if not self._refused:
                self._build()
            return
        if not added and not removed:
            return
        assert self._form is not None
        try:
            self._commit(self._form.change(added, removed))
        except (NftError, OSError) as error:
            self._built = None
            self._log("warning", "vrrp.firewall_repaired", reason=str(error))
            self._build()
            return
        table = self._form.table
        self._log("info", "vrrp.firewall_changed", table=table, added=len(added), removed=len(removed))

    def _build(self) -> None:
        """The tables as they are wanted, in one transaction with the end of those that were."""
        form = self._form
        if form is None:
            return
        elements = self._shut(form)
        try:
            replaced = {(family, form.table) for family in form.families}
            messages = [
                message for family, name in self._own_tables() - replaced for message in clear(family, name)
            ]
            messages += form.build(elements)
            self._commit(messages)
        except (NftError, OSError) as error:
            self._built = None
            self._refuse(str(error), len(elements))
            return
        if form.families or messages:
            self._log("info", "vrrp.firewall", table=form.table, addresses=len(elements))
        self._refused = ""
        self._built = form
        self._arm(_LOOK_EVERY_S if form.families else None)

    def _shut(self, form: Form) -> set[Element]:
        return {element for element in self._wanted.all() if element.family in form.families}

    def _refuse(self, reason: str, addresses: int) -> None:
        form = self._form
        if form is not None and form.families and reason != self._refused:
            self._log(
                "error",
                "vrrp.firewall_refused",
                reason=reason,
                addresses=addresses,
                hint="traffic to the addresses of strict or no_accept instances is let in; "
                "does the kernel have nf_tables, and the daemon CAP_NET_ADMIN?",
            )
        self._refused = reason
        self._arm(_RETRY_S if form is not None and form.families else None)

    def _own_tables(self) -> set[tuple[int, str]]:
        """(family, name); kernels before 5.10 keep no comments, there only what this life has made."""
        found = {
            (table.family, table.name)
            for table in self._connected().tables()
            if table.comment == self._comment
        }
        if self._built is not None:
            found |= {(family, self._built.table) for family in self._built.families}
        return found

    def _commit(self, messages: list[bytes]) -> None:
        if not messages:
            return
        connected = self._connected()
        connected.commit(messages)
        if connected.generation() == self._generation + 1:
            self._generation += 1

    def _connected(self) -> NftSocket:
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    # --- what others do to it ----------------------------------------------------------------------

    def _arm(self, after_s: float | None) -> None:
        self._loop.arm(self._timer, None if after_s is None else self._loop.now() + after_s, 0.1)

    def _look_again(self, _now: float) -> None:
        if self._stale:
            self._build()
            return
        try:
            generation = self._connected().generation()
            intact = generation == self._generation or self._intact()
        except (NftError, OSError) as error:
            self._log("warning", "vrrp.firewall_unseen", reason=str(error))
            intact = True
        else:
            self._generation = generation
        if intact:
            self._arm(_LOOK_EVERY_S)
            return
        self._log("warning", "vrrp.firewall_repaired", reason="somebody has changed or removed the tables")
        self._built = None
        self._build()

    def _intact(self) -> bool:
        form, connected = self._built, self._connected()
        assert form is not None
        found = {
            Element(family, name, key)
            for family, name in form.sets()
            for key in connected.keys(family, form.table, name)
        }
        return found == self._shut(form) and all(
            connected.rules(family, form.table) == form.rules(family) for family in form.families
        )
