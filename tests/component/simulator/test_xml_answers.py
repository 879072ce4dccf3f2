"""Answers in XML for those who ask for it: entities, lists, batches, the feed of changes and faults of both origins."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.simulator_server import minimal_invoice
from qbsync.simulator.xmlanswers import render

from .conftest import Books

NAMESPACE = "{http://schema.intuit.com/finance/v3}"
ACCEPT = {"accept": "application/xml"}
RECORDED = Path(__file__).resolve().parents[2] / "fixtures" / "quickbooks" / "quickbooks-ruby-xml"


def root_of(response: httpx2.Response) -> ElementTree.Element:
    assert response.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(response.content)
    assert root.tag == f"{NAMESPACE}IntuitResponse"
    assert datetime.fromisoformat(root.attrib["time"]).tzinfo is not None
    return root


def text(element: ElementTree.Element, path: str) -> str | None:
    return element.findtext("/".join(NAMESPACE + step for step in path.split("/")))


def names(element: ElementTree.Element) -> list[str]:
    return [child.tag.removeprefix(NAMESPACE) for child in element]


def test_an_entity(books: Books) -> None:
    made = books.create("Invoice", minimal_invoice(CustomerMemo={"value": "<&\"'>"}))
    response = books.client.get(f"invoice/{made['Id']}", headers=ACCEPT)
    (invoice,) = root_of(response)
    assert invoice.tag == f"{NAMESPACE}Invoice"
    assert invoice.attrib == {"domain": "QBO", "sparse": "false"}
    assert (text(invoice, "CustomerMemo"), text(invoice, "TotalAmt")) == ("<&\"'>", str(made["TotalAmt"]))
    reference = invoice.find(f"{NAMESPACE}CustomerRef")
    assert reference is not None
    assert (reference.text, reference.attrib) == ("1", {"name": made["CustomerRef"]["name"]})
    assert text(invoice, "Line/SalesItemLineDetail/ItemRef") == "1"
    assert names(invoice).count("Line") == 2
    assert text(invoice, "MetaData/CreateTime") == made["MetaData"]["CreateTime"]


def test_a_list_a_count_and_nothing(books: Books) -> None:
    def ask(statement: str) -> ElementTree.Element:
        (answer,) = root_of(books.client.get("query", params={"query": statement}, headers=ACCEPT))
        assert answer.tag == f"{NAMESPACE}QueryResponse"
        return answer

    page = ask("SELECT * FROM Customer MAXRESULTS 2")
    assert (names(page), page.attrib["maxResults"], page.attrib["startPosition"]) == (
        ["Customer"] * 2,
        "2",
        "1",
    )
    assert ask("SELECT count(*) FROM Customer").attrib == {"totalCount": "13"}
    empty = ask("SELECT * FROM Customer WHERE DisplayName = 'nobody'")
    assert (names(empty), empty.attrib) == ([], {})


def test_a_batch_and_the_feed_of_changes(books: Books) -> None:
    items = [
        {"bId": "c", "operation": "create", "Invoice": minimal_invoice()},
        {"bId": "f", "operation": "create", "Invoice": {}},
    ]
    headers = {**ACCEPT, "content-type": "application/json"}
    first, second = root_of(books.client.post("batch", json={"BatchItemRequest": items}, headers=headers))
    assert (first.tag, first.attrib, names(first)) == (
        f"{NAMESPACE}BatchItemResponse",
        {"bId": "c"},
        ["Invoice"],
    )
    assert names(second) == ["Fault"]
    assert [error.attrib["code"] for error in second[0]] == ["2020", "2020"]
    params = {"entities": "Invoice,Bill", "changedSince": "2026-11-01"}
    (changes,) = root_of(books.client.get("cdc", params=params, headers=ACCEPT))
    assert (changes.tag, names(changes)) == (f"{NAMESPACE}CDCResponse", ["QueryResponse", "QueryResponse"])
    assert set(names(changes[0])) == {"Invoice"}
    assert (names(changes[1]), changes[1].attrib) == ([], {})


def test_a_deleted_entity(books: Books) -> None:
    made = books.create("Invoice", minimal_invoice())
    body = {"Id": made["Id"], "SyncToken": "0"}
    (gone,) = root_of(books.client.post("invoice?operation=delete", json=body, headers=ACCEPT))
    assert (gone.attrib, text(gone, "Id")) == ({"domain": "QBO", "status": "Deleted"}, made["Id"])


@pytest.mark.parametrize("switch", [{}, {"throttleShape": "service"}, {"lowerCaseFaults": True}])
def test_faults_of_service_and_gateway_look_alike(books: Books, switch: dict[str, Any]) -> None:
    books.door.switch(**switch)
    books.door.switch(limitPerMinute=2)
    missing = books.client.get("customer/99999", headers=ACCEPT)
    expired = books.client.get("customer/1", headers={**ACCEPT, "authorization": "Bearer " + "x" * 40})
    books.client.get("customer/1")
    throttled = books.client.get("customer/1", headers=ACCEPT)
    assert [each.status_code for each in (missing, expired, throttled)] == [400, 401, 429]
    assert "www-authenticate" in expired.headers
    expected = [
        ("ValidationFault", "610", "Object Not Found"),
        ("AUTHENTICATION", "3200", "message=AuthenticationFailed; errorCode=003200; statusCode=401"),
        ("SERVICE", "3001", "message=ThrottleExceeded; errorCode=003001; statusCode=429"),
    ]
    for response, (kind, code, message) in zip((missing, expired, throttled), expected, strict=True):
        (fault,) = root_of(response)
        (error,) = fault
        assert (fault.attrib, error.attrib["code"], text(error, "Message")) == ({"type": kind}, code, message)


def test_the_recorded_throttle_word_for_word(books: Books) -> None:
    books.door.switch(limitPerMinute=1)
    books.client.get("customer/1")
    (ours,) = root_of(books.client.get("customer/1", headers=ACCEPT))
    (recorded,) = ElementTree.fromstring((RECORDED / "too_many_requests_error.xml").read_bytes())
    assert ElementTree.canonicalize(ElementTree.tostring(ours), strip_text=True) == ElementTree.canonicalize(
        ElementTree.tostring(recorded), strip_text=True
    )


def shape(element: ElementTree.Element, path: str = "") -> dict[str, tuple[bool, bool, bool]]:
    """Every path, with: does it ever have text, children, attributes?"""
    found: dict[str, tuple[bool, bool, bool]] = {}
    for child in element:
        where = f"{path}/{child.tag.removeprefix(NAMESPACE)}"
        own = (bool((child.text or "").strip()), len(child) > 0, bool(child.attrib))
        before = found.get(where, (False, False, False))
        found[where] = (before[0] or own[0], before[1] or own[1], before[2] or own[2])
        for below, seen in shape(child, where).items():
            earlier = found.get(below, (False, False, False))
            found[below] = (earlier[0] or seen[0], earlier[1] or seen[1], earlier[2] or seen[2])
    return found


@pytest.mark.parametrize(
    "name", ["invoice_send", "invoice_delete_success_response", "change_data_capture_response"]
)
def test_what_the_recorded_answers_have_too_has_their_shape(books: Books, name: str) -> None:
    made = books.create("Invoice", minimal_invoice(BillEmail={"Address": "a@example.org"}))
    payment = {"CustomerRef": {"value": "1"}, "TotalAmt": 10}
    books.create("Payment", payment)
    body = {"Id": made["Id"], "SyncToken": "0"}
    if name == "invoice_send":
        response = books.client.post(f"invoice/{made['Id']}/send", headers=ACCEPT)
    else:
        response = books.client.post("invoice?operation=delete", json=body, headers=ACCEPT)
    if name == "change_data_capture_response":
        params = {"entities": "Bill,Invoice,Payment", "changedSince": "2026-11-01"}
        response = books.client.get("cdc", params=params, headers=ACCEPT)
    theirs = shape(ElementTree.fromstring((RECORDED / f"{name}.xml").read_bytes()))
    ours = shape(root_of(response))
    common = theirs.keys() & ours.keys()
    assert len(common) > (10 if name != "invoice_delete_success_response" else 1)
    assert {path: ours[path][:2] for path in common} == {path: theirs[path][:2] for path in common}
    # A reference may come with its name or without.
    assert all(ours[path][2] for path in common if theirs[path][2])


@pytest.mark.parametrize(
    ("accept", "default", "wanted"),
    [
        ("application/json", "xml", "application/json"),
        ("text/xml", "json", "application/xml"),
        ("application/xml;q=0.5, application/json", "xml", "application/json"),
        ("application/xml, application/json;q=0.5", "json", "application/xml"),
        ("*/*", "json", "application/json"),
        ("*/*", "xml", "application/xml"),
        ("text/html, */*;q=0.1", "xml", "application/xml"),
        ("application/json;q=x", "xml", "application/json"),
        ("application/xml;q=0, */*", "json", "application/json"),
    ],
)
def test_which_format_is_asked_for(books: Books, accept: str, default: str, wanted: str) -> None:
    books.door.switch(formatWithoutAccept=default)
    for path in ("customer/1", "customer/99999"):
        response = books.client.get(path, headers={"accept": accept})
        assert response.headers["content-type"].startswith(wanted)


def test_pages_and_pdfs_stay_what_they_are(books: Books) -> None:
    made = books.create("Invoice", minimal_invoice())
    assert books.client.get(f"invoice/{made['Id']}/pdf", headers=ACCEPT).content.startswith(b"%PDF")
    books.door.fault({"operation": "read"}, {"status": 504})
    assert books.client.get("customer/1", headers=ACCEPT).headers["content-type"] == "text/html"
    books.door.fault({"operation": "read"}, {"truncated": True})
    with pytest.raises(httpx2.RemoteProtocolError):
        books.client.get("customer/1", headers=ACCEPT)


def test_a_repeated_requestid_is_repeated_in_xml_too(books: Books) -> None:
    first, again = (
        books.client.post("invoice?requestid=x", json=minimal_invoice(), headers=ACCEPT) for _ in range(2)
    )
    assert first.content == again.content


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(
    document=st.dictionaries(
        st.sampled_from(["Invoice", "Fault", "QueryResponse", "value", "a b"]), JSON, max_size=3
    )
)
def test_whatever_it_is_the_xml_is_well_formed(document: dict[str, Any]) -> None:
    assert (
        ElementTree.fromstring(render(document, datetime(2026, 11, 23, tzinfo=UTC))).tag
        == f"{NAMESPACE}IntuitResponse"
    )
