"""Invoices that stand: looked at, changed as their spec says, watched for edits. One round's worth at a time."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Mode, Outcome
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Key
from qbsync.invoices import currency, refusals
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.compare import Carried, Comparison, applied_after, compare
from qbsync.invoices.connection import Connection
from qbsync.invoices.creation import Creation
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.desk import Change
from qbsync.invoices.entries import Entry, missing_entries, told
from qbsync.invoices.errors import NotSending, SpecError
from qbsync.invoices.fields import Statement
from qbsync.invoices.identity import OwnerMark, requestid
from qbsync.invoices.lookup import invoices_by_id
from qbsync.invoices.mapping import update_body
from qbsync.invoices.names import learn_names
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.report import entry_open
from qbsync.invoices.settle import Settler
from qbsync.invoices.standing import CreateAnew, Keep, Recorded, Update, decide_standing
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Entity, Invoice, dump_json, parse_invoice
from qbsync.quickbooks.errors import NoAccessToken, QuickBooksError, Rejected, outcome_unknown

logger = logging.getLogger(__name__)

CreateAgain = Callable[[Candidate], None]


class Upkeep:
    """Looks after recorded invoices for one operator process."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        settler: Settler,
        outbox: Outbox,
        creation: Creation,
        access_failed: Callable[[Candidate, QuickBooksError], None],
        create_again: CreateAgain,
    ) -> None:
        """`create_again`: what to do with an object whose invoice is gone and that shall have a new one."""
        self._clock, self._rng, self._settler, self._outbox = clock, rng, settler, outbox
        self._creation = creation
        self._access_failed, self._create_again = access_failed, create_again
        self._backoff = Backoff(cap=timedelta(minutes=2))
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: set[Key] = set()
        """Each until its own end: what is looked at together does not end together."""

    def look_after(
        self, candidates: Sequence[Candidate], connection: Connection, client: CompanyClient
    ) -> None:
        """Look at these invoices of one company, and do what their specs ask for; returns at once."""
        mine = [candidate for candidate in candidates if candidate.key not in self._at_work]
        if mine:
            self._at_work.update(candidate.key for candidate in mine)
            task = asyncio.create_task(self._round(mine, connection, client), name="upkeep")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _round(
        self, candidates: Sequence[Candidate], connection: Connection, client: CompanyClient
    ) -> None:
        try:
            known = {str(one.status.quickbooks_id): one.status.sync_token for one in candidates}
            found = await invoices_by_id(client, known)
            await learn_names(candidates, connection, client)
        except QuickBooksError as error:
            for candidate in candidates:
                self._at_work.discard(candidate.key)
                self._outbox.put_off(candidate, error)
            return
        except Exception as error:
            logger.exception("looking at invoices failed", extra={"company": str(candidates[0].company)})
            for candidate in candidates:
                self._at_work.discard(candidate.key)
                self._outbox.retry_later(candidate, error)
            return
        work = [
            self._one(one, found.get(str(one.status.quickbooks_id)), connection, client) for one in candidates
        ]
        await asyncio.gather(*work)

    async def _one(
        self, candidate: Candidate, invoice: Invoice | None, connection: Connection, client: CompanyClient
    ) -> None:
        try:
            await self._decide(candidate, invoice, connection, client)
        except SpecError as error:
            self._settler.refused(candidate, reason=error.reason, message=str(error))
        except Exception as error:
            # A fault of ours in one object is no reason to leave the others, or this one without an end.
            logger.exception("looking after an invoice failed", extra={"object": str(candidate.key)})
            self._outbox.retry_later(candidate, error)
        finally:
            self._at_work.discard(candidate.key)

    async def _decide(
        self, candidate: Candidate, invoice: Invoice | None, connection: Connection, client: CompanyClient
    ) -> None:
        stated = self._stated(candidate, invoice, connection)
        found = (
            compare(stated, candidate.status.applied, invoice.row, adopted=candidate.adopted)
            if invoice is not None
            else Comparison()
        )
        action = decide_standing(self._recorded(candidate), invoice, found)
        if isinstance(action, Keep) and not stated:
            self._keep(candidate, action, candidate.carried, connection)
        elif isinstance(action, Keep):
            applied = applied_after(stated, candidate.status.applied, action.invoice.row, action.found)
            carried = Carried(applied, candidate.content_hash, action.found.told)
            self._keep(candidate, action, carried, connection)
        elif isinstance(action, Update):
            entries = self._to_create(candidate, action, connection)
            if candidate.spec.mode is Mode.OBSERVE:
                self._observe(candidate, action, entries, connection)
            elif entries:
                self._create_first(candidate, entries, connection, client)
            else:
                await self._update(candidate, action, stated, connection, client)
        elif isinstance(action, CreateAnew):
            self._create_again(candidate.anew())
        elif isinstance(action, Refuse):
            self._settler.refused(candidate, reason=action.reason, message=action.message)
        else:
            self._await_outcome(candidate, action)

    def _stated(
        self, candidate: Candidate, invoice: Invoice | None, connection: Connection
    ) -> Sequence[Statement]:
        """What the spec states; nothing where names lead nowhere and nothing is to be written.

        Raises `SpecError` for what is missing, and may not be created.
        """
        try:
            missing_entries(candidate.spec.invoice, candidate.desk.references, connection)
            return candidate.intended()
        except SpecError:
            if invoice is not None and candidate.spec_moved:
                raise
            # The invoice stands, or is gone, whatever became of the names.
            return ()

    def _recorded(self, candidate: Candidate) -> Recorded:
        change = candidate.desk.changes.get(candidate.key)
        return Recorded(
            quickbooks_id=str(candidate.status.quickbooks_id),
            adopted=candidate.adopted,
            stated_net=candidate.stated_net,
            spec_moved=candidate.spec_moved,
            recreate=candidate.recreate_pending is not None,
            change_at_work_on=change.sync_token if change is not None else None,
            change_at_work_for=self._outbox.change_at_work_for(change) if change is not None else None,
        )

    def _keep(self, candidate: Candidate, action: Keep, carried: Carried, connection: Connection) -> None:
        changed = candidate.desk.changes.get(candidate.key)
        if candidate.spec.mode is Mode.OBSERVE:
            self._settler.observed(
                candidate, would="", connection=connection, invoice=action.invoice, carried=carried
            )
        elif changed is not None and changed.sync_token != action.invoice.sync_token and candidate.spec_moved:
            # The change whose answer was lost has arrived.
            self._updated(candidate, action.invoice, carried, connection)
        else:
            self._settler.kept(candidate, invoice=action.invoice, carried=carried, connection=connection)

    def _to_create(self, candidate: Candidate, action: Update, connection: Connection) -> Sequence[Entry]:
        """What has to be there before the change is sent, and is not. Raises `SpecError`."""
        spec, references = candidate.spec.invoice, candidate.desk.references
        fields = {statement.name for statement in action.found.to_write}
        if fields & currency.FIELDS:
            currency.check_currency(spec, references, connection)
        return [entry for entry in missing_entries(spec, references, connection) if entry.field in fields]

    def _create_first(
        self, candidate: Candidate, entries: Sequence[Entry], connection: Connection, client: CompanyClient
    ) -> None:
        open_for = self._outbox.absence_proven_in(candidate) if entry_open(candidate.status) else None
        if open_for is None:
            self._creation.begin(candidate, entries, connection, client)
            return
        # It was sent, perhaps by another process: only who asks when nothing can arrive any more proves absence.
        candidate.desk.references.forget_absent()
        message = f"QuickBooks did not say whether it created {told(entries)} and may still be at it"
        self._await_outcome(candidate, Wait(InvoiceReason.OUTCOME_UNKNOWN, message, open_for))

    def _observe(
        self, candidate: Candidate, action: Update, entries: Sequence[Entry], connection: Connection
    ) -> None:
        fields = ", ".join(statement.name for statement in action.found.to_write)
        also = f"create {told(entries)} and " if entries else ""
        carried = Carried(candidate.status.applied, candidate.status.applied_hash, action.found.told)
        self._settler.observed(
            candidate,
            would=f"would {also}change {fields} of invoice {action.invoice.id}",
            connection=connection,
            invoice=action.invoice,
            carried=carried,
        )

    async def _update(
        self,
        candidate: Candidate,
        action: Update,
        stated: Sequence[Statement],
        connection: Connection,
        client: CompanyClient,
    ) -> None:
        body = update_body(
            action.found.to_write, action.invoice.row, mark=self._mark(candidate), place=connection.mark_place
        )
        token = action.invoice.sync_token
        try:
            await self._outbox.confirm_alive(candidate)
            row = await client.update(
                "Invoice",
                body,
                requestid=_requestid(candidate, token, body),
                before_send=lambda: self._before_send(candidate, token),
            )
        except NotSending as reason:
            self._outbox.not_sent(candidate, reason)
        except QuickBooksError as error:
            self._failed(candidate, error)
        else:
            invoice = parse_invoice(row)
            applied = applied_after(stated, candidate.status.applied, invoice.row, action.found)
            carried = Carried(applied, candidate.content_hash, action.found.told)
            self._updated(candidate, invoice, carried, connection, row)

    def _updated(
        self,
        candidate: Candidate,
        invoice: Invoice,
        carried: Carried,
        connection: Connection,
        row: Entity | None = None,
    ) -> None:
        self._settler.synced(
            candidate,
            outcome=Outcome.UPDATED,
            invoice=invoice,
            carried=carried,
            connection=connection,
            intuit_tid=row.intuit_tid if row is not None else None,
        )

    def _mark(self, candidate: Candidate) -> OwnerMark:
        return candidate.mark.of_adopted() if candidate.adopted else candidate.mark

    def _before_send(self, candidate: Candidate, sync_token: str) -> None:
        self._outbox.check(candidate, generation=candidate.snapshot.generation)
        candidate.desk.changes[candidate.key] = Change(sync_token, self._clock.monotonic())

    def _failed(self, candidate: Candidate, error: QuickBooksError) -> None:
        went_out = candidate.key in candidate.desk.changes
        first = candidate.key not in candidate.desk.failures
        self._access_failed(candidate, error)
        if isinstance(error, NoAccessToken):
            self._outbox.retry_later(candidate, error, reason=InvoiceReason.CONNECTION_NOT_READY)
        elif went_out and outcome_unknown(error):
            self._unknown(candidate, error)
        elif isinstance(error, Rejected) and (
            error.code in {"5010", "600"} or (error.code == "610" and first)
        ):
            # Somebody was quicker, an id was used up, or the invoice is gone: look again and decide again.
            candidate.desk.changes.pop(candidate.key, None)
            self._again(candidate, error)
        elif isinstance(error, Rejected) and error.definite:
            candidate.desk.changes.pop(candidate.key, None)
            self._refused(candidate, error)
        else:
            candidate.desk.changes.pop(candidate.key, None)
            self._outbox.retry_later(candidate, error)

    def _again(self, candidate: Candidate, error: QuickBooksError) -> None:
        failures = candidate.desk.failed(candidate.key)
        self._settler.wait(
            candidate,
            reason=InvoiceReason.RETRYING,
            message=str(error),
            delay=timedelta() if failures == 1 else self._backoff.delay(failures, self._rng),
            error=error,
        )

    def _unknown(self, candidate: Candidate, error: QuickBooksError) -> None:
        failures = candidate.desk.failed(candidate.key)
        self._settler.wait(
            candidate,
            reason=InvoiceReason.OUTCOME_UNKNOWN,
            message=(
                f"a change of invoice {candidate.status.quickbooks_id} was sent, but QuickBooks gave no usable "
                f"answer ({error}). The invoice is read again before anything else is sent."
            ),
            delay=self._backoff.delay(failures, self._rng),
            error=error,
        )

    def _await_outcome(self, candidate: Candidate, action: Wait) -> None:
        delay = candidate.desk.look_again_in(candidate.key, at_most=action.delay)
        self._settler.wait(candidate, reason=action.reason, message=action.message, delay=delay)

    def _refused(self, candidate: Candidate, error: Rejected) -> None:
        reason = refusals.reason_of(error)
        if reason is InvoiceReason.REFERENCE_NOT_FOUND:
            candidate.desk.references.forget()
        self._settler.refused(
            candidate,
            reason=reason,
            message=refusals.told(f"the change of invoice {candidate.status.quickbooks_id}", error),
            error=error,
        )


def _requestid(candidate: Candidate, sync_token: str, body: dict[str, Any]) -> str:
    # Another body, or the same on a newer invoice, is another change.
    n = f"{sync_token}:{hashlib.sha256(dump_json(body)).hexdigest()}"
    return requestid(uid=candidate.key.uid, recreate=candidate.recreate, operation="update", n=n)
