"""The last requests, for the door: never a token, never a body."""

from typing import Any

from qbsync.simulator.responses import Outcome, Reset, Truncated
from qbsync.simulator.world import World

Entry = dict[str, Any]


def begin(world: World, *, operation: str, method: str, path: str, tid: str, **more: object) -> Entry:
    """Note a request that has arrived; `end` completes the entry."""
    entry: Entry = {
        "number": next(world.request_numbers),
        "time": world.clock.now().isoformat(timespec="milliseconds"),
        "operation": operation,
        "method": method,
        "path": path,
        "intuitTid": tid,
        **more,
        "status": None,
    }
    world.counters.requests[operation] += 1
    world.requests.append(entry)
    return entry


def end(entry: Entry, outcome: Outcome, *, seconds: float) -> None:
    """Note what became of it, as the client saw it."""
    entry["seconds"] = round(seconds, 4)
    if isinstance(outcome, Reset):
        entry["outcome"] = "reset"
        return
    truncated = isinstance(outcome, Truncated)
    answer = outcome.answer if isinstance(outcome, Truncated) else outcome
    entry.update(outcome="truncated" if truncated else "answered", status=answer.status, code=answer.code)
