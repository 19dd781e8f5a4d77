"""The record codec and its refusals."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vrrp.build import T0, VIP4, master
from vrrp_proc.record import (
    RECORD_BYTES_MAX,
    RecordError,
    RecordState,
    ResumeRecord,
    digest_addresses,
    digest_name,
)

INSTANT = st.none() | st.floats(0, 1e9)
ADDRESS = st.none() | st.ip_addresses(v=4) | st.ip_addresses(v=6)
RECORD = st.builds(
    ResumeRecord,
    state=st.sampled_from(RecordState),
    name_digest=st.binary(min_size=8, max_size=8),
    generation=st.integers(0, 2**63),
    family=st.sampled_from([4, 6]),
    version=st.sampled_from([2, 3]),
    virtual_router_id=st.integers(1, 255),
    priority=st.integers(1, 255),
    base_priority=st.integers(1, 255),
    advert_int_cs=st.integers(1, 25500),
    down_timer_adverts=st.integers(1, 100),
    preempt=st.booleans(),
    preempt_delay_s=st.floats(0, 1000),
    addresses_digest=st.binary(min_size=8, max_size=8),
    ifindex=st.integers(0, 2**31),
    local_address=ADDRESS,
    saved_at=st.floats(0, 1e9),
    since_at=st.floats(0, 1e9),
    master_interval_cs=st.integers(1, 25500),
    master_address=ADDRESS,
    master_priority=st.none() | st.integers(0, 255),
    last_own_advert_at=INSTANT,
    last_accepted_advert_at=INSTANT,
    down_at=INSTANT,
    advert_at=INSTANT,
    preempt_until_at=INSTANT,
    announcing=st.booleans(),
    garp_delayed_at=INSTANT,
    garp_refresh_at=INSTANT,
    garp_lower_at=INSTANT,
    preempting=st.booleans(),
)


@given(RECORD)
def test_unpack_is_the_inverse_of_pack(record: ResumeRecord) -> None:
    data = record.pack()
    assert len(data) <= RECORD_BYTES_MAX
    assert ResumeRecord.unpack(data + bytes(RECORD_BYTES_MAX - len(data))) == record


@given(RECORD, st.data())
def test_damaged_bytes_are_a_record_or_a_refusal(record: ResumeRecord, data: st.DataObject) -> None:
    octets = bytearray(record.pack())
    for _ in range(data.draw(st.integers(1, 8))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = ResumeRecord.unpack(bytes(octets))
    except RecordError:
        return
    assert ResumeRecord.unpack(back.pack()) == back


def test_refusals_say_why() -> None:
    instance, at = master()
    data = instance.record(at).pack()
    with pytest.raises(RecordError, match="octets, a record has"):
        ResumeRecord.unpack(data[:-1])
    with pytest.raises(RecordError, match="layout 9, this program knows 1"):
        ResumeRecord.unpack(b"\x09" + data[1:])
    with pytest.raises(RecordError, match="state 77"):
        ResumeRecord.unpack(data[:1] + b"\x4d" + data[2:])


def test_addresses_keep_their_family() -> None:
    instance, at = master()
    record = replace(
        instance.record(at), local_address=IPv4Address("10.0.0.1"), master_address=IPv6Address("fe80::1")
    )
    back = ResumeRecord.unpack(record.pack())
    assert back.local_address == IPv4Address("10.0.0.1")
    assert back.master_address == IPv6Address("fe80::1")


def test_digests() -> None:
    assert digest_name("VI_1") != digest_name("VI_2")
    assert digest_addresses(VIP4) == digest_addresses(VIP4[::-1])
    assert digest_addresses(VIP4) != digest_addresses(VIP4[:1])
    assert digest_addresses(VIP4) != digest_addresses((replace(VIP4[0], dev="eth1"), VIP4[1]))


def test_a_record_of_a_master_holds_what_a_successor_needs() -> None:
    instance, at = master(priority=120, garp_master_refresh_s=30)
    record = ResumeRecord.unpack(instance.record(at).pack())
    assert record.state is RecordState.MASTER
    assert (record.last_own_advert_at, record.advert_at) == (at, at + 1)
    assert record.garp_delayed_at == at + 5
    assert record.garp_refresh_at == at + 35
    assert at > T0
