"""The three sides of an update: spec, last sync, QuickBooks."""

from decimal import Decimal
from typing import Any

import pytest

from qbsync.api.invoice import InvoiceSpec
from qbsync.invoices.compare import Comparison, applied_after, as_found, compare
from qbsync.invoices.fields import Statement, statements
from qbsync.invoices.references import references_of


def spec(**fields: Any) -> InvoiceSpec:
    lines = fields.pop("lines", [{"item": {"id": "1"}, "quantity": "2", "unitPrice": "10.00"}])
    return InvoiceSpec.model_validate({"docNumber": "A", "customer": {"id": "1"}, "lines": lines, **fields})


def stated(invoice: InvoiceSpec) -> tuple[Statement, ...]:
    ids = {reference.slot: reference.id or f"id-{reference.slot}" for reference in references_of(invoice)}
    return statements(invoice, ids)


def returned(**changes: Any) -> dict[str, Any]:
    """The invoice as QuickBooks answers it, with all that it adds by itself."""
    row: dict[str, Any] = {
        "Id": "9",
        "SyncToken": "0",
        "CustomerRef": {"value": "1", "name": "Amy"},
        "DueDate": "2026-12-31",
        "PrivateNote": "[qbsync k:aaaaaaaaaa u:bbbbbb]",
        "BillAddr": {"Id": "4", "Line1": "Main Street 1", "Lat": "1", "Long": "2"},
        "Line": [
            {
                "Id": "1",
                "LineNum": 1,
                "Amount": Decimal("20.0"),
                "DetailType": "SalesItemLineDetail",
                "SalesItemLineDetail": {
                    "ItemRef": {"value": "1", "name": "Hours"},
                    "Qty": 2,
                    "UnitPrice": 10,
                    "TaxCodeRef": {"value": "NON"},
                },
            },
            {"Amount": Decimal("20.0"), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}},
        ],
    }
    return {**row, **changes}


def settled(invoice: InvoiceSpec, row: dict[str, Any]) -> dict[str, str]:
    return applied_after(stated(invoice), {}, row, Comparison())


def names(found: Comparison) -> tuple[list[str], list[str]]:
    return [one.name for one in found.to_write], [one.field for one in found.drifted]


def test_what_quickbooks_adds_is_no_difference() -> None:
    invoice = spec(dueDate="2026-12-31", billingAddress={"line1": "Main Street 1"})
    assert compare(stated(invoice), settled(invoice, returned()), returned(), adopted=False) == Comparison()
    assert compare(stated(invoice), {}, returned(), adopted=False) == Comparison()


def test_what_the_spec_does_not_say_is_none_of_its_business() -> None:
    invoice = spec()
    row = returned(DueDate="2027-01-31", CustomerMemo={"value": "hello"}, PrivateNote="somebody's note")
    assert compare(stated(invoice), settled(invoice, returned()), row, adopted=False) == Comparison()


# The rows of the table: did the spec move, did QuickBooks move.
@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("2026-12-31", "2026-12-31", ([], [])),
        ("2027-01-15", "2026-12-31", (["dueDate"], [])),
        ("2026-12-31", "2027-02-01", ([], ["dueDate"])),
        ("2027-01-15", "2027-02-01", ([], ["dueDate"])),
        ("2027-02-01", "2027-02-01", ([], [])),
    ],
)
def test_each_side_is_asked_by_itself(
    here: str, there: str, expected: tuple[list[str], list[str]], adopted: bool
) -> None:
    applied = settled(spec(dueDate="2026-12-31"), returned())
    found = compare(stated(spec(dueDate=here)), applied, returned(DueDate=there), adopted=adopted)
    assert names(found) == expected


def test_a_field_stated_for_the_first_time_is_written() -> None:
    applied = settled(spec(), returned())
    invoice = spec(customerMemo="Thank you")
    assert names(compare(stated(invoice), applied, returned(), adopted=False)) == (["customerMemo"], [])


def test_what_differs_at_an_adoption_is_drift_until_the_spec_moves() -> None:
    invoice, row = spec(dueDate="2027-01-15"), returned()
    at_adoption = compare(stated(invoice), {}, row, adopted=True)
    assert names(at_adoption) == ([], ["dueDate"])
    assert at_adoption.told == "dueDate: 2026-12-31 in QuickBooks, 2027-01-15 in the spec"
    applied = applied_after(stated(invoice), {}, row, at_adoption)
    assert names(compare(stated(invoice), applied, row, adopted=True)) == ([], ["dueDate"])
    changed = stated(spec(dueDate="2027-03-01"))
    assert names(compare(changed, applied, row, adopted=True)) == (["dueDate"], [])
    further = stated(spec(dueDate="2027-01-15", customerMemo="Thank you"))
    assert names(compare(further, applied, row, adopted=True)) == (["customerMemo"], ["dueDate"])


def test_what_quickbooks_makes_of_a_value_it_created_is_accepted() -> None:
    """A company may normalize what it is sent; that is neither an edit nor a reason to send it for ever."""
    invoice, row = spec(billEmail="a@example.com"), returned(BillEmail={"Address": "A@example.com"})
    assert compare(stated(invoice), settled(invoice, row), row, adopted=False) == Comparison()


