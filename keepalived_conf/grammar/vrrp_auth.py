"""Grammar tables of authentication and auth_hmac. What stands in them is never shown."""

from __future__ import annotations

import dataclasses
import re

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.forms import Args, BadWordError, Shape
from keepalived_conf.grammar.schema import (
    Effect,
    Keyword,
    Type,
    block_of,
    choice_row,
    integer_row,
    plain_row,
)
from keepalived_conf.model import AuthHmac, HmacKey
from keepalived_conf.syntax import values
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

KEY_MIN_BYTES = 32
KEY_MAX_BYTES = 64
KEY_NUMBER_MAX = 255
WINDOW_MAX_S = 300
SINCE = "2.4.0"
UNSIGNED = "adverts are neither signed nor checked"

_AUTH_PASS = plain_row("auth_pass", Type.TEXT, "Password; only the first eight bytes count", worker="vrrp")
AUTHENTICATION = block_of(
    "vrrp_instance.authentication",
    (
        choice_row(
            "auth_type", "PASS AH", "PASS: plain password (version 2). AH has no effect yet", worker="vrrp"
        ),
        dataclasses.replace(_AUTH_PASS, secret=True),
    ),
    secret=True,
)


# --- auth_hmac -------------------------------------------------------------------------------------------

_HEX_PAIR = re.compile(r"[ \t]*([0-9A-Fa-f]{1,2})")


def _read_key(args: Args) -> HmacKey:
    """``NUMBER KEY``. The words may be secret, each of them: none is repeated in a message."""
    if len(args.words) < args.first + 2:
        raise BadWordError(len(args.words), "the number or the key is missing", code="missing-argument")
    number = _number(args, args.first)
    word = args.words[args.first + 1].text
    if word.startswith("file:"):
        # Whether the file is there and what is in it is seen by the worker that signs.
        return HmacKey(number=number, file=word[5:])
    value = _from_hex(word[4:]) if word.startswith("hex:") else word.encode("utf-8", "surrogateescape")
    if not KEY_MIN_BYTES <= len(value) <= KEY_MAX_BYTES:
        raise BadWordError(
            args.first + 1,
            f"key {number} has {len(value)} bytes, not {KEY_MIN_BYTES} to {KEY_MAX_BYTES}",
            hint="openssl rand -hex 32 makes a good one; write hex: before it",
            code="key-length",
        )
    return HmacKey(number=number, value=value)


def _number(args: Args, index: int) -> int:
    try:
        number = values.integer(args.words[index].text)
    except (BadValueError, LeadingNumberError):
        number = 0
    if not 1 <= number <= KEY_NUMBER_MAX:
        raise BadWordError(
            index,
            f"the number of the key is not a whole number from 1 to {KEY_NUMBER_MAX}",
            code="invalid-number",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
    return number


def _from_hex(text: str) -> bytes:
    """Pairs of digits, blanks between them; a digit alone is a low half. Nothing if it is no such text."""
    found = bytearray()
    at = 0
    text = text.rstrip(" \t")
    while at < len(text):
        match = _HEX_PAIR.match(text, at)
        if match is None:
            return b""
        found.append(int(match[1], 16))
        at = match.end()
    return bytes(found)


def _write_key(value: HmacKey) -> list[str]:
    key = f"hex:{value.value.hex()}" if value.file is None else f"file:{value.file}"
    return [str(value.number), key]


KEY = Shape(takes="NUMBER and hex:HEX, file:PATH or 32 to 64 characters", reads=_read_key, writes=_write_key)


def _later(row: Keyword, since: str = SINCE) -> Keyword:
    return dataclasses.replace(row, effect=Effect.PARSED, since=since)


AUTH_HMAC = block_of(
    "vrrp_instance.auth_hmac",
    (
        Keyword(
            name="key",
            type=Type.FORM,
            form=KEY,
            repeatable=True,
            stops_when_bare=False,
            secret=True,
            field="keys",
            worker="vrrp",
            effect=Effect.PARSED,
            since=SINCE,
            help="A key with its number; several while keys are being changed",
        ),
        dataclasses.replace(
            _later(
                integer_row(
                    "active_key",
                    1,
                    KEY_NUMBER_MAX,
                    "Number of the key that signs",
                    worker="vrrp",
                    default="required",
                )
            ),
            exact=True,
        ),
        dataclasses.replace(
            _later(
                integer_row(
                    "time_window",
                    1,
                    WINDOW_MAX_S,
                    "How far the clock of the sender may be off",
                    worker="vrrp",
                    default="three times advert_int, at least 5",
                    unit="s",
                )
            ),
            exact=True,
        ),
        _later(
            choice_row(
                "anti_replay",
                "time monotonic",
                "Old adverts are known by the wall clock, or by a counter only",
                worker="vrrp",
                default="time",
            )
        ),
        _later(
            choice_row(
                "mode",
                "enforce permissive receive-only",
                "Unsigned adverts are dropped, accepted, or accepted while none is signed here",
                worker="vrrp",
                default="enforce",
            )
        ),
    ),
    model=AuthHmac,
    secret=True,
)
