"""Batches: items carried out one after another, each for itself, all in one answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qbsync.simulator import faults, jsoncodec, synthesis
from qbsync.simulator.calls import Call, write_operation
from qbsync.simulator.entities import schema
from qbsync.simulator.entities.kinds import ELSEWHERE, KINDS
from qbsync.simulator.faults import Refusal
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.requestids import LONGEST
from qbsync.simulator.responses import Answer, fault_document
from qbsync.simulator.service.execute import Setting, execute, may_read, note_read

# Intuit, 2015-04-06: with a requestid, which is then at most 36 characters long, a bId has at most 10.
LONGEST_REQUESTID, LONGEST_BID = 36, 10
_FIELDS = ("BatchItemRequest",)
_ITEM_FIELDS = ("bId", "operation", "optionsData", "Query")


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its bId, the call it stands for, and its own requestid; empty where it has none."""

    bid: str | None
    call: Call
    requestid: str = ""


def outline(body: JsonObject) -> list[str]:
    """The operations of a batch's items, for the journal; whatever the body is."""
    items = body.get("BatchItemRequest")
    return [_named(item) for item in items] if isinstance(items, list) else []


def length(body: JsonObject) -> int:
    """How many items a batch has, from 1 to 100; whatever the body is."""
    items = body.get("BatchItemRequest")
    return min(max(len(items), 1), 100) if isinstance(items, list) else 1


def read_items(call: Call, *, most: int) -> Sequence[Item]:
    """The items of a batch. Raises Refusal for a batch that is none, or larger than `most`."""
    unknown = [name for name in call.body if name not in _FIELDS]
    if unknown:
        raise faults.unknown_property("IntuitBatchRequest", unknown[0], _FIELDS)
    items = call.body.get("BatchItemRequest")
    if items is None or items == []:
        raise faults.missing_parameters("BatchItemRequest")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise faults.unreadable_property("BatchItemRequest")
    if len(items) > most:
        raise faults.batch_too_large(most, len(items))
    return [_item(call, item) for item in items]


def run(setting: Setting, call: Call, *, access_token: str, most: int | None = None) -> bytes:
    """The content of BatchItemResponse; with `most`, only so many items are carried out. Raises Refusal."""
    world = setting.world
    items = read_items(call, most=int(world.switches.number("maxBatchItems")))
    if (
        world.switches.choice("batchUnknownField") == "whole"
        and world.switches.choice("unknownFields") == "refuse"
    ):
        _check_fields(items)
    answers: dict[int, bytes] = {}
    for position in _order(items[:most], queries_first=not world.switches.on("batchSeesItself")):
        item = items[position]
        world.counters.batch_items[item.call.operation] += 1
        answers[position] = _answered(setting, item, access_token)
    reverse = world.switches.choice("batchAnswers") == "reversed"
    return b"[%b]" % b",".join(answers[position] for position in sorted(answers, reverse=reverse))


def _order(items: Sequence[Item], *, queries_first: bool) -> Sequence[int]:
    """As sent, but for queries that are not to see what the batch itself does."""
    return sorted(
        range(len(items)), key=lambda at: (queries_first and items[at].call.operation != "query", at)
    )


# What is asked


def _item(batch: Call, item: JsonObject) -> Item:
    bid = item.get("bId")
    call = _understood(batch, item)
    text = None if bid is None else str(bid)
    if not call.is_write or not batch.requestid or text is None:
        return Item(text, call)
    problem = call.problem or _identity_problem(batch.requestid, text)
    return Item(text, replace(call, problem=problem), batch.requestid + text)


def _understood(batch: Call, item: JsonObject) -> Call:
    """The call an item stands for. Raises Refusal for properties that no item has: they spoil the whole batch."""
    names = [name for name in item if name not in _ITEM_FIELDS]
    unknown = [name for name in names if name not in KINDS and name not in ELSEWHERE]
    if unknown:
        raise faults.unknown_property("BatchItemRequest", unknown[0], (*_ITEM_FIELDS, *KINDS))
    options = str(item.get("optionsData") or "")
    base = replace(batch, operation="unsupported", body={}, problem=None, params={"include": options})
    if "Query" in item:
        return replace(base, operation="query", statement=str(item["Query"]))
    if len(names) != 1:
        return replace(base, problem=faults.missing_parameters("Entity"))
    name, body = names[0], item[names[0]]
    if name not in KINDS:
        return replace(base, problem=faults.unsupported_operation(f"{item.get('operation')} on {name}"))
    if not isinstance(body, dict):
        raise faults.unreadable_property(name)
    return _write(base, name, body, item.get("operation"), frozenset(options.split(",")))


