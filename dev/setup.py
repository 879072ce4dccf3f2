"""Make .venv with exactly the locked dependencies and the `qbsync` command. Needs nothing but Python."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
NEEDED = (3, 11)


def main() -> None:
    """Build the environment anew, or bring it up to date."""
    if sys.version_info < NEEDED:
        sys.exit(
            f"qbsync needs Python {'.'.join(map(str, NEEDED))} or newer, this is {sys.version.split()[0]}"
        )
    python = VENV / "bin" / "python"
    if not python.exists():
        _create()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    print("setup: installing the locked dependencies", flush=True)
    _run(*pip, "--require-hashes", "-r", str(ROOT / "requirements-dev.lock"))
    _run(*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def _create() -> None:
    print(f"setup: making {VENV}", flush=True)
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, ImportError):
        # Debian ships venv without ensurepip; the system's own pip can fill the environment as well.
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=False)
        if subprocess.run(
            [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
        ).returncode:
            sys.exit("setup: this Python has neither ensurepip nor pip: install python3-venv or python3-pip")
        _run(
            sys.executable, "-m", "pip", "--python", str(VENV / "bin" / "python"), "install", "--quiet", "pip"
        )


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        sys.exit(f"setup: failed with exit code {done.returncode}: {' '.join(command)}")


if __name__ == "__main__":
    main()
