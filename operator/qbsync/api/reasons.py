"""The one table of reasons: (kind, reason) → Ready, Reconciling, Stalled, what is retried, who acts.

kstatus: what waits, retries or heals by itself is Unknown and Reconciling; False needs somebody; Stalled
says that nothing will be tried until a person acts. docs/reference/reasons.md is made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from qbsync.api.meta import Kind


class ReadyStatus(StrEnum):
    """Status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Retry(StrEnum):
    """What happens next without anybody's doing."""

    NONE = "nothing left to do"
    BACKOFF = "again and again, with growing pauses"
    SCHEDULED = "at the time in status"
    DEPENDENCY = "as soon as what it waits for changes"
    PROBE = "now and then: hourly, later daily"
    PERSON = "not before a person changes something, or asks with requested-at"


class ConnectionReason(StrEnum):
    """Reasons of a QuickBooksConnection's Ready."""

    TOKEN_FRESH = "TokenFresh"  # noqa: S105 - a reason, no secret
    IMPORTING = "Importing"
    STORE_FAILING = "StoreFailing"
    CIRCUIT_OPEN = "CircuitOpen"
    PROVIDER_UNAVAILABLE = "ProviderUnavailable"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    READ_BUDGET_EXHAUSTED = "ReadBudgetExhausted"
    REAUTHORIZATION_REQUIRED = "ReauthorizationRequired"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    REALM_MISMATCH = "RealmMismatch"
    REALM_CONFLICT = "RealmConflict"
    ACCESS_LOST = "AccessLost"
    SECRET_CONFLICT = "SecretConflict"  # noqa: S105
    IMPORT_REJECTED = "ImportRejected"
    DECRYPTION_FAILED = "DecryptionFailed"
    ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed"


class InvoiceReason(StrEnum):
    """Reasons of an InvoiceSync's Ready."""

    CREATED = "Created"
    ADOPTED = "Adopted"
    RECOVERED = "Recovered"
    UPDATED = "Updated"
    VOIDED = "Voided"
    OBSERVED = "Observed"
    QUEUED = "Queued"
    CONNECTION_NOT_FOUND = "ConnectionNotFound"
    CONNECTION_NOT_READY = "ConnectionNotReady"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    RETRYING = "Retrying"
    CONNECTION_NOT_ALLOWED = "ConnectionNotAllowed"
    NOT_PERMITTED = "NotPermitted"
    DOC_NUMBER_CONFLICT = "DocNumberConflict"
    INVALID_INVOICE = "InvalidInvoice"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    PERIOD_CLOSED = "PeriodClosed"
    SUBSCRIPTION_ENDED = "SubscriptionEnded"
    DELETED_IN_QUICKBOOKS = "DeletedInQuickBooks"
    VOID_REFUSED = "VoidRefused"


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """One row: what the conditions say for a reason, and what follows from it."""

    reason: str
    kind: Kind
    ready: ReadyStatus
    reconciling: bool
    stalled: bool
    retry: Retry
    who_acts: str
    """Empty if nobody has to."""
    meaning: str


_NOBODY: Final = ""
_AUTHOR: Final = "author of the InvoiceSync"
_OWNER: Final = "owner of the connection"
_COMPANY: Final = "administrator of the QuickBooks company"
_BOOKKEEPER: Final = "bookkeeper"
_CLUSTER: Final = "operator of the cluster"


