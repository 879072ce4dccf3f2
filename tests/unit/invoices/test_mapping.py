"""From a spec to QuickBooks' JSON."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.errors import InvalidSpec
from qbsync.invoices.identity import OwnerMark
from qbsync.invoices.mapping import Resolved, line_amount, net_total, to_quickbooks, transaction_date
from qbsync.quickbooks.entities import dump_json

MARK = OwnerMark("aaaaaaaaaa", "bbbbbb")


def spec(*lines: dict[str, Any], **fields: Any) -> InvoiceSpec:
    return InvoiceSpec.model_validate(
        {"docNumber": "INV-1", "customer": {"id": "1"}, "lines": list(lines), **fields}
    )


def line(**fields: Any) -> dict[str, Any]:
    return {"item": {"id": "1"}, **fields}


def test_a_whole_invoice() -> None:
    invoice = spec(
        line(description="Hours", quantity="3", unitPrice="128.35", serviceDate="2026-11-01"),
        line(amount="10"),
        dueDate="2026-12-31",
        billEmail="a@example.com",
        customerMemo="Thank you",
        privateNote="from the shop",
    )
    body = to_quickbooks(invoice, resolved=Resolved("58", ("1", "2")), mark=MARK, day=date(2026, 11, 23))
    assert body == {
        "DocNumber": "INV-1",
        "TxnDate": "2026-11-23",
        "DueDate": "2026-12-31",
        "CustomerRef": {"value": "58"},
        "BillEmail": {"Address": "a@example.com"},
        "CustomerMemo": {"value": "Thank you"},
        "PrivateNote": f"from the shop\n{MARK}",
        "Line": [
            {
                "Amount": Decimal("385.05"),
                "Description": "Hours",
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "1"},
                    "Qty": Decimal("3"),
                    "UnitPrice": Decimal("128.35"),
                    "ServiceDate": "2026-11-01",
                },
            },
            {
                "Amount": Decimal("10"),
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {"ItemRef": {"value": "2"}},
            },
        ],
    }
    assert b'"UnitPrice":128.35' in dump_json(body)
    assert net_total(invoice) == Decimal("395.05")


def test_amounts_round_half_up_as_quickbooks_does() -> None:
    """Intuit: Fault 6070; 128.35 x 14.50 = 1861.075 is accepted as 1861.08 and refused as 1861.07."""
    assert line_amount(spec(line(quantity="14.50", unitPrice="128.35")).lines[0], 0) == Decimal("1861.08")


@given(
    quantity=st.decimals(min_value=0, max_value=10000, places=5),
    price=st.decimals(min_value=0, max_value=10000, places=5),
)
def test_an_amount_is_the_product_to_the_cent(quantity: Decimal, price: Decimal) -> None:
    amount = line_amount(spec(line(quantity=str(quantity), unitPrice=str(price))).lines[0], 0)
    assert abs(amount - quantity * price) <= Decimal("0.005")
    assert amount == amount.quantize(Decimal("0.01"))


def test_an_amount_that_is_not_the_product_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidSpec, match=r"lines\[0\]\.amount is 5\.00, but quantity x unitPrice is 6\.00"):
        line_amount(spec(line(quantity="2", unitPrice="3", amount="5.00")).lines[0], 0)


def test_the_date_is_the_companys_day_of_creation_whenever_it_is_sent() -> None:
    created = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
    invoice = spec(line(amount="1"))
    assert transaction_date(invoice, created=created, time_zone="America/Los_Angeles") == date(2026, 11, 22)
    assert transaction_date(invoice, created=created, time_zone="UTC") == date(2026, 11, 23)
    dated = spec(line(amount="1"), transactionDate="2026-01-31")
    assert transaction_date(dated, created=created, time_zone="UTC") == date(2026, 1, 31)
