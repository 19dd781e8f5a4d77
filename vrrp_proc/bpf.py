"""Classic BPF program for the raw VRRP receive sockets: only adverts for our virtual routers pass.

Everything else (other VRIDs, other types, junk) is dropped by the kernel before it costs a wake-up.
The program reads the version/type octet and the VRID; an IPv4 raw socket sees the IP header first
(its length taken from IHL, so that options do not shift the fields), an IPv6 one starts at VRRP
octet 0. Structure, checksum and the rest are judged by the core. Pure.

Source: Linux Documentation/networking/filter.rst (instruction encoding); RFC 9568 section 5.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from keepalived_conf.model import Family

# classes, sizes, modes as in linux/bpf_common.h
_LD_B_ABS = 0x30  # A = octet at k
_LD_B_IND = 0x50  # A = octet at X + k
_LDX_B_MSH = 0xB1  # X = 4 * (octet at k & 15)
_ALU_AND_K = 0x54
_JEQ_K = 0x15
_RET_K = 0x06

ACCEPT_BYTES = 0xFFFF
_TYPE_ADVERTISEMENT = 1

Instruction = tuple[int, int, int, int]


def program(family: Family, vrids: Iterable[int]) -> list[Instruction]:
    """Instructions (code, jt, jf, k) that pass adverts whose VRID is one of ``vrids`` (1..255).

    Whatever the version, octet 0 must say type 1: the version is the core's to judge (and to count).
    An empty set passes nothing.
    """
    wanted = sorted(set(vrids))
    if wanted and not (wanted[0] > 0 and wanted[-1] < 256):
        raise ValueError(f"VRIDs are 1..255, not {wanted[0]}..{wanted[-1]}")
    load = _LD_B_IND if family == 4 else _LD_B_ABS
    code: list[Instruction] = []
    if family == 4:
        code.append((_LDX_B_MSH, 0, 0, 0))
    # type: low nibble of octet 0
    code += [
        (load, 0, 0, 0),
        (_ALU_AND_K, 0, 0, 0x0F),
        (_JEQ_K, 1, 0, _TYPE_ADVERTISEMENT),
        (_RET_K, 0, 0, 0),
    ]
    code.append((load, 0, 0, 1))
    # Each VRID test is followed by its own accept: jumps stay short however many VRIDs there are.
    for vrid in wanted:
        code += [(_JEQ_K, 0, 1, vrid), (_RET_K, 0, 0, ACCEPT_BYTES)]
    code.append((_RET_K, 0, 0, 0))
    return code


def pack(instructions: Iterable[Instruction]) -> bytes:
    """``struct sock_filter[]`` in host order."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)


def run(instructions: list[Instruction], data: bytes) -> int:
    """What the program returns for ``data``: an interpreter for tests. Reads beyond the end give 0."""
    accumulator = index = counter = 0
    while True:
        code, jump_true, jump_false, k = instructions[counter]
        counter += 1
        if code in (_LD_B_ABS, _LD_B_IND):
            offset = k + (index if code == _LD_B_IND else 0)
            if offset >= len(data):
                return 0
            accumulator = data[offset]
        elif code == _LDX_B_MSH:
            if k >= len(data):
                return 0
            index = 4 * (data[k] & 15)
        elif code == _ALU_AND_K:
            accumulator &= k
        elif code == _JEQ_K:
            counter += jump_true if accumulator == k else jump_false
        elif code == _RET_K:
            return k
        else:
            raise ValueError(f"unknown instruction {code:#x}")
