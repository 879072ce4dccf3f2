"""QuickBooks' limits: calls a minute, a second and at once. Sliding windows: no burst ever passes."""

from collections import deque
from dataclasses import dataclass, field

from qbsync.simulator.switches import Switches


@dataclass(slots=True)
class _Usage:
    admitted: deque[float] = field(default_factory=deque)
    at_work: int = 0


class Limits:
    """What each company has used. Per company (500 a minute), per company and app (10 a second, 10 at once).

    There is one app here, so both are kept per company. Refused calls do not count.
    """

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._usage: dict[str, _Usage] = {}
        self._quota_month = ""
        self._quota_used = 0

    def admit(self, realm_id: str, now: float) -> bool:
        """Take a place for one call, or refuse it; an admitted call must be `release`d."""
        usage = self._usage.setdefault(realm_id, _Usage())
        while usage.admitted and usage.admitted[0] <= now - 60:
            usage.admitted.popleft()
        per_minute, per_second, at_once = (
            int(self._switches.number(name))
            for name in ("limitPerMinute", "limitPerSecond", "limitConcurrent")
        )
        if per_minute and len(usage.admitted) >= per_minute:
            return False
        if per_second and len(usage.admitted) >= per_second and usage.admitted[-per_second] > now - 1:
            return False
        if at_once and usage.at_work >= at_once:
            return False
        usage.admitted.append(now)
        usage.at_work += 1
        return True

    def release(self, realm_id: str) -> None:
        """An admitted call is done."""
        self._usage[realm_id].at_work -= 1

    def at_work(self, realm_id: str) -> int:
        """Calls of that company being worked on."""
        usage = self._usage.get(realm_id)
        return usage.at_work if usage is not None else 0

    def read_allowed(self, month: str) -> bool:
        """Whether the app's monthly quota of metered reads has room (switch `monthlyReadQuota`)."""
        quota = int(self._switches.number("monthlyReadQuota"))
        return quota == 0 or self._quota_month != month or self._quota_used < quota

    def note_read(self, month: str) -> None:
        """Count one metered read."""
        if self._quota_month != month:
            self._quota_month, self._quota_used = month, 0
        self._quota_used += 1
