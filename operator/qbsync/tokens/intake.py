"""Where a grant comes from: the token Secret, this process's memory if that is newer, or an import."""

import logging
import os
import random
from dataclasses import dataclass
from datetime import timedelta

from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.kube.secrets import SecretsApi
from qbsync.tokens import audit, imports, pauses
from qbsync.tokens.errors import SecretConflict, WrongKey
from qbsync.tokens.grant import MEMORY_KEY_BYTES, Grant
from qbsync.tokens.health import GrantEvent, RefreshOutcome, RefreshRecord
from qbsync.tokens.imports import ImportContent
from qbsync.tokens.session import Ask, Paused, Session
from qbsync.tokens.spec import Fence, ImportRef, KeeperSettings, Trigger
from qbsync.tokens.spool import Recovery
from qbsync.tokens.store import Draft, Stored, TokenStore

logger = logging.getLogger(__name__)


def foreign_lock(
    session: Session, stored: Stored, *, clock: Clock, settings: KeeperSettings
) -> Paused | None:
    """The pause that another holder's open intent asks for; None if there is none, or it is abandoned."""
    intent = stored.intent
    if intent is None or intent.holder == session.holder:
        return None
    if session.lock.abandoned(intent, monotonic=clock.monotonic(), patience=settings.lock):
        return None
    return pauses.locked(intent, settings=settings)


