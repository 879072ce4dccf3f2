"""What was heard of invoices by themselves: rows already read, on their way to the objects that keep them."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from qbsync.engine.keys import Key
from qbsync.quickbooks.entities import Invoice

ECHO_SECONDS: Final = 360.0
"""Intuit gathers webhooks for up to 5 min where an app asks for that."""


@dataclass(slots=True, eq=False)
class News:
    """One invoice changed in QuickBooks."""

    invoice: Invoice | None
    """As it is now; None: it seems to be gone, one read tells."""
    figures_only: bool = False
    """Only what is paid of it is followed, not what was edited."""
    recorded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has become a status, or was found to be no news."""


@dataclass(slots=True)
class Newsstand:
    """The news of one company that no round has taken yet, the newest for each object."""

    _waiting: dict[Key, News] = field(default_factory=dict)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def put(self, key: Key, news: News) -> None:
        """What comes later stands for what came before: it would be seen again after a restart."""
        self.drop(key)
        self._waiting[key] = news

    def take(self, key: Key) -> News | None:
        """The news of an object, for who works on it now."""
        return self._waiting.pop(key, None)

    def put_back(self, key: Key, news: News) -> None:
        """Nothing came of it: it waits for the next round, unless newer news does."""
        if key in self._waiting:
            news.recorded.set()
        else:
            self._waiting[key] = news

    def drop(self, key: Key) -> None:
        """The object is gone, or is looked at anyway."""
        news = self.take(key)
        if news is not None:
            news.recorded.set()


@dataclass(slots=True)
class Echoes:
    """What this process wrote to QuickBooks lately: each write comes back once, as a webhook."""

    _expected: dict[str, list[float]] = field(default_factory=dict)
    _early: dict[str, list[float]] = field(default_factory=dict)

    def expect(self, quickbooks_id: str, *, monotonic: float) -> None:
        """An invoice was written; without effect if the echo of that was heard before the answer."""
        if not _take(self._early, quickbooks_id, monotonic):
            _note(self._expected, quickbooks_id, monotonic)

    def heard(self, quickbooks_id: str, *, monotonic: float) -> bool:
        """Whether what is heard of an invoice now is such an echo; each write accounts for one."""
        return _take(self._expected, quickbooks_id, monotonic)

    def early(self, quickbooks_id: str, *, monotonic: float) -> None:
        """What is heard of an invoice now may be the echo of a write that has no answer yet."""
        _note(self._early, quickbooks_id, monotonic)


_Times = dict[str, list[float]]
"""When something was noted of invoices, the one noted last at the end."""


def _note(noted: _Times, quickbooks_id: str, monotonic: float) -> None:
    while noted:
        oldest = next(iter(noted))
        if noted[oldest] and noted[oldest][-1] > monotonic - ECHO_SECONDS:
            break
        del noted[oldest]
    noted[quickbooks_id] = [*noted.pop(quickbooks_id, []), monotonic]


def _take(noted: _Times, quickbooks_id: str, monotonic: float) -> bool:
    times = noted.get(quickbooks_id, [])
    while times:
        if times.pop(0) > monotonic - ECHO_SECONDS:
            return True
    return False
