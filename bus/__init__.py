"""The bus: message types, codec, broker, publisher and the public subscriber.

    from bus import Subscriber

The wire is specified in docs/bus.md. What needs libzmq is imported on first use, so that the message
types cost a process without a socket nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.client import Publisher as Publisher
    from bus.subscriber import Subscriber as Subscriber

__all__ = ["Publisher", "Subscriber"]


def __getattr__(name: str) -> Any:
    if name == "Publisher":
        from bus.client import Publisher

        return Publisher
    if name == "Subscriber":
        from bus.subscriber import Subscriber

        return Subscriber
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
