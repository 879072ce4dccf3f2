"""Each write of the accounting API on the wire: its path and parameters, its answer, its place in the counters."""

import gzip
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fixtures.simulator_server import minimal_invoice

from .conftest import Books, ThreadedSimulator, decoded

JSON = {"content-type": "application/json"}
NO_CONSUMER = "Operation Cannot consume content type is not supported."


def invoice(books: Books, **fields: Any) -> dict[str, Any]:
    return books.create("Invoice", minimal_invoice(**fields))


def payment(books: Books, paid: dict[str, Any]) -> dict[str, Any]:
    link = {"Amount": 100, "LinkedTxn": [{"TxnId": paid["Id"], "TxnType": "Invoice"}]}
    return books.create("Payment", {"CustomerRef": {"value": "1"}, "TotalAmt": 100, "Line": [link]})


def named(entity: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"Id": entity["Id"], "SyncToken": entity["SyncToken"], **fields}


def answered(response: httpx2.Response, entity: str = "Invoice") -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return dict(decoded(response)[entity])


def code(response: httpx2.Response) -> str:
    assert response.status_code == 400, response.text
    return str(response.json()["Fault"]["Error"][0]["code"])


# Update


@pytest.mark.parametrize(
    "path", ["invoice", "invoice?operation=update", "invoice?operation=update&requestid=u-1"]
)
def test_a_sparse_update_keeps_the_rest(books: Books, path: str) -> None:
    made = invoice(books, DocNumber="U-1", PrivateNote="before")
    changed = answered(books.post(path, named(made, sparse=True, PrivateNote="after")))
    assert (changed["SyncToken"], changed["PrivateNote"], changed["DocNumber"]) == ("1", "after", "U-1")
    assert books.read("Invoice", made["Id"]) == changed


def test_a_full_update_clears_what_it_leaves_out_and_wants_lines(books: Books) -> None:
    made = invoice(books, DocNumber="U-2", PrivateNote="before")
    assert code(books.post("invoice", named(made, CustomerRef={"value": "1"}))) == "2020"
    changed = answered(books.post("invoice", named(made, **minimal_invoice(50))))
    assert "PrivateNote" not in changed
    assert changed["TotalAmt"] == 50


def test_a_typo_in_operation_is_a_full_update(books: Books) -> None:
    made = invoice(books)
    error = books.post("invoice?operate=void", named(made)).json()["Fault"]["Error"][0]
    assert (error["code"], error["Detail"]) == ("2020", "Required parameter Line is missing in the request")
    assert books.read("Invoice", made["Id"]) == made


def test_allowing_a_duplicate_number_holds_for_updates_too(books: Books) -> None:
    invoice(books, DocNumber="D-1")
    made = invoice(books, DocNumber="D-2")
    books.door.switch(duplicateDocCheck=True)
    body = named(made, sparse=True, DocNumber="D-1")
    assert code(books.post("invoice", body)) == "6140"
    assert answered(books.post("invoice?include=allowduplicatedocnum", body))["DocNumber"] == "D-1"


# Void and delete


def test_an_invoice_is_voided_by_operation(books: Books) -> None:
    made = invoice(books, DocNumber="V-1")
    gone = answered(books.post("invoice?operation=void", named(made)))
    assert (gone["TotalAmt"], gone["Balance"], gone["SyncToken"]) == (0, 0, "1")
    assert (gone["PrivateNote"], gone["DocNumber"]) == ("Voided", "V-1")
    assert code(books.post("invoice?operation=void", named(made))) == "5010"


def test_a_payment_is_voided_by_an_update_that_includes_it(books: Books) -> None:
    made = payment(books, invoice(books))
    assert code(books.post("payment?operation=void", named(made))) == "500"
    voided = answered(
        books.post("payment?operation=update&include=void", named(made, sparse=True)), "Payment"
    )
    assert (voided["TotalAmt"], voided["PrivateNote"]) == (0, "Voided")
    assert books.door.counters()["requests"]["void"] == 1


def test_including_void_means_nothing_for_an_invoice(books: Books) -> None:
    made = invoice(books)
    assert code(books.post("invoice?operation=update&include=void", named(made))) == "2020"


def test_what_is_deleted_is_gone(books: Books) -> None:
    made = invoice(books)
    response = books.post("invoice?operation=delete", named(made))
    assert answered(response) == {"domain": "QBO", "status": "Deleted", "Id": made["Id"]}
    assert code(books.post("invoice?operation=delete", named(made))) == "610"
    assert code(books.client.get(f"invoice/{made['Id']}")) == "610"