class _Rows:
    """Collects rows; one method per status, so that no row can contradict kstatus."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.rows: list[ReasonRow] = []

    def ready(self, reason: StrEnum, meaning: str, retry: Retry = Retry.NONE) -> None:
        self._add(reason, ReadyStatus.TRUE, retry, _NOBODY, meaning)

    def waiting(self, reason: StrEnum, retry: Retry, meaning: str, who_acts: str = _NOBODY) -> None:
        self._add(reason, ReadyStatus.UNKNOWN, retry, who_acts, meaning)

    def failed(self, reason: StrEnum, retry: Retry, who_acts: str, meaning: str) -> None:
        self._add(reason, ReadyStatus.FALSE, retry, who_acts, meaning)

    def _add(self, reason: StrEnum, ready: ReadyStatus, retry: Retry, who_acts: str, meaning: str) -> None:
        self.rows.append(
            ReasonRow(
                reason=reason.value,
                kind=self._kind,
                ready=ready,
                reconciling=ready is ReadyStatus.UNKNOWN,
                stalled=ready is ReadyStatus.FALSE and retry is Retry.PERSON,
                retry=retry,
                who_acts=who_acts,
                meaning=meaning,
            )
        )


def _connection_rows() -> list[ReasonRow]:
    rows = _Rows(Kind.CONNECTION)
    reason = ConnectionReason
    rows.ready(
        reason.TOKEN_FRESH, "The access token is valid and is refreshed before it ends.", Retry.SCHEDULED
    )
    rows.waiting(reason.IMPORTING, Retry.BACKOFF, "The first tokens are being imported and checked.")
    rows.waiting(
        reason.STORE_FAILING,
        Retry.BACKOFF,
        "New tokens cannot be written to their Secret; they are kept in memory and written again and again.",
        _CLUSTER,
    )
    rows.waiting(
        reason.CIRCUIT_OPEN,
        Retry.SCHEDULED,
        "So many calls failed that QuickBooks is left alone until status.circuit.retryAt.",
    )
    rows.waiting(
        reason.PROVIDER_UNAVAILABLE,
        Retry.BACKOFF,
        "Intuit's token endpoint does not answer, and the access token has ended.",
    )
    rows.waiting(
        reason.SECRET_NOT_FOUND,
        Retry.DEPENDENCY,
        "The Secret named in clientSecretRef or importTokensFrom, or one of its keys, is missing; "
        "it is looked for every 15 s.",
        _OWNER,
    )
    rows.waiting(
        reason.READ_BUDGET_EXHAUSTED,
        Retry.PROBE,
        "Intuit's monthly read allowance of the app is used up; one read per hour is tried.",
        _OWNER,
    )
    rows.failed(
        reason.REAUTHORIZATION_REQUIRED,
        Retry.PROBE,
        _COMPANY,
        "There is no grant, or Intuit no longer accepts it: someone must connect the company (again).",
    )
    rows.failed(
        reason.CREDENTIALS_REJECTED,
        Retry.PERSON,
        _OWNER,
        "Intuit refuses the client id or secret. A changed client Secret is noticed within 15 s.",
    )
    rows.failed(
        reason.REALM_MISMATCH,
        Retry.PROBE,
        _OWNER,
        "The grant belongs to another company, or to the other of sandbox and production.",
    )
    rows.failed(
        reason.REALM_CONFLICT,
        Retry.PERSON,
        _OWNER,
        "An older connection works for the same company; this one waits until it is gone.",
    )
    rows.failed(
        reason.ACCESS_LOST,
        Retry.PROBE,
        _COMPANY,
        "Whoever connected the company may no longer use QuickBooks there (Intuit: Fault 120).",
    )
    rows.failed(
        reason.SECRET_CONFLICT,
        Retry.PERSON,
        _OWNER,
        "A Secret that qbsync did not create has the name for the tokens; it is left untouched.",
    )
    rows.failed(
        reason.IMPORT_REJECTED,
        Retry.PROBE,
        _OWNER,
        "Intuit refused the imported tokens at first use: another program still uses, or used, this grant.",
    )
    rows.failed(
        reason.DECRYPTION_FAILED,
        Retry.PERSON,
        _CLUSTER,
        "The stored tokens do not open with this operator's keys, or were made for another connection.",
    )
    rows.failed(
        reason.ENDPOINT_NOT_ALLOWED,
        Retry.PERSON,
        _CLUSTER,
        "The operator's flags do not allow these custom endpoints.",
    )
    return rows.rows


def _invoice_rows() -> list[ReasonRow]:
    rows = _Rows(Kind.INVOICE)
    reason = InvoiceReason
    rows.ready(reason.CREATED, "The invoice was created.")
    rows.ready(reason.ADOPTED, "An invoice that existed in QuickBooks is now kept by this object.")
    rows.ready(reason.RECOVERED, "The invoice had been made for this object before, and was found again.")
    rows.ready(reason.UPDATED, "A change of the spec was written to the invoice.")
    rows.ready(reason.VOIDED, "The invoice was voided.")
    rows.ready(
        reason.OBSERVED,
        "Mode Observe: nothing would be done. Else Ready is False, and the message says what would be.",
    )
    rows.waiting(reason.QUEUED, Retry.SCHEDULED, "Its turn has not come for 30 s.")
    rows.waiting(
        reason.CONNECTION_NOT_FOUND,
        Retry.DEPENDENCY,
        "There is no such connection (yet). Stalled after 10 min, yet taken up as soon as there is one.",
        _AUTHOR,
    )
    rows.waiting(
        reason.CONNECTION_NOT_READY,
        Retry.DEPENDENCY,
        "The connection cannot work now; its own conditions say why.",
    )
    rows.waiting(
        reason.OUTCOME_UNKNOWN,
        Retry.SCHEDULED,
        "A write was sent and no complete answer came; settled when QuickBooks cannot be at it any more.",
    )
    rows.waiting(reason.RETRYING, Retry.BACKOFF, "QuickBooks failed in a way that passes.")
    rows.failed(
        reason.CONNECTION_NOT_ALLOWED,
        Retry.PERSON,
        _OWNER,
        "The connection's allowedNamespaces do not let this namespace in, or there is no such connection.",
    )
    rows.failed(
        reason.NOT_PERMITTED,
        Retry.PERSON,
        _OWNER,
        "The spec asks for more than the connection's invoices.permit allows.",
    )
    rows.failed(
        reason.DOC_NUMBER_CONFLICT,
        Retry.PERSON,
        _AUTHOR,
        "The number is taken in QuickBooks by something that is not this object's invoice.",
    )
    rows.failed(
        reason.INVALID_INVOICE,
        Retry.PERSON,
        _AUTHOR,
        "QuickBooks, or the check before sending, refuses the content.",
    )
    rows.failed(
        reason.REFERENCE_NOT_FOUND,
        Retry.PERSON,
        _AUTHOR,
        "A customer, item or another reference is missing, inactive or ambiguous in QuickBooks.",
    )
    rows.failed(
        reason.PERIOD_CLOSED,
        Retry.PERSON,
        _BOOKKEEPER,
        "The books are closed for that date (Intuit: Fault 6210).",
    )
    rows.failed(
        reason.SUBSCRIPTION_ENDED,
        Retry.PERSON,
        _COMPANY,
        "The company's QuickBooks subscription has ended (Intuit: Fault 6190).",
    )
    rows.failed(
        reason.DELETED_IN_QUICKBOOKS,
        Retry.PERSON,
        _AUTHOR,
        "The invoice was deleted in QuickBooks; it comes back only with the annotation qbsync.dev/recreate.",
    )
    rows.failed(
        reason.VOID_REFUSED,
        Retry.PERSON,
        _BOOKKEEPER,
        "The invoice cannot be voided or deleted while a payment is linked to it.",
    )
    return rows.rows


REASONS: Final[Mapping[tuple[Kind, str], ReasonRow]] = MappingProxyType(
    {(row.kind, row.reason): row for row in (*_connection_rows(), *_invoice_rows())}
)
"""The table."""
