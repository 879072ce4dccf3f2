"""The table says what the API promises."""

from qbsync.api.conditions import REASONS, ConnectionReason, InvoiceReason, ReadyStatus, Retry
from qbsync.api.meta import Kind

# What users were told: each kind's reasons, by the status of Ready.
PROMISED = {
    Kind.CONNECTION: {
        "True": "TokenFresh",
        "Unknown": "Importing StoreFailing CircuitOpen ProviderUnavailable SecretNotFound ReadBudgetExhausted",
        "False": "ReauthorizationRequired CredentialsRejected RealmMismatch RealmConflict AccessLost SecretConflict "
        "ImportRejected DecryptionFailed EndpointNotAllowed",
    },
    Kind.INVOICE: {
        "True": "Created Adopted Recovered Updated Voided Observed",
        "Unknown": "Queued ConnectionNotFound ConnectionNotReady OutcomeUnknown Retrying",
        "False": "ConnectionNotAllowed NotPermitted DocNumberConflict InvalidInvoice ReferenceNotFound PeriodClosed "
        "SubscriptionEnded DeletedInQuickBooks VoidRefused",
    },
}


def test_every_promised_reason_is_there_with_its_status_and_no_other() -> None:
    promised = {
        (kind, reason): status
        for kind, by_status in PROMISED.items()
        for status, reasons in by_status.items()
        for reason in reasons.split()
    }
    assert {key: row.ready.value for key, row in REASONS.items()} == promised


def test_the_enums_and_the_table_name_the_same_reasons() -> None:
    assert {reason for kind, reason in REASONS if kind is Kind.CONNECTION} == {*ConnectionReason}
    assert {reason for kind, reason in REASONS if kind is Kind.INVOICE} == {*InvoiceReason}


def test_every_row_keeps_the_rules() -> None:
    for row in REASONS.values():
        assert row.reconciling == (row.ready is ReadyStatus.UNKNOWN), row
        assert row.stalled == (row.ready is ReadyStatus.FALSE and row.retry is Retry.PERSON), row
        assert row.ready is not ReadyStatus.FALSE or row.who_acts, row
        assert row.meaning.endswith("."), row


def test_what_is_never_retried_by_itself_is_stalled() -> None:
    permanent = {
        InvoiceReason.INVALID_INVOICE,
        InvoiceReason.REFERENCE_NOT_FOUND,
        InvoiceReason.PERIOD_CLOSED,
        InvoiceReason.SUBSCRIPTION_ENDED,
        InvoiceReason.DOC_NUMBER_CONFLICT,
        InvoiceReason.NOT_PERMITTED,
    }
    assert all(REASONS[Kind.INVOICE, reason].stalled for reason in permanent)


def test_what_is_probed_is_not_stalled() -> None:
    probed = {reason for (_, reason), row in REASONS.items() if row.retry is Retry.PROBE}
    expected = {
        "ReadBudgetExhausted",
        "ReauthorizationRequired",
        "RealmMismatch",
        "AccessLost",
        "ImportRejected",
    }
    assert probed == expected
    assert not any(REASONS[Kind.CONNECTION, reason].stalled for reason in probed)
