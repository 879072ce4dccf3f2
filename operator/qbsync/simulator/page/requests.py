"""The last requests: what came in, what went back, and what a fault rule or the weather did to it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from qbsync.simulator.page.html import Html, joined, tag
from qbsync.simulator.page.parts import choice, empty, facts, field, filters, pill, pretty
from qbsync.simulator.page.visit import Screen, Visit
from qbsync.simulator.store import Record

_SHOWN = 100
_TOUCHING = 20
Entry = Mapping[str, Any]


def requests(visit: Visit) -> Screen:
    """The live list, newest first."""
    found = list(islice(_fitting(visit), _SHOWN))
    text = tag("input", type_="search", name="q", id="q", value=visit.params.get("q", ""), autocomplete="off")
    seen = sorted({entry["operation"] for entry in visit.world.requests})
    operations = [("", "All"), *((name, name) for name in seen)]
    outcomes = [("", "All"), ("ok", "Answered 2xx"), ("refused", "Refused or lost"), ("waiting", "At work")]
    search = filters(
        visit,
        "/requests",
        field("Path, statement, intuit_tid or requestid", text, class_="grow"),
        field("Operation", choice("operation", operations, visit.params.get("operation", ""))),
        field("Outcome", choice("outcome", outcomes, visit.params.get("outcome", ""))),
    )
    shown = listed(visit, found) if found else empty("No request fits. They appear here as they come in.")
    total = visit.world.requests[-1]["number"] if visit.world.requests else 0
    subtitle = f"{total:,} since the start, the last {_SHOWN} that fit shown"
    return Screen("Requests", joined(search, shown), subtitle=subtitle)


def latest(visit: Visit, count: int) -> Sequence[Entry]:
    """The newest requests."""
    return list(islice(reversed(visit.world.requests), count))


def touching(visit: Visit, invoice: Record) -> Sequence[Entry]:
    """The newest requests that were about one invoice."""
    found = (
        entry
        for entry in reversed(visit.world.requests)
        if entry.get("realmId") == visit.realm
        and entry.get("entity") == "Invoice"
        and (
            entry.get("entityId") == invoice.id
            or entry["path"].endswith(f"/invoice/{invoice.id}")
            or f"/invoice/{invoice.id}/" in entry["path"]
        )
    )
    return list(islice(found, _TOUCHING))


def listed(visit: Visit, entries: Iterable[Entry]) -> Html:
    """Requests as a list, each to be opened."""
    return tag("ol", *(_entry(visit, entry) for entry in entries), class_="requests")


def _fitting(visit: Visit) -> Iterable[Entry]:
    text = visit.params.get("q", "").strip().casefold()
    operation, outcome = visit.params.get("operation"), visit.params.get("outcome")
    for entry in reversed(visit.world.requests):
        if operation and entry["operation"] != operation:
            continue
        if outcome and _outcome(entry) != outcome:
            continue
        searched = (entry.get(name) or "" for name in ("path", "statement", "intuitTid", "requestid"))
        if text and not any(text in str(each).casefold() for each in searched):
            continue
        yield entry


def _outcome(entry: Entry) -> str:
    if "outcome" not in entry:
        return "waiting"
    status = entry.get("status")
    return "ok" if entry["outcome"] == "answered" and status is not None and status < 300 else "refused"


def _entry(visit: Visit, entry: Entry) -> Html:
    about = " ".join(str(entry[name]) for name in ("entity", "entityId") if entry.get(name))
    summary = tag(
        "summary",
        tag("time", datetime.fromisoformat(entry["time"]).strftime("%H:%M:%S"), datetime=entry["time"]),
        tag("span", entry["method"], class_="method"),
        tag("span", tag("b", entry["operation"]), f" {about}", tag("code", _detail(entry)), class_="what"),
        _result(entry),
        tag("span", _duration(entry), class_="took"),
    )
    return tag(
        "li",
        tag("details", summary, _opened(visit, entry), id=f"request-{entry['number']}"),
        data_key=f"request-{entry['number']}",
    )


def _opened(visit: Visit, entry: Entry) -> Html:
    effect = entry.get("effect")
    statement = entry.get("statement")
    return facts(
        (
            ("Number", str(entry["number"])),
            ("Time", entry["time"]),
            ("Path", tag("code", entry["path"])),
            ("Statement", tag("code", statement) if statement else None),
            ("Company", entry.get("realmId") if entry.get("realmId") != visit.realm else None),
            ("intuit_tid", tag("code", entry["intuitTid"])),
            ("requestid", tag("code", entry["requestid"]) if entry.get("requestid") else None),
            ("Fault", entry.get("code")),
            ("Injected", pretty(effect) if effect else None),
        )
    )


def _detail(entry: Entry) -> str:
    """What tells one request from the next at a glance."""
    return str(entry.get("statement") or entry.get("requestid") or "")


def _result(entry: Entry) -> Html:
    if "outcome" not in entry:
        return pill("at work", "open")
    status = entry.get("status")
    code = entry.get("code")
    if entry["outcome"] == "reset":
        return pill("reset", "overdue")
    text = f"{status} · {code}" if code else str(status)
    if entry["outcome"] == "truncated":
        return pill(f"{text} cut", "overdue")
    return pill(text, "paid" if status is not None and status < 300 else "overdue")


def _duration(entry: Entry) -> str:
    seconds = entry.get("seconds")
    if seconds is None:
        return "…"
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"
