"""One worker per company: a slow or broken company never delays another.

A worker starts rounds as long as something is due and few calls are outstanding; a round hands its keys
to the kind's reconciler, which ends each key when its outcome is settled, be it after the round.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from qbsync.api.meta import Kind
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.queue import WorkQueue

logger = logging.getLogger(__name__)

Done = Callable[[Key, timedelta | None], None]
"""End the work on a key; the time says when it is due next, None: when something changes."""


class Reconciler(Protocol):
    """What turns due keys into action."""

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring these objects forward and call `done` once for each, possibly later from another task."""
        ...


@dataclass(frozen=True, slots=True)
class Lane:
    """How one kind is worked on within a company."""

    reconciler: Reconciler
    round_size: int
    """Keys handed over at once."""
    outstanding: int
    """No new round while more keys than this are unsettled."""
    linger: timedelta = timedelta()
    """How long a round waits for more keys, so that a burst shares its lookups."""


class Workers:
    """The workers of all companies, started when something is due and gone when nothing is."""

    def __init__(self, *, clock: Clock, rng: random.Random, lanes: Mapping[Kind, Lane]) -> None:
        self.queue = WorkQueue(clock=clock, on_due=self._wake)
        self._clock = clock
        self._lanes = lanes
        self._rng = rng
        self._backoff = Backoff()
        self._failures: defaultdict[Key, int] = defaultdict(int)
        self._states: dict[tuple[Company, Kind], _Round] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()

    @property
    def in_work(self) -> int:
        """How many keys are being worked on in all companies."""
        return self.queue.in_work

    def stop_taking(self) -> None:
        """Start no new round; what is under way goes on."""
        self._stopping = True
        self._note_idle()

    async def drained(self) -> None:
        """Wait until nothing is in work any more; after `stop_taking`."""
        await self._idle.wait()

    def _wake(self, company: Company, kind: Kind) -> None:
        state = self._states.setdefault((company, kind), _Round())
        lane = self._lanes[kind]
        if self._stopping or state.running or len(state.unsettled) > lane.outstanding:
            return
        keys = self.queue.take(company, kind, lane.round_size)
        if not keys:
            if not state.unsettled:
                del self._states[company, kind]
            return
        state.running = True
        state.unsettled.update(keys)
        task = asyncio.create_task(self._round(company, kind, keys), name=f"{kind} round of {company}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _round(self, company: Company, kind: Kind, keys: list[Key]) -> None:
        await self._clock.sleep(self._lanes[kind].linger)
        room = self._lanes[kind].round_size - len(keys)
        more = self.queue.take(company, kind, room) if room else []
        state = self._states[company, kind]
        state.unsettled.update(more)
        settle = self._settler(company, kind)
        try:
            await self._lanes[kind].reconciler.reconcile(company, [*keys, *more], settle)
        except Exception:
            logger.exception("reconciling failed", extra={"company": str(company)})
            for key in state.unsettled.intersection([*keys, *more]):
                self._failures[key] += 1
                settle(key, self._backoff.delay(self._failures[key], self._rng))
        finally:
            state.running = False
            self._wake(company, kind)

    def _settler(self, company: Company, kind: Kind) -> Done:
        state = self._states[company, kind]

        def settle(key: Key, again: timedelta | None) -> None:
            if key not in state.unsettled:
                return
            state.unsettled.discard(key)
            if again is None:
                self._failures.pop(key, None)
            self.queue.done(company, key, again=again)
            self._note_idle()
            if not state.running:
                self._wake(company, kind)

        return settle

    def _note_idle(self) -> None:
        if self._stopping and not self.queue.in_work:
            self._idle.set()


@dataclass(slots=True)
class _Round:
    running: bool = False
    unsettled: set[Key] = field(default_factory=set)
