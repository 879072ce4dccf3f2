"""Secrets in memory, with an API server's own rules: versions, conflicts, immutable types, lost answers."""

import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from qbsync.kube.errors import Conflict, Invalid, KubeError, NotFound, Unavailable
from qbsync.kube.secrets import Secret

Hook = Callable[[str, str], Awaitable[None]]
"""Gets the verb and the Secret's name: a place to interleave, to wait, or to meddle."""


@dataclass(slots=True)
class Fault:
    """The next `times` matching calls fail; with `applied`, after they took effect (the answer was lost)."""

    error: KubeError
    verbs: frozenset[str]
    times: int
    applied: bool = False


class FakeSecrets:
    """`kube.secrets.SecretsApi` without a cluster."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], Secret] = {}
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._faults: list[Fault] = []
        self.calls: list[tuple[str, str]] = []
        """Verb and name of every call, in order."""
        self.outage: KubeError | None = None
        """While set, every call fails with it."""
        self.before: Hook | None = None
        """Awaited when a call arrives, before it takes effect."""
        self.after: Hook | None = None
        """Awaited after it took effect, before the caller knows."""

    # What tests do to it.

    def put(self, secret: Secret) -> Secret:
        """Create or overwrite, as somebody else would, without conditions."""
        old = self._items.get((secret.namespace, secret.name))
        return self._keep(replace(secret, uid=old.uid if old is not None else self._uid()))

    def peek(self, namespace: str, name: str) -> Secret | None:
        """What is there now."""
        return self._items.get((namespace, name))

    def delete(self, namespace: str, name: str) -> None:
        """Remove it, as somebody else would."""
        self._items.pop((namespace, name), None)

    def touch(self, namespace: str, name: str) -> Secret:
        """Move its version on without another change."""
        return self._keep(self._items[namespace, name])

    def fail(
        self, *verbs: str, error: KubeError | None = None, times: int = 1, applied: bool = False
    ) -> None:
        """Let the next calls of these verbs (all, if none is given) fail."""
        chosen = frozenset(verbs or ("get", "create", "replace", "empty_keys"))
        self._faults.append(Fault(error or Unavailable("no answer"), chosen, times, applied))

    def count(self, verb: str, name: str | None = None) -> int:
        """How often a verb was called, on one Secret or on all."""
        return sum(called == verb and name in (None, target) for called, target in self.calls)

    # SecretsApi.

    async def get(self, namespace: str, name: str) -> Secret:
        lost = await self._arrive("get", name)
        found = self._existing(namespace, name)
        await self._answer("get", name, lost)
        return found

    async def create(self, secret: Secret) -> Secret:
        lost = await self._arrive("create", secret.name)
        if (secret.namespace, secret.name) in self._items:
            raise Conflict("already exists", status=409)
        created = self._keep(replace(secret, uid=self._uid()))
        await self._answer("create", secret.name, lost)
        return created

    async def replace(self, secret: Secret) -> Secret:
        lost = await self._arrive("replace", secret.name)
        current = self._same_version(secret)
        if current.type != secret.type:
            raise Invalid("type: field is immutable", status=422)
        written = self._keep(secret)
        await self._answer("replace", secret.name, lost)
        return written

    async def empty_keys(self, secret: Secret, keys: Sequence[str]) -> Secret:
        lost = await self._arrive("empty_keys", secret.name)
        current = self._same_version(secret)
        emptied = {key: b"" for key in keys if key in current.data}
        written = self._keep(replace(current, data={**current.data, **emptied}))
        await self._answer("empty_keys", secret.name, lost)
        return written

    async def remove(self, secret: Secret) -> None:
        lost = await self._arrive("remove", secret.name)
        self._same_version(secret)
        self.delete(secret.namespace, secret.name)
        await self._answer("remove", secret.name, lost)

    async def _arrive(self, verb: str, name: str) -> Fault | None:
        """The call reaches the server, or fails before; returns the fault that will swallow its answer."""
        self.calls.append((verb, name))
        if self.before is not None:
            await self.before(verb, name)
        if self.outage is not None:
            raise self.outage
        fault = next((fault for fault in self._faults if verb in fault.verbs and fault.times > 0), None)
        if fault is None:
            return None
        fault.times -= 1
        if not fault.applied:
            raise fault.error
        return fault

    async def _answer(self, verb: str, name: str, lost: Fault | None) -> None:
        if self.after is not None:
            await self.after(verb, name)
        if lost is not None:
            raise lost.error

    def _existing(self, namespace: str, name: str) -> Secret:
        found = self._items.get((namespace, name))
        if found is None:
            raise NotFound("not found", status=404)
        return found

    def _same_version(self, secret: Secret) -> Secret:
        current = self._existing(secret.namespace, secret.name)
        if (current.resource_version, current.uid) != (secret.resource_version, secret.uid):
            raise Conflict("the object has been modified", status=409)
        return current

    def _keep(self, secret: Secret) -> Secret:
        kept = replace(secret, resource_version=str(next(self._versions)))
        self._items[kept.namespace, kept.name] = kept
        return kept

    def _uid(self) -> str:
        return f"uid-{next(self._uids)}"
