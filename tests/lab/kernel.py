"""What the running kernel can do."""

from __future__ import annotations

import socket
import struct

NETLINK_GENERIC = 16
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME = 0x10, 3, 2
NLM_F_REQUEST, NLMSG_ERROR = 1, 2


def has_generic_netlink(family: str) -> bool:
    """Does the kernel know a generic netlink family? (Asking lets it load the module, if it has one.)"""
    name = family.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(name), CTRL_ATTR_FAMILY_NAME) + name
    attribute += bytes(-len(attribute) % 4)
    body = struct.pack("=BBH", CTRL_CMD_GETFAMILY, 1, 0) + attribute
    message = struct.pack("=IHHII", 16 + len(body), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as sock:
        sock.settimeout(2)
        sock.send(message)
        answer = sock.recv(65536)
    kind: int = struct.unpack_from("=H", answer, 4)[0]
    return kind != NLMSG_ERROR


def has_ip_vs() -> bool:
    """Is the kernel's load balancer there?"""
    return has_generic_netlink("IPVS")
