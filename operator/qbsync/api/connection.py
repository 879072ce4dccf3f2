"""QuickBooksConnection: one company, its OAuth grant, and what may be done with it."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from qbsync.api.base import (
    AS_SET,
    ATOMIC_MAP,
    BY_TYPE,
    SCHEMA_DEFAULT,
    ApiModel,
    Count,
    Deadline,
    LongText,
    MediumText,
    Name,
    NameRef,
    Newest,
    Rule,
    ShortText,
    StatusModel,
    Timestamp,
)
from qbsync.api.conditions import Condition
from qbsync.api.durations import Duration
from qbsync.api.invoice import Adoption, InvoiceDeletionPolicy

_LOOPBACK: Final = r"(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\])"
_ORIGIN: Final = rf"(https://[A-Za-z0-9._-]+|https?://{_LOOPBACK})(:[0-9]{{1,5}})?"
_URL_HELP: Final = "an https:// one, or http:// with a loopback host such as 127.0.0.1"


class Environment(StrEnum):
    """Which QuickBooks."""

    PRODUCTION = "Production"
    SANDBOX = "Sandbox"
    CUSTOM = "Custom"


class ImportPolicy(StrEnum):
    """What becomes of the plaintext tokens after their import."""

    SCRUB = "Scrub"
    KEEP = "Keep"


class Lookup(StrEnum):
    """When QuickBooks is asked for the number before an invoice is created."""

    ALWAYS = "Always"
    WHEN_IN_DOUBT = "WhenInDoubt"


class DriftMode(StrEnum):
    """What is done about edits in QuickBooks."""

    OFF = "Off"
    REPORT = "Report"


class Creatable(StrEnum):
    """What may be created in QuickBooks because an invoice names it."""

    CUSTOMERS = "Customers"
    ITEMS = "Items"


class NamespacesFrom(StrEnum):
    """Which namespaces' InvoiceSyncs may use a connection."""

    SAME = "Same"
    ALL = "All"
    SELECTOR = "Selector"


class SelectorOperator(StrEnum):
    """As in a Kubernetes label selector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class ConnectionDeletionPolicy(StrEnum):
    """What becomes of the grant when the connection is deleted."""

    RETAIN = "Retain"
    REVOKE = "Revoke"


class CircuitState(StrEnum):
    """State of the circuit breaker."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


Url = Annotated[
    str,
    Field(min_length=8, max_length=2048),
    Rule(f"self.matches('^{_ORIGIN}/[^ #]*$')", f"write the full URL of the endpoint: {_URL_HELP}"),
]
Origin = Annotated[
    str,
    Field(min_length=8, max_length=512),
    Rule(
        f"self.matches('^{_ORIGIN}/?$')", f"write an origin, scheme://host:port without a path: {_URL_HELP}"
    ),
    AfterValidator(lambda value: value.rstrip("/")),
]


class Endpoints(ApiModel):
    """Where a Custom environment lives."""

    api: Origin
    """Origin of the accounting API; `/v3/company/…` is appended."""
    token: Url
    """Full URL of the OAuth token endpoint."""
    authorize: Url | None = None
    """Full URL of the consent page; needed to connect a company, not for imported tokens."""
    revoke: Url | None = None
    """Full URL of the revocation endpoint; needed for deletionPolicy Revoke."""


class ImportTokensFrom(ApiModel):
    """A Secret with plaintext tokens, read once."""

    name: Name
    """Name of the Secret, with the keys refresh_token and, optionally, access_token and expires_at."""
    policy: ImportPolicy = ImportPolicy.SCRUB
    """Scrub (if absent) empties refresh_token and access_token after the import; Keep leaves them."""


class TokenSettings(ApiModel):
    """Where tokens are stored, and when they are refreshed."""

    secret_name: Name | None = None
    """Name of the encrypted Secret; absent: the connection's name followed by -qbsync-tokens."""
    refresh_before: Duration | None = None
    """Refresh that long before the access token's real expiry; absent: the operator's setting (30m)."""


