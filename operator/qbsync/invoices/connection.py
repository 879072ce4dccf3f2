"""The connection as an InvoiceSync sees it: may it be used, and is it usable now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from qbsync.api.conditions import ConditionType, InvoiceReason, ReadyStatus, find
from qbsync.api.connection import (
    LabelSelector,
    LabelSelectorRequirement,
    NamespacesFrom,
    Permit,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    SelectorOperator,
)
from qbsync.api.invoice import Adoption, InvoiceSyncSpec
from qbsync.engine.keys import Company
from qbsync.engine.store import Snapshot
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.mapping import MarkPlace
from qbsync.invoices.support import connection_not_supported_yet

LOOK_AGAIN = timedelta(seconds=60)
"""A wait that some event ends is looked at again after this, should the event get lost."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One QuickBooksConnection, parsed."""

    snapshot: Snapshot
    spec: QuickBooksConnectionSpec
    status: QuickBooksConnectionStatus

    @classmethod
    def parse(cls, snapshot: Snapshot) -> "Connection":
        """Read an object as the API server holds it; the schema has accepted it."""
        return cls(
            snapshot,
            QuickBooksConnectionSpec.model_validate(snapshot.spec),
            QuickBooksConnectionStatus.model_validate(snapshot.status),
        )

    @property
    def time_zone(self) -> str:
        return self.spec.time_zone or "UTC"

    @property
    def home_currency(self) -> str | None:
        return self.status.company.currency if self.status.company is not None else None

    @property
    def mark_place(self) -> MarkPlace:
        """Where this company's invoices carry the owner mark."""
        setting = self.spec.invoices.owner_mark if self.spec.invoices is not None else None
        return MarkPlace(setting) if setting is not None else MarkPlace()

    def adoption_for(self, spec: InvoiceSyncSpec) -> Adoption:
        """The policy that applies: the object's own, else the connection's, else IfMatching."""
        default = self.spec.invoices.adoption if self.spec.invoices is not None else None
        return spec.adoption or default or Adoption.IF_MATCHING


@dataclass(frozen=True, slots=True)
class LabelsUnknown:
    """The labels of a namespace cannot be had, so no selector selects it."""

    why: str
    passing: bool
    """It may work later; else the operator was started without the right to read namespaces."""


NamespaceLabels = Mapping[str, str] | LabelsUnknown


def gate(
    *,
    company: Company,
    namespace: str,
    namespace_labels: NamespaceLabels,
    spec: InvoiceSyncSpec,
    connection: Connection | None,
) -> Wait | Refuse | None:
    """Why an InvoiceSync in `namespace` may not use its connection now; None if it may.

    In another namespace an unknown and a forbidden connection are told apart by nobody.
    """
    if connection is None and namespace == company.namespace:
        return Wait(
            InvoiceReason.CONNECTION_NOT_FOUND,
            f"there is no QuickBooksConnection {company}: create it, or correct spec.connectionRef",
            LOOK_AGAIN,
        )
    allowed = connection is not None and _allows(connection, namespace, namespace_labels)
    if isinstance(allowed, LabelsUnknown) and allowed.passing:
        return Wait(InvoiceReason.RETRYING, allowed.why, LOOK_AGAIN / 4)
    if connection is None or allowed is not True:
        hint = (
            allowed.why
            if isinstance(allowed, LabelsUnknown)
            else "its owner can allow that in spec.allowedNamespaces"
        )
        message = f"namespace {namespace} may not use connection {company}: {hint}"
        return Refuse(InvoiceReason.CONNECTION_NOT_ALLOWED, message)
    return _permitted(spec, connection) or _usable(company, connection)


def _permitted(spec: InvoiceSyncSpec, connection: Connection) -> Refuse | None:
    missing = connection_not_supported_yet(connection.spec)
    if missing:
        return Refuse(InvoiceReason.INVALID_INVOICE, f"not supported yet: {', '.join(missing)}")
    permit = connection.spec.invoices.permit if connection.spec.invoices is not None else None
    allowed = (permit or Permit()).adoption
    if spec.adoption is not None and spec.adoption not in allowed:
        return Refuse(
            InvoiceReason.NOT_PERMITTED,
            f"spec.adoption {spec.adoption} is beyond what the connection permits "
            f"(spec.invoices.permit.adoption: {', '.join(allowed)})",
        )
    return None


def _usable(company: Company, connection: Connection) -> Wait | Refuse | None:
    if connection.spec.suspend:
        return Wait(
            InvoiceReason.CONNECTION_NOT_READY,
            f"connection {company} is suspended (spec.suspend)",
            LOOK_AGAIN,
        )
    ready = find(connection.status.conditions, ConditionType.READY)
    if ready is None or ready.status is ReadyStatus.FALSE or connection.status.company is None:
        why = f"{ready.reason}: {ready.message}" if ready is not None else "it is being set up"
        return Wait(
            InvoiceReason.CONNECTION_NOT_READY, f"connection {company} is not ready: {why}", LOOK_AGAIN
        )
    if connection.status.company.custom_transaction_numbers is False:
        return Refuse(
            InvoiceReason.INVALID_INVOICE,
            "not supported yet: a company that numbers its own invoices. Switch on "
            "Account and settings > Sales > Custom transaction numbers in QuickBooks",
        )
    return None


def _allows(connection: Connection, namespace: str, labels: NamespaceLabels) -> bool | LabelsUnknown:
    allowed = connection.spec.allowed_namespaces
    if allowed.from_ is NamespacesFrom.ALL or namespace == connection.snapshot.key.namespace:
        return True
    if allowed.from_ is NamespacesFrom.SAME or allowed.selector is None:
        return False
    return labels if isinstance(labels, LabelsUnknown) else _selects(allowed.selector, labels)


def _selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    exact = all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
    return exact and all(_meets(requirement, labels) for requirement in selector.match_expressions)


def _meets(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case SelectorOperator.IN:
            return value in requirement.values
        case SelectorOperator.NOT_IN:
            return value not in requirement.values
        case SelectorOperator.EXISTS:
            return value is not None
        case _:
            return value is None
