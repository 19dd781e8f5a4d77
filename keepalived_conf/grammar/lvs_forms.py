"""Forms of what services take: addresses with ports, forwarding methods, netmasks, lines of a group."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, NamedTuple, cast

from keepalived_conf.diagnostics import KeepalivedClass
from keepalived_conf.grammar.check_forms import TextForm, wrong
from keepalived_conf.grammar.common import whole_number
from keepalived_conf.grammar.forms import Args, BadWordError, Shape
from keepalived_conf.model import (
    Forwarding,
    GroupAddresses,
    GroupMark,
    IpAddress,
    LvsMethod,
    Tunnel,
    TunnelChecksum,
    TunnelType,
)
from keepalived_conf.syntax import values
from keepalived_conf.syntax.values import BadValueError, LeadingNumberError

METHODS = ("NAT", "DR", "TUN")
TUNNEL_TYPES = ("ipip", "gue", "gre")
TUNNEL_CHECKSUMS = ("nocsum", "csum", "remcsum")
MARK_MAX = 4294967295
PERSISTENCE_ENGINE_MAX = 16


# --- addresses with ports -----------------------------------------------------------------------------


class Endpoint(NamedTuple):
    address: IpAddress
    port: int | None
    """None: not written, or 0."""


def read_endpoint(args: Args, index: int) -> Endpoint:
    """``ADDRESS [PORT]`` from ``index`` on."""
    word = args.text(index)
    # keepalived cuts off what could be a range or a prefix length, wherever an address stands.
    plain = word.partition("-" if "-" in word else "/")[0]
    try:
        address = values.address(plain)
    except BadValueError as bad:
        raise BadWordError(index, f"'{word}' {bad}", code="invalid-address") from None
    if plain != word:
        args.note(index, "extra-words", f"'{word[len(plain) :]}' behind the address is ignored")
    return Endpoint(address, _port(args, index + 1) or None)


def _port(args: Args, index: int) -> int:
    if index >= len(args.words):
        return 0
    try:
        return whole_number(args, index, 0, 65535)
    except BadWordError:
        raise BadWordError(
            index,
            f"'{args.words[index].text}' is not a port number (0 to 65535)",
            code="invalid-address",
        ) from None


def _write_endpoint(value: Any) -> list[str]:
    """Of anything with an address and a port."""
    return [str(value.address), *([str(value.port)] if value.port else [])]


ENDPOINT = Shape(
    takes="ADDRESS [PORT]", reads=lambda args: read_endpoint(args, args.first), writes=_write_endpoint
)


class Service(NamedTuple):
    """The words between virtual_server and its brace; one of address, fwmark and group is set."""

    address: IpAddress | None = None
    port: int = 0
    fwmark: int | None = None
    group: str | None = None


def _read_service(args: Args) -> Service:
    word = args.text(args.first)
    if word == "group":
        return Service(group=args.text(args.first + 1))
    if word == "fwmark":
        return Service(fwmark=whole_number(args, args.first + 1, 0, MARK_MAX))
    address, port = read_endpoint(args, args.first)
    return Service(address=address, port=port or 0)


def _write_service(value: Any) -> list[str]:
    if value.group is not None:
        return ["group", value.group]
    if value.fwmark is not None:
        return ["fwmark", str(value.fwmark)]
    return _write_endpoint(value)


SERVICE = Shape(
    takes="ADDRESS [PORT], fwmark MARK, or group NAME", reads=_read_service, writes=_write_service
)


# --- forwarding ---------------------------------------------------------------------------------------


def _read_forwarding(args: Args) -> Forwarding:
    word = args.text(args.first)
    if word not in METHODS:
        raise BadWordError(
            args.first, f"'{word}' is not one of NAT, DR, TUN", hint="the names are upper case"
        )
    method = cast(LvsMethod, word)
    try:
        tunnel = _read_tunnel(args, args.first + 1)
    except BadWordError as bad:
        # As in keepalived: the method counts, its options do not.
        wrong(args, bad.index, bad.code, f"{bad.message}; no option of this line counts", hint=bad.hint)
        tunnel = None
    return Forwarding(method=method, tunnel=tunnel)


def _read_tunnel(args: Args, index: int) -> Tunnel | None:
    kind, port, checksum = "ipip", 0, "nocsum"
    first = index
    while index < len(args.words):
        word = args.words[index].text
        if word in ("type", "port") and index + 1 >= len(args.words):
            raise BadWordError(index, f"'{word}' has no value behind it", code="missing-argument")
        if word == "type":
            kind = args.words[index + 1].text
            if kind not in TUNNEL_TYPES:
                raise BadWordError(index + 1, f"'{kind}' is not one of {', '.join(TUNNEL_TYPES)}")
            index += 1
        elif word == "port":
            port = whole_number(args, index + 1, 1, 65535)
            index += 1
        elif word in TUNNEL_CHECKSUMS:
            checksum = word
        else:
            raise BadWordError(
                index,
                f"'{word}' is no option of a tunnel",
                hint="known are type, port, nocsum, csum, remcsum",
            )
        index += 1
    if (kind == "gue") != (port != 0):
        raise BadWordError(first, "a gue tunnel needs a port, and no other tunnel has one")
    if kind == "ipip" and checksum != "nocsum":
        raise BadWordError(first, "an ipip tunnel has no checksum")
    if kind == "gre" and checksum == "remcsum":
        raise BadWordError(first, "a gre tunnel has no remote checksum")
    if kind == "ipip":
        return None
    return Tunnel(type=cast(TunnelType, kind), port=port, checksum=cast(TunnelChecksum, checksum))


def _write_forwarding(value: Any) -> list[str]:
    words = [value.method]
    if value.tunnel is not None:
        words += ["type", value.tunnel.type]
        if value.tunnel.port:
            words += ["port", str(value.tunnel.port)]
        if value.tunnel.checksum != "nocsum":
            words.append(value.tunnel.checksum)
    return words


FORWARDING = Shape(
    takes="NAT, DR or TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum]",
    reads=_read_forwarding,
    writes=_write_forwarding,
)


# --- persistence_granularity ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GranularityForm:
    """An IPv4 netmask, or a number: a prefix length for IPv6. Which of them fits is for the builder."""

    takes: str = "an IPv4 netmask, or a prefix length from 1 to 128 for IPv6"

    def read(self, args: Args) -> IPv4Address | int:
        word = args.text(args.first)
        try:
            return values.integer(word) if "." not in word else IPv4Address(word)
        except (ValueError, BadValueError, LeadingNumberError):
            raise BadWordError(args.first, f"'{word}' is not {self.takes}") from None

    def write(self, value: Any) -> list[str]:
        return [str(value)]

    def json(self, value: Any) -> Any:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": self.takes}


GRANULARITY = GranularityForm()


def _read_persistence_engine(args: Args) -> str:
    word = args.text(args.first)
    if len(word) > PERSISTENCE_ENGINE_MAX:
        wrong(
            args,
            args.first,
            "too-long",
            f"'{word}' is longer than {PERSISTENCE_ENGINE_MAX} characters and is cut",
            hint="write the name of an engine of the kernel, such as sip",
        )
    return word[:PERSISTENCE_ENGINE_MAX]


PERSISTENCE_ENGINE = TextForm(takes="the name of an engine, such as sip", reads=_read_persistence_engine)


# --- virtual_server_group -------------------------------------------------------------------------------


def _read_group_entry(args: Args) -> GroupAddresses | GroupMark:
    if args.text(args.first) == "fwmark":
        args.use(args.first, "fwmark")
        return _read_group_mark(args)
    args.use(args.first, "ADDRESS")
    word = args.words[args.first].text
    first, last = _address_range(args, word)
    port = _port(args, args.first + 1)
    return GroupAddresses(first=first, last=last, port=port)


def _read_group_mark(args: Args) -> GroupMark:
    mark = whole_number(args, args.first + 1, 0, MARK_MAX)
    if len(args.words) <= args.first + 2:
        return GroupMark(fwmark=mark)
    word = args.words[args.first + 2].text
    if word not in ("inet", "inet6"):
        raise BadWordError(args.first + 2, f"'{word}' is neither inet nor inet6")
    return GroupMark(fwmark=mark, family=6 if word == "inet6" else 4)


def _address_range(args: Args, word: str) -> tuple[IpAddress, IpAddress]:
    """First and last address of ``ADDR``, ``ADDR/LENGTH``, ``ADDR-ADDR`` or ``ADDR-LASTPART``."""
    at = args.first
    start, dash, end = word.partition("-")
    if not dash:
        start = word.partition("/")[0]
    try:
        first = values.address(start)
    except BadValueError as bad:
        raise BadWordError(at, f"'{start}' {bad}", code="invalid-address") from None
    if "/" in word:
        return _network(at, first, word.rpartition("/")[2])
    if not dash:
        return first, first
    if ("." if first.version == 4 else ":") in end:
        try:
            last = values.address(end)
        except BadValueError as bad:
            raise BadWordError(at, f"'{end}' {bad}", code="invalid-address") from None
    else:
        last = _last_of(args, first, end)
        if last == first:
            raise BadWordError(at, f"the range '{word}' ends where it begins", hint=f"write {first} alone")
    if last.version != first.version:
        raise BadWordError(at, f"the range '{word}' begins and ends in different families")
    if int(last) < int(first):
        raise BadWordError(at, f"the range '{word}' ends below its beginning")
    return first, last


def _network(at: int, address: IpAddress, length: str) -> tuple[IpAddress, IpAddress]:
    if not (length.isascii() and length.isdigit() and 0 < int(length[:9]) <= address.max_prefixlen):
        raise BadWordError(at, f"/{length} is not a prefix length from 1 to {address.max_prefixlen}")
    try:
        network = ip_network(f"{address}/{int(length)}")
    except ValueError:
        raise BadWordError(
            at,
            f"{address} is not the first address of its /{int(length)}",
            hint=f"write {ip_network(f'{address}/{int(length)}', strict=False)}",
        ) from None
    return network[0], network[-1]


def _last_of(args: Args, first: IpAddress, text: str) -> IpAddress:
    """The address whose last part (octet, or 16 bits in hexadecimal) is ``text``."""
    base, high = (10, 255) if first.version == 4 else (16, 0xFFFF)
    try:
        part = int(text, base) if text.isalnum() and len(text) < 9 else -1
    except ValueError:
        part = -1
    if not 0 <= part <= high:
        raise BadWordError(
            args.first,
            f"'{text}' is not the last part of an address, 0 to {high if base == 10 else 'ffff'}",
            code="invalid-number",
            keepalived=KeepalivedClass.INVALID_NUMBER,
        )
    whole = int(first) & ~high | part
    return IPv4Address(whole) if first.version == 4 else IPv6Address(whole)


def _write_group_entry(value: Any) -> list[str]:
    if isinstance(value, GroupMark):
        family = [] if value.family is None else ["inet6" if value.family == 6 else "inet"]
        return ["fwmark", str(value.fwmark), *family]
    addresses = str(value.first) if value.first == value.last else f"{value.first}-{value.last}"
    return [addresses, *([str(value.port)] if value.port else [])]


GROUP_ENTRY = Shape(
    takes="ADDRESS[-ADDRESS|-LASTPART|/LENGTH] [PORT], or fwmark MARK [inet|inet6]",
    reads=_read_group_entry,
    writes=_write_group_entry,
)
