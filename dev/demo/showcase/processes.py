"""The demo's child processes: they end with it, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from showcase.errors import DemoError

# Becomes the command, with the same process id, once the system has been told to kill it with the demo (Linux).
_TIED = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A process of the demo's own, with its output in files. A Ctrl-C at the terminal does not reach it."""

    def __init__(
        self, name: str, command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.output, self.log = folder / f"{name}.out", folder / f"{name}.log"
        with self.output.open("wb") as output, self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _TIED, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                # What a killed process leaves behind goes with the folder.
                env={**os.environ, "TMPDIR": str(folder), **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def first_line(self, *, seconds: float = 60) -> str:
        """The first line that it prints. Raises `DemoError`."""
        return self._await(lambda: _first_line(self.output), "said that it is ready", seconds)

    def log_line(self, text: str, *, seconds: float = 60) -> str:
        """The first line of its log with `text` in it. Raises `DemoError`."""
        return self._await(lambda: _line_with(self.log, text), f"logged {text}", seconds)

    def kill(self) -> None:
        """End it without a word, as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self, *, seconds: float) -> None:
        """Ask it to end; after `seconds`, end it."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        if self.running:
            self.kill()

    def _await(self, look: Callable[[], str], what: str, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while not (line := look()):
            if not self.running or time.monotonic() > deadline:
                why = "ended before it" if not self.running else f"has not, in {seconds:.0f} s,"
                raise DemoError(f"the {self.name} {why} {what}. The end of {self.log}:\n{self.tail()}")
            time.sleep(0.05)
        return line

    def tail(self, count: int = 12) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


class Stopwatch(threading.Thread):
    """Calls `tick` with the seconds gone by, once a second, until it is left: progress where none shows itself."""

    def __init__(self, tick: Callable[[int], None]) -> None:
        super().__init__(daemon=True)
        self._tick, self._left = tick, threading.Event()

    def __enter__(self) -> "Stopwatch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self.join()

    def run(self) -> None:
        started = time.monotonic()
        while not self._left.wait(1):
            self._tick(round(time.monotonic() - started))


def _first_line(path: Path) -> str:
    line, newline, _ = path.read_text(errors="replace").partition("\n")
    return line if newline else ""


def _line_with(path: Path, text: str) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return next((line for line in lines if text in line), "")
