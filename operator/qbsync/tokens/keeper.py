"""The front of the room: one session per connection, one flight per session, health for the status.

A flight is a task of its own. Nobody's cancellation reaches it: once a token is spent, its answer is
stored, whoever stopped waiting. `ensure` and the token source only watch it.
"""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from qbsync.engine.breaker import Circuits
from qbsync.engine.clock import Clock
from qbsync.kube.secrets import SecretsApi
from qbsync.quickbooks.client import AccessToken
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.tokens import audit
from qbsync.tokens.conditions import Conditions
from qbsync.tokens.deposit import Depositor
from qbsync.tokens.errors import TokenUnavailable
from qbsync.tokens.exchange import Exchanger, Inspect, trusting
from qbsync.tokens.grant import Grant
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.intake import Intake
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.refresh import Abandoned, Refresher
from qbsync.tokens.report import report, verdict
from qbsync.tokens.revocation import Revoker
from qbsync.tokens.session import FROM_STORED, Ask, Session
from qbsync.tokens.spec import Fence, GrantSpec, KeeperSettings, OnChange, Trigger
from qbsync.tokens.spool import Recovery, Spool
from qbsync.tokens.store import TokenStore

_SCHEDULED = Ask(Trigger.SCHEDULED)
_BEFORE_CALL = Ask(Trigger.BEFORE_CALL)
_ALIVE = 0.001


def _ignore_change(_: GrantSpec) -> None:
    """Nobody wants to know."""


