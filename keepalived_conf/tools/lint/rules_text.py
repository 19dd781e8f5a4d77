"""Rules about what was written and silently not read: comments inside words, mistyped prefixes, mail."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from keepalived_conf.grammar.root import ROOT
from keepalived_conf.grammar.schema import Block
from keepalived_conf.model import Place
from keepalived_conf.syntax.parser import Comment, Node, Statement
from keepalived_conf.syntax.preprocess import OWN_ID
from keepalived_conf.tools.lint.finding import Finding
from keepalived_conf.tools.lint.view import View, flag, inner, last, walk

SECRETS = frozenset({"auth_pass", "password", "key"})
_TEXTS = SECRETS | {
    "router_id", "path", "virtualhost", "digest", "regex", "script", "misc_path", "quorum_up", "quorum_down",
    "notify", "notify_master", "notify_backup", "notify_fault", "notify_stop",
}  # fmt: skip
"""Keywords whose argument may hold a ``!`` or ``#`` that was meant; elsewhere it starts a comment."""

_CONDITION = re.compile(r"[ \t]*@\^?([A-Za-z_-]{8,20})(?=[ \t])")


def word_cut(view: View) -> Iterator[Finding]:
    """``!`` in a password starts a comment: what counts is the part before it (config-syntax: comments)."""
    blocks: list[tuple[Node, ...] | list[Node]] = [view.nodes]
    blocks.extend(one.body for one in walk(view.nodes) if one.body)
    for nodes in blocks:
        for statement, comment in pairwise(nodes):
            if not isinstance(statement, Statement) or not isinstance(comment, Comment):
                continue
            end = statement.place_of(len(statement.words))
            touches = (comment.file, comment.line, comment.column) == (end.file, end.line, end.column)
            if not (touches and comment.trailing and statement.name in _TEXTS and len(statement.words) > 1):
                continue
            mark = comment.text[:1]
            yield Finding(
                code="lint-word-cut",
                place=end,
                message=f"{statement.name}: the {mark} starts a comment; the word ends before it",
                hint='write the word inside double quotes: "..."',
                secret=statement.name in SECRETS,
            )


def extension_mistyped(sources: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """``@pykeepalive`` is a condition on a node of that name: the line is dropped without a word."""
    for file, source in sources.items():
        for number, line in enumerate(source, 1):
            match = _CONDITION.match(line)
            if match is None or match[1] == OWN_ID:
                continue
            if difflib.SequenceMatcher(None, match[1].lower(), OWN_ID).ratio() < 0.85:
                continue
            yield Finding(
                code="lint-extension-mistyped",
                place=Place(file=file, line=number, column=match.start(1)),
                width=len(match[1]) + 1,
                message=f"@{match[1]} is read as a condition on a node of that name: the line has no effect",
                hint=f"write @{OWN_ID}",
            )


def extension_hides_keyword(view: View) -> Iterator[Finding]:
    """A keyword of keepalived's behind ``@pykeepalived``: we would read it, keepalived would not."""
    yield from _hidden(view.nodes, ROOT)


def _hidden(nodes: Sequence[Node], block: Block) -> Iterator[Finding]:
    for one in nodes:
        if not isinstance(one, Statement) or not one.words:
            continue
        row = block.keywords.get(one.name)
        if row is None:
            continue
        if one.extension and not row.extension:
            yield Finding(
                code="lint-extension-hides-keyword",
                place=one.place,
                width=len(one.name),
                message=f"{one.name} is a keyword of keepalived's, and keepalived does not read this line: "
                "the file means one thing here and another there",
                hint=f"write {one.name} without @{OWN_ID}",
            )
        if row.block is not None and one.body and not row.block.entries:
            yield from _hidden(one.body, row.block)


def mail_nowhere(view: View) -> Iterator[Finding]:
    """smtp_alert, and nobody or no server to send to: no mail is ever sent (KA#343, #1275)."""
    server = view.config.globals.smtp_server is not None
    recipients = bool(view.config.globals.notification_email)
    if server and recipients:
        return
    wanted = [
        one
        for name in ("smtp_alert", "smtp_alert_vrrp", "smtp_alert_checker")
        if (one := view.globals.get(name)) is not None
    ]
    for statement in view.statements:
        if statement.name in ("vrrp_instance", "vrrp_sync_group", "virtual_server"):
            holders = [statement, *inner(statement, "real_server")]
            wanted.extend(one for holder in holders if (one := last(holder, "smtp_alert")) is not None)
    wanted = [one for one in wanted if flag(one)]
    if wanted:
        missing = " and ".join(
            name for name, there in (("smtp_server", server), ("notification_email", recipients)) if not there
        )
        yield Finding(
            code="lint-mail-nowhere",
            place=wanted[0].place,
            width=len(wanted[0].name),
            message=f"{wanted[0].name} without {missing} in global_defs: no mail is sent",
            hint=f"write {missing}, or take {wanted[0].name} out",
        )


RULES = (word_cut, extension_hides_keyword, mail_nowhere)
