"""Rules about programs that are run: checks that cannot fail or never start (users-ask 15)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.view import Program, View, base_name, lines, number, text

SHELLS = frozenset(
    ("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "env", "nsenter", "ssh", "chroot")
)
"""Programs whose arguments may be a command line of their own."""

SLOW_SCRIPT_S = 500
"""Nobody checks once in eight minutes; milliseconds were meant."""

_OPERATOR = re.compile(r"(?:\||&|;|[012]?>>?&?[012]?|<)$|[012]?>>?[/&]|[^;]+;$|`|.*(?:\$\(|&&|\|\|)")
_SIGN = re.compile(r"\$\(|&&|\|\||>>|[|&;<>`]")
_SHELL_WORDS = frozenset({"[[", "if", "for", "while", "until", "case", "cd", "source", ".", "exit", "!"})
"""Of the shell's language: there is no program of that name."""
_ALWAYS_TRUE = frozenset({"echo", "printf"})
_CURL_FAILS = re.compile(r"--fail(?:-with-body)?$|-[a-zA-Z]*f[a-zA-Z]*$")
_CURL_PRINTS = re.compile(r"--write-out$|-[a-zA-Z]*w$")


def _finding(one: Program, code: str, message: str, hint: str) -> Finding:
    return Finding(code=code, message=f"{one.role}: {message}", hint=hint, place=one.place, width=one.width)


def needs_shell(view: View) -> Iterator[Finding]:
    """A pipe, && or > in a command: there is no shell, they are arguments (KA#1197)."""
    for one in view.programs:
        if base_name(one.words[0]) in SHELLS or one.words[0].startswith("<"):
            continue  # "</path" is keepalived's own form: can the file be opened?
        for index, (word, bare) in enumerate(zip(one.words, one.bare, strict=True)):
            if bare and (_OPERATOR.match(word) or (index == 0 and word in _SHELL_WORDS)):
                yield _finding(
                    one,
                    "lint-script-needs-shell",
                    f"'{_sign(word)}' is for a shell, and there is none: it goes to the program as it is",
                    "write the command into a script of its own, or: /bin/sh -c '...'",
                )
                break


def _sign(word: str) -> str:
    """What of the word is the shell's: the rest of it may be a password."""
    match = _SIGN.search(word)
    return word if match is None else match[0]


def relative(view: View) -> Iterator[Finding]:
    """A path that begins nowhere: it depends on where the daemon was started (KA#1446)."""
    for one in view.programs:
        name = one.words[0]
        if one.written.startswith('\\"'):
            yield _finding(
                one,
                "lint-script-relative",
                'the command begins with \\": left over from the program that wrote the file, and not found',
                'write it inside plain double quotes: "..."',
            )
        elif "/" in name and not name.startswith(("/", "<", "~", "$")):
            yield _finding(
                one,
                "lint-script-relative",
                f"{name} is looked for from where the daemon was started, not from the configuration",
                "write the whole path, or ${_PWD}/ for the folder of the file",
            )
        elif name.startswith("~"):
            yield _finding(
                one, "lint-script-relative", f"{name}: only a shell knows ~", "write the whole path"
            )


def always_true(view: View) -> Iterator[Finding]:
    """A check that says its verdict in print and exits 0: it never fails (users-ask 15; KA#2103)."""
    for one in view.programs:
        if one.keyword not in ("script", "misc_path"):
            continue
        program = base_name(one.words[0])
        arguments = one.words[1:]
        prints = program == "curl" and any(_CURL_PRINTS.match(word) for word in arguments)
        fails = any(_CURL_FAILS.match(word) for word in arguments)
        if program in _ALWAYS_TRUE or (prints and not fails):
            yield _finding(
                one,
                "lint-script-always-true",
                f"{program} prints and ends well whatever it prints; only the exit status counts",
                "add --fail to curl" if prints else "name a program whose exit status is the verdict",
            )


def killed_early(view: View) -> Iterator[Finding]:
    """A check that may take longer than it is given: slow counts as failed (users-ask 28).

    The time it is given is ``timeout``, and the interval where that is not written.
    """
    given = {
        (place.file, place.line): one.timeout_s
        for one in view.config.vrrp_scripts
        if (place := one.places.get("script")) is not None
    }
    for one in view.programs:
        wants, gets = _own_limit(one), given.get((one.place.file, one.place.line))
        if wants is not None and gets is not None and wants > gets:
            yield _finding(
                one,
                "lint-script-killed-early",
                f"it may take {wants:g} s by its own limit, and is stopped and counted as failed "
                f"after {gets:g} s",
                f"write timeout {wants:g} in the vrrp_script, or a shorter limit in the command",
            )


def unused(view: View) -> Iterator[Finding]:
    """A check that no instance follows is never run (KA#2108; keepalived says so at start only)."""
    followed = {
        line.words[0].text
        for block in view.statements
        if block.name in ("vrrp_instance", "vrrp_sync_group")
        for line in lines(block, "track_script")
    }
    for block in view.statements:
        name = text(block)
        if block.name == "vrrp_script" and name and name not in followed and view.instances:
            yield Finding(
                code="lint-script-unused",
                place=block.place_of(1),
                width=len(name),
                message=f"vrrp_script {name}: no instance tracks it, so it never runs",
                hint=f"write track_script {{ {name} }} in the vrrp_instance, or take the block out",
            )


def slow(view: View) -> Iterator[Finding]:
    """An interval in milliseconds, read as seconds: the check runs once in many minutes (KA#2546)."""
    for one in view.config.vrrp_scripts:
        if one.interval_s >= SLOW_SCRIPT_S:
            yield Finding(
                code="lint-slow-script",
                place=one.places.get("interval"),
                width=len("interval"),
                message=f"vrrp_script {one.name}: it runs once in {one.interval_s:g} s",
                hint="interval is in seconds; 1 to 10 is usual",
            )


def _own_limit(one: Program) -> float | None:
    """Seconds that the command allows itself: curl's --max-time, timeout(1)."""
    words = one.words
    program = base_name(words[0])
    if program == "timeout" and len(words) > 1:
        return number(words[1].removesuffix("s"))
    if program == "curl":
        for option, value in pairwise(words):
            if option in ("--max-time", "-m"):
                return number(value)
    return None


RULES = (needs_shell, relative, always_true, killed_early, unused, slow)
