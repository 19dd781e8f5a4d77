"""The Python environment below .venv, with ``pykeepalived`` and the development tools in it.

A bare Debian's python3 has neither pip nor ensurepip; pip then runs from Debian's own wheel, out of
an unpacked package. Versions of development tools are pinned in constraints.txt.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.setup.common import CACHE, ROOT, VENV, SetupError, fingerprint, run, say, stamp, stamped, unstamp
from deploy.setup.debian import SYSTEM_STATUS, AptRoot, codename, debian_sources, fresh, unpack

OLDEST = (3, 11)
NEXT = (3, 15)
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
PYTHON = VENV / "bin/python"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def prepare() -> None:
    """Make or refresh .venv. Raises SetupError."""
    if not OLDEST <= sys.version_info[:2] < NEXT:
        raise SetupError(
            f"python3 is {platform.python_version()}, but pykeepalived needs 3.11 to 3.14: "
            "set PYTHON=/path/to/such/a/python3 and run this again"
        )
    mark = fingerprint([sys.version, (ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes()])
    if stamped(VENV, mark) and (VENV / "bin/pykeepalived").exists() and _works():
        return
    if not _works():
        say(f"making the Python environment {VENV}")
        shutil.rmtree(VENV, ignore_errors=True)
        what = "cannot make the Python environment"
        run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], what=what)
    unstamp(VENV)
    say("installing pykeepalived and the development tools into it (pip)")
    pip, env = _pip()
    _install(pip, env)
    stamp(VENV, mark)


def _works() -> bool:
    """True when .venv has an interpreter of our version that still runs from where it is."""
    code = "import sys; print(sys.prefix, *sys.version_info[:2])"
    try:
        done = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    major, minor = sys.version_info[:2]
    return done.stdout.strip() == f"{VENV} {major} {minor}"


def _install(pip: list[str], env: dict[str, str]) -> None:
    """pip's own words go to the terminal: it shows progress, and says best what it lacks."""
    command = [*pip, "install", "--no-warn-script-location", "--quiet",
               "--progress-bar", "off", "-c", str(CONSTRAINTS), "-e", f"{ROOT}[dev]"]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False, cwd=ROOT
    )
    if done.returncode:
        raise SetupError(
            "pip could not install the Python packages; its words are above. (It needs a package index: "
            "the public one, or one named in pip.conf or PIP_INDEX_URL.)"
        )


def _pip() -> tuple[list[str], dict[str, str]]:
    """(pip as a command line, variables it wants): from the environment, the system or a package."""
    env = {
        "PIP_CACHE_DIR": str(CACHE / "pip"),
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    have = subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True, check=False)
    if have.returncode == 0:
        return [str(PYTHON), "-m", "pip"], env
    if importlib.util.find_spec("ensurepip") is not None:
        done = subprocess.run([str(PYTHON), "-m", "ensurepip"], capture_output=True, check=False)
        if done.returncode == 0:
            return [str(PYTHON), "-m", "pip"], env
    wheels = CACHE / "pip-wheel"
    wheel = next(Path("/usr/share/python-wheels").glob("pip-*.whl"), None)
    if wheel is None:
        wheel = next(wheels.rglob("pip-*.whl"), None) if stamped(wheels, fingerprint([])) else None
    if wheel is None:
        wheel = _unpack_pip(wheels)
    bundle = wheels / "certificates.crt"
    if bundle.exists() and "PIP_CERT" not in os.environ and not CERTIFICATES.exists():
        env["PIP_CERT"] = str(bundle)
    # pip builds in a child process that must find pip as well: the environment gets its own copy.
    bootstrap = [str(PYTHON), str(wheel / "pip"), "install", "--no-index", str(wheel)]
    run(bootstrap, env=env, what=f"cannot put pip into {VENV}")
    return [str(PYTHON), "-m", "pip"], env


def _unpack_pip(wheels: Path) -> Path:
    """Debian's pip wheel, and the certificate authorities where the system has none."""
    release = codename()
    apt = AptRoot("system", debian_sources(release), SYSTEM_STATUS)
    packages = ["python3-pip-whl"] + ([] if CERTIFICATES.exists() else ["ca-certificates"])
    with fresh(wheels):
        unpack([file for file in apt.download(packages) if file.name.startswith(tuple(packages))], wheels)
        certificates = sorted((wheels / "usr/share/ca-certificates").rglob("*.crt"))
        if certificates:
            (wheels / "certificates.crt").write_text("".join(file.read_text() for file in certificates))
        wheel = next(wheels.rglob("pip-*.whl"), None)
        if wheel is None:
            raise SetupError("python3-pip-whl holds no pip wheel: install python3-venv and run this again")
        stamp(wheels, fingerprint([]))
    return wheel
