"""Undo bytes of a virtual router: how others give back its mastership when it cannot.

Encoded when the configuration is applied, kept in the black box, performed by ``worker.undo`` in a
process that knows nothing of VRRP. They are the ledger as well: what is named in them is ours.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vrrp_proc.netlink import NetlinkError, split
from worker.undo import NetlinkBatch, Packet, operations, undo_netlink, undo_packet


def encode(releases: Sequence[Packet], deletions: Iterable[bytes]) -> bytes:
    """Priority-0 adverts first (the peer's clock runs from them), then the addresses off."""
    data = b"".join(undo_packet(packet) for packet in releases)
    batch = b"".join(deletions)
    return data + (undo_netlink(batch) if batch else b"")


def deletions(data: bytes) -> list[bytes]:
    """The RTM_DELADDR requests in undo bytes; none when they are damaged."""
    found: list[bytes] = []
    try:
        for operation in operations(data):
            if isinstance(operation, NetlinkBatch):
                found += split(operation.data)
    except (ValueError, NetlinkError):
        return []
    return found
