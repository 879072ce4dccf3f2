"""The process behind one control plane: it starts the servers, and ends with them.

The servers are its children, and are killed by the system if it is killed. `up` starts it, hears from it
through a pipe, and holds another pipe that says that `up` still wants it: when `up` is killed before it has
said `KEEP`, everything ends, and what was made is removed.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from localplane import plane
from localplane.errors import StartError
from localplane.processes import EndOf, Process, die_with_parent

KEEP = b"keep"
START_SECONDS = 120.0
STOP_SECONDS = 5.0
"""For each server, before it is killed."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What `up` tells its keeper."""

    root: Path
    bin_folder: Path
    until: Process | None
    control: int
    """The read end of the pipe that `up` holds."""
    report: int
    """The write end of the pipe that `up` reads: one JSON object, `{}` or `{"error": …}`."""
    lock: int
    """Held until the start has succeeded or everything is cleaned up."""
    first: bool
    """Whether no earlier start left data here: then a failed one leaves nothing either."""
    made_root: bool
    """Whether `up` made the folder itself."""

    def dump(self) -> str:
        """As text, for the keeper's command line."""
        until = self.until.dump() if self.until else None
        return json.dumps(
            {
                "root": str(self.root),
                "bin_folder": str(self.bin_folder),
                "until": until,
                "control": self.control,
                "report": self.report,
                "lock": self.lock,
                "first": self.first,
                "made_root": self.made_root,
            }
        )

    @classmethod
    def load(cls, text: str) -> Self:
        """The inverse of `dump`."""
        raw = json.loads(text)
        raw["root"], raw["bin_folder"] = Path(raw["root"]), Path(raw["bin_folder"])
        raw["until"] = Process.load(raw["until"]) if raw["until"] else None
        return cls(**raw)


class _Stop(Exception):
    """Time to end; the message says why."""


def keep(orders: Orders) -> int:
    """Run one control plane until something ends it. Returns the exit code."""
    keeper = _Keeper(orders)
    try:
        keeper.start()
    except Exception as error:  # whatever it was: nothing may be left, and `up` is to hear of it
        return keeper.give_up(error)
    try:
        keeper.wait()
    except _Stop as reason:
        _log(str(reason))
    keeper.stop()
    return 0


class _Keeper:
    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._layout = plane.Layout(orders.root)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._until = EndOf(orders.until) if orders.until else None
        self._wakeup = _wake_on_signals()
        self._terminated = False
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self) -> None:
        """Start everything, wait until it can be used, tell `up`, and wait for its word."""
        layout = self._layout
        layout.pki.mkdir(mode=0o700, exist_ok=True)
        if not (layout.pki / "service-account.key").exists():
            self._make_keys()
        credentials = plane.read_credentials(layout)
        with plane.reserved_ports(layout) as ports:
            authority, port = layout.pki / "ca.crt", ports["kube-apiserver"]
            plane.write_kubeconfig(
                layout.manager_kubeconfig,
                port=port,
                authority=authority,
                user="manager",
                token=credentials.manager,
            )
            commands = plane.commands(layout, ports, self._orders.bin_folder)
            probe = plane.Probe(layout, ports, credentials.admin)
            self._spawn("etcd", commands["etcd"])
            self._spawn("kube-apiserver", commands["kube-apiserver"])
            self._await(probe.missing_apiserver)
            # Only now: it gives up when it finds no API server within 10 s.
            self._spawn("kube-controller-manager", commands["kube-controller-manager"])
            self._await(probe.missing)
        plane.write_kubeconfig(
            layout.kubeconfig, port=port, authority=authority, user="admin", token=credentials.admin
        )
        self._report({})
        if os.read(self._orders.control, len(KEEP)) != KEEP:
            raise _Stop("`up` ended before it took over")
        for descriptor in (self._orders.control, self._orders.report, self._orders.lock):
            os.close(descriptor)

    def wait(self) -> None:
        """Until a server ends, the process that this one is tied to ends, or SIGTERM. Raises _Stop."""
        descriptors = [self._wakeup]
        pause: float | None = None
        if self._until is not None:
            descriptor = self._until.descriptor()
            if descriptor is None:
                pause = 0.5
            else:
                descriptors.append(descriptor)
        while True:
            self._check()
            if self._wakeup in select.select(descriptors, [], [], pause)[0]:
                os.read(self._wakeup, 512)

    def give_up(self, error: Exception) -> int:
        """The start failed: end it all, remove what was made, and tell `up` why."""
        told = (str(error) or repr(error)) + self._tail()
        self._kill()
        self._layout.pids.unlink(missing_ok=True)
        if self._orders.first:
            self._layout.forget(root_too=self._orders.made_root)
        with contextlib.suppress(OSError):
            self._report({"error": told})
        return 1

    def stop(self) -> None:
        """End the servers: in order if their data are kept, at once if not."""
        if self._orders.until is None:
            for name in reversed(plane.SERVERS):
                _terminate(self._children[name])
        self._kill()
        if self._orders.until is not None:
            self._remove_data()
        self._layout.pids.unlink(missing_ok=True)

    def _make_keys(self) -> None:
        command = [str(self._orders.bin_folder / "pki"), str(self._layout.pki)]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)

    def _spawn(self, name: str, command: list[str]) -> None:
        keeper = os.getpid()
        # Not the caller's environment: ETCD_* variables, for one, are flags to etcd.
        environ = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "TZ") if key in os.environ}
        with self._layout.log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                cwd=self._orders.root,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(keeper),  # noqa: PLW1509 - no threads here
            )
        pids = {"keeper": os.getpid()} | {key: child.pid for key, child in self._children.items()}
        found = {key: Process.of(pid) for key, pid in pids.items()}
        self._layout.write_pids({key: process for key, process in found.items() if process})

    def _await(self, ask: Callable[[], str | None]) -> None:
        """Until nothing is missing any more, `up` gives up, or it takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while missing := ask():
            self._check()
            if select.select([self._orders.control], [], [], 0.05)[0]:
                raise _Stop("`up` ended before the control plane was ready")
            if time.monotonic() > deadline:
                raise StartError(f"not ready after {START_SECONDS:.0f} s: no answer from {missing}")

    def _check(self) -> None:
        for name, child in self._children.items():
            if child.poll() is not None:
                raise _Stop(f"{name} ended by itself (exit code {child.returncode})")
        if self._terminated:
            raise _Stop("told to stop")
        if self._until is not None and self._until.reached():
            raise _Stop("the process that it was tied to has ended")

    def _tail(self) -> str:
        """The last words of the servers that ended, or of all if all run."""
        ended = [name for name, child in self._children.items() if child.poll() is not None]
        tails = []
        for name in ended or list(self._children):
            with contextlib.suppress(OSError):
                lines = self._layout.log(name).read_text(errors="replace").splitlines()[-20:]
                tails.append(f"\n--- {name}, its last lines:\n" + "\n".join(lines)[-4000:])
        return "".join(tails)

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()

    def _remove_data(self) -> None:
        shutil.rmtree(self._layout.etcd, ignore_errors=True)
        shutil.rmtree(self._layout.pki, ignore_errors=True)
        self._layout.kubeconfig.unlink(missing_ok=True)

    def _report(self, message: dict[str, str]) -> None:
        os.write(self._orders.report, json.dumps(message).encode())

    def _on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True


def _wake_on_signals() -> int:
    """A descriptor that becomes readable when a signal arrives, so that none is missed before a select."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _terminate(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)


def _log(message: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), message, file=sys.stderr, flush=True)
