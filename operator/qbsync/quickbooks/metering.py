"""What calls to QuickBooks cost: Intuit meters reads per application and month, for all its companies together.

Source: Intuit, App Partner Program. Reads, queries and change data capture answered with 2xx count, in
production only; creates and updates do not. Above the allowance of a free plan, reads are answered with 429
until the next month, while writes go on.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, Protocol

from qbsync.quickbooks.client import RequestObserver
from qbsync.quickbooks.errors import NoAccessToken

BLOCKED_AFTER: Final = timedelta(minutes=15)
"""So long reads must have got nothing but 429, while writes succeeded: a throttle passes within a minute."""
PROBE_EVERY: Final = timedelta(hours=1)
LOW: Final = 0.8
_SHARES: Final = (LOW, 0.9, 0.95)
_WRITES: Final = frozenset({"create", "update", "void", "delete", "send", "batch"})


class Thrift(IntEnum):
    """How short reads are, and so what is not spent on any more. The lookup before a create always is."""

    NONE = 0
    NO_DRIFT = 1
    """From 80 %: changes are not asked for by themselves."""
    NO_PAYMENTS = 2
    """From 90 %: nor when a webhook tells of them."""
    NO_NAMES = 3
    """From 95 %: nor are known names looked up again."""


class ReadsBlocked(NoAccessToken):
    """The app's monthly allowance is used up: no read is even tried before the next probe."""


class Clock(Protocol):
    """The parts of a clock that counting needs."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """One company's calls in a month."""

    month: str
    """As 2026-11, in UTC."""
    reads: int = 0
    """Metered reads."""
    writes: int = 0
    """Writes that were answered with 2xx."""
    app_reads: int = 0
    """Metered reads of the whole application, as far as this operator knows of them."""


@dataclass(slots=True)
class _App:
    """One Intuit application."""

    month: str
    reads: int = 0
    refused_since: float | None = None
    """Since when reads got nothing but 429."""
    wrote_at: float = float("-inf")
    probe_at: float | None = None
    """When a blocked app tries a read again; None: it is not blocked."""


@dataclass(slots=True)
class _Company:
    usage: Usage
    app: str | None = None
    metered: bool = True
    unassigned: int = 0
    """Reads from before it was known whose they are."""


