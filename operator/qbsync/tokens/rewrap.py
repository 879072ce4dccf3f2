"""Re-encrypt token Secrets to the primary key, beside operators that refresh them at the same time.

Only the exact version that was read is replaced, so whoever writes in between wins and the newer tokens are
read again. An open intent is left alone: its holder has spent the token and is about to store the answer.
Only one that has stood unchanged for as long as an operator would wait (`patience`) is nobody's any more; it
is kept as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Final

from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.tokens import envelope
from qbsync.tokens.claim import LockWatch
from qbsync.tokens.custody import Examined, Owner, examine
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.store import ENVELOPE_KEY

_POLL: Final = timedelta(seconds=1)
_TRIES: Final = 10


class Outcome(StrEnum):
    """What became of one Secret."""

    REWRAPPED = "Rewrapped"
    WOULD_REWRAP = "WouldRewrap"
    CURRENT = "Current"
    """Encrypted with the primary key already."""
    BUSY = "Busy"
    """A refresh is under way: run it again."""
    GONE = "Gone"
    DOES_NOT_OPEN = "DoesNotOpen"


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """One Secret and what became of it."""

    namespace: str
    name: str
    connection: str
    outcome: Outcome
    was: str
    """Id of the key before."""
    message: str = ""

    @property
    def settled(self) -> bool:
        """Nothing is left to do for it."""
        return self.outcome not in (Outcome.BUSY, Outcome.DOES_NOT_OPEN, Outcome.WOULD_REWRAP)


class Rewrapper:
    """Lets every `KubeError` but `Conflict` and `NotFound` through: what was done until then stays done."""

    def __init__(
        self,
        *,
        secrets: SecretsApi,
        owners: Sequence[Owner],
        keyring: Keyring,
        clock: Clock,
        patience: timedelta,
        dry_run: bool = False,
    ) -> None:
        self._secrets, self._owners, self._keyring = secrets, owners, keyring
        self._clock, self._patience, self._dry_run = clock, patience, dry_run
        self._locks: dict[tuple[str, str], LockWatch] = {}

    async def run(self, found: Sequence[Secret], *, wait: timedelta) -> list[Rewrapped]:
        """Rewrap them all; come back to busy ones until `wait` is over."""
        results: dict[tuple[str, str], Rewrapped] = {}
        deadline = self._clock.monotonic() + wait.total_seconds()
        pending = [(secret.namespace, secret.name) for secret in found]
        while pending:
            for place in pending:
                results[place] = await self._one(*place)
            pending = [place for place in pending if results[place].outcome is Outcome.BUSY]
            if not pending or self._clock.monotonic() >= deadline:
                break
            await self._clock.sleep(_POLL)
        return list(results.values())

    async def _one(self, namespace: str, name: str) -> Rewrapped:
        looked: Examined | None = None
        for _ in range(_TRIES):
            try:
                secret = await self._secrets.get(namespace, name)
                looked = examine(secret, self._owners, self._keyring)
                return await self._settle(looked)
            except Conflict:
                continue
            except NotFound:
                return Rewrapped(namespace, name, "", Outcome.GONE, "")
        assert looked is not None
        return _result(looked, Outcome.BUSY, "it is being written by somebody else all the time")

    async def _settle(self, looked: Examined) -> Rewrapped:
        if not looked.text or (looked.problem is None and looked.kid == self._keyring.primary.kid):
            return _result(looked, Outcome.CURRENT)
        if looked.binding is None or looked.problem is not None:
            return _result(looked, Outcome.DOES_NOT_OPEN, looked.message)
        if not self._free(looked):
            message = "a refresh is under way, or was when its process died: run this again in a few minutes"
            return _result(looked, Outcome.BUSY, message)
        if self._dry_run:
            return _result(looked, Outcome.WOULD_REWRAP)
        fresh = envelope.rewrap(looked.text, binding=looked.binding, keyring=self._keyring)
        data = {**looked.secret.data, ENVELOPE_KEY: fresh.encode()}
        await self._secrets.replace(replace(looked.secret, data=data))
        return _result(looked, Outcome.REWRAPPED)

    def _free(self, looked: Examined) -> bool:
        if looked.intent is None:
            return True
        lock = self._locks.setdefault((looked.secret.namespace, looked.secret.name), LockWatch())
        return lock.abandoned(looked.intent, monotonic=self._clock.monotonic(), patience=self._patience)


def _result(looked: Examined, outcome: Outcome, message: str = "") -> Rewrapped:
    secret = looked.secret
    return Rewrapped(secret.namespace, secret.name, looked.connection, outcome, looked.kid, message)
