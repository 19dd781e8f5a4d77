"""Write-back: nothing changes but what is changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_conf.syntax.edit import Block, Document, NotFoundError, written
from tests.unit.conf.support import load
from tests.unit.conf.test_corpus import FOLDER as CORPUS

WORDS = '{ } \n " # ! \\ \t \r\n \n\n @n @^n é \ufeff $A= ${A} $A \\\n ~SEQ(N,1,2) ~LST({A,B},{a})'
PIECES = (*WORDS.split(" "), " ", "include a{b,c}", "vrrp_instance A {\n", "priority 1")

FILE = """\
! the office
global_defs {
    router_id  lb1   # this host
}

vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    @lb1  priority 150
    @^lb1 priority 100
    authentication { auth_type PASS
        auth_pass "a b"  ! secret
    }
    virtual_ipaddress {
        10.0.0.1/24 dev eth0
        10.0.0.2/24
        # the last one
    }
}
include conf.d/{a,b}.conf
$VI= \\
  vrrp_instance X { \\
  }
$N=7
"""


def edited(document: Document) -> str:
    return document.bytes().decode()


def changed(old: str, new: str) -> tuple[list[str], list[str]]:
    """Lines that are only in the one or the other."""
    before, after = old.splitlines(), new.splitlines()
    return [x for x in before if x not in after], [x for x in after if x not in before]


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from(PIECES), max_size=40).map(lambda w: "".join(w).encode()),
    )
)
@settings(max_examples=400)
def test_any_bytes_come_back(data: bytes) -> None:
    assert Document.parse(data).bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"a",
        b"a {\r\n b c\r\n}\r\n",
        b"\xef\xbb\xbfglobal_defs {\n}\n",
        b"x \0 y\n",
        b'x "caf\xe9"\n',
        b"{" * 20_000,
        b"}" * 1000,
        b"a { b { c\n",
        b"x" * 1_000_000,
    ],
)
def test_awkward_bytes_come_back(data: bytes) -> None:
    assert Document.parse(data).bytes() == data


@pytest.mark.skipif(
    not CORPUS.is_dir(),
    reason=f"no corpus of configurations in {CORPUS} (set PYKEEPALIVED_CORPUS to a folder with one)",
)
def test_the_corpus_comes_back() -> None:
    count = 0
    for path in CORPUS.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert Document.parse(data).bytes() == data, path
            count += 1
    assert count > 50


def test_a_file_is_found_as_it_is_written() -> None:
    document = Document.parse(FILE.encode())
    assert document.bytes() == FILE.encode()
    assert [one.name for one in document.statements] == [
        "global_defs",
        "vrrp_instance",
        "include",
        "$VI",
        "$N",
    ]
    instance = document.find("vrrp_instance", "VI_1")
    assert instance.find("authentication").find("auth_pass").arguments == ("a b",)
    assert [(one.condition, one.arguments) for one in instance.find_all("priority")] == [
        ("@lb1", ("150",)),
        ("@^lb1", ("100",)),
    ]
    addresses = instance.find("virtual_ipaddress").body
    assert addresses is not None
    assert [one.name for one in addresses.statements] == ["10.0.0.1/24", "10.0.0.2/24"]
    assert document.find("include").arguments == ("conf.d/{a,b}.conf",)
    assert document.find("$VI").arguments == ("\\\n  vrrp_instance X { \\\n  }",)


def test_statements_are_those_of_the_parser() -> None:
    def shape(block: Block) -> list[object]:
        return [(one.name, *one.arguments, shape(one.body) if one.body else None) for one in block.statements]

    def parsed(nodes: object) -> list[object]:
        found: list[object] = []
        for node in nodes:  # type: ignore[attr-defined]
            if hasattr(node, "words"):
                body = parsed(node.body) if node.body else None
                found.append((*(word.text for word in node.words), body))
        return found

    text = FILE.split("include")[0].replace("@lb1  ", "").replace("@^lb1 ", "")
    assert shape(Document.parse(text.encode())) == parsed(load(text).tree)


def test_set_changes_one_word() -> None:
    document = Document.parse(FILE.encode())
    document.find("vrrp_instance", "VI_1").find("virtual_router_id").set("52")
    assert changed(FILE, edited(document)) == (["    virtual_router_id 51"], ["    virtual_router_id 52"])


def test_set_keeps_blanks_condition_and_comment() -> None:
    document = Document.parse(FILE.encode())
    document.find("global_defs").find("router_id").set("lb 2", "x")
    document.find("vrrp_instance").find_all("priority")[0].set("151")
    document.find("$N").set("8 9")
    document.find("include").set("other.conf")
    assert changed(FILE, edited(document))[1] == [
        '    router_id  "lb 2" x   # this host',
        "    @lb1  priority 151",
        "include other.conf",
        "$N=8 9",
    ]


def test_set_to_nothing_and_back() -> None:
    document = Document.parse(b"a b c # d\n")
    document.find("a").set()
    assert document.bytes() == b"a # d\n"
    document.find("a").set("x")
    assert document.bytes() == b"a x # d\n"


def test_add_is_the_last_line_of_its_block() -> None:
    document = Document.parse(FILE.encode())
    document.find("vrrp_instance").find("virtual_ipaddress").add("10.0.0.3/24", "dev", "eth1")
    assert FILE.replace("# the last one\n", "# the last one\n        10.0.0.3/24 dev eth1\n") == edited(
        document
    )


def test_add_before_another() -> None:
    document = Document.parse(FILE.encode())
    instance = document.find("vrrp_instance")
    instance.add("nopreempt", before=instance.find("interface"))
    assert FILE.replace("    interface eth0\n", "    nopreempt\n    interface eth0\n", 1) == edited(document)
    document.add("first", before=document.find("global_defs"))
    assert edited(document).startswith("! the office\nfirst\nglobal_defs {\n")


def test_add_to_the_end_of_a_file() -> None:
    document = Document.parse(FILE.encode())
    block = document.add_block("vrrp_instance", "VI 2")
    block.add("interface", "eth1")
    block.add_block("virtual_ipaddress").add("10.0.0.9")
    assert edited(document) == FILE + (
        'vrrp_instance "VI 2" {\n    interface eth1\n    virtual_ipaddress {\n        10.0.0.9\n    }\n}\n'
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b"x y\n"),
        (b"# c\n", b"# c\nx y\n"),
        (b"# c", b"# c\nx y"),
        (b"a", b"a\nx y"),
        (b"a\r\nb\r\n", b"a\r\nb\r\nx y\r\n"),
    ],
)
def test_add_to_short_files(old: bytes, new: bytes) -> None:
    document = Document.parse(old)
    document.add("x", "y")
    assert document.bytes() == new


def test_add_inside_braces_on_one_line() -> None:
    document = Document.parse(b"  a { b }\nc\n")
    document.find("a").add("d")
    assert document.bytes() == b"  a { b\n      d\n  }\nc\n"


def test_remove_takes_the_line_with_its_comment() -> None:
    document = Document.parse(FILE.encode())
    document.find("vrrp_instance").find("authentication").find("auth_pass").remove()
    document.find("vrrp_instance").find("virtual_ipaddress").find("10.0.0.2/24").remove()
    gone, new = changed(FILE, edited(document))
    assert (gone, new) == (['        auth_pass "a b"  ! secret', "        10.0.0.2/24"], [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a # c\nb\n", b"b\n"),
        (b"x\na # c\nb\n", b"x\nb\n"),
        (b"x { a }\n", b"x { }\n"),
        (b"x { a # c\n}\n", b"x { # c\n}\n"),
        (b"x {\r\n  a\r\n}\r\n", b"x {\r\n}\r\n"),
        (b"x {\n  # of a\n  a { b\n }\n}\n", b"x {\n  # of a\n}\n"),
        (b"x\na", b"x\n"),
        (b"\xef\xbb\xbfa\nb\n", b"\xef\xbb\xbfb\n"),
    ],
)
def test_remove(old: bytes, new: bytes) -> None:
    document = Document.parse(old)
    blocks = [document, *(one.body for one in document.statements if one.body)]
    statement = next(one for block in blocks for one in block.statements if one.name == "a")
    statement.remove()
    assert document.bytes() == new
    with pytest.raises(NotFoundError):
        statement.remove()


def test_what_is_not_there() -> None:
    document = Document.parse(FILE.encode())
    with pytest.raises(NotFoundError, match="vrrp_instance VI_9"):
        document.find("vrrp_instance", "VI_9")
    with pytest.raises(NotFoundError, match="include has no braces"):
        document.find("include").find("x")
    assert document.find("include").find_all("x") == []


@pytest.mark.parametrize(
    ("word", "as_written"),
    [
        ("a", "a"),
        ("a b", '"a b"'),
        ("", '""'),
        ("@a", '"@a"'),
        ("a#b", '"a#b"'),
        ("${A}_x", "${A}_x"),
        ("{", '"{"'),
    ],
)
def test_written(word: str, as_written: str) -> None:
    assert written(word) == as_written


@pytest.mark.parametrize("word", ["a\nb", 'a "b"', "a\0"])
def test_words_that_cannot_be_written(word: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        written(word)
