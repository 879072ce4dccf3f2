"""A model of two operator processes, one Secret, one provider, and everything that can go wrong between them.

A history is a list of steps and a seed. Whatever the steps do, the rules below hold at every send and at the
end; `finish` then heals the world and lets one process run on. Made to be scaled up: more steps, more
histories, more kinds of trouble are more data, not more code.
"""

import asyncio
import json
import logging
import random
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fakes.clock import FakeClock, settle
from fakes.secrets import FakeSecrets
from qbsync.kube.errors import Unavailable
from qbsync.quickbooks.client import AccessToken
from qbsync.quickbooks.errors import ServerFailure, WrongRealm
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.quickbooks.transport import HttpRequest, HttpResponse
from qbsync.tokens import envelope
from qbsync.tokens.errors import TokenUnavailable
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import GrantSpec
from qbsync.tokens.spool import Recovery, Spool, parse
from qbsync.tokens.store import REJECTED, TokenStore
from unit.tokens.endpoint import CLIENT, LOST_UNSPENT, OK, Effect, Send
from unit.tokens.world import KEYS, Lease, World, requested

OTHER_KEYS = {"ENCRYPTION_MASTER_KEY": "base64:" + "B" * 43 + "="}

REFUSED = Effect(kind="status", status=400, body='{"error":"invalid_grant"}', commit=False)
SERVER_TIMEOUT = 120.0
QUARTER = SERVER_TIMEOUT / 4


class SkewedClock:
    """A process's own idea of the time: the wall clock is off, the monotonic one starts elsewhere."""

    def __init__(self, clock: FakeClock, *, skew: timedelta, origin: float) -> None:
        self._clock, self._skew, self._origin = clock, skew, origin

    def now(self) -> datetime:
        return self._clock.now() + self._skew

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._origin

    async def sleep(self, duration: timedelta) -> None:
        await self._clock.sleep(duration)


@dataclass
class Process:
    """One operator process; a crash makes it another one."""

    number: int
    skew: timedelta
    volume: Path
    """Its spool directory; outlives a crash, not the loss of its node."""
    fence: Lease = field(default_factory=Lease)
    epoch: int = 0
    keeper: Keeper | None = None
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)
    health: GrantHealth | None = None
    asked: str | None = None
    """The last request for a refresh now that has not come to an end."""
    cut: bool = False
    """It does not reach the API server."""
    on_send: list[str] = field(default_factory=list)
    """What befalls it while its next token call is under way: cut, touched, failing or unheard."""
    unstored: set[str] = field(default_factory=set)
    """Refresh tokens that reached this process, or lie in its spool, and are not in the Secret yet."""


class ProcessSecrets:
    """One process's way to the API server, which can be cut.

    What was asked for is carried out whatever becomes of the process: it is on the wire.
    """

    def __init__(self, secrets: FakeSecrets, process: Process) -> None:
        self._secrets, self._process = secrets, process

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            if self._process.cut:
                raise Unavailable("no way to the API server")
            asked = asyncio.ensure_future(getattr(self._secrets, verb)(*arguments))
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())
            return await asyncio.shield(asked)

        return call


class Heard(logging.Handler):
    """Every line that the operator logs, audit and tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {vars(record)}")


class ProcessTransport:
    """One process's way to the provider: notes which answers reached it."""

    def __init__(self, model: "Model", process: Process) -> None:
        self._model, self._process, self._epoch = model, process, process.epoch

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        model, process = self._model, self._process
        model.sender = process
        response = await model.world.endpoint.send(request, timeout=timeout)
        if process.epoch == self._epoch:
            model.answered(process, response)
        return response


