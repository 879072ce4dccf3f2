"""The models read what the API server accepts, and write what it accepts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from qbsync.api.base import ApiModel
from qbsync.api.connection import (
    AllowedNamespaces,
    Endpoints,
    ImportTokensFrom,
    NamespacesFrom,
    Permit,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    RefreshRecord,
)
from qbsync.api.invoice import (
    HistoryEntry,
    Intent,
    InvoiceSpec,
    InvoiceSyncSpec,
    InvoiceSyncStatus,
    LastError,
    Line,
)
from qbsync.api.meta import Kind, handled
from unit.api.documents import CASES, full, manifest, schema, walk

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
OTHER_WAYS_TO_NAME_A_CUSTOMER = {".spec.invoice.customer.id", ".spec.invoice.customer.email"}
MODELS: dict[tuple[Kind, str], type[ApiModel]] = {
    (Kind.CONNECTION, "spec"): QuickBooksConnectionSpec,
    (Kind.CONNECTION, "status"): QuickBooksConnectionStatus,
    (Kind.INVOICE, "spec"): InvoiceSyncSpec,
    (Kind.INVOICE, "status"): InvoiceSyncStatus,
}


def dump(model: ApiModel) -> dict[str, Any]:
    return model.model_dump(by_alias=True, exclude_none=True, mode="json")


def written(model: ApiModel) -> dict[str, Any]:
    """What was given, without what the model filled in."""
    return model.model_dump(by_alias=True, exclude_unset=True, mode="json")


@pytest.mark.parametrize(("kind", "part"), MODELS)
def test_every_field_survives_the_round_trip(kind: Kind, part: str) -> None:
    document = full(kind)[part]
    assert written(MODELS[kind, part].model_validate(document)) == document


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if "refused" not in case],
    ids=lambda case: f"{case['kind']}: {case['title']}",
)
def test_what_the_api_server_accepts_is_readable(case: dict[str, Any]) -> None:
    kind = Kind(case["kind"])
    spec = manifest(kind, case["change"], name="x")["spec"]
    assert written(MODELS[kind, "spec"].model_validate(spec)) == spec


def paths_of(value: Any, path: str) -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for name, child in value.items():
            yield from paths_of(child, f"{path}.{name}")
    if isinstance(value, list):
        for child in value:
            yield from paths_of(child, f"{path}[]")


@pytest.mark.parametrize("kind", Kind)
def test_the_full_document_has_every_field(kind: Kind) -> None:
    wanted = {path for path, _ in walk(schema(kind), "") if not path.endswith("{}")}
    assert wanted - {*paths_of(full(kind), "")} - OTHER_WAYS_TO_NAME_A_CUSTOMER == set()


@pytest.mark.parametrize("status", [InvoiceSyncStatus, QuickBooksConnectionStatus])
def test_an_empty_status_is_readable_and_says_that_nothing_was_done(
    status: type[InvoiceSyncStatus | QuickBooksConnectionStatus],
) -> None:
    assert dump(status.model_validate({})) == {"observedGeneration": -1}
    assert status() == status.model_validate({})


def test_unknown_fields_are_dropped() -> None:
    status = InvoiceSyncStatus.model_validate({"quickbooksId": "5", "later": 1, "intent": {"later": 2}})
    assert dump(status) == {"observedGeneration": -1, "quickbooksId": "5"}


def test_absent_settings_mean_what_their_descriptions_say() -> None:
    spec = QuickBooksConnectionSpec.model_validate(
        {"realmId": "1", "environment": "Sandbox", "clientSecretRef": {"name": "app"}}
    )
    assert spec.allowed_namespaces == AllowedNamespaces(from_=NamespacesFrom.SAME)
    assert (spec.time_zone, spec.suspend, spec.deletion_policy) == ("UTC", False, "Retain")
    assert ImportTokensFrom(name="x").policy == "Scrub"
    permit = Permit()
    assert [*permit.adoption, *permit.deletion] == ["IfMatching", "Never", "Retain", "Void"]
    assert (permit.create_missing, permit.send, permit.extra) == ((), False, ())


def test_reserved_words_have_an_underscore() -> None:
    assert Line.model_validate({"class": "A"}).class_ == "A"
    assert InvoiceSpec.model_validate({"class": "B", "customer": {"id": "1"}, "lines": [{}]}).class_ == "B"
    assert AllowedNamespaces.model_validate({"from": "All"}).from_ is NamespacesFrom.ALL


@pytest.mark.parametrize("number", [128.35, 3, True, []])
def test_money_is_never_anything_but_a_string(number: object) -> None:
    with pytest.raises(ValidationError, match=r'write numbers as strings, such as "128.35"'):
        Line.model_validate({"unitPrice": number})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1,5", "", "three"])
def test_money_is_a_number(text: str) -> None:
    with pytest.raises(ValidationError, match=r"not a (finite|decimal) number"):
        Line.model_validate({"amount": text})


def test_money_is_exact_and_written_without_an_exponent() -> None:
    assert Line.model_validate({"unitPrice": "0.0000001"}).unit_price == Decimal("0.0000001")
    status = InvoiceSyncStatus(total_amount=Decimal("1E+3"), balance=Decimal("1E-7"))
    assert dump(status) == {"observedGeneration": -1, "totalAmount": "1000", "balance": "0.0000001"}


def test_an_origin_loses_its_last_slash() -> None:
    endpoints = Endpoints.model_validate({"api": "http://127.0.0.1:1/", "token": "http://127.0.0.1:1/t/"})
    assert (endpoints.api, endpoints.token) == ("http://127.0.0.1:1", "http://127.0.0.1:1/t/")


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    pacific = NOON.astimezone(timezone(timedelta(hours=-8))) + timedelta(milliseconds=700)
    status = InvoiceSyncStatus(last_sync_time=pacific)
    assert dump(status)["lastSyncTime"] == "2026-11-23T12:00:00Z"
    assert InvoiceSyncStatus.model_validate(dump(status)) == status


def test_what_must_not_come_too_early_is_rounded_up() -> None:
    sent = NOON + timedelta(microseconds=1)
    status = InvoiceSyncStatus(next_retry_time=sent, intent=Intent(time=sent))
    assert status.next_retry_time == NOON + timedelta(seconds=1)
    assert dump(status)["intent"] == {"time": "2026-11-23T12:00:01Z"}
    assert InvoiceSyncStatus(next_retry_time=NOON).next_retry_time == NOON


def test_a_time_without_zone_is_utc() -> None:
    assert InvoiceSyncStatus(last_sync_time=NOON.replace(tzinfo=None)).last_sync_time == NOON


def test_text_that_the_api_server_would_refuse_is_cut() -> None:
    error = LastError(message="x" * 1025, detail="x" * 1024)
    assert error.message == "x" * 1023 + "…"
    assert error.detail == "x" * 1024


def test_histories_keep_the_newest() -> None:
    entries = [HistoryEntry(time=NOON, outcome=str(number)) for number in range(12)]
    assert [entry.outcome for entry in InvoiceSyncStatus(history=tuple(entries)).history] == [*"0123456789"]
    records = tuple(RefreshRecord(time=NOON, outcome="Refreshed") for _ in range(21))
    assert len(QuickBooksConnectionStatus(refresh_history=records).refresh_history) == 20


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        InvoiceSyncStatus().quickbooks_id = "5"  # type: ignore[misc]


def test_a_long_annotation_is_recorded_in_a_form_that_fits_and_compares() -> None:
    long = "x" * 5000
    status = InvoiceSyncStatus(last_handled_request=handled(long))
    assert InvoiceSyncStatus.model_validate(dump(status)).last_handled_request == handled(long)
