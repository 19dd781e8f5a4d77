"""Rows of what is done with a line before it is looked up as a keyword (``syntax.preprocess``)."""

from __future__ import annotations

from keepalived_conf.grammar.schema import Keyword, Type


def _row(name: str, help_: str, *, default: str = "", since: str = "") -> Keyword:
    return Keyword(
        name=name,
        type=Type.TEXT,
        help=help_,
        worker="supervisor",
        default=default,
        since=since,
        repeatable=True,
    )


PREPROCESSOR: dict[str, Keyword] = {
    row.name: row
    for row in (
        _row("include", "Read the files that match, here; failures are told and passed over"),
        _row("includer", "include that fails when a file cannot be read", since="2.2.0"),
        _row("includem", "includer that fails when a name without wildcard matches nothing", since="2.2.0"),
        _row("includew", "includem that fails when a wildcard matches nothing", since="2.2.0"),
        _row("includeb", "includer that fails when one of {a,b} matches nothing", since="2.2.0"),
        _row("includea", "include that fails for all of these", since="2.2.0"),
        _row("@ID", "The line counts only on the node of that id", since="1.3.0"),
        _row("@^ID", "The line counts on every node but that one", since="1.3.7"),
        _row("$NAME=", "Define a parameter; a backslash at the end continues it"),
        _row("$NAME", "The value of a parameter, also written ${NAME}", default="left as is if undefined"),
        _row("${_PWD}", "Directory of the file"),
        _row("${_INSTANCE}", "Id of this node"),
        _row("${_RANDOM}", "A random number between two limits, both included", default="0..32767"),
        _row("${_ENV}", "The value of an environment variable", default="empty if unset", since="2.4.0"),
        _row("${_HASH}", "The character #", default="#"),
        _row("${_BANG}", "The character !", default="!"),
        _row(
            "~SEQ", "The rest of the line, once for each number", default="START and STEP +-1", since="2.0.9"
        ),
        _row("~SEQx", "As ~SEQ, in hexadecimal", default="START and STEP 1", since="2.1.0"),
        _row(
            "~LST", "The rest of the line, once for each value", default="missing values empty", since="2.1.0"
        ),
    )
}
"""They belong to no block: the loader acts on them."""
