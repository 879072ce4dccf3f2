"""Bring what some tests need beside Python: Node with the SDKs of tests/sdk/node, Chromium for tests/browser, curl and
jq for the examples in docs/simulator.md.

Does nothing, and quickly, when all is there. As root on Debian it installs missing programs with apt-get, elsewhere
it says what to install: those tests are then skipped, but in continuous integration (CI is set) they fail.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = Path(__file__).resolve().parent.parent / "tests" / "sdk" / "node"
PROGRAMS = {"node": "nodejs", "npm": "npm", "chromium": "chromium", "curl": "curl", "jq": "jq"}
DEBIAN = Path("/etc/debian_version")


def main(packages: Path = PACKAGES) -> None:
    """Install what is missing, as far as it goes."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing and os.geteuid() == 0 and DEBIAN.exists():
        _apt_get([PROGRAMS[program] for program in missing])
        missing = [program for program in missing if shutil.which(program) is None]
    if missing:
        names = " ".join(PROGRAMS[program] for program in missing)
        print(
            f"testtools: {', '.join(missing)} not found: tests that need it are skipped. "
            f"To run them, install it (Debian: apt-get install {names})",
            flush=True,
        )
    if not {"node", "npm"} & set(missing):
        install(packages)


def install(packages: Path) -> None:
    """`npm ci`, unless exactly this lock was installed before."""
    stamp, wanted = packages / "node_modules" / ".installed", _fingerprint(packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("testtools: installing the Node SDKs that the simulator is tested with", flush=True)
    done = subprocess.run(["npm", "ci", "--loglevel=error"], cwd=packages, check=False)
    if done.returncode:
        print(f"testtools: npm ci failed with exit code {done.returncode} in {packages}", file=sys.stderr)
        return
    stamp.write_text(wanted)


def _fingerprint(packages: Path) -> str:
    return hashlib.sha256((packages / "package-lock.json").read_bytes()).hexdigest()


def _apt_get(names: list[str]) -> None:
    print(
        f"testtools: installing {', '.join(names)} with apt-get, for tests/sdk and tests/browser", flush=True
    )
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *names]):
        done = subprocess.run(["apt-get", "-qq", *command], env=quiet, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"testtools: apt-get {command[0]} failed with exit code {done.returncode}", file=sys.stderr)


if __name__ == "__main__":
    main()
