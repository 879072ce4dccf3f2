"""Which answers of the API count for a company's circuit, and what an open one holds back."""

import random
from datetime import timedelta

import pytest
from pydantic import SecretStr

from fakes.clock import FakeClock
from qbsync.companies import GuardedTokens, GuardedTransport
from qbsync.engine.breaker import Breaker, BreakerSettings, CircuitState
from qbsync.quickbooks.client import AccessToken
from qbsync.quickbooks.errors import NoAnswer, NotSent, QuickBooksError
from qbsync.quickbooks.transport import HttpRequest, HttpResponse
from qbsync.tokens.errors import TokenUnavailable

REQUEST = HttpRequest("GET", "https://quickbooks.api.intuit.com/v3/company/1/companyinfo/1", {})
GOOD = HttpResponse(200, {}, b'\n{"CompanyInfo": {}}')
Answer = HttpResponse | QuickBooksError


def _local() -> NotSent:
    error = NotSent("not sent: no connection was free")
    error.ours = True
    return error


class Scene:
    """A transport with one answer for all, and its breaker."""

    def __init__(self, answer: Answer) -> None:
        self.clock, self.answer, self.sent = FakeClock(), answer, 0
        self.breaker = Breaker(clock=self.clock, rng=random.Random(1), settings=BreakerSettings())
        self.transport = GuardedTransport(self, self.breaker)

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        self.sent += 1
        if isinstance(self.answer, QuickBooksError):
            raise self.answer
        return self.answer

    async def token(self) -> AccessToken:
        return AccessToken(SecretStr("a token"), 1)

    async def rejected(self, token: AccessToken) -> None:
        raise AssertionError

    async def call(self, times: int = 5) -> None:
        for _ in range(times):
            try:
                await self.transport.send(REQUEST, timeout=timedelta(seconds=1))
            except QuickBooksError as error:
                assert error is self.answer  # noqa: PT017


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(500, {}, b'{"Fault": {}}'),
        HttpResponse(503, {}, b"<html>"),
        HttpResponse(408, {}, b""),
        HttpResponse(200, {}, b"<html>maintenance</html>"),
        HttpResponse(200, {}, b""),
        NoAnswer("no answer"),
        NotSent("not sent: no connection"),
    ],
)
async def test_what_an_ill_provider_answers_opens_it(answer: Answer) -> None:
    scene = Scene(answer)
    await scene.call()
    assert scene.breaker.state is CircuitState.OPEN


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        HttpResponse(400, {}, b'{"Fault": {}}'),
        HttpResponse(401, {}, b""),
        HttpResponse(403, {}, b"<html>"),
        HttpResponse(429, {}, b""),
        _local(),
    ],
)
async def test_refusals_throttling_and_our_own_trouble_do_not(answer: Answer) -> None:
    scene = Scene(answer)
    await scene.call(20)
    assert scene.breaker.state is CircuitState.CLOSED


async def test_an_open_one_gives_no_token_and_sends_nothing_then_one_probe() -> None:
    scene = Scene(NoAnswer("no answer"))
    tokens = GuardedTokens(scene, scene.breaker)
    assert (await tokens.token()).sequence == 1
    await scene.call()
    with pytest.raises(TokenUnavailable) as refused:
        await tokens.token()
    assert (refused.value.reason, "left alone" in refused.value.message) == ("CircuitOpen", True)
    with pytest.raises(NotSent):
        await scene.transport.send(REQUEST, timeout=timedelta(seconds=1))
    assert scene.sent == 5
    await scene.clock.advance(timedelta(seconds=45))
    scene.answer = GOOD
    assert (await tokens.token()).sequence == 1
    await scene.call(1)
    assert (scene.breaker.state, scene.sent) == (CircuitState.CLOSED, 6)
