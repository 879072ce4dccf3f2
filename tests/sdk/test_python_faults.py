"""What python-quickbooks makes of the simulator's faults: its own classes, by the ranges of QuickBooks' codes."""

import pytest
from quickbooks import QuickBooks
from quickbooks.exceptions import (
    AuthorizationException,
    ObjectNotFoundException,
    QuickbooksException,
    ValidationException,
)
from quickbooks.objects import Customer, Invoice
from requests import ConnectionError as NoAnswer

from fixtures.simulator_server import Door
from sdk.python_client import new_customer, new_invoice, quickbooks


@pytest.fixture
def qb(simulator: Door) -> QuickBooks:
    return quickbooks(simulator)


def test_6140_a_number_that_is_taken(qb: QuickBooks, simulator: Door) -> None:
    """There is no class for codes from 5000 to 9999: the base class, with the code."""
    simulator.switch(duplicateDocCheck=True)
    first = new_invoice(DocNumber="TWICE").save(qb=qb)
    with pytest.raises(QuickbooksException) as refused:
        new_invoice(DocNumber="TWICE").save(qb=qb)
    assert type(refused.value) is QuickbooksException
    assert refused.value.error_code == 6140
    assert f"TxnType=Invoice with TxnId={first.Id}" in refused.value.detail


def test_6140_can_be_waived(qb: QuickBooks, simulator: Door) -> None:
    simulator.switch(duplicateDocCheck=True)
    for _ in range(2):
        new_invoice(DocNumber="TWICE").save(qb=qb, params={"include": "allowduplicatedocnum"})
    assert len(simulator.invoices("TWICE")) == 2


def test_610_no_such_invoice(qb: QuickBooks) -> None:
    with pytest.raises(ObjectNotFoundException) as refused:
        Invoice.get(999999, qb=qb)
    assert refused.value.error_code == 610


def test_610_deleted_twice(qb: QuickBooks) -> None:
    invoice = new_invoice().save(qb=qb)
    invoice.delete(qb=qb)
    with pytest.raises(ObjectNotFoundException):
        invoice.delete(qb=qb)


def test_5010_somebody_else_was_there_before(qb: QuickBooks) -> None:
    stale = new_customer("Stale").save(qb=qb)
    other = Customer.get(stale.Id, qb=qb)
    other.CompanyName = "first"
    other.save(qb=qb)
    stale.CompanyName = "too late"
    with pytest.raises(QuickbooksException) as refused:
        stale.save(qb=qb)
    assert (type(refused.value), refused.value.error_code) == (QuickbooksException, 5010)


def test_2010_a_property_that_is_none(qb: QuickBooks) -> None:
    invoice = new_invoice()
    invoice.Colour = "red"
    with pytest.raises(ValidationException) as refused:
        invoice.save(qb=qb)
    assert refused.value.error_code == 2010


def test_2020_no_line(qb: QuickBooks) -> None:
    invoice = new_invoice()
    invoice.Line = []
    with pytest.raises(ValidationException) as refused:
        invoice.save(qb=qb)
    assert refused.value.error_code == 2020


def test_6070_amount_is_not_quantity_times_price(qb: QuickBooks) -> None:
    invoice = new_invoice(1861.07)
    invoice.Line[0].SalesItemLineDetail.Qty = 14.5
    invoice.Line[0].SalesItemLineDetail.UnitPrice = 128.35
    with pytest.raises(QuickbooksException) as refused:
        invoice.save(qb=qb)
    assert refused.value.error_code == 6070


def test_6240_a_name_that_is_taken(qb: QuickBooks) -> None:
    new_customer("Once").save(qb=qb)
    with pytest.raises(QuickbooksException) as refused:
        new_customer("Once").save(qb=qb)
    assert refused.value.error_code == 6240


@pytest.mark.parametrize(("where", "code"), [("DocNumber = ", 4000), ("NoSuchField = 'x'", 4001)])
def test_a_query_that_is_none(qb: QuickBooks, where: str, code: int) -> None:
    with pytest.raises(ValidationException) as refused:
        Invoice.where(where, qb=qb)
    assert refused.value.error_code == code


def test_401_a_token_that_has_expired(qb: QuickBooks, simulator: Door) -> None:
    simulator.advance(3601)
    with pytest.raises(AuthorizationException) as refused:
        Invoice.get(1, qb=qb)
    assert refused.value.error_code == 401
    assert "Token expired" in refused.value.detail
    qb.auth_client.refresh()
    qb._start_session()
    assert Customer.get(1, qb=qb).Id == "1"


def test_401_on_a_pdf(qb: QuickBooks, simulator: Door) -> None:
    invoice = new_invoice().save(qb=qb)
    simulator.advance(3601)
    with pytest.raises(AuthorizationException):
        invoice.download_pdf(qb=qb)


def test_403_a_company_the_token_is_not_for(simulator: Door) -> None:
    """The gateway's lower-case `fault` is none to the library: client.py only looks for `Fault`."""
    other = simulator.realm()
    qb = quickbooks(simulator)
    qb.company_id = other
    with pytest.raises(QuickbooksException) as refused:
        Invoice.get(1, qb=qb)
    assert (type(refused.value), refused.value.error_code) == (QuickbooksException, 10000)
    assert "status code '403'" in str(refused.value)
    assert "003100" in str(refused.value)


def test_429_too_many_calls(qb: QuickBooks, simulator: Door) -> None:
    """As with 403, the library does not recognise the gateway's shape."""
    simulator.switch(limitPerMinute=1)
    Customer.get(1, qb=qb)
    with pytest.raises(QuickbooksException) as refused:
        Customer.get(1, qb=qb)
    assert refused.value.error_code == 10000
    assert "status code '429'" in str(refused.value)
    simulator.advance(60)
    assert Customer.get(1, qb=qb).Id == "1"


def test_429_in_the_services_shape(qb: QuickBooks, simulator: Door) -> None:
    """3001 lies in the range that the library takes for validation."""
    simulator.switch(limitPerMinute=1, throttleShape="service")
    Customer.get(1, qb=qb)
    with pytest.raises(ValidationException) as refused:
        Customer.get(1, qb=qb)
    assert refused.value.error_code == 3001


def test_faults_of_the_service_in_the_gateways_shape(qb: QuickBooks, simulator: Door) -> None:
    """Seen of the real service too: then even a 610 is no ObjectNotFoundException to the library."""
    simulator.switch(lowerCaseFaults=True)
    with pytest.raises(QuickbooksException) as refused:
        Invoice.get(999999, qb=qb)
    assert (type(refused.value), refused.value.error_code) == (QuickbooksException, 10000)


def test_an_error_page_is_no_json(qb: QuickBooks, simulator: Door) -> None:
    simulator.fault({"operation": "read"}, {"html": True, "status": 503})
    with pytest.raises(QuickbooksException, match="Error reading json response") as refused:
        Customer.get(1, qb=qb)
    assert refused.value.error_code == 10000


def test_a_lost_answer_is_found_again_by_its_request_id(qb: QuickBooks, simulator: Door) -> None:
    simulator.fault({"operation": "create"}, {"drop": "after"})
    with pytest.raises(NoAnswer):
        new_invoice(DocNumber="LOST").save(qb=qb, request_id="lost-1")
    found = new_invoice(DocNumber="LOST").save(qb=qb, request_id="lost-1")
    assert [row["Id"] for row in simulator.invoices("LOST")] == [found.Id]
