"""What has to be so before a refresh token is spent; everything that forbids it raises `Paused`."""

from dataclasses import dataclass
from datetime import timedelta

from qbsync.engine.breaker import Circuits, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.kube.secrets import SecretsApi
from qbsync.quickbooks.oauth import ClientCredentials
from qbsync.tokens import credentials, pauses, schedule
from qbsync.tokens.grant import Grant
from qbsync.tokens.intake import foreign_lock
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.session import Ask, Session
from qbsync.tokens.spec import GrantSpec, KeeperSettings, Trigger
from qbsync.tokens.store import Stored


@dataclass(frozen=True, slots=True)
class Conditions:
    """Asked in every round of the protocol, right before the claim."""

    secrets: SecretsApi
    circuits: Circuits
    clock: Clock
    settings: KeeperSettings

    async def credentials(self, session: Session) -> ClientCredentials:
        """The app's, read anew before every call: that is how a correction is picked up at once."""
        spec = session.spec
        try:
            return await credentials.read_credentials(
                self.secrets, namespace=spec.namespace, name=spec.client_secret_name
            )
        except credentials.CredentialsMissing as error:
            raise pauses.secret_missing(str(error), settings=self.settings) from None

    def check(
        self, session: Session, stored: Stored, grant: Grant, client: ClientCredentials, ask: Ask
    ) -> None:
        """Everything that forbids spending the token now; raises `Paused`."""
        if lock := foreign_lock(session, stored, clock=self.clock, settings=self.settings):
            raise lock
        self._check_spent(session, grant)
        if (wait := self.circuits.of(Company(*session.spec.key), Endpoint.TOKEN).retry_in()) is not None:
            raise pauses.circuit_open(wait)
        identity = grant.memory.fingerprint(credentials.identity(client))
        asked = ask.trigger is Trigger.REQUESTED and session.request is not None
        self._check_client(session, identity, asked=asked)
        if session.rejection is not None and not asked and session.rejection.client == identity:
            self._check_probe(session.spec, grant, session.rejection)

    def _check_spent(self, session: Session, grant: Grant) -> None:
        now = self.clock.monotonic()
        if now < session.rollback_until:
            raise pauses.rolled_back(timedelta(seconds=session.rollback_until - now))
        spent = session.spent
        if spent is not None and spent.is_of(grant) and now < spent.until:
            raise pauses.perhaps_spent(timedelta(seconds=spent.until - now))

    def _check_client(self, session: Session, identity: str, *, asked: bool) -> None:
        refused = session.refused_client
        if refused is None or asked or refused.identity != identity:
            return
        if self.clock.monotonic() < refused.until:
            raise pauses.client_refused(session.spec, settings=self.settings)

    def _check_probe(self, spec: GrantSpec, grant: Grant, rejection: Rejection) -> None:
        due = schedule.next_probe(rejection, grant.refresh_ends_at, probing=spec.provider.probing)
        if due is None or self.clock.now() < due:
            raise pauses.grant_refused(spec, grant, rejection, now=self.clock.now(), settings=self.settings)
