"""Address work of all virtual routers: batches to the kernel in slices, in the order of the core.

Withdrawals go before installations of other routers: an address that is answered for by two nodes
is worse than one that comes a millisecond later. Within a router the order is the one asked for; a
withdrawal drops installations and announcements of its router that have not happened yet.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from keepalived_conf.model import VirtualAddress
from vrrp_proc.announce import Announcer, Frame
from vrrp_proc.events import AddressesInstalled, AddressesVerified, AddressesWithdrawn, Announced, Event
from vrrp_proc.loop import Loop
from vrrp_proc.netlink import NetlinkError, Refusal, RouteSocket

_SLICE_REQUESTS = 16
_ADDED_ALREADY = (errno.EEXIST,)
_GONE_ALREADY = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ESRCH, errno.ENOENT)


class Owner(Protocol):
    """A virtual router as address work sees it."""

    @property
    def installed(self) -> set[VirtualAddress]:
        """Addresses that the kernel holds because of this router; kept current by ``AddressWork``."""

    def add_request(self, vip: VirtualAddress) -> bytes | str:
        """Encoded request, or why there is none."""

    def delete_request(self, vip: VirtualAddress) -> bytes | None:
        """Encoded request; None: the address is not ours to delete, or its interface is gone."""

    def frame(self, vip: VirtualAddress) -> Frame | None: ...

    def deliver(self, event: Event) -> None: ...

    def complain(self, text: str, vip: VirtualAddress | None) -> None: ...


@dataclass(slots=True, eq=False)
class _Install:
    owner: Owner
    ticket: int
    addresses: deque[VirtualAddress]
    failed: list[tuple[VirtualAddress, str]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Withdraw:
    owner: Owner
    ticket: int | None
    requests: deque[tuple[VirtualAddress | None, bytes]]


@dataclass(slots=True, eq=False)
class _Verify:
    owner: Owner
    addresses: Sequence[VirtualAddress]


@dataclass(slots=True, eq=False)
class _Announce:
    owner: Owner
    ticket: int
    addresses: Sequence[VirtualAddress]
    copies: int


_Job = _Install | _Verify | _Announce


class AddressWork:
    """Queue of address jobs. ``refresh()`` reads the kernel's table, ``absent(addresses)`` says which
    of them are not in it, ``before_install(owner)`` is called before addresses go on."""

    def __init__(
        self,
        loop: Loop,
        route: RouteSocket,
        announcer: Announcer,
        refresh: Callable[[], None],
        absent: Callable[[Sequence[VirtualAddress]], tuple[VirtualAddress, ...]],
        before_install: Callable[[Any], None] = lambda _owner: None,
    ) -> None:
        self._loop = loop
        self._route = route
        self._announcer = announcer
        self._refresh = refresh
        self._absent = absent
        self._before_install = before_install
        self._withdrawals: deque[_Withdraw] = deque()
        self._jobs: deque[_Job] = deque()
        self._scheduled = False

    # --- what routers ask for ------------------------------------------------------------------

    def install(self, owner: Owner, addresses: Sequence[VirtualAddress], ticket: int) -> None:
        self._jobs.append(_Install(owner, ticket, deque(addresses)))
        self._schedule()

    def withdraw(
        self,
        owner: Owner,
        addresses: Sequence[VirtualAddress],
        ticket: int,
        leftovers: Sequence[bytes] = (),
    ) -> None:
        """Take ``addresses`` off, and whatever the ``leftovers`` requests delete."""
        gone = set(addresses)
        self._drop_pending(owner, gone)
        requests: deque[tuple[VirtualAddress | None, bytes]] = deque()
        for vip in addresses:
            request = owner.delete_request(vip)
            if request is None:
                owner.installed.discard(vip)
            else:
                requests.append((vip, request))
        listed = {request for _vip, request in requests}
        requests.extend((None, request) for request in leftovers if request not in listed)
        self._withdrawals.append(_Withdraw(owner, ticket, requests))
        self._schedule()

    def verify(self, owner: Owner, addresses: Sequence[VirtualAddress], leftovers: Sequence[bytes]) -> None:
        """Compare ``addresses`` with the kernel, after taking off the ``leftovers`` that are not listed."""
        listed = {owner.delete_request(vip) for vip in addresses}
        surplus: deque[tuple[VirtualAddress | None, bytes]] = deque(
            (None, request) for request in leftovers if request not in listed
        )
        if surplus:
            self._withdrawals.append(_Withdraw(owner, None, surplus))
        self._jobs.append(_Verify(owner, addresses))
        self._schedule()

    def announce(self, owner: Owner, addresses: Sequence[VirtualAddress], copies: int, ticket: int) -> None:
        self._jobs.append(_Announce(owner, ticket, addresses, copies))
        self._schedule()

    def drop(self, owner: Owner) -> None:
        """The router is gone: nothing more of it."""
        self._jobs = deque(job for job in self._jobs if job.owner is not owner)
        self._withdrawals = deque(job for job in self._withdrawals if job.owner is not owner)
        self._announcer.cancel(owner)

    def _drop_pending(self, owner: Owner, gone: set[VirtualAddress]) -> None:
        kept: deque[_Job] = deque()
        for job in self._jobs:
            if job.owner is owner and isinstance(job, _Install):
                job.addresses = deque(vip for vip in job.addresses if vip not in gone)
            elif job.owner is owner and isinstance(job, _Announce):
                job.addresses = [vip for vip in job.addresses if vip not in gone]
            kept.append(job)
        self._jobs = kept
        frames = [frame.data for vip in gone if (frame := owner.frame(vip)) is not None]
        self._announcer.cancel(owner, frames)

    # --- doing it ------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.add_work(self._slice)

    def _slice(self) -> bool:
        if self._withdrawals:
            self._withdraw_some(self._withdrawals[0])
        elif self._jobs:
            job = self._jobs[0]
            if isinstance(job, _Install):
                self._install_some(job)
            else:
                self._jobs.popleft()
                if isinstance(job, _Announce):
                    self._start_announcing(job)
                else:
                    self._verify_some(job)
        # Deliveries above may have queued more.
        self._scheduled = bool(self._withdrawals or self._jobs)
        return self._scheduled

    def _install_some(self, job: _Install) -> None:
        self._before_install(job.owner)
        batch: list[tuple[VirtualAddress, bytes]] = []
        while job.addresses and len(batch) < _SLICE_REQUESTS:
            vip = job.addresses.popleft()
            request = job.owner.add_request(vip)
            if isinstance(request, bytes):
                batch.append((vip, request))
            else:
                job.failed.append((vip, request))
        refused = self._perform([request for _vip, request in batch], _ADDED_ALREADY)
        for position, (vip, _request) in enumerate(batch):
            if position in refused:
                job.failed.append((vip, refused[position]))
            else:
                job.owner.installed.add(vip)
        if not job.addresses:
            self._jobs.remove(job)
            job.owner.deliver(AddressesInstalled(ticket=job.ticket, failed=tuple(job.failed)))

    def _withdraw_some(self, job: _Withdraw) -> None:
        batch = [job.requests.popleft() for _request in range(min(_SLICE_REQUESTS, len(job.requests)))]
        refused = self._perform([request for _vip, request in batch], _GONE_ALREADY)
        for position, (vip, _request) in enumerate(batch):
            if position in refused:
                job.owner.complain(f"cannot take the address off: {refused[position]}", vip)
            elif vip is not None:
                job.owner.installed.discard(vip)
        if not job.requests:
            self._withdrawals.remove(job)
            if job.ticket is not None:
                job.owner.deliver(AddressesWithdrawn(ticket=job.ticket))

    def _verify_some(self, first: _Verify) -> None:
        """One look at the kernel's table answers for all routers that ask in a row."""
        jobs = [first]
        while len(jobs) < _SLICE_REQUESTS and self._jobs and isinstance(self._jobs[0], _Verify):
            following = self._jobs.popleft()
            assert isinstance(following, _Verify)
            jobs.append(following)
        self._refresh()
        for job in jobs:
            missing = self._absent(job.addresses)
            job.owner.installed.update(vip for vip in job.addresses if vip not in missing)
            job.owner.deliver(AddressesVerified(missing=missing))

    def _perform(self, requests: list[bytes], fine: tuple[int, ...]) -> dict[int, str]:
        try:
            refusals: list[Refusal] = self._route.perform(requests, fine=fine)
        except NetlinkError as error:
            return {position: str(error) for position in range(len(requests))}
        return {refusal.position: refusal.text for refusal in refusals}

    def _start_announcing(self, job: _Announce) -> None:
        frames = [frame for vip in job.addresses if (frame := job.owner.frame(vip)) is not None]
        self._announcer.announce(
            job.owner,
            frames,
            job.copies,
            lambda: job.owner.deliver(Announced(ticket=job.ticket)),
        )
