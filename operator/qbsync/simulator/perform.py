"""How one call goes, with whatever befalls it: latency, delay, loss, late commit."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from qbsync.simulator.injection import Effect
from qbsync.simulator.responses import Answer, Outcome, Reset, Truncated, html_error
from qbsync.simulator.world import World

# Most of the time goes by before the commit: a client killed while waiting finds its call carried out later.
_BEFORE_COMMIT = 0.7


class Background:
    """Work that goes on though nobody waits for it: QuickBooks does not notice that a client was killed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it to its end, whatever happens to whoever started it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def perform(
    world: World,
    background: Background,
    effect: Effect,
    *,
    carry_out: Callable[[], Answer],
    synthesize: Callable[[Effect], Answer],
    steps: int = 1,
) -> Outcome:
    """Let a call happen under an effect; `carry_out` is atomic, `synthesize` makes the answer a rule asks for.

    `steps` things are done one after another, each with a latency of its own (a batch of four took ten times as
    long as a single call, recorded).
    """
    if effect.commit_after_seconds is not None:
        seconds = min(effect.commit_after_seconds, world.server_timeout)
        background.start(_commit_later(world, seconds, carry_out))
        return Reset() if effect.drop else _replacement(effect, synthesize)
    latency = sum(world.latency.draw() for _ in range(steps))
    before = latency * _BEFORE_COMMIT + effect.delay_seconds
    await world.clock.sleep(min(before, world.server_timeout))
    if effect.drop == "before":
        return Reset()
    if effect.replaces_answer and not effect.carries_out:
        return synthesize(effect)
    answer = carry_out()
    if before >= world.server_timeout:
        return html_error(504)
    await world.clock.sleep(latency * (1 - _BEFORE_COMMIT))
    return _as_seen(effect, answer, synthesize)


def _as_seen(effect: Effect, answer: Answer, synthesize: Callable[[Effect], Answer]) -> Outcome:
    """What reaches the client of a call that has been carried out."""
    if effect.replaces_answer:
        return synthesize(effect)
    if effect.drop == "after":
        return Reset()
    if effect.commit_items is not None:
        return html_error(504)
    return Truncated(answer) if effect.truncated else answer


async def _commit_later(world: World, seconds: float, carry_out: Callable[[], Answer]) -> None:
    await world.clock.sleep(seconds)
    carry_out()
    world.counters.late_commits += 1


def _replacement(effect: Effect, synthesize: Callable[[Effect], Answer]) -> Answer:
    return synthesize(effect) if effect.replaces_answer else html_error(504)
