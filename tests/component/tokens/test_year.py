"""A year of refreshes: 50 connections, one outage of six hours, one rotation of the master key.

The keeper with all its parts on a clock that jumps from one due time to the next; the provider is the model of
the unit tests, with QuickBooks' rotation once a day. QBSYNC_YEAR_DAYS scales it (default 3; a year is 365).
"""

import heapq
import os
import random
import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from fakes.clock import EPOCH, FakeClock, settle
from fakes.secrets import FakeSecrets
from qbsync.engine.breaker import Circuits
from qbsync.kube.secrets import Secret
from qbsync.quickbooks.oauth import OAuthClient
from qbsync.quickbooks.transport import HttpRequest, HttpResponse
from qbsync.tokens import envelope
from qbsync.tokens.health import GrantHealth, RefreshOutcome
from qbsync.tokens.keeper import Keeper
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.spec import GrantSpec, ImportRef, default_secret_name
from unit.tokens.endpoint import CLIENT, GATEWAY_TIMEOUT_SPENT, NOT_SENT, Effect, TokenEndpoint
from unit.tokens.world import KEYS, SPEC, Lease
from unit.tokens.world import NAMESPACE as BILLING

DAYS = int(os.environ.get("QBSYNC_YEAR_DAYS", "3"))
CONNECTIONS = 50
OUTAGE = timedelta(hours=6)
OUTAGE_AT = timedelta(days=DAYS) * 0.4
ROTATION_AT = timedelta(days=DAYS) * 0.8
SETTLED = timedelta(hours=8)
"""So long after all grants came at once, or came back at once, they are spread."""
RECOVERED = timedelta(minutes=10)
"""So long after an outage every access token lives again: the longest open time of a circuit, with its jitter."""
NEW_KEY = {"ENCRYPTION_MASTER_KEY": "base64:" + "B" * 43 + "="}


class Jumping(FakeClock):
    """A fake clock for a million due times: it lets the loop run only where somebody really wakes."""

    async def until(self, moment: datetime) -> None:
        target = moment - self._start
        while self._sleepers and self._sleepers[0][0] <= target:
            wakes_at, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                self._elapsed = max(self._elapsed, wakes_at)
                waiter.set_result(None)
                await settle()
        self._elapsed = max(self._elapsed, target)


@dataclass
class Company:
    """One company at the provider, and what was seen of its grant."""

    spec: GrantSpec
    endpoint: TokenEndpoint
    expires_at: datetime = EPOCH
    gaps: list[tuple[datetime, datetime]] = field(default_factory=list)
    """From the end of an access token to its next refresh."""


class Providers:
    """One transport for all companies, told apart by their tokens' prefix; it can be away."""

    def __init__(self, companies: dict[str, Company], clock: FakeClock, rng: random.Random) -> None:
        self._companies, self._clock, self._rng = companies, clock, rng
        self.sends: list[datetime] = []

    def away(self) -> bool:
        passed = self._clock.now() - EPOCH
        return OUTAGE_AT <= passed < OUTAGE_AT + OUTAGE

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        company = self._companies[request.url.rpartition("/")[2]]
        if self.away():
            lost: Effect = self._rng.choice([NOT_SENT, replace(GATEWAY_TIMEOUT_SPENT, commit=False)])
            company.endpoint.script.append(lost)
        else:
            self.sends.append(self._clock.now())
        return await company.endpoint.send(request, timeout=timeout)