def test_drift_stays_while_another_field_is_updated() -> None:
    before = settled(spec(dueDate="2026-12-31"), returned())
    row = returned(DueDate="2027-02-01")
    now = stated(spec(dueDate="2026-12-31", customerMemo="Thank you"))
    found = compare(now, before, row, adopted=False)
    assert names(found) == (["customerMemo"], ["dueDate"])
    after = applied_after(now, before, {**row, "CustomerMemo": {"value": "Thank you"}}, found)
    assert after["dueDate"] == before["dueDate"]
    later = compare(now, after, {**row, "CustomerMemo": {"value": "Thank you"}}, adopted=False)
    assert names(later) == ([], ["dueDate"])


def test_a_field_taken_out_of_the_spec_is_released() -> None:
    before = settled(spec(dueDate="2026-12-31"), returned())
    released = stated(spec())
    assert compare(released, before, returned(DueDate="2027-02-01"), adopted=False) == Comparison()
    assert "dueDate" not in applied_after(released, before, returned(), Comparison())


def test_a_payment_is_no_edit() -> None:
    invoice = spec(dueDate="2026-12-31")
    paid = returned(SyncToken="1", Balance=0, LinkedTxn=[{"TxnId": "5", "TxnType": "Payment"}])
    assert compare(stated(invoice), settled(invoice, returned()), paid, adopted=False) == Comparison()


@pytest.mark.parametrize(
    "edit",
    [
        {"Amount": Decimal("30.00")},
        {"Description": "other", "Amount": Decimal("20")},
    ],
)
def test_an_edited_line_is_drift_of_the_lines(edit: dict[str, Any]) -> None:
    line = {"item": {"id": "1"}, "description": "Hours", "quantity": "2", "unitPrice": "10"}
    invoice = spec(lines=[line])
    standing = returned()
    standing["Line"][0]["Description"] = "Hours"
    applied = settled(invoice, standing)
    edited = returned()
    edited["Line"][0] = {**edited["Line"][0], "Description": "Hours", **edit}
    found = compare(stated(invoice), applied, edited, adopted=False)
    assert names(found) == ([], ["lines"])


def test_a_tax_code_set_by_a_bookkeeper_is_kept_when_the_lines_change() -> None:
    invoice = spec()
    applied = settled(invoice, returned())
    edited = returned()
    edited["Line"][0]["SalesItemLineDetail"]["TaxCodeRef"] = {"value": "TAX"}
    assert compare(stated(invoice), applied, edited, adopted=False) == Comparison()
    more = spec(lines=[{"item": {"id": "1"}, "quantity": "3", "unitPrice": "10.00"}])
    assert names(compare(stated(more), applied, edited, adopted=False)) == ([], ["lines"])


def test_an_empty_text_clears() -> None:
    applied = settled(spec(), returned())
    standing = returned(CustomerMemo={"value": "Thank you"}, SalesTermRef={"value": "3"})
    invoice = spec(customerMemo="", terms="")
    to_write, drifted = names(compare(stated(invoice), applied, standing, adopted=False))
    assert (sorted(to_write), drifted) == (["customerMemo", "terms"], [])
    assert compare(stated(invoice), applied, returned(), adopted=False) == Comparison()


def test_a_missing_mark_is_no_drift() -> None:
    invoice = spec(privateNote="from the shop")
    row = returned(PrivateNote="from the shop\n[qbsync k:aaaaaaaaaa u:bbbbbb]")
    applied = settled(invoice, row)
    assert (
        compare(stated(invoice), applied, {**row, "PrivateNote": "from the shop"}, adopted=False)
        == Comparison()
    )
    assert names(compare(stated(invoice), applied, {**row, "PrivateNote": "else"}, adopted=False)) == (
        [],
        ["privateNote"],
    )


def test_many_differences_are_told_shortly() -> None:
    invoice = spec(
        dueDate="2027-01-01",
        customerMemo="a",
        privateNote="b",
        billEmail="a@example.com",
        billEmailCc="b@example.com",
        terms="id:5",
        location="id:6",
        deposit="1.00",
        extra={"TrackingNum": "7"},
        **{"class": "id:8"},
    )
    told = compare(stated(invoice), {}, returned(DueDate="2026-12-31"), adopted=True).told
    assert told.count(" in the spec") == 8
    assert told.endswith("and 2 fields more")


def test_what_agreed_when_it_was_found_again_is_drift_if_edited_before_the_rest_goes_out() -> None:
    """Between the answer to the search and the update a bookkeeper may be quicker."""
    invoice = stated(spec(dueDate="2026-12-31", customerMemo="new"))
    carried = as_found(invoice, "hash", returned(), adopted=False)
    assert carried.content_hash is None
    edited = compare(invoice, carried.applied, returned(DueDate="2028-01-01"), adopted=False)
    assert names(edited) == (["customerMemo"], ["dueDate"])


def test_what_is_found_again_as_the_spec_says_is_settled() -> None:
    invoice = stated(spec(dueDate="2026-12-31"))
    carried = as_found(invoice, "hash", returned(), adopted=False)
    assert (carried.content_hash, set(carried.applied)) == ("hash", {"customer", "lines", "dueDate"})
