"""The real kernel's IPVS over generic netlink: the ``IpvsPort`` that production uses.

Message classes of our own on pyroute2's message layer, because its own cannot do this job: its
``update`` verbs send the delete commands, there is no netmask attribute for IPv6 and fwmark services
(the kernel answers EINVAL), an IPv6 netmask is a prefix length and not an address, daemon, timeout and
info attributes stay hex, the tunnel port is not in network order.

The socket is a bare one and synchronous: the kernel has answered before ``send`` returns, so a read
never really waits; pyroute2's own sockets do not open on uvloop. Requests go out in batches, one
acknowledgement each. Only messages that come from the kernel (port 0) and carry our sequence numbers
are believed.

Source: include/uapi/linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c (attribute policies).
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pyroute2.netlink import ctrlmsg, genlmsg, nla

from ipvs_proc.model import (
    SVC_F_CONFIGURABLE,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Service,
    ServiceKey,
    address_family,
)
from ipvs_proc.port import Info, IpvsError, IpvsUnavailableError, Timeouts, explain
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    Operation,
    RemoveDestination,
    RemoveService,
)
from keepalived_conf.model import Family, IpAddress, Protocol

_NEW_SERVICE, _SET_SERVICE, _DEL_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_DEST, _SET_DEST, _DEL_DEST, _GET_DEST = 5, 6, 7, 8
_SET_CONFIG, _GET_CONFIG, _SET_INFO, _GET_INFO, _FLUSH = 12, 13, 14, 15, 17
_GENL_VERSION = 1

_NETLINK_GENERIC, _GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 16, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_NLMSG_NOOP, _NLMSG_ERROR, _NLMSG_DONE, _NLMSG_OVERRUN = 1, 2, 3, 4
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSGERR_ATTR_MSG = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port

_BATCH = 32
"""Messages per send: their answers must fit in the receive buffer before the first is read."""
_RECEIVE_BYTES = 65536
_ANSWER_TIMEOUT_S = 2.0

_PROTOCOLS: dict[int, Protocol] = {6: "TCP", 17: "UDP", 132: "SCTP"}
_PROTOCOL_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
_METHODS: dict[int, ForwardingMethod] = {0: "NAT", 1: "LOCAL", 2: "TUN", 3: "DR", 4: "BYPASS"}
_METHOD_NUMBERS = {name: number for number, name in _METHODS.items()}
_METHOD_MASK = 0x07
_AF: dict[Family, int] = {4: socket.AF_INET, 6: socket.AF_INET6}
_FAMILIES: dict[int, Family] = {number: family for family, number in _AF.items()}


class IpvsMessage(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """A request or answer about services, destinations or timeouts."""

    prefix = "IPVS_CMD_ATTR_"
    nla_map = (
        ("IPVS_CMD_ATTR_UNSPEC", "none"),
        ("IPVS_CMD_ATTR_SERVICE", "service"),
        ("IPVS_CMD_ATTR_DEST", "destination"),
        ("IPVS_CMD_ATTR_DAEMON", "binary"),
        ("IPVS_CMD_ATTR_TIMEOUT_TCP", "uint32"),
        ("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN", "uint32"),
        ("IPVS_CMD_ATTR_TIMEOUT_UDP", "uint32"),
    )

    class service(nla):  # type: ignore[misc]  # noqa: N801  # named as its attribute
        prefix = "IPVS_SVC_ATTR_"
        nla_map = (
            ("IPVS_SVC_ATTR_UNSPEC", "none"),
            ("IPVS_SVC_ATTR_AF", "uint16"),
            ("IPVS_SVC_ATTR_PROTOCOL", "uint16"),
            ("IPVS_SVC_ATTR_ADDR", "binary"),  # union nf_inet_addr: 16 bytes for both families
            ("IPVS_SVC_ATTR_PORT", "be16"),
            ("IPVS_SVC_ATTR_FWMARK", "uint32"),
            ("IPVS_SVC_ATTR_SCHED_NAME", "asciiz"),
            ("IPVS_SVC_ATTR_FLAGS", "binary"),  # struct ip_vs_flags: flags, mask
            ("IPVS_SVC_ATTR_TIMEOUT", "uint32"),
            ("IPVS_SVC_ATTR_NETMASK", "binary"),  # IPv4: mask in network order; IPv6: prefix length, native
            ("IPVS_SVC_ATTR_STATS", "binary"),
            ("IPVS_SVC_ATTR_PE_NAME", "asciiz"),
            ("IPVS_SVC_ATTR_STATS64", "binary"),
        )

    class destination(nla):  # type: ignore[misc]  # noqa: N801  # named as its attribute
        prefix = "IPVS_DEST_ATTR_"
        nla_map = (
            ("IPVS_DEST_ATTR_UNSPEC", "none"),
            ("IPVS_DEST_ATTR_ADDR", "binary"),
            ("IPVS_DEST_ATTR_PORT", "be16"),
            ("IPVS_DEST_ATTR_FWD_METHOD", "uint32"),
            ("IPVS_DEST_ATTR_WEIGHT", "uint32"),
            ("IPVS_DEST_ATTR_U_THRESH", "uint32"),
            ("IPVS_DEST_ATTR_L_THRESH", "uint32"),
            ("IPVS_DEST_ATTR_ACTIVE_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_INACT_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_PERSIST_CONNS", "uint32"),
            ("IPVS_DEST_ATTR_STATS", "binary"),
            ("IPVS_DEST_ATTR_ADDR_FAMILY", "uint16"),
            ("IPVS_DEST_ATTR_STATS64", "binary"),
            ("IPVS_DEST_ATTR_TUN_TYPE", "uint8"),
            ("IPVS_DEST_ATTR_TUN_PORT", "be16"),
            ("IPVS_DEST_ATTR_TUN_FLAGS", "uint16"),
        )


class InfoMessage(genlmsg):  # type: ignore[misc]  # pyroute2 has no types
    """The answer to IPVS_CMD_GET_INFO, whose attributes are numbered apart from all others."""

    prefix = "IPVS_INFO_ATTR_"
    nla_map = (
        ("IPVS_INFO_ATTR_UNSPEC", "none"),
        ("IPVS_INFO_ATTR_VERSION", "uint32"),
        ("IPVS_INFO_ATTR_CONN_TAB_SIZE", "uint32"),
    )


Attributes = list[list[Any]]


def _packed(address: IpAddress) -> bytes:
    return address.packed.ljust(16, b"\0")


def _address(family: int, data: bytes) -> IpAddress:
    return IPv4Address(data[:4]) if family == socket.AF_INET else IPv6Address(data[:16])


def _netmask(family: Family, prefix_length: int) -> bytes:
    if family == 6:
        return struct.pack("=I", prefix_length)
    return struct.pack("!I", (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF)


def _prefix_length(family: Family, data: bytes) -> int:
    if family == 6:
        return int(struct.unpack("=I", data[:4])[0])
    return int.from_bytes(data[:4], "big").bit_count()


def service_attributes(key: ServiceKey, service: Service | None = None) -> Attributes:
    """Attributes that name a service, and with ``service`` also those that make it."""
    attrs: Attributes = [["IPVS_SVC_ATTR_AF", _AF[key.family]]]
    if key.fwmark is not None:
        attrs.append(["IPVS_SVC_ATTR_FWMARK", key.fwmark])
    else:
        assert key.address is not None, "a service has an address or a mark"
        assert key.protocol is not None, "a service with an address has a protocol"
        attrs += [
            ["IPVS_SVC_ATTR_PROTOCOL", _PROTOCOL_NUMBERS[key.protocol]],
            ["IPVS_SVC_ATTR_ADDR", _packed(key.address)],
            ["IPVS_SVC_ATTR_PORT", key.port],
        ]
    if service is not None:
        flags = struct.pack("=II", service.flags & SVC_F_CONFIGURABLE, SVC_F_CONFIGURABLE)
        attrs += [
            ["IPVS_SVC_ATTR_SCHED_NAME", service.scheduler],
            ["IPVS_SVC_ATTR_FLAGS", flags],
            ["IPVS_SVC_ATTR_TIMEOUT", service.timeout_s],
            ["IPVS_SVC_ATTR_NETMASK", _netmask(key.family, service.prefix_length)],
        ]
        if service.persistence_engine:
            attrs.append(["IPVS_SVC_ATTR_PE_NAME", service.persistence_engine])
    return attrs


def destination_attributes(key: DestinationKey, destination: Destination | None = None) -> Attributes:
    """Attributes that name a destination, and with ``destination`` also those that make it."""
    attrs: Attributes = [
        ["IPVS_DEST_ATTR_ADDR", _packed(key.address)],
        ["IPVS_DEST_ATTR_PORT", key.port],
        ["IPVS_DEST_ATTR_ADDR_FAMILY", _AF[address_family(key.address)]],
    ]
    if destination is not None:
        attrs += [
            ["IPVS_DEST_ATTR_FWD_METHOD", _METHOD_NUMBERS[destination.method]],
            ["IPVS_DEST_ATTR_WEIGHT", destination.weight],
            ["IPVS_DEST_ATTR_U_THRESH", destination.upper_threshold],
            ["IPVS_DEST_ATTR_L_THRESH", destination.lower_threshold],
        ]
        # The zeros mean plain IPIP, which is what kernels before 5.2 do without knowing these.
        if destination.tunnel_type or destination.tunnel_port or destination.tunnel_flags:
            attrs += [
                ["IPVS_DEST_ATTR_TUN_TYPE", destination.tunnel_type],
                ["IPVS_DEST_ATTR_TUN_PORT", destination.tunnel_port],
                ["IPVS_DEST_ATTR_TUN_FLAGS", destination.tunnel_flags],
            ]
    return attrs


def encode(family_id: int, command: int, flags: int, sequence: int, attrs: Attributes) -> bytes:
    """One request as bytes."""
    message = IpvsMessage()
    message["cmd"], message["version"] = command, _GENL_VERSION
    message["header"] = {"type": family_id, "flags": flags, "sequence_number": sequence, "pid": 0}
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data)


def decode_service(message: IpvsMessage) -> Service | None:
    """A service out of a dump; None for one of a kind that this project cannot name."""
    attrs = message.get_attr("IPVS_CMD_ATTR_SERVICE")
    family = _FAMILIES.get(attrs.get_attr("IPVS_SVC_ATTR_AF")) if attrs else None
    if family is None:
        return None
    fwmark = attrs.get_attr("IPVS_SVC_ATTR_FWMARK")
    if fwmark:
        key = ServiceKey(family=family, fwmark=fwmark)
    else:
        protocol = _PROTOCOLS.get(attrs.get_attr("IPVS_SVC_ATTR_PROTOCOL"))
        if protocol is None:
            return None
        key = ServiceKey(
            family=family,
            protocol=protocol,
            address=_address(_AF[family], attrs.get_attr("IPVS_SVC_ATTR_ADDR")),
            port=attrs.get_attr("IPVS_SVC_ATTR_PORT"),
        )
    flags, _ = struct.unpack("=II", attrs.get_attr("IPVS_SVC_ATTR_FLAGS")[:8])
    return Service(
        key=key,
        scheduler=attrs.get_attr("IPVS_SVC_ATTR_SCHED_NAME") or "",
        flags=flags & SVC_F_CONFIGURABLE,
        timeout_s=attrs.get_attr("IPVS_SVC_ATTR_TIMEOUT") or 0,
        prefix_length=_prefix_length(family, attrs.get_attr("IPVS_SVC_ATTR_NETMASK")),
        persistence_engine=attrs.get_attr("IPVS_SVC_ATTR_PE_NAME") or "",
    )


def decode_destination(message: IpvsMessage, service_family: Family) -> Destination:
    """A destination out of a dump. Kernels before 3.18 do not say its family: it is the service's."""
    attrs = message.get_attr("IPVS_CMD_ATTR_DEST")
    family = attrs.get_attr("IPVS_DEST_ATTR_ADDR_FAMILY") or _AF[service_family]
    key = DestinationKey(
        address=_address(family, attrs.get_attr("IPVS_DEST_ATTR_ADDR")),
        port=attrs.get_attr("IPVS_DEST_ATTR_PORT"),
    )
    return Destination(
        key=key,
        method=_METHODS.get(attrs.get_attr("IPVS_DEST_ATTR_FWD_METHOD") & _METHOD_MASK, "NAT"),
        weight=attrs.get_attr("IPVS_DEST_ATTR_WEIGHT"),
        upper_threshold=attrs.get_attr("IPVS_DEST_ATTR_U_THRESH"),
        lower_threshold=attrs.get_attr("IPVS_DEST_ATTR_L_THRESH"),
        tunnel_type=attrs.get_attr("IPVS_DEST_ATTR_TUN_TYPE") or 0,
        tunnel_port=attrs.get_attr("IPVS_DEST_ATTR_TUN_PORT") or 0,
        tunnel_flags=attrs.get_attr("IPVS_DEST_ATTR_TUN_FLAGS") or 0,
        active_connections=attrs.get_attr("IPVS_DEST_ATTR_ACTIVE_CONNS") or 0,
        inactive_connections=attrs.get_attr("IPVS_DEST_ATTR_INACT_CONNS") or 0,
        persistent_connections=attrs.get_attr("IPVS_DEST_ATTR_PERSIST_CONNS") or 0,
    )


