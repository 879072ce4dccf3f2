"""What the rooms may tell people about an object beside its status."""

from typing import Protocol

from qbsync.engine.store import Snapshot


class Announcer(Protocol):
    """Posts Kubernetes Events; returns at once, and losing one never delays the work."""

    def normal(self, snapshot: Snapshot, reason: str, note: str) -> None:
        """Something good, or worth knowing."""
        ...

    def warning(self, snapshot: Snapshot, reason: str, note: str) -> None:
        """Something that somebody should look at."""
        ...
