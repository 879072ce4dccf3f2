"""The refresh protocol of one grant: read, claim, spend, store, publish.

Inside the process one flight per session runs it (`keeper`); across processes the claim does: an intent on
the token Secret, written over exactly the version just read, which also proves the store writable before
the token is spent. Whoever finds another holder's intent waits.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.engine.breaker import Breaker, CircuitOpen, Circuits, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.quickbooks import errors as quickbooks
from qbsync.quickbooks.oauth import ClientCredentials, OAuthClient, TokenAnswer
from qbsync.tokens import audit, changes, claim, credentials, pauses, schedule
from qbsync.tokens.claim import Intent, Spent
from qbsync.tokens.conditions import Conditions
from qbsync.tokens.deposit import Depositor, describe, place
from qbsync.tokens.exchange import Exchanger
from qbsync.tokens.grant import Grant
from qbsync.tokens.health import GrantEvent, RefreshOutcome, RefreshRecord
from qbsync.tokens.intake import Intake
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.session import Ask, Paused, RefusedClient, Session
from qbsync.tokens.spec import Fence, GrantSpec, KeeperSettings, Trigger
from qbsync.tokens.spread import Spread
from qbsync.tokens.store import Draft, Stored, TokenStore

logger = logging.getLogger(__name__)

_ROUNDS: Final = 8

Abandoned = Callable[[GrantSpec, Grant], None]
"""Called with an answer that nobody keeps: connection and Secret were both deleted while it was under way."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An open claim of ours."""

    stored: Stored
    """As it was written with the intent in it."""
    grant: Grant
    intent: Intent
    at: float
    """Monotonic seconds, taken before it was written."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the token endpoint."""

    claimed: Claimed
    trigger: Trigger
    client: str
    """Keyed hash of the credentials it was made with."""
    sent: float
    sent_at: datetime
    access_left: timedelta
    earlier: Spent | None
    """A use of the same token that got no answer before."""


