"""Statements over HTTP: how they are sent, what comes back, and the switches that QuickBooks' documents leave open."""

from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest

from .conftest import Books, decoded

AMY = "SELECT * FROM Customer WHERE DisplayName = 'Amy\\'s Bird Sanctuary'"


def asked(books: Books, query_string: str) -> httpx2.Response:
    """A GET with its query string to the letter."""
    return books.client.get(f"query?{query_string}")


def names(response: httpx2.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [row["DisplayName"] for row in decoded(response)["QueryResponse"]["Customer"]]


@pytest.mark.parametrize(
    "query_string",
    [
        f"query={quote(AMY)}",
        f"query={quote_plus(AMY)}",
        f"minorversion=75&query={quote(AMY, safe='')}",
        f"query={quote_plus(AMY)}&minorversion=4&requestid=r1",
        f"query={quote(AMY.replace('FROM ', 'FROM' + chr(9)))}%0A",
    ],
)
def test_blanks_come_as_plus_or_escaped(books: Books, query_string: str) -> None:
    assert names(asked(books, query_string)) == ["Amy's Bird Sanctuary"]


@pytest.mark.parametrize("content_type", ["application/text", "text/plain", "text/plain; charset=utf-8"])
def test_a_long_statement_comes_as_a_body(books: Books, content_type: str) -> None:
    response = books.client.post(
        "query?minorversion=75", content=AMY.encode(), headers={"content-type": content_type}
    )
    assert names(response) == ["Amy's Bird Sanctuary"]


def test_a_plus_in_a_body_is_a_plus(books: Books) -> None:
    books.create("Customer", {"DisplayName": "A+B & Söhne 'x' \\ y"})
    statement = r"SELECT * FROM Customer WHERE DisplayName = 'A+B & Söhne \'x\' \\ y'"
    (row,) = books.query(statement)["Customer"]
    assert row["DisplayName"] == "A+B & Söhne 'x' \\ y"
    assert names(asked(books, f"query={quote(statement, safe='')}")) == [row["DisplayName"]]


def test_an_empty_statement_is_refused_however_it_comes(books: Books) -> None:
    for query_string in ("", "query=", "query=%20", "minorversion=75"):
        (error,) = decoded(asked(books, query_string))["Fault"]["Error"]
        assert (error["code"], error["Detail"]) == ("4000", "QueryParserError: The query provided was empty")


def test_statements_as_sdks_write_them(books: Books) -> None:
    """node-quickbooks and python-quickbooks; Intuit's own example of 2023."""
    found = books.query("select * from customer where Active = true startposition 1 maxresults 1000")
    assert next(iter(found)) == "Customer"
    assert "Item" in books.query("SELECT *, Sku FROM Item MAXRESULTS 100")
    assert books.query("SELECT COUNT(*) FROM Invoice ")["totalCount"] > 0
    latest = books.query("SELECT * FROM Customer WHERE active = true ORDERBY metadata.lastupdatedtime DESC")[
        "Customer"
    ]
    assert (
        latest
        == books.query("select * from Customer where Active = true order by MetaData.LastUpdatedTime desc")[
            "Customer"
        ]
    )


def test_names_to_the_letter_where_a_switch_says_so(books: Books) -> None:
    books.door.switch(queryNamesIgnoreCase=False)
    assert books.query_refused("select * from invoice")["Detail"].endswith(
        "invalid context declaration: invoice"
    )
    assert books.query_refused("select * from Customer where active = true")["Detail"] == (
        "QueryValidationError: Property active not found for Entity Customer"
    )
    assert "Customer" in books.query("select * from Customer where Active = true")


def test_entities_there_are_none_of(books: Books) -> None:
    assert books.query("SELECT * FROM Bill WHERE TotalAmt > '5'") == {}
    assert books.query("SELECT COUNT(*) FROM estimate") == {"totalCount": 0}


def test_a_projection_is_a_sparse_row(books: Books) -> None:
    statement = "SELECT DisplayName, MetaData.CreateTime FROM Customer WHERE Id = '1'"
    (row,) = books.query(statement)["Customer"]
    whole = books.read("Customer", "1")
    assert row == {
        "DisplayName": whole["DisplayName"],
        "MetaData": {"CreateTime": whole["MetaData"]["CreateTime"]},
        "domain": "QBO",
        "sparse": True,
    }
    books.door.switch(queryProjections="ignored")
    assert books.query(statement)["Customer"] == [whole]


def test_lines_are_projected_one_by_one(books: Books) -> None:
    invoice = books.query("SELECT Id, Line.*, CustomerRef FROM Invoice MAXRESULTS 1")["Invoice"][0]
    assert set(invoice) == {"Id", "Line", "CustomerRef", "domain", "sparse"}
    assert invoice["Line"] == books.read("Invoice", invoice["Id"])["Line"]
    assert books.query_refused("SELECT Id, Line.Nothing FROM Invoice")["Detail"].endswith(
        "Property Line.Nothing not found for Entity Invoice"
    )


def test_pages_out_of_range(books: Books) -> None:
    def first(statement: str) -> Any:
        return books.query(f"SELECT * FROM Invoice {statement}")["Invoice"][0]["Id"]

    assert books.query_refused("SELECT * FROM Invoice STARTPOSITION 0")["code"] == "4001"
    assert books.query_refused("SELECT * FROM Invoice MAXRESULTS 1001")["code"] == "4001"
    books.door.switch(startPositionZero="first", largePages="cut")
    assert first("STARTPOSITION 0 MAXRESULTS 5000") == first("")


def test_the_pseudo_tax_codes_have_no_numbers_and_can_be_found(books: Books) -> None:
    found = books.query("SELECT * FROM TaxCode WHERE Id IN ('TAX', '2', 'NON')")["TaxCode"]
    assert {row["Id"] for row in found} == {"TAX", "2", "NON"}
    books.door.switch(orderById=True)
    rows = books.query("SELECT * FROM TaxCode ORDERBY Id")["TaxCode"]
    assert [row["Id"] for row in rows][-2:] == ["NON", "TAX"]