class Keeper:
    """Keeps the grants of this process's connections alive. Belongs to one event loop."""

    def __init__(
        self,
        *,
        secrets: SecretsApi,
        oauth: OAuthClient,
        keyring: Keyring,
        clock: Clock,
        rng: random.Random,
        fence: Fence,
        process_id: str,
        settings: KeeperSettings | None = None,
        circuits: Circuits | None = None,
        spool: Spool | None = None,
        on_change: OnChange = _ignore_change,
        on_abandoned: Abandoned | None = None,
        inspect: Inspect = trusting,
    ) -> None:
        """`process_id` is random per process: a restarted pod is not its predecessor. `inspect` tells whether an
        access token is of the spec's company.

        What earlier processes left in `spool` is stored before the grant it belongs to is used.
        """
        self._settings = settings or KeeperSettings()
        self._clock = clock
        self._process_id = process_id
        self._on_change = on_change
        self._spool = spool or Spool(None)
        self._store = store = TokenStore(secrets=secrets, keyring=keyring, clock=clock)
        self._recovery = Recovery(spool=self._spool, store=store, clock=clock, rng=rng)
        depositor = Depositor(store=store, spool=self._spool, clock=clock, rng=rng, on_stall=self._stalled)
        circuits = circuits or Circuits(clock=clock, rng=rng)
        conditions = Conditions(secrets, circuits, clock, self._settings)
        self._revoker = revoker = Revoker(secrets, oauth, clock, rng, self._settings)
        self._exchanger = Exchanger(
            store, depositor, secrets, oauth, conditions, revoker, clock, rng, fence, self._settings, inspect
        )
        self._refresher = Refresher(
            store=store,
            exchanger=self._exchanger,
            intake=Intake(store, self._recovery, secrets, clock, rng, fence, self._settings),
            depositor=depositor,
            conditions=conditions,
            oauth=oauth,
            circuits=circuits,
            clock=clock,
            rng=rng,
            fence=fence,
            settings=self._settings,
            on_abandoned=on_abandoned or self._revoke_abandoned,
        )
        self._sessions: dict[tuple[str, str], Session] = {}
        self._flights: set[asyncio.Task[None]] = set()

    async def ensure(
        self, connection: GrantSpec, *, force: bool = False, trigger: Trigger = Trigger.SCHEDULED
    ) -> GrantHealth:
        """Load, import or refresh what is due, and say how the grant is.

        Cheap when nothing is due: no I/O. `force` asks for a new token now; the same `requested_at` asks
        once, until `GrantHealth.handled`. What is expected to fail is part of the answer: raises nothing
        but cancellation, which stops the waiting and never the work.
        """
        session = self._resolve(connection)
        self._adopt_spec(session, connection)
        if force:
            _note_request(session, trigger)
        session.watchers += 1
        try:
            await self._fly(session, session.request or _SCHEDULED)
        finally:
            session.watchers -= 1
        return report(session, clock=self._clock, settings=self._settings)

    def token_source(self, connection: GrantSpec) -> "GrantTokens":
        """Access tokens for one connection's API calls."""
        return GrantTokens(self, connection, self._resolve(connection), self._settings.fresh.total_seconds())

    def forget(self, namespace: str, name: str) -> None:
        """The connection was deleted: its tokens leave memory; the Secret stays.

        A refresh under way is still stored; if the Secret was deleted as well, `on_abandoned` is called.
        """
        self._refresher.spread.forget((namespace, name))
        session = self._sessions.pop((namespace, name), None)
        if session is not None:
            session.gone = True

    async def revoke(self, connection: GrantSpec) -> bool:
        """End the grant at the provider, delete its Secret and forget it; may be repeated. False: there was none.

        A code that waits to be exchanged is deleted as well.

        Raises what hindered it: a `KubeError`, a `TokenError`, a `QuickBooksError` or `CredentialsMissing`.
        """
        session = self._resolve(connection)
        # From here on no token is spent; what is under way is stored first, since that is the one to end.
        session.gone = True
        if session.flight is not None:
            await asyncio.wait({session.flight})
        await self._recovery.settle(connection)
        stored = await self._store.read(connection)
        if stored.unopened is not None:
            raise stored.unopened
        grant = stored.grant or session.grant
        if grant is not None:
            await self._revoker.end(
                connection, grant.refresh_token, who=session.holder, why="connection deleted"
            )
        if stored.secret is not None:
            await self._store.remove(stored.secret)
        await self._exchanger.drop(connection)
        self.forget(connection.namespace, connection.name)
        return grant is not None

    def unstored(self) -> tuple[GrantSpec, ...]:
        """The connections whose newest tokens are in memory only."""
        return tuple(session.spec for session in self._sessions.values() if session.stalled is not None)

    @property
    def unwritable_for(self) -> timedelta:
        """Since when no token Secret at all could be written; nothing if the last write succeeded."""
        return self._store.unwritable_for

    async def drain(self) -> None:
        """Spend no token any more, and return once every answer that was asked for is stored."""
        self._refresher.stopping = self._exchanger.stopping = True
        while self._flights:
            await asyncio.wait(set(self._flights))

    def give_up(self) -> int:
        """The process ends now: put what could not be stored on the disk; returns how many answers that are."""
        left = self._spool.sync()
        for answer in left:
            audit.record(
                answer.place,
                who=answer.intent.holder,
                action="token.spool",
                outcome="Spooled",
                sequence=answer.intent.sequence,
            )
        return len(left)

    async def access(self, connection: GrantSpec, session: Session) -> AccessToken:
        """A token for a call, refreshed first if it has to be; raises `TokenUnavailable`. For `GrantTokens`."""
        if session.gone:
            session = self._resolve(connection)
        await self._fly(session, _BEFORE_CALL)
        return _living(session)

    async def refused(self, session: Session, token: AccessToken) -> None:
        """A call with that token got a 401: refresh, if it is still the current one. For `GrantTokens`.

        Raises `TokenUnavailable` if that brought no newer token.
        """
        if session.sequence != token.sequence:
            return
        session.refuse_access(token.sequence)
        await self._fly(session, Ask(Trigger.UNAUTHORIZED, base=token.sequence))
        _living(session)

    def resolve(self, connection: GrantSpec) -> Session:
        """The connection's session. For `GrantTokens`."""
        return self._resolve(connection)

    def _resolve(self, spec: GrantSpec) -> Session:
        session = self._sessions.get(spec.key)
        if session is not None and _same_grant(session.spec, spec):
            return session
        if session is not None:
            session.gone = True
        session = Session(spec, process_id=self._process_id, clock=self._clock)
        self._sessions[spec.key] = session
        return session

    def _adopt_spec(self, session: Session, spec: GrantSpec) -> None:
        if _what_matters(session.spec) != _what_matters(spec):
            session.hurry()
        session.spec = spec

    async def _fly(self, session: Session, ask: Ask) -> None:
        """Join the flight under way, then make one of our own if `ask` is still open."""
        for _ in range(2):
            if not session.flying:
                if not self._due(session, ask):
                    return
                self._start(session, ask)
            await self._watch(session)
            if session.flying:
                return

    def _due(self, session: Session, ask: Ask) -> bool:
        if ask is session.request and not session.request_tried:
            return True
        if session.waiting:
            return session.chore_due
        # A pause that is over must be looked at, or it would be over, and call for a look, for ever.
        return (
            ask is session.request
            or session.chore_due
            or session.trouble is not None
            or not session.satisfied(ask, fresh=self._settings.fresh)
        )

    def _start(self, session: Session, ask: Ask) -> None:
        if ask is session.request:
            session.request_tried = True
        session.flight = asyncio.create_task(self._flight(session, ask))
        self._flights.add(session.flight)
        session.flight.add_done_callback(self._flights.discard)

    async def _flight(self, session: Session, ask: Ask) -> None:
        await self._refresher.run(session, ask)
        _close_request(session, satisfied=self._fulfilled(session))
        # The flight counts as under way until this task ends; whoever is told may look only after that.
        asyncio.get_running_loop().call_soon(self._tell, session)

    def _revoke_abandoned(self, spec: GrantSpec, grant: Grant) -> None:
        """Connection and Secret were deleted while the answer was under way: nobody keeps it."""
        work = self._revoker.revoke(spec, grant.refresh_token, who=self._process_id, why="connection deleted")
        task = asyncio.create_task(_quietly(work))
        self._flights.add(task)
        task.add_done_callback(self._flights.discard)

    def _fulfilled(self, session: Session) -> bool:
        return session.request is not None and session.satisfied(session.request, fresh=self._settings.fresh)

    def _tell(self, session: Session) -> None:
        """Somebody other than `ensure` brought news: the connection should be looked at."""
        if session.watchers == 0 and not session.gone:
            self._on_change(session.spec)

    def _stalled(self, session: Session) -> None:
        """An answer cannot be stored: it may take hours, so it is put on the disk itself."""
        self._spool.sync()
        self._tell(session)

    async def _watch(self, session: Session) -> None:
        """Return when the flight ends, or cannot store its answer, or takes long while the token still serves."""
        if session.flight is None or session.stalled is not None:
            return
        alarms: list[asyncio.Task[Any]] = [asyncio.create_task(session.stall.wait())]
        if session.usable:
            alarms.append(asyncio.create_task(self._lose_patience()))
        try:
            await asyncio.wait({session.flight, *alarms}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for alarm in alarms:
                alarm.cancel()

    async def _lose_patience(self) -> None:
        await self._clock.sleep(self._settings.patience)


class GrantTokens:
    """`quickbooks.client.TokenSource` of one connection."""

    __slots__ = ("_connection", "_fresh", "_keeper", "_session")

    def __init__(self, keeper: Keeper, connection: GrantSpec, session: Session, fresh: float) -> None:
        self._keeper = keeper
        self._connection = connection
        self._session = session
        self._fresh = fresh

    async def token(self) -> AccessToken:
        """From memory while it has a minute left, else refreshed first; raises `TokenUnavailable`."""
        access = self._session.fresh_access(self._fresh)
        if access is not None:
            return access
        if self._session.gone:
            self._session = self._keeper.resolve(self._connection)
        return await self._keeper.access(self._connection, self._session)

    async def rejected(self, token: AccessToken) -> None:
        """A call with it got a 401. Forces a refresh if it is still the current token; ten of these make one.

        Raises `TokenUnavailable` if there is no newer token after that.
        """
        await self._keeper.refused(self._session, token)


async def _quietly(work: Coroutine[Any, Any, bool]) -> None:
    await work


def _living(session: Session) -> AccessToken:
    """The access token, however little is left of it; raises `TokenUnavailable`."""
    access = session.fresh_access(_ALIVE)
    if access is None:
        reason, message = verdict(session)
        raise TokenUnavailable(reason, message)
    return access


def _note_request(session: Session, trigger: Trigger) -> None:
    wanted = session.spec.requested_at
    if wanted is not None and wanted == session.request_seen:
        return
    session.request_seen = wanted
    session.request = Ask(
        Trigger.REQUESTED if trigger is Trigger.SCHEDULED else trigger,
        base=session.sequence if session.sequence is not None else FROM_STORED,
    )
    session.request_tried = False


def _close_request(session: Session, *, satisfied: bool) -> None:
    stuck = session.trouble is not None and session.trouble.final
    if session.request is not None and session.request_tried and (satisfied or stuck):
        session.request = None


def _same_grant(old: GrantSpec, new: GrantSpec) -> bool:
    return old.binding == new.binding and old.tokens_secret_name == new.tokens_secret_name


def _what_matters(spec: GrantSpec) -> GrantSpec:
    """Without what changes all the time and asks for nothing by itself."""
    return replace(spec, requested_at=None, known_sequence=None, suspended=False)
