"""The engine's reconciler for QuickBooksConnections: the grant is looked after, the company is known.

A connection is due when its token is, when it was changed, when somebody asks, or when a call to its
company was refused at the door.
"""

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from qbsync.api.conditions import ConditionType, ConnectionReason, ReadyStatus, find
from qbsync.api.connection import (
    CompanyStatus,
    ImportPolicy,
    InvoiceCounters,
    Limits,
    QuickBooksConnectionSpec,
    QuickBooksConnectionStatus,
    TestResult,
)
from qbsync.api.meta import IN_USE_FINALIZER, REQUESTED_AT, REVOKE_FINALIZER, TEST, Kind, handled
from qbsync.engine.announcer import Announcer
from qbsync.engine.backoff import Backoff
from qbsync.engine.breaker import Circuit, Circuits, CircuitState, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.engine.worker import Done
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import AccessLost, QuickBooksError, Unauthorized, WrongRealm
from qbsync.quickbooks.oauth import Provider
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.parting import AGAIN, Parting
from qbsync.tokens.spec import DEFAULT_REFRESH_BEFORE, GrantSpec, ImportRef, Trigger, default_secret_name
from qbsync.tokens.status import Occasion, Verdict, connection_status

logger = logging.getLogger(__name__)

PROBE_INTERVAL = timedelta(hours=1)
"""How often a company that refused us at the door is asked again."""
OPEN_LONG = timedelta(minutes=5)
"""A circuit that has not closed for this long is the connection's reason."""
CONFLICT_CHECK = timedelta(minutes=1)
COUNTED_EVERY = timedelta(seconds=60)
PARTING_CHECK = timedelta(seconds=60)
"""A deleted connection that InvoiceSyncs still need is looked at so often at least."""
FINALIZER_RETRY = timedelta(seconds=5)
RESULT_LENGTH = 1000


class ConnectionObserver(Protocol):
    """Keeps the metrics of a connection."""

    def connection_seen(
        self, company: Company, status: QuickBooksConnectionStatus, health: GrantHealth | None
    ) -> None: ...


class EndpointRefused(Exception):
    """The operator's flags do not let this connection talk to its endpoints; says what to do."""


