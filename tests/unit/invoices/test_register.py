"""The register: what each column says, and cells that no spreadsheet computes."""

from collections.abc import Mapping
from typing import Any

import pytest

from qbsync.invoices.register import AMOUNTS, COLUMNS, cells, row_of

SYNCED: dict[str, Any] = {
    "metadata": {"namespace": "billing", "name": "inv-1042"},
    "spec": {
        "connectionRef": {"name": "acme"},
        "source": {
            "system": "hubspot",
            "number": "HS-7",
            "id": "5234f308",
            "url": "https://hubspot.example/7",
            "total": "385.05",
        },
        "invoice": {"docNumber": "INV-1042"},
    },
    "status": {
        "quickbooksId": "218",
        "docNumber": "INV-1042",
        "url": "https://app.qbo.intuit.com/app/invoice?txnId=218",
        "totalAmount": "385.05",
        "balance": "100.00",
        "currency": "USD",
        "paymentStatus": "PartiallyPaid",
        "origin": "Created",
        "outcome": "Updated",
        "lastSyncTime": "2026-11-23T09:00:00Z",
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Updated", "message": "invoice 218 in QuickBooks"},
            {"type": "Drifted", "status": "True", "reason": "EditedInQuickBooks", "message": "dueDate: …"},
            {"type": "TotalMismatch", "status": "False", "reason": "InSync", "message": "agree"},
        ],
    },
}
ROW = {
    "sourceNumber": "HS-7",
    "sourceSystem": "hubspot",
    "sourceId": "5234f308",
    "sourceUrl": "https://hubspot.example/7",
    "sourceTotal": "385.05",
    "quickbooksId": "218",
    "docNumber": "INV-1042",
    "quickbooksUrl": "https://app.qbo.intuit.com/app/invoice?txnId=218",
    "total": "385.05",
    "balance": "100.00",
    "currency": "USD",
    "paymentStatus": "PartiallyPaid",
    "origin": "Created",
    "outcome": "Updated",
    "lastSync": "2026-11-23T09:00:00Z",
    "ready": "True",
    "reason": "Updated",
    "message": "invoice 218 in QuickBooks",
    "drifted": "dueDate: …",
    "totalMismatch": None,
    "connection": "billing/acme",
    "namespace": "billing",
    "name": "inv-1042",
}


def test_a_row_says_it_all_in_its_order() -> None:
    row = row_of(SYNCED)
    assert row == ROW
    assert tuple(row) == COLUMNS
    assert list(cells(row)) == [value or "" for value in ROW.values()]


def test_an_object_that_nobody_has_looked_at_yet_has_a_row_too() -> None:
    reference = {"name": "acme", "namespace": "books"}
    invoice = {"docNumber": "INV-1"}
    body = {"metadata": SYNCED["metadata"], "spec": {"connectionRef": reference, "invoice": invoice}}
    row = row_of(body)
    told = {column: value for column, value in row.items() if value is not None}
    assert told == {
        "docNumber": "INV-1",
        "connection": "books/acme",
        "namespace": "billing",
        "name": "inv-1042",
    }


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        ({"sourceNumber": '=HYPERLINK("http://evil")'}, '\'=HYPERLINK("http://evil")'),
        ({"docNumber": "-42"}, "'-42"),
        ({"docNumber": "+1"}, "'+1"),
        ({"sourceId": "@SUM(A1)"}, "'@SUM(A1)"),
        ({"sourceId": "\t=1"}, "'\t=1"),
        ({"sourceId": "\r=1"}, "'\r=1"),
        ({"message": "＝1+1"}, "'＝1+1"),
        ({"balance": "-12.50"}, "-12.50"),
        ({"total": "-1"}, "-1"),
        ({"total": "-1+cmd|' /C calc'!A0"}, "'-1+cmd|' /C calc'!A0"),
        ({"total": "-"}, "'-"),
        ({"total": "-1.2.3"}, "'-1.2.3"),
        ({"docNumber": "1=1"}, "1=1"),
        ({"docNumber": "'x"}, "'x"),
        ({"docNumber": None}, ""),
    ],
)
def test_no_cell_is_a_formula_and_amounts_stay_numbers(change: Mapping[str, str | None], cell: str) -> None:
    (column,) = change
    shown = dict(zip(COLUMNS, cells({**row_of(SYNCED), **change}), strict=True))
    assert shown[column] == cell
    assert set(COLUMNS) >= AMOUNTS
