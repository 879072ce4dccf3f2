"""From a person's consent to a stored grant: the code is exchanged, the realm checked, the envelope replaced.

Part of a session's one flight, so that no refresh runs beside it in this process; the intent on the token Secret
keeps other processes away. A code is sent once: that it will be is written down before. Until the new grant has
shown that it is this company's, the old one stays where it is.
"""

import logging
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.api.reasons import ConnectionReason
from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.kube.errors import KubeError, NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.quickbooks import errors as quickbooks
from qbsync.quickbooks.oauth import ClientCredentials, OAuthClient, TokenAnswer
from qbsync.tokens import audit, authorization, claim, pauses
from qbsync.tokens.authorization import Authorization, SentCodes
from qbsync.tokens.claim import Intent
from qbsync.tokens.conditions import Conditions
from qbsync.tokens.deposit import Depositor, describe, place
from qbsync.tokens.grant import MEMORY_KEY_BYTES, Grant, ImportMemory
from qbsync.tokens.health import GrantEvent, RefreshOutcome, RefreshRecord
from qbsync.tokens.intake import foreign_lock
from qbsync.tokens.revocation import Revoker
from qbsync.tokens.session import Announced, Paused, Session
from qbsync.tokens.spec import Fence, GrantSpec, KeeperSettings, Trigger
from qbsync.tokens.spool import SpooledAnswer
from qbsync.tokens.store import Draft, Stored, TokenStore

logger = logging.getLogger(__name__)

Inspect = Callable[[GrantSpec, SecretStr], Awaitable[None]]
"""Reads the spec's company with an access token; raises a `QuickBooksError` where that does not work."""

_CHECKS: Final = 4
_AGAIN: Final = "connect the company again (qbsync connect)"
_NOT_THIS_COMPANY = (quickbooks.WrongRealm, quickbooks.AccessLost, quickbooks.Unauthorized)