class Meter:
    """Counts the calls of all companies of one process."""

    def __init__(self, *, clock: Clock, budget: int, on_block: Callable[[], None] = lambda: None) -> None:
        """`budget`: metered reads per application and month. `on_block`: reads were blocked, or are free again."""
        self._clock, self._on_block = clock, on_block
        self.budget: Final = budget
        self._companies: dict[Hashable, _Company] = {}
        self._apps: dict[str, _App] = {}

    def resume(self, company: Hashable, known: Usage | None) -> None:
        """Go on from what an earlier process counted; once per company, before anything else is asked of it."""
        if company not in self._companies:
            month = self._month()
            start = known if known is not None and known.month == month else Usage(month)
            self._companies[company] = _Company(start)

    def assign(self, company: Hashable, app: str, *, metered: bool) -> None:
        """Say which application a company's calls belong to. `metered`: False for a sandbox."""
        counted = self._of(company)
        counted.metered = metered
        if counted.app == app:
            return
        counted.app = app
        account = self._app(app)
        account.reads = max(account.reads, counted.usage.app_reads)
        if metered:
            account.reads += counted.unassigned
        counted.unassigned = 0

    def forget(self, company: Hashable) -> None:
        """The connection is gone; what its application has used stays."""
        self._companies.pop(company, None)

    def usage(self, company: Hashable) -> Usage:
        """This month's calls."""
        counted = self._of(company)
        account = self._account(counted)
        return replace(counted.usage, app_reads=account.reads if account is not None else 0)

    def remaining(self, company: Hashable) -> int:
        """Metered reads that its application has left this month."""
        return max(self.budget - self.usage(company).app_reads, 0)

    def thrift(self, company: Hashable) -> Thrift:
        """How short its reads are."""
        counted = self._of(company)
        if not counted.metered:
            return Thrift.NONE
        used = self.usage(company).app_reads
        return Thrift(sum(used >= share * self.budget for share in _SHARES))

    def blocked(self, company: Hashable) -> bool:
        """Whether its application's allowance is used up, by all that can be seen."""
        account = self._account(self._of(company))
        return account is not None and account.probe_at is not None

    def probe_in(self, company: Hashable) -> timedelta | None:
        """How long until a read is tried again; None: reads are not blocked."""
        account = self._account(self._of(company))
        if account is None or account.probe_at is None:
            return None
        return timedelta(seconds=max(account.probe_at - self._clock.monotonic(), 0.0))

    def before_read(self, company: Hashable) -> None:
        """Called right before a metered read. Raises ReadsBlocked, but lets one through each hour."""
        account = self._account(self._of(company))
        if account is None or account.probe_at is None:
            return
        now = self._clock.monotonic()
        if now < account.probe_at:
            minutes = (account.probe_at - now) / 60
            raise ReadsBlocked(
                f"Intuit's monthly read allowance of the app is used up: tried again in {minutes:.0f} min"
            )
        account.probe_at = now + PROBE_EVERY.total_seconds()

    def observing(self, company: Hashable, then: RequestObserver) -> RequestObserver:
        """An observer that counts a company's calls, and passes them on."""
        return _Observer(self, company, then)

    def count(self, company: Hashable, *, operation: str, status: int | None, metered: bool) -> None:
        """One call ended."""
        counted, good = self._of(company), status is not None and 200 <= status < 300
        account = self._account(counted)
        if metered and good:
            counted.usage = replace(counted.usage, reads=counted.usage.reads + 1)
            if account is None:
                counted.unassigned += 1
            elif counted.metered:
                account.reads += 1
        if operation in _WRITES and good:
            counted.usage = replace(counted.usage, writes=counted.usage.writes + 1)
        if account is not None and status is not None and counted.metered:
            self._judge(account, operation=operation, status=status, good=good)

    def _judge(self, account: _App, *, operation: str, status: int, good: bool) -> None:
        now = self._clock.monotonic()
        if operation in _WRITES:
            account.wrote_at = now if good else account.wrote_at
        elif status != 429:
            account.refused_since = None
            if account.probe_at is not None:
                account.probe_at = None
                self._on_block()
            return
        elif account.refused_since is None:
            account.refused_since = now
        since = account.refused_since
        if since is None or account.probe_at is not None:
            return
        long_enough = now - since >= BLOCKED_AFTER.total_seconds() and account.wrote_at > since
        if long_enough and account.reads >= LOW * self.budget:
            account.probe_at = now + PROBE_EVERY.total_seconds()
            self._on_block()

    def _of(self, company: Hashable) -> _Company:
        month = self._month()
        counted = self._companies.setdefault(company, _Company(Usage(month)))
        if counted.usage.month != month:
            counted.usage, counted.unassigned = Usage(month), 0
        return counted

    def _account(self, counted: _Company) -> _App | None:
        return self._app(counted.app) if counted.app is not None else None

    def _app(self, app: str) -> _App:
        month = self._month()
        account = self._apps.get(app)
        if account is None or account.month != month:
            # A new month is a new allowance.
            was_blocked = account is not None and account.probe_at is not None
            account = self._apps[app] = _App(month)
            if was_blocked:
                self._on_block()
        return account

    def _month(self) -> str:
        return self._clock.now().strftime("%Y-%m")


class _Observer:
    def __init__(self, meter: Meter, company: Hashable, then: RequestObserver) -> None:
        self._meter, self._company, self._then = meter, company, then

    def observed(
        self, *, operation: str, status: int | None, code: str | None, seconds: float, metered: bool
    ) -> None:
        self._meter.count(self._company, operation=operation, status=status, metered=metered)
        self._then.observed(operation=operation, status=status, code=code, seconds=seconds, metered=metered)