@dataclass(slots=True)
class _Memory:
    """What is known of a connection between two looks."""

    uid: str
    ready: bool = False
    refused: QuickBooksError | None = None
    """The company refused a call at the door."""
    probe_at: datetime | None = None
    failures: int = 0
    company_moved: bool = False
    """What is known of the company was seen to be out of date."""
    counters: InvoiceCounters | None = None
    counted_at: float = field(default=float("-inf"))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one connection."""

    company: Company
    snapshot: Snapshot
    limits: Limits
    status: QuickBooksConnectionStatus
    memory: _Memory
    request: str | None
    """The value of a `requested-at` that has not been answered."""
    test: str | None
    """The same of `test`."""
    remark: str
    """For the message; empty if there is nothing to remark."""


class ConnectionReconciler:
    """Brings connections forward (engine.worker.Reconciler)."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        store: ObjectStore,
        reporter: Reporter,
        keeper: Keeper,
        circuits: Circuits,
        announcer: Announcer,
        observer: ConnectionObserver,
        provider_of: Callable[[QuickBooksConnectionSpec], Provider],
        client_of: Callable[[Company, GrantSpec, Limits], CompanyClient],
        closed_namespace: str | None,
        wake_invoices: Callable[[Company, bool], None],
        enqueue: Callable[[Company, Key, timedelta], None],
        parting: Parting,
        reads_blocked: Callable[[Company], timedelta | None] = lambda _: None,
    ) -> None:
        """`provider_of` raises `EndpointRefused`. `closed_namespace`: its Secrets are not for connections.
        `reads_blocked`: in how long a read is tried again where the app's allowance is used up.

        `wake_invoices(company, changed)`: the connection became ready, or its spec has changed.
        """
        self._clock, self._rng, self._store, self._reporter = clock, rng, store, reporter
        self._keeper, self._announcer, self._observer = keeper, announcer, observer
        self._circuits = circuits
        self._provider_of, self._client_of = provider_of, client_of
        self._closed_namespace = closed_namespace
        self._wake_invoices, self._enqueue = wake_invoices, enqueue
        self._reads_blocked, self._parting = reads_blocked, parting
        self._backoff = Backoff(base=timedelta(seconds=2), cap=timedelta(minutes=5))
        self._memory: dict[Company, _Memory] = {}

    async def reconcile(self, company: Company, keys: Sequence[Key], done: Done) -> None:
        """Bring a company's connection forward."""
        for key in keys:
            snapshot = self._store.get(key)
            if snapshot is None:
                done(key, None)
            elif snapshot.deleting:
                done(key, await self._part(company, snapshot))
            else:
                done(key, await self._attend(company, snapshot))

    def refused(self, company: Company, error: QuickBooksError) -> None:
        """A call to the company failed; if it was refused at the door, the connection says so."""
        memory = self._memory.get(company)
        if memory is None or not isinstance(error, WrongRealm | AccessLost | Unauthorized):
            return
        if memory.refused is None:
            memory.probe_at = self._clock.now() + PROBE_INTERVAL
        memory.refused = error
        self.touch(company)

    def touch(self, company: Company, *, delay: timedelta = timedelta()) -> None:
        """Look at a company's connection again."""
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is not None:
            self._enqueue(company, snapshot.key, delay)

    def company_moved(self, company: Company) -> None:
        """A call showed that the company's preferences are not what they were: read them again."""
        memory = self._memory.get(company)
        if memory is not None:
            memory.company_moved = True
            self.touch(company)

    def gone(self, snapshot: Snapshot) -> None:
        """The connection was deleted: its Secret stays, its memory goes."""
        self._memory.pop(snapshot.company, None)
        self._keeper.forget(snapshot.key.namespace, snapshot.key.name)
        for other in self._store.all(Kind.CONNECTION):
            if other.spec.get("realmId") == snapshot.spec.get("realmId"):
                self._enqueue(other.company, other.key, timedelta())

    def referred(self, company: Company) -> None:
        """An InvoiceSync of the company was seen, or left: its connection may need a finalizer, or be free to go."""
        snapshot = self._store.find(Kind.CONNECTION, company.namespace, company.name)
        if snapshot is not None and (snapshot.deleting or self._parting.needs(snapshot)):
            self._enqueue(company, snapshot.key, timedelta())

    # -- one look --------------------------------------------------------------------------------------

    async def _attend(self, company: Company, snapshot: Snapshot) -> timedelta | None:
        """Look after a connection, with the finalizers it needs in place before anything else."""
        spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
        prepared = await self._parting.prepare(snapshot, spec)
        again = await self._look_after(company, snapshot)
        return again if prepared else min(again or FINALIZER_RETRY, FINALIZER_RETRY)

    async def _part(self, company: Company, snapshot: Snapshot) -> timedelta | None:
        """A deleted connection serves the InvoiceSyncs that still need it, then goes."""
        if not {REVOKE_FINALIZER, IN_USE_FINALIZER} & set(snapshot.finalizers):
            return None
        users = await self._parting.users(snapshot)
        if users:
            remark = (
                f"deleted; it stays until {users} InvoiceSync(s) with deletionPolicy Void or Delete are gone"
            )
            again = await self._look_after(company, snapshot, remark)
            return min(again or PARTING_CHECK, PARTING_CHECK)
        spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
        status = QuickBooksConnectionStatus.model_validate(snapshot.status)
        grant = None
        try:
            if snapshot.key.namespace != self._closed_namespace:
                grant = self._grant_spec(snapshot, spec, status, self._provider_of(spec))
        except EndpointRefused as error:
            logger.info("%s is deleted without its endpoints: %s", snapshot.key, error)
        waiting = await self._parting.part(snapshot, grant, self._rivals(snapshot))
        if waiting is None:
            return None
        look = self._look(company, snapshot, spec, status)
        self._report(look, waiting, None, status.company)
        return AGAIN

    def _look(
        self,
        company: Company,
        snapshot: Snapshot,
        spec: QuickBooksConnectionSpec,
        status: QuickBooksConnectionStatus,
        remark: str = "",
    ) -> _Look:
        return _Look(
            company,
            snapshot,
            spec.limits or Limits(),
            status,
            self._memory_of(company, snapshot, status),
            request=_pending_request(snapshot, status),
            test=_pending_test(snapshot, status),
            remark=remark,
        )

    async def _look_after(self, company: Company, snapshot: Snapshot, remark: str = "") -> timedelta | None:
        spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
        status = QuickBooksConnectionStatus.model_validate(snapshot.status)
        look = self._look(company, snapshot, spec, status, remark)
        closed = self._closed(snapshot)
        if closed is not None:
            return self._report(look, closed, None, status.company, self._untested(look, closed))
        try:
            grant = self._grant_spec(snapshot, spec, status, self._provider_of(spec))
        except EndpointRefused as error:
            refused = Verdict(ConnectionReason.ENDPOINT_NOT_ALLOWED, str(error))
            return self._report(look, refused, None, status.company, self._untested(look, refused))
        health = await self._keeper.ensure(grant, force=look.request is not None, trigger=Trigger.REQUESTED)
        verdict, known = Verdict(health.reason, health.message), status.company
        tested = self._untested(look, verdict)
        if health.usable:
            tested = await self._test(look, grant)
            verdict, known = await self._know_company(look, grant, verdict)
        return self._report(look, verdict, health, known, tested)

    async def _test(self, look: _Look, grant: GrantSpec) -> TestResult | None:
        """One CompanyInfo read, where a person asks for it."""
        if look.test is None:
            return None
        client = self._client_of(look.company, grant, look.limits)
        try:
            info = await client.company_info()
        except QuickBooksError as error:
            if isinstance(error, WrongRealm | AccessLost | Unauthorized):
                look.memory.refused, look.memory.probe_at = error, self._clock.now() + PROBE_INTERVAL
            return self._result(look, f"failed: {error}")
        if look.memory.refused is not None:
            look.memory.probe_at = self._clock.now()
        return self._result(look, f"ok: QuickBooks answered for {info.name}")

    def _untested(self, look: _Look, verdict: Verdict) -> TestResult | None:
        return self._result(look, f"failed: not asked, {verdict.message}") if look.test is not None else None

    def _result(self, look: _Look, text: str) -> TestResult:
        return TestResult(time=self._clock.now(), result=text[:RESULT_LENGTH], request=look.test)

    def _memory_of(self, company: Company, snapshot: Snapshot, status: QuickBooksConnectionStatus) -> _Memory:
        memory = self._memory.get(company)
        if memory is None or memory.uid != snapshot.key.uid:
            memory = self._memory[company] = _Memory(snapshot.key.uid)
            ready = find(status.conditions, ConditionType.READY)
            if ready is not None and ready.reason in _REFUSALS.values():
                # It was refused before this process started: one call tells whether it still is.
                memory.probe_at = self._clock.now()
                memory.refused = QuickBooksError(ready.message)
        return memory

    def _closed(self, snapshot: Snapshot) -> Verdict | None:
        if snapshot.key.namespace == self._closed_namespace:
            return Verdict(
                ConnectionReason.SECRET_CONFLICT,
                "the Secrets of the operator's own namespace are closed to connections: "
                "create this connection in another namespace",
            )
        older = min((rival for rival in self._rivals(snapshot)), key=_seniority, default=None)
        if older is not None and _seniority(older) < _seniority(snapshot):
            return Verdict(
                ConnectionReason.REALM_CONFLICT,
                f"{older.key.namespace}/{older.key.name} is connected to this company already: "
                "delete one of the two connections",
            )
        return None

    def _rivals(self, snapshot: Snapshot) -> list[Snapshot]:
        same = ("environment", "realmId")
        return [
            other
            for other in self._store.all(Kind.CONNECTION)
            if other.key != snapshot.key
            and not other.deleting
            and all(other.spec.get(name) == snapshot.spec.get(name) for name in same)
        ]

    def _grant_spec(
        self,
        snapshot: Snapshot,
        spec: QuickBooksConnectionSpec,
        status: QuickBooksConnectionStatus,
        provider: Provider,
    ) -> GrantSpec:
        tokens, imported = spec.tokens, spec.import_tokens_from
        request = snapshot.annotations.get(REQUESTED_AT)
        return GrantSpec(
            namespace=snapshot.key.namespace,
            name=snapshot.key.name,
            uid=snapshot.key.uid,
            realm=spec.realm_id,
            environment=spec.environment,
            provider=provider,
            client_secret_name=spec.client_secret_ref.name,
            tokens_secret_name=(tokens.secret_name if tokens is not None else None)
            or default_secret_name(snapshot.key.name),
            import_ref=ImportRef(imported.name, scrub=imported.policy is ImportPolicy.SCRUB)
            if imported is not None
            else None,
            refresh_before=(tokens.refresh_before if tokens is not None else None) or DEFAULT_REFRESH_BEFORE,
            suspended=spec.suspend,
            requested_at=handled(request) if request else None,
            known_sequence=status.encryption.sequence if status.encryption is not None else None,
        )

    # -- the company behind the grant --------------------------------------------------------------------

    async def _know_company(
        self, look: _Look, grant: GrantSpec, verdict: Verdict
    ) -> tuple[Verdict, CompanyStatus | None]:
        """Read the company once; again only while it refuses us. Ready waits for that."""
        status, memory = look.status, look.memory
        client = self._client_of(look.company, grant, look.limits)
        probing = memory.refused is not None and (
            memory.probe_at is None or self._clock.now() >= memory.probe_at
        )
        probing = probing or self._circuit(look.company).state is CircuitState.HALF_OPEN
        blocked = self._reads_blocked(look.company)
        probing = probing or (blocked is not None and blocked <= timedelta())
        stale = memory.company_moved or look.request is not None
        if status.company is not None and not probing and not stale:
            return self._unasked(look, verdict), status.company
        try:
            known = await _read_company(client)
        except (WrongRealm, AccessLost, Unauthorized) as error:
            memory.refused, memory.probe_at = error, self._clock.now() + PROBE_INTERVAL
            return _refusal(error, status), status.company
        except QuickBooksError as error:
            memory.failures += 1
            if status.company is not None:
                return self._unasked(look, verdict), status.company
            message = f"the company could not be read yet: {error}"
            return Verdict(ConnectionReason.IMPORTING, message), None
        memory.refused, memory.probe_at, memory.failures = None, None, 0
        memory.company_moved = False
        return verdict, known

    def _unasked(self, look: _Look, verdict: Verdict) -> Verdict:
        """What stands of a company that was not asked, or did not answer, now."""
        if look.memory.refused is not None:
            return _refusal(look.memory.refused, look.status)
        if self._reads_blocked(look.company) is not None:
            return Verdict(
                ConnectionReason.READ_BUDGET_EXHAUSTED,
                "Intuit answers every read of the app with 429, and its monthly allowance is nearly used up "
                "(status.usage): one read an hour is tried, until Intuit allows more or the month ends",
            )
        circuit = self._circuit(look.company)
        if circuit.opened_at is None or self._clock.now() - circuit.opened_at < OPEN_LONG:
            return verdict
        return Verdict(
            ConnectionReason.CIRCUIT_OPEN,
            f"calls to QuickBooks fail since {circuit.opened_at:%Y-%m-%d %H:%M} UTC: "
            "it is left alone until status.circuit.retryAt, then asked once",
        )

    def _circuit(self, company: Company) -> Circuit:
        """Of the API."""
        return next(one for one in self._circuits.each(company) if one.endpoint is Endpoint.API)

    # -- reporting ---------------------------------------------------------------------------------------

    def _report(
        self,
        look: _Look,
        verdict: Verdict,
        health: GrantHealth | None,
        known: CompanyStatus | None,
        tested: TestResult | None = None,
    ) -> timedelta | None:
        company, snapshot, previous, memory = look.company, look.snapshot, look.status, look.memory
        now = self._clock.now()
        occasion = Occasion(
            now=now,
            generation=snapshot.generation,
            suspended=bool(snapshot.spec.get("suspend")),
            handled_request=look.request if health is None or health.handled else None,
        )
        status = connection_status(
            previous,
            occasion,
            verdict=_with_remark(verdict, look.remark),
            health=health,
            company=known,
            counters=self._counters(company, memory),
            circuit=self._circuits.each(company)[0],
        )
        if tested is not None:
            status = status.model_copy(update={"last_test": tested})
        status = self._with_what_others_wrote(snapshot, status)
        changed = previous.observed_generation != snapshot.generation or known != previous.company
        self._reporter.report(snapshot.key, status.document())
        self._observer.connection_seen(company, status, health)
        self._announce(snapshot, previous, status, health)
        self._wake(company, memory, status, changed=changed)
        return self._next_look(company, memory, verdict, health, now)

    def _with_what_others_wrote(
        self, snapshot: Snapshot, status: QuickBooksConnectionStatus
    ) -> QuickBooksConnectionStatus:
        """The parts that are not of this room may have moved since the look began."""
        now = self._store.get(snapshot.key)
        if now is None:
            return status
        newest = QuickBooksConnectionStatus.model_validate(now.status)
        return status.model_copy(update={"drift": newest.drift, "usage": newest.usage})

    def _announce(
        self,
        snapshot: Snapshot,
        previous: QuickBooksConnectionStatus,
        status: QuickBooksConnectionStatus,
        health: GrantHealth | None,
    ) -> None:
        for event in health.events if health is not None else ():
            post = self._announcer.warning if event.warning else self._announcer.normal
            post(snapshot, event.reason, event.message)
        self._announce_circuit(snapshot, previous)
        was = find(previous.conditions, ConditionType.READY)
        # What the status said before was announced before, by this process or an earlier one.
        warning = health.expiry_warning if health is not None else None
        if warning is not None and (was is None or warning not in was.message):
            self._announcer.warning(snapshot, "RefreshTokenExpiringSoon", warning)
        ready = find(status.conditions, ConditionType.READY)
        told = {event.reason for event in health.events} if health is not None else set()
        if ready is None or ready.status is not ReadyStatus.FALSE or ready.reason in told:
            return
        if was is None or was.reason != ready.reason:
            self._announcer.warning(snapshot, ready.reason, ready.message)

    def _announce_circuit(self, snapshot: Snapshot, previous: QuickBooksConnectionStatus) -> None:
        was_open = previous.circuit is not None and previous.circuit.opened_at is not None
        for circuit in self._circuits.each(snapshot.company):
            if circuit.opened_at is not None and not was_open:
                endpoint = "token endpoint" if circuit.endpoint is Endpoint.TOKEN else "API"
                message = (
                    f"so many calls to QuickBooks' {endpoint} failed within a minute that it is left alone "
                    f"until {circuit.retry_at:%H:%M:%S} UTC"
                )
                self._announcer.warning(snapshot, "CircuitOpened", message)

    def _wake(
        self, company: Company, memory: _Memory, status: QuickBooksConnectionStatus, *, changed: bool
    ) -> None:
        ready = find(status.conditions, ConditionType.READY)
        closed = self._circuit(company).state is CircuitState.CLOSED
        is_ready = ready is not None and ready.status is ReadyStatus.TRUE and closed
        if changed or (is_ready and not memory.ready):
            self._wake_invoices(company, changed)
        memory.ready = is_ready

    def _next_look(
        self,
        company: Company,
        memory: _Memory,
        verdict: Verdict,
        health: GrantHealth | None,
        now: datetime,
    ) -> timedelta | None:
        if health is None:
            return CONFLICT_CHECK if verdict.reason is ConnectionReason.REALM_CONFLICT else None
        due = [health.next_due - now]
        if memory.failures:
            due.append(self._backoff.delay(memory.failures, self._rng))
        if memory.refused is not None and memory.probe_at is not None:
            due.append(memory.probe_at - now)
        blocked = self._reads_blocked(company)
        if blocked is not None:
            due.append(max(blocked, timedelta(seconds=1)))
        circuit = self._circuit(company)
        if circuit.retry_at is not None and circuit.opened_at is not None:
            # One look when a call may be tried, and one when it has been open for long.
            due.append(max(circuit.retry_at - now, timedelta(seconds=1)))
            due += [wait for wait in [circuit.opened_at + OPEN_LONG - now] if wait > timedelta()]
        return max(min(due), timedelta())

    def _counters(self, company: Company, memory: _Memory) -> InvoiceCounters | None:
        """How the company's InvoiceSyncs stand; counted anew at most once a minute."""
        now = self._clock.monotonic()
        if now - memory.counted_at >= COUNTED_EVERY.total_seconds():
            memory.counted_at = now
            memory.counters = count(self._store.members(company, Kind.INVOICE))
        return memory.counters


