"""The first screen: how the company stands, what came in last, and what is unusual about this QuickBooks."""

from itertools import islice

from qbsync.simulator.entities.kinds import INVOICE
from qbsync.simulator.page.books import INVOICE_COLUMNS, invoice_row, sums
from qbsync.simulator.page.controls import limits
from qbsync.simulator.page.html import Html, joined, tag
from qbsync.simulator.page.parts import card, empty, link, table
from qbsync.simulator.page.requests import latest, listed
from qbsync.simulator.page.visit import Screen, Visit
from qbsync.simulator.switches import SWITCHES

_INVOICES = 8
_REQUESTS = 12


def overview(visit: Visit) -> Screen:
    """The company at a glance."""
    newest = list(islice(visit.company.table(INVOICE).newest_first(), _INVOICES))
    rows = (invoice_row(visit, record) for record in newest)
    invoices = table("Newest invoices", INVOICE_COLUMNS, rows) if newest else empty("No invoices yet.")
    requests = latest(visit, _REQUESTS)
    body = joined(
        sums(visit),
        tag(
            "div",
            tag(
                "div",
                card("Newest invoices", invoices, _more(visit, "/invoices", "All invoices")),
                class_="stack",
            ),
            tag(
                "div",
                card(
                    "Last requests",
                    listed(visit, requests) if requests else empty("They appear here as they come in."),
                    _more(visit, "/requests", "All requests"),
                ),
                class_="stack",
            ),
            class_="split even",
        ),
        tag("div", limits(visit), _unusual(visit), class_="columns"),
    )
    info = visit.company.info
    subtitle = joined("Realm ", tag("code", visit.realm), f" · {info.get('Country', '')}")
    return Screen(str(info.get("CompanyName")), body, subtitle=subtitle)


def _more(visit: Visit, path: str, text: str) -> Html:
    return tag("p", link(visit.link(path), text), class_="more")


def _unusual(visit: Visit) -> Html:
    values = visit.world.switches.as_dict()
    moved = [name for name, switch in SWITCHES.items() if values[name] != switch.default]
    shown = [tag("li", tag("code", f"{name} {str(values[name]).lower()}")) for name in moved]
    rules = len(visit.world.rules.describe())
    return card(
        "Unusual here",
        tag("ul", *shown, class_="plain") if shown else empty("Every switch is at its default."),
        tag("p", link(visit.link("/faults"), f"{rules} fault rules waiting")) if rules else None,
        _more(visit, "/switches", "All switches"),
    )
