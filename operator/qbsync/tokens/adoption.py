"""A grant moves to another connection name: opened with the old binding, sealed with the new one.

It moves, it is not copied: two holders of one refresh token end the grant, as soon as one of them sends a
value that the other has replaced. So

1. the source's connection must not exist (an operator would go on using what it has in memory);
2. an open intent on either side is waited for, as an operator would: until it closes, or was seen unchanged
   for `patience`;
3. the source is locked with an intent of ours, over exactly the version read: every operator respects it;
4. the target is written, over exactly the version read;
5. only then the source is deleted, in exactly the version that we locked.

Killed in between, a second run finds the same grant on both sides and finishes the last step.
"""

import secrets as random_source
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.tokens import claim
from qbsync.tokens.claim import LockWatch
from qbsync.tokens.custody import Owner, describe, examine, owner_of
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.errors import SecretConflict
from qbsync.tokens.grant import Grant
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import default_secret_name, label_value
from qbsync.tokens.store import CONNECTION_LABEL, SECRET_TYPE, Draft, Stored, TokenStore

_POLL: Final = timedelta(seconds=1)
_HOLDER: Final = "adopt-"


class AdoptionDesk(SecretsApi, Protocol):
    """What adoption needs of the cluster. All methods raise a `KubeError`."""

    async def secrets_of_type(self, type_: str, namespaces: Sequence[str] = ()) -> list[Secret]: ...

    async def connections(self, namespaces: Sequence[str] = ()) -> list[dict[str, Any]]: ...

    async def delete(self, secret: Secret) -> None: ...


class AdoptionRefused(Exception):
    """It was not done, or not to the end; `str()` says what to do."""


class Adopted(StrEnum):
    """What was done."""

    MOVED = "Moved"
    FINISHED = "Finished"
    """An earlier run had stored the target; the source is deleted now."""
    WOULD_MOVE = "WouldMove"


@dataclass(frozen=True, slots=True)
class Name:
    """Of a connection."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was done, for people."""

    what: Adopted
    source: str
    """Namespace and name of the Secret."""
    target: str
    waits_for_connection: bool
    """There is no connection of the new name yet."""
    refused_before: bool
    """Intuit refused this grant when it was last used."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A token Secret with what its envelope is bound to (`spec.Place`)."""

    binding: EnvelopeBinding
    tokens_secret_name: str
    uid: str = ""

    @property
    def namespace(self) -> str:
        return self.binding.namespace

    @property
    def name(self) -> str:
        return self.binding.name

    @property
    def realm(self) -> str:
        return self.binding.realm

    @property
    def where(self) -> str:
        """Namespace and name of the Secret."""
        return f"{self.namespace}/{self.tokens_secret_name}"


