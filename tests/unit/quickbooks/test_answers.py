"""Which exception an answer becomes, and what that says of a write."""

import pytest
from pydantic import SecretStr

from qbsync.quickbooks import errors
from qbsync.quickbooks.answers import content
from qbsync.quickbooks.faults import ErrorClass
from qbsync.quickbooks.transport import HttpResponse
from unit.quickbooks.scripted import TOKEN, answer, fault, faults, recorded, recorded_bytes

HTML = b"<html><head><title>504 Gateway Time-out</title></head></html>"
XML_429 = recorded_bytes("quickbooks-ruby-xml/too_many_requests_error.xml")
XML_403 = recorded_bytes("quickbooks-ruby-xml/throttle_exceeded_error.xml")
LOWER_429 = {"fault": {"error": [{"message": "ThrottleExceeded", "code": "3001"}], "type": "SERVICE"}}
BUSY = {"Message": "An unexpected error occurred …", "Detail": "Please wait a few minutes.", "code": "6000"}

KNOWN = [
    (fault("2020"), errors.Rejected, False),
    (fault("6140"), errors.Rejected, False),
    (fault("5010"), errors.Rejected, False),
    (recorded("error__400_json"), errors.Rejected, False),
    (fault("6140", status=200), errors.Rejected, False),
    (
        answer(faults({"code": "6140"}, {"code": "2020"}, {"code": "2020"}), status=400),
        errors.Rejected,
        False,
    ),
    (recorded("error__401"), errors.Unauthorized, False),
    (answer(raw=HTML, status=401), errors.Unauthorized, False),
    (fault("3200", status=200), errors.Unauthorized, False),
    (fault("120", status=401), errors.AccessLost, False),
    (fault("120", status=400), errors.AccessLost, False),
    (fault("3100", status=403), errors.WrongRealm, False),
    (fault("3100", status=401), errors.WrongRealm, False),
    (fault("3200", status=403), errors.WrongRealm, False),
    # What follows proves nothing about a write.
    (answer(faults(BUSY), status=400), errors.Rejected, True),
    (answer(faults({"code": "2020"}, {"code": "10000"}), status=400), errors.Rejected, True),
    (answer({"Fault": {"type": "ValidationFault"}}, status=400), errors.Rejected, True),
    (fault("610", status=404), errors.Rejected, True),
    (answer({"fault": {"error": {"code": "2020"}}, "Invoice": {"Id": "1"}}), errors.ServerFailure, True),
    (answer(LOWER_429, status=429), errors.Throttled, True),
    (answer(LOWER_429, status=200), errors.Throttled, True),
    (answer(LOWER_429, status=403), errors.Throttled, True),
    (answer(raw=XML_429, status=429), errors.Throttled, True),
    (answer(raw=b"", status=429), errors.Throttled, True),
    (answer(raw=XML_403, status=403), errors.ServerFailure, True),
    (answer(raw=b"", status=408), errors.ServerFailure, True),
    (fault("2020", status=408), errors.ServerFailure, True),
    (fault("2020", status=500), errors.ServerFailure, True),
    (fault("10000", status=500), errors.ServerFailure, True),
    (answer(raw=HTML, status=504), errors.ServerFailure, True),
    (answer(raw=HTML, status=400), errors.ServerFailure, True),
    (answer(raw=HTML, status=200), errors.ServerFailure, True),
    (answer(raw=b'{"Invoice":{"Id":"1"', status=200), errors.ServerFailure, True),
    (answer(raw=b'{"Fault":{"Error":[{"code":"2020"', status=400), errors.ServerFailure, True),
    (answer(raw=b"", status=204), errors.ServerFailure, True),
    (
        answer(raw=b"", status=302, headers={"location": "https://elsewhere.example"}),
        errors.ServerFailure,
        True,
    ),
    (fault("2020", status=302), errors.ServerFailure, True),
    (answer([], status=200), errors.ServerFailure, True),
    (answer(raw=b"", status=404), errors.ServerFailure, True),
]


@pytest.mark.parametrize(("response", "expected", "unknown"), KNOWN)
def test_what_an_answer_means(
    response: HttpResponse, expected: type[errors.QuickBooksError], unknown: bool
) -> None:
    with pytest.raises(errors.QuickBooksError) as caught:
        content(response, redact=(SecretStr(TOKEN),))
    assert type(caught.value) is expected
    assert errors.outcome_unknown(caught.value) is unknown
    assert caught.value.status == response.status
    assert caught.value.intuit_tid == response.headers["intuit_tid"]


def test_a_good_answer_is_returned_whole() -> None:
    body = content(recorded("create__invoice"), redact=())
    assert body["Invoice"]["Id"] == "266"


def test_the_gateways_empty_fault_in_a_good_answer_is_none() -> None:
    assert content(answer({"fault": None, "Invoice": {"Id": "1"}}), redact=())["Invoice"] == {"Id": "1"}


def test_a_rejection_tells_quickbooks_words_of_the_deciding_error() -> None:
    response = answer(
        faults({"code": "2020", "Message": "a"}, {"code": "6140", "Message": "b", "Detail": "c"}), status=400
    )
    with pytest.raises(errors.Rejected) as caught:
        content(response, redact=())
    error = caught.value
    assert (error.code, error.type, error.detail) == ("6140", "ValidationFault", "c")
    assert error.error_class is ErrorClass.CONFLICT
    assert [each.code for each in error.faults] == ["6140", "2020"]
    assert str(error) == "QuickBooks refused with 6140: b - c; nothing was stored"


def test_of_a_body_that_is_no_fault_only_status_type_and_length_are_told() -> None:
    response = answer(raw=HTML, status=502, headers={"content-type": "text/html; secret=1"})
    with pytest.raises(errors.ServerFailure, match=r"answered 502, text/html, 61 bytes;") as caught:
        content(response, redact=())
    assert "Gateway" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_is_no_transaction_id_is_not_taken_for_one() -> None:
    with pytest.raises(errors.ServerFailure) as caught:
        content(answer(raw=b"", status=500, headers={"intuit_tid": "Bearer <x>"}), redact=())
    assert caught.value.intuit_tid is None


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (errors.NotSent("x"), False),
        (errors.NoAccessToken("x"), False),
        (errors.TokenPerhapsProcessed("x"), False),
        (errors.NoAnswer("x"), True),
        (errors.IncompleteAnswer("x"), True),
        (errors.QuickBooksError("x"), True),
    ],
)
def test_outcome_without_an_answer(error: errors.QuickBooksError, unknown: bool) -> None:
    assert errors.outcome_unknown(error) is unknown
