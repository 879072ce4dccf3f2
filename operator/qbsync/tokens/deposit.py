"""Step 5: what was learnt from the provider is written until it is stored, however long that takes.

A conflict never discards an answer: the newest state is read and the change applied to it. The loop ends
only when the change is stored, no longer applies, or the process ends.
"""

import logging
import random
import traceback
from collections.abc import Callable
from pathlib import Path

from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.tokens import changes, schedule
from qbsync.tokens.claim import Intent
from qbsync.tokens.errors import TokenError
from qbsync.tokens.grant import Grant
from qbsync.tokens.session import Session
from qbsync.tokens.spec import GrantSpec
from qbsync.tokens.spool import Spool, SpooledAnswer, SpoolPlace
from qbsync.tokens.store import Draft, Stored, TokenStore

logger = logging.getLogger(__name__)

Change = Callable[[Stored], Draft | None]
"""What shall stand in the place of that state; None: leave it as it is."""
Stalled = Callable[[Session], None]
"""Called when the first try failed: those who wait for the flight are told why it takes longer."""

_QUICK_TRIES = 5


class Depositor:
    """Applies a change to a token Secret until it is there."""

    def __init__(
        self,
        *,
        store: TokenStore,
        spool: Spool,
        clock: Clock,
        rng: random.Random,
        on_stall: Stalled = lambda _: None,
    ) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._rng = rng
        self._on_stall = on_stall

    async def keep(self, session: Session, stored: Stored, fresh: Grant, *, mine: Intent) -> Stored:
        """An answer: into the spool at once, into the Secret for as long as that takes, out of the spool.

        `mine` is the intent it was asked for with. Returns what is stored afterwards.
        """
        spooled = self.keep_aside(session.spec, fresh, mine=mine)

        def change(stored: Stored) -> Draft | None:
            return changes.deposit(stored, fresh, mine=mine, floor=session.floor, gone=session.gone)

        kept = await self.settle(session, stored, change)
        self.drop(spooled)
        return kept

    def keep_aside(self, spec: GrantSpec, fresh: Grant, *, mine: Intent) -> SpooledAnswer | None:
        """Into the spool only: a process that dies before `keep` leaves the answer there. None: there is none."""
        if not self._spool.usable:
            return None
        place_ = SpoolPlace.of(spec)
        spooled = SpooledAnswer(place_, mine, self._store.seal(place_, fresh))
        self._spool.keep(spooled)
        return spooled

    def drop(self, spooled: SpooledAnswer | None) -> None:
        """Out of the spool: it is stored, or not to be kept."""
        if spooled is not None:
            self._spool.discard(spooled)

    async def settle(self, session: Session, stored: Stored | None, change: Change) -> Stored:
        """Write `change(newest state)`; starts from `stored` if given, else reads first.

        Returns what is stored afterwards. Raises nothing but cancellation.
        """
        tries = 0
        while True:
            trouble: str | None = None
            try:
                if stored is None:
                    stored = await self._store.read(session.spec)
                draft = change(stored)
                if draft is not None:
                    stored = await self._store.write(session.spec, stored, draft)
            except (Conflict, NotFound):
                trouble = "it is being written by somebody else" if tries >= _QUICK_TRIES else None
            except (KubeError, TokenError) as error:
                trouble = describe(error)
            except Exception as error:  # an answer in memory outlives even our own mistakes
                trouble = place(error)
            else:
                session.stalled = None
                session.stall.clear()
                return stored
            tries, stored = tries + 1, None
            await self._wait(session, tries, trouble)

    async def _wait(self, session: Session, tries: int, trouble: str | None) -> None:
        if trouble is None:
            return
        first = session.stalled is None
        session.stalled = trouble
        session.stall.set()
        if first:
            logger.error("tokens of %s/%s are in memory and cannot be stored: %s", *session.spec.key, trouble)
            self._on_stall(session)
        await self._clock.sleep(schedule.STORE_BACKOFF.delay(tries, self._rng))


def place(error: Exception) -> str:
    """An unforeseen error by kind and place: its own words might quote what it failed on."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"internal error {type(error).__name__}{where}: please report it"


def describe(error: Exception) -> str:
    """An error of the store in words that show no content of a Secret."""
    if isinstance(error, KubeError):
        status = f" {error.status}" if error.status is not None else ""
        hint = (
            ": the operator's RBAC must allow get, create and update of Secrets"
            if error.status == 403
            else ""
        )
        return f"Kubernetes API: {type(error).__name__}{status}{hint}"
    return str(error)
