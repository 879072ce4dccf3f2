"""Gives a folder that holds the wanted programs, building those that no cache has yet."""

import collections
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from localplane import recipe, toolchain
from localplane.errors import BuildError
from localplane.folders import cache_folder, locked
from localplane.processes import die_with_parent
from localplane.progress import Ticker, say

_PARTIAL = ".partial-"


def folder(names: Sequence[str]) -> Path:
    """The folder that holds the programs `names`, and perhaps others. Raises BuildError.

    Looks in $KUBEBUILDER_ASSETS, then in the per-user cache, then builds. What is there costs nothing.
    """
    unknown = [name for name in names if name not in recipe.TOOLS]
    if unknown:
        raise BuildError(f"no such tool: {', '.join(unknown)}; there are {', '.join(recipe.TOOLS)}")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return _with_assets(Path(assets).absolute(), names) if assets else _cached(names)


def _with_assets(assets: Path, names: Sequence[str]) -> Path:
    """`assets` itself if it has everything, else a folder that joins what it has with what is built."""
    missing = _missing(assets, names)
    if not missing:
        return assets
    built = _cached(missing)
    joined = built.with_name("bin-" + hashlib.sha256(os.fsencode(assets)).hexdigest()[:16])
    joined.mkdir(exist_ok=True)
    for name in names:
        source = built if name in missing else assets
        link = joined / f".{name}-{os.getpid()}"
        link.symlink_to(source / name)
        link.replace(joined / name)
    return joined


def _cached(names: Sequence[str]) -> Path:
    cache = cache_folder()
    target = cache / recipe.key() / "bin"
    if not _missing(target, names):
        return target
    ticker = Ticker(every=3)
    with locked(cache / "build.lock", lambda: ticker.tick("waiting for another build to end")):
        missing = _missing(target, names)
        if missing:
            _build(target, missing, cache)
    return target


def _missing(where: Path, names: Iterable[str]) -> list[str]:
    return [name for name in names if not os.access(where / name, os.X_OK)]


def _build(target: Path, names: Sequence[str], cache: Path) -> None:
    """Build `names`, and move each into `target` when all of its module are done."""
    go = toolchain.find(cache)
    say(f"building {', '.join(names)} with {go.go}")
    say("this takes some minutes, once; later calls find them in the cache")
    target.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    ticker = Ticker()
    for module in recipe.modules():
        tools = [recipe.TOOLS[name] for name in names if recipe.TOOLS[name].module == module]
        if tools:
            _build_module(go, module, tools, target=target, ticker=ticker)
    say(f"built in {ticker.elapsed()} min")


def _build_module(
    go: toolchain.Toolchain,
    module: recipe.Module,
    tools: Sequence[recipe.Tool],
    *,
    target: Path,
    ticker: Ticker,
) -> None:
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
    packages = [tool.package for tool in tools]
    flags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", module.ldflags]
    try:
        _run_go(
            [go.go, "build", "-v", *flags, "-o", f"{partial}{os.sep}", *packages],
            cwd=module.path,
            environ=dict(go.environ),
            ticker=ticker,
            label="building " + ", ".join(tool.name for tool in tools),
        )
        for tool in tools:
            (partial / tool.built).replace(target / tool.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run_go(
    command: Sequence[str], *, cwd: Path, environ: dict[str, str], ticker: Ticker, label: str
) -> None:
    """Run a verbose `go build`, turning the package names that it prints into progress lines."""
    parent = os.getpid()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - no threads yet
    )
    output = _Output(process)
    try:
        while output.running(0.5):
            ticker.tick(f"{label}: {output.state()}")
    except BaseException:
        process.terminate()
        raise
    finally:
        process.wait()
    if process.returncode != 0:
        raise BuildError(f"go build failed in {cwd}:\n{output.problems()}")


class _Output:
    """Reads what `go build -v` prints: downloads, names of packages compiled, and complaints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._compiled = self._fetched = 0
        self._complaints: collections.deque[str] = collections.deque(maxlen=40)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def running(self, seconds: float) -> bool:
        """Wait up to `seconds`; whether there is more to come."""
        self._reader.join(seconds)
        return self._reader.is_alive()

    def state(self) -> str:
        if self._compiled:
            return f"{self._compiled} packages compiled"
        return f"{self._fetched} modules fetched" if self._fetched else "looking at what is there"

    def problems(self) -> str:
        return "\n".join(self._complaints)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for raw in self._process.stderr:
            line = raw.rstrip()
            if line.startswith("go: downloading "):
                self._fetched += 1
            elif " " not in line and not line.startswith("#"):
                self._compiled += 1
            else:
                self._complaints.append(line)
