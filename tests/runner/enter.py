"""Run a command in namespaces of its own, as root in there: ``python -m tests.runner.enter COMMAND...``

What ``./run demo`` and ``./run bench`` live in: the host sees none of their networks, and nothing is
left of them, however they end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from deploy.setup.common import search_path
from tests.runner import places


def main(command: Sequence[str]) -> int:  # noqa: RET503
    """Becomes the command; returns only when it cannot."""
    os.environ["PATH"] = search_path()
    place = places.namespaces("netns")
    if isinstance(place, places.Refusal):
        enable = place.enable.replace("./run test netns", "the same")
        print(f"run: {place.why}\nrun: what would help: {enable}", file=sys.stderr)
        return 1
    line = [*place.prefix, *command]
    os.execvp(line[0], line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