class Year:
    """The fleet and the operator that keeps it."""

    def __init__(self, seed: int) -> None:
        self.rng, self.clock, self.secrets = random.Random(seed), Jumping(), FakeSecrets()
        self.companies: dict[str, Company] = {}
        self.providers = Providers(self.companies, self.clock, self.rng)
        self.old, self.new = Keyring.from_environment(KEYS), Keyring.from_environment(NEW_KEY)
        for number in range(CONNECTIONS):
            self._connect(f"c{number:02}")
        self.keeper = self._start(self.old)

    def _connect(self, name: str) -> None:
        first = f"RT-{name}"
        endpoint = TokenEndpoint(self.clock, rotate_after=86400.0, current=first)
        provider = replace(SPEC.provider, token_url=f"https://oauth.example.com/{name}")
        spec = replace(
            SPEC,
            name=name,
            uid=name,
            provider=provider,
            tokens_secret_name=default_secret_name(name),
            import_ref=ImportRef(f"{name}-import"),
        )
        self.companies[name] = Company(spec, endpoint)
        self.secrets.put(Secret(BILLING, f"{name}-import", data={"refresh_token": first.encode()}))
        app = {"client_id": CLIENT[0].encode(), "client_secret": CLIENT[1].encode()}
        self.secrets.put(Secret(BILLING, spec.client_secret_name, data=app))

    def _start(self, keyring: Keyring) -> Keeper:
        return Keeper(
            secrets=self.secrets,
            oauth=OAuthClient(transport=self.providers),
            keyring=keyring,
            clock=self.clock,
            rng=random.Random(self.rng.random()),
            fence=Lease(),
            process_id=keyring.primary.kid,
            circuits=Circuits(clock=self.clock, rng=self.rng),
        )

    async def run(self) -> None:
        """From the first import to the end, every connection looked at when it is due."""
        due = [(EPOCH, name) for name in self.companies]
        rotated = False
        while due[0][0] < EPOCH + timedelta(days=DAYS):
            moment, name = heapq.heappop(due)
            if moment > self.clock.now():
                await self.clock.until(moment)
            if not rotated and self.clock.now() - EPOCH >= ROTATION_AT:
                rotated = True
                await self.keeper.drain()
                self.keeper = self._start(Keyring([self.new.primary, self.old.primary]))
            company = self.companies[name]
            health = await self.keeper.ensure(company.spec)
            self._note(company, health)
            heapq.heappush(due, (max(health.next_due, self.clock.now() + timedelta(milliseconds=1)), name))

    def _note(self, company: Company, health: GrantHealth) -> None:
        refreshed = any(record.outcome is RefreshOutcome.REFRESHED for record in health.records)
        if refreshed and health.access_expires_at is not None:
            now = self.clock.now()
            if company.expires_at != EPOCH and now >= company.expires_at:
                company.gaps.append((company.expires_at, now))
            company.expires_at = health.access_expires_at

    def kids(self) -> set[str]:
        """Of the keys that the stored envelopes are sealed with."""
        secrets = [self.secrets.peek(BILLING, one.spec.tokens_secret_name) for one in self.companies.values()]
        return {envelope.kid_of(one.data["envelope"].decode()) for one in secrets if one is not None}


async def test_a_year_without_an_expiry(record_property: Any) -> None:
    year = Year(seed=20261123)
    await year.run()
    down, up = EPOCH + OUTAGE_AT, EPOCH + OUTAGE_AT + OUTAGE
    gaps = [gap for company in year.companies.values() for gap in company.gaps]
    assert len(gaps) == CONNECTIONS, "each once: six hours are longer than a token lives"
    for start, end in gaps:
        assert down < start
        assert end <= up + RECOVERED
    assert all(company.endpoint.alive for company in year.companies.values())
    assert sum(company.endpoint.refusals for company in year.companies.values()) == 0
    assert year.kids() == {year.new.primary.kid}, "sealed anew at each refresh"
    without_the_old_key = year._start(year.new)
    for company in year.companies.values():
        assert (await without_the_old_key.ensure(company.spec)).usable

    def settled(moment: datetime) -> bool:
        return moment >= EPOCH + SETTLED and not down <= moment < up + SETTLED

    minutes = Counter(int(moment.timestamp() // 60) for moment in year.providers.sends if settled(moment))
    length = timedelta(days=DAYS) - 2 * SETTLED - OUTAGE
    mean = minutes.total() / (length / timedelta(minutes=1))
    fullest = max(minutes.values())
    everything = Counter(int(moment.timestamp() // 60) for moment in year.providers.sends)
    after = [(end - up).total_seconds() for _, end in gaps]
    record_property(
        "figure",
        f"{DAYS} days, {CONNECTIONS} connections: {len(year.providers.sends):,} refreshes, {mean:.2f} a minute, "
        f"the fullest minute {fullest} ({fullest / mean:.2f} times the mean); with import and outage "
        f"{max(everything.values())}; alive again {statistics.median(after):.0f} s (median), {max(after):.0f} s "
        "(last) after the outage",
    )
    assert fullest <= 3 * mean


async def test_the_check_would_notice_an_expiry() -> None:
    """A keeper that comes too late leaves gaps outside the outage."""
    year = Year(seed=1)
    company = year.companies["c00"]
    year._note(company, await year.keeper.ensure(company.spec))
    await year.clock.advance(timedelta(minutes=61))
    year._note(company, await year.keeper.ensure(company.spec))
    ((start, end),) = company.gaps
    assert end - start == timedelta(minutes=1)
