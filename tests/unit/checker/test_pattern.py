from __future__ import annotations

import time

import pytest

from checker_proc.outcome import Outcome, Reason, Verdict, verdict_of
from checker_proc.pattern import PatternError, compile_pattern
from checker_proc.probes.regex import RegexTimeoutError, search


@pytest.mark.parametrize(
    ("pattern", "body", "found"),
    [
        ("status: ok", b"x\nstatus: ok\n", True),
        ("^ok$", b"x\nok\n", False),
        ("(?m)^ok$", b"x\nok\ny", True),
        ("(?i)OK", b"ok", True),
        (r"(?<word>a+)-(?P=word)", b"aa-aa", True),
        (r"(?'w'a)b", b"ab", True),
        ("[[:alpha:]]+[[:digit:]_]", b"ab7", True),
        ("^[^[:space:]]+$", b"ab cd", False),
        ("[]x]", b"]", True),
        ("[a[b]", b"[", True),
        ("[a&&b]", b"&", True),
        (r"\Aa\z", b"a", True),
        (r"a\z", b"a\n", False),
        (r"a\Z", b"a\n", True),
        (r"a\hb", b"a\tb", True),
        (r"a\Rb", b"a\r\nb", True),
        (r"\x{41}", b"A", True),
        (r"a++b", b"aaab", True),
        (r"(?>a+)b", b"aab", True),
        (r"(?<=a)b", b"ab", True),
        ("größe", "größe".encode(), True),
        (r"\[x\]", b"[x]", True),
        (r"[\]\\]", b"\\", True),
    ],
)
def test_patterns_mean_what_they_mean_in_pcre2(pattern: str, body: bytes, found: bool) -> None:
    assert (compile_pattern(pattern).search(body) is not None) == found


@pytest.mark.parametrize(
    "pattern",
    ["(", "[a", r"a\Kb", r"\p{L}", "(?R)", "(?1)", "(?|a|b)", "(*UTF)a", r"\Qa.b\E", r"\g{1}", "a{2,1}",
     r"\x{263a}", "(?'n", "[[:klingon:]]", "*a", r"\y"],
)  # fmt: skip
def test_what_python_cannot_do_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(PatternError, match="regex"):
        compile_pattern(pattern)


def test_an_explosive_pattern_ends() -> None:
    pattern = compile_pattern("(a|aa)+$")
    began = time.process_time()
    with pytest.raises(RegexTimeoutError):
        search(pattern, b"a" * 60 + b"b", limit_s=0.05)
    assert time.process_time() - began < 5
    assert search(pattern, b"aaa")  # the next one is not affected


def test_reasons_fit_the_record_and_each_has_its_words() -> None:
    for reason in Reason:
        assert 0 <= reason <= 255
        assert Outcome(reason=reason, detail=104).text()
    assert verdict_of(Reason.NONE) is Verdict.UNJUDGED
    assert verdict_of(Reason.CONNECTED) is Verdict.GOOD
    assert verdict_of(Reason.REFUSED) is Verdict.BAD
    assert verdict_of(Reason.CANNOT_BIND) is Verdict.UNJUDGED
    assert Outcome(reason=Reason.READ_ERROR, detail=104).text() == (
        "reading the answer failed: connection reset"
    )
    assert Outcome(reason=Reason.READ_ERROR, detail=999).text().endswith("error 999")
