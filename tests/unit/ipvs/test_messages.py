"""Messages on the wire: equal to pyroute2's coding of the same classes, and to bytes the kernel takes."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipvs_proc import messages
from ipvs_proc.messages import INFO, MESSAGE, InfoMessage, IpvsMessage, decode, encode, request_for
from ipvs_proc.model import SVC_F_CONFIGURABLE
from ipvs_proc.netlink import RefusedError, raise_refusal, split
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    Operation,
    RemoveDestination,
    RemoveService,
)
from tests.unit.ipvs.builders import destination, fwmark, key, service

SIX = key("2001:db8::1", 443, "UDP")
TUNNEL = destination("2001:db8:1::1", method="TUN", tunnel_type=1, tunnel_port=6080, tunnel_flags=2, weight=9)
PLAIN = destination("10.0.0.1", 8080, upper_threshold=7, lower_threshold=3)
OPERATIONS: list[Operation] = [
    AddService(service=service(key(), "wlc", timeout_s=360, prefix_length=24)),
    AddService(service=service(SIX, "sh", flags=0x18, persistence_engine="sip")),
    EditService(service=service(fwmark(7, 6), "rr"), was=service(fwmark(7, 6), "wrr")),
    RemoveService(key=fwmark(9)),
    AddDestination(service=key(), destination=PLAIN),
    EditDestination(service=SIX, destination=TUNNEL, was=TUNNEL),
    RemoveDestination(service=SIX, key=TUNNEL.key),
]


def attribute(number: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, number) + data + bytes(-len(data) % 4)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: type(o).__name__)
def test_our_coding_is_pyroute2s(operation: Operation) -> None:
    command, attrs = request_for(operation)
    ours = encode(30, command, 5, 77, attrs)
    reference = IpvsMessage()
    reference["cmd"], reference["version"] = command, 1
    reference["header"] = {"type": 30, "flags": 5, "sequence_number": 77, "pid": 0}
    reference["attrs"] = request_for(operation)[1]
    reference.encode()
    assert ours == bytes(reference.data)

    parsed = IpvsMessage(ours)
    parsed.decode()
    assert decode(ours) == flat(parsed)


def flat(message: Any) -> dict[str, Any]:
    """pyroute2's attributes in the shape of ours."""
    return {
        name: flat(value) if isinstance(value, dict) else value
        for name, value in ((slot[0], slot[1]) for slot in message["attrs"])
    }


def test_info_is_decoded_as_pyroute2_does() -> None:
    body = attribute(1, struct.pack("=I", 0x010201)) + attribute(2, struct.pack("=I", 4096))
    data = messages.HEADER.pack(20 + len(body), 30, 0, 1, 0) + messages.GENL_HEADER.pack(14, 1, 0) + body
    reference = InfoMessage(data)
    reference.decode()
    assert (
        decode(data, INFO)
        == flat(reference)
        == {"IPVS_INFO_ATTR_VERSION": 0x010201, "IPVS_INFO_ATTR_CONN_TAB_SIZE": 4096}
    )


def test_commands() -> None:
    """An edit is an edit: pyroute2's ``update`` sends a delete."""
    assert [request_for(operation)[0] for operation in OPERATIONS] == [1, 1, 2, 3, 5, 6, 7]


def test_ipv6_service_byte_for_byte() -> None:
    command, attrs = request_for(AddService(service=service(SIX, "sh", flags=0x18)))
    body = (
        attribute(1, struct.pack("=H", 10))
        + attribute(2, struct.pack("=H", 17))
        + attribute(3, bytes.fromhex("20010db8000000000000000000000001"))
        + attribute(4, b"\x01\xbb")
        + attribute(6, b"sh\0")
        + attribute(7, struct.pack("=II", 0x18, SVC_F_CONFIGURABLE))
        + attribute(8, struct.pack("=I", 0))
        + attribute(9, struct.pack("=I", 128))  # a prefix length, in native order
    )
    service_attr = attribute(1, body)
    assert encode(30, command, 5, 1, attrs)[20:] == service_attr


def test_ipv4_netmask_is_in_network_order() -> None:
    _, attrs = request_for(AddService(service=service(key(), timeout_s=1, prefix_length=20)))
    assert attribute(9, b"\xff\xff\xf0\x00") in encode(30, 1, 5, 1, attrs)


