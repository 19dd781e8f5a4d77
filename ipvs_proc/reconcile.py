"""From the table that is to the table that should be: an ordered plan of single changes.

Pure. Never a flush, never delete-and-add of what can be edited: an edit keeps connections and counters.
Only what is wanted now or was made by us (``owned``) is ever touched; a service that somebody else
put into the kernel stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import assert_never

from ipvs_proc.model import Destination, DestinationKey, Entry, Service, ServiceKey, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class AddService:
    service: Service


@dataclass(frozen=True, kw_only=True, slots=True)
class EditService:
    service: Service
    was: Service


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveService:
    key: ServiceKey


@dataclass(frozen=True, kw_only=True, slots=True)
class AddDestination:
    service: ServiceKey
    destination: Destination


@dataclass(frozen=True, kw_only=True, slots=True)
class EditDestination:
    service: ServiceKey
    destination: Destination
    was: Destination


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveDestination:
    service: ServiceKey
    key: DestinationKey


Operation = AddService | EditService | RemoveService | AddDestination | EditDestination | RemoveDestination


def reconcile(desired: Table, actual: Table, owned: Collection[ServiceKey]) -> tuple[Operation, ...]:
    """The plan that turns ``actual`` into ``desired`` as far as it is ours.

    Order: whatever adds or edits comes before whatever removes, so a service that changes all its
    destinations (sorry server in, real servers out) is never empty in between. A service comes before
    its destinations when it is added, after them when it is removed. Equal tables give an empty plan.
    """
    additions: list[Operation] = []
    removals: list[Operation] = []
    for key, wanted in desired.items():
        present = actual.get(key)
        if present is None:
            additions.append(AddService(service=wanted.service))
            present = Entry(service=wanted.service)
        elif present.service != wanted.service:
            additions.append(EditService(service=wanted.service, was=present.service))
        for dest_key, destination in wanted.destinations.items():
            was = present.destinations.get(dest_key)
            if was is None:
                additions.append(AddDestination(service=key, destination=destination))
            elif was != destination:
                additions.append(EditDestination(service=key, destination=destination, was=was))
        removals.extend(
            RemoveDestination(service=key, key=dest_key)
            for dest_key in present.destinations
            if dest_key not in wanted.destinations
        )
    for key, entry in actual.items():
        if key in desired or key not in owned:
            continue
        removals.extend(RemoveDestination(service=key, key=dest_key) for dest_key in entry.destinations)
        removals.append(RemoveService(key=key))
    return (*additions, *removals)


def is_removal(operation: Operation) -> bool:
    return isinstance(operation, RemoveService | RemoveDestination)


def perform(table: Table, operations: Iterable[Operation]) -> dict[ServiceKey, Entry]:
    """The table after the operations, by the kernel's rules.

    Raises KeyError for what the kernel refuses: adding what is there, changing what is not.
    """
    result: dict[ServiceKey, Entry] = dict(table)
    for operation in operations:
        match operation:
            case AddService(service=service):
                if service.key in result:
                    raise KeyError(f"service {service.key} exists")
                result[service.key] = Entry(service=service)
            case EditService(service=service):
                result[service.key] = Entry(service=service, destinations=result[service.key].destinations)
            case RemoveService(key=key):
                del result[key]
            case AddDestination(service=key, destination=destination):
                if destination.key in result[key].destinations:
                    raise KeyError(f"destination {destination.key} of service {key} exists")
                result[key] = _with(result[key], destination)
            case EditDestination(service=key, destination=destination):
                if destination.key not in result[key].destinations:
                    raise KeyError(f"no destination {destination.key} in service {key}")
                result[key] = _with(result[key], destination)
            case RemoveDestination(service=key, key=dest_key):
                rest = dict(result[key].destinations)
                del rest[dest_key]
                result[key] = Entry(service=result[key].service, destinations=rest)
            case _:
                assert_never(operation)
    return result


def _with(entry: Entry, destination: Destination) -> Entry:
    return Entry(service=entry.service, destinations={**entry.destinations, destination.key: destination})


def describe(operation: Operation) -> str:
    """What the operation does, for logs and errors: names service and server."""
    match operation:
        case AddService(service=service):
            return f"add service {service.key} ({service.scheduler})"
        case EditService(service=service, was=was):
            return f"edit service {service.key} ({_difference(was, service)})"
        case RemoveService(key=key):
            return f"remove service {key}"
        case AddDestination(service=key, destination=destination):
            return (
                f"add server {destination.key} to service {key} "
                f"({destination.method}, weight {destination.weight})"
            )
        case EditDestination(service=key, destination=destination, was=before):
            return f"edit server {destination.key} of service {key} ({_difference(before, destination)})"
        case RemoveDestination(service=key, key=dest_key):
            return f"remove server {dest_key} from service {key}"
        case _:
            assert_never(operation)


def _difference(was: Service | Destination, now: Service | Destination) -> str:
    names = (
        ("scheduler", "flags", "timeout_s", "prefix_length", "persistence_engine")
        if isinstance(was, Service)
        else (
            "method",
            "weight",
            "upper_threshold",
            "lower_threshold",
            "tunnel_type",
            "tunnel_port",
            "tunnel_flags",
        )
    )
    changed = [(name, getattr(was, name), getattr(now, name)) for name in names]
    return ", ".join(f"{name} {before} -> {after}" for name, before, after in changed if before != after)