async def trusting(_: GrantSpec, __: SecretStr) -> None:
    """Takes the callback's word for which company it is."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """A code about to be sent: the token Secret says so."""

    before: Stored
    stored: Stored
    intent: Intent
    at: datetime
    monotonic: float


@dataclass(slots=True)
class Exchanger:
    """Carries out what lies in a connection's authorization Secret."""

    store: TokenStore
    depositor: Depositor
    secrets: SecretsApi
    oauth: OAuthClient
    conditions: Conditions
    revoker: Revoker
    clock: Clock
    rng: random.Random
    fence: Fence
    settings: KeeperSettings
    inspect: Inspect
    stopping: bool = False
    """The process ends: no code is sent any more."""
    _backoff: Backoff = field(
        default_factory=lambda: Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=8))
    )

    async def settle(self, session: Session, stored: Stored, *, asked: bool) -> Stored:
        """What is stored once a waiting code is dealt with; the same where there is none.

        `asked`: `expects` said so; a code is looked for as well where there is no working grant.
        Raises `Paused` where the code came to nothing and there is no working grant to go on with; lets
        `KubeError` through: then nothing was sent.
        """
        idle = stored.grant is not None and stored.rejection is None
        unconfirmed = stored.grant is not None and stored.grant.unconfirmed
        if idle and not asked and not unconfirmed:
            return stored
        secret = await self._find(session)
        session.code_at = None
        if secret is None and not unconfirmed:
            self._remind(session, stored)
            return stored
        session.disappointment = None
        try:
            if stored.grant is not None and unconfirmed:
                stored = await self._confirm(session, stored, stored.grant)
            return await self._exchange(session, stored, secret) if secret is not None else stored
        except (Paused, KubeError):
            self._look_again(session)
            raise
        except _Failed as failed:
            if secret is not None and not failed.untouched:
                await self._discard(session, secret)
            self._tell(session, failed)
            pause = Paused(
                failed.reason, failed.message, retry=self.settings.reauthorization_poll, final=True
            )
            if idle:
                # The person is answered, and the grant that there is goes on.
                return failed.stored or stored
            session.disappointment = pause
            raise pause from None

    async def drop(self, spec: GrantSpec) -> None:
        """Delete a code that nobody exchanges any more. Lets `KubeError` through."""
        with suppress(NotFound):
            secret = await self.secrets.get(spec.namespace, authorization.secret_name(spec.name))
            if secret.type == authorization.SECRET_TYPE:
                await self.secrets.remove(secret)

    def expects(self, session: Session, *, asked: bool) -> bool:
        """Whether a code may be waiting; it is looked for again and again until that came to an end.

        A request ends before its code does where something else has to be put right first.
        """
        looking = asked or session.code_due
        if looking:
            self._look_again(session)
        return looking

    def _look_again(self, session: Session) -> None:
        session.code_at = self.clock.monotonic() + self.settings.secret_poll.total_seconds()

    # -- the Secret ----------------------------------------------------------------------------------------

    async def _find(self, session: Session) -> Secret | None:
        try:
            return await self.secrets.get(
                session.spec.namespace, authorization.secret_name(session.spec.name)
            )
        except NotFound:
            return None

    def _remind(self, session: Session, stored: Stored) -> None:
        """Why the last code came to nothing stands until another one, or an import, comes."""
        if stored.grant is None and session.spec.import_ref is None and session.disappointment is not None:
            raise session.disappointment

    async def _discard(self, session: Session, secret: Secret) -> None:
        """It is of no use any more. If it cannot be deleted now, it is tried again, and known then."""
        try:
            await self.secrets.remove(secret)
        except NotFound:
            pass
        except KubeError as error:
            logger.warning("Secret %s/%s not deleted yet: %s", secret.namespace, secret.name, describe(error))
            self._look_again(session)

    def _readable(self, session: Session, secret: Secret) -> Authorization:
        where = f"Secret {secret.namespace}/{secret.name}"
        if secret.type != authorization.SECRET_TYPE:
            message = f"{where} has type {secret.type} instead of {authorization.SECRET_TYPE}: delete it, then {_AGAIN}"
            raise _Failed(ConnectionReason.SECRET_CONFLICT, message, untouched=True)
        try:
            found = authorization.parse(secret)
        except authorization.AuthorizationUnreadable as error:
            raise _Failed(ConnectionReason.REAUTHORIZATION_REQUIRED, f"{error}: {_AGAIN}") from None
        if found.realm != session.spec.realm:
            message = (
                f"company {found.realm} was chosen on the consent page, and spec.realmId is {session.spec.realm}: "
                f"its code was not exchanged; choose the right company, or connect a connection of its own to it"
            )
            raise _Failed(ConnectionReason.REALM_MISMATCH, message)
        lifetime = session.spec.provider.code_lifetime
        if authorization.is_stale(secret, now=self.clock.now(), lifetime=lifetime):
            message = f"the authorization code is older than {lifetime.seconds // 60} minutes: {_AGAIN}"
            raise _Failed(ConnectionReason.REAUTHORIZATION_REQUIRED, message)
        return found

    # -- the exchange --------------------------------------------------------------------------------------

    async def _exchange(self, session: Session, stored: Stored, secret: Secret) -> Stored:
        if stored.grant is not None and _is_stored(stored.grant, secret):
            if not session.connected:
                # A process that died stored it, and told nobody.
                self._tell_connected(session, timedelta(), None)
            await self._discard(session, secret)
            return stored
        found = self._readable(session, secret)
        self._wait_for_others(session, stored)
        sent = SentCodes.parse(_annotation(stored, authorization.SENT_CODES))
        if sent.knows(found.code) and not _is_unsent(session, stored, found.code):
            message = f"the authorization code was sent before, and what came of it is lost: {_AGAIN}"
            raise _Failed(ConnectionReason.REAUTHORIZATION_REQUIRED, message)
        client = await self.conditions.credentials(session)
        sending = await self._announce(session, stored, sent.remember(found.code), found.code)
        answer = await self._send(session, sending, client, found)
        fresh = self._granted(session, sending, answer, found)
        # Nobody can ask for it again: if the process dies while the company is read, the next one reads it.
        aside = self.depositor.keep_aside(
            session.spec, _unconfirmed(fresh, sending.before), mine=sending.intent
        )
        await self._check_realm(session, sending, answer, aside)
        return await self._keep(session, sending, answer, fresh, found.secret)

    def _wait_for_others(self, session: Session, stored: Stored) -> None:
        """While another process may be spending the old token, its intent is not overwritten."""
        if stored.grant is None:
            return
        if lock := foreign_lock(session, stored, clock=self.clock, settings=self.settings):
            raise lock

    async def _announce(self, session: Session, stored: Stored, sent: SentCodes, code: SecretStr) -> _Sending:
        """Write down that the code is sent, which also proves the store writable."""
        standing = stored.intent
        before = max(
            stored.grant.claim if stored.grant is not None else 0,
            standing.claim if standing is not None else 0,
        )
        intent = claim.intent(
            holder=session.holder,
            sequence=stored.grant.sequence if stored.grant is not None else 0,
            number=before + 1,
            now=self.clock.now(),
        )
        at = self.clock.monotonic()
        session.unsent = Announced(code, intent.nonce)
        written = await self.store.mark(
            session.spec, stored, intent=intent, notes={authorization.SENT_CODES: sent.dump()}
        )
        return _Sending(stored, written, intent, self.clock.now(), at)

    async def _send(
        self, session: Session, sending: _Sending, client: ClientCredentials, found: Authorization
    ) -> TokenAnswer:
        fenced = not claim.within_fence(
            claimed=sending.monotonic, monotonic=self.clock.monotonic(), limit=self.settings.claim_limit
        )
        if fenced or self.stopping or session.gone or not self.fence.holds():
            await self._unsent(session, sending)
            raise pauses.not_leading()
        session.unsent = None
        try:
            return await self.oauth.exchange(
                provider=session.spec.provider,
                credentials=client,
                code=found.code,
                redirect_uri=found.redirect_uri,
                timeout=self.settings.token_timeout,
            )
        except quickbooks.TokenNotProcessed as error:
            if error.status is None:
                session.unsent = Announced(found.code, sending.intent.nonce)
                await self._unsent(session, sending)
                raise pauses.failed(
                    f"the authorization code waits to be sent: {error}", self._backoff.delay(1, self.rng)
                ) from None
            raise await self._failed(session, sending, str(error), error) from None
        except quickbooks.InvalidClient as error:
            reason = ConnectionReason.CREDENTIALS_REJECTED
            raise await self._failed(session, sending, f"{error}, then {_AGAIN}", error, reason) from None
        except quickbooks.QuickBooksError as error:
            raise await self._failed(session, sending, f"{error}: {_AGAIN}", error) from None
        except Exception as error:
            raise await self._failed(session, sending, f"{place(error)}; {_AGAIN}", None) from None

    async def _unsent(self, session: Session, sending: _Sending) -> None:
        """Take back that the code was sent: it certainly was not."""
        before = _annotation(sending.before, authorization.SENT_CODES)
        await self._mark(session, sending, {authorization.SENT_CODES: before or ""})

    async def _failed(
        self,
        session: Session,
        sending: _Sending,
        message: str,
        error: quickbooks.QuickBooksError | None,
        reason: ConnectionReason = ConnectionReason.REAUTHORIZATION_REQUIRED,
    ) -> "_Failed":
        stored = await self._mark(session, sending, {})
        tid = error.intuit_tid if error is not None else None
        took = timedelta(seconds=self.clock.monotonic() - sending.monotonic)
        return _Failed(reason, message, stored=stored, intuit_tid=tid, took=took)

    async def _mark(self, session: Session, sending: _Sending, notes: dict[str, str]) -> Stored:
        """Take our intent back; what was begun before, and may still be at work, stands again.

        If that fails it stands until others have seen it unchanged for long enough; we know better.
        """
        keep = sending.before.intent
        if keep is not None and keep.holder == session.holder and not self._still_spending(session):
            keep = None
        try:
            return await self.store.mark(session.spec, sending.stored, intent=keep, notes=notes)
        except KubeError as error:
            logger.info("intent of %s/%s not taken back: %s", *session.spec.key, describe(error))
            return sending.stored

    def _still_spending(self, session: Session) -> bool:
        return session.spent is not None and self.clock.monotonic() < session.spent.running_until

    # -- what it brought -----------------------------------------------------------------------------------

    async def _check_realm(
        self, session: Session, sending: _Sending, answer: TokenAnswer, aside: SpooledAnswer | None
    ) -> None:
        error = await self._refusal(session.spec, answer.access_token)
        if error is None:
            return
        assert answer.refresh_token is not None  # `exchange` promises it
        self.depositor.drop(aside)
        await self._end(session, answer.refresh_token)
        message, reason = _of_another(session.spec, error), ConnectionReason.REALM_MISMATCH
        raise await self._failed(session, sending, message, error, reason)

    async def _refusal(self, spec: GrantSpec, access: SecretStr) -> quickbooks.QuickBooksError | None:
        """One read of the company. Where QuickBooks does not answer, the callback's word counts: the grant is kept."""
        for attempt in range(1, _CHECKS + 1):
            try:
                await self.inspect(spec, access)
            except _NOT_THIS_COMPANY as error:
                return error
            except Exception as error:  # an answer in memory outlives even our own mistakes
                logger.info("company of %s/%s not read yet: %s", *spec.key, type(error).__name__)
                if attempt < _CHECKS:
                    await self.clock.sleep(self._backoff.delay(attempt, self.rng))
            else:
                return None
        return None

    async def _confirm(self, session: Session, stored: Stored, grant: Grant) -> Stored:
        """Make up for the read of the company that a process died before; what it replaced may come back.

        Without a grant to go back to it stays, and what the company says to it is told as of any other.
        """
        if not self.fence.holds():
            raise pauses.not_leading()
        error = None
        if grant.access_token is not None and grant.access_left(self.clock.now()) > self.settings.fresh:
            error = await self._refusal(session.spec, grant.access_token)
        # A 401 need not be the company's: the process that died may have ended the grant.
        back = grant.standby if isinstance(error, quickbooks.WrongRealm | quickbooks.AccessLost) else None
        kept = replace(
            back or grant,
            sequence=grant.sequence + 1,
            memory=grant.memory,
            claim=grant.claim,
            unconfirmed=False,
            standby=None,
        )
        stored = await self.store.write(session.spec, stored, Draft(grant=kept, intent=stored.intent))
        session.take(stored)
        if back is None or error is None:
            return stored
        await self._end(session, grant.refresh_token)
        message = _of_another(session.spec, error)
        raise _Failed(ConnectionReason.REALM_MISMATCH, message, stored=stored, intuit_tid=error.intuit_tid)

    async def _end(self, session: Session, token: SecretStr) -> None:
        await self.revoker.revoke(session.spec, token, who=session.holder, why="of another company")

    async def _keep(
        self, session: Session, sending: _Sending, answer: TokenAnswer, fresh: Grant, used: Secret
    ) -> Stored:
        stored = await self.depositor.keep(session, sending.stored, fresh, mine=sending.intent)
        if stored.secret is None:
            await self.revoker.revoke(
                session.spec, fresh.refresh_token, who=session.holder, why="connection deleted"
            )
            raise pauses.not_leading()
        self._publish(session, sending, stored, answer)
        await self._discard(session, used)
        return stored

    def _granted(
        self, session: Session, sending: _Sending, answer: TokenAnswer, found: Authorization
    ) -> Grant:
        old, at = sending.before.grant, sending.at
        memory = old.memory if old is not None else ImportMemory(os.urandom(MEMORY_KEY_BYTES))
        assert answer.refresh_token is not None  # `exchange` promises it
        before = max(old.sequence if old is not None else 0, session.floor, session.spec.known_sequence or 0)
        return Grant(
            refresh_token=answer.refresh_token,
            sequence=before,
            uid=session.spec.uid,
            memory=memory.remember(found.code),
            obtained_at=at,
            access_token=answer.access_token,
            access_issued_at=at,
            access_expires_at=at + max(answer.expires_in, timedelta()),
            refresh_expires_at=_after(at, answer.refresh_expires_in),
            refresh_hard_expires_at=_after(at, answer.refresh_hard_expires_in),
            refreshed_at=at,
            rotated_at=at,
            claim=sending.intent.claim,
            jitter=self.rng.random(),
        )

    def _publish(self, session: Session, sending: _Sending, stored: Stored, answer: TokenAnswer) -> None:
        session.take(stored, issued=sending.monotonic)
        session.resume()
        session.spent = session.refused_client = None
        took = timedelta(seconds=self.clock.monotonic() - sending.monotonic)
        self._tell_connected(session, took, answer.intuit_tid)

    def _tell_connected(self, session: Session, took: timedelta, tid: str | None) -> None:
        session.connected = True
        self._record(session, RefreshOutcome.CONNECTED, took, None, tid)
        session.say(GrantEvent("Connected", f"a person connected company {session.spec.realm}"))

    def _tell(self, session: Session, failed: "_Failed") -> None:
        self._record(session, RefreshOutcome.REFUSED, failed.took, failed.message, failed.intuit_tid)
        session.say(GrantEvent(failed.reason, failed.message, warning=True))

    def _record(
        self, session: Session, outcome: RefreshOutcome, took: timedelta, error: str | None, tid: str | None
    ) -> None:
        session.records.append(
            RefreshRecord(self.clock.now(), outcome, Trigger.AUTHORIZATION, took, error=error, intuit_tid=tid)
        )
        audit.record(
            session.spec,
            who=session.holder,
            action="token.authorize",
            outcome=outcome,
            trigger=Trigger.AUTHORIZATION,
            sequence=session.sequence,
            key_id=session.kid,
            intuit_tid=tid,
            duration=took,
            detail=error,
        )


