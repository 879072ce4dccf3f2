"""Kubernetes Events (events.k8s.io/v1): one per thing that happened, a series for what repeats."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from qbsync.kube import errors
from qbsync.kube.api import JsonObject, KubeApi
from qbsync.kube.lease import micro_time

logger = logging.getLogger(__name__)

REPORTING_CONTROLLER = "qbsync.dev/operator"
NOTE_LIMIT = 1024
_REMEMBERED = 2000
_WAITING = 1000
_SeriesKey = tuple[str, str, str]


class EventType(StrEnum):
    """How loud an Event is."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to an object; `note` never holds a secret."""

    regarding: Regarding
    type: EventType
    reason: str
    action: str
    note: str


class EventRecorder:
    """Posts Events in the background; losing one is logged and never delays the work."""

    def __init__(self, api: KubeApi, *, instance: str) -> None:
        """`instance` is this process's identity."""
        self._api = api
        self._instance = instance[:128]
        self._known: OrderedDict[_SeriesKey, tuple[str, int]] = OrderedDict()
        self._waiting: asyncio.Queue[Occurrence] = asyncio.Queue(_WAITING)

    def record(self, occurrence: Occurrence) -> None:
        """Hand an Event over; returns at once."""
        try:
            self._waiting.put_nowait(occurrence)
        except asyncio.QueueFull:
            logger.warning("event dropped, too many are waiting", extra={"event": occurrence.reason})

    async def run(self) -> None:
        """Post what was recorded, until cancelled."""
        while True:
            await self._post_next()

    async def flush(self) -> None:
        """Post what is still waiting."""
        while not self._waiting.empty():
            await self._post_next()

    async def _post_next(self) -> None:
        occurrence = await self._waiting.get()
        try:
            await self._post(occurrence)
        except errors.KubeError as error:
            logger.warning("event %s not posted: %s", occurrence.reason, error)

    async def _post(self, occurrence: Occurrence) -> None:
        # All of an Event but its series is immutable: another note is another Event.
        key = (occurrence.regarding.uid, occurrence.reason, occurrence.note)
        collection = f"/apis/events.k8s.io/v1/namespaces/{occurrence.regarding.namespace}/events"
        name, count = self._known.get(key, ("", 0))
        now = micro_time(datetime.now(UTC))
        if name:
            try:
                await self._api.json_patch(f"{collection}/{name}", _series(count + 1, now))
                self._remember(key, name, count + 1)
            except errors.NotFound:
                name = ""
        if not name:
            event = _event(occurrence, now=now, instance=self._instance)
            await self._api.post(collection, event)
            self._remember(key, event["metadata"]["name"], 1)

    def _remember(self, key: _SeriesKey, name: str, count: int) -> None:
        self._known[key] = (name, count)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _series(count: int, now: str) -> list[JsonObject]:
    return [{"op": "add", "path": "/series", "value": {"count": count, "lastObservedTime": now}}]


def _event(occurrence: Occurrence, *, now: str, instance: str) -> JsonObject:
    regarding = occurrence.regarding
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{regarding.name[:200]}.{secrets.token_hex(8)}",
            "namespace": regarding.namespace,
        },
        "eventTime": now,
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": instance,
        "action": occurrence.action,
        "reason": occurrence.reason,
        "regarding": {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
        },
        "note": occurrence.note[:NOTE_LIMIT],
        "type": occurrence.type.value,
    }
