"""Changing, voiding, deleting and sending through the API: SyncTokens, what is cleared, what is refused."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import (
    ACCOUNT,
    CREDIT_MEMO,
    CUSTOMER,
    INVOICE,
    ITEM,
    PAYMENT,
    PREFERENCES,
    SALES_RECEIPT,
    VENDOR,
    Change,
    Kind,
)

from .desk import MOMENT, Desk, later, line

RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks" / "minimul-qbo_api"
CUSTOM_OFF = {"SalesFormsPrefs": {"CustomTxnNumbers": False}}


def recorded(name: str) -> list[dict[str, Any]]:
    """The exchanges of one recording."""
    exchanges: list[dict[str, Any]] = jsoncodec.load((RECORDED / f"{name}.json").read_bytes())
    return exchanges


# Sparse and full


def test_a_sparse_update_changes_only_what_it_names() -> None:
    desk = Desk()
    made = desk.invoice(line(100), PrivateNote="note", CustomerMemo={"value": "hello"}, DocNumber="A-1")
    changed = desk.update(INVOICE, made, later(5), PrivateNote="other")
    assert changed["PrivateNote"] == "other"
    assert changed["SyncToken"] == "1"
    assert changed["MetaData"] == {
        "CreateTime": made["MetaData"]["CreateTime"],
        "LastUpdatedTime": "2026-11-23T01:00:05-08:00",
    }
    moved = {"PrivateNote", "SyncToken", "MetaData"}
    assert {name: value for name, value in changed.items() if name not in moved} == {
        name: value for name, value in made.items() if name not in moved
    }
    assert list(changed) == list(made)


def test_lines_sent_replace_the_list_and_new_ones_get_new_ids() -> None:
    desk = Desk()
    made = desk.invoice(line(100), line(50))
    kept = {**made["Line"][1], "Description": "kept"}
    changed = desk.update(INVOICE, made, Line=[kept, line(7)])
    assert [(each.get("Id"), each.get("LineNum")) for each in changed["Line"]] == [
        ("2", 1),
        ("3", 2),
        (None, None),
    ]
    assert changed["TotalAmt"] == changed["Balance"] == 57
    assert changed["Line"][-1]["Amount"] == 57


def test_a_full_update_clears_what_it_leaves_out() -> None:
    desk = Desk()
    made = desk.invoice(
        line(100),
        DocNumber="A-1",
        PrivateNote="note",
        BillEmail={"Address": "a@example.org"},
        EmailStatus="NeedToSend",
        CustomerMemo={"value": "memo"},
        SalesTermRef={"value": "2"},
        TxnDate="2026-11-01",
    )
    changed = desk.replace(INVOICE, made, CustomerRef={"value": "1"}, Line=[line(30)])
    for gone in ("DocNumber", "PrivateNote", "BillEmail", "CustomerMemo", "SalesTermRef"):
        assert gone in made
        assert gone not in changed
    assert (changed["EmailStatus"], changed["TxnDate"], changed["TotalAmt"]) == ("NotSet", "2026-11-23", 30)


def test_the_date_a_full_update_leaves_out_is_today_or_stays() -> None:
    desk = Desk(fullUpdateDate="keep")
    made = desk.invoice(TxnDate="2026-11-01")
    changed = desk.replace(INVOICE, made, CustomerRef={"value": "1"}, Line=[line(30)])
    assert changed["TxnDate"] == "2026-11-01"


def test_a_full_update_keeps_the_number_where_quickbooks_numbers() -> None:
    desk = Desk(CUSTOM_OFF)
    made = desk.invoice()
    body = {"CustomerRef": {"value": "1"}, "Line": [line(30)]}
    kept = desk.replace(INVOICE, made, **body)
    assert kept["DocNumber"] == made["DocNumber"]
    assert desk.replace(INVOICE, kept, **body, DocNumber="X-1")["DocNumber"] == "X-1"


def test_a_full_update_without_lines_is_refused() -> None:
    desk = Desk()
    made = desk.invoice()
    assert desk.refusal(lambda: desk.replace(INVOICE, made, CustomerRef={"value": "1"})) == (
        "2020",
        "Required parameter Line is missing in the request",
    )


@pytest.mark.parametrize(
    ("field", "value", "empty"),
    [
        ("PrivateNote", "x", ""),
        ("CustomerMemo", {"value": "x"}, {"value": ""}),
        ("BillEmail", {"Address": "a@example.org"}, {"Address": ""}),
        ("SalesTermRef", {"value": "2"}, {"value": ""}),
        ("DocNumber", "A-1", ""),
    ],
)
def test_an_empty_text_clears_or_is_kept_by_switch(field: str, value: Any, empty: Any) -> None:
    desk = Desk()
    made = desk.invoice(**{field: value})
    assert field not in desk.update(INVOICE, made, **{field: empty})
    desk.switches.put({"emptyText": "kept"})
    made = desk.invoice(**{field: value})
    assert desk.update(INVOICE, made, **{field: empty})[field] == value


def test_an_address_is_replaced_or_laid_over_by_switch() -> None:
    desk = Desk()
    made = desk.invoice(BillAddr={"Line1": "1 Road", "City": "Ames"})
    sent = {"City": "Bath", "Line1": ""}
    assert desk.update(INVOICE, made, BillAddr=sent)["BillAddr"] == {"City": "Bath"}
    desk.switches.put({"sparseStructures": "merge"})
    made = desk.invoice(BillAddr={"Line1": "1 Road", "City": "Ames", "PostalCode": "1"})
    assert desk.update(INVOICE, made, BillAddr=sent)["BillAddr"] == {"City": "Bath", "PostalCode": "1"}
    emptied = desk.update(INVOICE, desk.read(made["Id"]), BillAddr={"City": "", "PostalCode": ""})
    assert "BillAddr" not in emptied


def test_what_quickbooks_counts_cannot_be_sent() -> None:
    desk = Desk()
    made = desk.invoice(line(100))
    changed = desk.update(
        INVOICE,
        made,
        Balance=1,
        TotalAmt=2,
        LinkedTxn=[{"TxnId": "1", "TxnType": "Payment"}],
        MetaData={"CreateTime": "x"},
    )
    assert (changed["Balance"], changed["TotalAmt"], changed["LinkedTxn"]) == (100, 100, [])
    assert changed["MetaData"]["CreateTime"] == made["MetaData"]["CreateTime"]


def test_a_whole_invoice_can_be_sent_back() -> None:
    desk = Desk()
    made = desk.invoice(line("99.99"), line("0.01"), PrivateNote="note", DocNumber="A-1")
    back = desk.ledger.update(desk.company, INVOICE, dict(made), MOMENT).document()
    assert {**back, "SyncToken": "0"} == made


# SyncToken


def test_a_stale_synctoken_is_refused_in_the_recorded_words() -> None:
    desk = Desk()
    made = desk.invoice()
    desk.update(INVOICE, made, PrivateNote="first")
    theirs = recorded("batch__basic")[0]["response"]["body"]["BatchItemResponse"][2]["Fault"]["Error"][0]
    detail = theirs["Detail"].replace("Christian Pelczarski", "Craig Carlson")
    for attempt in (
        lambda: desk.update(INVOICE, made, PrivateNote="second"),
        lambda: desk.update(INVOICE, {**made, "SyncToken": "7"}, PrivateNote="second"),
        lambda: desk.ledger.void(desk.company, INVOICE, made, MOMENT),
        lambda: desk.ledger.delete(desk.company, INVOICE, made, MOMENT),
    ):
        assert desk.refusal(attempt) == ("5010", detail)
    desk.switches.put({"staleObjectEntity": True})
    assert desk.refusal(lambda: desk.update(INVOICE, made)) == ("5010", f"{detail} Entity=Invoice")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"SyncToken": "0"}, "2020"),
        ({"Id": "1.5", "SyncToken": "0"}, "2030"),
        ({"Id": "99999", "SyncToken": "0"}, "610"),
        ({"Id": "101"}, "2020"),
    ],
)
def test_what_is_to_be_changed_must_be_named(body: dict[str, str], code: str) -> None:
    desk = Desk()
    for operation in (desk.ledger.update, desk.ledger.void, desk.ledger.delete):
        assert desk.code(lambda do=operation: do(desk.company, INVOICE, dict(body), MOMENT)) == code


@pytest.mark.parametrize("kind", [CUSTOMER, ITEM, ACCOUNT, VENDOR, CREDIT_MEMO])
def test_some_operations_do_not_exist(kind: Kind) -> None:
    desk = Desk()
    body = {"Id": "1", "SyncToken": "0"}
    assert desk.code(lambda: desk.ledger.void(desk.company, kind, body, MOMENT)) == "500"
    if kind is not CREDIT_MEMO:
        assert desk.code(lambda: desk.ledger.delete(desk.company, kind, body, MOMENT)) == "500"
        assert desk.code(lambda: desk.ledger.send(desk.company, kind, "1", MOMENT, send_to=None)) == "500"
        assert desk.code(lambda: desk.ledger.pdf(desk.company, kind, "1")) == "500"


def test_preferences_are_not_made() -> None:
    desk = Desk()
    assert desk.code(lambda: desk.create(PREFERENCES, {})) == "500"
    assert desk.code(lambda: desk.update(PREFERENCES, {"Id": "1", "SyncToken": "0"})) == "500"


# Numbers


def test_a_changed_number_must_be_free_an_unchanged_one_is() -> None:
    desk = Desk(duplicateDocCheck=True)
    first, second = desk.invoice(DocNumber="A-1"), desk.invoice(DocNumber="A-2")
    assert desk.code(lambda: desk.update(INVOICE, second, DocNumber="A-1")) == "6140"
    assert desk.update(INVOICE, second, DocNumber="A-2", PrivateNote="x")["DocNumber"] == "A-2"
    allowed = desk.ledger.update(
        desk.company,
        INVOICE,
        {"Id": first["Id"], "SyncToken": "0", "sparse": True, "DocNumber": "A-2"},
        MOMENT,
        allow_duplicate=True,
    )
    assert allowed.document()["DocNumber"] == "A-2"


def test_other_transactions_numbers_are_used_too() -> None:
    desk = Desk(duplicateDocCheck=True)
    form = {"CustomerRef": {"value": "1"}, "Line": [line(5)]}
    memo = desk.create(CREDIT_MEMO, {**form, "DocNumber": "C-1"})
    receipt = desk.create(SALES_RECEIPT, {**form, "DocNumber": "S-1"})
    payment = desk.payment(5, PaymentRefNum="P-1")
    for number, words, holder in (
        ("C-1", "Credit Memo", memo),
        ("S-1", "Sales Receipt", receipt),
        ("P-1", "Payment", payment),
    ):
        code, detail = desk.refused(DocNumber=number)
        assert code == "6140"
        assert detail.endswith(f"DocNumber={number} is assigned to TxnType={words} with TxnId={holder['Id']}")
    assert desk.code(lambda: desk.payment(5, PaymentRefNum="P-1")) == "6140"
    desk.switches.put({"duplicateDocAcross": False})
    assert desk.invoice(DocNumber="C-1")["DocNumber"] == "C-1"


def test_sales_forms_share_one_sequence() -> None:
    desk = Desk(CUSTOM_OFF)
    form = {"CustomerRef": {"value": "1"}, "Line": [line(5)]}
    assert desk.invoice()["DocNumber"] == "1013"
    assert desk.create(SALES_RECEIPT, form)["DocNumber"] == "1014"
    assert desk.create(CREDIT_MEMO, form)["DocNumber"] == "1015"
    assert desk.invoice()["DocNumber"] == "1016"


# Names


def test_the_recorded_customer_update_word_for_word() -> None:
    read, update = recorded("update__customer")
    before, after = read["response"]["body"]["Customer"], update["response"]["body"]["Customer"]
    desk = Desk()
    made = desk.create(CUSTOMER, {"DisplayName": before["DisplayName"]})
    by_nature = {"Id", "MetaData"}
    changed = desk.ledger.update(
        desk.company, CUSTOMER, {**update["request"]["body"], "Id": made["Id"]}, MOMENT
    ).document()
    assert {name: value for name, value in changed.items() if name not in by_nature} == {
        name: value for name, value in after.items() if name not in by_nature
    }


def test_a_new_name_must_be_free_among_customers_and_vendors() -> None:
    desk = Desk()
    customer = desk.read("1", CUSTOMER)
    for taken in ("Cool Cars", "cool cars", "Books by Bessie"):
        assert desk.code(lambda name=taken: desk.update(CUSTOMER, customer, DisplayName=name)) == "6240"
    assert desk.update(CUSTOMER, customer, DisplayName="AMY'S Bird Sanctuary")["SyncToken"] == "1"
    item = desk.read("1", ITEM)
    assert desk.code(lambda: desk.update(ITEM, item, Name="Hours")) == "6240"


def test_a_new_name_shows_wherever_the_row_is_referred_to() -> None:
    desk = Desk()
    made = desk.invoice(line(5))
    payment = desk.payment(5)
    child = desk.create(CUSTOMER, {"DisplayName": "Aviary", "ParentRef": {"value": "1"}})
    desk.update(CUSTOMER, desk.read("1", CUSTOMER), DisplayName="Amy")
    desk.update(ITEM, desk.read("1", ITEM), Name="Work")
    shown = desk.read(made["Id"])
    assert shown["CustomerRef"]["name"] == "Amy"
    assert shown["Line"][0]["SalesItemLineDetail"]["ItemRef"]["name"] == "Work"
    assert shown["SyncToken"] == "0"
    assert desk.read(payment["Id"], PAYMENT)["CustomerRef"]["name"] == "Amy"
    assert desk.read(child["Id"], CUSTOMER)["FullyQualifiedName"] == "Amy:Aviary"
    assert desk.read("103")["CustomerRef"]["name"] == "Bill's Windsurf Shop"


def test_a_deactivated_row_is_renamed_and_gives_its_name_free() -> None:
    desk = Desk()
    gone = desk.update(CUSTOMER, desk.read("3", CUSTOMER), Active=False)
    assert (gone["DisplayName"], gone["FullyQualifiedName"]) == ("Cool Cars (deleted)", "Cool Cars (deleted)")
    assert gone["PrintOnCheckName"] == "Cool Cars"
    assert desk.refused(CustomerRef={"value": "3"})[0] == "610"
    desk.switches.put({"inactiveReference": "2500"})
    assert desk.refused(CustomerRef={"value": "3"})[0] == "2500"
    back = desk.update(CUSTOMER, gone, Active=True)
    assert back["DisplayName"] == "Cool Cars"
    gone = desk.update(CUSTOMER, back, Active=False)
    desk.create(CUSTOMER, {"DisplayName": "Cool Cars"})
    assert desk.code(lambda: desk.update(CUSTOMER, gone, Active=True)) == "6240"


def test_a_deactivated_item_stays_in_old_invoices_and_out_of_new_ones() -> None:
    desk = Desk()
    made = desk.invoice(line(5, item="2"))
    gone = desk.update(ITEM, desk.read("2", ITEM), Active=False)
    assert gone["Name"] == "Hours (deleted)"
    assert desk.refused(line(5, item="2"))[0] == "610"
    shown = desk.read(made["Id"])["Line"][0]["SalesItemLineDetail"]["ItemRef"]
    assert shown == {"value": "2", "name": "Hours (deleted)"}
    assert desk.update(INVOICE, desk.read(made["Id"]), PrivateNote="x")["TotalAmt"] == 5


def test_an_invoice_of_an_inactive_customer_can_be_changed() -> None:
    desk = Desk()
    made = desk.invoice(CustomerRef={"value": "3"})
    desk.update(CUSTOMER, desk.read("3", CUSTOMER), Active=False)
    assert desk.update(INVOICE, made, PrivateNote="x")["PrivateNote"] == "x"


def test_a_name_list_s_update_that_changes_nothing_leaves_the_synctoken() -> None:
    _, update = recorded("deactivate__employee")
    assert update["response"]["body"]["Employee"]["SyncToken"] == update["request"]["body"]["SyncToken"]
    desk = Desk()
    before = desk.read("57", VENDOR)
    assert desk.update(VENDOR, before, later(9), Active=False) == before
    assert desk.heard == []
    customer = desk.read("2", CUSTOMER)
    assert desk.update(CUSTOMER, customer, later(9), DisplayName=customer["DisplayName"]) == customer


def test_a_customer_cannot_be_its_own_parent() -> None:
    desk = Desk()
    child = desk.create(CUSTOMER, {"DisplayName": "Aviary", "ParentRef": {"value": "1"}})
    parent = desk.read("1", CUSTOMER)
    for circle in ("1", child["Id"]):
        assert desk.code(lambda ref=circle: desk.update(CUSTOMER, parent, ParentRef={"value": ref})) == "6000"


def test_balances_are_carried_through_a_full_update() -> None:
    desk = Desk()
    desk.invoice(line(100), CustomerRef={"value": "6"})
    changed = desk.replace(CUSTOMER, desk.read("6", CUSTOMER), DisplayName="Dylan")
    assert (changed["Balance"], changed["BalanceWithJobs"], changed["Active"]) == (100, 100, True)
    assert "GivenName" not in changed


def test_balances_with_jobs_are_those_of_all_below() -> None:
    desk = Desk()
    before = desk.read("7", CUSTOMER)
    desk.invoice(line(30), CustomerRef={"value": "9"})
    after = desk.read("7", CUSTOMER)
    assert after["Balance"] == before["Balance"]
    assert after["BalanceWithJobs"] == before["BalanceWithJobs"] + 30
    assert desk.read("9", CUSTOMER)["BalanceWithJobs"] == 30


@pytest.mark.parametrize(
    ("kind", "identifier", "changes", "code"),
    [
        (INVOICE, "105", {"DocNumber": "x" * 22}, "2050"),
        (INVOICE, "105", {"PrivateNote": "x" * 4001}, "2050"),
        (INVOICE, "105", {"BillEmail": {"Address": "x" * 100 + "@example.org"}}, "2050"),
        (INVOICE, "105", {"BillEmail": {"Address": "nobody"}}, "2210"),
        (INVOICE, "105", {"CustomerRef": {"value": "75"}}, "2500"),
        (INVOICE, "105", {"CustomerRef": {"value": "13"}}, "610"),
        (INVOICE, "105", {"CustomerRef": {"value": ""}}, "2020"),
        (INVOICE, "105", {"Line": [line(1, item="7")]}, "610"),
        (INVOICE, "105", {"Line": [line(10, Qty=3, UnitPrice=3)]}, "6070"),
        (INVOICE, "105", {"Line": []}, "2020"),
        (INVOICE, "105", {"EmailStatus": "Sent"}, "2170"),
        (INVOICE, "105", {"BadJson": 1}, "2010"),
        (INVOICE, "105", {"Deposit": 5000}, "6000"),
        (CUSTOMER, "1", {"DisplayName": "x" * 501}, "2050"),
        (CUSTOMER, "1", {"PrimaryEmailAddr": {"Address": "nobody"}}, "2210"),
        (CUSTOMER, "1", {"SalesTermRef": {"value": "99"}}, "2500"),
        (ITEM, "1", {"Name": "x" * 101}, "2050"),
        (ITEM, "1", {"Name": "a:b"}, "6000"),
        (ITEM, "1", {"Type": "Thing"}, "2170"),
        (ITEM, "1", {"IncomeAccountRef": {"value": "999"}}, "2500"),
    ],
)
def test_a_refused_update_changes_nothing(
    kind: Kind, identifier: str, changes: dict[str, Any], code: str
) -> None:
    desk = Desk()
    assert desk.code(lambda: desk.update(kind, desk.read(identifier, kind), **changes)) == code


# Void and delete


def test_the_recorded_void_word_for_word() -> None:
    read, void = recorded("void__invoice")
    before, after = read["response"]["body"]["Invoice"], void["response"]["body"]["Invoice"]
    desk = Desk()
    made = desk.invoice(line(100), DocNumber=before["DocNumber"], TxnDate=before["TxnDate"])
    voided = desk.ledger.void(desk.company, INVOICE, {"Id": made["Id"], "SyncToken": "0"}, MOMENT).document()
    by_nature = {"Id", "MetaData", "BillAddr", "ShipAddr"}
    assert {name: value for name, value in voided.items() if name not in by_nature} == {
        name: value for name, value in after.items() if name not in by_nature
    }
    assert list(voided) == list(after)
    assert desk.heard[-1] == ("Invoice", made["Id"], Change.VOIDED)


def test_a_deleted_invoice_is_answered_as_recorded_and_then_gone() -> None:
    desk = Desk()
    owed = desk.balance()
    made = desk.invoice()
    body = {"Id": made["Id"], "SyncToken": "0"}
    assert desk.ledger.delete(desk.company, INVOICE, body, MOMENT) == {
        "domain": "QBO",
        "status": "Deleted",
        "Id": made["Id"],
    }
    assert desk.heard[-1] == ("Invoice", made["Id"], Change.DELETED)
    assert desk.balance() == owed
    assert desk.code(lambda: desk.ledger.delete(desk.company, INVOICE, body, MOMENT)) == "610"
    assert desk.code(lambda: desk.update(INVOICE, made)) == "610"


def test_a_sales_receipt_is_replayed_as_recorded() -> None:
    _, update = recorded("update__sales_receipt")
    sent, theirs = update["request"]["body"], update["response"]["body"]["SalesReceipt"]
    desk = Desk(CUSTOM_OFF)
    made = desk.create(SALES_RECEIPT, {"Line": sent["Line"]})
    changed = desk.replace(SALES_RECEIPT, made, Line=sent["Line"])
    by_nature = {"Id", "SyncToken", "MetaData", "DocNumber", "TxnDate", "Line"}
    assert {name: value for name, value in changed.items() if name not in by_nature} == {
        name: value for name, value in theirs.items() if name not in by_nature
    }
    assert [each.get("Id") for each in changed["Line"]] == ["2", None]
    voided = desk.ledger.void(desk.company, SALES_RECEIPT, changed, MOMENT).document()
    assert (voided["TotalAmt"], voided["PrivateNote"]) == (0, "Voided")


def test_a_void_note_is_not_prefixed_twice() -> None:
    desk = Desk(voidNote="prefix")
    made = desk.invoice(PrivateNote="mark")
    for _ in range(2):
        desk.ledger.void_by_hand(desk.company, made["Id"], MOMENT)
    assert desk.read(made["Id"])["PrivateNote"] == "Voided - mark"


# What stands before a change


def test_closed_books_stay_as_they_are_for_the_api() -> None:
    desk = Desk({"AccountingInfoPrefs": {"BookCloseDate": "2026-10-31"}})
    old, new = desk.read("105"), desk.invoice()
    for attempt in (
        lambda: desk.update(INVOICE, old, PrivateNote="x"),
        lambda: desk.ledger.void(desk.company, INVOICE, old, MOMENT),
        lambda: desk.ledger.delete(desk.company, INVOICE, old, MOMENT),
        lambda: desk.invoice(TxnDate="2026-10-31"),
        lambda: desk.update(INVOICE, new, TxnDate="2026-10-30"),
    ):
        code, detail = desk.refusal(attempt)
        assert code == "6210"
        assert "The account period has closed" in detail
    assert desk.update(INVOICE, old | {"Id": new["Id"]}, TxnDate="2026-11-01")["TxnDate"] == "2026-11-01"
    assert desk.ledger.void_by_hand(desk.company, "105", MOMENT).document()["TotalAmt"] == 0
    assert desk.update(CUSTOMER, desk.read("1", CUSTOMER), Notes="x")["Notes"] == "x"


def test_without_a_subscription_there_is_nothing_but_reading() -> None:
    desk = Desk()
    made = desk.invoice()
    desk.switches.put({"subscriptionEnded": True})
    for attempt in (
        desk.invoice,
        lambda: desk.update(INVOICE, made, PrivateNote="x"),
        lambda: desk.ledger.void(desk.company, INVOICE, made, MOMENT),
        lambda: desk.ledger.delete(desk.company, INVOICE, made, MOMENT),
        lambda: desk.ledger.send(desk.company, INVOICE, made["Id"], MOMENT, send_to="a@example.org"),
    ):
        assert desk.code(attempt) == "6190"
    assert desk.read(made["Id"]) == made


# E-mail and paper


def test_sending_needs_an_address() -> None:
    desk = Desk()
    made = desk.invoice()
    send = desk.ledger.send
    assert desk.code(lambda: send(desk.company, INVOICE, made["Id"], MOMENT, send_to=None)) == "2020"
    assert desk.code(lambda: send(desk.company, INVOICE, made["Id"], MOMENT, send_to="nobody")) == "2210"
    long = "x" * 100 + "@example.org"
    assert desk.code(lambda: send(desk.company, INVOICE, made["Id"], MOMENT, send_to=long)) == "2050"
    assert desk.code(lambda: send(desk.company, INVOICE, "99999", MOMENT, send_to="a@b")) == "610"


@pytest.mark.parametrize(("moves", "token"), [(False, "0"), (True, "1")])
@pytest.mark.parametrize("sets", [False, True])
def test_a_sent_invoice_says_so(moves: bool, token: str, sets: bool) -> None:
    desk = Desk(sendMovesSyncToken=moves, sendSetsBillEmail=sets)
    made = desk.invoice(BillEmail={"Address": "old@example.org"})
    sent = desk.ledger.send(
        desk.company, INVOICE, made["Id"], later(60), send_to="new@example.org"
    ).document()
    assert sent["EmailStatus"] == "EmailSent"
    assert sent["DeliveryInfo"] == {
        "DeliveryType": "Email",
        "DeliveryTime": "2026-11-23T01:01:00-08:00",
    }
    assert sent["MetaData"]["LastUpdatedTime"] == "2026-11-23T01:01:00-08:00"
    assert sent["BillEmail"] == {"Address": "new@example.org" if sets else "old@example.org"}
    assert sent["SyncToken"] == token
    assert desk.heard[-1] == ("Invoice", made["Id"], Change.EMAILED)
    assert desk.update(INVOICE, sent, PrivateNote="x")["DeliveryInfo"] == sent["DeliveryInfo"]


def test_a_pdf_names_number_and_total() -> None:
    desk = Desk()
    made = desk.invoice(line("1234.5"), DocNumber="A-(1)")
    data = desk.ledger.pdf(desk.company, INVOICE, made["Id"])
    assert data.startswith(b"%PDF-1.4\n")
    assert data.endswith(b"%%EOF\n")
    assert rb"(Invoice A-\(1\)) Tj" in data
    assert b"(Total USD 1,234.50) Tj" in data
    start = int(data.rpartition(b"startxref\n")[2].split()[0])
    assert data[start:].startswith(b"xref\n0 6\n")
    for number, entry in enumerate(data[start:].split(b"\n")[3:8], start=1):
        assert data[int(entry[:10]) :].startswith(b"%d 0 obj" % number)
    declared = int(data.partition(b"/Length ")[2].split()[0])
    assert len(data.partition(b"stream\n")[2].partition(b"\nendstream")[0]) == declared
    assert desk.code(lambda: desk.ledger.pdf(desk.company, INVOICE, "99999")) == "610"


# The statement


def test_a_statement_shows_the_private_note() -> None:
    desk = Desk()
    desk.invoice(line(100), CustomerRef={"value": "6"}, PrivateNote="internal mark", DocNumber="A-1")
    desk.payment(30, CustomerRef={"value": "6"}, PaymentRefNum="cheque 7")
    shown = desk.ledger.statement(desk.company, "6")
    assert [(row.type, row.number, row.memo, row.amount, row.balance) for row in shown.rows] == [
        ("Invoice", "A-1", "internal mark", 100, 100),
        ("Payment", "cheque 7", "", -30, 70),
    ]
    assert (shown.customer, shown.total) == ("Dylan Sollfrank", Decimal(70))
    assert desk.ledger.statement(desk.company, "2").customer == "Bill's Windsurf Shop"
    assert desk.code(lambda: desk.ledger.statement(desk.company, "999")) == "610"