def request_for(operation: Operation) -> tuple[int, Attributes]:
    """The command and attributes that perform an operation."""
    match operation:
        case AddService(service=service):
            return _NEW_SERVICE, [_nested_service(service.key, service)]
        case EditService(service=service):
            return _SET_SERVICE, [_nested_service(service.key, service)]
        case RemoveService(key=key):
            return _DEL_SERVICE, [_nested_service(key)]
        case AddDestination(service=key, destination=destination):
            return _NEW_DEST, [_nested_service(key), _nested_destination(destination.key, destination)]
        case EditDestination(service=key, destination=destination):
            return _SET_DEST, [_nested_service(key), _nested_destination(destination.key, destination)]
        case RemoveDestination(service=key, key=dest_key):
            return _DEL_DEST, [_nested_service(key), _nested_destination(dest_key)]


def _nested_service(key: ServiceKey, service: Service | None = None) -> list[Any]:
    return ["IPVS_CMD_ATTR_SERVICE", {"attrs": service_attributes(key, service)}]


def _nested_destination(key: DestinationKey, destination: Destination | None = None) -> list[Any]:
    return ["IPVS_CMD_ATTR_DEST", {"attrs": destination_attributes(key, destination)}]


class RefusedError(OSError):
    """The kernel's negative answer; ``says`` is its extended acknowledgement, if any."""

    def __init__(self, code: int, says: str) -> None:
        super().__init__(code, os.strerror(code))
        self.says = says


