"""authentication and auth_hmac of an instance. Nothing here repeats a word of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived_conf.builders.reader import Read
from keepalived_conf.builders.vrrp_draft import OWNER_PRIORITY, Draft
from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.vrrp_auth import AUTH_HMAC, AUTHENTICATION, WINDOW_MAX_S
from keepalived_conf.model import AuthHmac, HmacKey

AUTH_PASS_BYTES = 8
WINDOW_FLOOR_S = 5
TRAILER_BYTES = 28


@dataclass(frozen=True, kw_only=True, slots=True)
class Auth:
    kind: str | None = None
    """PASS, AH or None."""
    secret: bytes | None = None
    hmac: AuthHmac | None = None
    clears_master: bool = False
    """AH needs to hear the master before it can be one."""

    @property
    def on_wire_bytes(self) -> int:
        """What it adds to an advert, where it matters: version 3."""
        return TRAILER_BYTES if self.hmac is not None else 0


def authentication(
    draft: Draft, *, strict: bool, version: int, family: int, state: str, priority: int
) -> Auth:
    found = _legacy(draft, strict=strict, version=version, family=family, state=state, priority=priority)
    blocks = draft.read.statements.get("auth_hmac", ())
    if not blocks:
        return found
    if found.kind is not None:
        draft.error(
            "auth_hmac",
            "two-authentications",
            "auth_hmac does not go with authentication; authentication is not used",
            hint="take the authentication block out on every node",
        )
        found = Auth()
    read = Read(blocks[0].place)
    for statement in blocks:
        draft.reader.into(read, statement.body or [], AUTH_HMAC)
    return replace(found, hmac=_hmac(draft, read, strict=strict))


def _legacy(draft: Draft, *, strict: bool, version: int, family: int, state: str, priority: int) -> Auth:
    blocks = draft.read.statements.get("authentication", ())
    if not blocks:
        return Auth()
    read = Read(blocks[0].place)
    for statement in blocks:
        draft.reader.into(read, statement.body or [], AUTHENTICATION)
    kind, text = read.get("auth_type"), read.get("auth_pass")
    secret = str(text).encode("utf-8", "surrogateescape") if text else b""
    if len(secret) > AUTH_PASS_BYTES:
        draft.diagnostics.error(
            read.places.get("auth_pass"),
            "auth-pass-cut",
            f"({draft.name}) auth_pass is longer than {AUTH_PASS_BYTES} bytes; only the first "
            f"{AUTH_PASS_BYTES} count",
            hint="shorten it",
            width=len("auth_pass"),
        )
    if kind is None:
        if text is not None:
            draft.error(
                "authentication",
                "no-auth-type",
                "auth_pass without auth_type: no authentication is used",
                hint="write auth_type PASS",
                keepalived=KeepalivedClass.OK,
            )
        return Auth()
    refusal = _refusal(kind, bool(secret), strict=strict, version=version, family=family)
    if refusal is not None:
        draft.error("authentication", refusal[0], refusal[1], hint=refusal[2])
        return Auth()
    clears = kind == "AH" and state == "MASTER" and priority != OWNER_PRIORITY
    if clears:
        draft.error(
            "state",
            "ah-master",
            "state MASTER does not go with auth_type AH: BACKUP is taken",
            hint="write state BACKUP",
        )
    if kind == "AH":
        draft.error(
            "authentication",
            "auth-ah",
            "auth_type AH is not supported: adverts are neither signed nor checked",
            hint="use auth_type PASS on every node",
            keepalived=KeepalivedClass.OK,
        )
    return Auth(kind=kind, secret=secret[:AUTH_PASS_BYTES], clears_master=clears)


def _refusal(
    kind: str, has_secret: bool, *, strict: bool, version: int, family: int
) -> tuple[str, str, str] | None:
    """(code, message, hint) why it is not used."""
    if strict:
        return (
            "auth-in-strict-mode",
            "strict mode allows no authentication; it is not used",
            "take the authentication block out, or strict mode",
        )
    if version == 3:
        return (
            "auth-in-version-3",
            "version 3 knows no authentication; it is not used",
            "take the authentication block out, or write version 2",
        )
    if not has_secret:
        return (
            "no-auth-pass",
            "auth_pass is missing: no authentication is used",
            "write auth_pass and up to eight characters",
        )
    if family == 6 and kind == "AH":
        return (
            "ah-with-ipv6",
            "auth_type AH does not go with IPv6; no authentication is used",
            "take the authentication block out",
        )
    return None


def _hmac(draft: Draft, read: Read, *, strict: bool) -> AuthHmac | None:
    keys: dict[int, HmacKey] = {}
    for key in read.get("key", ()):
        if key.number in keys:
            draft.diagnostics.error(
                read.places.get("key"),
                "duplicate-key",
                f"({draft.name}) key {key.number} is written twice; the first counts",
                hint="give each key a number of its own",
                width=len("key"),
                secret=True,
            )
        keys.setdefault(key.number, key)
    active = read.get("active_key", 0)
    if active not in keys:
        draft.error(
            "auth_hmac",
            "no-active-key",
            (f"there is no key {active}" if active else "there is no active_key")
            + "; adverts are neither signed nor checked",
            hint="write active_key and the number of one of the keys",
        )
        return None
    mode = read.get("mode", "enforce")
    if strict and mode != "enforce":
        draft.error(
            "auth_hmac",
            "strict-mode",
            "strict mode needs mode enforce; it is taken",
            hint="write mode enforce",
        )
        mode = "enforce"
    anti_replay = read.get("anti_replay", "time")
    window_s = read.get("time_window")
    if window_s is None:
        interval_s = int(draft.read.get("advert_int", 0.0)) if anti_replay == "time" else 0
        window_s = min(max(3 * interval_s, WINDOW_FLOOR_S), WINDOW_MAX_S)
    return AuthHmac(
        keys=tuple(keys.values()),
        active_key=active,
        time_window_s=window_s,
        anti_replay=anti_replay,
        mode=mode,
        places=read.places,
    )
