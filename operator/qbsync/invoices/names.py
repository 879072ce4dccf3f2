"""The names that the specs of a round lead to: looked up before any of them is decided."""

from collections.abc import Sequence
from itertools import chain

from qbsync.invoices.candidate import Candidate
from qbsync.invoices.connection import Connection
from qbsync.invoices.currency import customer_by_any_name
from qbsync.invoices.entries import needed_for
from qbsync.invoices.lookup import CompanyDirectory
from qbsync.invoices.references import references_of
from qbsync.quickbooks.client import CompanyClient


async def learn_names(candidates: Sequence[Candidate], connection: Connection, client: CompanyClient) -> None:
    """Look up every name in these specs, and what is needed to create those that are missing.

    Raises a `QuickBooksError` whenever the answer proves nothing.
    """
    references, directory = candidates[0].desk.references, CompanyDirectory(client)
    named = chain.from_iterable(references_of(one.spec.invoice) for one in candidates)
    # What is written has to be in its customer's currency.
    moved = [one.spec.invoice.customer for one in candidates if one.spec_moved]
    customers = map(customer_by_any_name, moved) if connection.multicurrency else ()
    await references.learn(chain(named, customers), directory)
    further = (needed_for(one.spec.invoice, references, connection) for one in candidates)
    await references.learn(list(chain.from_iterable(further)), directory)
