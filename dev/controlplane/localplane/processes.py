"""Processes that are known by more than their number, which the system gives to others later."""

import contextlib
import ctypes
import os
import platform
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LINUX = platform.system() == "Linux"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Process:
    """One run of one process: its number, and when it started in the system's own words."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this number now; None if there is none (or only its zombie)."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def load(cls, raw: Mapping[str, object]) -> Self:
        """The inverse of `dump`."""
        return cls(int(str(raw["pid"])), str(raw["started"]))

    def dump(self) -> dict[str, object]:
        """As JSON."""
        return {"pid": self.pid, "started": self.started}

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if this very process still runs."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; whether it has ended. It need not be a child."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True


class EndOf:
    """The end of another process, as something to select on; where that is not to be had, to ask for."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._descriptor: int | None = None
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._descriptor = os.pidfd_open(process.pid)

    def descriptor(self) -> int | None:
        """Readable when the process has ended; None where the system has no such thing."""
        return self._descriptor

    def reached(self) -> bool:
        """Whether it has ended."""
        if self._descriptor is not None and select.select([self._descriptor], [], [], 0)[0]:
            return True
        return not self._process.alive()


def die_with_parent(parent: int) -> None:
    """In a new child: be killed when the parent's main thread ends, however it ends (Linux only)."""
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _started(pid: int) -> str | None:
    if not _LINUX:
        return _started_elsewhere(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # proc(5): the fields after the name, which may hold spaces and brackets itself; state is the 3rd field of
    # the file, starttime (in clock ticks since boot) the 22nd.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    state, _, started = answer.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
