"""python-quickbooks 0.9.12, unchanged, keeps a company's books."""

import json
import queue
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from uuid import uuid4

import httpx2
import pytest
from quickbooks import QuickBooks
from quickbooks.batch import batch_create, batch_delete, batch_update
from quickbooks.cdc import change_data_capture
from quickbooks.objects import (
    CreditMemo,
    Customer,
    EmailAddress,
    Invoice,
    Item,
    Payment,
    PaymentLine,
    Preferences,
    TaxCode,
)
from quickbooks.objects.company_info import CompanyInfo

from fixtures.simulator_server import Door
from sdk.python_client import (
    auth_client,
    new_customer,
    new_invoice,
    new_item,
    new_line,
    quickbooks,
    reference,
)


@pytest.fixture
def qb(simulator: Door) -> QuickBooks:
    return quickbooks(simulator)


def test_the_company_and_its_preferences(qb: QuickBooks, simulator: Door) -> None:
    info = CompanyInfo.get(simulator.realm_id, qb=qb)
    assert info.Country == "US"
    assert Preferences.get(qb=qb).SalesFormsPrefs.CustomTxnNumbers is True


def test_a_client_without_access_token_fetches_one_by_itself(simulator: Door) -> None:
    grant = dict(simulator.ready)
    oauth = auth_client(simulator, {**grant, "access_token": None})

    class AtTheSimulator(QuickBooks):
        api_url_v3 = f"{simulator.base_url}/v3"

    qb = AtTheSimulator(
        auth_client=oauth,
        refresh_token=grant["refresh_token"],
        company_id=grant["realm_id"],
        minorversion=75,
    )
    assert oauth.access_token
    assert Customer.get(1, qb=qb).Id == "1"


# Create and read


def test_customer_item_and_invoice(qb: QuickBooks, simulator: Door) -> None:
    customer = new_customer("Ada's Bakery & Söhne").save(qb=qb)
    item = new_item("Baking").save(qb=qb)
    invoice = new_invoice(
        120.5, customer=customer.Id, item=item.Id, DocNumber="P-1", PrivateNote="from Python"
    ).save(qb=qb)
    assert (customer.SyncToken, item.SyncToken, invoice.SyncToken) == ("0", "0", "0")
    assert customer.DisplayName == "Ada's Bakery & Söhne"
    assert invoice.CustomerRef.name == "Ada's Bakery & Söhne"
    assert (invoice.TotalAmt, invoice.Balance, invoice.DocNumber) == (120.5, 120.5, "P-1")
    assert [line.DetailType for line in invoice.Line] == ["SalesItemLineDetail", "SubTotalLineDetail"]
    assert simulator.invoices("P-1")[0]["Id"] == invoice.Id


def test_what_was_saved_is_read_back(qb: QuickBooks) -> None:
    saved = new_invoice(DocNumber="P-2").save(qb=qb)
    read = Invoice.get(saved.Id, qb=qb)
    assert read.to_dict() == saved.to_dict()


def test_decimals_stay_exact(simulator: Door) -> None:
    """With `use_decimal` the library sends money as JSON strings, which QuickBooks takes for numbers."""
    qb = quickbooks(simulator, use_decimal=True)
    invoice = new_invoice(Decimal("0.10"))
    invoice.Line.append(new_line(Decimal("0.20")))
    assert invoice.save(qb=qb).TotalAmt == Decimal("0.30")


def test_quantity_times_price(qb: QuickBooks) -> None:
    invoice = new_invoice(1861.08)
    invoice.Line[0].SalesItemLineDetail.Qty = 14.5
    invoice.Line[0].SalesItemLineDetail.UnitPrice = 128.35
    assert invoice.save(qb=qb).TotalAmt == 1861.08


# Queries


def test_lists_and_filters(qb: QuickBooks) -> None:
    new_customer("Ada's Bakery").save(qb=qb)
    assert [row.DisplayName for row in Customer.filter(DisplayName="Ada's Bakery", qb=qb)] == ["Ada's Bakery"]
    assert {row.Active for row in Customer.filter(Active=True, qb=qb)} == {True}
    assert {row.Id for row in Customer.choose(["1", "2"], qb=qb)} == {"1", "2"}
    assert {row.Id for row in Customer.all(qb=qb)} >= {"1", "2"}
    assert Customer.filter(DisplayName="nobody", qb=qb) == []


def test_items_are_listed_with_their_sku(qb: QuickBooks) -> None:
    """The library asks for `SELECT *, Sku FROM Item`."""
    item = new_item("Coffee")
    item.Sku = "C-1"
    item.save(qb=qb)
    assert {row.Name: row.Sku for row in Item.all(qb=qb)}["Coffee"] == "C-1"


def test_counting(qb: QuickBooks) -> None:
    before = Invoice.count(qb=qb)
    new_invoice(DocNumber="P-3").save(qb=qb)
    assert Invoice.count(qb=qb) == before + 1
    assert Invoice.count("DocNumber = 'P-3'", qb=qb) == 1


