"""Everything a keeper needs, in memory: clock, Secrets, token endpoint, keys; and short words for tests."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from fakes.clock import FakeClock, settle
from fakes.secrets import FakeSecrets
from qbsync.engine.breaker import BreakerSettings, Circuits
from qbsync.kube.secrets import Secret
from qbsync.quickbooks.oauth import QUICKBOOKS_SANDBOX, OAuthClient
from qbsync.tokens import authorization, envelope
from qbsync.tokens.exchange import Inspect, trusting
from qbsync.tokens.grant import Grant
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import GrantSpec, ImportRef, KeeperSettings, Trigger, default_secret_name
from qbsync.tokens.spool import Spool
from unit.tokens.endpoint import CLIENT, TokenEndpoint

NAMESPACE = "billing"
KEYS = {"ENCRYPTION_MASTER_KEY": "base64:" + "A" * 43 + "="}
TOKENS = "acme-qbsync-tokens"
IMPORT = "acme-import"
APP = "acme-app"
FIRST = "RT-0-first"

SPEC = GrantSpec(
    namespace=NAMESPACE,
    name="acme",
    uid="uid-of-acme",
    realm="9341453908123456",
    environment="Sandbox",
    provider=QUICKBOOKS_SANDBOX,
    client_secret_name=APP,
    tokens_secret_name=default_secret_name("acme"),
    import_ref=ImportRef(IMPORT),
)

T = TypeVar("T")


@dataclass
class Lease:
    """A fence that tests open and close."""

    held: bool = True

    def holds(self) -> bool:
        return self.held


class World:
    """One cluster, one company, and as many operator processes as a test wants."""

    def __init__(self, *, seed: int = 7, env: dict[str, str] | None = None) -> None:
        self.clock = FakeClock()
        self.secrets = FakeSecrets()
        self.endpoint = TokenEndpoint(self.clock)
        self.keyring = Keyring.from_environment(env or KEYS)
        self.fence = Lease()
        self.changed: list[GrantSpec] = []
        self.abandoned: list[Grant] = []
        self.spec = SPEC
        self._rng = random.Random(seed)
        self._processes = 0
        self.set_client(*CLIENT)

    def keeper(
        self,
        *,
        fence: Lease | None = None,
        clock: FakeClock | None = None,
        secrets: FakeSecrets | None = None,
        settings: KeeperSettings | None = None,
        circuits: Circuits | None = None,
        spool: Path | None = None,
        keyring: Keyring | None = None,
        oauth: OAuthClient | None = None,
        inspect: Inspect = trusting,
    ) -> Keeper:
        """A new operator process."""
        self._processes += 1
        return Keeper(
            secrets=secrets or self.secrets,
            oauth=oauth or OAuthClient(transport=self.endpoint),
            keyring=keyring or self.keyring,
            clock=clock or self.clock,
            rng=random.Random(self._rng.random()),
            fence=fence or self.fence,
            process_id=f"process-{self._processes}",
            settings=settings,
            circuits=circuits,
            spool=Spool(spool),
            on_change=self.changed.append,
            on_abandoned=lambda _, grant: self.abandoned.append(grant),
            inspect=inspect,
        )

    async def started(self, **more: Any) -> Keeper:
        """A process that has imported and refreshed the first tokens; the records of that are collected."""
        self.set_import()
        keeper = self.keeper(**more)
        health = await keeper.ensure(self.spec)
        assert health.usable, health.message
        return keeper

    def never_opens(self) -> Circuits:
        """Circuits that get in nobody's way."""
        return Circuits(clock=self.clock, rng=self._rng, settings=BreakerSettings(minimum_calls=10**6))

    def set_client(self, client_id: str, client_secret: str) -> None:
        data = {"client_id": client_id.encode(), "client_secret": client_secret.encode() + b"\n"}
        self.secrets.put(Secret(NAMESPACE, APP, data=data))

    def set_import(self, refresh_token: str = FIRST, **more: Any) -> Secret:
        keys = {key: str(value).encode() for key, value in more.pop("keys", {}).items()}
        data = {"refresh_token": refresh_token.encode(), **keys}
        return self.secrets.put(Secret(NAMESPACE, IMPORT, data=data, **more))

    def hand_over(self, code: str, *, realm: str | None = None) -> Secret:
        """What a person's consent leaves for the operator."""
        content = {
            authorization.CODE: code,
            authorization.REALM_ID: realm or self.spec.realm,
            authorization.REDIRECT_URI: "https://console.example.com/callback",
        }
        return self.secrets.put(
            Secret(
                NAMESPACE,
                authorization.secret_name(self.spec.name),
                type=authorization.SECRET_TYPE,
                data={key: value.encode() for key, value in content.items()},
                annotations={authorization.AUTHORIZED_AT: self.clock.now().isoformat()},
            )
        )

    def code_secret(self) -> Secret | None:
        """The Secret with the code, if it is still there."""
        return self.secrets.peek(NAMESPACE, authorization.secret_name(self.spec.name))

    def stored(self) -> Secret:
        """The token Secret; it has to be there."""
        secret = self.secrets.peek(NAMESPACE, TOKENS)
        assert secret is not None
        return secret

    def grant(self) -> Grant:
        """What the token Secret holds."""
        text = self.stored().data["envelope"].decode()
        return envelope.open(text, binding=self.spec.binding, keyring=self.keyring)

    def rewrite(self, **changes: Any) -> None:
        """Change the stored grant behind the keeper's back."""
        text = envelope.seal(
            replace(self.grant(), **changes), binding=self.spec.binding, keyring=self.keyring
        )
        self.secrets.put(replace(self.stored(), data={"envelope": text.encode()}))

    def intent(self) -> str | None:
        return self.stored().annotations.get("qbsync.dev/refresh-intent")

    def sent(self) -> list[str]:
        """The refresh tokens that were sent, in order."""
        return [send.token for send in self.endpoint.sends]

    async def advance(self, **duration: float) -> None:
        await self.clock.advance(timedelta(**duration))

    async def run(self, work: Coroutine[Any, Any, T], *, within: float = 600.0, step: float = 1.0) -> T:
        """Await `work`, moving the clock while it waits."""
        task = asyncio.ensure_future(work)
        await settle()
        passed = 0.0
        while not task.done() and passed < within:
            await self.clock.advance(timedelta(seconds=step))
            passed += step
        assert task.done(), "still waiting"
        return await task

    async def until(self, moment: datetime) -> None:
        await self.clock.advance(max(moment - self.clock.now(), timedelta()))


def outcomes(health: GrantHealth) -> list[RefreshOutcome]:
    return [record.outcome for record in health.records]


def events(health: GrantHealth) -> list[str]:
    return [event.reason for event in health.events]


def requested(spec: GrantSpec, value: str) -> tuple[GrantSpec, dict[str, Any]]:
    """What `ensure` gets when somebody sets the annotation requested-at."""
    return replace(spec, requested_at=value), {"force": True, "trigger": Trigger.REQUESTED}
