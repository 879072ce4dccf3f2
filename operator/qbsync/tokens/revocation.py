"""Ending a grant at the provider: one that nobody keeps, or whose connection is deleted."""

import logging
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.kube.errors import KubeError
from qbsync.kube.secrets import SecretsApi
from qbsync.quickbooks import errors as quickbooks
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.tokens import audit, credentials
from qbsync.tokens.spec import GrantSpec, KeeperSettings

logger = logging.getLogger(__name__)

_REVOCATIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Revoker:
    """Tells the provider, and the audit."""

    secrets: SecretsApi
    oauth: OAuthClient
    clock: Clock
    rng: random.Random
    settings: KeeperSettings
    _backoff: Backoff = field(
        default_factory=lambda: Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=8))
    )

    async def revoke(self, spec: GrantSpec, token: SecretStr, *, who: str, why: str) -> bool:
        """End a grant that nobody keeps; False if the provider could not be told within a few tries."""
        for attempt in range(1, _REVOCATIONS + 1):
            try:
                await self.end(spec, token, who=who, why=why)
            except (quickbooks.QuickBooksError, KubeError, credentials.CredentialsMissing) as error:
                logger.info("revocation of a grant of %s/%s: %s", *spec.key, type(error).__name__)
                await self.clock.sleep(self._backoff.delay(attempt, self.rng))
            else:
                return True
        audit.record(spec, who=who, action="token.revoke", outcome="Failed", detail=why)
        return False

    async def end(self, spec: GrantSpec, token: SecretStr, *, who: str, why: str) -> None:
        """End a grant at the provider, with one try; a token that it does not know has ended before.

        Raises `CredentialsMissing`, a `QuickBooksError` or a `KubeError`.
        """
        client = await credentials.read_credentials(
            self.secrets, namespace=spec.namespace, name=spec.client_secret_name
        )
        outcome, tid = "Revoked", None
        try:
            tid = await self.oauth.revoke(
                provider=spec.provider, credentials=client, token=token, timeout=self.settings.token_timeout
            )
        except (quickbooks.TokenRequestRefused, quickbooks.InvalidGrant) as error:
            outcome, tid = "NotKnown", error.intuit_tid
        audit.record(spec, who=who, action="token.revoke", outcome=outcome, intuit_tid=tid, detail=why)
