"""kopf watches: events in, keys out. The only module that knows kopf.

kopf runs in a thread with a loop of its own. It takes every task of its loop for its own and cancels
them when it stops, and nothing that is at work in QuickBooks may be cancelled that way.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import kopf

from qbsync.api.meta import GROUP, PLURALS, VERSION, Kind
from qbsync.kube.api import runs_in_cluster

logger = logging.getLogger(__name__)

Deliver = Callable[[Kind, str | None, Mapping[str, Any]], None]
"""Takes an event's kind, its type (None: an entry of a list) and the object."""

LIST_PAGE = 500
WORKER_IDLE_SECONDS = 0.2


def registry_for(deliver: Deliver) -> kopf.OperatorRegistry:
    """The handlers: each only hands an event on."""
    registry = kopf.OperatorRegistry()

    @kopf.on.event(GROUP, VERSION, PLURALS[Kind.CONNECTION], registry=registry)
    async def connection_event(event: kopf.RawEvent, **_: Any) -> None:
        deliver(Kind.CONNECTION, event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, PLURALS[Kind.INVOICE], registry=registry)
    async def invoice_event(event: kopf.RawEvent, **_: Any) -> None:
        deliver(Kind.INVOICE, event["type"], event["object"])

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        in_cluster = runs_in_cluster()
        return kopf.login_with_service_account(**kwargs) if in_cluster else kopf.login_via_client(**kwargs)

    return registry


def settings() -> kopf.OperatorSettings:
    """kopf's settings, each for a measured reason (docs/decisions/0003-kopf-delivers.md)."""
    chosen = kopf.OperatorSettings()
    chosen.queueing.idle_timeout = WORKER_IDLE_SECONDS
    chosen.queueing.worker_limit = None
    chosen.watching.chunk_size = LIST_PAGE
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.peering.standalone = True
    # The process decides how long its own drain takes.
    chosen.process.ultimate_exiting_timeout = None
    return chosen


def note_of_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What kopf's loop has to say outside of any task; an error, but for its streams' quarrel at the very end.

    kopf leaves two generators, one inside the other, to a loop that ends. It closes both at once, and if the
    inner one is first, the outer one complains: nothing is lost, since all of it ends.
    """
    if "asyncgen" in context:
        logger.debug("a watch's stream complained at its end: %r", context.get("exception"))
    else:
        loop.default_exception_handler(context)


class Watch:
    """kopf in its thread: started while this process leads."""

    def __init__(self, *, deliver: Deliver, namespaces: Sequence[str], identity: str) -> None:
        """`deliver` is called in the loop that calls `start`; `namespaces` empty means all."""
        self._deliver, self._namespaces = deliver, tuple(namespaces)
        self._identity = identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Future[BaseException | None]

    def start(self) -> None:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread.start()

    async def failed(self) -> BaseException | None:
        """Wait until the watch has ended by itself; returns why, if it said."""
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """End it and wait for that."""
        self._stop.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        problem: BaseException | None = None
        try:
            asyncio.run(self._watch())
        except Exception as error:
            logger.exception("the watch failed")
            problem = error
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, problem)

    async def _watch(self) -> None:
        asyncio.get_running_loop().set_exception_handler(note_of_loop)
        await kopf.operator(
            registry=registry_for(self._hand_over),
            settings=settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=self._stop,
            # Else kopf asks the system for the user's name, and a pod's uid often has none.
            identity=cast(Any, self._identity),
        )

    def _end(self, problem: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result(problem)

    def _hand_over(self, kind: Kind, type_: str | None, body: Mapping[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._deliver, kind, type_, body)