class Model:
    """Runs steps, checks the rules."""

    def __init__(
        self,
        *,
        seed: int,
        rotation: "Rotation",
        skews: tuple[int, int],
        volumes: Path,
        connected: bool = True,
    ) -> None:
        """`connected`: the first tokens are imported; else somebody has yet to consent."""
        self.rng = random.Random(seed)
        self.world = World(seed=seed)
        self.world.endpoint.rotate, self.world.endpoint.grace = rotation.rotates, rotation.grace
        self.world.endpoint.rotate_after = rotation.after
        self.keys = [Keyring.from_environment(env).primary for env in (KEYS, OTHER_KEYS)]
        """The primary one first; every process has both, and learns the order when it starts."""
        self.world.keyring = Keyring(self.keys)
        self.world.endpoint.on_send = self._sent
        self.world.endpoint.on_exchange = self._exchanged
        self.world.endpoint.consent_grace = self.rng.choice([float("-inf"), float("inf")])
        self.connected = connected
        self.world.secrets.before = self.world.secrets.after = self._dawdle
        if connected:
            self.world.set_import()
        else:
            self.world.spec = replace(self.world.spec, import_ref=None)
            self.world.endpoint.alive = False
        self.processes = [
            Process(n, timedelta(minutes=skew), volumes / str(n)) for n, skew in enumerate(skews)
        ]
        self.refusals: dict[str, float] = {}
        """Token values that the provider called invalid, and when a living process last heard it."""
        self.sender = self.processes[0]
        self.lost: set[str] = set()
        """Refresh tokens whose only holder crashed before it could store them, or that never arrived."""
        self.reached: set[str] = {self.world.endpoint.current} if connected else set()
        self.codes: set[str] = set()
        """Every code that a person brought."""
        self.elsewhere: set[str] = set()
        """Tokens of another company that reached a process."""
        self.broken: list[str] = []
        """Rules that did not hold."""
        self.heard = Heard()
        self.said: list[object] = []
        """Everything that went to status, Events and history."""
        self.dawdling = True
        self.requests = 0
        self.recovered = 0
        """How often a process found something in its spool when it started."""
        self.sends: list[Send] = []
        self.exchanges: list[Send] = []
        for process in self.processes:
            self._boot(process)

    async def begin(self) -> None:
        """Both processes know the first tokens, and these are due; or there are none."""
        if not self.connected:
            return
        self.dawdling = False
        for process in self.processes:
            await self._ensure(process, self.world.spec, {})
        self._note_stored()
        await self.wait(1830.0)
        self.dawdling = True

    # What happens.

    def _boot(self, process: Process) -> None:
        clock: Any = SkewedClock(self.world.clock, skew=process.skew, origin=self.rng.uniform(0, 1e6))
        secrets: Any = ProcessSecrets(self.world.secrets, process)
        keyring = Keyring(self.keys)
        process.keeper = self.world.keeper(
            fence=process.fence,
            clock=clock,
            secrets=secrets,
            spool=process.volume,
            keyring=keyring,
            oauth=OAuthClient(transport=ProcessTransport(self, process)),
            inspect=self._inspect,
        )
        process.asked = None
        store = TokenStore(secrets=secrets, keyring=keyring, clock=clock)
        recovery = Recovery(spool=Spool(process.volume), store=store, clock=clock, rng=self.rng)
        if recovery.waiting:
            self.recovered += 1
            self._spawn(process, recovery.run())

    async def ensure(self, process: Process) -> None:
        """The connection is looked at, as the engine does when it is due."""
        self._spawn(process, self._ensure(process, self.world.spec, {}))

    async def request(self, process: Process) -> None:
        """Somebody sets requested-at."""
        self.requests += 1
        process.asked = str(self.requests)
        spec, how = requested(self.world.spec, str(self.requests))
        self._spawn(process, self._ensure(process, spec, how))

    async def consent(self, process: Process, effect: Effect, rounds: int, whose: str) -> None:
        """A person connects the company, or chose another one; the code meets that answer.

        `whose`: ours; other: the callback says so; hidden: only the company itself tells.
        """
        self.world.endpoint.script.clear()
        self.world.endpoint.script.append(effect)
        code = self.world.endpoint.consent(ours=whose == "ours")
        self.codes.add(code)
        self.world.hand_over(code, realm="1" if whose == "other" else None)
        await self.request(process)
        await self.tick(rounds)

    async def connect(self, process: Process, whose: str, seconds: float) -> None:
        """A consent that is given the time it takes."""
        await self.consent(process, OK, 40, whose)
        await self.wait(seconds)

    async def die_connecting(self, process: Process, effect: Effect, rounds: int) -> None:
        """It dies in the middle of an exchange, between whichever two steps of the loop."""
        await self.consent(process, effect, rounds, "ours")
        await self.crash(process)

    async def both_connect(self, process: Process, effect: Effect, seconds: float) -> None:
        """Two processes find the same code, while a refresh may be under way."""
        other = self.processes[1 - process.number]
        await self.consent(process, effect, self.rng.randint(0, 60), "ours")
        for _ in range(3):
            await self.request(other)
            await self.wait(seconds)

    async def refresh_and_connect(self, process: Process, effect: Effect, how: str, seconds: float) -> None:
        """A refresh is under way, or got no answer, when a person connects; the other process wants one, too."""
        other = self.processes[1 - process.number]
        await self.spend(process, effect)
        await self.wait(seconds)
        connecting = self.rng.choice(self.processes)
        if how:
            connecting.on_send.append(how)
        await self.consent(connecting, self.rng.choice([LOST_UNSPENT, REFUSED, OK]), 60, "ours")
        connecting.cut = False
        for _ in range(3):
            await self.request(self.rng.choice([process, other]))
            await self.wait(31.0)

    async def call(self, process: Process) -> None:
        """An API call takes a token."""
        self._spawn(process, self._call(process, refuse=False))

    async def unauthorized(self, process: Process) -> None:
        """An API call gets a 401."""
        self._spawn(process, self._call(process, refuse=True))

    async def crash(self, process: Process) -> None:
        """kill -9, and a new process in its place."""
        assert process.keeper is not None
        doomed = {*process.tasks, *process.keeper._flights}
        process.epoch += 1
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        self._note_stored()
        kept = self._spooled(process)
        self.lost |= process.unstored - kept
        self.elsewhere.clear()
        process.unstored &= kept
        process.tasks.clear()
        self._boot(process)

    async def lose_node(self, process: Process) -> None:
        """The process dies and its volume with it."""
        process.epoch += 1
        shutil.rmtree(process.volume, ignore_errors=True)
        await self.crash(process)

    async def promote(self) -> None:
        """The other key becomes the primary one, for whoever starts from now on."""
        self.keys.reverse()

    async def outage_of_all(self) -> None:
        """The API server goes away, or comes back, for everybody."""
        self.world.secrets.outage = None if self.world.secrets.outage else Unavailable("down")

    async def spend(self, process: Process, effect: Effect) -> None:
        """A refresh that is asked for, meets that answer, and gets as far as a few loop steps take it."""
        self.world.endpoint.script.clear()
        self.world.endpoint.script.append(effect)
        await self.request(process)
        await self.tick(self.rng.randint(20, 80))

    async def strand(self, process: Process, rounds: int) -> None:
        """It gets an answer that it cannot store, and dies with it."""
        process.on_send.append("cut")
        await self.spend(process, OK)
        await self.tick(rounds)
        await self.crash(process)

    async def die(self, process: Process, effect: Effect, rounds: int) -> None:
        """It dies in the middle of a refresh, between whichever two steps of the loop."""
        self.world.endpoint.script.clear()
        self.world.endpoint.script.append(effect)
        await self.request(process)
        await self.tick(rounds)
        await self.crash(process)

    async def cut(self, process: Process) -> None:
        """The process loses, or gets back, the API server."""
        process.cut = not process.cut

    async def store_in_trouble(self, process: Process, how: str, seconds: float) -> None:
        """A refresh whose answer meets a Secret that cannot be written, or that somebody else has written."""
        process.on_send.append(how)
        await self.spend(process, OK)
        await self.wait(seconds)
        process.cut = False

    async def contest(self, process: Process, effect: Effect, seconds: float) -> None:
        """A refresh is under way, and the other process wants one, too: it looks again and again."""
        other = self.processes[1 - process.number]
        await self.spend(process, effect)
        for _ in range(3):
            await self.request(other)
            await self.wait(seconds)

    async def lease(self, process: Process) -> None:
        """The lease is lost or won; both may believe they hold it."""
        process.fence.held = not process.fence.held

    async def trouble(self, effect: Effect) -> None:
        """The provider's next answer."""
        self.world.endpoint.script.append(effect)

    async def conflict(self) -> None:
        """Somebody else touches the Secret."""
        key = (self.world.spec.namespace, self.world.spec.tokens_secret_name)
        if self.world.secrets.peek(*key) is not None:
            self.world.secrets.touch(*key)

    async def outage(self, verb: str, applied: bool) -> None:
        """The API server's next answer is lost, before or after it acted."""
        self.world.secrets.fail(verb, applied=applied, times=self.rng.randint(1, 3))

    async def wait(self, seconds: float) -> None:
        """Time passes, everybody goes on."""
        await self.world.clock.advance(timedelta(seconds=seconds))

    async def tick(self, rounds: int) -> None:
        """A few steps of the event loop, so that the next step lands between two awaits."""
        for _ in range(rounds):
            await asyncio.sleep(0)

    # How it goes on.

    async def _ensure(self, process: Process, spec: GrantSpec, how: dict[str, Any]) -> None:
        keeper = process.keeper
        assert keeper is not None
        process.health = await keeper.ensure(spec, **how)
        self.said.append(process.health)
        if how and spec.requested_at == process.asked and process.health.handled:
            process.asked = None

    async def _call(self, process: Process, *, refuse: bool) -> None:
        keeper = process.keeper
        assert keeper is not None
        source = keeper.token_source(self.world.spec)
        try:
            token: AccessToken = await source.token()
            if refuse:
                await source.rejected(token)
        except TokenUnavailable as error:
            self.said.append("".join(traceback.format_exception(error)))

    def _spawn(self, process: Process, work: Any) -> None:
        task = asyncio.ensure_future(work)
        process.tasks.add(task)

    async def _dawdle(self, verb: str, name: str) -> None:
        """Every call takes a random number of loop steps, now and then seconds."""
        if not self.dawdling:
            return
        for _ in range(self.rng.randint(0, 3)):
            await asyncio.sleep(0)
        if self.rng.random() < 0.05:
            await self.world.clock.sleep(timedelta(seconds=self.rng.choice([0.2, 3, 12])))

    def answered(self, process: Process, response: HttpResponse) -> None:
        """An answer reached a living process."""
        if response.status == 200 and b"refresh_token" in response.body:
            token = json.loads(response.body)["refresh_token"]
            if "elsewhere" in token:
                self.elsewhere.add(token)
                return
            self.reached.add(token)
            process.unstored.add(token)
        elif b"invalid_grant" in response.body and self.sends:
            self.refusals[self.sends[-1].token] = self.world.clock.monotonic()

    def _spooled(self, process: Process) -> set[str]:
        """The refresh tokens in a process's spool."""
        answers = [parse(path.read_bytes()) for path in process.volume.glob("*.answer")]
        return {
            envelope.open(
                answer.envelope, binding=answer.place.binding, keyring=self.world.keyring
            ).refresh_token.get_secret_value()
            for answer in answers
        }

    async def _inspect(self, _: GrantSpec, access: SecretStr) -> None:
        """The company is read with a token that is not stored yet."""
        if self.dawdling and self.rng.random() < 0.2:
            await self.world.clock.sleep(timedelta(seconds=self.rng.choice([1, 8])))
        if self.dawdling and self.rng.random() < 0.2:
            raise self.rng.choice([ServerFailure("503"), RuntimeError("our own mistake")])
        if access.get_secret_value().split("-")[2].startswith("y"):
            raise WrongRealm("of another company")

    def _note_stored(self) -> None:
        secret = self.world.secrets.peek(self.world.spec.namespace, self.world.spec.tokens_secret_name)
        if secret is None or "envelope" not in secret.data:
            return
        stored = self.world.grant().refresh_token.get_secret_value()
        for process in self.processes:
            process.unstored.discard(stored)

    # The rules.

    def _sent(self, send: Send) -> None:
        """Called in the middle of the keeper's work, which would take an exception for one of the provider's."""
        try:
            self._check_send(send)
        except AssertionError as broken:
            self.broken.append(str(broken))

    def _exchanged(self, send: Send) -> None:
        """As `_sent`, for a code."""
        process = self.sender
        self._befall(process)
        if not process.fence.held:
            self.broken.append("a code was sent without the lease")
        if any(earlier.token == send.token for earlier in self.exchanges):
            self.broken.append("a code was sent twice")
        self.exchanges.append(send)

    def _check_send(self, send: Send) -> None:
        process = self.sender
        self._befall(process)
        keeper = process.keeper
        assert keeper is not None
        assert process.fence.held, "sent without the lease"
        stored = self.world.grant()
        assert stored.refresh_token.get_secret_value() == send.token, "sent what is not the stored token"
        session = keeper._sessions[self.world.spec.key]
        usable = session.usable
        self._check_superseded(process, send)
        earlier_sends = [earlier for earlier in self.sends if earlier.token == send.token]
        self.sends.append(send)
        self._check_probe(process, send)
        for earlier in earlier_sends:
            self._check_pair(earlier, send, usable=usable)

    def _befall(self, process: Process) -> None:
        secrets, spec = self.world.secrets, self.world.spec
        for how in process.on_send:
            if how == "cut":
                process.cut = True
            elif how == "touched":
                secrets.touch(spec.namespace, spec.tokens_secret_name)
            else:
                secrets.fail("replace", applied=how == "unheard", times=2)
        process.on_send.clear()

    def _check_pair(self, earlier: Send, send: Send, *, usable: bool) -> None:
        if earlier.until <= send.at:
            return
        passed = send.at - earlier.at
        if passed >= SERVER_TIMEOUT:
            return
        assert not usable, f"sent again after {passed} s while the access token lives"
        assert passed >= QUARTER, f"sent again after {passed} s while the first use may be running"

    def _check_superseded(self, process: Process, send: Send) -> None:
        """An old value goes out only where no process of ours that can store it knows the new one."""
        current = self.world.endpoint.current
        if not send.superseded or current not in self.reached or current in self.lost:
            return
        holders = [other for other in self.processes if current in other.unstored and other is not process]
        assert holders, "sent a superseded token"

    def _check_probe(self, process: Process, send: Send) -> None:
        """After n refusals the current token goes out on the schedule only, or when a person asks.

        The schedule outlives processes, so it is kept by the wall clock: theirs may differ.
        """
        refused = self.refusals.get(send.token)
        text = self.world.stored().annotations.get(REJECTED)
        if refused is None or not text or process.asked is not None:
            return
        told = json.loads(text)
        if told["sequence"] != self.world.grant().sequence:
            return
        clocks = abs(self.processes[0].skew - self.processes[1].skew).total_seconds()
        due = self.world.spec.provider.probing.delay(told["count"]).total_seconds() - clocks - 60
        assert send.at - refused >= due, "a refused token was sent outside the probing schedule"

    async def finish(self) -> GrantHealth:
        """All trouble ends; one process runs on for eight hours; returns the last report."""
        world = self.world
        world.endpoint.script.clear()
        world.secrets._faults.clear()
        world.secrets.outage = None
        self.dawdling = False
        survivor, other = self.processes
        for process in self.processes:
            process.cut = False
            process.on_send.clear()
        other.fence.held, survivor.fence.held = False, True
        await self.wait(300)
        await self.crash(other)
        keeper = survivor.keeper
        assert keeper is not None
        end = world.clock.now() + timedelta(hours=8)
        health = await world.run(keeper.ensure(world.spec), step=5)
        if world.code_secret() is not None:
            # What its process left unfinished is asked for until it is handled.
            await self.wait(60)
            await self.request(survivor)
            await self.wait(600)
        while world.clock.now() < end and not (health.usable and not health.in_progress):
            due = health.next_due - survivor.skew
            await world.until(max(due, world.clock.now() + timedelta(minutes=5)))
            health = await world.run(keeper.ensure(world.spec), step=5)
        await self._check_tasks()
        self._note_stored()
        assert not self.broken, self.broken
        self._check_end(health)
        self._check_secrecy()
        self._check_codes()
        if health.usable:
            await self._check_rewrapped(survivor)
        return health

    async def _check_rewrapped(self, process: Process) -> None:
        """A process that starts now seals with the key that is the primary one now."""
        await self.crash(process)
        keeper = process.keeper
        assert keeper is not None
        spec, how = requested(self.world.spec, "rewrap")
        process.asked = "rewrap"
        health = await self.world.run(keeper.ensure(spec, **how), step=5)
        if any(record.outcome is RefreshOutcome.REFRESHED for record in health.records):
            assert health.key_id == self.keys[0].kid, "sealed with a key that is not the primary one"
            text = self.world.stored().data["envelope"].decode()
            assert envelope.kid_of(text) == self.keys[0].kid

    def _check_codes(self) -> None:
        """A consent leaves nothing behind, and a grant of another company that a process heard of is ended."""
        assert self.world.code_secret() is None, "the Secret with the code is still there"
        living = self.elsewhere & self.world.endpoint.elsewhere
        assert not living, "a grant of another company was not revoked"

    def _check_secrecy(self) -> None:
        """No token that was ever issued stands in anything that was written."""
        spooled = [path.read_text() for process in self.processes for path in process.volume.glob("*")]
        written = "\n".join([*map(repr, self.said), *self._written(), *spooled, *self.heard.lines])
        leaked = [
            token for token in {*self.world.endpoint.issued, *self.codes, CLIENT[1]} if token in written
        ]
        assert leaked == [], "a token was written"

    def _written(self) -> list[str]:
        """The token Secret, as anybody may read it."""
        secret = self.world.secrets.peek(self.world.spec.namespace, self.world.spec.tokens_secret_name)
        if secret is None:
            return []
        return [str(dict(secret.annotations)), str(dict(secret.labels)), str(dict(secret.data))]

    async def _check_tasks(self) -> None:
        await settle()
        for process in self.processes:
            for task in process.tasks:
                assert task.done(), "somebody still waits"
                if not task.cancelled():
                    assert task.exception() is None, task.exception()

    def _check_end(self, health: GrantHealth) -> None:
        endpoint = self.world.endpoint
        current = endpoint.current
        if endpoint.alive and current in self.reached and current not in self.lost:
            assert health.usable, f"the grant is dead although it lives: {health.reason} {health.message}"


@dataclass(frozen=True)
class Rotation:
    """When a provider gives a new refresh token, and how long the old one still works."""

    rotates: bool = True
    grace: float = 0.0
    after: float = 0.0
    """Seconds that a value stays the same, from its issue."""


ROTATIONS = (
    Rotation(),
    Rotation(grace=86400.0),
    Rotation(after=86400.0),
    Rotation(rotates=False),
)
"""The simulator's three (always, with grace, once a day), and a provider that never rotates."""

Step = Callable[[Model], Any]


async def play(model: Model, steps: list[Step]) -> GrantHealth:
    """Run a history to its end."""
    logger = logging.getLogger("qbsync")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(model.heard)
    try:
        await model.begin()
        for step in steps:
            await step(model)
        return await model.finish()
    finally:
        logger.removeHandler(model.heard)
        logger.setLevel(level)
