"""The kernel filter: only advertisements of our virtual routers cost a wake-up."""

from __future__ import annotations

import struct

import pytest

from vrrp_proc import bpf


def _ipv4(payload: bytes, options: bytes = b"") -> bytes:
    length = 20 + len(options)
    return bytes((0x40 | length // 4,)) + b"\0" * 19 + options + payload


ADVERT = bytes((0x31, 51, 100, 1, 0, 100, 0, 0))


@pytest.mark.parametrize("version_type", [0x21, 0x31])
def test_passes_adverts_of_our_vrids_in_any_version(version_type: int) -> None:
    payload = bytes((version_type,)) + ADVERT[1:]
    assert bpf.run(bpf.program(4, [7, 51]), _ipv4(payload)) == bpf.ACCEPT_BYTES
    assert bpf.run(bpf.program(6, [51]), payload) == bpf.ACCEPT_BYTES


def test_ipv4_options_do_not_shift_the_fields() -> None:
    program = bpf.program(4, [51])
    assert bpf.run(program, _ipv4(ADVERT, options=b"\x07\x04\0\0" * 3)) == bpf.ACCEPT_BYTES
    other = bytes((0x31, 9)) + ADVERT[2:]
    assert bpf.run(program, _ipv4(other, options=bytes((0x31, 51, 0, 0)))) == 0


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (bytes((0x31, 52)) + ADVERT[2:], "another virtual router"),
        (bytes((0x32, 51)) + ADVERT[2:], "another type"),
        (b"\x31", "cut off before the VRID"),
        (b"", "empty"),
    ],
)
def test_drops_everything_else(payload: bytes, why: str) -> None:
    assert bpf.run(bpf.program(6, [51]), payload) == 0, why
    assert bpf.run(bpf.program(4, [51]), _ipv4(payload)) == 0, why


def test_every_vrid_at_once() -> None:
    program = bpf.program(4, range(1, 256))
    assert len(program) <= 4096  # BPF_MAXINSNS
    for vrid in (1, 128, 255):
        assert bpf.run(program, _ipv4(bytes((0x31, vrid)) + ADVERT[2:])) == bpf.ACCEPT_BYTES
    assert bpf.run(program, _ipv4(bytes((0x31, 0)) + ADVERT[2:])) == 0


def test_no_vrid_passes_nothing() -> None:
    assert bpf.run(bpf.program(6, []), ADVERT) == 0


@pytest.mark.parametrize("vrid", [0, 256])
def test_vrid_out_of_range_is_named(vrid: int) -> None:
    with pytest.raises(ValueError, match="1..255"):
        bpf.program(4, [51, vrid])


def test_packed_as_the_kernel_wants_it() -> None:
    assert bpf.pack([(0x15, 1, 2, 0x01020304)]) == struct.pack("=HBBI", 0x15, 1, 2, 0x01020304)
