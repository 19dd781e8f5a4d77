"""What every IpvsPort does: one suite, run against the fake here and against a real kernel in tests/kernel.

Subclass ``PortContract`` and give it a ``port`` fixture with an empty table.
"""

from __future__ import annotations

import errno

import pytest

from ipvs_proc.model import SVC_F_ONEPACKET, SVC_F_PERSISTENT, Destination, Service, ServiceKey, Table
from ipvs_proc.port import IpvsError, IpvsPort, Timeouts, read_table
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    Operation,
    RemoveDestination,
    RemoveService,
    reconcile,
)
from tests.unit.ipvs.builders import destination, entry, fwmark, key, service, table

V4, V6, MARK4, MARK6 = key(), key("2001:db8::1"), fwmark(7), fwmark(7, 6)
UDP = key(port=53, protocol="UDP")


def address_for(service_key: ServiceKey, host: int) -> str:
    return f"10.0.0.{host}" if service_key.family == 4 else f"2001:db8:1::{host:x}"


def done(port: IpvsPort, *operations: Operation) -> None:
    assert port.perform(operations) == [None] * len(operations)


def refused(port: IpvsPort, operation: Operation) -> IpvsError:
    (error,) = port.perform([operation])
    assert error is not None
    return error


def move(port: IpvsPort, wanted: Table) -> tuple[Operation, ...]:
    """Reconcile the port to ``wanted``, check that it arrived, return what was done."""
    actual = read_table(port)
    plan = reconcile(wanted, actual, owned=set(actual))
    done(port, *plan)
    assert read_table(port) == wanted
    assert reconcile(wanted, read_table(port), owned=set(actual)) == ()
    return plan


