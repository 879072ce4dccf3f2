"""What changed in QuickBooks by itself comes to the objects that keep those invoices.

Nothing is written to QuickBooks here, and nothing is read but what the news left open.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import chain

from qbsync.api.invoice import InvoiceSyncStatus, Mode
from qbsync.engine.backoff import Backoff
from qbsync.engine.keys import Key
from qbsync.invoices.candidate import Candidate
from qbsync.invoices.compare import Carried, Comparison, applied_after, compare, untouched
from qbsync.invoices.connection import Connection
from qbsync.invoices.decide import Refuse
from qbsync.invoices.errors import SpecError
from qbsync.invoices.lookup import CompanyDirectory, invoices_by_id
from qbsync.invoices.news import News
from qbsync.invoices.references import references_of
from qbsync.invoices.settle import Settler
from qbsync.invoices.standing import Keep, Recorded, decide_standing
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.entities import Invoice
from qbsync.quickbooks.errors import QuickBooksError

logger = logging.getLogger(__name__)

_Heard = Sequence[tuple[Candidate, News]]


class Following:
    """Tells quiet objects what became of their invoices, for one operator process."""

    def __init__(
        self,
        *,
        rng: random.Random,
        settler: Settler,
        access_failed: Callable[[Candidate, QuickBooksError], None],
    ) -> None:
        self._rng, self._settler, self._access_failed = rng, settler, access_failed
        self._backoff = Backoff(cap=timedelta(minutes=5))
        self._tasks: set[asyncio.Task[None]] = set()

    def take_in(self, candidates: Sequence[Candidate], connection: Connection, client: CompanyClient) -> None:
        """Work the news of these objects of one company into their statuses; returns at once."""
        heard = [(one, news) for one in candidates if (news := one.desk.news.take(one.key)) is not None]
        if heard:
            task = asyncio.create_task(self._round(heard, connection, client), name="follow")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _round(self, heard: _Heard, connection: Connection, client: CompanyClient) -> None:
        try:
            rows = await self._rows(heard, client)
            await self._learn_names(heard, rows, client)
        except Exception as error:
            if not isinstance(error, QuickBooksError):
                logger.exception("following invoices failed", extra={"company": str(heard[0][0].company)})
            for candidate, news in heard:
                self._put_off(candidate, news, error)
            return
        for candidate, news in heard:
            try:
                self._one(candidate, rows.get(candidate.key), news, connection)
            except Exception as error:
                # A fault of ours in one object is no reason to leave the others.
                logger.exception("following an invoice failed", extra={"object": str(candidate.key)})
                self._put_off(candidate, news, error)
            else:
                news.recorded.set()

    async def _rows(self, heard: _Heard, client: CompanyClient) -> dict[Key, Invoice]:
        """The invoices as they are now; who is missing has none any more."""
        unseen = {
            str(one.status.quickbooks_id): one.status.sync_token
            for one, news in heard
            if news.invoice is None
        }
        read = await invoices_by_id(client, unseen) if unseen else {}
        found = {one.key: news.invoice or read.get(str(one.status.quickbooks_id)) for one, news in heard}
        return {key: invoice for key, invoice in found.items() if invoice is not None}

    async def _learn_names(self, heard: _Heard, rows: Mapping[Key, Invoice], client: CompanyClient) -> None:
        edited = [one for one, news in heard if _is_edited(one, rows.get(one.key), news)]
        named = chain.from_iterable(references_of(one.spec.invoice) for one in edited)
        if edited:
            await edited[0].desk.references.learn(named, CompanyDirectory(client))

    def _one(self, candidate: Candidate, invoice: Invoice | None, news: News, connection: Connection) -> None:
        if invoice is not None and is_older(invoice, candidate.status):
            self._settler.end(candidate)
        elif invoice is not None and (news.figures_only or candidate.refused):
            self._figures(candidate, invoice, connection)
        else:
            self._compare(candidate, invoice, connection, edited=_is_edited(candidate, invoice, news))

    def _figures(self, candidate: Candidate, invoice: Invoice, connection: Connection) -> None:
        self._settler.figured(candidate, invoice=invoice, connection=connection)

    def _compare(
        self, candidate: Candidate, invoice: Invoice | None, connection: Connection, *, edited: bool
    ) -> None:
        """The comparison of a look; the spec did not move, so that there is nothing to write."""
        found, applied = Comparison(), candidate.status.applied
        if edited and invoice is not None:
            try:
                stated = candidate.stated()
            except SpecError:
                # A name that QuickBooks does not know any more: who changes the spec next is told.
                self._figures(candidate, invoice, connection)
                return
            found = compare(stated, applied, invoice.row, adopted=candidate.adopted)
            applied = applied_after(stated, applied, invoice.row, found)
        action = decide_standing(_recorded(candidate), invoice, found)
        if isinstance(action, Refuse):
            self._settler.refused(candidate, reason=action.reason, message=action.message)
        elif isinstance(action, Keep):
            self._keep(candidate, action, Carried(applied, candidate.content_hash, found.told), connection)
        else:
            self._settler.again(candidate)

    def _keep(self, candidate: Candidate, action: Keep, carried: Carried, connection: Connection) -> None:
        if candidate.spec.mode is Mode.OBSERVE:
            self._settler.observed(
                candidate, would="", connection=connection, invoice=action.invoice, carried=carried
            )
            return
        self._settler.kept(candidate, invoice=action.invoice, carried=carried, connection=connection)

    def _put_off(self, candidate: Candidate, news: News, error: Exception) -> None:
        """Nothing was learned. The object stands as it did: that is not its trouble."""
        if isinstance(error, QuickBooksError):
            self._access_failed(candidate, error)
        candidate.desk.news.put_back(candidate.key, news)
        failures = candidate.desk.failed(candidate.key)
        candidate.done(candidate.key, self._backoff.delay(failures, self._rng))


def is_news(invoice: Invoice, status: InvoiceSyncStatus) -> bool:
    """Whether a row says anything that the status does not say already.

    Not every QuickBooks moves an invoice's SyncToken with its payments, so the figures are compared as well.
    """
    if is_older(invoice, status):
        return False
    seen = (status.sync_token, status.balance, status.total_amount, status.email_status)
    return seen != (invoice.sync_token, invoice.balance, invoice.total, invoice.email_status)


def is_older(invoice: Invoice, status: InvoiceSyncStatus) -> bool:
    """Whether a row is from before what the status shows."""
    row, known = invoice.sync_token, status.sync_token or ""
    return row.isdigit() and known.isdigit() and int(row) < int(known)


def _is_edited(candidate: Candidate, invoice: Invoice | None, news: News) -> bool:
    """Whether it has to be compared field by field."""
    if invoice is None or news.figures_only or candidate.refused:
        return False
    return candidate.adopted or not untouched(candidate.status.applied, invoice.row)


def _recorded(candidate: Candidate) -> Recorded:
    return Recorded(
        quickbooks_id=str(candidate.status.quickbooks_id),
        adopted=candidate.adopted,
        stated_net=candidate.stated_net,
        spec_moved=candidate.spec_moved,
    )
