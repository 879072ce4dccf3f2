"""The document around every screen: head, navigation, and the places the script fills."""

from itertools import islice

from qbsync.simulator.options import Profile
from qbsync.simulator.page.html import Html, joined, tag
from qbsync.simulator.page.parts import button, field, link
from qbsync.simulator.page.visit import Screen, Visit

_MOST_COMPANIES = 8
_NAVIGATION = (
    ("Books", (("/", "Overview"), ("/invoices", "Invoices"), ("/payments", "Payments"),
               ("/customers", "Customers"), ("/items", "Items"))),
    ("Connections", (("/tokens", "Tokens"), ("/requests", "Requests"), ("/webhooks", "Webhooks"))),
    ("This QuickBooks", (("/switches", "Switches"), ("/faults", "Fault rules"),
                         ("/clock", "Clock and reset"), ("/companies", "Companies"))),
)  # fmt: skip


def document(title: str, screen: Html, *, guarded: bool) -> str:
    """A whole page. A guarded one is empty until the script has asked for the control token."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · QuickBooks simulator"),
        tag("link", rel="icon", href="/page/icon.svg", type_="image/svg+xml"),
        tag("link", rel="stylesheet", href="/page/page.css"),
        tag("script", src="/page/page.js", type_="module"),
    )
    body = tag(
        "body",
        link("#main", "Skip to the content", class_="skip"),
        tag("div", screen, id="screen"),
        tag("section", id="answer", role="status", aria_label="What the API answered", hidden=True),
        _token_dialog() if guarded else None,
        data_guarded=guarded,
    )
    return f"<!doctype html>{tag('html', head, body, lang='en')}"


def framed(visit: Visit, screen: Screen) -> Html:
    """A screen with its heading and navigation."""
    heading = tag(
        "div",
        tag("h1", tag("bdi", screen.title), tabindex="-1"),
        tag("p", screen.subtitle, class_="subtitle") if screen.subtitle else None,
    )
    actions = tag("div", screen.actions, class_="actions buttons") if screen.actions else None
    main = tag("main", tag("header", heading, actions, class_="head"), screen.body, id="main", tabindex="-1")
    last = visit.world.requests[-1]["number"] if visit.world.requests else 0
    foot = tag("p", "A simulator: nothing here reaches Intuit.", class_="foot")
    return joined(_top(visit), _navigation(visit), tag("div", main, foot, class_="page", data_seen=str(last)))


def waiting() -> Html:
    """What stands in a guarded page before anything may be shown."""
    text = tag("p", "This simulator is not on a loopback address: its control token is asked for.")
    return tag("main", tag("h1", "QuickBooks simulator", tabindex="-1"), text, id="main", class_="guarded")


def _top(visit: Visit) -> Html:
    brand = link(visit.link("/"), _mark(), tag("span", "QuickBooks ", tag("b", "simulator")), class_="brand")
    menu = tag("button", "Menu", type_="button", class_="menu", aria_expanded="false", aria_controls="nav")
    now = int(visit.world.clock.timestamp() * 1000)
    clock = tag(
        "time",
        visit.now.strftime("%Y-%m-%d %H:%M:%S UTC"),
        id="now",
        data_now=str(now),
        title="The simulator's time",
    )
    profile = None
    if visit.options.profile is not Profile.REALISTIC:
        profile = tag("span", f"{visit.options.profile}", class_="pill open", title="Profile")
    state = tag("span", id="connection", class_="connection", role="status")
    return tag(
        "header",
        brand,
        _switcher(visit),
        tag("div", profile, state, clock, class_="when"),
        menu,
        class_="top",
    )


def _switcher(visit: Visit) -> Html:
    companies = visit.world.companies
    options = [
        tag("li", link("/" if realm == visit.world.first_realm else f"/?realm={realm}",
                       tag("bdi", company.info.get("CompanyName")), tag("span", realm, class_="sub"),
                       aria_current="true" if realm == visit.realm else None))
        for realm, company in islice(companies.items(), _MOST_COMPANIES)
    ]  # fmt: skip
    rest = len(companies) - len(options)
    more = f"All {len(companies)} companies, or another" if rest else "Add a company"
    options.append(tag("li", link(visit.link("/companies"), more)))
    name = str(visit.company.info.get("CompanyName"))
    chosen = tag("summary", tag("span", "Company", class_="unseen"), tag("bdi", name))
    return tag("details", chosen, tag("ul", *options), class_="switcher", id="switcher")


def _navigation(visit: Visit) -> Html:
    section = "/" + visit.path.split("/")[1]
    groups = [
        joined(
            tag("h2", title),
            tag("ul", *(
                tag("li", link(visit.link(path), text, aria_current="page" if path == section else None))
                for path, text in entries
            )),
        )
        for title, entries in _NAVIGATION
    ]  # fmt: skip
    return tag("nav", *groups, id="nav", aria_label="Screens")


def _mark() -> Html:
    strokes = tag("path", d="M9 17V7.5h6.5M9 12h5")
    box = tag("rect", x="2", y="2", width="20", height="20", rx="6")
    return tag("svg", box, strokes, viewBox="0 0 24 24", width="22", height="22", aria_hidden="true")


def _token_dialog() -> Html:
    control = tag(
        "input", name="token", type_="password", required=True, autocomplete="off", id="control-token"
    )
    form = tag(
        "form",
        tag("p", class_="refused", role="alert", hidden=True),
        field("Control token", control, hint="The value of --control-token. It is kept in this tab only."),
        tag("div", button("Open", class_="main"), class_="buttons"),
        id="token-form",
    )
    return tag("dialog", tag("header", tag("h2", "Who is there?", id="token-title")), form,
               id="token", aria_labelledby="token-title")  # fmt: skip