class Limits(ApiModel):
    """This company's share of Intuit's limits; absent: all of it."""

    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Requests per minute, at most 500 unless the environment is Custom."""
    requests_per_second: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Requests per second, at most 10 unless the environment is Custom."""
    concurrent_requests: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Requests at the same time, at most 10 unless the environment is Custom."""
    batches_per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Batch requests per minute, at most 40 unless the environment is Custom."""


class DriftSettings(ApiModel):
    """How edits in QuickBooks and payments are followed."""

    mode: DriftMode | None = None
    """Off: not at all; Report: said in status, never overwritten."""
    interval: Duration | None = None
    """How often QuickBooks is asked for changes; absent: the operator's setting (6h)."""


class Permit(ApiModel):
    """Ceilings for all InvoiceSyncs that use the connection; each may only be stricter."""

    adoption: Annotated[tuple[Adoption, ...], Field(max_length=3), AS_SET] = (
        Adoption.IF_MATCHING,
        Adoption.NEVER,
    )
    """Adoption policies that InvoiceSyncs may choose; absent: IfMatching and Never."""
    deletion: Annotated[tuple[InvoiceDeletionPolicy, ...], Field(max_length=3), AS_SET] = (
        InvoiceDeletionPolicy.RETAIN,
        InvoiceDeletionPolicy.VOID,
    )
    """Deletion policies that InvoiceSyncs may choose; absent: Retain and Void."""
    create_missing: Annotated[tuple[Creatable, ...], Field(max_length=2), AS_SET] = ()
    """What may be created because an invoice names it; absent: nothing."""
    send: bool = False
    """Whether InvoiceSyncs may have invoices e-mailed by QuickBooks; absent: no."""
    extra: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9]*$")], ...],
        Field(max_length=64),
        AS_SET,
    ] = ()
    """Top-level QuickBooks fields that invoice.extra may carry; absent: none."""


class InvoiceDefaults(ApiModel):
    """How invoices of this company are handled, and what InvoiceSyncs may ask for."""

    adoption: Adoption | None = None
    """Default of the InvoiceSyncs; absent: IfMatching."""
    lookup: Lookup | None = None
    """Always (if absent) asks for the number before creating; WhenInDoubt saves those reads."""
    owner_mark: (
        Annotated[str, Field(max_length=64, pattern=r"^(PrivateNote|None|CustomField:[0-9]{1,20})$")] | None
    ) = None
    """Where an invoice carries its owner mark: PrivateNote (if absent), CustomField:<DefinitionId>, None."""
    drift: DriftSettings | None = None
    """How edits in QuickBooks and payments are followed."""
    income_account: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Account of items that are created: its full name, or id:<QuickBooks id>."""
    permit: Permit | None = None
    """Ceilings for the InvoiceSyncs; what is absent here has the value that its field names."""


class LabelSelectorRequirement(ApiModel):
    """One expression of a label selector."""

    key: Annotated[str, Field(min_length=1, max_length=317)]
    """Name of the label."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=100)] = ()
    """Values for In and NotIn."""

    rules = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "write values with the operators In and NotIn, and none with Exists and DoesNotExist",
        ),
    )


class LabelSelector(ApiModel):
    """A Kubernetes label selector."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=50)] | None = (
        None
    )
    """Labels that the namespace must have, with these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=20)] = ()
    """Expressions that must all hold."""


class AllowedNamespaces(ApiModel):
    """Whose InvoiceSyncs may use the connection."""

    from_: Annotated[NamespacesFrom, Field(alias="from")] = NamespacesFrom.SAME
    """Same (if absent): only the connection's own; All; Selector: those that the selector matches."""
    selector: Annotated[LabelSelector, ATOMIC_MAP] | None = None
    """Which namespaces, by their labels; only with from: Selector."""

    rules = (
        Rule(
            "has(self.selector) == (has(self.from) && self.from == 'Selector')",
            "write selector together with from: Selector, and only then",
        ),
    )


