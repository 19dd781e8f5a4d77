"""Lines for keywords whose argument has a shape of its own, and what is special about single keywords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Key = tuple[str, str]

_URL = "virtual_server.real_server.{}.url"
_CHECKS = ("TCP_CHECK", "PING_CHECK", "UDP_CHECK", "DNS_CHECK", "SMTP_CHECK")

_TRACKED = {
    "track_interface": "eth7",
    "track_script": "S1",
    "track_file": "F1",
    "track_process": "P1",
    "track_bfd": "B1",
}
_KEY = "0123456789abcdef0123456789abcdef"

LINES: dict[Key, list[str]] = {
    ("root", "net_namespace_ipvs"): ["net_namespace_ipvs name7"],
    ("root", "global_defs"): ["global_defs {\nvrrp_version 3\n}"],
    ("root", "track_group"): [("track_group G7 {\ngroup {\nA\n}\n}\nvrrp_instance A {\ninterface eth0\n"
                              "virtual_router_id 7\nvirtual_ipaddress {\n10.0.0.1\n}\n}")],
    ("root", "static_ipaddress"): ["static_ipaddress {\n10.0.0.7 dev eth0\n}"],
    ("root", "static_routes"): ["static_routes {\n192.0.2.0/24 via 10.0.0.1 dev eth0\n}"],
    ("root", "static_rules"): ["static_rules {\nfrom 192.0.2.0/24 table 7 preference 77\n}"],
    ("root", "vrrp_sync_group"): ["vrrp_sync_group G {\ngroup {\nA\nC\n}\n}\n" + "".join(
        f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n"
        f"10.0.0.{vrid}\n}}\n}}\n" for name, vrid in (("A", 7), ("C", 8)))],
    ("root", "garp_group"): ["garp_group {\ngarp_interval 1\ninterface eth0\n}"],
    ("root", "linkbeat_interfaces"): ["linkbeat_interfaces {\neth7\n}"],
    ("root", "interface_up_down_delays"): ["interface_up_down_delays {\neth7 5\n}"],
    ("root", "vrrp_instance"): [("vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\n"
                                "virtual_ipaddress {\n10.0.0.1\n}\n}")],
    ("root", "vrrp_script"): ["vrrp_script S7 {\nscript /usr/bin/true\n}"],
    ("root", "vrrp_track_process"): ["vrrp_track_process P7 {\nprocess x\n}"],
    ("root", "track_file"): ["track_file F7 {\nfile /tmp/f7\n}"],
    ("root", "vrrp_track_file"): ["vrrp_track_file F7 {\nfile /tmp/f7\n}"],
    ("root", "bfd_instance"): ["bfd_instance B7 {\nneighbor_ip 192.0.2.7\n}"],
    ("root", "SSL"): ["SSL {\nca /tmp/ca.pem\n}"],
    ("root", "virtual_server_group"): ["virtual_server_group G {\n10.9.0.1 80\n}"],
    ("root", "virtual_server"): [("virtual_server 10.1.0.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n"
                                 "real_server 10.2.0.1 80 {\n}\n}")],
    ("global_defs", "notification_email"): ["notification_email {\na@example.org b@example.org\n}"],
    ("global_defs", "lvs_timeouts"): ["lvs_timeouts tcp 7 udp 8"],
    ("global_defs", "lvs_sync_daemon"): ["lvs_sync_daemon eth0 inst A id 7 maxlen 1400 group 224.0.0.77"],
    ("global_defs", "dynamic_interfaces"): ["dynamic_interfaces", "dynamic_interfaces allow_if_changes"],
    ("global_defs", "vrrp_iptables"): ["vrrp_iptables", "vrrp_iptables IN OUT"],
    ("global_defs", "vrrp_ipsets"): ["vrrp_ipsets", "vrrp_ipsets one two"],
    ("global_defs", "vrrp_rx_bufs_policy"): ["vrrp_rx_bufs_policy MTU", "vrrp_rx_bufs_policy 7"],
    ("global_defs", "umask"): ["umask 027", "umask IWGRP | IRWXO"],
    ("global_defs", "include_check"): ["include_check", "include_check read +match"],
    ("global_defs", "v3_checksum_as_v2"): ["v3_checksum_as_v2"],
    ("linkbeat_interfaces.entry", "IF"): ["eth7", "eth7 MII"],
    ("interface_up_down_delays.entry", "IF"): ["eth7 5", "eth7 5 0.5"],
    ("global_defs.notification_email.entry", "EMAIL"): ["a@example.org"],
    ("bfd_instance", "neighbour_ip"): ["neighbour_ip 192.0.2.77"],
    ("track_group", "group"): ["group {\nA\n}"],
    ("track_group.group.entry", "INSTANCE"): ["A"],
    **{
        ("vrrp_sync_group", name): [f"{name} {{\n{entry}\n}}"] for name, entry in _TRACKED.items()
    },
    **{
        (f"vrrp_sync_group.{name}.entry", "(inherit)"): [f"{entry} weight 7"]
        for name, entry in _TRACKED.items()
    },
    ("vrrp_sync_group", "group"): ["group {\nA\nC\n}"],
    ("vrrp_sync_group.group.entry", "INSTANCE"): ["A"],
    ("garp_group", "interface"): ["garp_interval 1\ninterface eth7"],
    ("garp_group", "interfaces"): ["garp_interval 1\ninterfaces {\neth7\n}"],
    ("garp_group", "garp_interval"): ["interface eth7\ngarp_interval 7"],
    ("garp_group", "gna_interval"): ["interface eth7\ngna_interval 7"],
    ("garp_group.interfaces.entry", "IF"): ["eth7"],
    ("vrrp_script", "script"): ['script "/usr/bin/true 7"'],
    ("vrrp_track_process", "process"): ["process /usr/bin/true 7"],
    **{
        (block, name): [f"file /tmp/f7\n{line}" for line in lines]
        for block in ("track_file", "vrrp_track_file")
        for name, lines in (("weight", ["weight 7"]), ("init_file", ["init_file 7 overwrite", "init_file"]))
    },
    **{
        ("vrrp_track_process", name): [f"process x\n{line}"]
        for name, line in (
            ("param_match", "param_match initial"),
            ("weight", "weight 7"),
            ("quorum", "quorum 7"),
            ("quorum_max", "quorum_max 7"),
            ("delay", "delay 7"),
            ("terminate_delay", "terminate_delay 7"),
            ("fork_delay", "fork_delay 7"),
            ("full_command", "full_command"),
        )
    },
    ("vrrp_instance", "use_vmac"): ["use_vmac", "use_vmac vrrp7"],
    ("vrrp_instance", "use_vmac_addr"): ["use_vmac_addr"],
    ("vrrp_instance", "vmac_xmit_base"): ["use_vmac\nvmac_xmit_base"],
    ("vrrp_instance", "use_ipvlan"): ["use_ipvlan 10.0.0.9", "use_ipvlan"],
    ("vrrp_instance", "unicast_peer"): ["unicast_peer {\n192.0.2.77\n}"],
    ("vrrp_instance", "unicast_fault_no_peer"): ["unicast_fault_no_peer"],
    ("vrrp_instance", "check_unicast_src"): ["unicast_peer {\n192.0.2.77\n}\ncheck_unicast_src"],
    ("vrrp_instance", "unicast_src_ip"): ["unicast_peer {\n192.0.2.77\n}\nunicast_src_ip 192.0.2.7"],
    ("vrrp_instance", "unicast_ttl"): ["unicast_peer {\n192.0.2.77\n}\nunicast_ttl 7"],
    ("vrrp_instance", "old_unicast_checksum"): ["old_unicast_checksum", "old_unicast_checksum never"],
    ("vrrp_instance", "track_interface"): ["track_interface {\neth7\n}"],
    ("vrrp_instance", "track_script"): ["track_script {\nS1\n}"],
    ("vrrp_instance", "track_file"): ["track_file {\nF1\n}"],
    ("vrrp_instance", "track_process"): ["track_process {\nP1\n}"],
    ("vrrp_instance", "track_bfd"): ["track_bfd {\nB1\n}"],
    ("vrrp_instance", "state"): ["state MASTER"],
    ("vrrp_instance", "track_src_ip"): ["mcast_src_ip 192.0.2.1\ntrack_src_ip"],
    ("virtual_server", "ip_family"): ["ip_family inet", "ip_family inet6"],
    ("vrrp_instance", "advert_int"): ["advert_int 7"],
    ("vrrp_instance", "virtual_ipaddress"): ["virtual_ipaddress {\n10.0.0.7\n}"],
    ("vrrp_instance", "virtual_ipaddress_excluded"): ["virtual_ipaddress_excluded {\n10.0.0.7\n}"],
    ("vrrp_instance", "virtual_routes"): ["virtual_routes {\n192.0.2.0/24 via 10.0.0.9 dev eth0\n}"],
    ("vrrp_instance", "virtual_rules"): ["virtual_rules {\nfrom 192.0.2.0/24 table 7 preference 77\n}"],
    ("vrrp_instance", "nopreempt"): ["state BACKUP\nnopreempt"],
    ("vrrp_instance", "preempt_delay"): ["state BACKUP\npreempt_delay 7"],
    ("vrrp_instance", "timer_expired_backup"): ["state BACKUP\nnopreempt\ntimer_expired_backup 7"],
    ("vrrp_instance", "thread_timer_expired"): ["state BACKUP\nnopreempt\nthread_timer_expired 7"],
    ("vrrp_instance", "notify_deleted"): ["notify_deleted", "notify_deleted /usr/bin/true"],
    ("vrrp_instance", "authentication"): ["authentication {\nauth_type PASS\nauth_pass text7\n}"],
    ("vrrp_instance", "auth_hmac"): [f"auth_hmac {{\nkey 1 {_KEY}\nactive_key 1\n}}"],
    ("vrrp_instance", "owner_ignore_adverts"): ["priority 255\nstate MASTER\nowner_ignore_adverts on",
                                                "owner_ignore_adverts"],
    ("vrrp_instance", "v3_checksum_as_v2"): ["version 3\nv3_checksum_as_v2 on"],
    ("vrrp_instance", "version"): ["version 3"],
    ("vrrp_instance.auth_hmac", "key"): [f"key 2 hex:{_KEY}{_KEY}"],
    ("vrrp_instance.auth_hmac", "active_key"): [f"key 2 {_KEY}7\nactive_key 2"],
    ("vrrp_instance.auth_hmac", "anti_replay"): ["anti_replay monotonic"],
    ("vrrp_instance.auth_hmac", "mode"): ["mode permissive", "mode receive-only"],
    ("vrrp_instance.authentication", "auth_type"): ["auth_type AH"],
    ("vrrp_instance.unicast_peer.entry", "IPADDR"): ["192.0.2.77"],
    ("vrrp_instance.unicast_peer.entry", "min_ttl"): ["192.0.2.77 min_ttl 7"],
    ("vrrp_instance.unicast_peer.entry", "max_ttl"): ["192.0.2.77 max_ttl 7"],
    ("virtual_ipaddress.entry", "IPADDR"): ["10.0.0.7/24"],
    ("virtual_ipaddress.entry", "peer"): ["10.0.0.7 peer 192.0.2.77"],
    ("virtual_ipaddress_excluded.entry", "(inherit)"): ["10.0.0.7/24 dev eth7 label x scope site"],
    ("static_ipaddress.entry", "(inherit)"): ["10.0.0.7/24 dev eth7 label x scope site"],
    ("static_ipaddress.entry", "track_group"): ["10.0.0.7 dev eth0 track_group G1"],
    ("static_routes.entry", "(inherit)"): ["192.0.2.0/24 via 10.0.0.9 dev eth0 metric 7"],
    ("static_routes.entry", "track_group"): ["192.0.2.0/24 via 10.0.0.9 dev eth0 track_group G1"],
    ("static_rules.entry", "(inherit)"): ["from 192.0.2.0/24 table 7 preference 77"],
    ("static_rules.entry", "track_group"): [("from 192.0.2.0/24 dev eth0 table 7 preference 77"
                                            " track_group G1")],
    ("virtual_routes.entry", "DEST"): ["192.0.2.0/24 dev eth0"],
    ("virtual_routes.entry", "TYPE"): ["blackhole 192.0.2.0/24"],
    ("virtual_routes.entry", "to"): ["to 192.0.2.0/24 dev eth0"],
    ("virtual_routes.entry", "default6"): ["default6 dev eth0"],
    ("virtual_routes.entry", "inet"): ["192.0.2.0/24 dev eth0 inet x"],
    ("virtual_routes.entry", "inet6"): ["2001:db8::/32 dev eth0 inet6 x"],
    ("virtual_routes.entry", "or"): ["192.0.2.0/24 via 10.0.0.9 or 10.0.0.8"],
    ("virtual_routes.entry", "encap"): ["192.0.2.0/24 encap mpls 100 via 10.0.0.9 dev eth0"],
    ("virtual_routes.entry", "encap ip"): ["192.0.2.0/24 encap ip id 7 dst 10.0.0.8 dev eth0"],
    ("virtual_routes.entry", "encap ip6"): ["192.0.2.0/24 encap ip6 id 7 dst fe80::8 dev eth0"],
    ("virtual_routes.entry", "encap mpls"): ["192.0.2.0/24 encap mpls 100/200 dev eth0"],
    ("virtual_routes.entry", "encap ila"): ["2001:db8::/32 encap ila 1:2:3:4 dev eth0"],
    ("virtual_routes.entry", "expires"): ["2001:db8::/32 dev eth0 expires 7"],
    ("virtual_routes.entry", "pref"): ["2001:db8::/32 dev eth0 pref low"],
    ("virtual_routes.entry", "rtt"): ["192.0.2.0/24 dev eth0 rtt 7s"],
    ("virtual_routes.entry", "rttvar"): ["192.0.2.0/24 dev eth0 rttvar 7s"],
    ("virtual_routes.entry", "rto_min"): ["192.0.2.0/24 dev eth0 rto_min 7s"],
    ("virtual_routes.entry", "nexthop"): [("192.0.2.0/24 nexthop via 10.0.0.8 weight 7"
                                          " nexthop via 10.0.0.9")],
    ("virtual_routes.entry", "gw"): ["192.0.2.0/24 gw 10.0.0.9"],
    ("virtual_routes.entry", "as"): ["192.0.2.0/24 dev eth0 as 10.0.0.9"],
    ("virtual_routes.entry", "src"): ["192.0.2.0/24 dev eth0 src 10.0.0.1"],
    ("virtual_routes.entry", "from"): ["2001:db8::/32 dev eth0 from 2001:db8:1::/48"],
    ("virtual_routes.entry", "vrf"): ["192.0.2.0/24 via 10.0.0.9 vrf eth7"],
    ("virtual_routes.entry", "protocol"): ["192.0.2.0/24 dev eth0 no_track protocol 7"],
    ("virtual_rules.entry", "protocol"): ["from 192.0.2.0/24 table 7 preference 77 no_track protocol 7"],
    ("virtual_routes.entry.nexthop", "encap"): [("192.0.2.0/24 nexthop via 10.0.0.8 nexthop via 10.0.0.9"
                                                " encap mpls 100")],
    ("virtual_routes.entry", "congctl"): ["192.0.2.0/24 dev eth0 congctl lock cubic"],
    ("virtual_rules.entry", "goto"): ["from 192.0.2.0/24 preference 77 goto 99"],
    ("virtual_rules.entry", "nop"): ["from 192.0.2.0/24 preference 77 nop"],
    ("virtual_rules.entry", "blackhole"): ["from 192.0.2.0/24 preference 77 blackhole"],
    ("virtual_rules.entry", "unreachable"): ["from 192.0.2.0/24 preference 77 unreachable"],
    ("virtual_rules.entry", "prohibit"): ["from 192.0.2.0/24 preference 77 prohibit"],
    ("virtual_rules.entry", "type"): ["from 192.0.2.0/24 preference 77 type blackhole"],
    ("virtual_rules.entry", "inet"): ["preference 77 table 7 inet x"],
    ("virtual_rules.entry", "inet6"): ["preference 77 table 7 inet6 x"],
    ("virtual_rules.entry", "l3mdev"): ["preference 77 l3mdev"],
    ("virtual_rules.entry", "from"): ["from 192.0.2.0/24 preference 77 table 7"],
    ("virtual_rules.entry", "to"): ["to 192.0.2.0/24 preference 77 table 7"],
    ("virtual_rules.entry", "table"): ["from 192.0.2.0/24 preference 77 table 7"],
    ("virtual_rules.entry", "lookup"): ["from 192.0.2.0/24 preference 77 lookup 7"],
    ("virtual_rules.entry", "sup_group"): ["from 192.0.2.0/24 preference 77 sup_group 7 table 7"],
    ("virtual_rules.entry", "suppress_ifgroup"): [
        "from 192.0.2.0/24 preference 77 suppress_ifgroup 7 table 7"
    ],
    **{
        ("virtual_rules.entry", name): [f"from 192.0.2.0/24 table 7 {name} 77"]
        for name in ("preference", "order", "priority")
    },
    ("virtual_server_group.entry", "ADDRESS"): ["10.9.0.7 80", "10.9.1.1-7 80"],
    ("virtual_server_group.entry", "fwmark"): ["fwmark 7"],
    ("virtual_server", "protocol"): ["protocol SCTP"],
    ("virtual_server", "lb_algo"): ["lb_algo wrr"],
    ("virtual_server", "lb_kind"): ["lb_kind DR", "lb_kind TUN type gue port 7"],
    ("virtual_server", "persistence_granularity"): [("persistence_timeout 7\n"
                                                    "persistence_granularity 255.255.255.0")],
    ("virtual_server", "persistence_engine"): ["persistence_timeout 7\npersistence_engine sip"],
    ("virtual_server", "real_server"): ["real_server 10.2.0.7 80 {\n}"],
    ("virtual_server", "sorry_server_inhibit"): ["sorry_server 10.3.0.1 80\nsorry_server_inhibit"],
    ("virtual_server", "sorry_server_lvs_method"): [("sorry_server 10.3.0.1 80\n"
                                                    "sorry_server_lvs_method DR")],
    ("virtual_server", "quorum"): ["quorum 7"],
    ("virtual_server", "hashed"): ["lb_algo sh\nhashed", "lb_algo mh\nhashed"],
    ("virtual_server", "virtualhost"): ["virtualhost host7"],
    ("virtual_server", "hysteresis"): ["quorum 9\nhysteresis 7"],
    **{("virtual_server", name): [f"lb_algo sh\n{name}"] for name in ("sh-port", "sh-fallback")},
    **{("virtual_server", name): [f"lb_algo mh\n{name}"] for name in ("mh-port", "mh-fallback")},
    ("virtual_server", "ops"): ["protocol UDP\nops"],
    ("virtual_server.real_server", "uthreshold"): ["uthreshold 7"],
    ("virtual_server.real_server", "lthreshold"): ["uthreshold 9\nlthreshold 7"],
    **{
        ("virtual_server.real_server", kind): [f"{kind} {{\n}}"]
        for kind in _CHECKS
    },
    ("virtual_server.real_server", "HTTP_GET"): ["HTTP_GET {\nurl {\npath /7\n}\n}"],
    ("virtual_server.real_server", "SSL_GET"): ["SSL_GET {\nurl {\npath /\n}\n}"],
    ("virtual_server.real_server", "MISC_CHECK"): ["MISC_CHECK {\nmisc_path /usr/bin/true\n}"],
    ("virtual_server.real_server", "BFD_CHECK"): ["BFD_CHECK {\nname B1\n}"],
    ("virtual_server.real_server", "FILE_CHECK"): ["FILE_CHECK {\ntrack_file F1\n}"],
    **{
        (f"virtual_server.real_server.{kind}", "url"): ["url {\npath /7\n}"]
        for kind in ("HTTP_GET", "SSL_GET")
    },
    **{
        (_URL.format(kind), name): [line]
        for kind in ("HTTP_GET", "SSL_GET")
        for name, line in (
            ("path", "path /7"),
            ("status_code", "status_code 201-204"),
            ("regex", 'regex "a.*b"'),
            ("regex_no_match", 'regex "a"\nregex_no_match'),
            ("regex_options", 'regex "a"\nregex_options caseless'),
            ("regex_min_offset", 'regex "a"\nregex_min_offset 7'),
            ("regex_max_offset", 'regex "a"\nregex_max_offset 7'),
            ("regex_stack", 'regex "a"\nregex_stack 16 64'),
        )
    },
    **{
        (f"virtual_server.real_server.{kind}", "http_protocol"): ["http_protocol 1.1"]
        for kind in ("HTTP_GET", "SSL_GET")
    },
    ("virtual_server.real_server.UDP_CHECK", "require_reply"): ["require_reply 01xx"],
    ("virtual_server.real_server.UDP_CHECK", "payload"): ["payload 0102"],
    ("virtual_server.real_server.UDP_CHECK", "min_reply_length"): ["require_reply\nmin_reply_length 7"],
    ("virtual_server.real_server.UDP_CHECK", "max_reply_length"): ["require_reply\nmax_reply_length 7"],
    ("virtual_server.real_server.DNS_CHECK", "type"): ["type AAAA"],
    ("virtual_server.real_server.SMTP_CHECK", "host"): ["host {\nconnect_ip 192.0.2.77\n}"],
    ("virtual_server.real_server.BFD_CHECK", "name"): ["name B1"],
    ("virtual_server.real_server.FILE_CHECK", "track_file"): ["track_file F1"],
}  # fmt: skip
"""Whole lines to try, where ``KEYWORD ARGUMENT`` will not do."""

_REAL = (
    "virtual_server 10.1.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n{1}\n"
    "real_server 10.2.0.1 80 {{\n{0}\n}}\n}}\n"
)

TEXTS: dict[Key, str] = {
    ("vrrp_instance", "native_ipv6"): "vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nversion 2\n"
    "no_virtual_ipaddress\n@@\n}\n",
    ("vrrp_instance", "accept"): "vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nversion 3\n"
    "strict_mode on\n@@\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n",
    ("vrrp_sync_group", "group"): "vrrp_sync_group G {\n@@\n}\n"
    + "".join(
        f"vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\n"
        f"virtual_ipaddress {{\n10.0.0.{vrid}\n}}\n}}\n"
        for name, vrid in (("A", 7), ("C", 8))
    ),
    ("virtual_server", "ip_family"): "virtual_server fwmark 7 {\nlb_algo rr\nlb_kind TUN\n@@\n"
    "real_server 2001:db8::1 {\n}\n}\n",
    ("virtual_server", "weight"): _REAL.format("", "@@"),
    ("virtual_server.real_server.BFD_CHECK", "name"): _REAL.format("BFD_CHECK {\n@@\n}", ""),
    ("virtual_server.real_server.FILE_CHECK", "track_file"): _REAL.format("FILE_CHECK {\n@@\n}", ""),
    **{
        (_URL.format(kind), "path"): _REAL.format(f"{kind} {{\nurl {{\n@@\n}}\n}}", "")
        for kind in ("HTTP_GET", "SSL_GET")
    },
    ("vrrp_instance", "vrf"): "vrrp_instance A {\nvirtual_router_id 7\nunicast_src_ip 192.0.2.1\n"
    "unicast_peer {\n192.0.2.7\n}\n@@\nvirtual_ipaddress {\n10.0.0.1 dev eth0\n}\n}\n",
}
"""Surroundings of keywords that mean nothing in those of their block; ``@@``: the line."""

BEFORE: dict[str, str] = {
    "virtual_ipaddress.entry": "10.0.0.7 ",
    "virtual_routes.entry": "192.0.2.0/24 dev eth0 ",
    "virtual_routes.entry.nexthop": "192.0.2.0/24 nexthop via 10.0.0.8 dev eth0 nexthop ",
    "virtual_rules.entry": "from 192.0.2.0/24 table 7 preference 77 ",
    "vrrp_instance.track_interface.entry": "eth7 ",
    "vrrp_instance.track_script.entry": "S1 ",
    "vrrp_instance.track_file.entry": "F1 ",
    "vrrp_instance.track_process.entry": "P1 ",
    "vrrp_instance.track_bfd.entry": "B1 ",
    "vrrp_instance.unicast_peer.entry": "192.0.2.77 ",
}
"""Blocks of entries -> words before the keyword in a line."""

NEVER_CLEAN: dict[Key, str] = {
    ("virtual_routes.entry", "as"): "keepalived refuses it as well",
    ("virtual_routes.entry", "gw"): "keepalived reports the old word",
    ("virtual_routes.entry", "or"): "keepalived reports the old word",
    ("virtual_routes.entry.nexthop", "oif"): "keepalived 2.4.3 takes it for nonsense behind the hops",
}
"""Keywords that keepalived itself always complains about."""

NOT_IN_THE_MODEL: dict[Key, str] = {
    ("vrrp_instance", "preempt"): "the default; nopreempt says the other",
}
"""Keywords whose line leaves the model as it is, and why that is right."""

UNJUDGED: dict[Key, str] = {
    (_URL.format(kind), name): "keepalived takes any word"
    for kind in ("HTTP_GET", "SSL_GET")
    for name in ("regex_min_offset", "regex_max_offset")
}
"""Keywords whose range keepalived does not look at."""

SPECIAL: dict[Key, tuple[str, ...]] = {}
"""Words of the range that mean something else in these surroundings."""

KEPT: dict[Key, str] = {
    ("vrrp_script", "weight"): "keepalived reports a number out of range and keeps it",
    **{(block, "init_file"): "the file is made all the same" for block in ("track_file", "vrrp_track_file")},
}
"""Keywords that change the model although their number is refused, and why."""

ADJUSTED: dict[Key, str] = {
    **{
        ("virtual_server", name): "cut to the weight of the real servers" for name in ("quorum", "hysteresis")
    },
    ("vrrp_instance", "unicast_ttl"): "0 leaves it to the kernel",
    ("vrrp_instance.auth_hmac", "active_key"): "a key that is not there switches the block off",
}
"""Keywords whose value in the model is not the number that is written, and why."""


def _is_folder(value: object, folder: Path) -> bool:
    return str(value) == str(folder)


PREPROCESSED: dict[str, tuple[str, str, Any]] = {
    **{
        name: (f"{name} other.conf", "vrrp_version", 3)
        for name in ("include", "includer", "includem", "includew", "includeb", "includea")
    },
    "@ID": ("@me router_id mine\n@you router_id yours", "router_id", "mine"),
    "@^ID": ("@^you router_id mine\n@^me router_id yours", "router_id", "mine"),
    "$NAME=": ("$B=one \\\ntwo\n$C=three\nrouter_id $C", "router_id", "three"),
    "$NAME": ("router_id x${A}y", "router_id", "xseveny"),
    "${_PWD}": ("router_id ${_PWD}", "router_id", _is_folder),
    "${_INSTANCE}": ("router_id ${_INSTANCE}", "router_id", "me"),
    "${_RANDOM}": ("router_id ${_RANDOM 5 7}", "router_id", lambda value, _: value in ("5", "6", "7")),
    "${_ENV}": ("router_id ${_ENV KEYWORD_TEST}", "router_id", "seven"),
    "${_HASH}": ('router_id "a${_HASH}b"', "router_id", "a#b"),
    "${_BANG}": ('router_id "a${_BANG}b"', "router_id", "a!b"),
    "~SEQ": ("~SEQ(N, 2, 3, 9) vrrp_garp_master_refresh $N", "vrrp_garp_master_refresh_s", 8),
    "~SEQx": ("~SEQx(N, 9, 11) router_id x$N", "router_id", "xb"),
    "~LST": ("~LST(N, a, b) router_id $N", "router_id", "b"),
}
"""Keyword -> (lines in global_defs, field of GlobalDefs, its value or a judge of it and the folder)."""
