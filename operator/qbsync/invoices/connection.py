"""The connection as an InvoiceSync sees it: may it be used, and is it usable now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from qbsync.api.conditions import ConditionType, InvoiceReason, ReadyStatus, find
from qbsync.api.connection import (
    LabelSelector,
    LabelSelectorRequirement,
    Lookup,
    NamespacesFrom,
    Permit,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    SelectorOperator,
)
from qbsync.api.invoice import Adoption, InvoiceSyncSpec, Send
from qbsync.api.reasons import ConnectionReason
from qbsync.engine.keys import Company
from qbsync.engine.store import Snapshot
from qbsync.invoices.decide import Refuse, Wait
from qbsync.invoices.mapping import MarkPlace

_WIDER = (Adoption.NEVER, Adoption.IF_MATCHING, Adoption.ALWAYS)
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
    def helpless(self) -> bool:
        """It needs a person, or Secrets that are gone with its namespace."""
        ready = find(self.status.conditions, ConditionType.READY)
        gone = (ConnectionReason.SECRET_NOT_FOUND, ConnectionReason.STORE_FAILING)
        return ready is None or ready.status is ReadyStatus.FALSE or ready.reason in gone

    @property
    def time_zone(self) -> str:
        return self.spec.time_zone or "UTC"

    @property
    def home_currency(self) -> str | None:
        return self.status.company.currency if self.status.company is not None else None

    @property
    def multicurrency(self) -> bool | None:
        """Whether the company deals in several currencies; None: not known."""
        return self.status.company.multicurrency if self.status.company is not None else None

    @property
    def numbers_itself(self) -> bool:
        """QuickBooks numbers the company's invoices, whatever number was asked for."""
        company = self.status.company
        return company is None or company.custom_transaction_numbers is not True

    @property
    def lookup(self) -> Lookup:
        """Whether a first create is looked up."""
        setting = self.spec.invoices.lookup if self.spec.invoices is not None else None
        return setting or Lookup.ALWAYS

    @property
    def income_account(self) -> str | None:
        """Of items that are created."""
        return self.spec.invoices.income_account if self.spec.invoices is not None else None

    @property
    def permit(self) -> Permit:
        """What its InvoiceSyncs may ask for at most."""
        given = self.spec.invoices.permit if self.spec.invoices is not None else None
        return given or Permit()

    @property
    def mark_place(self) -> MarkPlace:
        """Where this company's invoices carry the owner mark."""
        setting = self.spec.invoices.owner_mark if self.spec.invoices is not None else None
        return MarkPlace(setting) if setting is not None else MarkPlace()

    def adoption_for(self, spec: InvoiceSyncSpec) -> Adoption:
        """The policy that applies: the object's own, else the connection's, else IfMatching; never more than
        is permitted.
        """
        default = self.spec.invoices.adoption if self.spec.invoices is not None else None
        wanted = spec.adoption or default or Adoption.IF_MATCHING
        widest = max(map(_WIDER.index, self.permit.adoption), default=0)
        return _WIDER[min(_WIDER.index(wanted), widest)]


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
    adopt_id: str | None,
    connection: Connection | None,
    deleting: bool = False,
) -> Wait | Refuse | None:
    """Why an InvoiceSync in `namespace` may not use its connection now; None if it may.

    `deleting`: only what bears on its deletion counts. In another namespace an unknown and a forbidden connection
    are told apart by nobody.
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
    return _permitted(spec, adopt_id, connection, deleting=deleting) or _usable(company, connection)


def _permitted(
    spec: InvoiceSyncSpec, adopt_id: str | None, connection: Connection, *, deleting: bool
) -> Refuse | None:
    """The ceilings of the connection: an InvoiceSync may only be stricter."""
    permit = connection.permit
    named = "spec.invoices.permit"
    parting = (spec.deletion_policy not in permit.deletion, f"spec.deletionPolicy {spec.deletion_policy}")
    writing = (
        (
            spec.adoption is not None and spec.adoption not in permit.adoption,
            f"spec.adoption {spec.adoption}",
        ),
        (
            adopt_id is not None and set(permit.adoption) <= {Adoption.NEVER},
            f"the annotation qbsync.dev/adopt ({named}.adoption is Never)",
        ),
        (spec.send is not Send.NEVER and not permit.send, f"spec.send {spec.send}"),
        *((name not in permit.extra, f"spec.invoice.extra.{name}") for name in spec.invoice.extra),
    )
    beyond = (parting,) if deleting else (parting, *writing)
    refused = [what for applies, what in beyond if applies]
    if not refused:
        return None
    return Refuse(
        InvoiceReason.NOT_PERMITTED,
        f"{', '.join(refused)} is beyond what the connection permits ({named}): its owner can allow it there",
    )


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
        lost = ready is not None and ready.status is ReadyStatus.FALSE
        message = f"connection {company} is not ready: {why}"
        return Wait(InvoiceReason.CONNECTION_NOT_READY, message, LOOK_AGAIN, hopeless=lost)
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
