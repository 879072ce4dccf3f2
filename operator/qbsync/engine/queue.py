"""The delayed work queue: which keys are due, company by company.

Timers live here and nowhere else: a due time comes from status, so a restart continues the schedule.
A key is in work at most once; what arrives for it meanwhile brings it back afterwards.
"""

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key

_Lane = tuple[Company, Kind]
NOW = timedelta()
_SHORTEST_SLEEP = timedelta(milliseconds=1)
"""Rounding may leave a due time a hair in the future: no busy loop for that."""


@dataclass(slots=True)
class _Entry:
    company: Company
    due: float
    cancelled: bool = False


@dataclass(slots=True)
class WorkQueue:
    """Keys with due times. `run` moves what is due to its company's lane and calls `on_due`."""

    clock: Clock
    on_due: Callable[[Company, Kind], None]
    _delayed: dict[Key, _Entry] = field(default_factory=dict)
    _heap: list[tuple[float, int, Key, _Entry]] = field(default_factory=list)
    _lanes: dict[_Lane, OrderedDict[Key, float]] = field(default_factory=dict)
    _in_work: set[Key] = field(default_factory=set)
    _again: dict[Key, _Entry] = field(default_factory=dict)
    _tickets: "itertools.count[int]" = field(default_factory=itertools.count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, company: Company, key: Key, *, delay: timedelta = NOW) -> None:
        """Make `key` due after `delay`, or earlier if it already is."""
        entry = _Entry(company, self.clock.monotonic() + max(delay, NOW).total_seconds())
        if key in self._in_work:
            if key not in self._again or entry.due < self._again[key].due:
                self._again[key] = entry
            return
        if key in self._lanes.get((company, key.kind), ()):
            return
        self._schedule(key, entry)

    def take(self, company: Company, kind: Kind, limit: int) -> list[Key]:
        """Up to `limit` due keys of a company, longest waiting first; they are in work until `done`."""
        lane = self._lanes.get((company, kind))
        if lane is None:
            return []
        taken = [lane.popitem(last=False)[0] for _ in range(min(limit, len(lane)))]
        if not lane:
            del self._lanes[company, kind]
        self._in_work.update(taken)
        return taken

    def done(self, company: Company, key: Key, *, again: timedelta | None = None) -> None:
        """End the work on a key; `again` says when it is due next, if ever."""
        self._in_work.discard(key)
        waiting = self._again.pop(key, None)
        if waiting is not None:
            self._schedule(key, waiting)
        if again is not None:
            self.add(company, key, delay=again)

    def forget(self, key: Key) -> None:
        """Drop a key that is gone, wherever it waits."""
        entry = self._delayed.pop(key, None)
        if entry is not None:
            entry.cancelled = True
        self._again.pop(key, None)
        for place, lane in tuple(self._lanes.items()):
            if lane.pop(key, None) is not None and not lane:
                del self._lanes[place]

    @property
    def in_work(self) -> int:
        """How many keys are being worked on."""
        return len(self._in_work)

    def depth(self, company: Company, kind: Kind) -> int:
        """How many keys of a company are due and wait."""
        return len(self._lanes.get((company, kind), ()))

    def oldest(self, company: Company, kind: Kind) -> timedelta:
        """How long the first of them has been waiting."""
        lane = self._lanes.get((company, kind))
        if not lane:
            return NOW
        return timedelta(seconds=self.clock.monotonic() - next(iter(lane.values())))

    async def run(self) -> None:
        """Keep time, until cancelled."""
        while True:
            self._changed.clear()
            self._release_due()
            await self._until_next()

    def _schedule(self, key: Key, entry: _Entry) -> None:
        known = self._delayed.get(key)
        if known is not None:
            if known.due <= entry.due:
                return
            known.cancelled = True
        if entry.due <= self.clock.monotonic():
            self._delayed.pop(key, None)
            self._to_lane(key, entry)
            return
        self._delayed[key] = entry
        heapq.heappush(self._heap, (entry.due, next(self._tickets), key, entry))
        if self._heap[0][3] is entry:
            self._changed.set()

    def _to_lane(self, key: Key, entry: _Entry) -> None:
        self._lanes.setdefault((entry.company, key.kind), OrderedDict()).setdefault(key, entry.due)
        self.on_due(entry.company, key.kind)

    def _release_due(self) -> None:
        now = self.clock.monotonic()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][3].cancelled):
            _, _, key, entry = heapq.heappop(self._heap)
            if not entry.cancelled:
                del self._delayed[key]
                self._to_lane(key, entry)

    async def _until_next(self) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waits: set[asyncio.Future[Any]] = {changed}
        if self._heap:
            pause = timedelta(seconds=self._heap[0][0] - self.clock.monotonic())
            waits.add(asyncio.ensure_future(self.clock.sleep(max(pause, _SHORTEST_SLEEP))))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
