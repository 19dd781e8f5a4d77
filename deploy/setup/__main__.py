"""Command line of the set-up: ``python3 -m deploy.setup [environment] [tools] [kernel]``."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from deploy.setup import environment, kernel, tools
from deploy.setup.common import CACHE, SetupError, say
from deploy.setup.debian import one_at_a_time

STEPS: dict[str, Callable[[], None]] = {
    "environment": environment.prepare,
    "tools": tools.prepare,
    "kernel": kernel.prepare,
}
REFUSED = CACHE / "setup-refused.json"
"""step -> why it could not be done; the test runner tells it to whoever misses a tier."""


def _refusals() -> dict[str, str]:
    try:
        found = json.loads(REFUSED.read_text())
    except (OSError, ValueError):
        return {}
    return {str(step): str(why) for step, why in found.items()} if isinstance(found, dict) else {}


def main(arguments: Sequence[str]) -> int:
    """0 when every asked-for step is done; 1 when one could not be, said in plain words."""
    tolerate = "--tolerate" in arguments
    wanted = [word for word in arguments if word != "--tolerate"] or list(STEPS)
    unknown = [word for word in wanted if word not in STEPS]
    if unknown:
        say(f"no such step: {', '.join(unknown)} (there are: {', '.join(STEPS)})")
        return 2
    lacking = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    started_at = time.monotonic()
    with one_at_a_time():
        refusals = _refusals()
        for step in wanted:
            try:
                if lacking and step != "environment":
                    raise SetupError(f"this needs a Debian with {' and '.join(lacking)}")
                STEPS[step]()
                refusals.pop(step, None)
            except SetupError as error:
                refusals[step] = str(error)
                say(f"{step}: {error}")
        REFUSED.write_text(json.dumps(refusals))
    failed = [step for step in wanted if step in refusals]
    if failed:
        say(f"could not be done: {', '.join(failed)} (why is said above)")
    elif time.monotonic() - started_at > 2:
        say(f"done in {time.monotonic() - started_at:.0f} s")
    fatal = [step for step in failed if not tolerate or step == "environment"]
    return 1 if fatal else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        say(f"cannot write below {CACHE.parent}: {error}")
        sys.exit(1)