class _Failed(Exception):
    """The code came to nothing. `untouched`: its Secret is not ours to delete."""

    def __init__(
        self,
        reason: ConnectionReason,
        message: str,
        *,
        stored: Stored | None = None,
        untouched: bool = False,
        intuit_tid: str | None = None,
        took: timedelta = timedelta(),
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.stored = reason, message, stored
        self.untouched, self.intuit_tid, self.took = untouched, intuit_tid, took


def _is_unsent(session: Session, stored: Stored, code: SecretStr) -> bool:
    """True if it was this process that noted the code as sent, and then did not send it."""
    return stored.intent is not None and session.unsent == Announced(code, stored.intent.nonce)


def _unconfirmed(fresh: Grant, before: Stored) -> Grant:
    """What to keep of an answer until its company was read."""
    working = before.grant if before.rejection is None else None
    standby = replace(working, standby=None) if working is not None else None
    return replace(fresh, unconfirmed=True, standby=standby)


def _of_another(spec: GrantSpec, error: quickbooks.QuickBooksError) -> str:
    return (
        f"the consent is for another company than realm {spec.realm}, or for another environment "
        f"({error}): it was revoked; choose the right company, with the keys of {spec.environment}"
    )


def _is_stored(grant: Grant, secret: Secret) -> bool:
    """True if the grant came of this very code, and a crash left the Secret behind."""
    try:
        return grant.memory.knows(authorization.parse(secret).code)
    except authorization.AuthorizationUnreadable:
        return False


def _annotation(stored: Stored, name: str) -> str | None:
    return stored.secret.annotations.get(name) if stored.secret is not None else None


def _after(start: datetime, duration: timedelta | None) -> datetime | None:
    return start + duration if duration is not None else None