class PortContract:
    def test_empty(self, port: IpvsPort) -> None:
        assert port.services() == []
        assert read_table(port) == {}

    def test_info(self, port: IpvsPort) -> None:
        # Recent kernels make the connection table of a namespace with its first service.
        done(port, AddService(service=service(V4)))
        info = port.info()
        assert info.version.startswith("1.")
        assert info.connection_table_size >= 256

    @pytest.mark.parametrize("key_", [V4, V6, MARK4, MARK6, UDP, key(port=5060, protocol="SCTP")], ids=str)
    def test_service_is_read_back_as_written(self, port: IpvsPort, key_: ServiceKey) -> None:
        first = service(key_, "rr")
        done(port, AddService(service=first))
        assert port.services() == [first]
        assert port.destinations(key_) == []
        done(port, RemoveService(key=key_))
        assert port.services() == []

    @pytest.mark.parametrize(
        ("key_", "prefix_length"),
        [(V4, 32), (V4, 24), (V4, 8), (V6, 128), (V6, 64), (MARK4, 28), (MARK6, 48)],
        ids=str,
    )
    def test_persistence(self, port: IpvsPort, key_: ServiceKey, prefix_length: int) -> None:
        first = service(key_, "wlc", timeout_s=360, prefix_length=prefix_length)
        done(port, AddService(service=first))
        assert port.services() == [first]

    @pytest.mark.parametrize("key_", [V4, V6, MARK4, MARK6], ids=str)
    def test_service_is_edited_in_place(self, port: IpvsPort, key_: ServiceKey) -> None:
        server = destination(address_for(key_, 1), weight=3)
        first = service(key_, "rr")
        done(port, AddService(service=first), AddDestination(service=key_, destination=server))
        for now in (
            service(key_, "wrr"),
            service(key_, "wrr", timeout_s=60),
            service(key_, "sh", flags=0x08 | 0x10),
            service(key_, "wlc", timeout_s=30, prefix_length=24 if key_.family == 4 else 64),
            first,
        ):
            done(port, EditService(service=now, was=first))
            assert read_table(port) == table(entry(now, server))

    def test_one_packet_scheduling(self, port: IpvsPort) -> None:
        first = service(UDP, "rr", flags=SVC_F_ONEPACKET)
        done(port, AddService(service=first))
        assert port.services() == [first]

    def test_flags_that_are_off_again_are_off(self, port: IpvsPort) -> None:
        first = service(V4, "sh", timeout_s=60, flags=SVC_F_PERSISTENT | 0x08)
        done(port, AddService(service=first), EditService(service=service(V4, "sh"), was=first))
        assert port.services() == [service(V4, "sh")]

    @pytest.mark.parametrize("method", ["NAT", "DR", "TUN"])
    @pytest.mark.parametrize("key_", [V4, V6, MARK4, MARK6, UDP], ids=str)
    def test_destination_is_read_back_as_written(self, port: IpvsPort, key_: ServiceKey, method: str) -> None:
        server = destination(
            address_for(key_, 1), 8080, method=method, weight=7, upper_threshold=100, lower_threshold=50
        )
        done(port, AddService(service=service(key_)), AddDestination(service=key_, destination=server))
        assert port.destinations(key_) == [server]
        done(port, RemoveDestination(service=key_, key=server.key))
        assert port.destinations(key_) == []

    @pytest.mark.parametrize("key_", [V4, V6, MARK4, MARK6], ids=str)
    def test_destination_is_edited_in_place(self, port: IpvsPort, key_: ServiceKey) -> None:
        was = destination(address_for(key_, 1), weight=1)
        other = destination(address_for(key_, 2), weight=5)
        done(
            port,
            AddService(service=service(key_)),
            AddDestination(service=key_, destination=was),
            AddDestination(service=key_, destination=other),
        )
        for values in ({"weight": 0}, {"weight": 2**31 - 1}, {"method": "DR"}, {"upper_threshold": 9}):
            now = destination(address_for(key_, 1), **values)
            done(port, EditDestination(service=key_, destination=now, was=was))
            assert read_table(port) == table(entry(service(key_), now, other))

    def test_ipv6_servers_of_an_ipv4_service_by_tunnel(self, port: IpvsPort) -> None:
        server = destination("2001:db8:1::1", method="TUN")
        done(port, AddService(service=service(V4)), AddDestination(service=V4, destination=server))
        assert port.destinations(V4) == [server]

    def test_same_address_under_tcp_udp_and_both_families_of_a_mark(self, port: IpvsPort) -> None:
        wanted = table(
            *(
                entry(service(k), destination(address_for(k, 1)))
                for k in (V4, key(protocol="UDP"), V6, MARK4, MARK6)
            )
        )
        move(port, wanted)

    def test_adding_twice_is_refused_and_named(self, port: IpvsPort) -> None:
        server = destination("10.0.0.1")
        done(port, AddService(service=service(V4)), AddDestination(service=V4, destination=server))
        error = refused(port, AddService(service=service(V4)))
        assert error.code == errno.EEXIST
        assert str(V4) in str(error)
        error = refused(port, AddDestination(service=V4, destination=server))
        assert error.code == errno.EEXIST
        assert str(V4) in str(error)
        assert "10.0.0.1" in str(error)

    @pytest.mark.parametrize(
        "operation",
        [
            EditService(service=service(V4), was=service(V4)),
            RemoveService(key=V4),
            AddDestination(service=V4, destination=destination("10.0.0.1")),
            EditDestination(service=V4, destination=destination("10.0.0.1"), was=destination("10.0.0.1")),
            RemoveDestination(service=V4, key=destination("10.0.0.1").key),
        ],
        ids=lambda o: type(o).__name__,
    )
    def test_what_is_not_there_is_refused(self, port: IpvsPort, operation: Operation) -> None:
        error = refused(port, operation)
        assert error.code == errno.ESRCH
        assert "no such service" in str(error)

    def test_missing_destination_is_refused(self, port: IpvsPort) -> None:
        done(port, AddService(service=service(V4)))
        server = destination("10.0.0.1")
        for operation in (
            EditDestination(service=V4, destination=server, was=server),
            RemoveDestination(service=V4, key=server.key),
        ):
            error = refused(port, operation)
            assert error.code == errno.ENOENT
            assert "10.0.0.1" in str(error)

    def test_servers_of_a_missing_service(self, port: IpvsPort) -> None:
        with pytest.raises(IpvsError, match=r"192\.0\.2\.1") as caught:
            port.destinations(V4)
        assert caught.value.code == errno.ESRCH

    def test_lower_above_upper_threshold_is_refused(self, port: IpvsPort) -> None:
        done(port, AddService(service=service(V4)))
        server = destination("10.0.0.1", upper_threshold=1, lower_threshold=2)
        error = refused(port, AddDestination(service=V4, destination=server))
        assert error.code == errno.ERANGE
        assert "lthreshold" in str(error)
        assert port.destinations(V4) == []

    def test_unknown_scheduler_is_refused_and_named(self, port: IpvsPort) -> None:
        error = refused(port, AddService(service=service(V4, "nonesuch")))
        assert error.code == errno.ENOENT
        assert "'nonesuch'" in str(error)
        assert "modprobe ip_vs_nonesuch" in str(error)
        assert port.services() == []

    def test_a_failure_in_a_batch_stops_nothing(self, port: IpvsPort) -> None:
        first, second = destination("10.0.0.1"), destination("10.0.0.2")
        results = port.perform(
            [
                AddService(service=service(V4)),
                AddDestination(service=V4, destination=first),
                AddDestination(service=V4, destination=first),
                AddDestination(service=V6, destination=destination("2001:db8:1::1")),
                AddDestination(service=V4, destination=second),
            ]
        )
        assert [None if r is None else r.code for r in results] == [
            None, None, errno.EEXIST, errno.ESRCH, None,
        ]  # fmt: skip
        assert read_table(port) == table(entry(service(V4), first, second))

    def test_more_operations_than_fit_in_one_batch(self, port: IpvsPort) -> None:
        servers = [destination(f"10.0.{n // 250}.{n % 250 + 1}", weight=n) for n in range(700)]
        plan = move(port, table(entry(service(V4), *servers)))
        assert len(plan) == 701
        halved = [s for s in servers if s.weight % 2]
        assert len(move(port, table(entry(service(V4), *halved)))) == 350

    def test_reconcile_moves_between_tables(self, port: IpvsPort) -> None:
        a, b, c = (destination(f"10.0.0.{n}") for n in (1, 2, 3))
        six = [destination(f"2001:db8:1::{n}") for n in (1, 2)]
        one = table(entry(service(V4, "rr"), a, b), entry(service(V6, "wlc"), *six))
        two = table(entry(service(V4, "wrr", timeout_s=60), b, c), entry(service(MARK6), *six))
        move(port, one)
        move(port, two)
        move(port, {})

    def test_flush(self, port: IpvsPort) -> None:
        move(port, table(entry(service(V4), destination("10.0.0.1")), entry(service(MARK6))))
        port.flush()
        assert read_table(port) == {}

    def test_timeouts(self, port: IpvsPort) -> None:
        before = port.timeouts()
        port.set_timeouts(Timeouts(tcp_s=100, tcp_fin_s=0, udp_s=30))
        assert port.timeouts() == Timeouts(tcp_s=100, tcp_fin_s=before.tcp_fin_s, udp_s=30)
        port.set_timeouts(before)


__all__ = ["Destination", "PortContract", "Service", "address_for", "done", "move", "refused"]