def _write(base: Call, name: str, body: JsonObject, asked: Any, options: frozenset[str]) -> Call:
    kind = KINDS[name]
    if asked is None:
        return replace(base, kind=kind, problem=faults.missing_parameters("operation"))
    operation = None
    if asked == "update" and "void" in options:
        operation = write_operation(kind, "void", options, body) or write_operation(
            kind, "update", options, body
        )
    elif isinstance(asked, str) and asked in {"create", "update", "delete"}:
        operation = asked
    if operation is None:
        return replace(base, kind=kind, problem=faults.unsupported_operation(f"{asked} on {name}"))
    return replace(base, operation=operation, kind=kind, body=body)


def _identity_problem(requestid: str, bid: str) -> Refusal | None:
    """Requestid and bId are one id together: more than 50 characters are a fault of the item."""
    if len(requestid) + len(bid) > LONGEST:
        return faults.requestid_too_long(requestid + bid)
    if len(requestid) > LONGEST_REQUESTID:
        return faults.business_rule(f"A batch's request_id has {LONGEST_REQUESTID} characters at most.")
    if len(bid) > LONGEST_BID:
        return faults.business_rule(f"With a request_id, a bId has {LONGEST_BID} characters at most.")
    return None


def _check_fields(items: Sequence[Item]) -> None:
    """The whole body is read before the first item is begun. Raises Refusal 2010."""
    for item in items:
        if item.call.kind is not None and item.call.body:
            try:
                schema.conform(item.call.kind.name, item.call.body, refuse_unknown=True)
            except Refusal as refusal:
                if refusal.errors[0].code == "2010":
                    raise


def _named(item: object) -> str:
    if not isinstance(item, dict):
        return "?"
    if "Query" in item:
        return "query"
    entity = next((name for name in item if name not in _ITEM_FIELDS), "?")
    return f"{item.get('operation', '?')} {entity}"[:100]


# What is done


def _answered(setting: Setting, item: Item, access_token: str) -> bytes:
    """One item's part of the answer; a fault of its own, never one of the batch."""
    world, call = setting.world, item.call
    effect = world.rules.effect_for(call.operation, call.realm_id, call.entity, in_batch=True)
    effect = effect or world.weather.item_effect()
    if effect is not None and not effect.commit:
        return _faulted(item, synthesis.item_refusal(effect, access_token))
    answer = _remembered(setting, item, lambda: _carried_out(setting, call))
    if effect is not None:
        return _faulted(item, synthesis.item_refusal(effect, access_token))
    return _closed(answer.body, item)


def _carried_out(setting: Setting, call: Call) -> Answer:
    """What the item does, as an answer whose body is the item's content."""
    world = setting.world
    try:
        if call.operation == "query" and not may_read(world, call.realm_id, setting.client_id):
            raise faults.throttle_exceeded()
        part = execute(setting, call)
    except Refusal as refusal:
        return _refused(refusal)
    if call.operation == "query":
        note_read(world, call.realm_id, setting.client_id)
    return Answer(200, b'"%b":%b' % (part.name.encode(), part.body))


def _remembered(setting: Setting, item: Item, carry_out: Callable[[], Answer]) -> Answer:
    """The item, or what is said to one that comes again; requestid and bId are one id together."""
    world, now = setting.world, setting.moment.timestamp
    if not item.requestid:
        return carry_out()
    earlier = world.requestids.recall(item.call.realm_id, item.requestid, now)
    how = world.switches.choice("batchReplay")
    if earlier is not None and how != "runAgain":
        world.counters.replays += 1
        if world.switches.choice("requestidMemory") == "fault600":
            return _refused(faults.duplicate_request())
        return earlier if how == "replay" else _refused(faults.try_later())
    answer = carry_out()
    world.requestids.remember(item.call.realm_id, item.requestid, answer, now)
    return answer


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, b'"Fault":%b' % jsoncodec.dump(fault_document(refusal)))


def _faulted(item: Item, refusal: Refusal) -> bytes:
    return _closed(_refused(refusal).body, item)


def _closed(content: bytes, item: Item) -> bytes:
    if item.bid is None:
        return b"{%b}" % content
    return b'{%b,"bId":%b}' % (content, jsoncodec.dump([item.bid])[1:-1])