def test_tunnel_port_is_in_network_order() -> None:
    _, attrs = request_for(AddDestination(service=SIX, destination=TUNNEL))
    assert attribute(14, struct.pack("!H", 6080)) in encode(30, 5, 5, 1, attrs)


@pytest.mark.parametrize("operation", OPERATIONS[:3], ids=str)
def test_services_come_back(operation: AddService | EditService) -> None:
    command, attrs = request_for(operation)
    assert messages.decode_service(decode(encode(30, command, 0, 1, attrs))) == operation.service


@pytest.mark.parametrize(("server", "family"), [(PLAIN, 4), (TUNNEL, 6), (TUNNEL, 4)])
def test_destinations_come_back(server: Any, family: Any) -> None:
    _, attrs = request_for(AddDestination(service=SIX, destination=server))
    assert messages.decode_destination(decode(encode(30, 5, 0, 1, attrs)), family) == server


def test_a_kernel_that_does_not_say_the_family_means_the_services() -> None:
    _, attrs = request_for(AddDestination(service=key(), destination=PLAIN))
    message = decode(encode(30, 5, 0, 1, attrs))
    del message["IPVS_CMD_ATTR_DEST"]["IPVS_DEST_ATTR_ADDR_FAMILY"]
    assert messages.decode_destination(message, 4) == PLAIN


def test_the_kernels_own_flag_is_neither_read_nor_sent() -> None:
    _, attrs = request_for(AddService(service=service(key(), flags=0x02 | 0x04)))
    message = decode(encode(30, 1, 0, 1, attrs))
    flags, mask = struct.unpack("=II", message["IPVS_CMD_ATTR_SERVICE"]["IPVS_SVC_ATTR_FLAGS"])
    assert (flags, mask & 0x02) == (0x04, 0)
    message["IPVS_CMD_ATTR_SERVICE"]["IPVS_SVC_ATTR_FLAGS"] = struct.pack("=II", 0x06, 0)
    found = messages.decode_service(message)
    assert found is not None
    assert found.flags == 0x04


def test_what_has_no_name_here_is_left_out() -> None:
    _, attrs = request_for(AddService(service=service(key())))
    message = decode(encode(30, 1, 0, 1, attrs))
    message["IPVS_CMD_ATTR_SERVICE"]["IPVS_SVC_ATTR_PROTOCOL"] = 50  # ESP
    assert messages.decode_service(message) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        MESSAGE.decode(data)
    except ValueError:
        pass
    list(split(data))


class TestAnswers:
    REQUEST = struct.pack("=IHHII", 20, 30, 5, 9, 0) + bytes(4)

    def answer(self, code: int, flags: int, tail: bytes = b"", *, capped: bool = True) -> bytes:
        echo = self.REQUEST[:16] if capped else self.REQUEST
        body = struct.pack("=i", code) + echo + tail
        return struct.pack("=IHHII", 16 + len(body), 2, flags, 9, 0) + body

    def test_an_acknowledgement_is_no_error(self) -> None:
        raise_refusal(self.answer(0, 0x100), 0x100)

    @pytest.mark.parametrize("capped", [True, False])
    def test_the_kernels_words_are_kept(self, capped: bool) -> None:
        flags = 0x200 | (0x100 if capped else 0)
        tail = attribute(2, struct.pack("=I", 24)) + attribute(1, b"Attribute failed policy validation\0")
        with pytest.raises(RefusedError) as caught:
            raise_refusal(self.answer(-errno.EINVAL, flags, tail, capped=capped), flags)
        assert caught.value.errno == errno.EINVAL
        assert caught.value.says == "Attribute failed policy validation"

    def test_without_words(self) -> None:
        with pytest.raises(RefusedError) as caught:
            raise_refusal(self.answer(-errno.ESRCH, 0x100), 0x100)
        assert (caught.value.errno, caught.value.says) == (errno.ESRCH, "")

    def test_several_messages_in_a_datagram(self) -> None:
        one, two = self.answer(0, 0), self.answer(-1, 0)
        assert [data for _, _, _, data in split(one + two)] == [one, two]
        assert list(split(one[:-1])) == []
