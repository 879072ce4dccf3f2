"""What one app is still to hear, and when it is tried next. Pure: time is passed in."""

from collections import deque
from dataclasses import dataclass
from random import Random

from qbsync.simulator.switches import Switches
from qbsync.simulator.webhooks.endpoints import Endpoint
from qbsync.simulator.webhooks.events import Event

# A hundred events are some 40 kB: Intuit's other bound, 1 MB, is never met.
EVENTS_PER_POST = 100
_RETRIES = (20.0, 30.0, 300.0, 1200.0, 7200.0, 14400.0, 21600.0)
_OVERTAKEN_SECONDS = 5.0
_KEPT_DELIVERIES = 100
_MOST_PENDING = 100_000


@dataclass(slots=True, eq=False)
class Delivery:
    """Events that travel together, until a 200. `due` is business time."""

    number: int
    events: tuple[Event, ...]
    due: float
    attempts: int = 0
    acknowledged_at: float | None = None
    last_error: str | None = None
    again: bool = False


class Outbox:
    """The events of one app: gathered, then delivered, tried again until acknowledged."""

    def __init__(self, client_id: str, endpoint: Endpoint, switches: Switches, random: Random) -> None:
        self.client_id = client_id
        self.endpoint = endpoint
        self.sent = self.acknowledged = self.lost = 0
        self.last_error: str | None = None
        self._switches = switches
        self._random = random
        self._gathered: list[tuple[float, Event]] = []
        self._window_end = 0.0
        self._unacknowledged: deque[Delivery] = deque()
        self._done: deque[Delivery] = deque(maxlen=_KEPT_DELIVERIES)
        self._numbers = 0
        self._packed = 0

    @property
    def pending(self) -> int:
        """Events not acknowledged yet."""
        return len(self._gathered) + self._packed

    def deliveries(self) -> list[Delivery]:
        """The last ones that arrived, then those still under way."""
        return [*self._done, *self._unacknowledged]

    def add(self, event: Event, now: float) -> None:
        """Something happened. It joins those of its window, unless it gets lost."""
        if self._falls("webhookLosses") or self.pending >= _MOST_PENDING:
            self.lost += 1
            return
        window = self._switches.number("webhookAggregationSeconds")
        if now >= self._window_end:
            self._window_end = now + window
        late = self._random.random() * self._switches.number("webhookDelaySeconds")
        if self._falls("webhookReordering"):
            late += max(window, _OVERTAKEN_SECONDS)
        self._gathered.append((self._window_end + late, event))

    def next_due(self) -> float | None:
        """When there is something to send, None while there is nothing to wait for."""
        if self._unacknowledged and self._switches.on("webhookHolds"):
            return self._unacknowledged[0].due
        times = [ready for ready, _ in self._gathered]
        times += [delivery.due for delivery in self._unacknowledged]
        return min(times, default=None)

    def take(self, now: float) -> Delivery | None:
        """The next delivery that is due, with one attempt more to its account."""
        held = bool(self._unacknowledged) and self._switches.on("webhookHolds")
        if not held:
            self._pack(now)
        if not self._unacknowledged:
            return None
        delivery = self._unacknowledged[0] if held else min(self._unacknowledged, key=_due)
        if delivery.due > now:
            return None
        delivery.attempts += 1
        self.sent += 1
        return delivery

    def succeeded(self, delivery: Delivery, now: float) -> None:
        """The app answered 200. It may hear the same once more."""
        if delivery not in self._unacknowledged:
            return
        self._unacknowledged.remove(delivery)
        delivery.acknowledged_at = now
        self._done.append(delivery)
        if delivery.again:
            return
        self._packed -= len(delivery.events)
        self.acknowledged += len(delivery.events)
        if self._falls("webhookDuplicates"):
            self._unacknowledged.append(Delivery(delivery.number, delivery.events, now, again=True))

    def failed(self, delivery: Delivery, error: str, now: float) -> None:
        """Any other answer or none: it is tried again, later each time, without end."""
        delivery.last_error = self.last_error = error
        if delivery.attempts == 1:
            delivery.due = now + self._switches.number("webhookFirstRetrySeconds")
        else:
            delivery.due = now + _RETRIES[min(delivery.attempts - 2, len(_RETRIES) - 1)]

    def close(self) -> None:
        """Forget whatever is pending."""
        self._gathered.clear()
        self._unacknowledged.clear()
        self._packed = 0

    def _pack(self, now: float) -> None:
        """Make deliveries of the events whose time has come."""
        ready = [event for at, event in self._gathered if at <= now]
        self._gathered = [(at, event) for at, event in self._gathered if at > now]
        if self._switches.number("webhookReordering"):
            self._random.shuffle(ready)
        for start in range(0, len(ready), EVENTS_PER_POST):
            self._numbers += 1
            events = tuple(ready[start : start + EVENTS_PER_POST])
            self._unacknowledged.append(Delivery(self._numbers, events, now))
            self._packed += len(events)

    def _falls(self, switch: str) -> bool:
        probability = self._switches.number(switch)
        return probability > 0 and self._random.random() < probability


def _due(delivery: Delivery) -> float:
    return delivery.due
