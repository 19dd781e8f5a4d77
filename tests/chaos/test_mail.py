"""The whole daemon, its script worker killed again and again: no alert mail is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes

from tests.lab import Lab, programs
from tests.lab.system import in_netns, wait_until
from tests.unit.script.test_mail import SmtpServerStub

FLIPS = 16
PORT = 2525

CONFIG = f"""global_defs {{
    router_id lab
    notification_email {{
        a@b
    }}
    notification_email_from ka@lab
    smtp_server 127.0.0.1 {PORT}
    smtp_alert
}}
vrrp_instance V1 {{
    state BACKUP
    interface e0
    virtual_router_id 51
    priority 100
    version 3
    virtual_ipaddress {{
        10.100.1.1/16 dev e0
    }}
}}
"""


@contextlib.contextmanager
def smtp_server(netns: str) -> Iterator[SmtpServerStub]:
    """A mail server in a namespace, on a thread of its own."""
    server = SmtpServerStub(port=PORT, pause_s=0.03)
    up, over = threading.Event(), threading.Event()

    async def serve() -> None:
        with in_netns(netns):
            await server.__aenter__()
        up.set()
        while not over.is_set():
            await asyncio.sleep(0.02)
        await server.__aexit__()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield server
    finally:
        over.set()
        thread.join(10)


def test_no_mail_is_lost_when_the_script_worker_is_killed() -> None:
    chance = random.Random(7)
    kills = 0
    with Lab() as lab, smtp_server(lab.ns("n1")) as server:

        def told() -> list[str]:
            found = [message_from_bytes(data)["Subject"] for data in list(server.messages)]
            # One that was being handed over at a kill is sent again.
            once = [one for one, before in zip(found, [None, *found], strict=False) if one != before]
            return [one for one in once if "MASTER" not in one]

        daemon = lab.daemon("n1", programs.ours(), CONFIG).start()
        wait_until(told, 30, "the first mail")
        for flip in range(FLIPS):
            lab.set_link("n1", "e0", up=flip % 2 == 1)
            time.sleep(0.05 + chance.random() * 0.2)
            if chance.random() < 0.7 and (pid := daemon.worker_pid("script")) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
                    kills += 1
            time.sleep(0.05 + chance.random() * 0.2)
        subjects = [
            "Entering BACKUP state",
            *(["Entering FAULT state", "Entering BACKUP state"] * (FLIPS // 2)),
        ]
        expected = [f"[lab] VRRP Instance V1 - {subject}" for subject in subjects]
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: len(told()) >= len(expected), 30, "all mails")
        daemon.terminate()
        assert daemon.wait() == 0
        log = daemon.log_text()[-3000:]
        assert kills > FLIPS // 4
        assert told() == [*expected, "[lab] VRRP Instance V1 - Stopping"], log
