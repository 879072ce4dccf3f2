"""Both fault shapes, real and made up; the class of each code; nothing secret survives."""

import json

import pytest
from pydantic import SecretStr

from qbsync.quickbooks.faults import (
    DuplicateDocNumber,
    ErrorClass,
    Fault,
    classify,
    deciding,
    faults_of,
    parse_faults,
    redacted,
)
from unit.quickbooks.scripted import answer, faults, recorded, recorded_bytes

LIVE = SecretStr("live-token-0123456789")


@pytest.mark.parametrize(
    ("name", "index", "code", "message", "element"),
    [
        ("error__400", 1, "4001", "Invalid query", None),
        ("error__400_json", 0, "2010", "Request has invalid or unsupported property", None),
        ("error__500", 0, "500", "Unsupported Operation", None),
        ("error__500", 1, "2030", "Invalid ID", "Id"),
        ("error__validation", 0, "6240", "Duplicate Name Exists Error", None),
    ],
)
def test_recorded_faults_of_the_service(
    name: str, index: int, code: str, message: str, element: str | None
) -> None:
    (fault,) = parse_faults(recorded(name, index), redact=())
    assert (fault.code, fault.message, fault.element) == (code, message, element)
    assert fault.type == "ValidationFault"
    assert fault.detail


def test_recorded_401_in_the_gateways_lower_case_loses_its_token() -> None:
    (fault,) = parse_faults(recorded("error__401"), redact=())
    assert fault == Fault(
        code="3200",
        type="AUTHENTICATION",
        message="message=AuthenticationFailed; errorCode=003200; statusCode=401",
        detail="Token expired: [redacted]",
        element=None,
    )


def test_recorded_item_faults_of_a_batch() -> None:
    items = json.loads(recorded("batch__basic").body)["BatchItemResponse"]
    assert [[fault.code for fault in faults_of(item, redact=())] for item in items] == [
        [],
        ["610"],
        ["5010"],
        [],
    ]


def test_newline_in_a_recorded_detail_is_kept() -> None:
    (fault,) = parse_faults(
        answer(raw=recorded_bytes("quickbooks-ruby-xml/tax_service_error_dup.json")), redact=()
    )
    assert fault.code == "6240"
    assert "\nname. Please" in (fault.detail or "")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html><body>503 Service Unavailable</body></html>",
        recorded_bytes("quickbooks-ruby-xml/too_many_requests_error.xml"),
        b'{"Fault":{"Error":[{"Message":"cut o',
        b'"Fault"',
        b"[]",
        b'{"Invoice":{"Id":"1"}}',
        b'{"fault":null,"queryResponse":null}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"Fault":1e99999999999999999999}',
    ],
)
def test_bodies_without_a_readable_fault(raw: bytes) -> None:
    assert parse_faults(answer(raw=raw, status=400), redact=()) == ()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"Fault": {"Error": {"code": 610, "Message": "m"}}}, Fault("610", "", "m")),
        ({"Fault": {"Error": [{"Code": " 610 ", "Detail": "d"}]}}, Fault("610", "", "", "d")),
        ({"FAULT": {"ERROR": [{"code": "610", "element": ""}]}}, Fault("610", "", "")),
        ({"Fault": {"type": "SystemFault"}}, Fault("", "SystemFault", "")),
        ({"Fault": {"Error": []}}, Fault("", "", "")),
        ({"Fault": {"Error": ["odd"]}}, Fault("", "", "")),
        ({"Fault": "odd"}, Fault("", "", "")),
        ({"fault": {"error": [{"code": "3100", "detail": None, "element": None}]}}, Fault("3100", "", "")),
    ],
)
def test_odd_shapes_are_still_faults(body: object, expected: Fault) -> None:
    assert faults_of(body, redact=()) == (expected,)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *(
            (code, ErrorClass.PERMANENT)
            for code in ("2010", "2020", "2030", "2050", "2170", "2500", "610", "6000", "6070")
        ),
        *(
            (code, ErrorClass.PERMANENT)
            for code in ("6190", "6210", "6240", "6540", "500", "1040", "4000", "4001", "9999")
        ),
        *((code, ErrorClass.CONFLICT) for code in ("5010", "6140", "600")),
        *((code, ErrorClass.RECONNECT) for code in ("120", "3100")),
        *(
            (code, ErrorClass.TRANSIENT)
            for code in ("3001", "10000", "3999", "130", "", "x", "-1", "9" * 500)
        ),
        ("²", ErrorClass.TRANSIENT),
        ("3200", ErrorClass.AUTH_ONCE),
    ],
)
def test_the_table(code: str, expected: ErrorClass) -> None:
    assert classify(Fault(code, "ValidationFault", "message")) is expected


