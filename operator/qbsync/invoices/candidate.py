"""One InvoiceSync in one round."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from qbsync.api.conditions import ConditionType, InvoiceReason, ReadyStatus, find
from qbsync.api.invoice import InvoiceSyncSpec, InvoiceSyncStatus
from qbsync.api.meta import RECREATE, REQUESTED_AT, handled
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.desk import Desk
from qbsync.invoices.identity import OwnerMark, content_hash, owner_mark
from qbsync.invoices.report import Occasion


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object parsed, with its company's desk and the way to end its work."""

    company: Company
    desk: Desk
    snapshot: Snapshot
    spec: InvoiceSyncSpec
    status: InvoiceSyncStatus
    done: Done

    @classmethod
    def parse(cls, company: Company, desk: Desk, snapshot: Snapshot, done: Done) -> "Candidate":
        """Raises pydantic's `ValidationError` for what no schema of ours would have let in."""
        return cls(
            company,
            desk,
            snapshot,
            InvoiceSyncSpec.model_validate(snapshot.spec),
            InvoiceSyncStatus.model_validate(snapshot.status),
            done,
        )

    @property
    def key(self) -> Key:
        return self.snapshot.key

    @property
    def number(self) -> str:
        """The DocNumber; objects without one are refused before it is asked for."""
        return self.spec.invoice.doc_number or ""

    @property
    def recreate(self) -> str:
        return self.snapshot.annotations.get(RECREATE, "")

    @property
    def request(self) -> str | None:
        """The value of `requested-at`, as it is recorded when done."""
        value = self.snapshot.annotations.get(REQUESTED_AT)
        return handled(value) if value else None

    @property
    def request_pending(self) -> bool:
        """Somebody asked for a sync that has not been answered."""
        return self.request is not None and self.request != self.status.last_handled_request

    @property
    def ready_reason(self) -> str | None:
        ready = find(self.status.conditions, ConditionType.READY)
        return ready.reason if ready is not None else None

    @property
    def refused(self) -> bool:
        """This generation was refused, and a person has to act."""
        ready = find(self.status.conditions, ConditionType.READY)
        return (
            ready is not None
            and ready.status is ReadyStatus.FALSE
            and self.status.observed_generation == self.snapshot.generation
        )

    @property
    def deleted_in_quickbooks(self) -> bool:
        return self.ready_reason == InvoiceReason.DELETED_IN_QUICKBOOKS

    @property
    def content_hash(self) -> str:
        return content_hash(self.spec.invoice.model_dump(by_alias=True, exclude_none=True))

    @property
    def mark(self) -> OwnerMark:
        source = self.spec.source
        return owner_mark(
            namespace=self.key.namespace,
            name=self.key.name,
            uid=self.key.uid,
            source_system=source.system if source is not None else None,
            source_id=source.id if source is not None else None,
        )

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.snapshot.metadata["creationTimestamp"])

    def occasion(self, now: datetime) -> Occasion:
        return Occasion(
            now=now,
            generation=self.snapshot.generation,
            doc_number=self.spec.invoice.doc_number,
            request=self.request,
            attempts=self.desk.attempts.get(self.key, self.status.attempts),
        )


def today(now: datetime, time_zone: str) -> date:
    """The company's date."""
    return now.astimezone(ZoneInfo(time_zone)).date()
