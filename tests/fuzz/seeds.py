"""Texts to start from: every row of the grammar's tables in its place, and the corpus where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block, Keyword, Type

HEADS = {
    "vrrp_instance": "VI_1",
    "vrrp_sync_group": "G1",
    "vrrp_script": "chk",
    "vrrp_track_process": "proc",
    "track_file": "tf",
    "vrrp_track_file": "tf",
    "track_group": "tg",
    "garp_group": "",
    "bfd_instance": "b1",
    "virtual_server": "10.1.0.1 80",
    "virtual_server_group": "vsg",
    "real_server": "10.2.0.1 80",
}
"""What stands between a keyword and its brace."""

NEEDED = {
    "vrrp_instance": "interface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n10.0.0.1/24\n}\n",
    "virtual_server": "lvs_sched rr\nlvs_method NAT\nprotocol TCP\nreal_server 10.2.0.9 80 {\n}\n",
    "vrrp_script": 'script "/bin/true"\n',
    "url": "path /\n",
    "HTTP_GET": "url {\npath /\n}\n",
    "SSL_GET": "url {\npath /\n}\n",
}
"""Lines without which a block is left out before its other lines are looked at."""

ENTRIES = (
    "10.0.0.1/24 dev eth0 brd + label eth0:1",
    "fe80::1/64 dev eth0 home",
    "192.0.2.0/24 via 10.0.0.254 dev eth0 metric 5 src 10.0.0.1",
    "from 10.0.0.0/8 table 100 priority 200",
    "eth0 weight -10",
    "chk weight 5 reverse",
    "VI_1",
    "10.0.0.2 port 8000",
    "fwmark 7",
    "default via 10.0.0.254",
    "blackhole 10.9.0.0/16",
)

_WORDS = """\
1 0 255 256 -1 1.5 65536 4294967296 +3 010 0x10 1s .5 1. on off true no eth0 lo 10.0.0.1 10.0.0.1/24 fe80::1
fe80::1/64 2001:db8::/32 10.0.0.1-9 MASTER BACKUP PASS AH DR NAT TUN TCP UDP rr wlc sh-port dev src via table
weight reverse brd + - label VI_1 chk /bin/true "/bin/sh user root nobody "a" " 'a b' "" "unclosed \\x41 \\# é
"""
WORDS = _WORDS.split()


def lines_of(row: Keyword, turn: int) -> Iterator[str]:
    """One row as text, with arguments that differ from turn to turn."""
    if row.block is not None:
        yield f"{row.name} {HEADS.get(row.name, '')} {{"
        yield from NEEDED.get(row.name, "").splitlines()
        if row.block.entries:
            yield ENTRIES[turn % len(ENTRIES)]
            yield ENTRIES[(turn + 3) % len(ENTRIES)]
        yield from (f"    {line}" for line in body_of(row.block, turn))
        yield "}"
        return
    if row.type is Type.FLAG:
        value = "" if turn % 2 else WORDS[turn % len(WORDS)]
    elif row.choices:
        value = row.choices[turn % len(row.choices)]
    elif row.type in (Type.INTEGER, Type.DECIMAL):
        low, high = int(row.low or 0), int(row.high if row.high is not None else 1000)
        value = str((low, high, (low + high) // 2)[turn % 3])
    else:
        value = " ".join(WORDS[(turn * 7 + n * 13) % len(WORDS)] for n in range(1 + turn % 3))
    yield f"{row.name} {value}"


def body_of(block: Block, turn: int) -> Iterator[str]:
    """A few rows of a block, others from turn to turn."""
    rows = list(block.keywords.values())
    for at, row in enumerate(rows):
        if (at + turn) % max(1, len(rows) // 4) == 0:
            yield from lines_of(row, turn + at)


def from_tables(count: int) -> Iterator[bytes]:
    """Small files: one block of the top level each, every row in some of them."""
    rows = list(ROOT.keywords.values())
    for turn in range(count):
        text = "\n".join(lines_of(rows[turn % len(rows)], turn // len(rows)))
        yield text.encode("utf-8", "surrogateescape") + b"\n"


def from_folder(folder: Path) -> Iterator[bytes]:
    """Files of a corpus, the large ones cut."""
    for path in sorted(folder.rglob("*.conf")):
        if path.is_file():
            yield path.read_bytes()[:4000]


def keywords(block: Block = ROOT) -> Iterator[str]:
    """Every keyword of the tables."""
    for row in block.keywords.values():
        yield row.name
        if row.block is not None:
            yield from keywords(row.block)
