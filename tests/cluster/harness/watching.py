"""Every revision of a kind's objects, as the API server delivers them: what to wait on, and what to count."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One event of the watch: ADDED, MODIFIED or DELETED, and the object then."""

    type: str
    body: JsonObject

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])


class Watch:
    """A watch from a resourceVersion on: nothing that happens after its start is missed or merged."""

    def __init__(self, *, binary: Path, kubeconfig: Path, path: str) -> None:
        """`path`: of the collection, such as /apis/qbsync.dev/v1alpha1/namespaces/x/invoicesyncs."""
        command = [str(binary), f"--kubeconfig={kubeconfig}", "get", "--raw"]
        listed = subprocess.run([*command, f"{path}?limit=1"], capture_output=True, text=True, check=True)
        version = json.loads(listed.stdout)["metadata"]["resourceVersion"]
        self.events: list[Event] = []
        self.objects: dict[str, JsonObject] = {}
        """The newest of each that is alive, by name; only those that changed since the start."""
        self._grown = threading.Condition()
        self._process = subprocess.Popen(
            [*command, f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=7200"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"watch of {path}", daemon=True)
        self._reader.start()

    def until(self, check: Callable[[Mapping[str, JsonObject]], T], *, what: str, timeout: float = 60) -> T:
        """The first true answer of `check` to the objects by name. AssertionError if there is none in time."""
        deadline = time.monotonic() + timeout
        with self._grown:
            while not (answer := check(self.objects)):
                left = deadline - time.monotonic()
                assert left > 0, f"{what}: not within {timeout:.0f} s. {self.summary()}"
                assert self._reader.is_alive(), f"the watch ended before {what}"
                self._grown.wait(min(left, 1.0))
            return answer

    def object(
        self, name: str, check: Callable[[JsonObject], object], *, what: str, timeout: float = 60
    ) -> JsonObject:
        """One object, once `check` holds for it."""

        def found(objects: Mapping[str, JsonObject]) -> JsonObject | None:
            body = objects.get(name)
            return body if body is not None and check(body) else None

        body = self.until(found, what=f"{name}: {what}", timeout=timeout)
        assert body is not None
        return body

    def reason(self, name: str, *reasons: str, timeout: float = 60) -> JsonObject:
        """One object, once its Ready has one of these reasons."""
        return self.object(
            name,
            lambda body: ready(body).get("reason") in reasons,
            what=f"Ready for {reasons}",
            timeout=timeout,
        )

    def reasons(self, name: str) -> list[str]:
        """The reasons of Ready that one object went through, repetitions left out."""
        told: list[str] = []
        for event in tuple(self.events):
            reason = ready(event.body).get("reason")
            if event.name == name and reason is not None and told[-1:] != [reason]:
                told.append(reason)
        return told

    def modifications(self, name: str | None = None) -> list[Event]:
        """The writes to one object, or to all of them, after they were created."""
        return [
            event for event in tuple(self.events) if event.type == "MODIFIED" and name in (None, event.name)
        ]

    def summary(self) -> str:
        """Reasons of Ready and how many objects have them, for people."""
        counts: dict[str, int] = {}
        for body in self.objects.values():
            condition = ready(body)
            text = f"{condition.get('status', '-')}/{condition.get('reason', 'none yet')}"
            counts[text] = counts.get(text, 0) + 1
        messages = {
            ready(body).get("message")
            for body in self.objects.values()
            if ready(body).get("status") != "True"
        }
        return f"{counts}; {[text for text in messages if text][:5]}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            raw = json.loads(line)
            event = Event(raw["type"], raw["object"])
            with self._grown:
                self.events.append(event)
                if event.type == "DELETED":
                    self.objects.pop(event.name, None)
                elif event.type in {"ADDED", "MODIFIED"}:
                    self.objects[event.name] = event.body
                self._grown.notify_all()


def condition(body: Mapping[str, Any], type_: str) -> JsonObject:
    """A condition of an object; empty if it has none of that type."""
    conditions: list[JsonObject] = (body.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == type_), {})


def ready(body: Mapping[str, Any]) -> JsonObject:
    """The Ready condition of an object; empty if it has none."""
    return condition(body, "Ready")


def is_ready(body: Mapping[str, Any]) -> bool:
    """Ready is True, and about the generation that stands."""
    return (
        ready(body).get("status") == "True"
        and (body.get("status") or {}).get("observedGeneration") == body["metadata"]["generation"]
    )


def handled(request: str) -> Callable[[JsonObject], bool]:
    """A check: this value of requested-at is recorded as handled."""
    return lambda body: (body.get("status") or {}).get("lastHandledRequest") == request


def eventually(check: Callable[[], T], *, what: str, timeout: float = 60) -> T:
    """The first true answer of `check`, asked again and again: for what announces itself to nobody."""
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:.0f} s"
        time.sleep(0.05)
    return answer
