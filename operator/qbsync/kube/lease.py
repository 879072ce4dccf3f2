"""Who leads: the rules of a coordination.k8s.io Lease, without any I/O.

Own code, since the library's election counts with the wall clock and cancels what leads
(docs/decisions/0004-own-lease.md). A rival's clock is never trusted: what counts is how long
*our* monotonic clock has seen its record unchanged.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

JsonObject = dict[str, Any]
WEBHOOKS: Final = "qbsync.dev/webhooks"
"""Annotation of the Lease: where its holder takes webhooks, for those that stand by."""
_HOST_AND_PORT: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease lasts, how long a holder trusts its last renewal, how often it renews."""

    duration: timedelta = timedelta(seconds=15)

    @property
    def renew_deadline(self) -> timedelta:
        """A holder that could not renew for this long stops by itself, before anybody may take over."""
        return self.duration * 2 / 3

    @property
    def retry_period(self) -> timedelta:
        """Between two renewals, or two looks at a rival's lease."""
        return self.duration * 2 / 15


@dataclass(frozen=True, slots=True)
class Takeover:
    """How leadership was won."""

    clean: bool
    """The lease was free: nobody's request can still be at work."""
    rival_last_seen: float = 0.0
    """Monotonic seconds when the old holder's last renewal was first seen; only if not clean."""
    rival_duration: timedelta = timedelta()
    """The duration in the old holder's record; only if not clean."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The part of a Lease that the election reads."""

    holder: str
    duration: timedelta
    version: str
    webhooks: str | None = None
    """host:port where the holder takes webhooks, if it does."""

    @classmethod
    def parse(cls, lease: JsonObject) -> "LeaseRecord":
        """Read a Lease as the API server returns it."""
        spec = lease.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration=timedelta(seconds=spec.get("leaseDurationSeconds") or 0),
            version=lease["metadata"]["resourceVersion"],
            webhooks=_host_and_port((lease["metadata"].get("annotations") or {}).get(WEBHOOKS)),
        )


@dataclass(slots=True)
class RivalWatch:
    """Since when a rival's record has stood unchanged, on our own clock."""

    version: str = ""
    since: float = field(default=0.0)

    def expired(self, record: LeaseRecord, *, monotonic: float) -> bool:
        """True once the same record was seen unchanged for its whole duration."""
        if record.version != self.version:
            self.version, self.since = record.version, monotonic
        return monotonic - self.since >= record.duration.total_seconds()


def claimed(
    lease: JsonObject | None,
    *,
    identity: str,
    namespace: str,
    name: str,
    times: LeaseTimes,
    now: datetime,
    webhooks: str | None = None,
) -> JsonObject:
    """The Lease that says `identity` leads, to be created or written over the version just read.

    `webhooks`: host:port where it takes webhooks; None: nowhere.
    """
    spec = dict((lease or {}).get("spec") or {})
    if spec.get("holderIdentity") != identity:
        spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + (1 if lease else 0)
        spec["acquireTime"] = micro_time(now)
    spec |= {
        "holderIdentity": identity,
        "leaseDurationSeconds": max(round(times.duration.total_seconds()), 1),
        "renewTime": micro_time(now),
    }
    metadata = dict((lease or {}).get("metadata") or {"namespace": namespace, "name": name})
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != WEBHOOKS
    }
    metadata["annotations"] = annotations | ({WEBHOOKS: webhooks} if webhooks else {})
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def released(lease: JsonObject, *, now: datetime) -> JsonObject:
    """The same Lease, free for whoever comes next."""
    spec = dict(lease["spec"]) | {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "renewTime": micro_time(now),
    }
    return {**lease, "spec": spec}


def _host_and_port(text: object) -> str | None:
    return text if isinstance(text, str) and _HOST_AND_PORT.fullmatch(text) else None


def micro_time(moment: datetime) -> str:
    """Kubernetes' MicroTime: RFC 3339 in UTC with six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
