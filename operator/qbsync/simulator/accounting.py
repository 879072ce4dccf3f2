"""The accounting API as a client sees it: gateway (token, realm, limits), then the service, then the answer."""

import gzip
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from qbsync.simulator import faults, headers, journal, synthesis, xmlanswers
from qbsync.simulator.calls import Call, understand
from qbsync.simulator.faults import NothingSaid, Refusal
from qbsync.simulator.injection import NOTHING, Effect
from qbsync.simulator.limits import Caller
from qbsync.simulator.perform import Background, perform
from qbsync.simulator.requestids import LONGEST
from qbsync.simulator.responses import (
    Answer,
    Outcome,
    Truncated,
    envelope,
    html_error,
    pdf_answer,
    refused,
    service_answer,
    throttled,
    unauthorized,
    wrong_realm,
)
from qbsync.simulator.service import batch, cdc
from qbsync.simulator.service.execute import Setting, execute, may_read, note_read, print_pdf
from qbsync.simulator.service.media import Format, answer_format, check_accept, check_content_type
from qbsync.simulator.wire import LARGEST_BODY, Receive, Scope, Send, deliver, read_body
from qbsync.simulator.world import World

_SHORTEST_TOKEN, _LONGEST_TOKEN = 20, 4096

logger = logging.getLogger(__name__)


class Accounting:
    """`/v3/company/{realmId}/…`."""

    def __init__(self, world: Callable[[], World], background: Background) -> None:
        self._world = world
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its last byte to the answer's. Goes on when the client is gone."""
        body = await read_body(receive)
        if body is None:
            return
        world = self._world()
        started = world.clock.timestamp()
        tid = headers.new_tid(world.tids, started)
        sent = _headers(scope)
        call = understand(
            scope["method"],
            scope["path"],
            scope["query_string"],
            body[:LARGEST_BODY],
            content_type=sent.get("content-type", ""),
        )
        entry = _begin(world, call, tid)
        otherwise = Format(world.switches.choice("formatWithoutAccept"))
        wanted = answer_format(sent.get("accept", ""), otherwise=otherwise)
        one = _OneCall(world, self._background, call, _bearer(sent), entry, wanted=wanted)
        outcome = html_error(413) if len(body) > LARGEST_BODY else await one.outcome()
        outcome = _written(world, outcome, wanted, sent)
        seconds = world.clock.timestamp() - started
        journal.end(entry, outcome, seconds=seconds)
        await deliver(
            outcome, lambda answer: headers.for_answer(answer, tid=tid, seconds=seconds), scope, receive, send
        )


