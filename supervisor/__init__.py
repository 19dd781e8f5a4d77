"""The supervisor: entry point, process table, restart policy, generations, fence.

One thread, no ZeroMQ context, no event-loop library, no model: configuration slices are opaque to
it. It must be able to fork() at any moment.
"""

__version__ = "0.1.0"
