"""QuickBooks' limits: calls a minute, a second and at once, batches, e-mails, the month's reads.

Sliding windows: no burst ever passes. (Intuit: learn/limits-and-throttles.)
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qbsync.simulator.switches import Switches

_MINUTE, _DAY = 60.0, 86400.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an app (its client id) on a company."""

    realm_id: str
    client_id: str


class _Window:
    """When something happened, as far back as the window's span in seconds."""

    __slots__ = ("_span", "_times")

    def __init__(self, span: float) -> None:
        self._span = span
        self._times: deque[float] = deque()

    def count(self, now: float) -> int:
        """How often within the span that ends now."""
        times, oldest = self._times, now - self._span
        while times and times[0] <= oldest:
            times.popleft()
        return len(times)

    def note(self, now: float) -> None:
        """Once more, now."""
        self._times.append(now)


class _CompanyUsage:
    """What all apps together have used of one company."""

    __slots__ = ("batches", "calls", "emails")

    def __init__(self) -> None:
        self.calls = _Window(_MINUTE)
        self.batches = _Window(_MINUTE)
        self.emails = _Window(_DAY)


class _AppUsage:
    """What one app has used of one company."""

    __slots__ = ("at_work", "batches", "minute", "second")

    def __init__(self) -> None:
        self.second = _Window(1.0)
        self.minute = _Window(_MINUTE)
        self.batches = _Window(_MINUTE)
        self.at_work = 0


class Limits:
    """What each company and each app has used, against the `limit…` switches; 0 is no limit."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._companies: defaultdict[str, _CompanyUsage] = defaultdict(_CompanyUsage)
        self._apps: defaultdict[Caller, _AppUsage] = defaultdict(_AppUsage)
        self._reads: defaultdict[tuple[str, str], int] = defaultdict(int)

    def admit(self, caller: Caller, now: float, *, batch: bool = False) -> bool:
        """Take a place for one call, or refuse it; an admitted call must be `release`d."""
        app, windows = self._apps[caller], self._windows(caller, batch=batch)
        at_once = int(self._switches.number("limitConcurrent"))
        # Each window is counted, if only to let go of what is too old.
        full = [limit for window, limit in windows if window.count(now) >= limit > 0]
        admitted = not full and not 0 < at_once <= app.at_work
        if admitted or self._switches.on("refusedCallsCount"):
            for window, _ in windows:
                window.note(now)
        if admitted:
            app.at_work += 1
        return admitted

    def release(self, caller: Caller) -> None:
        """An admitted call is done."""
        self._apps[caller].at_work -= 1

    def note_elsewhere(self, caller: Caller, now: float) -> None:
        """Count a call to another endpoint of Intuit's; those are never refused, but count towards the whole."""
        self._apps[caller].minute.note(now)

    def email_allowed(self, realm_id: str, now: float) -> bool:
        """Whether the company may send one more e-mail today."""
        limit = int(self._switches.number("limitEmails"))
        return self._companies[realm_id].emails.count(now) < limit or limit == 0

    def note_email(self, realm_id: str, now: float) -> None:
        """Count one e-mail."""
        self._companies[realm_id].emails.note(now)

    def read_allowed(self, client_id: str, month: str) -> bool:
        """Whether the app's monthly quota of metered reads has room (switch `monthlyReadQuota`)."""
        quota = int(self._switches.number("monthlyReadQuota"))
        return quota == 0 or self._reads[client_id, month] < quota

    def note_read(self, client_id: str, month: str) -> None:
        """Count one metered read."""
        self._reads[client_id, month] += 1

    def usage(self, realm_id: str, now: float) -> Mapping[str, int]:
        """What is used of a company's limits now, over all apps."""
        company = self._companies[realm_id]
        apps = [app for caller, app in self._apps.items() if caller.realm_id == realm_id]
        return {
            "lastMinute": company.calls.count(now),
            "lastSecond": sum(app.second.count(now) for app in apps),
            "atWork": sum(app.at_work for app in apps),
            "batchesLastMinute": company.batches.count(now),
            "emailsLastDay": company.emails.count(now),
        }

    def _windows(self, caller: Caller, *, batch: bool) -> Sequence[tuple[_Window, int]]:
        company, app, number = self._companies[caller.realm_id], self._apps[caller], self._switches.number
        windows = [
            (company.calls, int(number("limitPerMinute"))),
            (app.second, int(number("limitPerSecond"))),
            (app.minute, int(number("limitAllPerMinute"))),
        ]
        if batch:
            windows += [
                (company.batches, int(number("limitBatchesCompany"))),
                (app.batches, int(number("limitBatches"))),
            ]
        return windows