class _OneCall:
    """One call on its way from the gateway to the answer."""

    def __init__(
        self,
        world: World,
        background: Background,
        call: Call,
        token: str | None,
        entry: journal.Entry,
        *,
        wanted: Format | None,
    ) -> None:
        self._world = world
        self._background = background
        self._call = call
        self._token = token
        self._entry = entry
        self._wanted = wanted
        self._caller = Caller(call.realm_id, "")

    async def outcome(self) -> Outcome:
        """What the client gets to see."""
        refusal = self._gateway_refusal()
        if refusal is not None:
            return refusal
        world, call = self._world, self._call
        if not world.limits.admit(self._caller, world.clock.timestamp(), batch=call.operation == "batch"):
            return self._throttled()
        try:
            if not call.is_write and not may_read(world, call.realm_id, self._caller.client_id):
                return self._throttled()
            return await self._performed()
        finally:
            world.limits.release(self._caller)

    def _gateway_refusal(self) -> Answer | None:
        """401 for a token that is none or dead, 403 for one of another company, None for one that may pass."""
        world, value, now = self._world, self._token, self._world.clock.now()
        if value is None:
            return unauthorized(None, now, message="ApplicationAuthenticationFailed")
        token = world.authority.access_token(value)
        if token is None and not _SHORTEST_TOKEN <= len(value) <= _LONGEST_TOKEN:
            return unauthorized("Malformed bearer token: too short or too long", now)
        if token is not None and token.revoked:
            return unauthorized("Token revoked", now)
        if token is None or now.timestamp() >= token.expires_at:
            return unauthorized(f"Token expired: {value}", now)
        if not world.admits(token, self._call.realm_id):
            return wrong_realm(now)
        self._caller = Caller(self._call.realm_id, token.client_id)
        return None

    def _throttled(self) -> Answer:
        world = self._world
        world.counters.throttled += 1
        return throttled(world.clock.now(), service_shape=world.switches.choice("throttleShape") == "service")

    async def _performed(self) -> Outcome:
        world, call = self._world, self._call
        effect = world.rules.effect_for(call.operation, call.realm_id, call.entity)
        if effect is None:
            effect = world.weather.effect_for(call.operation) or NOTHING
        if effect is not NOTHING:
            self._entry["effect"] = effect.described()
        at_arrival = world.switches.choice("requestidChecked") == "atArrival"
        early = self._recall() if at_arrival else None

        def synthesize(asked: Effect) -> Answer:
            return synthesis.api_answer(asked, world.clock.now(), self._token or "")

        return await perform(
            world,
            self._background,
            effect,
            carry_out=lambda: (
                early or self._carry_out(check_requestid=not at_arrival, most=effect.commit_items)
            ),
            synthesize=synthesize,
            steps=batch.length(call.body) if call.operation == "batch" else 1,
        )

    def _carry_out(self, *, check_requestid: bool, most: int | None) -> Answer:
        """The service's part, at one instant: replay or do, remember, count."""
        world, call = self._world, self._call
        repeated = self._recall() if check_requestid else None
        if repeated is not None:
            return repeated
        answer = self._guarded(most)
        if self._has_memory and answer.status != 429:
            world.requestids.remember(call.realm_id, call.requestid, answer, world.clock.timestamp())
        if answer.succeeded and not call.is_write:
            note_read(world, call.realm_id, self._caller.client_id)
        return answer

    @property
    def _has_memory(self) -> bool:
        """A batch's items have their requestids, the batch itself has none."""
        return bool(self._call.requestid) and self._call.operation != "batch"

    def _recall(self) -> Answer | None:
        """The answer of an earlier call with this requestid, whatever that call was."""
        world, call = self._world, self._call
        if not self._has_memory:
            return None
        answer = world.requestids.recall(call.realm_id, call.requestid, world.clock.timestamp())
        if answer is None:
            return None
        world.counters.replays += 1
        if world.switches.choice("requestidMemory") == "fault600":
            return self._refused(faults.duplicate_request())
        return answer

    def _refused(self, refusal: Refusal) -> Answer:
        if refusal.status == 429:
            return self._throttled()
        lower_case = self._world.switches.on("lowerCaseFaults")
        return refused(refusal, self._world.clock.now(), lower_case=lower_case)

    def _guarded(self, most: int | None) -> Answer:
        """The answer; a bug of the simulator is told to whoever runs it, and answered as QuickBooks answers its own."""
        try:
            return self._served(most)
        except Refusal as refusal:
            return self._refused(refusal)
        except NothingSaid:
            return html_error(500)
        except Exception:
            logger.exception("the simulator cannot carry out %s %s", self._call.method, self._call.path)
            self._world.counters.internal_errors += 1
            return self._refused(faults.system_failure())

    def _served(self, most: int | None) -> Answer:
        world, call = self._world, self._call
        if call.problem is not None and call.operation == "unsupported":
            raise call.problem
        check_accept(call, self._wanted)
        if world.switches.choice("contentTypes") == "enforced":
            check_content_type(call, json_send=world.switches.choice("jsonSend"))
        if len(call.requestid) > LONGEST and call.operation != "batch":
            raise faults.requestid_too_long(call.requestid)
        if call.problem is not None:
            raise call.problem
        setting = Setting.of(world, call.realm_id, self._caller.client_id)
        if call.operation == "pdf":
            return pdf_answer(print_pdf(setting, call))
        if call.operation == "batch":
            items = batch.run(setting, call, access_token=self._token or "", most=most)
            return service_answer(envelope("BatchItemResponse", items, setting.moment.now))
        if call.operation == "cdc":
            return service_answer(envelope("CDCResponse", cdc.changes(setting, call), setting.moment.now))
        part = execute(setting, call)
        if part.identifier:
            self._entry["entityId"] = part.identifier
        return service_answer(envelope(part.name, part.body, setting.moment.now))


def _begin(world: World, call: Call, tid: str) -> journal.Entry:
    about: dict[str, object] = {
        "realmId": call.realm_id,
        "entity": call.entity,
        "requestid": call.requestid or None,
    }
    if call.operation == "query":
        about["statement"] = call.statement
    elif call.operation == "batch":
        about["items"] = batch.outline(call.body)
    if call.identifier:
        about["entityId"] = call.identifier
    return journal.begin(
        world, operation=call.operation, method=call.method, path=call.path, tid=tid, **about
    )


def _headers(scope: Scope) -> Mapping[str, str]:
    """The request's headers; of one that comes twice, the first."""
    sent: dict[str, str] = {}
    for name, value in scope["headers"]:
        sent.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return sent


def _bearer(sent: Mapping[str, str]) -> str | None:
    scheme, _, token = sent.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _written(world: World, outcome: Outcome, wanted: Format | None, sent: Mapping[str, str]) -> Outcome:
    """The outcome in the format asked for, compressed where both sides like it."""
    if wanted is Format.XML:
        outcome = xmlanswers.in_xml(outcome, world.clock.now())
    if world.switches.on("compressedAnswers") and "gzip" in sent.get("accept-encoding", ""):
        outcome = _compressed(outcome)
    return outcome


def _compressed(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Truncated):
        return Truncated(_zipped(outcome.answer))
    return _zipped(outcome) if isinstance(outcome, Answer) else outcome


def _zipped(answer: Answer) -> Answer:
    if not answer.from_service or answer.content_type == "application/pdf":
        return answer
    encoding = ("content-encoding", "gzip")
    return replace(answer, body=gzip.compress(answer.body, mtime=0), headers=(*answer.headers, encoding))
