"""Whatever the bytes: a result, never a traceback, never a hang; and the model keeps its promises."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block
from keepalived_conf.loading import exit_status, load_text, slices
from tests.fuzz.mutate import mutated
from tests.fuzz.oracle import check
from tests.fuzz.seeds import from_tables

WORDS = [
    "{",
    "}",
    "\n",
    '"',
    "#",
    "!",
    "\\",
    "\\#",
    "$A=",
    "$A",
    "${A}",
    "\\\n",
    "~SEQ(N,1,3)",
    "~LST(N,a,b)",
    "@n",
    "@^n",
    "10.0.0.1",
    "10.0.0.1/24",
    "fe80::1",
    "10.0.0.1-9",
    "0",
    "1",
    "255",
    "256",
    "-1",
    "1.5",
    "80",
    "dev",
    "eth0",
    "MASTER",
    "PASS",
    "DR",
    "fwmark",
    "group",
    "brd",
    "+",
    "VS",
    "rr",
    "TCP",
    "\t",
    "\r",
    "é",
    "\ufdd0",
    "\0",
]


def _names(block: Block) -> list[str]:
    found = list(block.keywords)
    for keyword in block.keywords.values():
        if keyword.block is not None:
            found.extend(_names(keyword.block))
    return found


def inspect(data: bytes) -> None:
    result = load_text(data, config_id="n")
    text = result.text()
    assert text.replace("\n", "").replace("\t", "").isprintable() or not text
    assert exit_status(result) in (0, 2, 4, 5, 6)
    assert bool(result.fatal) == any(item.fatal for item in result.diagnostics)
    assert not (result.fatal and exit_status(result) == 0)
    slices(result.config)
    for item in result.diagnostics:
        assert item.message
        assert item.place is None or (item.place.line >= 1 and item.place.column >= 1)
    for one in result.config.vrrp_instances:
        one.name.encode()
        assert 1 <= one.virtual_router_id <= 255
        assert 1 <= one.priority <= 255
        assert 1 <= one.advert_int_cs <= (4095 if one.version == 3 else 25500)
        assert one.version == 3 or one.advert_int_cs % 100 == 0
        assert all(address.interface.version == one.family for address in one.virtual_addresses)
        assert len(one.virtual_addresses) <= 255
        assert one.auth_pass is None or (one.version == 2 and 1 <= len(one.auth_pass) <= 8)
    for service in result.config.virtual_servers:
        assert (service.address is None) != (service.fwmark is None)
        assert service.real_servers
        assert 0 <= service.hysteresis < service.quorum
        for server in service.real_servers:
            ids = [check.check_id for check in server.checks]
            assert len(ids) == len(set(ids))


@given(st.binary(max_size=300))
@settings(max_examples=150)
def test_any_bytes(data: bytes) -> None:
    inspect(data)


@given(
    st.lists(st.sampled_from(WORDS + sorted(set(_names(ROOT)))), max_size=60),
    st.sampled_from([" ", "\n", ""]),
)
@settings(max_examples=300)
def test_any_words(words: list[str], glue: str) -> None:
    inspect(glue.join(words).encode("utf-8", "surrogatepass"))


_VALUE = st.sampled_from(
    [
        "",
        "0",
        "1",
        "99999999999",
        "-5",
        "1.5",
        "10.0.0.1",
        "fe80::1/64",
        "x",
        '"a b"',
        "on",
        "off",
        "2",
        "3",
        "MASTER",
        "DR",
        "TCP",
        "eth0",
        "é",
        "10.0.0.1/24 dev eth1 label x brd +",
        "{",
        "{ x }",
    ]
)


def _lines(block: str) -> st.SearchStrategy[str]:
    grammar = ROOT.keywords[block].block
    assert grammar is not None
    pairs = st.tuples(st.sampled_from(sorted(_names(grammar))), _VALUE).map(" ".join)
    return st.lists(pairs, max_size=12).map("\n".join)


@given(_lines("vrrp_instance"), _lines("virtual_server"), _lines("global_defs"))
@settings(max_examples=200)
def test_plausible_files(instance: str, service: str, defs: str) -> None:
    inspect(
        f"global_defs {{\n{defs}\n}}\n"
        f"vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\n{instance}\n}}\n"
        f"virtual_server 10.0.0.1 80 {{\n{service}\nreal_server 10.0.0.2 80 {{\n}}\n}}\n".encode()
    )


def test_mutations_of_every_row() -> None:
    """The quick form of ``python -m tests.fuzz.mutate``, and that its seeds mean something."""
    chance = random.Random(20)
    seeds = list(from_tables(600))
    for _ in range(250):
        check(mutated(seeds, chance), thorough=True)
    used = {(use.path, use.name) for seed in seeds for use in load_text(seed).used}
    assert len(used) > 300
