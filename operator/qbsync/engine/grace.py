"""The takeover grace: after an unclean takeover a dead leader's request may still be at work."""

from dataclasses import dataclass
from datetime import timedelta

from qbsync.engine.store import Snapshot
from qbsync.kube.lease import LeaseTimes, Takeover


@dataclass(frozen=True, slots=True)
class TakeoverGrace:
    """Until when creates for objects that a predecessor may have sent for must wait."""

    until: float
    """Monotonic seconds; in the past if nothing has to wait."""

    @classmethod
    def after(
        cls, takeover: Takeover, *, times: LeaseTimes, server_timeout: timedelta, lookup_lag: timedelta
    ) -> "TakeoverGrace":
        """Counted on our own clock from when the old holder's last renewal was first seen.

        The old holder sends for at most its lease's duration after that, QuickBooks works on a request
        for at most `server_timeout`, and a query may miss an invoice for `lookup_lag` after its commit.
        """
        if takeover.clean:
            return NO_GRACE
        lease = max(times.duration, takeover.rival_duration)
        return cls(takeover.rival_last_seen + (lease + server_timeout + lookup_lag).total_seconds())

    def suspects(self, snapshot: Snapshot) -> bool:
        """Whether a predecessor that ended without a word may have sent for this object."""
        return snapshot.inherited and self.until != NO_GRACE.until

    def is_over(self, monotonic: float) -> bool:
        """Whether nothing of a predecessor's can still be at work."""
        return monotonic >= self.until

    def remaining(self, snapshot: Snapshot, *, monotonic: float) -> timedelta | None:
        """How long a create for this object has to wait; None: not at all."""
        if not snapshot.inherited or self.is_over(monotonic):
            return None
        return timedelta(seconds=self.until - monotonic)


NO_GRACE = TakeoverGrace(until=float("-inf"))