class NetlinkIpvs:
    """``IpvsPort`` on the kernel of the network namespace this process is in.

    Raises IpvsUnavailableError when the kernel has no IPVS: asking for it makes the kernel try to load
    the module by itself.
    """

    def __init__(self) -> None:
        self._sequence = itertools.count(1)
        self._pending: deque[tuple[int, int, int, bytes]] = deque()
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC
            )
        except OSError as error:
            raise IpvsUnavailableError(
                f"generic netlink cannot be opened ({error.strerror}): "
                "a kernel with CONFIG_NET and a sandbox that allows AF_NETLINK are needed"
            ) from None
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            timeout = struct.pack("@ll", int(_ANSWER_TIMEOUT_S), 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
            for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
                try:
                    self._socket.setsockopt(_SOL_NETLINK, option, 1)
                except OSError:
                    pass  # kernels before 4.12: errors without a text
            self._socket.bind((0, 0))
            self._family = self._resolve()
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def _resolve(self) -> int:
        message = ctrlmsg()
        message["cmd"], message["version"] = _CTRL_CMD_GETFAMILY, 1
        sequence = next(self._sequence)
        message["header"] = {
            "type": _GENL_ID_CTRL,
            "flags": _NLM_F_REQUEST,
            "sequence_number": sequence,
            "pid": 0,
        }
        message["attrs"] = [["CTRL_ATTR_FAMILY_NAME", "IPVS"]]
        message.encode()
        self._socket.send(bytes(message.data))
        try:
            for data in self._answers(sequence):
                answer = ctrlmsg(data)
                answer.decode()
                return int(answer.get_attr("CTRL_ATTR_FAMILY_ID"))
        except RefusedError as error:
            if error.errno != errno.ENOENT:
                raise
        raise IpvsUnavailableError(
            "this kernel has no IPVS, so virtual servers cannot be served: load it with "
            "`modprobe ip_vs` (Debian and Ubuntu cloud kernels: install the full linux-image or "
            "linux-modules-extra package; in a container: load it on the host)"
        )

    # --- reading -----------------------------------------------------------------------------

    def info(self) -> Info:
        sequence = self._send_one(_GET_INFO, _NLM_F_REQUEST, [])
        for data in self._answers(sequence):
            message = InfoMessage(data)
            message.decode()
            version = message.get_attr("IPVS_INFO_ATTR_VERSION") or 0
            return Info(
                version=f"{version >> 16 & 0xFF}.{version >> 8 & 0xFF}.{version & 0xFF}",
                connection_table_size=message.get_attr("IPVS_INFO_ATTR_CONN_TAB_SIZE") or 0,
            )
        raise IpvsUnavailableError("the kernel's IPVS did not answer")

    def services(self) -> list[Service]:
        try:
            sequence = self._send_one(_GET_SERVICE, _NLM_F_REQUEST | _NLM_F_DUMP, [])
            found = [decode_service(message) for message in self._messages(sequence)]
        except RefusedError as error:
            if error.errno == errno.ENOENT:  # generic netlink does not know our family number any more
                raise IpvsUnavailableError(
                    "the kernel's IPVS is gone: module ip_vs was unloaded while virtual servers were "
                    "served; load it again with `modprobe ip_vs`"
                ) from None
            raise IpvsError("list services", error.errno or 0, _reading_refused(error)) from None
        return [service for service in found if service is not None]

    def destinations(self, key: ServiceKey) -> list[Destination]:
        # A dump for a service that does not exist is empty, not an error: ask for the service first.
        what = f"list servers of service {key}"
        try:
            for _ in self._answers(self._send_one(_GET_SERVICE, _NLM_F_REQUEST, [_nested_service(key)])):
                break
            sequence = self._send_one(_GET_DEST, _NLM_F_REQUEST | _NLM_F_DUMP, [_nested_service(key)])
            return [decode_destination(message, key.family) for message in self._messages(sequence)]
        except RefusedError as error:
            raise IpvsError(what, error.errno or 0, _reading_refused(error)) from None

    def timeouts(self) -> Timeouts:
        try:
            for message in self._messages(self._send_one(_GET_CONFIG, _NLM_F_REQUEST, [])):
                return Timeouts(
                    tcp_s=message.get_attr("IPVS_CMD_ATTR_TIMEOUT_TCP") or 0,
                    tcp_fin_s=message.get_attr("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN") or 0,
                    udp_s=message.get_attr("IPVS_CMD_ATTR_TIMEOUT_UDP") or 0,
                )
        except RefusedError as error:
            raise IpvsError("read the connection timeouts", error.errno or 0, error.says) from None
        raise IpvsUnavailableError("the kernel's IPVS did not answer")

    # --- writing -----------------------------------------------------------------------------

    def perform(self, operations: Sequence[Operation]) -> list[IpvsError | None]:
        results: list[IpvsError | None] = []
        for start in range(0, len(operations), _BATCH):
            results += self._perform_batch(operations[start : start + _BATCH])
        return results

    def _perform_batch(self, operations: Sequence[Operation]) -> list[IpvsError | None]:
        sequences = [next(self._sequence) for _ in operations]
        requests = [
            encode(self._family, command, _NLM_F_REQUEST | _NLM_F_ACK, sequence, attrs)
            for sequence, (command, attrs) in zip(sequences, map(request_for, operations), strict=True)
        ]
        self._socket.send(b"".join(requests))
        results: list[IpvsError | None] = []
        for sequence, operation in zip(sequences, operations, strict=True):
            try:
                for _ in self._answers(sequence):
                    pass
                results.append(None)
            except RefusedError as error:
                results.append(explain(operation, error.errno or 0, error.says))
        return results

    def flush(self) -> None:
        self._command("flush the table", _FLUSH, [])

    def set_timeouts(self, timeouts: Timeouts) -> None:
        attrs: Attributes = [
            ["IPVS_CMD_ATTR_TIMEOUT_TCP", timeouts.tcp_s],
            ["IPVS_CMD_ATTR_TIMEOUT_TCP_FIN", timeouts.tcp_fin_s],
            ["IPVS_CMD_ATTR_TIMEOUT_UDP", timeouts.udp_s],
        ]
        self._command("set the connection timeouts", _SET_CONFIG, attrs)

    def _command(self, what: str, command: int, attrs: Attributes) -> None:
        try:
            for _ in self._answers(self._send_one(command, _NLM_F_REQUEST | _NLM_F_ACK, attrs)):
                pass
        except RefusedError as error:
            raise IpvsError(what, error.errno or 0, error.says) from None

    # --- the socket --------------------------------------------------------------------------

    def _send_one(self, command: int, flags: int, attrs: Attributes) -> int:
        sequence = next(self._sequence)
        self._socket.send(encode(self._family, command, flags, sequence, attrs))
        return sequence

    def _messages(self, sequence: int) -> Iterator[IpvsMessage]:
        for data in self._answers(sequence):
            message = IpvsMessage(data)
            message.decode()
            yield message

    def _answers(self, sequence: int) -> Iterator[bytes]:
        """Data messages of one request until its end; raises RefusedError for a negative answer.

        Answers to requests before this one (given up half-way) are skipped.
        """
        while True:
            for kind, flags, seq, data in self._receive():
                if seq != sequence:
                    continue
                if kind == _NLMSG_ERROR:
                    raise_refusal(data, flags)
                    return
                if kind == _NLMSG_DONE:
                    code = struct.unpack_from("=i", data, 16)[0] if len(data) >= 20 else 0
                    if code < 0:
                        raise RefusedError(-code, "")
                    return
                if kind == _NLMSG_OVERRUN:
                    raise RefusedError(errno.EOVERFLOW, "answer overran")
                if kind > _NLMSG_OVERRUN:
                    yield data

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        # One datagram may hold answers to several requests: what one does not use waits for the next.
        if not self._pending:
            try:
                data, (port, _) = self._socket.recvfrom(_RECEIVE_BYTES)
            except BlockingIOError:
                raise RefusedError(errno.ETIMEDOUT, "the kernel did not answer") from None
            except OSError as error:
                raise RefusedError(error.errno or errno.EIO, "reading the answer failed") from None
            if port == 0:
                self._pending.extend(split(data))
        while self._pending:
            yield self._pending.popleft()


def split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, whole message) of each netlink message in a datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def raise_refusal(data: bytes, flags: int) -> None:
    """Raises RefusedError for an NLMSG_ERROR with a code; returns for an acknowledgement."""
    code = struct.unpack_from("=i", data, _HEADER.size)[0]
    if code == 0:
        return
    says = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = _HEADER.size + 4 + _HEADER.size
        if not flags & _NLM_F_CAPPED:  # the request follows in full
            offset = _HEADER.size + 4 + ((struct.unpack_from("=I", data, _HEADER.size + 4)[0] + 3) & ~3)
        says = _extended_text(data[offset:])
    raise RefusedError(-code, says)


def _extended_text(attrs: bytes) -> str:
    offset = 0
    while offset + 4 <= len(attrs):
        length, kind = struct.unpack_from("=HH", attrs, offset)
        if length < 4:
            break
        if kind == _NLMSGERR_ATTR_MSG:
            return attrs[offset + 4 : offset + length].rstrip(b"\0").decode("utf-8", "replace")
        offset += (length + 3) & ~3
    return ""


def _reading_refused(error: RefusedError) -> str:
    if error.errno == errno.EPERM:
        return "not permitted: the ipvs worker needs CAP_NET_ADMIN"
    return error.says
