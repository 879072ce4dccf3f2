"""A customer's statement, as the company sends it: every transaction with its memo, which is the PrivateNote."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import CREDIT_MEMO, CUSTOMER, INVOICE, PAYMENT
from qbsync.simulator.entities.money import ZERO
from qbsync.simulator.faults import object_not_found

_SIGNS = ((INVOICE, "Invoice", 1), (CREDIT_MEMO, "Credit Memo", -1), (PAYMENT, "Payment", -1))


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One transaction; `amount` is what it adds to the debt, `balance` the debt after it."""

    date: str
    type: str
    id: str
    number: str
    memo: str
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """What a customer bought and paid, in the order of its dates."""

    customer: str
    rows: Sequence[StatementRow]

    @property
    def total(self) -> Decimal:
        """What the customer owes after all of it."""
        return self.rows[-1].balance if self.rows else ZERO


def statement(company: Company, customer_id: str) -> Statement:
    """The statement of one customer. Raises Refusal 610 where there is none."""
    customer = company.table(CUSTOMER).get(customer_id)
    if customer is None:
        raise object_not_found()
    found = [
        (record.document(), title, sign)
        for kind, title, sign in _SIGNS
        for record in company.table(kind).having("CustomerRef", customer_id)
    ]
    found.sort(key=lambda entry: (entry[0]["TxnDate"], int(entry[0]["Id"])))
    rows, balance = [], ZERO
    for document, title, sign in found:
        change = sign * Decimal(document["TotalAmt"])
        balance += change
        number = document.get("DocNumber") or document.get("PaymentRefNum") or ""
        note = document.get("PrivateNote", "")
        rows.append(StatementRow(document["TxnDate"], title, document["Id"], number, note, change, balance))
    return Statement(str(customer.values["DisplayName"]), rows)
