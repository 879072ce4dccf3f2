"""One look at a connection: what is looked at, what is remembered between two looks, what was found. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qbsync.api.conditions import SUSPENDED, ConditionType, find
from qbsync.api.connection import (
    CompanyStatus,
    ImportPolicy,
    Limits,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    TestResult,
)
from qbsync.api.meta import REQUESTED_AT, TEST, handled
from qbsync.engine.keys import Company
from qbsync.engine.store import Snapshot
from qbsync.quickbooks.errors import QuickBooksError
from qbsync.quickbooks.oauth import Provider
from qbsync.tokens import refusals
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.spec import DEFAULT_REFRESH_BEFORE, GrantSpec, ImportRef, default_secret_name
from qbsync.tokens.status import Verdict

PROBE_INTERVAL: Final = timedelta(hours=1)
"""How often a company that refused us at the door is asked again."""


@dataclass(slots=True)
class Memory:
    """What is known of a connection between two looks."""

    uid: str
    ready: bool = False
    refused: QuickBooksError | None = None
    """The company refused a call at the door."""
    probe_at: datetime | None = None
    failures: int = 0
    company_moved: bool = False
    """What is known of the company was seen to be out of date."""

    @classmethod
    def begin(cls, uid: str, status: QuickBooksConnectionStatus, *, now: datetime) -> "Memory":
        """Of a connection that this process has not looked at yet."""
        ready = find(status.conditions, ConditionType.READY)
        if ready is None or ready.reason not in refusals.REASONS.values():
            return cls(uid)
        # It was refused before this process started: one call tells whether it still is.
        return cls(uid, refused=QuickBooksError(ready.message.removeprefix(SUSPENDED)), probe_at=now)

    def refuse(self, error: QuickBooksError, *, now: datetime) -> None:
        """The company was asked, and refused us."""
        self.refused, self.probe_at = error, now + PROBE_INTERVAL

    def known(self) -> None:
        """The company was asked, and answered."""
        self.refused, self.probe_at, self.failures, self.company_moved = None, None, 0, False


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at."""

    company: Company
    snapshot: Snapshot
    spec: QuickBooksConnectionSpec
    status: QuickBooksConnectionStatus
    """As it was when the look began."""
    memory: Memory
    remark: str = ""
    """For the message; empty if there is nothing to remark."""

    @property
    def limits(self) -> Limits:
        return self.spec.limits or Limits()

    @property
    def request(self) -> str | None:
        """The value of a `requested-at` that has not been answered."""
        return self._unanswered(REQUESTED_AT, self.status.last_handled_request)

    @property
    def test(self) -> str | None:
        """The value of a `test` that has not been answered."""
        last = self.status.last_test
        return self._unanswered(TEST, last.request if last is not None else None)

    def _unanswered(self, annotation: str, answered: str | None) -> str | None:
        value = self.snapshot.annotations.get(annotation)
        asked = handled(value) if value else None
        return asked if asked != answered else None

    def grant(self, provider: Provider) -> GrantSpec:
        """The connection, as far as its grant is concerned."""
        key, spec, tokens = self.snapshot.key, self.spec, self.spec.tokens
        request, encryption = self.snapshot.annotations.get(REQUESTED_AT), self.status.encryption
        return GrantSpec(
            namespace=key.namespace,
            name=key.name,
            uid=key.uid,
            realm=spec.realm_id,
            environment=spec.environment,
            provider=provider,
            client_secret_name=spec.client_secret_ref.name,
            tokens_secret_name=(tokens.secret_name if tokens is not None else None)
            or default_secret_name(key.name),
            import_ref=_import_ref(spec),
            refresh_before=(tokens.refresh_before if tokens is not None else None) or DEFAULT_REFRESH_BEFORE,
            suspended=spec.suspend,
            requested_at=handled(request) if request else None,
            known_sequence=encryption.sequence if encryption is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look brought."""

    verdict: Verdict
    company: CompanyStatus | None
    health: GrantHealth | None = None
    """None where the grant was not even looked at."""
    tested: TestResult | None = None
    """None where nobody asked for a test."""


def _import_ref(spec: QuickBooksConnectionSpec) -> ImportRef | None:
    imported = spec.import_tokens_from
    if imported is None:
        return None
    return ImportRef(imported.name, scrub=imported.policy is ImportPolicy.SCRUB)
