"""``init_file`` of a track_file: what a tracked file is made with. Also a program, for files of other users.

Standard library only: ``init_file.py MODE (PATH VALUE)...`` writes each and says on stdout what it could not.
"""

from __future__ import annotations

import contextlib
import os
import sys

TIMEOUT_S = 1.0
"""The worker waits so long for files that only root may write: shorter than it may be silent."""


def write(path: str, value: int, mode: int) -> None:
    """Put a new file in the place of ``path``. OSError when that cannot be.

    A new one, renamed: readers see the old content or the new, and a link that somebody put there is
    replaced, not followed.
    """
    fresh = f"{path}.{os.urandom(6).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, 0o600)
    try:
        try:
            os.write(fd, f"{value}\n".encode())
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
        os.rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def write_as_root(files: list[tuple[str, int]], mode: int) -> dict[str, str]:
    """Let a child with root's rights write ``files``; returns path -> why not."""
    import subprocess

    words = [word for path, value in files for word in (path, str(value))]
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(mode), *words]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            user=0,
            group=0,
            extra_groups=[],
            cwd="/",
            env={},
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {path: f"not as root either: {error}" for path, _ in files}
    try:
        said, _ = child.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return {path: f"no answer within {TIMEOUT_S:g} s" for path, _ in files}
    if child.returncode not in (0, 1):
        return {path: f"the child that should write it ended with {child.returncode}" for path, _ in files}
    words = said.decode("utf-8", "surrogateescape").split("\0")
    return dict(zip(words[0::2], words[1::2], strict=False))


def _main(words: list[str]) -> int:
    mode, files = int(words[0]), words[1:]
    failed = 0
    for path, value in zip(files[0::2], files[1::2], strict=True):
        try:
            write(path, int(value), mode)
        except OSError as error:
            failed = 1
            sys.stdout.buffer.write(f"{path}\0{error.strerror}\0".encode("utf-8", "surrogateescape"))
    return failed


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
