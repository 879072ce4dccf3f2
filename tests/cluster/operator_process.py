"""`qbsync operator` as a process: started with a kubeconfig, followed by its log, asked to end or killed."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families

COMMAND = Path(sys.executable).with_name("qbsync")
MASTER_KEY = "base64:" + base64.b64encode(b"the master key of all our tests!").decode()
SCALED = ("--quickbooks-server-timeout", "3s", "--lease-duration", "3s")
"""QuickBooks' 120 s and the lease's 15 s, scaled down; the simulator gets `--server-timeout 3s` likewise."""

# The same process id after the exec, killed with whoever started it, also when that is killed (Linux).
_TIED = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Scrape:
    """One answer of `/metrics`."""

    text: str

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 if there is none. A counter's name ends in `_total`."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def names(self) -> set[str]:
        """Every metric family, as in `# TYPE`; without a counter's `_total`."""
        return {family.name for family in text_string_to_metric_families(self.text)}


class RunningOperator:
    """One operator process. Leaving the `with` block kills it."""

    def __init__(
        self,
        *,
        kubeconfig: Path,
        log_file: Path,
        flags: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        """Start it. `environment` adds to, or with None removes from, this process's own."""
        chosen: dict[str, str | None] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QBSYNC_")},
            "KUBECONFIG": str(kubeconfig),
            "ENCRYPTION_MASTER_KEY": MASTER_KEY,
            **(environment or {}),
        }
        self.log_file = log_file
        self.lines: list[dict[str, Any]] = []
        """What it logged; a line that is no JSON is `{"raw": …}`."""
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", _TIED, str(os.getpid()), str(COMMAND), "operator", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in chosen.items() if value is not None},
        )
        self._reader = threading.Thread(target=self._read, name="operator log", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- its log -------------------------------------------------------------------------------------------

    def await_line(
        self, check: Callable[[dict[str, Any]], bool], *, what: str, timeout: float = 60
    ) -> dict[str, Any]:
        """The first log line for which `check` holds. AssertionError if it ends, or never says so."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._grown:
            while True:
                for line in self.lines[seen:]:
                    if check(line):
                        return line
                seen = len(self.lines)
                ended = not self._reader.is_alive()
                left = deadline - time.monotonic()
                assert not ended, f"the operator ended before {what}:\n{self.tail()}"
                assert left > 0, f"{what}: not within {timeout:.0f} s:\n{self.tail()}"
                self._grown.wait(min(left, 1.0))

    def await_message(self, message: str, *, timeout: float = 60, **fields: Any) -> dict[str, Any]:
        """The first log line with this message and these fields."""
        wanted = {"message": message, **fields}
        return self.await_line(
            lambda line: wanted.items() <= {name: line.get(name) for name in wanted}.items(),
            what=f"it logged {message!r}",
            timeout=timeout,
        )

    def leads(self, *, timeout: float = 60) -> Self:
        """Wait until it is the leader."""
        self.await_message("leading", timeout=timeout)
        return self

    @property
    def started(self) -> dict[str, Any]:
        """Its start log."""
        return self.await_message("started")

    def tail(self, count: int = 40) -> str:
        """The last lines, for people."""
        return "\n".join(json.dumps(line) for line in self.lines[-count:])

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.log_file.open("a") as file:
            for text in self.process.stderr:
                file.write(text)
                file.flush()
                with self._grown:
                    self.lines.append(_parse(text))
                    self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    # -- its probes ----------------------------------------------------------------------------------------

    def get(self, path: str) -> httpx2.Response:
        """GET from the address in its start log."""
        return httpx2.get(f"http://{self.started['listen']}{path}", timeout=20, trust_env=False)

    def metrics(self) -> Scrape:
        """What Prometheus would read now."""
        answer = self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return Scrape(answer.text)

    # -- its end -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: no drain, no word. Returns when it is gone."""
        self._end(signal.SIGKILL, timeout=30)

    def terminate(self, *, timeout: float = 60) -> int:
        """SIGTERM, as Kubernetes does; its exit code. AssertionError if it does not end in time."""
        return self._end(signal.SIGTERM, timeout=timeout)

    def ask_to_end(self) -> None:
        """SIGTERM without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, *, timeout: float = 60) -> int:
        """Its exit code once it has ended. AssertionError if it does not in time."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the operator still runs after {timeout:.0f} s:\n{self.tail()}") from None
        self._reader.join(10)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def _end(self, number: signal.Signals, *, timeout: float) -> int:
        if self.running:
            self.process.send_signal(number)
        return self.wait(timeout=timeout)


def _parse(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return {"raw": text}
    return line if isinstance(line, dict) else {"raw": text}
