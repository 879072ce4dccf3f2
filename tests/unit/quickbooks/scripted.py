"""A QuickBooks that answers from a list, and recorded answers to put on it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fakes.clock import FakeClock
from qbsync.quickbooks.client import AccessToken, CompanyClient
from qbsync.quickbooks.limits import CompanyLimiter
from qbsync.quickbooks.transport import HttpRequest, HttpResponse

RECORDED = Path(__file__).parent / "recorded"
TOKEN = "eyJlbmMiOiJBMTI4Q0JDLUhTMjU2In0..access-token-1"  # made up
Step = (
    HttpResponse
    | Exception
    | Callable[[HttpRequest], HttpResponse]
    | Callable[[HttpRequest], Awaitable[HttpResponse]]
)


def answer(
    body: object = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    raw: bytes | None = None,
) -> HttpResponse:
    """An answer with a JSON body, or with raw bytes."""
    content = raw if raw is not None else json.dumps(body).encode()
    standard = {"content-type": "application/json;charset=utf-8", "intuit_tid": "1-5f733c5a-55d0ff60"}
    return HttpResponse(status=status, headers={**standard, **(headers or {})}, body=content)


def fault(
    code: str, *, status: int = 400, message: str = "message", detail: str | None = "detail"
) -> HttpResponse:
    """A fault of the service, as recorded."""
    return answer(faults({"Message": message, "Detail": detail, "code": code, "element": ""}), status=status)


def faults(*errors: Mapping[str, Any], kind: str = "ValidationFault") -> dict[str, Any]:
    """The body of a fault with these errors."""
    return {"Fault": {"Error": list(errors), "type": kind}, "time": "2020-09-29T06:53:30.722-07:00"}


def rows(entity: str, *found: Mapping[str, Any], **counters: int) -> HttpResponse:
    """One page of a query."""
    page: dict[str, Any] = (
        {entity: list(found), "startPosition": 1, "maxResults": len(found)} if found else {}
    )
    return answer({"QueryResponse": {**page, **counters}, "time": "2020-09-29T06:51:37.512-07:00"})


def recorded(name: str, index: int = 0) -> HttpResponse:
    """A recorded answer of minimul-qbo_api."""
    entry = json.loads((RECORDED / "minimul-qbo_api" / f"{name}.json").read_text())[index]["response"]
    headers = {
        key.lower().replace("intuit-tid", "intuit_tid"): value for key, value in entry["headers"].items()
    }
    return HttpResponse(entry["status"], headers, json.dumps(entry["body"]).encode())


def recorded_bytes(path: str) -> bytes:
    """The bytes of a recorded body."""
    return (RECORDED / path).read_bytes()


class ScriptedTransport:
    """Replays its steps in order; remembers what was asked."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.requests: list[HttpRequest] = []
        self.timeouts: list[timedelta] = []

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        self.requests.append(request)
        self.timeouts.append(timeout)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, HttpResponse):
            return step
        result = step(request)
        return result if isinstance(result, HttpResponse) else await result


class Tokens:
    """A grant whose access token gets a new value with every rejection."""

    def __init__(self) -> None:
        self.sequence = 1
        self.rejections: list[int] = []
        self.asked = 0

    async def token(self) -> AccessToken:
        self.asked += 1
        return AccessToken(SecretStr(TOKEN.replace("-1", f"-{self.sequence}")), self.sequence)

    async def rejected(self, token: AccessToken) -> None:
        self.rejections.append(token.sequence)
        if token.sequence == self.sequence:
            self.sequence += 1


@dataclass
class Observer:
    """Remembers every call it was told of."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def observed(self, **call: Any) -> None:
        self.seen.append(call)


@dataclass
class Company:
    """A client in front of a scripted QuickBooks, with everything around it in reach."""

    transport: ScriptedTransport
    clock: FakeClock = field(default_factory=FakeClock)
    tokens: Tokens = field(default_factory=Tokens)
    observer: Observer = field(default_factory=Observer)

    def __post_init__(self) -> None:
        self.limiter = CompanyLimiter(clock=self.clock, per_second=1000, per_minute=10_000)
        self.client = CompanyClient(
            origin="https://quickbooks.example/",
            realm="9130347596842384",
            transport=self.transport,
            tokens=self.tokens,
            limiter=self.limiter,
            timeout=timedelta(seconds=130),
            observer=self.observer,
        )


def company(*steps: Step) -> Company:
    """A company whose QuickBooks answers with these steps."""
    return Company(ScriptedTransport(*steps))