def test_6000_has_two_meanings() -> None:
    business = Fault("6000", "", "A business validation error has occurred", "Business Validation Error: no")
    busy = Fault(
        "6000",
        "",
        "An unexpected error occurred while accessing or saving your data. Please wait a few minutes and try again.",
    )
    assert classify(business) is ErrorClass.PERMANENT
    assert classify(busy) is ErrorClass.TRANSIENT


def test_the_type_never_decides() -> None:
    for kind in ("AUTHENTICATION", "SystemFault", "SERVICE", ""):
        assert classify(Fault("6140", kind, "")) is ErrorClass.CONFLICT


@pytest.mark.parametrize(
    ("codes", "first"),
    [
        (["2020", "6140", "2020"], "6140"),
        (["2020", "6140", "10000"], "10000"),
        (["6140", "3200"], "3200"),
        (["3200", "120"], "120"),
        (["2020", "2010"], "2020"),
    ],
)
def test_which_of_several_errors_decides(codes: list[str], first: str) -> None:
    several = tuple(Fault(code, "", "") for code in codes)
    assert deciding(several)[0].code == first
    assert sorted(fault.code for fault in deciding(several)) == sorted(codes)


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (
            "Duplicate Document Number Error : You must specify a different number. This number has already been"
            " used. DocNumber=O0010714 is assigned to TxnType=Invoice with TxnId=45823",
            DuplicateDocNumber("O0010714", "Invoice", "45823"),
        ),
        (
            "… DocNumber=A is assigned to TxnType=B is assigned to TxnType=Credit Memo with TxnId=7 Entity=Invoice",
            DuplicateDocNumber("A is assigned to TxnType=B", "Credit Memo", "7"),
        ),
        (
            "Duplicate Document Number Error : You must specify a different number. "
            "This number has already been used.",
            DuplicateDocNumber(None, None, None),
        ),
        ("Something else", None),
        (None, None),
    ],
)
def test_both_forms_of_6140(detail: str | None, expected: DuplicateDocNumber | None) -> None:
    assert DuplicateDocNumber.parse(detail) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Token expired: AB0160139", "Token expired: [redacted]"),
        ("token revoked AB016\nAB017", "token revoked: [redacted]"),
        ("Token revoked", "Token revoked"),
        ("Malformed bearer token: too short or too long", "Malformed bearer token: too short or too long"),
        (
            "Authorization: Bearer eyJhbGciOiJkaXIi was refused",
            "Authorization: Bearer [redacted] was refused",
        ),
        (
            f"seen {LIVE.get_secret_value()} twice {LIVE.get_secret_value()}",
            "seen [redacted] twice [redacted]",
        ),
    ],
)
def test_redaction(text: str, expected: str) -> None:
    assert redacted(text, (LIVE, SecretStr(""))) == expected


def test_every_text_of_a_fault_is_redacted() -> None:
    secret = LIVE.get_secret_value()
    error = {"Message": secret, "Detail": secret, "code": secret, "element": secret}
    for body in (faults(error, kind=secret), {"fault": {"error": error, "type": secret}}):
        assert secret not in repr(faults_of(body, redact=(LIVE,)))
