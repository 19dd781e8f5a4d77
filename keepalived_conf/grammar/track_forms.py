"""Forms of trackers: the lines that name them, their weights, and what they watch."""

from __future__ import annotations

import dataclasses
from typing import Any

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.common import whole_number
from keepalived_conf.grammar.forms import Args, BadWordError, MissingWordError, Shape
from keepalived_conf.grammar.schema import INT32_MAX
from keepalived_conf.grammar.vrrp_forms import complain
from keepalived_conf.model import InitFile, ScriptUser, TrackRef, Weight

WEIGHT_MAX = 253
"""Of interfaces, scripts and BFD sessions; processes and files take one more."""
SENSIBLE_NUMBER_MAX = 254


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackForm:
    """``NAME [weight N [reverse|noreverse]]``: one line of a track_* block."""

    limit: int
    """Weights from -limit to limit."""
    cut_at: int | None = None
    """A weight of one more is cut to this, and reported (keepalived took it once)."""
    noreverse: bool = True
    """``noreverse`` is known: the tracker has a direction of its own."""
    strict: bool = False
    """An unknown word behind the weight makes the line unusable."""

    @property
    def takes(self) -> str:
        way = "[reverse|noreverse]" if self.noreverse else "[reverse]"
        return f"NAME [weight N {way}], N from -{self.limit} to {self.limit}"

    def read(self, args: Args) -> TrackRef:
        name = args.text(args.first)
        default = None if self.noreverse else False
        if len(args.words) <= args.first + 1:
            return TrackRef(name=name, weight=None if self.noreverse else 0, reverse=default)
        at = args.first + 1
        if args.words[at].text != "weight":
            raise BadWordError(
                at,
                f"'{args.words[at].text}' behind {name} is not weight",
                hint=f"one name a line; write {self.takes}",
                code="invalid-entry",
            )
        if len(args.words) <= at + 1:
            raise BadWordError(at, f"weight of {name} has no number behind it", code="invalid-entry")
        args.use(at, "weight")
        weight = self._weight(args, at + 1)
        if weight is None and not self.noreverse:
            weight = 0
        return TrackRef(name=name, weight=weight, reverse=self._way(args, at + 2, name, default))

    def _weight(self, args: Args, index: int) -> int | None:
        try:
            widest = self.limit if self.cut_at is None else self.cut_at + 1
            weight = whole_number(args, index, -widest, widest)
        except BadWordError as bad:
            complain(
                args,
                index,
                f"weight '{args.words[index].text}' is not a whole number from -{self.limit} to "
                f"{self.limit}; it is ignored",
                code=bad.code,
                keepalived=bad.keepalived,
            )
            return None
        if self.cut_at is not None and abs(weight) > self.cut_at:
            cut = self.cut_at if weight > 0 else -self.cut_at
            complain(args, index, f"weight {weight} is cut to {cut}", hint=f"write {cut}", code="weight-cut")
            return cut
        return weight

    def _way(self, args: Args, index: int, name: str, default: bool | None) -> bool | None:
        if index >= len(args.words):
            return default
        word = args.words[index].text
        if word == "reverse" or (word == "noreverse" and self.noreverse):
            args.use(index, word)
            if index + 1 < len(args.words):
                args.note(index + 1, "extra-words", "what follows here is ignored")
            return word == "reverse"
        known = "reverse or noreverse" if self.noreverse else "reverse"
        if self.strict:
            message = f"'{word}' behind the weight of {name} is not {known}"
            raise BadWordError(index, message, code="invalid-entry")
        complain(
            args,
            index,
            f"'{word}' behind the weight of {name} is not {known}; it is ignored",
            code="unknown-word",
        )
        return default

    def write(self, value: Any) -> list[str]:
        words = [value.name]
        if value.weight is not None:
            words += ["weight", str(value.weight)]
            if value.reverse is not None and (value.reverse or self.noreverse):
                words.append("reverse" if value.reverse else "noreverse")
        return words

    def json(self, value: Any) -> Any:
        return {"name": value.name, "weight": value.weight, "reverse": value.reverse}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "weight": {"type": ["integer", "null"], "minimum": -self.limit, "maximum": self.limit},
                "reverse": {"type": ["boolean", "null"]},
            },
            "required": ["name", "weight", "reverse"],
            "additionalProperties": False,
        }


TRACK_INTERFACE = TrackForm(limit=WEIGHT_MAX, cut_at=WEIGHT_MAX, noreverse=False)
TRACK_SCRIPT = TrackForm(limit=WEIGHT_MAX, cut_at=WEIGHT_MAX)
TRACK_PROCESS = TrackForm(limit=WEIGHT_MAX + 1)
TRACK_FILE = TrackForm(limit=WEIGHT_MAX + 1, strict=True)
TRACK_BFD = TrackForm(limit=WEIGHT_MAX, strict=True)