def test_each_write_has_a_requestid_of_its_own(books: Books) -> None:
    made = books.create("Invoice", minimal_invoice(), requestid="one")
    assert answered(books.post("invoice?operation=delete&requestid=one", named(made))) == made
    assert answered(books.post("invoice?operation=delete&requestid=two", named(made)))["status"] == "Deleted"
    again = answered(books.post("invoice?operation=delete&requestid=two", named(made)))
    assert again["status"] == "Deleted"


# Send and PDF


def test_an_invoice_is_sent_to_its_address_or_to_another(books: Books) -> None:
    made = invoice(books, BillEmail={"Address": "a@example.org"})
    for path, address in (("send", "a@example.org"), ("send?sendTo=b%2Bc%40example.org", "b+c@example.org")):
        headers = {"content-type": "application/octet-stream"}
        sent = answered(books.client.post(f"invoice/{made['Id']}/{path}", headers=headers))
        assert (sent["EmailStatus"], sent["BillEmail"]["Address"]) == ("EmailSent", address)
        assert sent["DeliveryInfo"]["DeliveryType"] == "Email"
    counters = books.door.counters()
    assert (counters["requests"]["send"], counters["emails"]) == (2, 2)


def test_without_an_address_nothing_is_sent(books: Books) -> None:
    made = invoice(books, customer="2")
    assert code(books.client.post(f"invoice/{made['Id']}/send")) == "2020"
    assert code(books.client.post("invoice/99999/send")) == "610"
    assert books.door.counters()["emails"] == 0