@dataclass(frozen=True, slots=True)
class Intake:
    """Step 2 of the protocol, with what an earlier process spooled, and imports.

    Raises `Paused`; lets `KubeError` through.
    """

    store: TokenStore
    recovery: Recovery
    secrets: SecretsApi
    clock: Clock
    rng: random.Random
    fence: Fence
    settings: KeeperSettings

    async def load(self, session: Session) -> Stored:
        """Read the Secret and make it the truth in memory, unless memory knows better."""
        try:
            await self.recovery.settle(session.spec)
            stored = await self.store.read(session.spec)
        except SecretConflict as error:
            raise pauses.secret_conflict(str(error)) from None
        except WrongKey as error:
            raise pauses.spooled_does_not_open(error) from None
        if stored.unopened is not None:
            session.say(
                GrantEvent("DecryptionFailed", str(stored.unopened), warning=True),
                again_after=timedelta(hours=1),
            )
            raise pauses.does_not_open(session.spec, stored.unopened)
        stored = await self._heal(session, stored)
        self._notice(session, stored)
        session.take(stored)
        return stored

    async def obtain(self, session: Session, stored: Stored, ask: Ask) -> Stored:
        """Import tokens where there is no grant, it is dead, or a person asks; then empty the import's Secret."""
        ref = session.spec.import_ref
        if ref is None:
            if stored.grant is None:
                raise pauses.no_grant("there is no grant yet", settings=self.settings)
            return stored
        if self._wanted(session, stored, ask):
            stored = await self._import(session, stored, ref)
        await self._scrub(session, stored, ref)
        return stored

    async def _heal(self, session: Session, stored: Stored) -> Stored:
        """Write back what memory knows and the store lost: the Secret was deleted, or is an older copy."""
        mine = session.grant
        if mine is None or session.gone:
            return stored
        if stored.grant is not None and stored.grant.sequence >= mine.sequence:
            return stored
        if stored.secret is None and session.rejection is not None:
            session.drop()
            return stored
        self._insist_on_lease()
        if stored.grant is not None:
            session.say(_rolled_back(stored.grant.sequence, mine.sequence))
        audit.record(
            session.spec,
            who=session.holder,
            action="token.restore",
            outcome="Restored",
            sequence=mine.sequence,
        )
        draft = Draft(grant=mine, intent=stored.intent, rejection=session.rejection)
        return await self.store.write(session.spec, stored, draft)

    def _notice(self, session: Session, stored: Stored) -> None:
        """What is remarkable about a stored grant: it was rolled back, or written by another object."""
        grant = stored.grant
        if grant is None:
            return
        known = session.spec.known_sequence or 0
        if not session.loaded and grant.sequence < known:
            session.floor = known
            session.rollback_until = self.clock.monotonic() + self.settings.lock.total_seconds()
            session.say(_rolled_back(grant.sequence, known))
        if grant.uid != session.spec.uid:
            if session.sequence != grant.sequence:
                audit.record(
                    session.spec,
                    who=session.holder,
                    action="token.adopt",
                    outcome="Adopted",
                    sequence=grant.sequence,
                    key_id=stored.kid,
                    detail=f"written before by uid {grant.uid}",
                )
            session.say(
                GrantEvent(
                    "TokensAdopted", f"took over the tokens in Secret {session.spec.tokens_secret_name}"
                ),
                again_after=timedelta(days=3650),
            )

    def _wanted(self, session: Session, stored: Stored, ask: Ask) -> bool:
        if stored.grant is None:
            return True
        dead = stored.rejection is not None and (
            stored.rejection.final(session.spec.provider.probing)
            or stored.grant.refreshed_at is None
            or not session.usable
        )
        return dead or ask.trigger is Trigger.REQUESTED

    async def _import(self, session: Session, stored: Stored, ref: ImportRef) -> Stored:
        content = await self._content(session, stored, ref)
        if content is None or imports.is_known(content, stored.grant):
            if stored.grant is None:
                raise pauses.no_grant(
                    f"Secret {ref.name} of spec.importTokensFrom holds no tokens", settings=self.settings
                )
            return stored
        if stored.grant is not None and (
            lock := foreign_lock(session, stored, clock=self.clock, settings=self.settings)
        ):
            raise lock
        self._insist_on_lease()
        grant = self._grant(
            session, stored, content, scrub=ref.scrub and imports.written_back(content.secret) is None
        )
        written = await self.store.write(
            session.spec, stored, Draft(grant=grant, intent=stored.intent, rejection=None)
        )
        session.take(written)
        session.scrub_at = None
        self._announce(session, grant, content, ref)
        return written

    def _grant(self, session: Session, stored: Stored, content: ImportContent, *, scrub: bool) -> Grant:
        before = stored.grant.sequence if stored.grant is not None else 0
        return imports.imported(
            content,
            replaced=stored.grant,
            working=stored.rejection is None,
            uid=session.spec.uid,
            sequence=max(before, session.floor, session.spec.known_sequence or 0) + 1,
            memory_key=os.urandom(MEMORY_KEY_BYTES),
            jitter=self.rng.random(),
            scrub=scrub,
            now=self.clock.now(),
        )

    async def _content(self, session: Session, stored: Stored, ref: ImportRef) -> ImportContent | None:
        """What can be imported; None if nothing is there and a grant is."""
        try:
            secret = await self.secrets.get(session.spec.namespace, ref.name)
            return imports.parse(secret, now=self.clock.now())
        except NotFound:
            if stored.grant is not None:
                return None
            message = (
                f"Secret {session.spec.namespace}/{ref.name} of spec.importTokensFrom does not exist: "
                f"create it with the key {imports.REFRESH_TOKEN}"
            )
            raise pauses.secret_missing(message, settings=self.settings) from None
        except imports.ImportUnreadable as error:
            if stored.grant is not None:
                return None
            raise pauses.import_unreadable(str(error), settings=self.settings) from None

    def _announce(self, session: Session, grant: Grant, content: ImportContent, ref: ImportRef) -> None:
        session.records.append(
            RefreshRecord(grant.obtained_at, RefreshOutcome.IMPORTED, Trigger.IMPORT, timedelta())
        )
        session.say(GrantEvent("TokensImported", f"imported the tokens of Secret {ref.name}"))
        audit.record(
            session.spec,
            who=session.holder,
            action="token.import",
            outcome="Imported",
            sequence=grant.sequence,
            key_id=session.kid,
        )
        keeper = imports.written_back(content.secret)
        if ref.scrub and keeper is not None:
            message = (
                f"Secret {ref.name} still holds its tokens: {keeper}, which would write them back; "
                "remove them where they come from"
            )
            session.say(GrantEvent("ImportNotScrubbed", message))

    async def _scrub(self, session: Session, stored: Stored, ref: ImportRef) -> None:
        """Empty the Secret whose tokens are stored; a failure is tried again and stops nothing."""
        grant = stored.grant
        if grant is None or not grant.scrub or not ref.scrub:
            return
        if session.scrub_at is not None and self.clock.monotonic() < session.scrub_at:
            return
        try:
            secret = await self.secrets.get(session.spec.namespace, ref.name)
            content = imports.parse(secret, now=self.clock.now())
            if content is not None and grant.memory.knows(content.refresh_token):
                await self.secrets.empty_keys(secret, imports.SCRUBBED_KEYS)
                audit.record(
                    session.spec,
                    who=session.holder,
                    action="token.scrub",
                    outcome="Scrubbed",
                    sequence=grant.sequence,
                )
        except (NotFound, imports.ImportUnreadable):
            pass
        except (Conflict, KubeError) as error:
            logger.warning(
                "Secret %s/%s could not be emptied yet (%s)",
                session.spec.namespace,
                ref.name,
                type(error).__name__,
            )
            session.scrub_at = self.clock.monotonic() + self.settings.secret_poll.total_seconds()
            return
        session.scrub_at = float("inf")

    def _insist_on_lease(self) -> None:
        if not self.fence.holds():
            raise pauses.not_leading()


def _rolled_back(stored: int, known: int) -> GrantEvent:
    return GrantEvent(
        "TokenStoreRolledBack",
        f"the stored tokens have sequence {stored}, {known} was written before: was a backup restored?",
        warning=True,
    )