def _limit_rule(field: str, ceiling: int) -> Rule:
    return Rule(
        f"self.environment == 'Custom' || !has(self.limits) || !has(self.limits.{field}) "
        f"|| self.limits.{field} <= {ceiling}",
        f"write at most {ceiling} for limits.{field}: Intuit allows no more (only environment Custom may)",
        field_path=f".limits.{field}",
    )


_IMMUTABLE: Final = "cannot change: create another QuickBooksConnection instead"


class QuickBooksConnectionSpec(ApiModel):
    """What is wanted of the connection."""

    realm_id: Annotated[
        str,
        Field(min_length=1, max_length=20, pattern="^[0-9]+$"),
        Rule("self == oldSelf", f"realmId {_IMMUTABLE}"),
    ]
    """QuickBooks' id of the company (realm), as a string of digits. Immutable."""
    environment: Annotated[Environment, Rule("self == oldSelf", f"environment {_IMMUTABLE}")]
    """Production, Sandbox, or Custom with endpoints. Immutable."""
    endpoints: Endpoints | None = None
    """Where a Custom environment lives. Immutable."""
    client_secret_ref: NameRef
    """Secret of the Intuit app: keys client_id, client_secret and, for webhooks, webhook_verifier_token."""
    import_tokens_from: ImportTokensFrom | None = None
    """A Secret with plaintext tokens that are taken over once."""
    tokens: TokenSettings | None = None
    """Where tokens are stored, and when they are refreshed."""
    limits: Limits | None = None
    """This company's share of Intuit's limits."""
    time_zone: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
    ] = "UTC"
    """IANA time zone of invoice dates, such as America/Los_Angeles; absent: UTC."""
    invoices: InvoiceDefaults | None = None
    """How invoices are handled, and what InvoiceSyncs may ask for."""
    allowed_namespaces: AllowedNamespaces = AllowedNamespaces()
    """Whose InvoiceSyncs may use the connection; absent: those of its own namespace."""
    suspend: Annotated[bool, SCHEMA_DEFAULT] = False
    """True stops invoice work; the grant is kept alive."""
    deletion_policy: Annotated[ConnectionDeletionPolicy, SCHEMA_DEFAULT] = ConnectionDeletionPolicy.RETAIN
    """Retain leaves the stored grant when this object is deleted; Revoke tells Intuit and deletes it."""

    rules = (
        Rule(
            "has(self.endpoints) == (self.environment == 'Custom')",
            "write endpoints (api and token) with environment: Custom, and only then",
            field_path=".endpoints",
        ),
        Rule(
            "has(self.endpoints) == has(oldSelf.endpoints) "
            "&& (!has(self.endpoints) || self.endpoints == oldSelf.endpoints)",
            f"endpoints {_IMMUTABLE}",
            field_path=".endpoints",
        ),
        _limit_rule("requestsPerMinute", 500),
        _limit_rule("requestsPerSecond", 10),
        _limit_rule("concurrentRequests", 10),
        _limit_rule("batchesPerMinute", 40),
    )


class CompanyStatus(StatusModel):
    """What QuickBooks says about the company."""

    name: MediumText | None = None
    """The company's name."""
    country: ShortText | None = None
    """Its country."""
    currency: ShortText | None = None
    """Its home currency."""
    custom_transaction_numbers: bool | None = None
    """Whether the company uses custom transaction numbers: if not, QuickBooks numbers invoices itself."""
    multicurrency: bool | None = None
    """Whether it deals in several currencies."""


class RefreshRecord(StatusModel):
    """One refresh of the tokens."""

    time: Timestamp
    """When it ended."""
    outcome: ShortText
    """How it ended, in one word."""
    trigger: ShortText | None = None
    """Why it was done, in one word."""
    duration_ms: Count | None = None
    """How long Intuit took to answer, in milliseconds."""
    error: MediumText | None = None
    """What went wrong."""
    intuit_tid: ShortText | None = None
    """Intuit's transaction id, for its support."""


