"""The run directory: one per daemon instance; sockets, locks, black boxes and the PID live there.

Two daemons on one host are told apart as keepalived's users tell them apart, by the PID file (-p):
without it the run directory is RUN/pykeepalived/default, with it a name made from the file's path.
``--run-dir`` wins over both.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

_TMPFS_MAGIC, _RAMFS_MAGIC = 0x01021994, 0x858458F6
_MAX_SOCKET_PATH = 107
DEFAULT_PID_FILE = "keepalived.pid"


class RunDirError(Exception):
    """The run directory cannot be used; the text says why and what to do."""


class AlreadyRunning(RunDirError):  # noqa: N818 - reads as what is the case
    """Another daemon has it."""

    def __init__(self, pid: int, where: str) -> None:
        super().__init__(f"already running with pid {pid} ({where}); stop it first, or use another --run-dir")
        self.pid = pid


def run_root() -> Path:
    """The folder for run-time files: /run, or a private place where /run may not be written."""
    if os.access("/run", os.W_OK):
        return Path("/run")
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        value = os.environ.get(name, "").split(":")[0]
        if value and os.access(value, os.W_OK):
            return Path(value)
    return _private_root()


def _private_root() -> Path:
    """Last resort, named by the user that the rest of the machine sees (in a user namespace we may be 0)."""
    uid = os.getuid()
    with contextlib.suppress(OSError, ValueError), open("/proc/self/uid_map", encoding="ascii") as table:
        for inside, outside, count in (map(int, line.split()) for line in table):
            if inside <= uid < inside + count:
                return Path(f"/tmp/pykeepalived-{uid - inside + outside}")
    return Path(f"/tmp/pykeepalived-{uid}")


def choose(run_dir: str | None, pid_file: str | None) -> Path:
    """The run directory for these options."""
    if run_dir:
        return Path(run_dir).absolute()
    if pid_file:
        full = str(Path(pid_file).absolute())
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(full).stem)[:20]
        return run_root() / "pykeepalived" / f"{stem}-{hashlib.sha256(full.encode()).hexdigest()[:10]}"
    return run_root() / "pykeepalived" / "default"


class _Statfs(ctypes.Structure):
    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_byte * 256))


def on_tmpfs(path: Path) -> bool:
    """True when ``path`` is in memory: only there a shared mapping never waits for a disk."""
    result = _Statfs()
    if ctypes.CDLL(None).statfs(os.fsencode(path), ctypes.byref(result)):
        return False
    return result.type in (_TMPFS_MAGIC, _RAMFS_MAGIC)


def box_dir(run_dir: Path) -> Path | None:
    """Where the black boxes live: the run directory if on tmpfs, else a folder in /dev/shm, else None."""
    if on_tmpfs(run_dir):
        return run_dir
    shm = Path("/dev/shm")
    if on_tmpfs(shm) and os.access(shm, os.W_OK):
        name = hashlib.sha256(str(run_dir.absolute()).encode()).hexdigest()[:12]
        return shm / f"pykeepalived-{os.getuid()}-{name}"
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDir:
    """A prepared run directory; ``lock_fd`` holds it for this daemon."""

    path: Path
    boxes: Path | None
    lock_fd: int

    def socket(self, name: str) -> Path:
        return self.path / name

    def role_lock(self, role: str) -> Path:
        return self.path / f"lock.{role}"

    def box(self, role: str) -> Path | None:
        return self.boxes / f"box.{role}" if self.boxes else None

    def remove(self) -> None:
        """Leave nothing behind after a clean end, but what a worker wants found at the next start.

        The lock goes last, while it is held: who waits for it sees that its file is gone.
        """
        ours = [*self.path.glob("in.*"), *self.path.glob("lock.*"), *self.path.glob("box.*")]
        ours += [self.path / name for name in ("operator.sock", "out")]
        if self.boxes is not None and self.boxes != self.path:
            ours += self.boxes.glob("box.*")
        for path in (*ours, self.path / "lock"):
            with contextlib.suppress(OSError):
                path.unlink()
        for folder in (self.boxes, self.path):
            with contextlib.suppress(OSError):
                if folder is not None:
                    folder.rmdir()


def prepare(path: Path) -> RunDir:
    """Make and lock the run directory. Raises AlreadyRunning or RunDirError."""
    if path.is_relative_to(_private_root()):
        _make(_private_root(), 0o700)  # in /tmp anybody may have been here first
    _make(path, 0o755)
    longest = path / "operator.sock"
    if len(os.fsencode(longest)) > _MAX_SOCKET_PATH:
        raise RunDirError(f"run directory {path} is too long for a socket path; use a shorter --run-dir")
    lock_fd = _lock(path)
    boxes = box_dir(path)
    if boxes is not None and boxes != path:
        _make(boxes, 0o700)
    write_pid(lock_fd, os.getpid())
    return RunDir(path=path, boxes=boxes, lock_fd=lock_fd)


def _lock(path: Path) -> int:
    """The lock of the run directory, held. A predecessor that just ends takes the file away: try again."""
    for _ in range(100):
        try:
            lock_fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # the whole folder went with the predecessor
            _make(path, 0o755)
            continue
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock_fd), os.stat(path / "lock")):
                return lock_fd
        except BlockingIOError:
            pid = int((os.pread(lock_fd, 32, 0).split() or [b"0"])[0])
            os.close(lock_fd)
            raise AlreadyRunning(pid, str(path)) from None
        except FileNotFoundError:
            pass
        os.close(lock_fd)
    raise RunDirError(f"cannot lock {path}: its lock file keeps vanishing; is something cleaning it up?")


def write_pid(lock_fd: int, pid: int) -> None:
    """Note who holds the lock; a full file system only loses the note."""
    try:
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, f"{pid}\n".encode(), 0)
    except OSError:
        pass


def _make(path: Path, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode, exist_ok=True)
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode):
            raise RunDirError(f"{path} is not a folder; remove it or use another --run-dir")
        if info.st_uid != os.geteuid():
            raise RunDirError(f"{path} belongs to uid {info.st_uid}, not to us; use another --run-dir")
        path.chmod(mode)
    except OSError as error:
        raise RunDirError(f"cannot make {path}: {error.strerror}; use --run-dir=DIR") from None


def lock_holder(path: Path) -> int | None:
    """Pid that holds a flock on ``path`` (read from /proc/locks), or None when nobody does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return None
        inode = os.fstat(fd).st_ino
    finally:
        os.close(fd)
    with open("/proc/locks", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if "->" not in words and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
                return int(words[4])
    return 0


# --- PID files -------------------------------------------------------------------------------------


def pid_file_owner(path: Path) -> int | None:
    """The live daemon (keepalived or ours) that a PID file names, or None."""
    try:
        pid = int(path.read_text(encoding="ascii", errors="replace").split()[0])
        name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace").strip()
        state = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except (OSError, ValueError, IndexError):
        return None
    if pid == os.getpid() or state[0] in "ZX":
        return None
    return pid if name.startswith(("keepalived", "pyka-")) else None


def write_pid_file(path: Path | None, pid: int) -> str | None:
    """Write a PID file (mode 0644). Returns why it could not be written."""
    if path is None:
        return None
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w") as file:
            file.write(f"{pid}\n")
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def remove_pid_file(path: Path | None) -> None:
    if path is not None:
        try:
            path.unlink()
        except OSError:
            pass
