"""The keeper against a simulator in its own process, over HTTP."""

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.secrets import FakeSecrets
from fixtures.simulator_server import RunningSimulator
from qbsync.api.reasons import ConnectionReason
from qbsync.engine.clock import SystemClock
from qbsync.kube.secrets import Secret
from qbsync.quickbooks.oauth import QUICKBOOKS_SANDBOX, OAuthClient, Provider
from qbsync.quickbooks.transport import HttpTransport
from qbsync.tokens.health import RefreshOutcome
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import GrantSpec, ImportRef, KeeperSettings, Trigger, default_secret_name

SETTINGS = KeeperSettings(token_timeout=timedelta(seconds=2), server_timeout=timedelta(seconds=2))


class AlwaysLeading:
    def holds(self) -> bool:
        return True


class Scene:
    """One connection to one simulated company."""

    def __init__(self, simulator: RunningSimulator, transport: HttpTransport) -> None:
        self.simulator = simulator
        self.tokens: dict[str, Any] = simulator.tokens(simulator.realm())
        self.secrets = FakeSecrets()
        app = {key: self.tokens[key].encode() for key in ("client_id", "client_secret")}
        self.secrets.put(Secret("billing", "app", data=app))
        self.offer(self.tokens["refresh_token"])
        self._transport = transport
        self.spec = GrantSpec(
            namespace="billing",
            name="acme",
            uid="uid",
            realm=self.tokens["realm_id"],
            environment="Custom",
            provider=_provider(simulator.base_url),
            client_secret_name="app",
            tokens_secret_name=default_secret_name("acme"),
            import_ref=ImportRef("import"),
        )

    def offer(self, refresh_token: str) -> None:
        self.secrets.put(Secret("billing", "import", data={"refresh_token": refresh_token.encode()}))

    def keeper(self) -> Keeper:
        return Keeper(
            secrets=self.secrets,
            oauth=OAuthClient(transport=self._transport),
            keyring=Keyring.from_environment({"ENCRYPTION_MASTER_KEY": "base64:" + "A" * 43 + "="}),
            clock=SystemClock(),
            rng=random.Random(1),
            fence=AlwaysLeading(),
            process_id=str(random.random()),
            settings=SETTINGS,
        )

    def requested(self, value: str) -> tuple[GrantSpec, dict[str, Any]]:
        return replace(self.spec, requested_at=value), {"force": True, "trigger": Trigger.REQUESTED}


def _provider(base: str) -> Provider:
    return replace(
        QUICKBOOKS_SANDBOX,
        token_url=f"{base}/oauth2/v1/tokens/bearer",
        authorize_url=f"{base}/connect/oauth2",
        revoke_url=f"{base}/v2/oauth2/tokens/revoke",
        api_origin=base,
    )


@pytest.fixture(scope="module", params=["realistic", "strict"])
def simulator(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    with RunningSimulator("--latency", "0,0", "--server-timeout", "2s", profile=request.param) as running:
        yield running


@pytest.fixture
async def scene(simulator: RunningSimulator) -> AsyncIterator[Scene]:
    simulator.clear_faults()
    simulator.switch(rotateAlways=True)
    transport = HttpTransport(max_connections=4)
    yield Scene(simulator, transport)
    await transport.aclose()


async def test_import_refresh_and_use(scene: Scene) -> None:
    keeper = scene.keeper()
    health = await keeper.ensure(scene.spec)
    assert health.reason is ConnectionReason.TOKEN_FRESH, health.message
    assert health.refresh_hard_expires_at is not None
    token = await keeper.token_source(scene.spec).token()
    answer = scene.simulator._door.get(
        f"/v3/company/{scene.spec.realm}/companyinfo/{scene.spec.realm}",
        headers={"authorization": f"Bearer {token.value.get_secret_value()}", "accept": "application/json"},
    )
    assert answer.status_code == 200


async def test_twenty_rotations_over_restarts(scene: Scene) -> None:
    for number in range(20):
        spec, how = scene.requested(str(number))
        health = await scene.keeper().ensure(spec, **how)
        assert health.handled, health.message
        assert health.usable
    assert health.sequence == 1 + 20


async def test_refreshed_and_the_answer_lost(scene: Scene) -> None:
    """Within 24 h the value stays the same, so that even this heals."""
    scene.simulator.switch(rotateAlways=False)
    keeper = scene.keeper()
    await keeper.ensure(scene.spec)
    scene.simulator.fault({"operation": "refresh", "realmId": scene.spec.realm}, {"drop": "after"})
    spec, how = scene.requested("lost")
    health = await keeper.ensure(spec, **how)
    assert [record.outcome for record in health.records] == [RefreshOutcome.UNKNOWN], health.message
    assert health.usable
    clock = SystemClock()
    while not health.handled:
        await clock.sleep(health.next_due - clock.now())
        health = await keeper.ensure(spec, **how)
    assert [record.outcome for record in health.records] == [RefreshOutcome.REFRESHED]


async def test_dropped_before_it_was_processed(scene: Scene) -> None:
    keeper = scene.keeper()
    await keeper.ensure(scene.spec)
    scene.simulator.fault({"operation": "refresh", "realmId": scene.spec.realm}, {"drop": "before"})
    spec, how = scene.requested("dropped")
    health = await keeper.ensure(spec, **how)
    assert [record.outcome for record in health.records] == [RefreshOutcome.UNKNOWN]
    clock = SystemClock()
    while not health.handled:
        await clock.sleep(health.next_due - clock.now())
        health = await keeper.ensure(spec, **how)
    assert health.usable


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_outage_then_recovery(scene: Scene, status: int) -> None:
    scene.simulator.fault({"operation": "refresh", "realmId": scene.spec.realm}, {"status": status})
    keeper = scene.keeper()
    health = await keeper.ensure(scene.spec)
    assert health.reason is ConnectionReason.PROVIDER_UNAVAILABLE
    clock = SystemClock()
    while not health.usable:
        await clock.sleep(health.next_due - clock.now())
        health = await keeper.ensure(scene.spec)
    assert health.consecutive_failures == 0


async def test_somebody_elses_token(scene: Scene) -> None:
    scene.offer("RT-of-nobody")
    health = await scene.keeper().ensure(scene.spec)
    assert health.reason is ConnectionReason.IMPORT_REJECTED


async def test_wrong_client_secret(scene: Scene) -> None:
    client = {"client_id": scene.tokens["client_id"].encode(), "client_secret": b"wrong"}
    scene.secrets.put(Secret("billing", "app", data=client))
    health = await scene.keeper().ensure(scene.spec)
    assert health.reason is ConnectionReason.CREDENTIALS_REJECTED
