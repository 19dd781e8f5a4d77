"""Bytes -> lines -> words: comments, quotes, braces, encodings."""

from __future__ import annotations

import pytest

from keepalived_conf.diagnostics import Diagnostics
from keepalived_conf.syntax.lexer import (
    ESCAPED_BANG,
    ESCAPED_HASH,
    MAX_LINE_CHARS,
    decomment,
    quotes_balance,
    read_lines,
    split,
    split_escaped,
    unescape,
)


def words(text: str) -> list[str]:
    return [token.text for token in split(decomment(text, "f", 1))]


@pytest.mark.parametrize(
    ("text", "code", "comment"),
    [
        ("priority 90", "priority 90", None),
        ("priority 90 # best", "priority 90 ", "# best"),
        ("! all of it", "", "! all of it"),
        ("router_id a!b", "router_id a", "!b"),
        ("router_id a#b", "router_id a", "#b"),
        ('router_id "a#b!c" # d', 'router_id "a#b!c" ', "# d"),
        ('x "open # not a comment', 'x "open # not a comment', None),
        ("x '#'", "x '", "#'"),
        ('a "b" "c#" #d', 'a "b" "c#" ', "#d"),
        ('"a" # b "c"', '"a" ', '# b "c"'),
        ("a\\b", "a\\b", None),
        ('"\\#"', '"\\#"', None),
    ],
)
def test_comment_starts_outside_double_quotes_only(text: str, code: str, comment: str | None) -> None:
    line = decomment(text, "f", 1)
    assert (line.text, line.comment) == (code, comment)


def test_escaped_comment_characters_keep_their_columns() -> None:
    line = decomment("a \\#b \\!c # d", "f", 7)
    assert line.text == f"a {ESCAPED_HASH}b {ESCAPED_BANG}c "
    assert [line.column(i) for i in range(len(line.text))] == [1, 2, 3, 5, 6, 7, 9, 10]
    assert line.comment_column == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("global_defs { router_id a }", ["global_defs", "{", "router_id", "a", "}"]),
        ("global_defs{router_id a}", ["global_defs", "{", "router_id", "a", "}"]),
        ("x{{y}}", ["x", "{", "{", "y", "}", "}"]),
        ('x "{ }" {', ["x", "{ }", "{"]),
        ('1.2.3".4"', ["1.2.3", ".4"]),
        ('"a""b"', ["a", "b"]),
        ('"a"b', ["a", "b"]),
        ("it's 'one two'", ["it's", "'one", "two'"]),
        ("a\tb  \t c", ["a", "b", "c"]),
        ('""', [""]),
        ("a\u00a0b", ["a\u00a0b"]),
        ("end\\", ["end\\"]),
        ("a end \t\\", ["a", "end\\"]),
        ("a end \\ ", ["a", "end", "\\"]),
        ('a "b \\', ["a", "b\\"]),
        ("\\# a \\", ["\ufdd0", "a\\"]),
        ("\\", ["\\"]),
        ("   ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_quoted_brace_is_a_word() -> None:
    tokens = split(decomment('x "{" {', "f", 1))
    assert [(t.text, t.brace, t.quoted) for t in tokens] == [
        ("x", False, False),
        ("{", False, True),
        ("{", True, False),
    ]


def test_positions_of_words() -> None:
    assert [(t.text, t.start) for t in split(decomment('  ab "c d" {', "f", 1))] == [
        ("ab", 2),
        ("c d", 5),
        ("{", 11),
    ]


def test_unclosed_quote_takes_the_rest_and_says_so() -> None:
    tokens = split(decomment('name "to the end', "f", 3))
    assert [(t.text, t.unclosed) for t in tokens] == [("name", False), ("to the end", True)]


@pytest.mark.parametrize(
    ("text", "code", "comment"),
    [
        # as keepalived 2.4.3 does: a backslash takes the next character with it, inside quotes too
        ('a "b\\" # c" # d', 'a "b\\" # c" ', "# d"),
        ('a \\" # c', 'a \\" ', "# c"),
        ('a "b # c', 'a "b # c', None),
        ('a "\\#" # b', 'a "\\#" ', "# b"),
        ("a \\\\# b", "a \\\\", "# b"),
    ],
)
def test_quotes_escapes_and_comments(text: str, code: str, comment: str | None) -> None:
    line = decomment(text, "f", 1)
    assert (line.text, line.comment) == (code, comment)


@pytest.mark.parametrize(
    ("text", "balance"), [('a "b"', True), ('a "b', False), ('a "b\\"', False), ("a\\", True), ('\\"', True)]
)
def test_quotes_balance(text: str, balance: bool) -> None:
    assert quotes_balance(text) is balance


def read(data: bytes) -> tuple[list[str], list[str], Diagnostics]:
    found = Diagnostics()
    lines, raw = read_lines(data, "f", found)
    assert len(lines) == len(raw)
    return [line.text for line in lines], raw, found


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"a\r\nb"])
def test_line_ends(data: bytes) -> None:
    texts, _, found = read(data)
    assert texts == ["a", "b"]
    assert not found.items


def test_byte_order_mark_is_dropped_and_reported() -> None:
    texts, _, found = read(b"\xef\xbb\xbfglobal_defs {\n")
    assert texts == ["global_defs {"]
    assert [d.code for d in found.items] == ["byte-order-mark"]


def test_line_with_nul_is_dropped_and_reported() -> None:
    texts, _, found = read(b"a\nb\0c\nd\n")
    assert texts == ["a", "", "d"]
    assert [(d.code, str(d.place)) for d in found.items] == [("nul-byte", "f:2:2")]


def test_invalid_utf8_does_not_raise() -> None:
    texts, _, found = read(b"# caf\xe9\nx \xff\n")
    assert texts[1] == "x \udcff"
    assert not found.items


@pytest.mark.parametrize(("size", "said"), [(1022, False), (1023, True)])
def test_the_longest_line_that_keepalived_takes(size: int, said: bool) -> None:
    for line in (b"x" * size, b"\xc3\xa9" * (size // 2) + b"x" * (size % 2)):
        _, _, found = read(b"a\n" + line + b"\nb\n")
        assert [d.code for d in found.items] == ["line-too-long"] * said


def test_long_lines() -> None:
    texts, _, found = read(b"x " + b"y" * 2000 + b"\n")
    assert len(texts[0]) == 2002
    assert [d.code for d in found.items] == ["line-too-long"]
    texts, _, found = read(b"y" * (MAX_LINE_CHARS + 1) + b"\nz")
    assert texts == ["", "z"]
    assert [str(d.severity) for d in found.items] == ["error"]


def test_empty_file() -> None:
    assert read(b"")[0] == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('regex "a b"', ["regex", "a b"]),
        ('regex "a\\"b"', ["regex", 'a"b']),
        ("regex 'a \"b'", ["regex", 'a "b']),
        ('s pre"mid dle"post', ["s", "premid dlepost"]),
        ("s a\\ b", ["s", "a b"]),
        ("s \\x41\\102\\n", ["s", "AB\n"]),
        ("s \\cA", ["s", "\x01"]),
        ("s end\\", ["s", "end\\"]),
        ("", []),
    ],
)
def test_script_and_regex_words(raw: str, expected: list[str]) -> None:
    assert split_escaped(raw) == expected


def test_script_words_with_an_open_quote() -> None:
    assert split_escaped('regex "a') is None


def test_unescape_of_a_plain_character_is_itself() -> None:
    assert unescape("\\.\\d") == ".d"
