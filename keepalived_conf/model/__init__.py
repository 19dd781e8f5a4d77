"""The typed, frozen model of a keepalived configuration: what every worker reads.

Pure data. Units are in the names, defaults are already filled in (inheritance between
global_defs, virtual_server, real_server and checker is resolved by the parser), so a worker never
asks "was it given?" but only "what is it?".

``places`` of a block says where each of its values was written. It never takes part in comparison:
moving a line is not a change. Slices sent to workers carry it too, so that a worker can name the
line that asked for something the kernel refused.

Sources: keepalived.conf(5); defaults and ranges as keepalived 2.4.3 has them.
"""

from __future__ import annotations

from keepalived_conf.model.base import (
    VRRP_GROUP4,
    VRRP_GROUP6,
    Family,
    Fifo,
    IpAddress,
    IpInterface,
    LvsMethod,
    Place,
    Places,
    Protocol,
    Script,
    Weight,
)
from keepalived_conf.model.bfd import BfdInstance
from keepalived_conf.model.checks import (
    BfdCheck,
    Check,
    DnsCheck,
    FileCheck,
    HttpUrl,
    MiscCheck,
    NetworkCheck,
    OtherCheck,
    OtherChecks,
    PingCheck,
    ReplyPattern,
    SmtpCheck,
    SslCheck,
    UdpCheck,
    make_check_id,
)
from keepalived_conf.model.config import CheckerSlice, Config, IpvsSlice, VrrpSlice
from keepalived_conf.model.globals import (
    DefaultScriptUser,
    GlobalDefs,
    IptablesChains,
    LvsSyncDaemon,
    LvsTimeouts,
    SmtpServer,
)
from keepalived_conf.model.groups import GarpGroup, SyncGroup, TrackGroup
from keepalived_conf.model.interfaces import InterfaceDelay, LinkbeatInterface
from keepalived_conf.model.lvs import (
    Forwarding,
    GroupAddresses,
    GroupMark,
    RealServer,
    SslContext,
    Tunnel,
    TunnelChecksum,
    TunnelType,
    VirtualServer,
    VirtualServerGroup,
)
from keepalived_conf.model.routes import (
    PROTOCOL_KEEPALIVED,
    TABLE_MAIN,
    TYPE_UNICAST,
    Encap,
    NextHop,
    Realms,
    Route,
    Rule,
    StaticAddress,
)
from keepalived_conf.model.trackers import (
    InitFile,
    ScriptUser,
    TrackFile,
    TrackProcess,
    TrackRef,
    VrrpScript,
)
from keepalived_conf.model.vrrp import (
    AuthHmac,
    GarpExtraIf,
    HmacKey,
    Ipvlan,
    NotifyDeleted,
    UnicastPeer,
    VirtualAddress,
    Vmac,
    VrrpInstance,
)

__all__ = [
    "PROTOCOL_KEEPALIVED",
    "TABLE_MAIN",
    "TYPE_UNICAST",
    "VRRP_GROUP4",
    "VRRP_GROUP6",
    "AuthHmac",
    "BfdCheck",
    "BfdInstance",
    "Check",
    "CheckerSlice",
    "Config",
    "DefaultScriptUser",
    "DnsCheck",
    "Encap",
    "Family",
    "Fifo",
    "FileCheck",
    "Forwarding",
    "GarpExtraIf",
    "GarpGroup",
    "GlobalDefs",
    "GroupAddresses",
    "GroupMark",
    "HmacKey",
    "HttpUrl",
    "InitFile",
    "InterfaceDelay",
    "IpAddress",
    "IpInterface",
    "IptablesChains",
    "Ipvlan",
    "IpvsSlice",
    "LinkbeatInterface",
    "LvsMethod",
    "LvsSyncDaemon",
    "LvsTimeouts",
    "MiscCheck",
    "NetworkCheck",
    "NextHop",
    "NotifyDeleted",
    "OtherCheck",
    "OtherChecks",
    "PingCheck",
    "Place",
    "Places",
    "Protocol",
    "RealServer",
    "Realms",
    "ReplyPattern",
    "Route",
    "Rule",
    "Script",
    "ScriptUser",
    "SmtpCheck",
    "SmtpServer",
    "SslCheck",
    "SslContext",
    "StaticAddress",
    "SyncGroup",
    "TrackFile",
    "TrackGroup",
    "TrackProcess",
    "TrackRef",
    "Tunnel",
    "TunnelChecksum",
    "TunnelType",
    "UdpCheck",
    "UnicastPeer",
    "VirtualAddress",
    "VirtualServer",
    "VirtualServerGroup",
    "Vmac",
    "VrrpInstance",
    "VrrpScript",
    "VrrpSlice",
    "Weight",
    "make_check_id",
]