class Adopter:
    """Moves grants. Raises `AdoptionRefused`, or a `KubeError`."""

    def __init__(
        self, *, desk: AdoptionDesk, keyring: Keyring, clock: Clock, patience: timedelta, wait: timedelta
    ) -> None:
        self._desk, self._keyring, self._clock = desk, keyring, clock
        self._patience, self._wait = patience, wait
        self._store = TokenStore(secrets=desk, keyring=keyring, clock=clock)
        self._holder = f"{_HOLDER}{random_source.token_hex(8)}"

    async def adopt(
        self,
        source: Name,
        target: Name,
        *,
        source_secret: str | None = None,
        replace_grant: bool = False,
        dry_run: bool = False,
    ) -> Adoption:
        """Move the grant of `source` to `target`, which may exist already or be applied later.

        `source_secret` decides where several Secrets stand for the source. `replace_grant`: what the target
        holds is given up for it.
        """
        if source == target:
            raise AdoptionRefused("--from and --to are the same connection: nothing to do")
        held = await self._source(source, source_secret)
        owner = await self._owner(target)
        goal = _goal(held, target, owner)
        before, there = await self._quiet(held), await self._quiet(goal)
        if before.grant is None:
            raise AdoptionRefused(f"Secret {held.where} holds no tokens any more")
        done = there.grant is not None and _same_family(before.grant, there.grant)
        if there.grant is not None and not done and not replace_grant:
            raise AdoptionRefused(
                f"{target} has a grant of its own in Secret {goal.where}: "
                "say --replace if that one may be given up"
            )
        if there.unopened is not None and not replace_grant:
            raise AdoptionRefused(
                f"Secret {goal.where}: {there.unopened}; say --replace if it may be given up"
            )
        stored_already = done and there.grant is not None and there.grant.sequence > before.grant.sequence
        if not dry_run and stored_already:
            await self._remove(held, before)
        elif not dry_run:
            await self._move(held, before, goal, there, least=owner.sequence if owner is not None else 0)
        return Adoption(
            what=Adopted.WOULD_MOVE if dry_run else Adopted.FINISHED if stored_already else Adopted.MOVED,
            source=held.where,
            target=goal.where,
            waits_for_connection=owner is None,
            refused_before=before.rejection is not None,
        )

    async def _move(self, held: Holding, before: Stored, goal: Holding, there: Stored, *, least: int) -> None:
        """Steps 3 to 5. `least`: the highest sequence that the target's status tells of."""
        locked = await self._lock(held, before)
        grant = locked.grant
        assert grant is not None
        try:
            await self._insist_on_absence(Name(held.namespace, held.name))
            stored = there.grant.sequence if there.grant is not None else 0
            # Above all that the target's operator has seen: else it would take it for a restored backup.
            sequence = max(grant.sequence, stored, least) + 1
            rejection = locked.rejection
            draft = Draft(
                replace(grant, sequence=sequence),
                rejection=replace(rejection, sequence=sequence) if rejection is not None else None,
            )
            await self._store.write(goal, there, draft)
        except (Conflict, NotFound):
            await self._unlock(held, locked)
            raise AdoptionRefused(f"Secret {goal.where} was written meanwhile: run it again") from None
        except (KubeError, AdoptionRefused):
            await self._unlock(held, locked)
            raise
        await self._remove(held, locked)

    async def _lock(self, held: Holding, before: Stored) -> Stored:
        assert before.grant is not None
        intent = claim.claim(before.grant, before.intent, holder=self._holder, now=self._clock.now())
        try:
            return await self._store.write(held, before, Draft(before.grant, intent, before.rejection))
        except (Conflict, NotFound):
            raise AdoptionRefused(f"Secret {held.where} was written meanwhile: run it again") from None

    async def _unlock(self, held: Holding, locked: Stored) -> None:
        assert locked.grant is not None
        await self._store.write(held, locked, Draft(locked.grant, rejection=locked.rejection))

    async def _remove(self, held: Holding, stored: Stored) -> None:
        assert stored.secret is not None
        try:
            await self._desk.delete(stored.secret)
        except NotFound:
            return
        except Conflict:
            raise AdoptionRefused(
                f"the grant is stored in its new place, but Secret {held.where} was written meanwhile and still "
                "stands: see who uses it, then delete it; a refresh token has one user"
            ) from None

    async def _source(self, source: Name, secret_name: str | None) -> Holding:
        """The Secret of a connection that does not exist, opened."""
        await self._insist_on_absence(source)
        found = [
            secret
            for secret in await self._desk.secrets_of_type(SECRET_TYPE, (source.namespace,))
            if secret.labels.get(CONNECTION_LABEL) == label_value(source.name)
            and secret_name in (None, secret.name)
        ]
        if not found:
            raise AdoptionRefused(f"there is no token Secret of connection {source}")
        if len(found) > 1:
            names = ", ".join(sorted(secret.name for secret in found))
            raise AdoptionRefused(
                f"several Secrets hold tokens of {source}: choose with --from-secret ({names})"
            )
        looked = examine(found[0], (), self._keyring)
        if looked.binding is None or looked.problem is not None:
            raise AdoptionRefused(f"Secret {looked.where}: {looked.message}")
        return Holding(looked.binding, looked.secret.name)

    async def _insist_on_absence(self, source: Name) -> None:
        owner = await self._owner(source)
        if owner is None:
            return
        first = (
            "its deletionPolicy is Revoke, so set Retain first, then delete it"
            if owner.revokes
            else "delete it first, its tokens stay"
        )
        raise AdoptionRefused(
            f"connection {source} exists, and two connections must not use one grant: {first}"
        )

    async def _owner(self, name: Name) -> Owner | None:
        owners = [owner_of(body) for body in await self._desk.connections((name.namespace,))]
        return next((owner for owner in owners if owner.binding.name == name.name), None)

    async def _quiet(self, holding: Holding) -> Stored:
        """The state once nobody is at work on it, or whoever was has been silent for long enough."""
        lock, deadline = LockWatch(), self._clock.monotonic() + self._wait.total_seconds()
        while True:
            try:
                stored = await self._store.read(holding)
            except SecretConflict as error:
                raise AdoptionRefused(str(error)) from None
            now = self._clock.monotonic()
            intent = stored.intent
            # An adoption before this one sends nothing: who writes first goes on.
            if intent is None or intent.holder.startswith(_HOLDER):
                return stored
            if lock.abandoned(intent, monotonic=now, patience=self._patience):
                return stored
            if now >= deadline:
                raise AdoptionRefused(
                    f"a refresh of {holding.where} is under way (since {intent.time or 'an unknown time'}): "
                    "run it again in a few minutes"
                )
            await self._clock.sleep(_POLL)


def _goal(held: Holding, target: Name, owner: Owner | None) -> Holding:
    """Where the grant goes; raises `AdoptionRefused` if it cannot serve there."""
    moved = replace(held.binding, namespace=target.namespace, name=target.name)
    if owner is None:
        return Holding(moved, default_secret_name(target.name))
    if moved != owner.binding:
        raise AdoptionRefused(
            f"the grant is one of {describe(held.binding)}, the connection is {describe(owner.binding)}: "
            "realm, environment and endpoint must be the same"
        )
    return Holding(owner.binding, owner.secret_name)


def _same_family(one: Grant, other: Grant) -> bool:
    """The key with which imports are remembered is drawn once per grant, and goes with it."""
    return one.memory.key == other.memory.key
