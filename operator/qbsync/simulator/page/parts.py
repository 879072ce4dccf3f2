"""What the screens are built of: amounts, dates, states, tables, forms and dialogs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from qbsync.simulator import jsoncodec
from qbsync.simulator.listing import Status
from qbsync.simulator.page.html import Attribute, Child, Html, joined, tag
from qbsync.simulator.page.visit import Visit

_SPANS = ((365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_ROUNDED = ((365 * 86400, 86400), (86400, 3600), (3600, 60))
"""From which duration on the smaller unit is which."""


# Texts


def money(value: Any) -> str:
    """An amount with two decimals and thousands commas; nothing for what is no amount."""
    return "" if value is None else f"{Decimal(value):,.2f}"


def span(seconds: float) -> str:
    """A duration in its two largest units: `3 d 4 h`."""
    whole = abs(seconds)
    finest = next((finer for size, finer in _ROUNDED if whole >= size), 1)
    left, parts = round(whole / finest) * finest, []
    for size, unit in _SPANS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def moment(text: str | None) -> Child:
    """A time, to the second and in the zone it was written in."""
    if not text:
        return "–"
    at = datetime.fromisoformat(text)
    zone = tag("span", f" {text[-6:]}", class_="faint") if at.utcoffset() else None
    return tag("time", at.strftime("%Y-%m-%d %H:%M:%S"), zone, datetime=text)


def distance(text: str, now: datetime) -> str:
    """How far a time is from now: `in 3 d 4 h` or `2 h ago`."""
    seconds = (datetime.fromisoformat(text) - now).total_seconds()
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(seconds)} ago"


def pretty(document: Any) -> Html:
    """JSON to read."""
    return tag(
        "pre",
        tag("code", msgspec.json.format(jsoncodec.dump(document)).decode()),
        tabindex="0",
        aria_label="JSON",
    )


# Small parts


def pill(text: str, kind: str = "") -> Html:
    """A state in a word, coloured by its kind."""
    return tag("span", text, class_=f"pill {kind}".strip())


def status_pill(status: Status) -> Html:
    """An invoice's status."""
    return pill(status.value.capitalize(), status.value)


def link(address: str, *children: Child, **attributes: Attribute) -> Html:
    """A link."""
    return tag("a", *children, href=address, **attributes)


def facts(entries: Iterable[tuple[str, Child]]) -> Html:
    """Names and values; entries without a value are left out."""
    rows = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in entries if value not in (None, "")
    ]
    return tag("dl", *rows, class_="facts")


def card(title: str, *children: Child, class_: str = "", **attributes: Attribute) -> Html:
    """A titled part of a screen."""
    heading = tag("h2", title) if title else None
    return tag("section", heading, *children, class_=f"card {class_}".strip(), **attributes)


def empty(text: str) -> Html:
    """What stands where nothing is."""
    return tag("p", text, class_="empty")


# Tables

Column = tuple[str, str]
"""A heading, and classes of its cells: `number`, `grow`, `wide` and `mid` (left out where there is little room)."""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Html], *, class_: str = "") -> Html:
    """A table in a box that scrolls by itself where it has to."""
    head = tag("tr", *(tag("th", title, scope="col", class_=kind or None) for title, kind in columns))
    body = tag("table", tag("caption", caption, class_="unseen"), tag("thead", head), tag("tbody", *rows))
    return tag("div", body, class_=f"table {class_}".strip())


def row(key: str, columns: Sequence[Column], cells: Sequence[Child], **attributes: Attribute) -> Html:
    """A row of a table, known by its key when the screen is brought up to date."""
    filled = zip(columns, cells, strict=True)
    return tag(
        "tr",
        *(tag("td", cell, class_=kind or None) for (_, kind), cell in filled),
        data_key=key,
        **attributes,
    )


# Forms. What `page.js` makes of their attributes is said there.


def field(label: str, control: Html, *, hint: Child = None, class_: str = "") -> Html:
    """A labelled control."""
    note = tag("span", hint, class_="hint") if hint else None
    return tag("label", tag("span", label, class_="label"), control, note, class_=f"field {class_}".strip())


def choice(name: str, options: Iterable[tuple[str, str]], chosen: str = "", **attributes: Attribute) -> Html:
    """A select; options are (value, text)."""
    made = [tag("option", text, value=value, selected=value == chosen) for value, text in options]
    return tag("select", *made, name=name, **attributes)


def action(
    address: str, *children: Child, method: str = "POST", done: str = "", **attributes: Attribute
) -> Html:
    """A form that asks the control door for something and shows what it answered."""
    notice = tag("p", class_="refused", role="alert", hidden=True)
    sent: dict[str, Attribute] = {"data_send": method, "data_done": done or None, **attributes}
    return tag("form", notice, *children, action=address, method="post", **sent)


def button(text: str, *, class_: str = "", **attributes: Attribute) -> Html:
    """A button; it submits its form unless it opens a dialog or does something else by itself."""
    kind = (
        "submit"
        if not {"data_opens", "data_copy", "data_closes", "data_adds", "data_drops"} & set(attributes)
        else "button"
    )
    return tag("button", text, type_=kind, class_=class_ or None, **attributes)


def dialog(name: str, title: str, *children: Child) -> Html:
    """A dialog, opened by `button(…, data_opens=name)`."""
    closing = button("Close", class_="quiet", data_closes=True)
    head = tag("header", tag("h2", title, id=f"{name}-title"), closing)
    return tag("dialog", head, *children, id=name, aria_labelledby=f"{name}-title")


def filters(visit: Visit, path: str, *children: Child) -> Html:
    """A form that narrows a list down as one types."""
    chosen = None
    if visit.realm != visit.world.first_realm:
        chosen = tag("input", type_="hidden", name="realm", value=visit.realm)
    submit = button("Search", class_="quiet plain")
    return tag("form", chosen, *children, submit, action=path, method="get", class_="filters", role="search")


def pager(visit: Visit, path: str, following: str | None, params: Mapping[str, str]) -> Html | None:
    """The way to older rows, and back to the newest."""
    kept = {name: value for name, value in params.items() if name != "before"}
    newest = link(visit.link(path, **kept), "Newest") if params.get("before") else None
    older = link(visit.link(path, **kept, before=following), "Older", rel="next") if following else None
    if newest is None and older is None:
        return None
    return tag("nav", joined(newest, older), class_="pager", aria_label="Pages of the list")
