"""What makes this QuickBooks behave: switches, fault rules, limits, the clock, and the way back to the start."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qbsync.simulator.injection import OPERATIONS
from qbsync.simulator.page.html import Child, Html, joined, tag
from qbsync.simulator.page.parts import (
    Column,
    action,
    button,
    card,
    choice,
    dialog,
    empty,
    facts,
    field,
    filters,
    moment,
    row,
    span,
    table,
)
from qbsync.simulator.page.visit import DOOR, Screen, Visit
from qbsync.simulator.switches import SWITCHES, Switch, SwitchValue

SECTIONS = {
    "rotateAlways": "OAuth",
    "requestidMemory": "requestid",
    "contentTypes": "Requests and answers",
    "maxBatchItems": "Batch and change data capture",
    "duplicateDocCheck": "Invoices",
    "missingTaxCode": "Tax, currencies, classes",
    "duplicateDocAcross": "Changes and links",
    "readLagSeconds": "Queries",
    "limitPerMinute": "Limits",
    "webhookAggregationSeconds": "Webhooks",
    "slowAnswers": "Weather",
}
"""The switch with which each section begins: they stand in sections in their own table."""

_JOURNEYS = (
    ("1 min", 60),
    ("1 h", 3600),
    ("1 d", 86400),
    ("25 h", 90000),
    ("30 d", 30 * 86400),
    ("101 d", 101 * 86400),
)
Rule = Mapping[str, Any]
_PRESETS: Sequence[tuple[str, Rule]] = (
    (
        "The next invoice is made, its answer lost",
        {"match": {"operation": "create"}, "effect": {"drop": "after"}},
    ),
    (
        "The next create: 504 now, made 20 s later",
        {"match": {"operation": "create"}, "effect": {"commitAfterSeconds": 20}},
    ),
    ("The next query: an HTML page, 503", {"match": {"operation": "query"}, "effect": {"html": True}}),
    ("The next update: stale object, 5010", {"match": {"operation": "update"}, "effect": {"fault": "5010"}}),
    (
        "The next refresh: a false invalid_grant",
        {"match": {"operation": "refresh"}, "effect": {"fault": "invalid_grant"}},
    ),
    (
        "The next refresh rotates, its answer is lost",
        {"match": {"operation": "refresh"}, "effect": {"drop": "after"}},
    ),
    ("Three calls are throttled, 429", {"match": {}, "effect": {"status": 429}, "times": 3}),
    ("The next read is cut in the middle", {"match": {"operation": "read"}, "effect": {"truncated": True}}),
)


def switches(visit: Visit) -> Screen:
    """Every open question about QuickBooks, and how it is answered here."""
    values = visit.world.switches.as_dict()
    sections: list[tuple[str, list[Html]]] = []
    for name, switch in SWITCHES.items():
        if name in SECTIONS or not sections:
            sections.append((SECTIONS.get(name, "More"), []))
        if _wanted(visit, switch, values[name]):
            sections[-1][1].append(_switch(switch, values[name]))
    shown = [card(title, *rows, class_="switches") for title, rows in sections if rows]
    moved = sum(values[name] != switch.default for name, switch in SWITCHES.items())
    text = tag("input", type_="search", name="q", id="q", value=visit.params.get("q", ""), autocomplete="off")
    positions = [("", "All"), ("moved", "Not at their default")]
    search = filters(
        visit,
        "/switches",
        field("Name or meaning", text, class_="grow"),
        field("Position", choice("position", positions, visit.params.get("position", ""))),
    )
    found = tag("div", *shown, class_="columns") if shown else empty("No switch fits.")
    subtitle = f"Profile {visit.options.profile} · {moved} of {len(SWITCHES)} moved from their defaults"
    return Screen("Switches", joined(search, found), subtitle=subtitle)


def _wanted(visit: Visit, switch: Switch, value: SwitchValue) -> bool:
    text = visit.params.get("q", "").strip().casefold()
    if visit.params.get("position") == "moved" and value == switch.default:
        return False
    return not text or text in f"{switch.name} {switch.meaning}".casefold()


def _switch(switch: Switch, value: SwitchValue) -> Html:
    name, identifier = switch.name, f"switch-{switch.name}"
    if isinstance(switch.default, bool):
        control = tag(
            "input", type_="checkbox", role="switch", checked=value is True, id=identifier, name=name
        )
    elif switch.choices:
        control = choice(name, [(each, each) for each in switch.choices], str(value), id=identifier)
    else:
        control = tag(
            "input", value=str(value), inputmode="decimal", data_type="number", id=identifier, name=name
        )
    default = "on" if switch.default is True else "off" if switch.default is False else switch.default
    changed = tag("span", f"default {default}", class_="pill open") if value != switch.default else None
    words = tag(
        "label",
        tag("span", name, class_="name"),
        " ",
        changed,
        tag("span", switch.meaning, class_="sub"),
        for_=identifier,
    )
    return action(
        f"{DOOR}/switches",
        words,
        control,
        method="PUT",
        done=f"{name} set",
        data_at_once=True,
        class_="switch",
        data_key=f"switch-{name}",
    )


def faults(visit: Visit) -> Screen:
    """The fault rules still waiting for their call, presets, and a form for any other."""
    columns: Sequence[Column] = (
        ("No.", "number"),
        ("Which calls", "grow"),
        ("What happens", "grow"),
        ("Seen", "number mid"),
        ("Left", "number"),
    )
    rules = visit.world.rules.describe()
    rows = [
        row(f"rule-{rule['id']}", columns, (rule["id"], _words(rule["match"], "any"), _words(rule["effect"], ""),
            str(rule["seen"]), "always" if rule["left"] is None else str(rule["left"])))
        for rule in rules
    ]  # fmt: skip
    shown = (
        table("Fault rules", columns, rows) if rows else empty("No rules: calls go as QuickBooks lets them.")
    )
    presets = card(
        "In one step", tag("div", *(_preset(text, rule) for text, rule in _PRESETS), class_="presets")
    )
    clear = action(
        f"{DOOR}/faults", button("Clear all", class_="danger"), method="DELETE", done="Rules cleared"
    )
    return Screen(
        "Fault rules",
        joined(shown, presets, _rule_dialog(visit)),
        actions=joined(button("Add a rule", class_="main", data_opens="rule"), clear if rules else None),
        subtitle="Each call uses up at most one rule, in the order they were posted",
    )


def _words(part: Mapping[str, Any], nothing: str) -> Child:
    return [tag("code", f"{name} {value}", class_="word") for name, value in part.items()] or nothing


def _preset(text: str, rule: Rule) -> Html:
    parts = {**rule, "times": rule.get("times", 1)}
    fields = (
        tag(
            "input",
            type_="hidden",
            name=f"{part}.{name}" if name else part,
            value=_literal(value),
            data_type="json",
        )
        for part, content in parts.items()
        for name, value in (content.items() if isinstance(content, Mapping) else [("", content)])
    )
    return action(f"{DOOR}/faults", *fields, button(text), done="Rule added")


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _rule_dialog(visit: Visit) -> Html:
    operations = [("", "any"), *((name, name) for name in sorted(OPERATIONS))]
    realms = [
        ("", "any"),
        *((realm, str(c.info.get("CompanyName"))) for realm, c in visit.world.companies.items()),
    ]
    drops = [("", "no"), ("before", "before it is carried out"), ("after", "after it is carried out")]
    match = (
        field("Operation", choice("match.operation", operations)),
        field("Company", choice("match.realmId", realms)),
        field("Entity", tag("input", name="match.entity", placeholder="Invoice")),
        field("From which call on", _number("match.nth", "1")),
        field("Probability", _number("match.probability", "1")),
        field("How often", _number("times", "1"), hint="times; 0: always"),
    )
    effect = (
        field("Status", _number("effect.status", "503")),
        field("Fault", tag("input", name="effect.fault", placeholder="6140 or invalid_grant")),
        field("Delay, seconds", _number("effect.delaySeconds", "0")),
        field("Reset", choice("effect.drop", drops)),
        field("Carried out later, seconds", _number("effect.commitAfterSeconds", "")),
        field("Items of a batch carried out", _number("effect.commitItems", "")),
    )
    ticks = (
        _tick("effect.commit", "Carried out all the same"),
        _tick("effect.html", "An HTML page"),
        _tick("effect.truncated", "Cut in the middle"),
        _tick("effect.lowerCase", "Lower-case fault"),
        _tick("match.inBatch", "Only items of batches"),
    )
    return dialog(
        "rule",
        "Add a fault rule",
        action(
            f"{DOOR}/faults",
            tag("fieldset", tag("legend", "Which calls"), *match, class_="fields"),
            tag("fieldset", tag("legend", "What happens"), *effect, class_="fields"),
            tag("div", *ticks, class_="ticks"),
            tag("div", button("Add", class_="main"), class_="buttons"),
            done="Rule added",
        ),
    )


def _number(name: str, placeholder: str) -> Html:
    kind = "always" if name == "times" else "number"
    return tag(
        "input", name=name, inputmode="decimal", data_type=kind, placeholder=placeholder, autocomplete="off"
    )


def _tick(name: str, text: str) -> Html:
    control = tag("input", type_="checkbox", name=name, data_empty="omit")
    return tag("label", control, " ", text, class_="tick")


def clock(visit: Visit) -> Screen:
    """Time, and the way back to the start."""
    clock = visit.world.clock
    about = facts(
        (
            ("Now", moment(visit.now.isoformat(timespec="seconds"))),
            ("The company's day", visit.today.isoformat()),
            ("Moved on by", span(clock.offset)),
        )
    )
    steps = (_journey(text, seconds) for text, seconds in _JOURNEYS)
    seconds = tag(
        "input", name="advanceSeconds", inputmode="decimal", data_type="number", required=True, id="seconds"
    )
    other = action(
        f"{DOOR}/clock", field("Seconds", seconds), button("Move on"), done="Time moved on", class_="inline"
    )
    hint = "Tokens expire, limits recover, and whatever waits wakes. Time is never turned back."
    time = card(
        "Move time on", about, tag("div", *steps, class_="buttons"), other, tag("p", hint, class_="hint")
    )
    begin = card(
        "Begin anew",
        tag(
            "p",
            f"Everything as at the start, from seed {visit.options.seed}: companies, grants, switches, time.",
        ),
        tag("div", button("Reset", class_="danger", data_opens="reset"), class_="buttons"),
    )
    return Screen("Clock and reset", joined(time, begin, _reset_dialog()))


def _journey(text: str, seconds: int) -> Html:
    value = tag("input", type_="hidden", name="advanceSeconds", value=str(seconds), data_type="number")
    return action(f"{DOOR}/clock", value, button(f"+ {text}"), done=f"{text} later")


def _reset_dialog() -> Html:
    closing = button("Keep everything", class_="quiet", data_closes=True)
    buttons = tag("div", button("Reset", class_="danger"), closing, class_="buttons")
    text = tag("p", "Every invoice, grant and rule made since the start is forgotten.")
    form = action(f"{DOOR}/reset", text, buttons, done="As at the start", data_then="/")
    return dialog("reset", "Begin anew?", form)


def limits(visit: Visit) -> Html:
    """The counters, and the limits they run into."""
    counters = visit.world.counters.document()
    requests: Mapping[str, int] = counters.pop("requests")
    rows = facts((name, f"{count:,}") for name, count in sorted(requests.items()))
    others: Iterable[tuple[str, Child]] = (
        (_spaced(name), f"{value:,}") for name, value in counters.items() if isinstance(value, int)
    )
    positions = visit.world.switches.as_dict()
    bounds = facts(
        (_spaced(name), f"{value:,}" if value else "none")
        for name, value in positions.items()
        if name.startswith(("limit", "monthlyRead"))
    )
    used = visit.world.limits.usage(visit.realm, visit.world.clock.timestamp())
    usage = facts((_spaced(name), f"{count:,}") for name, count in used.items())
    return joined(
        card("Requests by operation", rows if requests else empty("None yet.")),
        card("Counters", facts(others)),
        card("Used of the limits now", usage),
        card("Limits", bounds),
    )


def _spaced(name: str) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words[0].upper() + words[1:]