def test_pages(qb: QuickBooks) -> None:
    wanted = [new_invoice(DocNumber=f"PAGE-{n}").save(qb=qb).DocNumber for n in range(5)]
    found = []
    for start in (1, 3, 5):
        page = Invoice.where(
            "DocNumber LIKE 'PAGE-%'", order_by="DocNumber", start_position=start, max_results=2, qb=qb
        )
        found.append([row.DocNumber for row in page])
    assert found == [wanted[0:2], wanted[2:4], wanted[4:5]]


# Update, void, delete


def test_a_full_update_sends_everything_back(qb: QuickBooks) -> None:
    invoice = new_invoice(100, DocNumber="P-4", PrivateNote="before").save(qb=qb)
    invoice.Line.insert(1, new_line(50))
    invoice.PrivateNote = "after"
    updated = invoice.save(qb=qb)
    assert (updated.Id, updated.SyncToken) == (invoice.Id, "1")
    assert (updated.TotalAmt, updated.PrivateNote, updated.DocNumber) == (150, "after", "P-4")


def test_a_sparse_update_leaves_the_rest_alone(qb: QuickBooks) -> None:
    invoice = new_invoice(100, DocNumber="P-5", PrivateNote="before").save(qb=qb)
    body = f'{{"Id": "{invoice.Id}", "SyncToken": "0", "sparse": true, "PrivateNote": "after"}}'
    updated = qb.update_object("Invoice", body)["Invoice"]
    assert (updated["SyncToken"], updated["PrivateNote"]) == ("1", "after")
    assert (updated["DocNumber"], updated["TotalAmt"]) == ("P-5", 100)


def test_a_customer_is_made_inactive(qb: QuickBooks) -> None:
    customer = new_customer("Gone").save(qb=qb)
    customer.Active = False
    assert customer.save(qb=qb).Active is False
    assert Customer.filter(Id=customer.Id, qb=qb) == []


def test_a_void_keeps_the_number(qb: QuickBooks) -> None:
    invoice = new_invoice(100, DocNumber="P-6").save(qb=qb)
    voided = invoice.void(qb=qb)["Invoice"]
    assert (voided["TotalAmt"], voided["Balance"], voided["DocNumber"]) == (0, 0, "P-6")
    assert (voided["PrivateNote"], voided["SyncToken"]) == ("Voided", "1")


def test_a_delete_leaves_nothing(qb: QuickBooks) -> None:
    invoice = new_invoice(DocNumber="P-7").save(qb=qb)
    gone = invoice.delete(qb=qb)["Invoice"]
    assert (gone["status"], gone["Id"], gone["domain"]) == ("Deleted", invoice.Id, "QBO")
    assert Invoice.filter(DocNumber="P-7", qb=qb) == []


# Send, PDF


def test_an_invoice_is_sent(qb: QuickBooks) -> None:
    invoice = new_invoice(DocNumber="P-8").save(qb=qb)
    sent = invoice.send(qb=qb, send_to="ada+bills@example.com")["Invoice"]
    assert (sent["EmailStatus"], sent["BillEmail"]["Address"]) == ("EmailSent", "ada+bills@example.com")
    assert Invoice.get(invoice.Id, qb=qb).email_sent


def test_an_invoice_is_sent_to_its_own_address(qb: QuickBooks) -> None:
    invoice = new_invoice()
    invoice.BillEmail = EmailAddress()
    invoice.BillEmail.Address = "ada@example.com"
    sent = invoice.save(qb=qb).send(qb=qb)["Invoice"]
    assert sent["DeliveryInfo"]["DeliveryType"] == "Email"


def test_an_invoice_is_printed(qb: QuickBooks) -> None:
    invoice = new_invoice().save(qb=qb)
    assert invoice.download_pdf(qb=qb).startswith(b"%PDF-")


# Payments and credits


def test_a_payment_settles_an_invoice_and_its_void_opens_it_again(qb: QuickBooks) -> None:
    invoice = new_invoice(100).save(qb=qb)
    payment = Payment()
    payment.TotalAmt = 60
    payment.CustomerRef = reference("1")
    line = PaymentLine()
    line.Amount = 60
    line.LinkedTxn.append(invoice.to_linked_txn())
    payment.Line.append(line)
    payment = payment.save(qb=qb)
    paid = Invoice.get(invoice.Id, qb=qb)
    assert (paid.Balance, paid.SyncToken) == (40, "1")
    assert [(link.TxnId, link.TxnType) for link in paid.LinkedTxn] == [(payment.Id, "Payment")]
    payment.void(qb=qb)
    assert Invoice.get(invoice.Id, qb=qb).Balance == 100


def test_a_credit_memo(qb: QuickBooks) -> None:
    memo = CreditMemo()
    memo.CustomerRef = reference("1")
    memo.Line.append(new_line(25))
    saved = memo.save(qb=qb)
    assert (saved.TotalAmt, saved.RemainingCredit) == (25, 25)


# Other companies


def company(simulator: Door, name: str) -> QuickBooks:
    """A client of one of the simulator's other companies."""
    realm = simulator.post("/_simulator/realms", {"company": name})["realmId"]
    return quickbooks(simulator, simulator.tokens(realm))


