"""The accounting API as a client sees it: gateway (token, realm, limits), then the service, then the answer."""

from collections.abc import Callable

from qbsync.simulator import faults, headers, journal, synthesis
from qbsync.simulator.calls import Call, understand
from qbsync.simulator.faults import Refusal
from qbsync.simulator.injection import NOTHING, Effect
from qbsync.simulator.perform import Background, perform
from qbsync.simulator.requestids import LONGEST
from qbsync.simulator.responses import (
    Answer,
    Outcome,
    envelope,
    refused,
    service_answer,
    throttled,
    unauthorized,
    wrong_realm,
)
from qbsync.simulator.wire import Receive, Scope, Send, deliver, read_body
from qbsync.simulator.world import World

_SHORTEST_TOKEN, _LONGEST_TOKEN = 20, 4096


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
        call = understand(scope["method"], scope["path"], scope["query_string"], body)
        entry = _begin(world, call, tid)
        outcome = await self._outcome(world, call, _bearer(scope))
        seconds = world.clock.timestamp() - started
        journal.end(entry, outcome, seconds=seconds)
        await deliver(
            outcome, lambda answer: headers.for_answer(answer, tid=tid, seconds=seconds), scope, receive, send
        )

    async def _outcome(self, world: World, call: Call, token: str | None) -> Outcome:
        now = world.clock.now()
        refusal = _gateway_refusal(world, call, token)
        if refusal is not None:
            return refusal
        if not world.limits.admit(call.realm_id, now.timestamp()) or not _quota_allows(world, call):
            world.counters.throttled += 1
            return throttled(now, service_shape=world.switches.choice("throttleShape") == "service")
        return await self._performed(world, call, token or "")

    async def _performed(self, world: World, call: Call, token: str) -> Outcome:
        effect = world.rules.effect_for(call.operation, call.realm_id, call.entity)
        if effect is None:
            effect = world.weather.effect_for(call.operation) or NOTHING
        at_arrival = world.switches.choice("requestidChecked") == "atArrival"
        early = _recall(world, call) if at_arrival else None

        def synthesize(asked: Effect) -> Answer:
            return synthesis.api_answer(asked, world.clock.now(), token)

        try:
            return await perform(
                world,
                self._background,
                effect,
                carry_out=lambda: early or _carry_out(world, call, check_requestid=not at_arrival),
                synthesize=synthesize,
            )
        finally:
            world.limits.release(call.realm_id)


def _begin(world: World, call: Call, tid: str) -> journal.Entry:
    about = {"realmId": call.realm_id, "entity": call.entity, "requestid": call.requestid or None}
    if call.operation == "query":
        about["statement"] = call.statement
    return journal.begin(
        world, operation=call.operation, method=call.method, path=call.path, tid=tid, **about
    )


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else None
    return None


def _gateway_refusal(world: World, call: Call, value: str | None) -> Answer | None:
    """401 for a token that is none or dead, 403 for one of another company, None for one that may pass."""
    now = world.clock.now()
    if value is None:
        return unauthorized(None, now, message="ApplicationAuthenticationFailed")
    token = world.authority.access_token(value)
    if token is None and not _SHORTEST_TOKEN <= len(value) <= _LONGEST_TOKEN:
        return unauthorized("Malformed bearer token: too short or too long", now)
    if token is not None and token.revoked:
        return unauthorized("Token revoked", now)
    if token is None or now.timestamp() >= token.expires_at:
        return unauthorized(f"Token expired: {value}", now)
    if token.grant.realm_id != call.realm_id or call.realm_id not in world.companies:
        return wrong_realm(now)
    return None


def _quota_allows(world: World, call: Call) -> bool:
    """Metered reads stop at the app's monthly quota; an admitted call gives its place back."""
    if call.is_write or world.limits.read_allowed(_month(world)):
        return True
    world.limits.release(call.realm_id)
    return False


def _month(world: World) -> str:
    return f"{world.clock.now():%Y-%m}"


def _carry_out(world: World, call: Call, *, check_requestid: bool) -> Answer:
    """The service's part, at one instant: replay or do, remember, count."""
    repeated = _recall(world, call) if check_requestid else None
    if repeated is not None:
        return repeated
    try:
        answer = _serve(world, call)
    except Refusal as refusal:
        answer = _refused(world, refusal)
    if call.requestid:
        world.requestids.remember(call.realm_id, call.requestid, answer, world.clock.timestamp())
    if answer.succeeded and not call.is_write:
        world.counters.metered_reads += 1
        world.limits.note_read(_month(world))
    return answer


def _recall(world: World, call: Call) -> Answer | None:
    """The answer of an earlier call with this requestid, whatever that call was."""
    if not call.requestid:
        return None
    answer = world.requestids.recall(call.realm_id, call.requestid, world.clock.timestamp())
    if answer is None:
        return None
    world.counters.replays += 1
    if world.switches.choice("requestidMemory") == "fault600":
        return _refused(world, faults.duplicate_request())
    return answer


def _refused(world: World, refusal: Refusal) -> Answer:
    return refused(refusal, world.clock.now(), lower_case=world.switches.on("lowerCaseFaults"))


def _serve(world: World, call: Call) -> Answer:
    if len(call.requestid) > LONGEST:
        raise faults.length_out_of_range("requestid", maximum=LONGEST, supplied=len(call.requestid))
    if call.problem is not None:
        raise call.problem
    company = world.companies[call.realm_id]
    moment = world.moment()
    if call.operation == "query":
        return service_answer(
            envelope("QueryResponse", world.ledger.query(company, call.statement, moment), moment.now)
        )
    if call.kind is None:
        raise faults.unsupported_operation(call.path)
    if call.operation == "read":
        return service_answer(
            envelope(call.kind.name, world.ledger.read(company, call.kind, call.identifier), moment.now)
        )
    allowed = "allowduplicatedocnum" in call.params.get("include", "").split(",")
    record = world.ledger.create(company, call.kind, call.body, moment, allow_duplicate=allowed)
    return service_answer(envelope(call.kind.name, record.body, moment.now))