_REFUSALS: Mapping[type[QuickBooksError], ConnectionReason] = {
    WrongRealm: ConnectionReason.REALM_MISMATCH,
    AccessLost: ConnectionReason.ACCESS_LOST,
    Unauthorized: ConnectionReason.REAUTHORIZATION_REQUIRED,
}


def _refusal(error: QuickBooksError, status: QuickBooksConnectionStatus) -> Verdict:
    reason = _REFUSALS.get(type(error))
    if reason is None:
        # Remembered from the status of an earlier process.
        ready = find(status.conditions, ConditionType.READY)
        reason = ConnectionReason(ready.reason) if ready is not None else ConnectionReason.ACCESS_LOST
    return Verdict(reason, str(error))


async def _read_company(client: CompanyClient) -> CompanyStatus:
    info = await client.company_info()
    preferences = await client.preferences()
    return CompanyStatus(
        name=info.name,
        country=info.country,
        currency=preferences.home_currency,
        custom_transaction_numbers=preferences.custom_transaction_numbers,
        multicurrency=preferences.multicurrency,
    )


def _pending_request(snapshot: Snapshot, status: QuickBooksConnectionStatus) -> str | None:
    value = snapshot.annotations.get(REQUESTED_AT)
    asked = handled(value) if value else None
    return asked if asked != status.last_handled_request else None