def test_sending_as_json_fails_in_both_reported_ways(books: Books) -> None:
    made = invoice(books, BillEmail={"Address": "a@example.org"})
    error = books.client.post(f"invoice/{made['Id']}/send", headers=JSON).json()["Fault"]["Error"][0]
    assert error["Detail"] == "Required parameter DeliveryAddress.Address is missing in the request"
    books.door.switch(jsonSend="500")
    response = books.client.post(f"invoice/{made['Id']}/send", headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (500, "text/html")
    assert books.read("Invoice", made["Id"])["EmailStatus"] == "NotSet"


def test_a_pdf_is_a_pdf(books: Books) -> None:
    made = invoice(books)
    response = books.client.get(f"invoice/{made['Id']}/pdf", headers={"accept": "application/pdf"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/pdf"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.content.startswith(b"%PDF-1.")
    assert b"%%EOF" in response.content[-10:]
    assert code(books.client.get("invoice/x/pdf")) == "2030"
    counters = books.door.counters()
    assert (counters["requests"]["pdf"], counters["meteredReads"]) == (2, 1)


# What a request may look like


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"]
)
def test_a_body_of_another_type_is_not_consumed(books: Books, content_type: str) -> None:
    body = b'{"CustomerRef":{"value":"1"},"Line":[{"Amount":1,"DetailType":"DescriptionOnly"}]}'
    for path in ("invoice", "batch"):
        response = books.client.post(path, content=body, headers={"content-type": content_type})
        assert code(response) == "500"
        assert response.json()["Fault"]["Error"][0]["Detail"] == NO_CONSUMER


def test_which_types_are_consumed(books: Books) -> None:
    made = invoice(books)
    body = b'{"Id":"%s","SyncToken":"0","sparse":true}' % made["Id"].encode()
    accepted = books.client.post(
        "invoice", content=body, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert accepted.status_code == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert code(books.client.post("query", content="SELECT * FROM Item", headers=form)) == "500"
    books.door.switch(contentTypes="ignored")
    assert books.client.post("query", content="SELECT * FROM Item", headers=form).status_code == 200


def test_a_format_there_is_not(books: Books) -> None:
    response = books.client.get("customer/1", headers={"accept": "text/csv"})
    assert (
        response.json()["Fault"]["Error"][0]["Detail"]
        == "Operation No match for accept header is not supported."
    )


def test_a_body_too_large_never_reaches_the_service(books: Books) -> None:
    response = books.client.post("invoice", content=b"x" * 9_000_000, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (413, "text/html")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "invoice/101"), ("PATCH", "invoice/101"), ("DELETE", "invoice/101")]
)
def test_there_is_no_put_patch_and_delete(books: Books, method: str, path: str) -> None:
    error = books.client.request(method, path).json()["Fault"]["Error"][0]
    assert error["Detail"] == (
        f"Operation No resource method found for {method}, return 405 with Allow header is not supported."
    )


def test_an_invoice_link_for_those_who_ask(books: Books) -> None:
    made = invoice(books)
    assert "InvoiceLink" not in books.read("Invoice", made["Id"])
    asked = answered(books.client.get(f"invoice/{made['Id']}?include=invoiceLink&minorversion=75"))
    assert re.fullmatch(r"https://connect\.intuit\.com/t/scs-v1-[0-9a-f]{80}\?\S+", asked.pop("InvoiceLink"))
    assert asked == made
    books.door.switch(invoiceLink="always")
    assert "InvoiceLink" in books.read("Invoice", made["Id"])


def test_answers_are_compressed_where_both_sides_like_it(books: Books) -> None:
    books.door.switch(compressedAnswers=True)
    response = books.client.get("customer/1", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert decoded(response)["Customer"]["Id"] == "1"
    with books.client.stream("GET", "customer/1", headers={"accept-encoding": "gzip"}) as raw:
        assert b'"Customer"' in gzip.decompress(b"".join(raw.iter_raw()))
    plain = books.client.get("customer/1", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


# What the journal says


def test_the_journal_tells_what_each_call_was_about(books: Books) -> None:
    made = invoice(books)
    books.door.fault({"operation": "update"}, {"status": 503, "commit": True})
    books.post("invoice", named(made, sparse=True, PrivateNote="x"))
    created, updated = books.door.requests()
    assert (created["operation"], created["entityId"], "effect" in created) == ("create", made["Id"], False)
    assert (updated["operation"], updated["entityId"]) == ("update", made["Id"])
    assert updated["effect"] == {"status": 503, "commit": True}


# Several apps


@pytest.fixture
def second_app(simulator: ThreadedSimulator) -> Iterator[Books]:
    """The sample company, seen by another app."""
    app = simulator.simulator.world.add_app({})
    grant = simulator.post("/_simulator/tokens", {"clientId": app.client_id})
    view = Books(simulator)
    view.client.headers["authorization"] = f"Bearer {grant['access_token']}"
    yield view
    view.close()


def test_each_app_has_its_second_and_its_month(books: Books, second_app: Books) -> None:
    books.door.switch(limitPerSecond=3, monthlyReadQuota=4)
    assert [books.client.get("customer/1").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [second_app.client.get("customer/1").status_code for _ in range(4)] == [200, 200, 200, 429]
    books.door.advance(1)
    assert [books.client.get("customer/1").status_code for _ in range(2)] == [200, 429]
    assert second_app.client.get("customer/1").status_code == 200


def test_the_minute_belongs_to_the_company(books: Books, second_app: Books) -> None:
    books.door.switch(limitPerMinute=3)
    assert [view.client.get("customer/1").status_code for view in (books, second_app) for _ in range(2)] == [
        200,
        200,
        200,
        429,
    ]


def test_token_calls_count_towards_everything_together(books: Books) -> None:
    books.door.switch(limitAllPerMinute=3)
    grant = books.grant
    form = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    with httpx2.Client(base_url=books.door.base_url, trust_env=False) as client:
        auth = (grant["client_id"], grant["client_secret"])
        tokens = [client.post("/oauth2/v1/tokens/bearer", data=form, auth=auth) for _ in range(2)]
        assert [answer.status_code for answer in tokens] == [200, 200]
        assert [books.client.get("customer/1").status_code for _ in range(2)] == [200, 429]
        assert client.post("/oauth2/v1/tokens/bearer", data=form, auth=auth).status_code == 200
    books.door.advance(60)
    assert books.client.get("customer/1").status_code == 200


def test_a_company_sends_so_many_e_mails_a_day(books: Books) -> None:
    books.door.switch(limitEmails=2)
    made = invoice(books, BillEmail={"Address": "a@example.org"})
    path = f"invoice/{made['Id']}/send"
    assert [books.client.post(path).status_code for _ in range(3)] == [200, 200, 429]
    assert books.client.post(f"{path}?requestid=s").status_code == 429
    books.door.switch(limitEmails=0)
    assert books.client.post(f"{path}?requestid=s").status_code == 200


def test_a_sandbox_is_metered_or_not(books: Books, simulator: ThreadedSimulator) -> None:
    books.door.switch(sandboxMetered=False, monthlyReadQuota=1, environmentsSeparate=False)
    assert [books.client.get("customer/1").status_code for _ in range(3)] == [200, 200, 200]
    realm = simulator.post("/_simulator/realms", {"environment": "production"})["realmId"]
    real = Books(simulator, realm)
    assert [real.client.get("customer/1").status_code for _ in range(2)] == [200, 429]
    assert books.door.counters()["meteredReads"] == 1
    real.close()
