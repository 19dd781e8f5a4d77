"""Words -> values: numbers, times, booleans, addresses, as keepalived reads them.

Every function returns the value, or raises ``BadValueError`` with a text that completes
"KEYWORD: ..." and never repeats the word itself (the reader does that, where it may).
"""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

from keepalived_conf.model import IpAddress, IpInterface

INTERFACE_NAME_MAX = 15
_NUMBER_CHARS_MAX = 40


class BadValueError(Exception):
    """The word is not such a value."""


class BadPrefixError(BadValueError):
    """The address is one, its prefix length is not."""

    def __init__(self, address: IpAddress) -> None:
        super().__init__(f"has no valid prefix length (0 to {address.max_prefixlen})")
        self.address = address


class LeadingNumberError(Exception):
    """A number with rubbish behind it: the daemon of keepalived takes the number and complains."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_INTEGER = re.compile(r"[ \t]*([+-]?[0-9]+)")
_DECIMAL = re.compile(r"[ \t]*\+?([0-9]*)(?:\.([0-9]*))?")


def integer(word: str) -> int:
    """Base 10 only; leading blanks and a sign are allowed, trailing text is not. An empty word is 0."""
    if not word:
        return 0  # as strtol(3) has it, and with it keepalived
    match = _INTEGER.match(word) if len(word) <= _NUMBER_CHARS_MAX else None
    if match is None:
        raise BadValueError("is not a whole number")
    number = int(match[1])
    if match.end() != len(word):
        raise LeadingNumberError(number)
    return number


_C_NUMBER = re.compile(r"[ \t]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")


def c_number_before(word: str) -> tuple[int, str]:
    """Number in the notation of C (0x10, 010, 16) and what stands behind it; a minus counts from 2^64.

    Raises BadValueError where the word starts with no number.
    """
    match = _C_NUMBER.match(word)
    if match is None or match.end() > _NUMBER_CHARS_MAX:
        raise BadValueError("is not a number")
    digits = match[2]
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
    number = min(int(digits, 8) if octal else int(digits, 0), 0xFFFFFFFFFFFFFFFF)
    return (-number & 0xFFFFFFFFFFFFFFFF if match[1] == "-" else number), word[match.end() :]


def c_number(word: str) -> int | None:
    """The whole word as a number in the notation of C, or None."""
    try:
        number, behind = c_number_before(word)
    except BadValueError:
        return None
    return None if behind else number


def decimal(word: str, decimals: int) -> tuple[float, bool]:
    """Seconds with up to ``decimals`` decimals: (value, exact). ``.5`` and ``1.`` are numbers."""
    match = _DECIMAL.fullmatch(word) if len(word) <= _NUMBER_CHARS_MAX else None
    if match is None or not (match[1] or match[2]):
        raise BadValueError("is not a number of seconds")
    value = Decimal(f"{match[1] or '0'}.{match[2] or '0'}")
    step = Decimal(1).scaleb(-decimals)
    rounded = (value / step).to_integral_value(rounding="ROUND_HALF_UP") * step
    return float(rounded), rounded == value


_BOOLS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def boolean(word: str) -> bool:
    try:
        return _BOOLS[word]
    except KeyError:
        raise BadValueError("is neither true, on, yes nor false, off, no") from None


def address(word: str) -> IpAddress:
    """Numeric address without prefix length and without scope."""
    try:
        found = ip_address(word)
    except ValueError:
        raise BadValueError("is not an IP address") from None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise BadValueError("must be written without %interface")
    return found


def address_dropping_prefix(word: str) -> IpAddress:
    """As ``address``; a prefix length behind it is accepted and dropped."""
    host, slash, prefix = word.partition("/")
    if slash and not (prefix.isascii() and prefix.isdigit()):
        raise BadValueError("is not an IP address")
    return address(host)


def interface_address(word: str) -> IpInterface:
    """Address with prefix length, 32 or 128 unless written."""
    host, slash, prefix = word.partition("/")
    plain = address(host)
    length: int = plain.max_prefixlen
    if slash:
        if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 3 and int(prefix) <= length):
            raise BadPrefixError(plain)
        length = int(prefix)
    # From numbers: the text is not read again, and there may be thousands.
    if isinstance(plain, IPv4Address):
        return IPv4Interface((int(plain), length))
    return IPv6Interface((int(plain), length))


def interface_name(word: str) -> str:
    if not word or len(word.encode("utf-8", "replace")) > INTERFACE_NAME_MAX:
        raise BadValueError(f"is not the name of an interface (1 to {INTERFACE_NAME_MAX} characters)")
    if "/" in word or any(char.isspace() or not char.isprintable() for char in word):
        raise BadValueError("is not the name of an interface")
    return word


def port(word: str, low: int = 0) -> int:
    try:
        number = integer(word)
    except LeadingNumberError:
        raise BadValueError("is not a port number") from None
    if not low <= number <= 65535:
        raise BadValueError(f"is not a port number ({low} to 65535)")
    return number


def netmask_prefix(word: str) -> int:
    """IPv4 netmask in dotted form -> prefix length 1..32."""
    try:
        bits = int(IPv4Address(word))
    except ValueError:
        raise BadValueError("is not an IPv4 netmask such as 255.255.255.0") from None
    prefix = bits.bit_count()
    if bits == 0 or bits != (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF:
        raise BadValueError("is not a contiguous IPv4 netmask")
    return prefix


def broadcast_address(word: str) -> IPv4Address:
    found = address(word)
    if not isinstance(found, IPv4Address):
        raise BadValueError("is not an IPv4 address")
    return found


def family_of(found: IpAddress | IpInterface) -> int:
    return 6 if isinstance(found, IPv6Address | IPv6Interface) else 4


def status_range(word: str) -> tuple[int, int]:
    """``CODE`` or ``CODE-CODE``, 100..599."""
    low, dash, high = word.partition("-")
    try:
        first = integer(low)
        last = integer(high) if dash else first
    except LeadingNumberError:
        raise BadValueError("is not a status code or a range of them") from None
    if not 100 <= first <= last <= 599:
        raise BadValueError("is not within 100 to 599, lower code first")
    return first, last
