"""A connection from apply to Ready, and what stops it: API objects in memory, the simulator on the wire."""

import random
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.objects import MemoryObjects
from fakes.secrets import FakeSecrets
from fixtures.invoices_scene import Ignored, Leading, eventually
from fixtures.simulator_server import RunningSimulator
from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.api.meta import REQUESTED_AT, Kind
from qbsync.companies import CompanyClients, EndpointPolicy
from qbsync.engine.breaker import Circuits, CircuitState, Endpoint
from qbsync.engine.clock import SystemClock
from qbsync.engine.keys import Company, Key
from qbsync.engine.reporter import Reporter
from qbsync.engine.store import ObjectStore
from qbsync.kube.secrets import Secret
from qbsync.leading import company_of
from qbsync.quickbooks.errors import AccessLost
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.quickbooks.transport import HttpTransport
from qbsync.tokens.errors import TokenUnavailable
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.parting import Parting
from qbsync.tokens.reconcile import ConnectionReconciler
from qbsync.tokens.spec import GrantSpec

KEYS = Keyring.from_environment({"ENCRYPTION_MASTER_KEY": "base64:" + "QUFB" * 10 + "QUE="})


class Seen(Ignored):
    def connection_seen(
        self, company: Company, status: QuickBooksConnectionStatus, health: GrantHealth | None
    ) -> None: ...


class AheadClock(SystemClock):
    """The machine's clock, and what a test adds to it."""

    forward = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.forward)

    def monotonic(self) -> float:
        return super().monotonic() + self.forward


class Scene:
    def __init__(
        self,
        simulator: RunningSimulator,
        *,
        allow: bool = True,
        closed: str | None = None,
        after: "Scene | None" = None,
        keyring: Keyring = KEYS,
    ) -> None:
        """`after`: the process before this one; what it wrote is there."""
        clock, rng = AheadClock(), random.Random(1)
        self.clock = clock
        self.simulator, self.noted = simulator, Seen()
        self.objects = after.objects if after is not None else MemoryObjects()
        self.secrets = after.secrets if after is not None else FakeSecrets()
        self.store = ObjectStore(clock=clock, company_of=company_of)
        for body in self.objects.objects.values():
            self.store.observe(Kind.CONNECTION, body)
        self.reporter = Reporter(
            objects=self.objects, store=self.store, clock=clock, rng=rng, observer=self.noted
        )
        self.transport = HttpTransport(max_connections=5)
        self.fence = Leading()
        self.woken: list[tuple[str, bool]] = []
        self.due: list[Key] = []
        self.circuits = Circuits(clock=clock, rng=rng)
        self.keeper = Keeper(
            secrets=self.secrets,
            oauth=OAuthClient(transport=self.transport),
            keyring=keyring,
            clock=clock,
            rng=rng,
            fence=self.fence,
            process_id="test",
            inspect=self._inspect,
            circuits=self.circuits,
        )
        self.terminating = False
        self.clients = clients = CompanyClients(
            circuits=self.circuits,
            transport=self.transport,
            clock=clock,
            server_timeout=timedelta(seconds=3),
            tokens_of=self.keeper.token_source,
            observer_of=lambda _: self.noted,
        )
        policy = EndpointPolicy.of(allow_custom_endpoints=allow, custom_endpoint=())
        self.reconciler = ConnectionReconciler(
            clock=clock,
            rng=rng,
            store=self.store,
            reporter=self.reporter,
            keeper=self.keeper,
            circuits=self.circuits,
            announcer=self.noted,
            observer=self.noted,
            provider_of=policy.provider,
            client_of=clients.connect,
            closed_namespace=closed,
            parting=Parting(
                clock=clock,
                store=self.store,
                objects=self.objects,
                secrets=self.secrets,
                keeper=self.keeper,
                announcer=self.noted,
                patience=timedelta(minutes=10),
                terminating=self._terminating,
            ),
            wake_invoices=lambda company, changed: self.woken.append((company.name, changed)),
            enqueue=lambda _company, key, _delay: self.due.append(key),
        )
        self.grant = simulator.tokens()

    async def _inspect(self, grant: GrantSpec, token: SecretStr) -> None:
        await self.clients.inspect(grant, token)

    async def _terminating(self, _: str) -> bool:
        return self.terminating

    def apply(self, name: str = "acme", *, realm: str | None = None, **spec: Any) -> None:
        base = self.simulator.base_url
        self.secret("app", client_id=self.grant["client_id"], client_secret=self.grant["client_secret"])
        self.secret(f"{name}-import", refresh_token=self.grant["refresh_token"])
        body = self.objects.add(
            Kind.CONNECTION,
            name,
            realmId=realm or self.simulator.realm_id,
            environment="Custom",
            endpoints={
                "api": base,
                "token": f"{base}/oauth2/v1/tokens/bearer",
                "authorize": f"{base}/connect/oauth2",
                "revoke": f"{base}/v2/oauth2/tokens/revoke",
            },
            clientSecretRef={"name": "app"},
            importTokensFrom={"name": f"{name}-import"},
            **spec,
        )
        self.store.observe(Kind.CONNECTION, body)

    def secret(self, name: str, **content: str) -> None:
        data = {key: value.encode() for key, value in content.items()}
        self.secrets.put(Secret(namespace="ns", name=name, data=data))

    async def look(self, name: str = "acme") -> dict[str, Any]:
        """One look at a connection; returns its status, {} if it is gone."""
        found = self.store.find(Kind.CONNECTION, "ns", name)
        assert found is not None
        self.again: timedelta | None = None

        def done(_: Key, again: timedelta | None) -> None:
            self.again = again

        await self.reconciler.reconcile(found.company, [found.key], done)
        await self.reporter.flush()
        status: dict[str, Any] = self.objects.objects.get((Kind.CONNECTION, "ns", name), {}).get("status", {})
        return status

    def annotate(self, value: str, name: str = "acme", annotation: str = REQUESTED_AT) -> None:
        body = self.objects.touch(Kind.CONNECTION, name)
        body["metadata"]["generation"] -= 1
        body["metadata"]["annotations"] = {annotation: value}
        self.store.observe(Kind.CONNECTION, body)

    def delete(self, name: str = "acme") -> None:
        """Somebody deletes the connection."""
        self.store.observe(Kind.CONNECTION, self.objects.delete(Kind.CONNECTION, name))

    def exists(self, name: str = "acme") -> bool:
        return (Kind.CONNECTION, "ns", name) in self.objects.objects


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator() as started:
        yield started


