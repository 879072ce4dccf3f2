"""What the control door counts: tests assert budgets with it."""

from collections import Counter
from typing import Any


class Counters:
    """Counts since the start or the last reset."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.metered_reads = 0
        self.throttled = 0
        self.tokens_issued = 0
        self.refreshes = 0
        self.replays = 0
        self.late_commits = 0

    def document(self) -> dict[str, Any]:
        """The door's JSON."""
        return {
            "requests": dict(self.requests),
            "meteredReads": self.metered_reads,
            "throttled": self.throttled,
            "tokensIssued": self.tokens_issued,
            "refreshes": self.refreshes,
            "replays": self.replays,
            "lateCommits": self.late_commits,
        }
