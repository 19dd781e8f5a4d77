"""The real kernel's IPVS over generic netlink: the ``IpvsPort`` that production uses.

The socket is a bare one and synchronous: the kernel has answered before ``send`` returns, so a read
never really waits; pyroute2's own sockets do not open on uvloop. Requests go out in batches, one
acknowledgement each. Only messages that come from the kernel (port 0) and carry our sequence numbers
are believed. What is in the messages is ``messages``' business.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from pyroute2.netlink import ctrlmsg

from ipvs_proc import messages
from ipvs_proc.model import Destination, Service, ServiceKey
from ipvs_proc.port import Info, IpvsError, IpvsUnavailableError, Timeouts, explain
from ipvs_proc.reconcile import Operation

_NETLINK_GENERIC, _GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 16, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLM_F_CAPPED, _NLM_F_ACK_TLVS = 0x100, 0x200
_NLMSG_NOOP, _NLMSG_ERROR, _NLMSG_DONE, _NLMSG_OVERRUN = 1, 2, 3, 4
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_NLMSGERR_ATTR_MSG = 1

_BATCH = 32
"""Messages per send: their answers must fit in the receive buffer before the first is read."""
_RECEIVE_BYTES = 65536
_ANSWER_TIMEOUT_S = 2.0


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
        sequence = self._send_one(messages.GET_INFO, _NLM_F_REQUEST, [])
        for data in self._answers(sequence):
            message = messages.decode(data, messages.INFO)
            version = message.get("IPVS_INFO_ATTR_VERSION") or 0
            return Info(
                version=f"{version >> 16 & 0xFF}.{version >> 8 & 0xFF}.{version & 0xFF}",
                connection_table_size=message.get("IPVS_INFO_ATTR_CONN_TAB_SIZE") or 0,
            )
        raise IpvsUnavailableError("the kernel's IPVS did not answer")

    def services(self) -> list[Service]:
        try:
            sequence = self._send_one(messages.GET_SERVICE, _NLM_F_REQUEST | _NLM_F_DUMP, [])
            found = [messages.decode_service(message) for message in self._messages(sequence)]
        except RefusedError as error:
            if error.errno == errno.ENOENT:  # generic netlink does not know our family number any more
                raise IpvsUnavailableError(
                    "the kernel's IPVS is gone: module ip_vs was unloaded while virtual servers were "
                    "served; load it again with `modprobe ip_vs`"
                ) from None
            raise IpvsError("list services", error.errno or 0, _reading_refused(error)) from None
        except (KeyError, ValueError, struct.error) as error:
            raise IpvsError("list services", errno.EBADMSG, _not_understood(error)) from None
        return [service for service in found if service is not None]

    def destinations(self, key: ServiceKey) -> list[Destination]:
        # A dump for a service that does not exist is empty, not an error: ask for the service first.
        what = f"list servers of service {key}"
        try:
            for _ in self._answers(
                self._send_one(messages.GET_SERVICE, _NLM_F_REQUEST, [messages.nested_service(key)])
            ):
                break
            sequence = self._send_one(
                messages.GET_DEST, _NLM_F_REQUEST | _NLM_F_DUMP, [messages.nested_service(key)]
            )
            return [messages.decode_destination(message, key.family) for message in self._messages(sequence)]
        except RefusedError as error:
            raise IpvsError(what, error.errno or 0, _reading_refused(error)) from None
        except (KeyError, ValueError, struct.error) as error:
            raise IpvsError(what, errno.EBADMSG, _not_understood(error)) from None

    def timeouts(self) -> Timeouts:
        try:
            for message in self._messages(self._send_one(messages.GET_CONFIG, _NLM_F_REQUEST, [])):
                return Timeouts(
                    tcp_s=message.get("IPVS_CMD_ATTR_TIMEOUT_TCP") or 0,
                    tcp_fin_s=message.get("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN") or 0,
                    udp_s=message.get("IPVS_CMD_ATTR_TIMEOUT_UDP") or 0,
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
            messages.encode(self._family, command, _NLM_F_REQUEST | _NLM_F_ACK, sequence, attrs)
            for sequence, (command, attrs) in zip(
                sequences, map(messages.request_for, operations), strict=True
            )
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
        self._command("flush the table", messages.FLUSH, [])

    def set_timeouts(self, timeouts: Timeouts) -> None:
        attrs: messages.Attributes = [
            ["IPVS_CMD_ATTR_TIMEOUT_TCP", timeouts.tcp_s],
            ["IPVS_CMD_ATTR_TIMEOUT_TCP_FIN", timeouts.tcp_fin_s],
            ["IPVS_CMD_ATTR_TIMEOUT_UDP", timeouts.udp_s],
        ]
        self._command("set the connection timeouts", messages.SET_CONFIG, attrs)

    def _command(self, what: str, command: int, attrs: messages.Attributes) -> None:
        try:
            for _ in self._answers(self._send_one(command, _NLM_F_REQUEST | _NLM_F_ACK, attrs)):
                pass
        except RefusedError as error:
            raise IpvsError(what, error.errno or 0, error.says) from None

    # --- the socket --------------------------------------------------------------------------

    def _send_one(self, command: int, flags: int, attrs: messages.Attributes) -> int:
        sequence = next(self._sequence)
        self._socket.send(messages.encode(self._family, command, flags, sequence, attrs))
        return sequence

    def _messages(self, sequence: int) -> Iterator[dict[str, Any]]:
        for data in self._answers(sequence):
            yield messages.decode(data)

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
    while offset + messages.HEADER.size <= len(data):
        length, kind, flags, sequence, _ = messages.HEADER.unpack_from(data, offset)
        if length < messages.HEADER.size or offset + length > len(data):
            return
        yield kind, flags, sequence, data[offset : offset + length]
        offset += (length + 3) & ~3


def raise_refusal(data: bytes, flags: int) -> None:
    """Raises RefusedError for an NLMSG_ERROR with a code; returns for an acknowledgement."""
    code = struct.unpack_from("=i", data, messages.HEADER.size)[0]
    if code == 0:
        return
    says = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = messages.HEADER.size + 4 + messages.HEADER.size
        if not flags & _NLM_F_CAPPED:  # the request follows in full
            offset = (
                messages.HEADER.size
                + 4
                + ((struct.unpack_from("=I", data, messages.HEADER.size + 4)[0] + 3) & ~3)
            )
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


def _not_understood(error: Exception) -> str:
    return f"the kernel's answer is not understood ({type(error).__name__}: {error})"
