"""A network laboratory on one machine: directors, servers and clients in network namespaces.

Everything that needs real packets is built from this package: the netns, interop, kernel and chaos
tests, the demo and the benchmarks. Linux and root (or a user + network + mount namespace of one's own,
see ``privilege``); standard library only, so that it also runs inside the bundled test kernel.

    with Lab() as lab:                                   # n1, n2 and c on one bridge
        wire = lab.observer()
        a = lab.daemon("n1", programs.keepalived(), conf1).start()
        wire.await_advert(10, src=lab.address("n1"))

All instants are CLOCK_REALTIME seconds: kernel receive time stamps for packets, ``time.time()`` taken
next to the system call for the laboratory's own deeds. Every process is ended by pid and every
namespace by name, also after SIGTERM or Ctrl-C; nothing outside the namespaces is touched.

``wire`` decodes and builds packets on its own account, from the RFCs: it must not share a line with
the daemon that it judges.
"""

from tests.lab.daemons import Daemon
from tests.lab.net import Lab
from tests.lab.observer import Observer
from tests.lab.probes import Probe

__all__ = ["Daemon", "Lab", "Observer", "Probe"]