class Refresher:
    """Runs the protocol; what comes of it stands in the session."""

    def __init__(
        self,
        *,
        store: TokenStore,
        intake: Intake,
        exchanger: Exchanger,
        conditions: Conditions,
        depositor: Depositor,
        oauth: OAuthClient,
        circuits: Circuits,
        clock: Clock,
        rng: random.Random,
        fence: Fence,
        settings: KeeperSettings,
        on_abandoned: Abandoned,
    ) -> None:
        self._store = store
        self._intake = intake
        self._exchanger = exchanger
        self._conditions = conditions
        self._depositor = depositor
        self._oauth = oauth
        self._circuits = circuits
        self._clock = clock
        self._rng = rng
        self._fence = fence
        self._settings = settings
        self._on_abandoned = on_abandoned
        self.spread = Spread(rng)
        self.stopping = False
        """The process ends: no token is spent any more."""

    async def run(self, session: Session, ask: Ask) -> None:
        """Do what is needed for `ask`, or note in the session why that is not possible now.

        Raises nothing but cancellation.
        """
        try:
            await self._rounds(session, ask)
        except Paused as pause:
            session.pause(pause)
        except KubeError as error:
            session.pause(self._store_trouble(session, describe(error)))
        except Exception as error:  # the schedule must outlive our own mistakes
            logger.error("refresh of %s/%s: %s", *session.spec.key, place(error))  # noqa: TRY400 - see `place`
            session.pause(self._store_trouble(session, place(error)))

    async def _rounds(self, session: Session, ask: Ask) -> None:
        for _ in range(_ROUNDS):
            try:
                claimed, client = await self._prepare(session, ask)
            except (Conflict, NotFound):
                continue
            if claimed is None or client is None:
                return
            if self._may_send(session, claimed):
                await self._spend(session, claimed, client, ask)
                return
            await self._release(session, claimed)
        raise self._store_trouble(session, "the token Secret is being written by somebody else all the time")

    async def _prepare(self, session: Session, ask: Ask) -> tuple[Claimed | None, ClientCredentials | None]:
        """Steps 2 and 3, up to the open claim; (None, None) if the tokens are what was asked for."""
        asked = ask.trigger is Trigger.REQUESTED and session.request is not None
        looking = self._exchanger.expects(session, asked=asked)
        stored = await self._intake.load(session)
        ask = ask.anchored(session.sequence)
        if session.request is not None:
            session.request = session.request.anchored(session.sequence)
        stored = await self._exchanger.settle(session, stored, asked=looking)
        stored = await self._intake.obtain(session, stored, ask)
        session.setbacks = 0
        if stored.grant is None or session.satisfied(ask, fresh=self._settings.fresh):
            session.resume()
            return None, None
        client = await self._conditions.credentials(session)
        self._conditions.check(session, stored, stored.grant, client, ask)
        return await self._claim(session, stored, stored.grant), client

    async def _claim(self, session: Session, stored: Stored, grant: Grant) -> Claimed:
        """Step 3. Lets `Conflict` and `NotFound` through: then everything is read anew."""
        at = self._clock.monotonic()
        intent = claim.claim(grant, stored.intent, holder=session.holder, now=self._clock.now())
        draft = Draft(grant=grant, intent=intent, rejection=stored.rejection)
        written = await self._store.write(session.spec, stored, draft)
        return Claimed(written, grant, intent, at)

    def _may_send(self, session: Session, claimed: Claimed) -> bool:
        """The fence, right before the token is spent."""
        return not self._lost(session) and claim.within_fence(
            claimed=claimed.at, monotonic=self._clock.monotonic(), limit=self._settings.claim_limit
        )

    def _lost(self, session: Session) -> bool:
        return self.stopping or session.gone or not self._fence.holds()

    async def _release(self, session: Session, claimed: Claimed) -> None:
        """Take the intent back: nothing was sent with it, or certainly not processed.

        An earlier use of the token may still be running: then the intent stays, for others to wait.
        If that fails it stands until others have seen it unchanged for long enough; we know better.
        Raises `Paused` if this process may not act any more.
        """
        spent = session.spent
        now = self._clock.monotonic()
        if spent is None or not spent.is_of(claimed.grant) or now >= spent.running_until:
            await self._close(session, claimed)
        if self._lost(session):
            raise pauses.not_leading()

    async def _close(self, session: Session, claimed: Claimed) -> None:
        draft = Draft(grant=claimed.grant, rejection=claimed.stored.rejection)
        try:
            await self._store.write(session.spec, claimed.stored, draft)
        except KubeError as error:
            logger.info("intent of %s/%s not taken back: %s", *session.spec.key, describe(error))

    async def _spend(self, session: Session, claimed: Claimed, client: ClientCredentials, ask: Ask) -> None:
        """Step 4 and what follows from its outcome."""
        grant, sent = claimed.grant, self._clock.monotonic()
        call = Call(
            claimed=claimed,
            trigger=ask.trigger,
            client=grant.memory.fingerprint(credentials.identity(client)),
            sent=sent,
            sent_at=self._clock.now(),
            access_left=grant.access_left(self._clock.now()) if session.usable else timedelta(),
            earlier=session.spent if session.spent is not None and session.spent.is_of(grant) else None,
        )
        session.spent = Spent(claim.token_hash(grant), until=float("inf"), running_until=float("inf"))
        try:
            answer = await self._ask(session, call, client)
        except CircuitOpen as error:
            await self._unspent(session, call)
            raise pauses.circuit_open(error.retry_in) from None
        except quickbooks.InvalidGrant as error:
            await self._invalid_grant(session, call, error)
        except quickbooks.InvalidClient as error:
            await self._invalid_client(session, call, error)
        except (quickbooks.TokenNotProcessed, quickbooks.TokenRequestRefused) as error:
            await self._not_processed(session, call, error)
        except quickbooks.TokenPerhapsProcessed as error:
            await self._keep_received(session, call, error)
            self._perhaps_processed(session, call, str(error), error.intuit_tid)
        except quickbooks.QuickBooksError as error:
            self._perhaps_processed(session, call, str(error), error.intuit_tid)
        except Exception as error:
            self._perhaps_processed(session, call, place(error), None)
        else:
            await self._keep(session, call, answer)

    async def _ask(self, session: Session, call: Call, client: ClientCredentials) -> TokenAnswer:
        """The POST; only what says something about the provider counts for its circuit."""
        with self._circuit(session).call() as outcome:
            try:
                answer = await self._oauth.refresh(
                    provider=session.spec.provider,
                    credentials=client,
                    refresh_token=call.claimed.grant.refresh_token,
                    timeout=self._settings.token_timeout - timedelta(seconds=call.sent - call.claimed.at),
                )
            except quickbooks.TokenError as error:
                outcome.failed = _blames_provider(error)
                raise
            outcome.failed = False
            return answer

    def _circuit(self, session: Session) -> Breaker:
        return self._circuits.of(Company(*session.spec.key), Endpoint.TOKEN)

    async def _keep(self, session: Session, call: Call, answer: TokenAnswer) -> None:
        """Step 5: store the answer, whatever happens; then publish it."""
        answered = self._clock.monotonic()
        fresh = self._granted(session, call, answer)
        stored = await self._depositor.keep(session, call.claimed.stored, fresh, mine=call.claimed.intent)
        session.spent = None
        took = timedelta(seconds=self._clock.monotonic() - answered)
        if stored.secret is None:
            self._abandon(session, fresh, answer)
            return
        ours = stored.grant is not None and stored.grant.access_token == fresh.access_token
        session.take(stored, issued=call.sent if ours else None)
        self._publish(session, call, answer, ours=ours, stored_in=took)

    async def _keep_received(
        self, session: Session, call: Call, error: quickbooks.TokenPerhapsProcessed
    ) -> None:
        """An unusable answer that held a refresh token all the same: that one is current now, so it is stored."""
        if error.received is None or error.received == call.claimed.grant.refresh_token:
            return
        fresh = replace(
            call.claimed.grant,
            refresh_token=error.received,
            rotated_at=call.sent_at,
            claim=call.claimed.intent.claim,
        )
        kept = await self._depositor.keep(session, call.claimed.stored, fresh, mine=call.claimed.intent)
        session.take(kept)

    def _granted(self, session: Session, call: Call, answer: TokenAnswer) -> Grant:
        """The grant after this answer; expiries count from the moment of sending."""
        old, sent_at = call.claimed.grant, call.sent_at
        refresh = answer.refresh_token if _present(answer.refresh_token) else None
        rotated = refresh is not None and refresh != old.refresh_token
        hard = answer.refresh_hard_expires_in
        fresh = replace(
            old,
            refresh_token=refresh or old.refresh_token,
            uid=session.spec.uid,
            access_token=answer.access_token,
            access_issued_at=sent_at,
            access_expires_at=sent_at + max(answer.expires_in, timedelta()),
            refresh_expires_at=_after(sent_at, answer.refresh_expires_in) or old.refresh_expires_at,
            refresh_hard_expires_at=_after(sent_at, hard) or old.refresh_hard_expires_at,
            refreshed_at=sent_at,
            rotated_at=sent_at if rotated else old.rotated_at,
            claim=call.claimed.intent.claim,
            scrub=old.scrub and session.scrub_at != float("inf"),
            standby=None,
        )

        def due(share: float) -> datetime | None:
            return schedule.next_refresh(replace(fresh, jitter=share), session.spec.refresh_before)

        return replace(fresh, jitter=self.spread.draw(session.spec.key, due))

    def _publish(
        self, session: Session, call: Call, answer: TokenAnswer, *, ours: bool, stored_in: timedelta
    ) -> None:
        """Step 6."""
        session.resume()
        session.failures = 0
        session.refused_client = None
        outcome = RefreshOutcome.REFRESHED if ours else RefreshOutcome.SUPERSEDED
        self._record(session, call, outcome, intuit_tid=answer.intuit_tid, stored_in=stored_in)
        if ours:
            session.say(GrantEvent("TokenRefreshed", "the access token was refreshed"))

    def _abandon(self, session: Session, fresh: Grant, answer: TokenAnswer) -> None:
        audit.record(
            session.spec,
            who=session.holder,
            action="token.abandon",
            outcome="ConnectionDeleted",
            sequence=fresh.sequence,
            intuit_tid=answer.intuit_tid,
        )
        self._on_abandoned(session.spec, fresh)

    async def _not_processed(self, session: Session, call: Call, error: quickbooks.QuickBooksError) -> None:
        """The token is as good as before: backoff, and the intent is taken back."""
        refused = isinstance(error, quickbooks.TokenRequestRefused)
        outcome = RefreshOutcome.REFUSED if refused else RefreshOutcome.NOT_PROCESSED
        self._failed(session, call, outcome, str(error), error.intuit_tid)
        await self._unspent(session, call)
        raise pauses.failed(str(error), self._retry_delay(session, call))

    async def _unspent(self, session: Session, call: Call) -> None:
        """This use of the token came to nothing."""
        session.spent = call.earlier
        await self._release(session, call.claimed)

    def _perhaps_processed(self, session: Session, call: Call, message: str, intuit_tid: str | None) -> None:
        """The intent stays open, and the token is left alone until the first use cannot be running any more."""
        hold = schedule.unknown_hold(
            server_timeout=self._settings.server_timeout, access_left=call.access_left
        )
        until = call.sent + hold.total_seconds()
        running = call.sent + self._settings.server_timeout.total_seconds()
        session.spent = Spent(claim.token_hash(call.claimed.grant), until, running_until=running)
        self._failed(session, call, RefreshOutcome.UNKNOWN, message, intuit_tid)
        left = timedelta(seconds=max(until - self._clock.monotonic(), 0.0))
        raise pauses.failed(message, left + self._retry_delay(session, call))

    def _retry_delay(self, session: Session, call: Call) -> timedelta:
        return schedule.retry_delay(session.failures, access_left=call.access_left, rng=self._rng)

    async def _invalid_client(self, session: Session, call: Call, error: quickbooks.InvalidClient) -> None:
        until = self._clock.monotonic() + schedule.CREDENTIALS_RETRY.total_seconds()
        session.refused_client = RefusedClient(call.client, until)
        self._failed(session, call, RefreshOutcome.INVALID_CLIENT, str(error), error.intuit_tid)
        await self._unspent(session, call)
        raise pauses.client_refused(session.spec, settings=self._settings)

    async def _invalid_grant(self, session: Session, call: Call, error: quickbooks.InvalidGrant) -> None:
        """Re-read: if the sequence moved, that is the answer; else keep everything and note the refusal."""
        before, mine, now = call.claimed.grant, call.claimed.intent, self._clock.now()
        count = session.rejection.count if session.rejection is not None else 0
        rejection = Rejection(before.sequence, count + 1, now, call.client)
        session.rejection = rejection
        self._failed(session, call, RefreshOutcome.INVALID_GRANT, str(error), error.intuit_tid)

        def change(stored: Stored) -> Draft | None:
            return changes.refuse(stored, before, rejection, mine=mine, gone=session.gone)

        stored = await self._depositor.settle(session, None, change)
        session.spent = None
        session.take(stored)
        if stored.grant is None or stored.grant.sequence != before.sequence:
            self._moved(session, before)
            return
        pause = pauses.grant_refused(
            session.spec, stored.grant, rejection, now=self._clock.now(), settings=self._settings
        )
        if rejection.final(session.spec.provider.probing):
            session.say(
                GrantEvent("ReauthorizationRequired", pause.message, warning=True),
                again_after=timedelta(days=1),
            )
        raise pause

    def _moved(self, session: Session, before: Grant) -> None:
        """Somebody stored newer tokens meanwhile, or the grant that stood by was taken back."""
        session.resume()
        if before.standby is not None:
            session.say(
                GrantEvent(
                    "RefreshFailed",
                    "the imported tokens were refused; the grant before is in use again",
                    True,
                )
            )

    def _store_trouble(self, session: Session, message: str) -> Paused:
        session.setbacks += 1
        delay = schedule.BACKOFF.delay(session.setbacks, self._rng)
        return pauses.store_failing(session.spec, message, delay)

    def _failed(
        self, session: Session, call: Call, outcome: RefreshOutcome, message: str, intuit_tid: str | None
    ) -> None:
        session.failures += 1
        self._record(session, call, outcome, error=message, intuit_tid=intuit_tid)
        session.say(GrantEvent("RefreshFailed", message, warning=True))

    def _record(
        self,
        session: Session,
        call: Call,
        outcome: RefreshOutcome,
        *,
        error: str | None = None,
        intuit_tid: str | None = None,
        stored_in: timedelta | None = None,
    ) -> None:
        duration = timedelta(seconds=self._clock.monotonic() - call.sent)
        session.records.append(
            RefreshRecord(
                self._clock.now(), outcome, call.trigger, duration, error=error, intuit_tid=intuit_tid
            )
        )
        audit.record(
            session.spec,
            who=session.holder,
            action="token.refresh",
            outcome=outcome,
            trigger=call.trigger,
            sequence=session.sequence,
            key_id=session.kid,
            intuit_tid=intuit_tid,
            duration=duration,
            stored_in=stored_in,
            detail=error,
        )


def _blames_provider(error: quickbooks.TokenError) -> bool | None:
    if isinstance(error, quickbooks.TokenNotProcessed):
        # Throttled, or this process's own trouble: the endpoint may be as well as ever.
        return None if error.status == 429 or error.ours else True
    return isinstance(error, quickbooks.TokenPerhapsProcessed)


def _present(token: SecretStr | None) -> bool:
    return token is not None and bool(token.get_secret_value())


def _after(start: datetime, duration: timedelta | None) -> datetime | None:
    return start + duration if duration is not None else None