def _pending_test(snapshot: Snapshot, status: QuickBooksConnectionStatus) -> str | None:
    value = snapshot.annotations.get(TEST)
    asked = handled(value) if value else None
    return asked if asked != (status.last_test.request if status.last_test is not None else None) else None


def _with_remark(verdict: Verdict, remark: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message}; {remark}") if remark else verdict


def _seniority(snapshot: Snapshot) -> tuple[str, str, str]:
    created = str(snapshot.metadata.get("creationTimestamp", ""))
    return (created, snapshot.key.namespace, snapshot.key.name)


def count(members: Iterable[Snapshot]) -> InvoiceCounters:
    """How many InvoiceSyncs there are, and how they stand."""
    total = ready = stalled = 0
    oldest: str | None = None
    for snapshot in members:
        total += 1
        conditions = {
            condition["type"]: condition["status"] for condition in snapshot.status.get("conditions") or ()
        }
        if conditions.get(ConditionType.READY) == ReadyStatus.TRUE:
            ready += 1
        elif conditions.get(ConditionType.STALLED) == ReadyStatus.TRUE:
            stalled += 1
        else:
            created = str(snapshot.metadata.get("creationTimestamp", ""))
            oldest = min(oldest or created, created)
    return InvoiceCounters(
        total=total,
        ready=ready,
        stalled=stalled,
        waiting=total - ready - stalled,
        oldest_since=datetime.fromisoformat(oldest) if oldest else None,
    )
