"""How a connection goes: not before the InvoiceSyncs that need it to void or delete, and with `Revoke` not silently.

Revoking ends everything that the app holds for the company, so it waits while another connection of this
cluster lives on the same company and app.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qbsync.api.connection import ConnectionDeletionPolicy, QuickBooksConnectionSpec
from qbsync.api.invoice import InvoiceDeletionPolicy
from qbsync.api.meta import FORCE_DELETE, IN_USE_FINALIZER, INVOICE_FINALIZER, REVOKE_FINALIZER, Kind
from qbsync.api.reasons import ConnectionReason
from qbsync.engine.announcer import Announcer
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.engine.store import ObjectStore, Snapshot
from qbsync.kube.errors import KubeError
from qbsync.kube.objects import ObjectsApi
from qbsync.kube.secrets import SecretsApi
from qbsync.quickbooks.errors import InvalidClient, QuickBooksError
from qbsync.tokens.credentials import CredentialsMissing, read_credentials
from qbsync.tokens.deposit import describe
from qbsync.tokens.errors import SecretConflict, TokenError
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.spec import GrantSpec
from qbsync.tokens.status import Verdict

logger = logging.getLogger(__name__)

AGAIN: Final = timedelta(seconds=15)
"""How soon a revocation that came to nothing is tried again."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Finalizers of connections, and what they stand for."""

    clock: Clock
    store: ObjectStore
    objects: ObjectsApi
    secrets: SecretsApi
    keeper: Keeper
    announcer: Announcer
    patience: timedelta
    """How long a deletion waits for a revocation that does not succeed."""
    terminating: Callable[[str], Awaitable[bool]]
    """Whether a namespace is being deleted."""

    async def prepare(self, snapshot: Snapshot, spec: QuickBooksConnectionSpec) -> bool:
        """Put on the finalizers that a living connection needs, take off the others; False if that failed."""
        wanted = {
            REVOKE_FINALIZER: spec.deletion_policy is ConnectionDeletionPolicy.REVOKE,
            IN_USE_FINALIZER: any(True for _ in self._users(snapshot.company)),
        }
        try:
            for finalizer, present in wanted.items():
                await self._set(snapshot, finalizer, present=present)
        except KubeError as error:
            logger.warning("finalizers of %s: %s", snapshot.key, error)
            return False
        return True

    def needs(self, snapshot: Snapshot) -> bool:
        """True if the connection is used by InvoiceSyncs in a way that its finalizer does not show yet."""
        return IN_USE_FINALIZER not in snapshot.finalizers and any(
            True for _ in self._users(snapshot.company)
        )

    async def users(self, snapshot: Snapshot) -> int:
        """For how many InvoiceSyncs a deleted connection stays.

        When its namespace goes, only for those that are on their way as well: the others may stay for ever.
        """
        if IN_USE_FINALIZER not in snapshot.finalizers or _forced(snapshot):
            return 0
        users = list(self._users(snapshot.company))
        if users and await self.terminating(snapshot.key.namespace):
            users = [user for user in users if user.deleting]
        return len(users)

    async def part(
        self, snapshot: Snapshot, grant: GrantSpec | None, rivals: Iterable[Snapshot]
    ) -> Verdict | None:
        """Carry out the deletion of a connection that no InvoiceSync needs; the verdict says what it waits for.

        `grant` None: the connection cannot be used, so there is nothing to be revoked with.
        """
        try:
            await self._set(snapshot, IN_USE_FINALIZER, present=False)
            if REVOKE_FINALIZER not in snapshot.finalizers:
                return None
            spec = QuickBooksConnectionSpec.model_validate(snapshot.spec)
            if spec.deletion_policy is ConnectionDeletionPolicy.REVOKE:
                waiting = await self._revoke(snapshot, grant, rivals)
                if waiting is not None:
                    return waiting
            await self._set(snapshot, REVOKE_FINALIZER, present=False)
        except KubeError as error:
            return Verdict(ConnectionReason.STORE_FAILING, f"the deletion waits: {describe(error)}")
        return None

    # -- revoking ------------------------------------------------------------------------------------------

    async def _revoke(
        self, snapshot: Snapshot, grant: GrantSpec | None, rivals: Iterable[Snapshot]
    ) -> Verdict | None:
        if _forced(snapshot):
            self._release(snapshot, "a person asked for it (qbsync.dev/force-delete)")
            return None
        if grant is None:
            self._release(snapshot, "its endpoints or its namespace are refused, see the operator's flags")
            return None
        hindrance = await self._in_the_way(snapshot, rivals) or await self._ended(snapshot, grant)
        if hindrance is None:
            return None
        if await self._patient(snapshot):
            return Verdict(hindrance.reason, f"the deletion waits: {hindrance.message}")
        self._release(snapshot, hindrance.message)
        return None

    async def _ended(self, snapshot: Snapshot, grant: GrantSpec) -> Verdict | None:
        try:
            existed = await self.keeper.revoke(grant)
        except CredentialsMissing as error:
            return Verdict(ConnectionReason.SECRET_NOT_FOUND, str(error))
        except SecretConflict as error:
            return Verdict(ConnectionReason.SECRET_CONFLICT, str(error))
        except TokenError as error:
            return Verdict(ConnectionReason.DECRYPTION_FAILED, str(error))
        except InvalidClient as error:
            return Verdict(ConnectionReason.CREDENTIALS_REJECTED, str(error))
        except QuickBooksError as error:
            return Verdict(ConnectionReason.PROVIDER_UNAVAILABLE, f"the grant is not revoked yet: {error}")
        if existed:
            self.announcer.normal(snapshot, "TokensRevoked", "the grant was revoked and its Secret deleted")
        return None

    async def _in_the_way(self, snapshot: Snapshot, rivals: Iterable[Snapshot]) -> Verdict | None:
        """Another connection that the revocation would take down as well."""
        for rival in rivals:
            if not await self._same_app(snapshot, rival):
                continue
            message = (
                f"revoking would also end the grant of {rival.key.namespace}/{rival.key.name}, a connection of the "
                "same company and app: delete that one as well, or set deletionPolicy to Retain here"
            )
            return Verdict(ConnectionReason.REALM_CONFLICT, message)
        return None

    async def _same_app(self, one: Snapshot, other: Snapshot) -> bool:
        """True also where that cannot be told."""
        ids = []
        for snapshot in (one, other):
            name = snapshot.spec["clientSecretRef"]["name"]
            try:
                client = await read_credentials(self.secrets, namespace=snapshot.key.namespace, name=name)
            except (KubeError, CredentialsMissing):
                return True
            ids.append(client.client_id)
        return ids[0] == ids[1]

    async def _patient(self, snapshot: Snapshot) -> bool:
        asked = datetime.fromisoformat(snapshot.metadata["deletionTimestamp"])
        if self.clock.now() - asked >= self.patience:
            return False
        # The Secrets of a namespace that goes do not come back.
        return not await self.terminating(snapshot.key.namespace)

    def _release(self, snapshot: Snapshot, why: str) -> None:
        self.announcer.warning(
            snapshot, "ReleasedWithoutRevoke", f"deleted, and its grant was not revoked at Intuit: {why}"
        )

    # -- objects -------------------------------------------------------------------------------------------

    def _users(self, company: Company) -> Iterable[Snapshot]:
        for snapshot in self.store.members(company, Kind.INVOICE):
            retains = snapshot.spec.get("deletionPolicy", "Retain") == InvoiceDeletionPolicy.RETAIN
            if not retains and (not snapshot.deleting or INVOICE_FINALIZER in snapshot.finalizers):
                yield snapshot

    async def _set(self, snapshot: Snapshot, finalizer: str, *, present: bool) -> None:
        if (finalizer in snapshot.finalizers) == present:
            return
        key = snapshot.key
        body = await self.objects.set_finalizer(
            key.kind, key.namespace, key.name, key.uid, finalizer, present=present
        )
        if body["metadata"].get("finalizers") or not snapshot.deleting:
            self.store.learned(key.kind, body)


def _forced(snapshot: Snapshot) -> bool:
    return snapshot.annotations.get(FORCE_DELETE) == "true"
