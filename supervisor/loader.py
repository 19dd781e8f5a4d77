"""Reading the configuration in a forked, resource-limited child.

A crash, a hang or a memory bomb in parsing ends the child and nothing else. The child sends one
message: a manifest (what was found, in words) and one sealed memfd per role. The supervisor never
looks into a slice.
"""

from __future__ import annotations

import array
import hashlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bus import codec
from supervisor import fork
from supervisor.scheduling import ROLES, Scheduling
from worker.control import ControlError, make_slice, read_slice

if TYPE_CHECKING:
    from keepalived_conf.model import GlobalDefs

WALL_LIMIT_S = 20.0
CPU_LIMIT_S = 15
MEMORY_LIMIT_BYTES = 2 << 30
_MAX_FDS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One diagnostic, ready to be shown: nothing of the configuration's secrets is in it."""

    severity: str
    code: str
    place: str
    text: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What the loader found out, without the model itself."""

    fatal: bool
    exit_status: int
    findings: tuple[Finding, ...] = ()
    roles: tuple[str, ...] = ()
    """Roles that have something to do (and ``hooks``), in the order of the fds that come along."""
    capabilities: dict[str, str] = field(default_factory=dict)
    """role -> further capabilities its slice needs, separated by blanks."""
    records: dict[str, int] = field(default_factory=dict)
    """role -> records its black box must hold."""
    child_wait_time_s: float = 5.0
    digests: dict[str, str] = field(default_factory=dict)
    """role -> SHA-256 of its slice: who has nothing new is not disturbed."""
    log_format: str = ""
    """What the configuration says of the format of records; empty: nothing."""
    scheduling: dict[str, Scheduling] = field(default_factory=dict)
    """role -> how the kernel is to schedule it."""
    hooks: dict[str, float] = field(default_factory=dict)
    """startup, shutdown -> time limit (s) of the script, as far as there is one; ``hooks`` is their slice."""
    summary: str = ""


@dataclass(kw_only=True, slots=True)
class Loaded:
    """A manifest with the slices (role -> memfd). Whoever drops it closes the descriptors."""

    manifest: Manifest
    slices: dict[str, int]

    def close(self) -> None:
        for fd in self.slices.values():
            os.close(fd)
        self.slices.clear()


def load_here(
    path: str, config_id: str | None, *, all_config: bool = False, umask: int | None = None
) -> tuple[Manifest, dict[str, bytes]]:
    """Load in this process: (manifest, role -> encoded slice). ``umask``: of the command line, it wins."""
    from keepalived_conf import loading as conf
    from keepalived_conf.diagnostics import render
    from keepalived_conf.model import CheckerSlice, ScriptSlice
    from keepalived_conf.tools.check import EFFECT_CODES, judged

    result = conf.load(path, config_id=config_id, all_config=all_config)
    config = result.config
    if umask is not None:
        config = replace(config, globals=replace(config.globals, umask=umask))
    findings = tuple(
        Finding(
            severity=str(item.severity),
            code=str(item.code),
            place=str(item.place) if item.place else path,
            text=render(item, result.sources.get),
            message=f"{item.message} ({item.hint})" if item.hint else item.message,
        )
        # What has no effect keeps its own severity: a file is none the worse for it, but a service that
        # relies on it is.
        for item in (
            one if one.code in EFFECT_CODES else judged(one) for one in result.diagnostics if not one.implied
        )
    )
    found = {} if result.fatal else conf.slices(config)
    capabilities: dict[str, str] = {}
    records = {"vrrp": len(config.vrrp_instances)}
    checks = found.get("checker")
    if isinstance(checks, CheckerSlice):
        from checker_proc.process import required_capabilities, required_records

        capabilities["checker"] = " ".join(sorted(required_capabilities(checks)))
        records["checker"] = required_records(checks)
    scripts = found.get("script")
    if isinstance(scripts, ScriptSlice):
        from script_proc import process as script

        capabilities["script"] = " ".join(sorted(script.required_capabilities(scripts)))
        records["script"] = script.required_records(scripts)
    slices = {role: codec.dumps(slice_) for role, slice_ in found.items()}
    hooks = {} if result.fatal else _hooks(config.globals)
    if hooks:
        slices["hooks"] = codec.dumps(ScriptSlice(globals=config.globals))
    manifest = Manifest(
        fatal=result.fatal,
        exit_status=conf.exit_status(result),
        findings=findings,
        roles=tuple(sorted(slices)),
        digests={role: digest(data) for role, data in slices.items()},
        records=records,
        capabilities=capabilities,
        child_wait_time_s=config.globals.child_wait_time_s,
        log_format=config.globals.log_format or "",
        scheduling=_scheduling(config.globals),
        hooks=hooks,
        summary=f"{len(config.vrrp_instances)} VRRP instances, {len(config.virtual_servers)} virtual servers",
    )
    return manifest, slices


def _hooks(settings: GlobalDefs) -> dict[str, float]:
    scripts = {
        "startup": (settings.startup_script, settings.startup_script_timeout_s),
        "shutdown": (settings.shutdown_script, settings.shutdown_script_timeout_s),
    }
    return {name: float(limit_s) for name, (script, limit_s) in scripts.items() if script is not None}


def _scheduling(settings: GlobalDefs) -> dict[str, Scheduling]:
    return {
        role: Scheduling(
            nice=getattr(settings, f"{prefix}_priority"),
            preferred=role == "vrrp" and settings.vrrp_priority is None and settings.vrrp_rt_priority is None,
            rt_priority=getattr(settings, f"{prefix}_rt_priority"),
            rlimit_rttime_us=getattr(settings, f"{prefix}_rlimit_rttime_us"),
            cpus=getattr(settings, f"{prefix}_cpu_affinity"),
        )
        for role, prefix in ROLES.items()
    }


def digest(data: bytes) -> str:
    """What tells one slice from another."""
    return hashlib.sha256(data).hexdigest()


class Loader:
    """One run of the loader child."""

    def __init__(
        self,
        path: str,
        config_id: str | None,
        *,
        all_config: bool = False,
        umask: int | None = None,
        fault: str = "",
    ) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)

        def body() -> None:
            _limit()
            if fault:
                _misbehave(fault)
            _send(theirs, *load_here(path, config_id, all_config=all_config, umask=umask))

        self.pid = fork.fork_child(
            body, keep_fds=[theirs.fileno(), *_log_fds()], role="loader", ignore_stops=False
        )
        theirs.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def result(self) -> Loaded | None:
        """What the child sent; None when it ended without a word. BlockingIOError: not yet."""
        data, ancillary, _, _ = self._sock.recvmsg(
            64, socket.CMSG_SPACE(_MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        )
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        if not data or not fds:
            return None
        try:
            manifest = codec.loads(Manifest, read_slice(fds[0]))
        except (ControlError, codec.CodecError):
            for fd in fds:
                os.close(fd)
            return None
        os.close(fds[0])
        return Loaded(manifest=manifest, slices=dict(zip(manifest.roles, fds[1:], strict=True)))

    def close(self) -> None:
        self._sock.close()


def _log_fds() -> list[int]:
    from worker import log

    return log.sink.descriptors()


def _limit() -> None:
    def cap(what: int, limit: int) -> None:
        _, hard = resource.getrlimit(what)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, limit))

    cap(resource.RLIMIT_CPU, CPU_LIMIT_S)
    cap(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    cap(resource.RLIMIT_CORE, 0)


def _misbehave(fault: str) -> None:
    """Fault hooks of the project's own tests: what a parser with a fault would do."""
    if fault == "hang":
        signal.pause()
    elif fault == "crash":
        signal.raise_signal(signal.SIGSEGV)
    elif fault == "spin":
        while True:
            pass
    elif fault == "eat":
        eaten = []
        while True:
            eaten.append(bytearray(1 << 26))


def _send(sock: socket.socket, manifest: Manifest, slices: dict[str, bytes]) -> None:
    fds = [make_slice("manifest", codec.dumps(manifest))]
    fds += [make_slice(f"slice.{role}", slices[role]) for role in manifest.roles]
    sock.setblocking(True)
    sock.sendmsg([b"loaded"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def empty_slices() -> dict[str, Callable[[], Any]]:
    """Role -> maker of a slice with nothing in it, for workers that --all starts."""
    from keepalived_conf.model import CheckerSlice, GlobalDefs, IpvsSlice, ScriptSlice, VrrpSlice

    return {
        "vrrp": lambda: VrrpSlice(globals=GlobalDefs(), instances=()),
        "checker": lambda: CheckerSlice(globals=GlobalDefs(), checks=()),
        "ipvs": lambda: IpvsSlice(globals=GlobalDefs(), virtual_servers=()),
        "script": lambda: ScriptSlice(globals=GlobalDefs()),
    }