def test_a_canadian_company_taxes_by_code(simulator: Door) -> None:
    qb = company(simulator, "gst")
    code = next(code for code in TaxCode.all(qb=qb) if code.Name == "HST ON")
    invoice = new_invoice(100)
    invoice.Line[0].SalesItemLineDetail.TaxCodeRef = reference(code.Id)
    saved = invoice.save(qb=qb)
    assert (saved.TxnTaxDetail.TotalTax, saved.TotalAmt) == (13, 113)
    assert saved.CurrencyRef.value == "CAD"


def test_an_invoice_is_in_its_customers_currency(simulator: Door) -> None:
    qb = company(simulator, "multicurrency")
    abroad = next(row for row in Customer.all(qb=qb) if row.CurrencyRef.value == "EUR")
    invoice = new_invoice(100, customer=abroad.Id, ExchangeRate=None)
    saved = invoice.save(qb=qb)
    assert (saved.CurrencyRef.value, saved.TotalAmt) == ("EUR", 100)
    assert saved.HomeTotalAmt == pytest.approx(100 * saved.ExchangeRate, abs=0.01)


# Batch, CDC


def test_a_batch_creates_updates_and_deletes(qb: QuickBooks) -> None:
    created = batch_create([new_customer(f"Batch {n}") for n in range(3)], qb=qb)
    assert [row.DisplayName for row in created.successes] == ["Batch 0", "Batch 1", "Batch 2"]
    for row in created.successes:
        row.CompanyName = row.DisplayName
    updated = batch_update(created.successes, qb=qb)
    assert [(row.SyncToken, row.CompanyName) for row in updated.successes] == [
        ("1", f"Batch {n}") for n in range(3)
    ]
    invoices = [new_invoice(DocNumber=f"B-{n}").save(qb=qb) for n in range(2)]
    assert not batch_delete(invoices, qb=qb).faults
    assert Invoice.where("DocNumber LIKE 'B-%'", qb=qb) == []


def test_a_batch_of_31_becomes_two_requests(qb: QuickBooks, simulator: Door) -> None:
    made = batch_create([new_customer(f"Many {n}") for n in range(31)], qb=qb)
    assert (len(made.successes), len(made.faults)) == (31, 0)
    assert simulator.counters()["requests"]["batch"] == 2


def test_one_bad_item_of_a_batch_spoils_no_other(qb: QuickBooks) -> None:
    answer = batch_create([new_customer("Good"), new_customer("Good"), new_customer("Better")], qb=qb)
    assert [row.DisplayName for row in answer.successes] == ["Good", "Better"]
    assert [fault.Error[0].code for fault in answer.faults] == ["6240"]


def test_what_changed_since(qb: QuickBooks) -> None:
    since = datetime.now(UTC) - timedelta(minutes=5)
    kept, gone = (new_invoice(DocNumber=name).save(qb=qb) for name in ("CDC-1", "CDC-2"))
    gone.delete(qb=qb)
    changed = change_data_capture([Invoice, Customer], since.isoformat(timespec="seconds"), qb=qb)
    rows = {row.Id: getattr(row, "status", None) for row in changed.Invoice}
    assert (rows[kept.Id], rows[gone.Id]) == (None, "Deleted")


# requestid


def test_a_repeated_request_id_makes_one_invoice(qb: QuickBooks, simulator: Door) -> None:
    request_id = uuid4().hex
    first = new_invoice(DocNumber="P-9").save(qb=qb, request_id=request_id)
    second = new_invoice(DocNumber="P-9").save(qb=qb, request_id=request_id)
    assert first.Id == second.Id
    assert len(simulator.invoices("P-9")) == 1


def test_without_the_same_request_id_there_are_two(qb: QuickBooks, simulator: Door) -> None:
    for _ in range(2):
        new_invoice(DocNumber="P-10").save(qb=qb, request_id=uuid4().hex)
    assert len(simulator.invoices("P-10")) == 2


# Webhooks


def test_the_library_knows_the_simulators_signature(qb: QuickBooks, simulator: Door) -> None:
    with Hook() as hook:
        webhooks = f"{simulator.base_url}/_simulator/webhooks"
        httpx2.put(webhooks, json={"url": hook.url, "verifierToken": "verifier"}, trust_env=False)
        invoice = new_invoice(DocNumber="P-11").save(qb=qb)
        body, signature = hook.arrived.get(timeout=30)
        httpx2.put(webhooks, json={"url": None}, trust_env=False)
    assert qb.validate_webhook_signature(body, signature, "verifier")
    assert not qb.validate_webhook_signature(body, signature, "another")
    (event,) = json.loads(body)
    assert (event["type"], event["intuitentityid"]) == ("qbo.invoice.created.v1", invoice.Id)


class Hook:
    """An app's endpoint for webhooks: `arrived` has the body and signature of each delivery."""

    def __init__(self) -> None:
        self.arrived: queue.Queue[tuple[str, str]] = queue.Queue()
        arrived = self.arrived

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                arrived.put((body, self.headers["intuit-signature"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
