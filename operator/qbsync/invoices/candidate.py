"""One InvoiceSync in one round."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from qbsync.api.conditions import SUSPENDED, ConditionType, InvoiceReason, ReadyStatus, find
from qbsync.api.invoice import Intent, InvoiceSyncSpec, InvoiceSyncStatus, Mode, Origin, Send
from qbsync.api.meta import ADOPT, FORCE_DELETE, RECREATE, REQUESTED_AT, handled
from qbsync.engine.keys import Company, Key
from qbsync.engine.store import Snapshot
from qbsync.engine.worker import Done
from qbsync.invoices.compare import Carried
from qbsync.invoices.desk import Desk
from qbsync.invoices.errors import SpecError
from qbsync.invoices.fields import Statement, statements
from qbsync.invoices.identity import OwnerMark, content_hash, owner_mark
from qbsync.invoices.labels import claim_of
from qbsync.invoices.lines import net_total
from qbsync.invoices.overdue import zone
from qbsync.invoices.references import references_of
from qbsync.invoices.report import Occasion, open_mail, standing_reason


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

    def anew(self) -> "Candidate":
        """The same object as if it had no invoice yet: its old one was deleted, and a person wants another."""
        forgotten = dict.fromkeys(
            (
                *("quickbooks_id", "applied_hash", "origin", "outcome", "intent"),
                *("payment_status", "email_status", "due_date"),
            )
        )
        status = self.status.model_copy(update={**forgotten, "applied": {}})
        return replace(self, status=status)

    @property
    def key(self) -> Key:
        return self.snapshot.key

    @property
    def number(self) -> str | None:
        """The DocNumber it asks for; None: QuickBooks' next one."""
        number = self.spec.invoice.doc_number
        return number.strip() if number is not None else None

    @property
    def claim(self) -> str:
        """What no other object may settle while this one does."""
        return claim_of(self.snapshot.body)

    @property
    def has_source(self) -> bool:
        """It names where it comes from, so that its mark finds the invoice again under any name and uid."""
        source = self.spec.source
        return source is not None and bool(source.system and source.id)

    @property
    def recreate(self) -> str:
        return self.snapshot.annotations.get(RECREATE, "")

    @property
    def recreate_pending(self) -> str | None:
        """A wish for a new invoice that was not answered yet, as it is recorded when done."""
        wish = handled(self.recreate) if self.recreate else None
        return wish if wish != self.status.last_handled_recreate else None

    @property
    def adopt_id(self) -> str | None:
        """The invoice that a person said is this object's."""
        return self.snapshot.annotations.get(ADOPT) or None

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
    def asked(self) -> bool:
        """A person asked for something by an annotation, and was not answered yet."""
        unrecorded = self.status.quickbooks_id is None
        adopt = (
            unrecorded and self.adopt_id is not None and self.desk.adopt_tried.get(self.key) != self.adopt_id
        )
        return self.request_pending or self.recreate_pending is not None or adopt

    @property
    def forced(self) -> bool:
        """A person said that its deletion shall not wait for QuickBooks."""
        return self.snapshot.annotations.get(FORCE_DELETE) == "true"

    @property
    def at_rest(self) -> bool:
        """The invoice stands, its spec was carried out, and its status says so."""
        observing = self.spec.mode is Mode.OBSERVE
        reason = InvoiceReason.OBSERVED if observing else standing_reason(self.status)
        stands = self.status.quickbooks_id is not None
        return stands and self.ready_reason == reason and not self.spec_moved

    @property
    def mail(self) -> Intent | None:
        """Its e-mail, if that is due or its outcome is open, and may be seen to now."""
        intent = open_mail(self.status)
        if intent is None or self.spec.mode is Mode.OBSERVE or self.spec.suspend:
            return None
        return intent if intent.time is not None or self.spec.send is Send.AFTER_CREATE else None

    @property
    def quiet(self) -> bool:
        """Its invoice stands, and nobody asks for anything: only what happens in QuickBooks concerns it."""
        idle = self.status.quickbooks_id is not None and not self.spec.suspend and not self.asked
        return idle and (self.at_rest or self.refused)

    @property
    def resumed(self) -> bool:
        """It was suspended until now: what happened in QuickBooks meanwhile was not followed."""
        ready = find(self.status.conditions, ConditionType.READY)
        return ready is not None and ready.message.startswith(SUSPENDED) and not self.spec.suspend

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
    def spec_moved(self) -> bool:
        """spec.invoice is not what was carried out last."""
        return self.status.applied_hash != self.content_hash

    @property
    def adopted(self) -> bool:
        return self.status.origin is Origin.ADOPTED

    def stated(self) -> tuple[Statement, ...]:
        """What the spec states, field by field, with the names learned so far. Raises `SpecError`."""
        invoice = self.spec.invoice
        return statements(invoice, self.desk.references.resolve(references_of(invoice)))

    def intended(self) -> tuple[Statement, ...]:
        """The same, where names may be missing: for comparing only, never to be sent."""
        invoice = self.spec.invoice
        return statements(invoice, self.desk.references.intend(references_of(invoice)))

    @property
    def stated_net(self) -> Decimal:
        """What the lines come to, without tax; 0 where they contradict themselves."""
        try:
            return net_total(self.spec.invoice)
        except SpecError:
            return Decimal(0)

    @property
    def carried(self) -> Carried:
        """The spec as far as it stands in QuickBooks, as that was seen last."""
        drifted = find(self.status.conditions, ConditionType.DRIFTED)
        drift = drifted.message if drifted is not None and drifted.status is ReadyStatus.TRUE else ""
        return Carried(self.status.applied, self.status.applied_hash, drift)

    @property
    def source_total(self) -> Decimal | None:
        return self.spec.source.total if self.spec.source is not None else None

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
            recreate=self.recreate_pending,
            attempts=self.desk.attempts.get(self.key, self.status.attempts),
        )


def today(now: datetime, time_zone: str) -> date:
    """The company's date."""
    return now.astimezone(zone(time_zone)).date()
