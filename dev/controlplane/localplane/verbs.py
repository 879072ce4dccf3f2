"""What `up` and `down` do."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from localplane import build, keeper, plane, recipe
from localplane.errors import ControlPlaneError, StartError
from localplane.folders import locked
from localplane.processes import Process
from localplane.progress import Ticker, say

# Longer than the keeper needs when each server has to be killed.
_STOP_SECONDS = 3 * keeper.STOP_SECONDS + 5


def up(root: Path, *, until_pid: int | None) -> Path:
    """Start a control plane in `root`, or find it running; returns its kubeconfig when it can be used.

    With `until_pid` it ends when that process ends, and its data go with it. Raises ControlPlaneError.
    """
    layout = plane.Layout(root)
    if _running(layout):
        return _told_running(layout)
    until = _process(until_pid) if until_pid is not None else None
    bin_folder = build.folder(recipe.UP)
    made_root = not root.exists()
    ticker = Ticker(every=3)
    with locked(layout.lock, lambda: ticker.tick("waiting for another `up` or `down`")) as lock:
        if _running(layout):
            return _told_running(layout)
        _kill_leftovers(layout)
        first = not layout.etcd.exists()
        began = time.monotonic()
        try:
            _start(layout, bin_folder=bin_folder, until=until, lock=lock, first=first, made_root=made_root)
        except BaseException:
            if first:
                layout.forget(root_too=made_root)
            raise
    say(f"ready in {time.monotonic() - began:.1f} s")
    return layout.kubeconfig


def down(root: Path) -> None:
    """Stop what `up` started in `root`; its data stay, unless it was tied to a process.

    Raises ControlPlaneError.
    """
    layout = plane.Layout(root)
    if not layout.lock.exists():
        say(f"nothing runs in {root}")
        return
    ticker = Ticker(every=3)
    with locked(layout.lock, lambda: ticker.tick("waiting for another `up` or `down`")):
        running = layout.read_pids().get("keeper")
        if running is None or not running.alive():
            say(f"nothing runs in {root}")
        else:
            running.signal(signal.SIGTERM)
            running.wait(_STOP_SECONDS)
            say(f"stopped what ran in {root}")
        _kill_leftovers(layout)


def _running(layout: plane.Layout) -> bool:
    running = layout.read_pids().get("keeper")
    return running is not None and running.alive() and layout.kubeconfig.exists()


def _told_running(layout: plane.Layout) -> Path:
    say(f"already running in {layout.root}")
    return layout.kubeconfig


def _process(pid: int) -> Process:
    process = Process.of(pid)
    if process is None:
        raise StartError(f"--until-pid: there is no process {pid}")
    return process


def _start(
    layout: plane.Layout,
    *,
    bin_folder: Path,
    until: Process | None,
    lock: int,
    first: bool,
    made_root: bool,
) -> None:
    """Start the keeper, hear how it went, and let it go on."""
    with _pipe() as (control, held), _pipe() as (heard, report):
        orders = keeper.Orders(
            root=layout.root,
            bin_folder=bin_folder,
            until=until,
            control=control.fileno(),
            report=report.fileno(),
            lock=lock,
            first=first,
            made_root=made_root,
        )
        process = _spawn(layout, orders)
        control.close()
        report.close()
        try:
            error = _hear(heard)
            if error is None:
                held.write(keeper.KEEP)
        except BaseException as failure:
            # This is what tells the keeper to undo everything.
            held.close()
            process.wait()
            if isinstance(failure, BrokenPipeError):
                raise StartError("the control plane did not start: its keeper has died") from failure
            raise
        if error is not None:
            process.wait()
            raise StartError(f"the control plane did not start: {error}")


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    readable, writable = os.pipe()
    with io.FileIO(readable, "r") as reader, io.FileIO(writable, "w") as writer:
        yield reader, writer


def _spawn(layout: plane.Layout, orders: keeper.Orders) -> subprocess.Popen[bytes]:
    layout.logs.mkdir(exist_ok=True)
    with layout.log("keeper").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(recipe.ROOT / "controlplane"), "_keep", orders.dump()],
            cwd=layout.root,
            pass_fds=(orders.control, orders.report, orders.lock),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _hear(stream: io.FileIO) -> str | None:
    """Wait for the keeper's report; None if all is well."""
    # One message, not to the end: the keeper holds its end open until it has been answered.
    heard = stream.read(1 << 20)
    if not heard:
        return "its keeper died without a word"
    message: dict[str, str] = json.loads(heard)
    return message.get("error")


def _kill_leftovers(layout: plane.Layout) -> None:
    """End a keeper that hangs, and what one left that was killed (on Linux the system does that)."""
    for name, process in layout.read_pids().items():
        process.signal(signal.SIGKILL)
        if not process.wait(5):
            raise ControlPlaneError(f"{name} (process {process.pid}) cannot be killed")
    layout.pids.unlink(missing_ok=True)
