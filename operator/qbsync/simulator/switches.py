"""Every behaviour of QuickBooks that its documents leave open, as a switch with a name, a default and a meaning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

_WRONG_VALUE = "switch {name!r} takes {wanted}, not {value!r}"
SwitchValue = bool | int | float | str


class UnknownSwitch(ValueError):
    """No switch of that name, or a value it cannot take."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One open question about QuickBooks, and how this simulator answers it unless told otherwise."""

    name: str
    default: SwitchValue
    meaning: str
    choices: tuple[str, ...] = ()

    def check(self, value: object) -> SwitchValue:
        """The value in this switch's type. Raises UnknownSwitch."""
        if isinstance(self.default, bool):
            if isinstance(value, bool):
                return value
            raise UnknownSwitch(_WRONG_VALUE.format(name=self.name, wanted="true or false", value=value))
        if isinstance(self.default, str):
            if isinstance(value, str) and value in self.choices:
                return value
            raise UnknownSwitch(
                _WRONG_VALUE.format(name=self.name, wanted=" or ".join(self.choices), value=value)
            )
        if isinstance(value, Decimal) and value.is_finite():
            value = float(value)  # fractions come from the door's JSON
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12:
            return value
        raise UnknownSwitch(_WRONG_VALUE.format(name=self.name, wanted="a number not below 0", value=value))