class CircuitStatus(StatusModel):
    """The circuit breaker towards QuickBooks."""

    state: CircuitState | None = None
    """Closed: calls go out; Open: none do; HalfOpen: one is tried."""
    opened_at: Timestamp | None = None
    """Since when it is open."""
    retry_at: Deadline | None = None
    """When the next call is tried."""


class UsageStatus(StatusModel):
    """Calls to QuickBooks in a month."""

    month: Annotated[str, Field(max_length=7, pattern=r"^[0-9]{4}-[0-9]{2}$")] | None = None
    """The month, as 2026-11."""
    reads: Count | None = None
    """Metered reads of this company."""
    writes: Count | None = None
    """Writes of this company."""
    app_reads: Count | None = None
    """Metered reads of the whole Intuit app, of all its companies, as far as this operator made them."""
    app_budget: Count | None = None
    """Reads that the app may make in a month."""


class InvoiceCounters(StatusModel):
    """The InvoiceSyncs that use the connection."""

    total: Count | None = None
    """How many there are."""
    ready: Count | None = None
    """How many of them are Ready."""
    waiting: Count | None = None
    """How many wait or are retried."""
    stalled: Count | None = None
    """How many wait for a person."""
    oldest_since: Timestamp | None = None
    """Since when the longest waiting one waits."""


class DriftStatus(StatusModel):
    """How far changes in QuickBooks have been followed."""

    cursor: ShortText | None = None
    """The time of QuickBooks from which the next check starts."""
    last_check_time: Timestamp | None = None
    """When the last check ended."""


class EncryptionStatus(StatusModel):
    """How the tokens are stored."""

    key_id: ShortText | None = None
    """Which of the operator's keys encrypted them."""
    sequence: Count | None = None
    """Number of the stored version; it only grows."""


class TestResult(StatusModel):
    """Result of the annotation qbsync.dev/test."""

    time: Timestamp | None = None
    """When CompanyInfo was read."""
    result: MediumText | None = None
    """What came of it: begins with "ok" or "failed"."""
    request: MediumText | None = None
    """The value of the annotation that it answers."""


class QuickBooksConnectionStatus(StatusModel):
    """What the operator observed."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """The metadata.generation that was acted on last; -1: none yet."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), BY_TYPE] = ()
    """Ready is the summary; Authorized, Reconciling and Stalled explain it."""
    company: CompanyStatus | None = None
    """What QuickBooks says about the company."""
    access_token_expires_at: Timestamp | None = None
    """When the access token ends."""
    refresh_token_expires_at: Timestamp | None = None
    """When the refresh token ends if it is not used."""
    refresh_token_hard_expires_at: Timestamp | None = None
    """When the grant ends whatever is done; a person must connect again before."""
    last_refresh_time: Timestamp | None = None
    """When tokens were last refreshed."""
    next_refresh_time: Deadline | None = None
    """When they are refreshed next."""
    consecutive_refresh_failures: Count | None = None
    """Failed refreshes since the last that succeeded."""
    refresh_history: Annotated[tuple[RefreshRecord, ...], Newest(20)] = ()
    """The last refreshes, newest first."""
    circuit: CircuitStatus | None = None
    """The circuit breaker towards QuickBooks."""
    usage: UsageStatus | None = None
    """Calls to QuickBooks this month."""
    invoices: InvoiceCounters | None = None
    """The InvoiceSyncs that use the connection."""
    drift: DriftStatus | None = None
    """How far changes in QuickBooks have been followed."""
    encryption: EncryptionStatus | None = None
    """How the tokens are stored."""
    authorization_url: LongText | None = None
    """Page on which a person can connect the company; set while that is needed."""
    last_handled_request: MediumText | None = None
    """The value of qbsync.dev/requested-at that was done last."""
    last_test: TestResult | None = None
    """Result of the annotation qbsync.dev/test."""
