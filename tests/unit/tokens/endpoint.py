"""A token endpoint in memory: QuickBooks' rules for refresh tokens and codes, and a script of what goes wrong.

It is a `quickbooks.transport.Transport`, so that the real OAuth client stands between it and the keeper.
It remembers every send with the time during which it was, or may have been, at work on it.
"""

import asyncio
import base64
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qs

from fakes.clock import FakeClock
from qbsync.quickbooks.errors import NoAnswer, NotSent
from qbsync.quickbooks.transport import HttpRequest, HttpResponse

CLIENT = ("the-client", "s3cret-of-the-client")


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one call."""

    kind: str = "answer"
    """answer | not-sent | lost (committed or not, no answer) | status (that status, committed or not)."""
    status: int = 200
    body: str | None = None
    """Of that answer; TOKEN in it becomes the token that was sent."""
    commit: bool = True
    """Whether the provider acts on it, where no complete answer is given."""
    commit_after: float = 0.0
    """Seconds after sending at which it acts."""
    answer_after: float = 0.0
    """Seconds after sending at which the answer comes, or the connection breaks."""


OK = Effect()
NOT_SENT = Effect(kind="not-sent")
LOST_UNSPENT = Effect(kind="lost", commit=False)
LOST_SPENT = Effect(kind="lost")
THROTTLED = Effect(kind="status", status=429, commit=False)
FALSE_INVALID_GRANT = Effect(kind="status", status=400, body='{"error":"invalid_grant"}', commit=False)
GATEWAY_TIMEOUT_SPENT = Effect(kind="status", status=504, body="<html>gateway timeout</html>")
SERVER_ERROR = Effect(kind="status", status=500, body="", commit=False)


@dataclass(slots=True)
class Send:
    """One request that left a process."""

    token: str
    at: float
    """Monotonic seconds."""
    until: float = float("inf")
    """When the provider was done with it."""
    timeout: timedelta = timedelta()
    superseded: bool = False
    """The token was not the current one any more when it was sent."""


@dataclass(slots=True)
class TokenEndpoint:
    """One company's grant at the provider."""

    clock: FakeClock
    rotate: bool = True
    """A new refresh token with every refresh; else the value stays."""
    rotate_after: float = 0.0
    """Seconds for which a value stays the same all the same."""
    grace: float = 0.0
    """Seconds for which a superseded value still works."""
    reuse_revokes: bool = True
    """A superseded value that is used revokes the whole family."""
    lifetime: int = 3600
    current: str = "RT-0-first"
    alive: bool = True
    script: deque[Effect] = field(default_factory=deque)
    """Effects of the next calls, in order; OK when it is empty."""
    client: tuple[str, str] = CLIENT
    sends: list[Send] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    """Every token value it ever gave out."""
    extra: dict[str, object] = field(default_factory=dict)
    """More keys of the answer."""
    omit: frozenset[str] = frozenset()
    """Keys left out of the answer."""
    superseded: dict[str, float] = field(default_factory=dict)
    rotated_at: float = 0.0
    refusals: int = 0
    codes: dict[str, bool] = field(default_factory=dict)
    """Authorization codes that were not used yet; True: of this company, False: of another one."""
    consent_grace: float = float("-inf")
    """Seconds for which the value before a new consent still works."""
    exchanges: list[Send] = field(default_factory=list)
    """The codes that were sent, like `sends`."""
    elsewhere: set[str] = field(default_factory=set)
    """Living tokens of the other company."""
    on_exchange: Callable[[Send], None] | None = None
    on_send: Callable[[Send], None] | None = None
    _working: set[asyncio.Task[HttpResponse]] = field(default_factory=set)

    def reissue(self) -> str:
        """A new family, as after a consent; returns its refresh token."""
        self.superseded[self.current] = float("-inf")
        self.current, self.alive = f"RT-{len(self.issued)}-reissued", True
        self.issued.append(self.current)
        return self.current

    def consent(self, *, ours: bool = True) -> str:
        """A person chose this company, or another one; returns the code."""
        code = f"CODE-{len(self.codes)}-{len(self.issued)}-{len(self.exchanges)}"
        self.codes[code] = ours
        return code

    async def send(self, request: HttpRequest, *, timeout: timedelta) -> HttpResponse:
        if request.url.endswith("/revoke"):
            self._revoke(json.loads(request.body)["token"])
            return _response(200, "")
        effect = self.script.popleft() if self.script else OK
        if effect.kind == "not-sent":
            raise NotSent("not sent: no connection")
        form = parse_qs(request.body.decode())
        if "code" in form:
            record = Send(form["code"][0], self.clock.monotonic(), timeout=timeout)
            self.exchanges.append(record)
            if self.on_exchange is not None:
                self.on_exchange(record)
        else:
            token = form["refresh_token"][0]
            record = Send(token, self.clock.monotonic(), timeout=timeout, superseded=token != self.current)
            self.sends.append(record)
            if self.on_send is not None:
                self.on_send(record)
        # The provider works on, whatever becomes of the caller.
        work = asyncio.create_task(self._work(request, effect, record))
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        patience = min(
            timeout.total_seconds(), effect.answer_after if effect.kind == "lost" else float("inf")
        )
        timer = asyncio.create_task(self.clock.sleep(timedelta(seconds=patience)))
        waited_for = {timer} if effect.kind == "lost" else {timer, work}
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if effect.kind == "lost" or not work.done():
            raise NoAnswer("no answer: the connection broke; it may have been processed")
        return work.result()

    async def _work(self, request: HttpRequest, effect: Effect, record: Send) -> HttpResponse:
        if not self._authenticated(request):
            record.until = self.clock.monotonic()
            return _response(401, '{"error":"invalid_client"}')
        await self._rest(record, effect.commit_after)
        act = self._consented if record in self.exchanges else self._exchange
        body = act(record.token) if effect.commit else None
        record.until = self.clock.monotonic()
        await self._rest(record, effect.answer_after)
        if effect.kind == "status":
            return _response(effect.status, (effect.body or "").replace("TOKEN", record.token))
        return (
            _response(400, '{"error":"invalid_grant"}') if body is None else _response(200, json.dumps(body))
        )

    async def _rest(self, record: Send, after: float) -> None:
        left = record.at + after - self.clock.monotonic()
        if left > 0:
            await self.clock.sleep(timedelta(seconds=left))

    def _authenticated(self, request: HttpRequest) -> bool:
        expected = base64.b64encode(":".join(self.client).encode()).decode()
        return request.headers["authorization"] == f"Basic {expected}"

    def _exchange(self, token: str) -> dict[str, object] | None:
        """The provider's act: new tokens, or None for invalid_grant."""
        if not self._accepts(token):
            self.refusals += 1
            return None
        now = self.clock.monotonic()
        if self.rotate and now - self.rotated_at >= self.rotate_after:
            self.rotated_at = now
            self.superseded[self.current] = self.clock.monotonic() + self.grace
            self.current = f"RT-{len(self.issued)}-rotated"
        return self._granted(self.current)

    def _consented(self, code: str) -> dict[str, object] | None:
        """A code becomes a grant, once; a second use ends what came of the first."""
        ours = self.codes.pop(code, None)
        if ours is None:
            self.alive = False
            return None
        fresh = f"RT-{len(self.issued)}-{'consented' if ours else 'elsewhere'}"
        if not ours:
            self.elsewhere.add(fresh)
            return self._granted(fresh)
        now = self.clock.monotonic()
        self.superseded[self.current] = now + self.consent_grace
        self.current, self.alive, self.rotated_at = fresh, True, now
        return self._granted(fresh)

    def _revoke(self, token: str) -> None:
        self.elsewhere.discard(token)
        if token == self.current:
            self.alive = False

    def _granted(self, refresh_token: str) -> dict[str, object]:
        access = f"AT-{len(self.issued)}-{'y' if refresh_token in self.elsewhere else 'x'}{'x' * 39}"
        self.issued += [access, refresh_token]
        answer: dict[str, object] = {
            "token_type": "bearer",
            "access_token": access,
            "expires_in": self.lifetime,
            "refresh_token": refresh_token,
            "x_refresh_token_expires_in": 8726400,
            "x_refresh_token_hard_expires_in": 156032154,
            **self.extra,
        }
        return {key: value for key, value in answer.items() if key not in self.omit}

    def _accepts(self, token: str) -> bool:
        if not self.alive:
            return False
        if token == self.current:
            return True
        ends = self.superseded.get(token)
        if ends is not None and self.clock.monotonic() < ends:
            return True
        if ends is not None and self.reuse_revokes:
            self.alive = False
        return False


def _response(status: int, body: str) -> HttpResponse:
    kind = "text/html" if body.startswith("<") else "application/json;charset=UTF-8"
    headers = {"content-type": kind, "intuit_tid": "1-5f733c5a-55d0ff60812923e8b22c622b"}
    return HttpResponse(status=status, headers=headers, body=body.encode())
