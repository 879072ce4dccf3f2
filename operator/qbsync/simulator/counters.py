"""What the control door counts: tests assert budgets with it."""

from collections import Counter
from typing import Any


class Counters:
    """Counts since the start or the last reset. `internal_errors` are bugs of the simulator: always 0, one hopes."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.batch_items: Counter[str] = Counter()
        self.metered_reads = 0
        self.throttled = 0
        self.emails = 0
        self.tokens_issued = 0
        self.refreshes = 0
        self.replays = 0
        self.late_commits = 0
        self.internal_errors = 0

    def document(self) -> dict[str, Any]:
        """The door's JSON."""
        return {
            "requests": dict(self.requests),
            "batchItems": dict(self.batch_items),
            "meteredReads": self.metered_reads,
            "throttled": self.throttled,
            "emails": self.emails,
            "tokensIssued": self.tokens_issued,
            "refreshes": self.refreshes,
            "replays": self.replays,
            "lateCommits": self.late_commits,
            "internalErrors": self.internal_errors,
        }