@pytest.fixture
async def scene(simulator: RunningSimulator) -> AsyncIterator[Scene]:
    simulator.reset()
    made = Scene(simulator)
    yield made
    await made.keeper.drain()
    await made.transport.aclose()


def ready(status: dict[str, Any]) -> tuple[str, str, str]:
    (condition,) = [entry for entry in status["conditions"] if entry["type"] == "Ready"]
    return condition["status"], condition["reason"], condition["message"]


async def test_an_import_becomes_a_ready_connection_in_one_look(scene: Scene) -> None:
    scene.apply()
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert status["company"]["currency"] == "USD"
    assert status["company"]["customTransactionNumbers"] is True
    assert status["refreshHistory"][0]["outcome"] == "Refreshed"
    assert status["encryption"]["sequence"] >= 1
    assert scene.again is not None
    assert timedelta() < scene.again <= timedelta(minutes=31)
    assert scene.woken == [("acme", True)]
    emptied = scene.secrets.peek("ns", "acme-import")
    assert emptied is not None
    assert emptied.data["refresh_token"] == b""


async def test_a_second_look_asks_and_writes_nothing(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    calls, writes = scene.simulator.counters()["requests"], scene.objects.writes
    await scene.look()
    assert (scene.simulator.counters()["requests"], scene.objects.writes) == (calls, writes)


async def test_a_requested_refresh_is_made_and_recorded(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    refreshes = scene.simulator.counters()["refreshes"]
    scene.annotate("now")
    status = await scene.look()
    assert scene.simulator.counters()["refreshes"] == refreshes + 1
    assert status["lastHandledRequest"] == "now"
    await scene.look()
    assert scene.simulator.counters()["refreshes"] == refreshes + 1


async def test_a_request_also_reads_the_company_anew(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    reads = scene.simulator.counters()["requests"]["read"]
    scene.annotate("now")
    await scene.look()
    assert scene.simulator.counters()["requests"]["read"] == reads + 2
    scene.reconciler.company_moved(Company("ns", "acme"))
    await scene.look()
    await scene.look()
    assert scene.simulator.counters()["requests"]["read"] == reads + 4


async def test_another_companys_grant_is_a_realm_mismatch(scene: Scene) -> None:
    other = scene.simulator.realm()
    scene.apply(realm=other)
    status = await scene.look()
    assert ready(status)[:2] == ("False", "RealmMismatch")
    assert "RealmMismatch" in scene.noted.events
    assert scene.woken == [("acme", True)]


async def test_the_younger_of_two_connections_to_one_company_waits(scene: Scene) -> None:
    scene.apply("acme")
    scene.apply("zwei")
    assert ready(await scene.look("acme"))[1] == "TokenFresh"
    status = await scene.look("zwei")
    assert ready(status)[:2] == ("False", "RealmConflict")
    assert "ns/acme" in ready(status)[2]
    gone = scene.store.forget(Kind.CONNECTION, "ns", "acme", uid="uid-acme")
    assert gone is not None
    scene.reconciler.gone(gone)
    assert [key.name for key in scene.due] == ["zwei"]


async def test_endpoints_need_the_operators_consent(simulator: RunningSimulator) -> None:
    scene = Scene(simulator, allow=False)
    scene.apply()
    status = await scene.look()
    assert ready(status)[:2] == ("False", "EndpointNotAllowed")
    assert "--allow-custom-endpoints" in ready(status)[2]
    assert scene.secrets.calls == []
    await scene.transport.aclose()


async def test_the_operators_own_namespace_is_closed(simulator: RunningSimulator) -> None:
    scene = Scene(simulator, closed="ns")
    scene.apply()
    assert ready(await scene.look())[:2] == ("False", "SecretConflict")
    assert scene.secrets.calls == []
    await scene.transport.aclose()


async def test_a_company_that_refuses_at_the_door_is_said_and_probed(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    company = Company("ns", "acme")
    scene.reconciler.refused(company, AccessLost("no longer an admin", status=401))
    assert [key.name for key in scene.due] == ["acme"]
    reads = scene.simulator.counters()["meteredReads"]
    status = await scene.look()
    assert ready(status)[:2] == ("False", "AccessLost")
    assert scene.simulator.counters()["meteredReads"] == reads
    assert scene.again is not None
    assert scene.again <= timedelta(hours=1)


async def test_a_company_that_cannot_be_read_yet_is_not_ready_and_tried_again(scene: Scene) -> None:
    scene.simulator.fault({"operation": "read"}, {"status": 503})
    scene.apply()
    status = await scene.look()
    assert ready(status)[:2] == ("Unknown", "Importing")
    assert scene.again is not None
    assert scene.again <= timedelta(minutes=5)
    assert ready(await scene.look())[1] == "TokenFresh"


async def test_suspension_says_so_and_keeps_the_grant(scene: Scene) -> None:
    scene.apply(suspend=True)
    status = await scene.look()
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert ready(status)[2].startswith("suspended:")
    assert scene.simulator.counters()["refreshes"] == 1


async def test_a_grant_that_changed_is_looked_at(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    scene.reconciler.touch(Company("ns", "acme"))
    await eventually(lambda: bool(scene.due), "due")


async def _open(scene: Scene, name: str = "acme") -> None:
    """So many calls to the API failed that its circuit opens."""
    found = scene.store.find(Kind.CONNECTION, "ns", name)
    assert found is not None
    scene.simulator.fault({"operation": "read"}, {"status": 503}, times=None)
    while scene.circuits.of(found.company, Endpoint.API).state is CircuitState.CLOSED:
        scene.reconciler.company_moved(found.company)
        await scene.look(name)
    await scene.look(name)


async def test_an_open_circuit_is_in_status_event_and_message_and_closes_by_itself(scene: Scene) -> None:
    scene.apply()
    status = await scene.look()
    assert status["circuit"] == {"state": "Closed"}
    await _open(scene)
    status = await scene.look()
    assert status["circuit"]["state"] == "Open"
    assert status["circuit"]["openedAt"] < status["circuit"]["retryAt"]
    assert ready(status)[:2] == ("True", "TokenFresh"), "for five minutes"
    assert scene.noted.events.count("CircuitOpened") == 1
    assert scene.again is not None
    assert scene.again <= timedelta(seconds=45)
    calls = scene.simulator.counters()["requests"]["read"]
    scene.reconciler.company_moved(Company("ns", "acme"))
    await scene.look()
    assert scene.simulator.counters()["requests"]["read"] == calls, "nothing is sent while it is open"

    scene.clock.forward += 300
    status = await scene.look()
    assert status["circuit"]["state"] == "Open", "the probe failed"
    assert ready(status)[:2] == ("Unknown", "CircuitOpen")
    assert scene.simulator.counters()["requests"]["read"] == calls + 1
    assert scene.noted.events.count("CircuitOpened") == 1

    scene.simulator.clear_faults()
    scene.clock.forward += 300
    scene.woken.clear()
    status = await scene.look()
    assert status["circuit"] == {"state": "Closed"}
    assert ready(status)[:2] == ("True", "TokenFresh")
    assert scene.woken == [("acme", False)]


async def test_invoices_are_told_of_an_open_circuit_before_anything_is_begun(scene: Scene) -> None:
    scene.apply()
    await scene.look()
    client = scene.clients.known(Company("ns", "acme"))
    assert client is not None
    await _open(scene)
    with pytest.raises(TokenUnavailable) as refused:
        await client.company_info()
    assert refused.value.reason == "CircuitOpen"


async def test_an_ending_grant_is_announced_once_however_often_the_operator_restarts(
    simulator: RunningSimulator,
) -> None:
    simulator.reset()
    simulator.switch(hardExpirySeconds=20 * 86400)
    scene = Scene(simulator)
    scene.apply()
    status = await scene.look()
    assert "reconnect the company before" in ready(status)[2]
    assert scene.noted.events.count("RefreshTokenExpiringSoon") == 1
    again = Scene(simulator, after=scene)
    await again.look()
    assert "RefreshTokenExpiringSoon" not in again.noted.events
    for closing in (scene, again):
        await closing.transport.aclose()
    simulator.reset()