_TABLE = (
    # OAuth
    Switch(
        "rotateAlways", False, "every refresh gives a new refresh token, not only the first one after 24 h"
    ),
    Switch(
        "refreshGraceHours",
        0,
        "hours for which a replaced refresh token still works (0 or 24 in Intuit's texts)",
    ),
    Switch("reuseRevokesFamily", True, "using a replaced refresh token revokes the whole grant"),
    Switch("reuseKillsAccessTokens", False, "such a revocation ends the grant's access tokens too"),
    Switch("parallelRefreshRevokes", False, "two refreshes with one value at the same time revoke the grant"),
    Switch("codeReuseRevokes", True, "exchanging an authorization code twice revokes the grant it gave"),
    Switch("accessTokenSeconds", 3600, "lifetime of an access token"),
    Switch("refreshTokenSeconds", 8726400, "rolling lifetime of a refresh token (101 days)"),
    Switch("hardExpirySeconds", 157680000, "lifetime of a grant, never extended (5 years)"),
    Switch("invalidClientStatus", "401", "HTTP status of invalid_client", ("401", "400")),
    Switch("invalidGrantDescription", True, "invalid_grant carries an error_description"),
    Switch("clientSecretPost", True, "client id and secret may come in the form instead of a Basic header"),
    Switch("revokeAnswer", "empty", "body of a successful revocation", ("empty", "statuscode")),
    Switch(
        "revocationEnds",
        "connection",
        "revoking a token ends all that the app holds for that company, or one grant",
        ("connection", "grant"),
    ),
    Switch("scopesEnforced", True, "userinfo wants openid, the accounting API the accounting scope (403)"),
    Switch(
        "environmentsSeparate", True, "sandbox keys do not open production companies, nor the reverse (403)"
    ),
    Switch(
        "invalidScope", "redirect", "an unknown scope leads back to the app, or not", ("redirect", "page")
    ),
    # requestid
    Switch("requestidMemory", "replay", "a repeated requestid", ("replay", "forget", "fault600")),
    Switch("requestidMemorySeconds", 86400, "how long a requestid is remembered"),
    Switch("replayFailures", False, "a refused first answer is replayed too"),
    Switch("requestidChecked", "atCommit", "when the memory is asked", ("atCommit", "atArrival")),
    Switch(
        "batchReplay",
        "fault6000",
        "an item of a batch that comes again with its requestid and bId",
        ("fault6000", "replay", "runAgain"),
    ),
    # Requests and answers
    Switch("contentTypes", "enforced", "a Content-Type the operation does not take", ("enforced", "ignored")),
    Switch("jsonSend", "2020", "sending with Content-Type application/json (both reported)", ("2020", "500")),
    Switch("formatWithoutAccept", "json", "answers to a request that names no format", ("json", "xml")),
    Switch("compressedAnswers", False, "answers are compressed for those who accept gzip"),
    Switch("invoiceLink", "asked", "InvoiceLink: with include=invoiceLink only, or", ("asked", "always")),
    # Batch and change data capture
    Switch("maxBatchItems", 30, "items of one batch (10, 25 and 50 in other texts), above: 1040"),
    Switch("batchSeesItself", False, "a query in a batch sees what items before it have done"),
    Switch("batchAnswers", "asSent", "order of a batch's answers: bId tells", ("asSent", "reversed")),
    Switch("batchUnknownField", "item", "a 2010 refuses one item, or the whole batch", ("item", "whole")),
    Switch(
        "changesLookBack",
        "cut",
        "changedSince more than 30 days ago: older changes are left out, or refused, or there (recorded 2020)",
        ("cut", "refuse", "all"),
    ),
    Switch("maxChanges", 1000, "objects in one answer of the change feed; what is above is left out"),
    # Invoices
    Switch("duplicateDocCheck", False, "a DocNumber already used is refused with 6140"),
    Switch("duplicateDocForm", "long", "6140 names TxnType and TxnId, or not", ("long", "short")),
    Switch(
        "automaticNumbers", "replace", "DocNumber sent where the company numbers itself", ("replace", "keep")
    ),
    Switch("nextNumber", "numeric", "the next number continues", ("numeric", "lastPattern")),
    Switch("unknownFields", "refuse", "properties QuickBooks does not know (2010)", ("refuse", "ignore")),
    Switch("inactiveReference", "610", "code for an inactive customer or item", ("610", "2500")),
    Switch("voidNote", "replace", "PrivateNote of a voided invoice", ("replace", "keep", "prefix")),
    # Tax, currencies, classes and locations
    Switch("missingTaxCode", "refuse", "a line without tax code outside the US", ("refuse", "default")),
    Switch(
        "missingTaxCalculation",
        "refuse",
        "a transaction without GlobalTaxCalculation outside the US",
        ("refuse", "excluded"),
    ),
    Switch(
        "lineTaxDefault",
        "item",
        "TaxCodeRef of a US line sent without: TAX by its item, or NON",
        ("item", "non"),
    ),
    Switch(
        "transactionTaxDefault",
        "none",
        "TxnTaxCodeRef of a US transaction sent without: none, or the customer's or the company's",
        ("none", "customer"),
    ),
    Switch("sentTaxLines", "keep", "amounts of TaxLine that a client sends", ("keep", "recalculate")),
    Switch(
        "automatedTaxCodes",
        "ignored",
        "TAX and NON on lines under automated sales tax: the engine goes by the item instead, or not",
        ("ignored", "honoured"),
    ),
    Switch("automatedTaxTotal", "engine", "TotalTax sent under automated sales tax", ("engine", "sent")),
    Switch(
        "exemptCustomers",
        "untaxed",
        "a tax code on a transaction of an exempt customer",
        ("untaxed", "taxed"),
    ),
    Switch(
        "inclusiveAmounts",
        "net",
        "Amount of a TaxInclusive line sent without TaxInclusiveAmt is without tax, or with it",
        ("net", "gross"),
    ),
    Switch(
        "currencyOmitted",
        "customer",
        "CurrencyRef left out: the customer's currency, or the company's own (refused when they differ)",
        ("customer", "home"),
    ),
    Switch(
        "currencyMismatch",
        "oneForeign",
        "text of the 6000 for a currency that is not the customer's",
        ("oneForeign", "invalidCurrency"),
    ),
    Switch(
        "trackingOff",
        "ignore",
        "a class or location that the company's preferences do not track",
        ("ignore", "refuse"),
    ),
    Switch("duplicateDocAcross", True, "the number of a credit memo, receipt or payment counts as used too"),
    Switch("staleObjectEntity", False, "5010 ends with the entity's name (newer pages), or not (recorded)"),
    Switch("emptyText", "clears", "an empty text in a sparse update", ("clears", "kept")),
    Switch(
        "sparseStructures",
        "replace",
        "an address in a sparse update takes the old one's place, or is laid over it",
        ("replace", "merge"),
    ),
    Switch("fullUpdateDate", "today", "TxnDate that a full update leaves out", ("today", "keep")),
    Switch("linkedPayments", "refuse", "changes that would break a link to a payment", ("refuse", "unlink")),
    Switch("paymentMovesSyncToken", True, "a payment moves its invoice's SyncToken; LastUpdatedTime always"),
    Switch("creditsLowerBalance", True, "credits and unapplied payments lower the customer's Balance"),
    Switch("sendMovesSyncToken", False, "sending an e-mail moves SyncToken (recorded: it does not)"),
    Switch("sendSetsBillEmail", True, "sendTo becomes the transaction's BillEmail"),
    Switch("percentDiscount", "compute", "a percent discount's own Amount", ("compute", "check")),
    Switch("unknownCustomField", "ignore", "a DefinitionId the company does not have", ("ignore", "refuse")),
    Switch("linesPerTransaction", 750, "lines of one transaction, above: 6000; 0 is any number"),
    Switch("subscriptionEnded", False, "every write is refused with 6190"),
    # Queries
    Switch("readLagSeconds", 2, "a query may miss an invoice created up to so many seconds ago"),
    Switch(
        "lagAfterUpdate", False, "queries and the change feed show the old state that long after an update"
    ),
    Switch("changesKept", "oldest", "which changes stay when the feed is cut off", ("oldest", "newest")),
    Switch("orderById", False, "ORDERBY Id is allowed (refused since 2026-01-27)"),
    Switch("queryIgnoresCase", True, "strings in WHERE compare without case"),
    Switch("queryNamesIgnoreCase", True, "entities and properties in statements are found without case"),
    Switch(
        "queryProjections",
        "honoured",
        "listed properties come alone (with sparse true), or everything comes as Intuit's page has it",
        ("honoured", "ignored"),
    ),
    Switch("startPositionZero", "refuse", "STARTPOSITION 0: 4001, or the first row", ("refuse", "first")),
    Switch("largePages", "refuse", "MAXRESULTS above 1000: 4001, or 1000 rows", ("refuse", "cut")),
    Switch("queryTotalCount", True, "QueryResponse carries totalCount (2026) or not (2020)"),
    Switch("maxInValues", 500, "values in one IN list, above: 4001"),
    Switch("maxStatementBytes", 16384, "length of one statement, above: 4000"),
    Switch("oneRowTooManyEvery", 25, "every so many-th cut page has one row too many; 0 is never"),
    # Limits; 0 is none
    Switch("limitPerMinute", 500, "calls a minute for one company"),
    Switch("limitPerSecond", 10, "calls a second for one company and app"),
    Switch("limitConcurrent", 10, "calls at once for one company and app"),
    Switch("limitAllPerMinute", 800, "calls a minute of everything for one company and app"),
    Switch("limitBatches", 40, "batches a minute for one company and app"),
    Switch("limitBatchesCompany", 120, "batches a minute for one company"),
    Switch("limitEmails", 40, "e-mails a day for one company"),
    Switch("refusedCallsCount", False, "calls refused with 429 count towards the limits too"),
    Switch("monthlyReadQuota", 0, "metered reads of one app a month, above: 429 until the next"),
    Switch("sandboxMetered", True, "reads of sandbox companies are metered too (Intuit's never are)"),
    Switch("throttleShape", "gateway", "shape of the 429 body", ("gateway", "service")),
    # Webhooks; probabilities are per event or per delivery
    Switch("webhookAggregationSeconds", 0, "how long events are gathered into one POST (60, 180 or 300)"),
    Switch("webhookHolds", True, "later events wait until an earlier delivery is acknowledged"),
    Switch("webhookFirstRetrySeconds", 10, "wait before the first retry (0 or 10 in Intuit's texts)"),
    Switch("webhookDuplicates", 0, "probability that an acknowledged delivery comes again"),
    Switch("webhookReordering", 0, "probability that an event comes after later ones"),
    Switch("webhookLosses", 0, "probability that an event never comes"),
    Switch("webhookDelaySeconds", 0, "events come up to so many seconds late"),
    Switch("webhookLegacyTime", "zulu", "lastUpdated of the legacy form", ("zulu", "offset")),
    # Weather: probabilities per call of the accounting API, never of the token endpoint
    Switch("slowAnswers", 0, "probability of an answer that takes long"),
    Switch("lostAnswers", 0, "probability of a call carried out whose answer is lost"),
    Switch("lostRequests", 0, "probability of a call lost before it is carried out"),
    Switch("lateCommits", 0, "probability of a 504 now for a write that is carried out later"),
    Switch("gatewayErrors", 0, "probability of an HTML error page from the gateway"),
    Switch("batchItemFaults", 0, "probability of a passing fault in place of one item of a batch"),
    Switch("lowerCaseFaults", False, "faults of the service come in the gateway's lower-case shape"),
)
SWITCHES: Mapping[str, Switch] = {switch.name: switch for switch in _TABLE}


class Switches:
    """The current position of every switch."""

    def __init__(self, overrides: Mapping[str, SwitchValue] | None = None) -> None:
        self._values: dict[str, SwitchValue] = {switch.name: switch.default for switch in _TABLE}
        self.put(overrides or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def put(self, changes: Mapping[str, object]) -> None:
        """Set some switches, all or none. Raises UnknownSwitch naming the one at fault."""
        unknown = sorted(set(changes) - set(SWITCHES))
        if unknown:
            raise UnknownSwitch(f"no switch named {', '.join(unknown)}; there are {', '.join(SWITCHES)}")
        checked = {name: SWITCHES[name].check(value) for name, value in changes.items()}
        self._values.update(checked)

    def as_dict(self) -> dict[str, SwitchValue]:
        """Every switch and its value."""
        return dict(self._values)

    def on(self, name: str) -> bool:
        """The position of a yes-or-no switch."""
        return self._values[name] is True

    def number(self, name: str) -> float:
        """The value of a numeric switch."""
        value = self._values[name]
        if isinstance(value, str):
            raise TypeError(f"switch {name} is not a number")
        return float(value)

    def choice(self, name: str) -> str:
        """The value of a switch with named positions."""
        return str(self._values[name])
