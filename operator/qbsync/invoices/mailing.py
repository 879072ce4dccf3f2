"""`send: AfterCreate`: having QuickBooks e-mail an invoice that was created here, once and never twice.

The status that reports the invoice as created says that its e-mail is due (an intent without a time). Right
before the POST the intent gets its time, and that is stored first: whoever comes later, in whichever process,
does not send again. Where the outcome is unknown, one look at EmailStatus, when QuickBooks can no longer be at
it, either shows that it was sent, or it is told that this is not certain: a customer who gets an invoice twice
is worse off than one whom a person writes.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from qbsync.api.conditions import InvoiceReason
from qbsync.api.invoice import Intent, PaymentStatus
from qbsync.engine.clock import Clock
from qbsync.engine.grace import TakeoverGrace
from qbsync.engine.keys import Key
from qbsync.engine.reporter import NotRecorded
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.errors import NotSending
from qbsync.invoices.identity import requestid
from qbsync.invoices.lookup import existing
from qbsync.invoices.outbox import Outbox
from qbsync.invoices.report import EMAIL_SENT, SEND, recovered_at
from qbsync.invoices.settle import Settler
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import parse_invoice
from qbsync.quickbooks.errors import QuickBooksError, Rejected, outcome_unknown

logger = logging.getLogger(__name__)


class Mailing:
    """Sends the e-mails that are due, for one operator process."""

    def __init__(
        self,
        *,
        clock: Clock,
        settler: Settler,
        outbox: Outbox,
        grace: TakeoverGrace,
        access_failed: Callable[[Candidate, QuickBooksError], None],
    ) -> None:
        self._clock, self._settler, self._outbox = clock, settler, outbox
        self._grace, self._access_failed = grace, access_failed
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._posted: dict[Key, float] = {}
        """When this process sent those whose outcome is open (monotonic seconds)."""

    def begin(self, candidate: Candidate, intent: Intent, client: CompanyClient) -> None:
        """Bring the e-mail of an invoice forward; returns at once."""
        if candidate.key in self._tasks:
            return
        work = self._work(candidate, intent, client)
        task = asyncio.create_task(work, name=f"e-mail of {candidate.key}")
        self._tasks[candidate.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(candidate.key, None))

    def under_way(self, key: Key) -> bool:
        """Whether an e-mail was sent whose outcome is open."""
        return key in self._posted

    async def _work(self, candidate: Candidate, intent: Intent, client: CompanyClient) -> None:
        status = candidate.status
        try:
            if intent.time is None and status.email_status == EMAIL_SENT:
                self._settler.not_mailed(candidate, why="it was e-mailed from QuickBooks meanwhile")
            elif intent.time is None and status.payment_status is PaymentStatus.VOIDED:
                self._settler.not_mailed(candidate, why="it was not e-mailed, since it is void")
            elif intent.time is None:
                await self._send_if_unsent(candidate, client)
            else:
                await self._look(candidate, intent, client)
        except QuickBooksError as error:
            self._outbox.put_off(candidate, error)
        except Exception as error:
            logger.exception("sending an e-mail failed", extra={"object": str(candidate.key)})
            self._outbox.retry_later(candidate, error)

    async def _send_if_unsent(self, candidate: Candidate, client: CompanyClient) -> None:
        """Of an invoice that was found again, whoever had it before may have sent it: one late look tells."""
        since = recovered_at(candidate.status)
        if since is not None:
            left = since + self._outbox.at_work_at_most - self._clock.now()
            if left > timedelta():
                self._await(candidate, left)
                return
            invoice = await existing(client, str(candidate.status.quickbooks_id))
            if invoice is None or invoice.email_status == EMAIL_SENT:
                why = "it was deleted in QuickBooks" if invoice is None else "it had been e-mailed before"
                self._settler.not_mailed(candidate, why=why)
                return
        await self._send(candidate, client)

    async def _send(self, candidate: Candidate, client: CompanyClient) -> None:
        """The one POST. Nothing was sent before it, by anybody."""
        intent = _intent(candidate)
        intending = candidate
        try:
            await self._outbox.confirm_alive(candidate)
            self._outbox.check(candidate, generation=candidate.snapshot.generation)
            intending = await self._settler.intend(
                candidate, intent.model_copy(update={"time": self._clock.now()})
            )
            row = await client.send(
                "Invoice",
                str(candidate.status.quickbooks_id),
                requestid=str(intent.request_id),
                before_send=lambda: self._before_send(candidate),
            )
        except NotRecorded as why:
            # It may yet be stored, and is taken for sent then: so it is taken back.
            self._settler.withdraw(candidate)
            self._outbox.not_sent(candidate, NotSending(str(why)))
        except NotSending as why:
            self._withdraw(candidate, intending)
            self._outbox.not_sent(candidate, why)
        except QuickBooksError as error:
            self._failed(candidate, intending, error)
        else:
            self._posted.pop(candidate.key, None)
            self._settler.mailed(intending, invoice=parse_invoice(row), intuit_tid=row.intuit_tid)

    def _before_send(self, candidate: Candidate) -> None:
        self._outbox.check(candidate, generation=candidate.snapshot.generation)
        self._posted[candidate.key] = self._clock.monotonic()

    def _withdraw(self, candidate: Candidate, intending: Candidate) -> None:
        if intending is not candidate:
            self._settler.withdraw(candidate)

    def _failed(self, candidate: Candidate, intending: Candidate, error: QuickBooksError) -> None:
        posted = candidate.key in self._posted
        if posted and (outcome_unknown(error) or (isinstance(error, Rejected) and error.code == "600")):
            self._access_failed(candidate, error)
            self._await(intending, self._outbox.at_work_at_most)
            return
        self._posted.pop(candidate.key, None)
        if isinstance(error, Rejected) and error.definite:
            why = f"QuickBooks refused to e-mail it: {error}"
            self._settler.not_mailed(intending, why=why, error=error)
            return
        self._withdraw(candidate, intending)
        self._outbox.put_off(candidate, error)

    async def _look(self, candidate: Candidate, intent: Intent, client: CompanyClient) -> None:
        """It may have been sent: what became of it, one look tells once QuickBooks cannot be at it any more."""
        left = self._left(candidate, intent)
        if left is not None:
            self._await(candidate, left)
            return
        invoice = await existing(client, str(candidate.status.quickbooks_id))
        self._posted.pop(candidate.key, None)
        if invoice is None:
            self._settler.not_mailed(candidate, why="it was deleted in QuickBooks before that was certain")
        elif invoice.email_status == EMAIL_SENT:
            self._settler.mailed(candidate, invoice=invoice)
        else:
            why = "QuickBooks did not confirm that it e-mailed it: look there, and send it by hand if need be"
            self._settler.not_mailed(candidate, why=why)

    def _left(self, candidate: Candidate, intent: Intent) -> timedelta | None:
        posted = self._posted.get(candidate.key)
        if posted is not None:
            return self._outbox.left_of(posted)
        inherited = self._grace.remaining(candidate.snapshot, monotonic=self._clock.monotonic())
        since = intent.time or self._clock.now()
        own = since + self._outbox.at_work_at_most - self._clock.now()
        return max(
            (left for left in (inherited, own) if left is not None and left > timedelta()), default=None
        )

    def _await(self, candidate: Candidate, left: timedelta) -> None:
        self._settler.wait(
            candidate,
            reason=InvoiceReason.OUTCOME_UNKNOWN,
            message="QuickBooks did not say whether it e-mailed the invoice, and may still be at it",
            delay=left,
        )


def _intent(candidate: Candidate) -> Intent:
    status = candidate.status
    n = f"{status.quickbooks_id}:{status.sync_token}"
    id_ = requestid(uid=candidate.key.uid, recreate=candidate.recreate, operation=SEND, n=n)
    return Intent(operation=SEND, request_id=id_, generation=candidate.snapshot.generation)
