"""What is said of a refusal: the reason, and what a person can do, before QuickBooks' own words."""

import pytest

from qbsync.api.conditions import InvoiceReason
from qbsync.invoices.refusals import reason_of, told
from qbsync.quickbooks.errors import Rejected
from qbsync.quickbooks.faults import Fault

REASONS = {
    "610": InvoiceReason.REFERENCE_NOT_FOUND,
    "2500": InvoiceReason.REFERENCE_NOT_FOUND,
    "6190": InvoiceReason.SUBSCRIPTION_ENDED,
    "6210": InvoiceReason.PERIOD_CLOSED,
}
CODES = [
    "610",
    "2010",
    "2020",
    "2030",
    "2050",
    "2170",
    "2500",
    "6000",
    "6070",
    "6190",
    "6210",
    "6540",
    "7777",
]


def refusal(code: str, words: str = "its words") -> Rejected:
    return Rejected(words, status=400, faults=[Fault(code, "ValidationFault", words)])


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_says_what_to_do_where_no_cut_reaches_it(code: str) -> None:
    message = told("the invoice", refusal(code, "x" * 4000))
    advice = message.removeprefix("the invoice was refused: ").partition(". xxx")[0]
    assert len(advice) > 30
    assert message.index("xxx") < 400
    asks = "requested-at" in message
    assert asks or "spec.invoice" in message or "amount" in message


@pytest.mark.parametrize("code", CODES)
def test_the_reason_is_the_codes_or_the_occasions(code: str) -> None:
    assert reason_of(refusal(code)) is REASONS.get(code, InvoiceReason.INVALID_INVOICE)
    void = reason_of(refusal(code), InvoiceReason.VOID_REFUSED)
    assert void is REASONS.get(code, InvoiceReason.VOID_REFUSED)
