"""Every behaviour of QuickBooks that its documents leave open, as a switch with a name, a default and a meaning."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
    # requestid
    Switch("requestidMemory", "replay", "a repeated requestid", ("replay", "forget", "fault600")),
    Switch("requestidMemorySeconds", 86400, "how long a requestid is remembered"),
    Switch("replayFailures", False, "a refused first answer is replayed too"),
    Switch("requestidChecked", "atCommit", "when the memory is asked", ("atCommit", "atArrival")),
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
    # Queries
    Switch("readLagSeconds", 2, "a query may miss an invoice created up to so many seconds ago"),
    Switch("orderById", False, "ORDERBY Id is allowed (refused since 2026-01-27)"),
    Switch("queryIgnoresCase", True, "strings in WHERE compare without case"),
    Switch("queryTotalCount", True, "QueryResponse carries totalCount (2026) or not (2020)"),
    Switch("maxInValues", 500, "values in one IN list, above: 4001"),
    Switch("maxStatementBytes", 16384, "length of one statement, above: 4000"),
    Switch("oneRowTooManyEvery", 25, "every so many-th cut page has one row too many; 0 is never"),
    # Limits; 0 is none
    Switch("limitPerMinute", 500, "calls a minute for one company"),
    Switch("limitPerSecond", 10, "calls a second for one company and app"),
    Switch("limitConcurrent", 10, "calls at once for one company and app"),
    Switch("monthlyReadQuota", 0, "metered reads of one app a month, above: 429 until the next"),
    Switch("throttleShape", "gateway", "shape of the 429 body", ("gateway", "service")),
    # Weather: probabilities per call of the accounting API, never of the token endpoint
    Switch("slowAnswers", 0, "probability of an answer that takes long"),
    Switch("lostAnswers", 0, "probability of a call carried out whose answer is lost"),
    Switch("lostRequests", 0, "probability of a call lost before it is carried out"),
    Switch("lateCommits", 0, "probability of a 504 now for a write that is carried out later"),
    Switch("gatewayErrors", 0, "probability of an HTML error page from the gateway"),
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
