"""Plans: for every pair of tables they arrive, touch nothing foreign, keep their order, and end."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from ipvs_proc.model import DestinationKey, Entry, ServiceKey
from ipvs_proc.reconcile import (
    AddDestination,
    AddService,
    EditDestination,
    EditService,
    RemoveDestination,
    RemoveService,
    describe,
    is_removal,
    perform,
    reconcile,
)
from tests.unit.ipvs.builders import destination, entry, fwmark, key, service, table

KEYS = (key(), key(port=443), key(protocol="UDP"), key("2001:db8::1"), fwmark(1), fwmark(1, 6))


VARIANTS = (None, {"weight": 1}, {"weight": 0}, {"weight": 1, "method": "DR"})
"""What may be known of a server: not there, or there in one of these ways."""


def build(shape: Mapping[ServiceKey, tuple[int, int]]) -> Mapping[ServiceKey, Entry]:
    """A table out of a few numbers, which hypothesis draws much faster than tables."""
    found = {}
    for service_key, (kind, servers) in shape.items():
        present = []
        for host in range(1, 5):
            servers, variant = divmod(servers, len(VARIANTS))
            values = VARIANTS[variant]
            if values is not None:
                present.append(destination(f"10.0.0.{host}", **values))
        attributes = service(service_key, ("rr", "wlc")[kind % 2], timeout_s=60 * (kind // 2))
        found[service_key] = entry(attributes, *present)
    return found


def tables() -> st.SearchStrategy[Mapping[ServiceKey, Entry]]:
    shape = st.tuples(st.integers(0, 3), st.integers(0, len(VARIANTS) ** 4 - 1))
    return st.dictionaries(st.sampled_from(KEYS), shape).map(build)


owned_sets = st.sets(st.sampled_from(KEYS))


@given(desired=tables(), actual=tables())
def test_arrives_when_all_is_ours_and_then_rests(
    desired: Mapping[ServiceKey, Entry], actual: Mapping[ServiceKey, Entry]
) -> None:
    plan = reconcile(desired, actual, owned=set(actual))
    reached = perform(actual, plan)
    assert reached == desired
    assert reconcile(desired, reached, owned=set(actual)) == ()


@given(desired=tables(), actual=tables(), owned=owned_sets)
def test_foreign_services_are_untouched(
    desired: Mapping[ServiceKey, Entry], actual: Mapping[ServiceKey, Entry], owned: set[ServiceKey]
) -> None:
    reached = perform(actual, reconcile(desired, actual, owned))
    foreign = {k: e for k, e in actual.items() if k not in owned and k not in desired}
    assert reached == {**foreign, **desired}


@given(desired=tables(), actual=tables(), owned=owned_sets)
def test_removals_come_last_and_nothing_is_deleted_to_be_added_again(
    desired: Mapping[ServiceKey, Entry], actual: Mapping[ServiceKey, Entry], owned: set[ServiceKey]
) -> None:
    plan = reconcile(desired, actual, owned)
    flags = [is_removal(op) for op in plan]
    assert flags == sorted(flags)
    added: set[tuple[ServiceKey, DestinationKey | None]] = set()
    removed: set[tuple[ServiceKey, DestinationKey | None]] = set()
    for op in plan:
        match op:
            case AddService(service=s):
                added.add((s.key, None))
            case AddDestination(service=k, destination=d):
                added.add((k, d.key))
            case RemoveService(key=k):
                removed.add((k, None))
            case RemoveDestination(service=k, key=dk):
                removed.add((k, dk))
    assert not added & removed


@given(desired=tables(), actual=tables())
def test_stopping_half_way_and_planning_again_arrives(
    desired: Mapping[ServiceKey, Entry], actual: Mapping[ServiceKey, Entry]
) -> None:
    plan = reconcile(desired, actual, owned=set(KEYS))
    half = perform(actual, plan[: len(plan) // 2])
    assert perform(half, reconcile(desired, half, owned=set(KEYS))) == desired


def test_the_order_of_a_change_of_everything() -> None:
    a, b = destination("10.0.0.1"), destination("10.0.0.2")
    old, new = key(), key(port=443)
    plan = reconcile(table(entry(service(new), a, b)), table(entry(service(old), a, b)), owned={old})
    assert plan == (
        AddService(service=service(new)),
        AddDestination(service=new, destination=a),
        AddDestination(service=new, destination=b),
        RemoveDestination(service=old, key=a.key),
        RemoveDestination(service=old, key=b.key),
        RemoveService(key=old),
    )


def test_the_sorry_server_enters_before_the_others_leave() -> None:
    a, sorry = destination("10.0.0.1"), destination("10.0.0.9")
    plan = reconcile(table(entry(service(key()), sorry)), table(entry(service(key()), a)), owned=set())
    assert plan == (
        AddDestination(service=key(), destination=sorry),
        RemoveDestination(service=key(), key=a.key),
    )


def test_changes_are_edits() -> None:
    was, now = destination("10.0.0.1", weight=1), destination("10.0.0.1", weight=0)
    first, second = service(key(), "rr"), service(key(), "wlc")
    plan = reconcile(table(entry(second, now)), table(entry(first, was)), owned=set())
    assert plan == (
        EditService(service=second, was=first),
        EditDestination(service=key(), destination=now, was=was),
    )
    assert describe(plan[0]) == "edit service [192.0.2.1]:tcp:80 (scheduler rr -> wlc)"
    assert describe(plan[1]) == "edit server [10.0.0.1]:80 of service [192.0.2.1]:tcp:80 (weight 1 -> 0)"


def test_connection_counts_are_no_difference() -> None:
    wanted = table(entry(service(key()), destination("10.0.0.1")))
    busy = table(entry(service(key()), destination("10.0.0.1", active_connections=12)))
    assert reconcile(wanted, busy, owned=set()) == ()