# --- weights of the trackers themselves ----------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackerWeight:
    """``N [reverse]``: the weight in vrrp_script, vrrp_track_process, track_file."""

    limit: int
    stops_when_bare: bool = False
    """keepalived stops with status 2 when there is no number; otherwise it reports and goes on."""
    cut: bool = False
    """A number beyond the limit is cut to it; otherwise the line is ignored."""

    @property
    def takes(self) -> str:
        return f"a whole number from -{self.limit} to {self.limit}, then reverse or nothing"

    def read(self, args: Args) -> Weight:
        if len(args.words) <= args.first:
            if self.stops_when_bare:
                raise MissingWordError(len(args.words))
            raise BadWordError(len(args.words), "the number is missing", code="missing-argument")
        number = self._number(args)
        reverse = False
        at = args.first + 1
        if at < len(args.words):
            word = args.words[at].text
            reverse = word == "reverse"
            if not reverse:
                complain(
                    args,
                    at,
                    f"'{word}' behind the weight is not reverse; it is ignored",
                    code="unknown-word",
                )
        return Weight(value=number, reverse=reverse)

    def _number(self, args: Args) -> int:
        if not self.cut:
            return whole_number(args, args.first, -self.limit, self.limit)
        number = whole_number(args, args.first, -INT32_MAX - 1, INT32_MAX)
        if abs(number) <= self.limit:
            return number
        # keepalived reports such a weight and uses it; the sum of priorities is limited to 1..254 anyway.
        cut = self.limit if number > 0 else -self.limit
        complain(
            args,
            args.first,
            f"weight {number} is not within -{self.limit} to {self.limit}; {cut} is taken",
            hint=f"write {cut}",
            code="invalid-number",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
        return cut

    def write(self, value: Any) -> list[str]:
        return [str(value.value), *(["reverse"] if value.reverse else [])]

    def json(self, value: Any) -> Any:
        return {"weight": value.value, "reverse": value.reverse}

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "weight": {"type": "integer", "minimum": -self.limit, "maximum": self.limit},
                "reverse": {"type": "boolean"},
            },
            "required": ["weight", "reverse"],
            "additionalProperties": False,
        }


SCRIPT_WEIGHT = TrackerWeight(limit=WEIGHT_MAX, stops_when_bare=True, cut=True)
PROCESS_WEIGHT = TrackerWeight(limit=WEIGHT_MAX + 1)
FILE_WEIGHT = TrackerWeight(limit=WEIGHT_MAX + 1)


# --- what is watched -----------------------------------------------------------------------------------


def _read_user(args: Args) -> ScriptUser:
    name = args.text(args.first)
    group = args.words[args.first + 1].text if len(args.words) > args.first + 1 else None
    return ScriptUser(name=name, group=group)


USER = Shape(
    takes="USER [GROUP]",
    reads=_read_user,
    writes=lambda v: [v.name, *([] if v.group is None else [v.group])],
)


def _read_process(args: Args) -> tuple[str, ...]:
    found = tuple(word.text for word in args.words[args.first :])
    if not found:
        raise MissingWordError(len(args.words))
    return found


PROCESS = Shape(takes="PATH_OR_NAME [PARAMETER...]", reads=_read_process, writes=list)


def _read_param_match(args: Args) -> str:
    if len(args.words) <= args.first:
        return "exact"
    word = args.words[args.first].text
    if word not in ("initial", "partial"):
        raise BadWordError(args.first, f"'{word}' is not initial or partial")
    return word


PARAM_MATCH = Shape(
    takes="[initial|partial]", reads=_read_param_match, writes=lambda v: [] if v == "exact" else [v]
)


def _read_file(args: Args) -> str:
    if len(args.words) <= args.first:
        raise BadWordError(len(args.words), "the file is missing", code="missing-argument")
    return args.words[args.first].text


FILE = Shape(takes="PATH", reads=_read_file, writes=lambda v: [v])


def _read_init_file(args: Args) -> InitFile:
    value = 0
    overwrite = False
    for index in range(args.first, len(args.words)):
        word = args.words[index].text.lstrip(" \t")
        if word[:1].isdigit() or word.startswith("-"):
            try:
                value = whole_number(args, index, -INT32_MAX - 1, INT32_MAX)
            except BadWordError as bad:
                value = 0
                complain(args, index, f"{bad.message}; 0 is taken", code=bad.code, keepalived=bad.keepalived)
            else:
                if abs(value) > SENSIBLE_NUMBER_MAX:
                    complain(
                        args,
                        index,
                        f"{value} is more than a priority can be moved",
                        hint=f"write a number from -{SENSIBLE_NUMBER_MAX} to {SENSIBLE_NUMBER_MAX}",
                        code="unusual-value",
                    )
        elif word == "overwrite":
            overwrite = True
        else:
            complain(args, index, f"'{word}' is neither a number nor overwrite; it is ignored")
    return InitFile(value=value, overwrite=overwrite)


INIT_FILE = Shape(
    takes="[N] [overwrite]",
    reads=_read_init_file,
    writes=lambda v: [str(v.value), *(["overwrite"] if v.overwrite else [])],
)
