"""The client against a QuickBooks in another process: real sockets, real answers, real trouble."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from fakes.clock import FakeClock, settle
from fixtures.simulator_server import RunningSimulator, minimal_invoice
from qbsync.quickbooks import errors
from qbsync.quickbooks.client import AccessToken, CompanyClient
from qbsync.quickbooks.entities import Entity, parse_invoice, parse_named
from qbsync.quickbooks.faults import DuplicateDocNumber, ErrorClass
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.oauth import QUICKBOOKS_SANDBOX, ClientCredentials, OAuthClient, Provider, TokenAnswer
from qbsync.quickbooks.query import select_by
from qbsync.quickbooks.transport import HttpTransport

LONG = timedelta(seconds=30)
FIELDS = (
    "SyncToken",
    "DocNumber",
    "TxnDate",
    "CustomerRef",
    "CurrencyRef",
    "TotalAmt",
    "Balance",
    "MetaData",
)


class Grant:
    """One grant of the simulator: a token source that refreshes when told that its token was refused."""

    def __init__(self, simulator: RunningSimulator, transport: HttpTransport) -> None:
        issued = simulator.tokens()
        self.provider: Provider = replace(
            QUICKBOOKS_SANDBOX, token_url=f"{simulator.base_url}/oauth2/v1/tokens/bearer"
        )
        self.credentials = ClientCredentials(issued["client_id"], SecretStr(issued["client_secret"]))
        self.current = AccessToken(SecretStr(issued["access_token"]), 1)
        self.refresh_token = SecretStr(issued["refresh_token"])
        self.oauth = OAuthClient(transport=transport)
        self.rejections = 0
        self.one_at_a_time = asyncio.Lock()

    async def token(self) -> AccessToken:
        return self.current

    async def rejected(self, token: AccessToken) -> None:
        self.rejections += 1
        async with self.one_at_a_time:
            if token.sequence == self.current.sequence:
                granted = await self.refresh()
                self.current = AccessToken(granted.access_token, token.sequence + 1)
                self.refresh_token = granted.refresh_token or self.refresh_token

    async def refresh(self) -> TokenAnswer:
        return await self.oauth.refresh(
            provider=self.provider,
            credentials=self.credentials,
            refresh_token=self.refresh_token,
            timeout=LONG,
        )


class Silent:
    """Counts nothing."""

    def observed(self, **_: object) -> None:
        pass


class Company:
    """A company of the simulator, its grant, and a client for it."""

    def __init__(self, simulator: RunningSimulator, transport: HttpTransport) -> None:
        self.simulator = simulator
        self.transport = transport
        self.clock = FakeClock()
        self.grant = Grant(simulator, transport)
        self.client = self.client_with(timeout=LONG)

    def client_with(self, *, timeout: timedelta) -> CompanyClient:
        limiter = CompanyLimiter(clock=self.clock, per_second=10_000, per_minute=10_000)
        return CompanyClient(
            origin=self.simulator.base_url,
            realm=self.simulator.realm_id,
            transport=self.transport,
            tokens=self.grant,
            limiter=limiter,
            timeout=timeout,
            observer=Silent(),
        )

    async def create(self, number: str, *, requestid: str | None = None, amount: str = "100") -> Entity:
        body = minimal_invoice(Decimal(amount), DocNumber=number)
        return await self.client.create(
            "Invoice", body, requestid=requestid or f"create-{number}", before_send=lambda: None
        )

    async def look_up(self, *numbers: str) -> list[str]:
        rows = await select_by(
            self.client, entity="Invoice", fields=FIELDS, field="DocNumber", values=numbers
        )
        return [str(parse_invoice(row).doc_number) for row in rows]

    def count(self, number: str) -> int:
        return len(self.simulator.invoices(number))


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator(profile="unlimited") as running:
        yield running


@asynccontextmanager
async def transport() -> AsyncIterator[HttpTransport]:
    wire = HttpTransport(max_connections=20)
    try:
        yield wire
    finally:
        await wire.aclose()


@pytest.fixture
async def company(simulator: RunningSimulator) -> AsyncIterator[Company]:
    simulator.reset()
    async with transport() as wire:
        yield Company(simulator, wire)


async def unknown(company: Company, number: str) -> errors.QuickBooksError:
    with pytest.raises(errors.QuickBooksError) as caught:
        await company.create(number)
    assert errors.outcome_unknown(caught.value)
    return caught.value


async def test_create_query_and_read_agree(company: Company) -> None:
    created = parse_invoice(await company.create("INV-1", amount="1861.07"))
    (row,) = await select_by(
        company.client, entity="Invoice", fields=FIELDS, field="DocNumber", values=("INV-1", "INV-2")
    )
    found = parse_invoice(row)
    assert (found.id, found.total, found.balance) == (created.id, Decimal("1861.07"), Decimal("1861.07"))
    assert (found.customer_id, found.currency, found.created) == ("1", "USD", created.created)
    assert parse_invoice(await company.client.read("Invoice", created.id)) == created


async def test_every_call_carries_a_transaction_id(company: Company) -> None:
    assert (await company.create("INV-1")).intuit_tid
    with pytest.raises(errors.Rejected) as caught:
        await company.client.read("Invoice", "99999999")
    assert caught.value.code == "610"
    assert caught.value.intuit_tid


async def test_company_info_and_preferences(company: Company) -> None:
    assert (await company.client.company_info()).country == "US"
    found = await company.client.preferences()
    assert (found.custom_transaction_numbers, found.home_currency) == (True, "USD")


async def test_escapes_are_understood(company: Company) -> None:
    numbers = ("O'Brien", "back\\slash", "both\\'", "%", "é😀", "a)b,c")
    for number in numbers:
        await company.create(number, requestid=f"r{numbers.index(number)}")
    assert sorted(await company.look_up(*numbers, "none of them")) == sorted(numbers)


async def test_a_lookup_in_many_chunks_finds_every_row(company: Company) -> None:
    numbers = [f"INV-{index}" for index in range(30)]
    await asyncio.gather(*(company.create(number) for number in numbers))
    asked = [f"INV-{index}" for index in range(250)]
    assert sorted(await company.look_up(*asked)) == sorted(numbers)
    assert company.simulator.counters()["requests"]["query"] == 3


async def test_a_chunk_that_is_too_long_for_quickbooks_is_halved(company: Company) -> None:
    company.simulator.switch(maxInValues=40)
    await asyncio.gather(*(company.create(f"INV-{index}") for index in range(30)))
    assert len(await company.look_up(*(f"INV-{index}" for index in range(100)))) == 30


async def test_an_unknown_field_is_refused_down_to_a_single_value(company: Company) -> None:
    with pytest.raises(errors.ValueRefused) as caught:
        await select_by(company.client, entity="Invoice", fields=(), field="Nothing", values=("A", "B"))
    assert (caught.value.code, caught.value.value) == ("4001", "A")


async def test_names_come_with_inactive_ones_if_asked(company: Company) -> None:
    rows = await select_by(
        company.client,
        entity="Customer",
        fields=("DisplayName", "Active"),
        field="DisplayName",
        values=[row["DisplayName"] for row in company.simulator.state()["customers"]],
        extra="Active IN (true, false)",
    )
    assert {parse_named(row).id for row in rows} == {
        row["Id"] for row in company.simulator.state()["customers"]
    }


async def test_a_repeated_requestid_is_one_invoice(company: Company) -> None:
    first = await company.create("INV-1", requestid="same")
    second = await company.create("INV-1", requestid="same")
    assert first["Id"] == second["Id"]
    assert company.count("INV-1") == 1


@pytest.mark.parametrize(
    ("form", "expected"),
    [("long", ("INV-1", "Invoice")), ("short", (None, None))],
)
async def test_a_number_in_use_is_a_definite_conflict(
    company: Company, form: str, expected: tuple[str | None, str | None]
) -> None:
    company.simulator.switch(duplicateDocCheck=True, duplicateDocForm=form)
    first = await company.create("INV-1")
    with pytest.raises(errors.Rejected) as caught:
        await company.create("INV-1", requestid="another")
    told = DuplicateDocNumber.parse(caught.value.detail)
    assert told is not None
    assert (told.doc_number, told.txn_type) == expected
    assert told.txn_id in (first["Id"], None)
    assert caught.value.error_class is ErrorClass.CONFLICT
    assert not errors.outcome_unknown(caught.value)
    assert company.count("INV-1") == 1


async def test_a_wrong_request_is_a_definite_refusal(company: Company) -> None:
    with pytest.raises(errors.Rejected) as caught:
        await company.client.create(
            "Invoice", {"CustomerRef": {"value": "1"}}, requestid="r", before_send=lambda: None
        )
    assert caught.value.error_class is ErrorClass.PERMANENT
    assert not errors.outcome_unknown(caught.value)


async def test_an_expired_token_is_refreshed_once_for_ten_calls_at_once(company: Company) -> None:
    company.simulator.advance(3601)
    await asyncio.gather(*(company.create(f"INV-{index}") for index in range(10)))
    counters = company.simulator.counters()
    assert counters["requests"]["refresh"] == 1
    assert (
        len({row["DocNumber"] for row in company.simulator.invoices()} & {f"INV-{i}" for i in range(10)})
        == 10
    )


async def test_a_token_that_no_refresh_helps_is_refused_without_showing_it(company: Company) -> None:
    wrong = AccessToken(SecretStr("wrong-token-wrong-token"), 1)
    company.grant.current = wrong

    async def same(token: AccessToken) -> None:
        """The refreshed token is no better."""

    company.grant.rejected = same  # type: ignore[method-assign]
    with pytest.raises(errors.Unauthorized) as caught:
        await company.client.company_info()
    assert caught.value.code == "3200"
    assert "wrong-token" not in f"{caught.value!r} {vars(caught.value)}"


async def test_another_companys_grant_is_told_apart(company: Company) -> None:
    other = company.simulator.realm()
    issued = company.simulator.tokens(other)
    company.grant.current = AccessToken(SecretStr(issued["access_token"]), 1)
    with pytest.raises(errors.WrongRealm):
        await company.client.company_info()
    assert company.grant.rejections == 0


async def test_a_429_pauses_the_company(company: Company) -> None:
    company.simulator.fault({"operation": "create"}, {"status": 429})
    error = await unknown(company, "INV-1")
    assert isinstance(error, errors.Throttled)
    later = asyncio.create_task(company.create("INV-1"))
    await company.clock.advance(timedelta(seconds=59))
    await settle()
    assert company.simulator.counters()["requests"].get("create", 0) == 1
    await company.clock.advance(timedelta(seconds=2))
    await later
    assert company.count("INV-1") == 1


@pytest.mark.parametrize(
    ("effect", "stored", "kind"),
    [
        ({"drop": "before"}, 0, errors.NoAnswer),
        ({"drop": "after"}, 1, errors.NoAnswer),
        ({"status": 504, "html": True, "commit": True}, 1, errors.ServerFailure),
        ({"status": 503}, 0, errors.ServerFailure),
        ({"status": 500, "html": True}, 0, errors.ServerFailure),
        ({"status": 429, "commit": True}, 1, errors.Throttled),
        ({"truncated": True}, 1, errors.QuickBooksError),
    ],
)
async def test_an_answer_that_does_not_come_whole_leaves_the_outcome_unknown(
    company: Company, effect: dict[str, Any], stored: int, kind: type[errors.QuickBooksError]
) -> None:
    company.simulator.fault({"operation": "create"}, effect)
    assert isinstance(await unknown(company, "INV-1"), kind)
    assert company.count("INV-1") == stored
    again = asyncio.create_task(company.create("INV-1"))
    await company.clock.advance(timedelta(seconds=61))
    await again
    assert company.count("INV-1") == 1


async def test_a_timeout_leaves_the_outcome_unknown(company: Company) -> None:
    company.simulator.fault({"operation": "create"}, {"delaySeconds": 1.5})
    company.client = company.client_with(timeout=timedelta(seconds=0.3))
    assert isinstance(await unknown(company, "INV-1"), errors.NoAnswer)


@pytest.mark.parametrize("effect", [{"drop": "after"}, {"status": 502, "html": True}, {"truncated": True}])
async def test_a_lookup_without_a_whole_answer_raises(company: Company, effect: dict[str, Any]) -> None:
    await company.create("INV-1")
    company.simulator.fault({"operation": "query"}, effect)
    with pytest.raises(errors.QuickBooksError):
        await company.look_up("INV-1")
    assert await company.look_up("INV-1") == ["INV-1"]


async def test_a_refresh_and_its_hard_expiry(company: Company) -> None:
    granted = await company.grant.refresh()
    assert granted.expires_in == timedelta(hours=1)
    assert granted.refresh_expires_in is not None
    assert granted.refresh_hard_expires_in is not None
    assert granted.refresh_hard_expires_in > granted.refresh_expires_in


async def test_a_dead_refresh_token_and_a_wrong_secret(company: Company) -> None:
    company.grant.refresh_token = SecretStr("RT1-never-issued")
    with pytest.raises(errors.InvalidGrant):
        await company.grant.refresh()
    company.grant.credentials = replace(company.grant.credentials, client_secret=SecretStr("wrong"))
    with pytest.raises(errors.InvalidClient):
        await company.grant.refresh()


@pytest.mark.parametrize(
    "effect", [{"drop": "after"}, {"status": 504, "html": True, "commit": True}, {"truncated": True}]
)
async def test_a_refresh_without_a_whole_answer_may_have_spent_the_token(
    company: Company, effect: dict[str, Any]
) -> None:
    company.simulator.fault({"operation": "refresh"}, effect)
    with pytest.raises(errors.TokenPerhapsProcessed):
        await company.grant.refresh()


async def test_a_quickbooks_that_is_not_there(company: Company) -> None:
    gone = CompanyClient(
        origin="http://127.0.0.1:1",
        realm="1",
        transport=company.transport,
        tokens=company.grant,
        limiter=CompanyLimiter(clock=company.clock),
        timeout=LONG,
        observer=Silent(),
    )
    with pytest.raises(errors.NotSent):
        await gone.company_info()
