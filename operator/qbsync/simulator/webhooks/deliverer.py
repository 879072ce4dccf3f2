"""Carrying events to the apps, beside whatever requests are served."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.switches import Switches
from qbsync.simulator.webhooks import events
from qbsync.simulator.webhooks.outbox import Delivery, Outbox

ANSWER_SECONDS = 3.0
"""How long an app may take to answer, in business time (Intuit: webhooks, best practices)."""
_LEAST_REAL_SECONDS = 0.5
"""What it has in any case: that somebody moved the clock on is not the app's fault."""


class NotDelivered(Exception):
    """No answer came; the message says why."""


Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body to an address and gives the answer's status. Raises NotDelivered."""


class Deliverer:
    """One task per outbox, for as long as it has anything to send or to wait for."""

    def __init__(self, clock: SimulatorClock, switches: Switches, post: Post) -> None:
        self._clock = clock
        self._switches = switches
        self._post = post
        self._tasks: dict[Outbox, asyncio.Task[None]] = {}
        self._naps: dict[Outbox, asyncio.Task[None]] = {}

    def wake(self, box: Outbox) -> None:
        """Look at that outbox soon. Needs a running event loop, and returns at once."""
        if box in self._naps:
            self._naps[box].cancel()
        elif box not in self._tasks:
            self._tasks[box] = asyncio.get_running_loop().create_task(self._serve(box))

    def stop(self) -> None:
        """Give up everything under way."""
        for task in [*self._tasks.values(), *self._naps.values()]:
            task.cancel()

    async def _serve(self, box: Outbox) -> None:
        try:
            while (due := box.next_due()) is not None:
                wait = due - self._clock.timestamp()
                if wait > 0:
                    await self._nap(box, wait)
                    continue
                delivery = box.take(self._clock.timestamp())
                if delivery is not None:
                    await self._attempt(box, delivery)
        finally:
            del self._tasks[box]

    async def _nap(self, box: Outbox, seconds: float) -> None:
        """Until that much business time has passed, or `wake`."""
        nap = self._naps[box] = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait([nap])
        finally:
            nap.cancel()
            del self._naps[box]

    async def _attempt(self, box: Outbox, delivery: Delivery) -> None:
        body = self._body(box, delivery)
        headers = {
            "content-type": "application/json",
            "intuit-signature": events.signature(body, box.endpoint.verifier_token),
        }
        problem = await self._problem(box.endpoint.url, body, headers)
        now = self._clock.timestamp()
        if problem is None:
            box.succeeded(delivery, now)
        else:
            box.failed(delivery, problem, now)

    def _body(self, box: Outbox, delivery: Delivery) -> bytes:
        if box.endpoint.format is events.Format.CLOUDEVENTS:
            return events.cloudevents(delivery.events, client_id=box.client_id)
        with_offset = self._switches.choice("webhookLegacyTime") == "offset"
        return events.legacy(delivery.events, with_offset=with_offset)

    async def _problem(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """Why a delivery does not count, None for a 200 in time."""
        earliest = asyncio.get_running_loop().time() + _LEAST_REAL_SECONDS
        answer = asyncio.ensure_future(self._post(url, body, headers))
        limit = asyncio.ensure_future(self._clock.sleep(ANSWER_SECONDS))
        try:
            await asyncio.wait({answer, limit}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({answer}, timeout=max(earliest - asyncio.get_running_loop().time(), 0))
            return _verdict(answer)
        finally:
            answer.cancel()
            limit.cancel()
            await asyncio.wait({answer, limit})


def _verdict(answer: asyncio.Future[int]) -> str | None:
    if not answer.done():
        return f"no answer within {ANSWER_SECONDS:g} s"
    try:
        status = answer.result()
    except NotDelivered as error:
        return str(error)
    return None if status == 200 else f"answered {status}"
