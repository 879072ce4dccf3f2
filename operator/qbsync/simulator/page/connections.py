"""What connects apps to companies: grants and their tokens, webhooks, and the companies themselves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qbsync.simulator import grants, sample
from qbsync.simulator.entities.kinds import INVOICE
from qbsync.simulator.page.html import Html, joined, tag
from qbsync.simulator.page.parts import (
    Column,
    action,
    button,
    card,
    choice,
    dialog,
    distance,
    empty,
    facts,
    field,
    link,
    moment,
    pill,
    row,
    table,
)
from qbsync.simulator.page.visit import DOOR, Screen, Visit
from qbsync.simulator.webhooks import door as webhooks_door

_SHOWN = 50
_STATES = {"alive": "paid", "expired": "voided", "revoked": "overdue"}


def tokens(visit: Visit) -> Screen:
    """The grants of the chosen company, and what can become of them."""
    count = grants.count(visit.world, visit.realm)
    shown = [_grant(visit, grant) for grant in grants.listed(visit.world, visit.realm, limit=_SHOWN)]
    issue = action(
        f"{DOOR}/grants",
        tag("input", type_="hidden", name="realmId", value=visit.realm),
        button("Issue a grant", class_="main"),
        done="Grant issued",
    )
    apps = card("Apps", _apps(visit))
    body = joined(
        tag("div", *shown, class_="grants") if shown else empty("No app has been let in yet."), apps
    )
    more = f", the newest {_SHOWN} shown" if count > _SHOWN else ""
    return Screen(
        "Tokens",
        body,
        actions=issue,
        subtitle=f"{count:,} {'grant' if count == 1 else 'grants'} of this company{more}",
    )


def webhooks(visit: Visit) -> Screen:
    """Where apps hear of changes, and what became of each delivery."""
    boxes = webhooks_door.shown(visit.world)["endpoints"]
    shown = [_box(visit, box) for box in boxes] or [empty("No app has an endpoint.")]
    return Screen(
        "Webhooks",
        joined(*shown, _endpoint_dialog(visit)),
        actions=button("Set an endpoint", class_="main", data_opens="endpoint"),
        subtitle="Signed messages to apps about changes of the books",
    )


def companies(visit: Visit) -> Screen:
    """Every company, and the way to a further one."""
    columns: Sequence[Column] = (
        ("Company", "grow"),
        ("Realm", "wide"),
        ("Kind", "wide"),
        ("Invoices", "number"),
    )
    rows = []
    for realm, company in visit.world.companies.items():
        address = "/" if realm == visit.world.first_realm else f"/?realm={realm}"
        current = pill("chosen", "open") if realm == visit.realm else None
        name = joined(link(address, tag("bdi", company.info.get("CompanyName")), class_="row"), " ", current)
        kind = f"{company.info.get('Country', '')} · {company.home_currency['value']}"
        environment = visit.world.environment_of(realm)
        count = f"{len(company.table(INVOICE)):,}"
        rows.append(row(realm, columns, (name, tag("code", realm), f"{kind} · {environment}", count)))
    return Screen(
        "Companies",
        joined(table("Companies", columns, rows), _company_dialog()),
        actions=button("Add a company", class_="main", data_opens="company"),
        subtitle=f"{len(rows)} in this simulator",
    )


def _grant(visit: Visit, grant: Mapping[str, Any]) -> Html:
    number, state = grant["number"], grant["state"]
    living = grant["accessTokens"]
    access = [
        tag("div", tag("code", each["value"]), f" {distance(each['expiresAt'], visit.now)}")
        for each in living[-3:]
    ]
    more = f"and {len(living) - 3} older ones" if len(living) > 3 else None
    app = visit.world.authority.apps[grant["clientId"]]
    about = facts(
        (
            ("Refresh token", tag("code", grant["refreshToken"])),
            ("Value issued", distance(grant["refreshTokenIssuedAt"], visit.now)),
            ("Rotations", _rotations(grant)),
            ("Expires", _expiry(visit, grant["expiresAt"])),
            ("Hard expiry", _expiry(visit, grant["hardExpiresAt"])),
            ("Authorized", distance(grant["authorizedAt"], visit.now)),
            ("Access tokens", [*access, more] if living else "none alive"),
            ("Scopes", ", ".join(grant["scopes"])),
        )
    )
    title = joined(
        "Grant ", str(number), " ", pill(state, _STATES[state]), " ", tag("bdi", app.name, class_="faint")
    )
    return tag(
        "section",
        tag("header", tag("h2", title), button("Copy tokens", data_copy=f"{DOOR}/grants/{number}/copy")),
        about,
        tag("div", *_treatments(number), class_="buttons") if state == "alive" else None,
        class_="card grant",
        data_key=f"grant-{number}",
    )


def _expiry(visit: Visit, at: str) -> Html:
    return joined(distance(at, visit.now), tag("span", " · ", moment(at), class_="faint"))


def _rotations(grant: Mapping[str, Any]) -> str:
    if not grant["rotations"]:
        return "none yet"
    working = grant["oldValuesInGrace"]
    return (
        f"{grant['rotations']}; {working or 'none'} of the old values still work{'s' if working == 1 else ''}"
    )


def _treatments(number: int) -> Iterable[Html]:
    for verb, word, title, done in (
        ("rotate", "Rotate", "A new value takes the place of the refresh token", "Refresh token replaced"),
        (
            "endOldValues",
            "End old values",
            "Replaced values die now, whatever the grace",
            "Old tokens are dead",
        ),
        ("endAccess", "End access", "Access tokens die before their time", "Access tokens are dead"),
        ("revoke", "Revoke", "The person disconnects the app", "Grant revoked"),
    ):
        look = "danger" if verb == "revoke" else ""
        yield action(f"{DOOR}/grants/{number}/{verb}", button(word, class_=look, title=title), done=done)


def _apps(visit: Visit) -> Html:
    entries = []
    for app in visit.world.authority.apps.values():
        leads = ", ".join(app.redirect_uris) or "any address that could be registered"
        about = f"{app.environment} keys · consent leads back to {leads}"
        masked = tag("code", grants.masked(app.client_id))
        entries.append(
            tag("li", tag("b", tag("bdi", app.name)), " ", masked, tag("span", about, class_="sub"))
        )
    return tag("ul", *entries, class_="plain")


def _box(visit: Visit, box: Mapping[str, Any]) -> Html:
    columns: Sequence[Column] = (
        ("No.", "number"),
        ("Events", "grow"),
        ("Attempts", "number mid"),
        ("State", ""),
    )
    rows = [
        row(f"delivery-{box['clientId']}-{each['number']}", columns, _delivery(visit, each))
        for each in reversed(box["deliveries"])
    ]
    counts = ", ".join(f"{box[name]} {name}" for name in ("sent", "acknowledged", "pending", "lost"))
    app = visit.world.authority.apps[box["clientId"]]
    about = facts(
        (
            ("App", tag("bdi", app.name)),
            ("Address", tag("code", box["url"])),
            ("Form", box["format"]),
            ("Entities", ", ".join(box["entities"]) if box["entities"] is not None else "all"),
            ("Verifier token", tag("code", grants.masked(box["verifierToken"]))),
            ("Deliveries", counts),
            ("Last error", box["lastError"]),
        )
    )
    deliveries = table("Deliveries", columns, rows) if rows else empty("Nothing has been sent yet.")
    removal = action(
        f"{DOOR}/webhooks",
        tag("input", type_="hidden", name="clientId", value=box["clientId"]),
        tag("input", type_="hidden", name="url", value="", data_empty="null"),
        button("Remove", class_="danger"),
        method="PUT",
        done="Endpoint removed",
    )
    return card("", about, tag("div", removal, class_="buttons"), deliveries)


def _delivery(visit: Visit, delivery: Mapping[str, Any]) -> Sequence[Html | str]:
    events = [
        tag("div", f"{event['entity']} {event['id']} {event['change']}") for event in delivery["events"]
    ]
    if delivery["acknowledged"]:
        state = joined(
            pill("acknowledged", "paid"), tag("span", moment(delivery["acknowledged"]), class_="sub")
        )
    else:
        again = distance(delivery["nextAttempt"], visit.now)
        error = delivery["lastError"]
        state = joined(
            pill("waiting" if not error else "failed", "overdue" if error else "open"),
            tag("span", f"{error}; " if error else "", f"next {again}", class_="sub"),
        )
    return (str(delivery["number"]), joined(*events), str(delivery["attempts"]), state)


def _endpoint_dialog(visit: Visit) -> Html:
    apps = [(app.client_id, app.name) for app in visit.world.authority.apps.values()]
    forms = [("cloudevents", "CloudEvents"), ("legacy", "Legacy")]
    return dialog(
        "endpoint",
        "Set an endpoint",
        action(
            f"{DOOR}/webhooks",
            field("App", choice("clientId", apps)),
            field(
                "Address",
                tag("input", name="url", type_="url", required=True, placeholder="http://127.0.0.1:9000/"),
            ),
            field("Form", choice("format", forms)),
            tag("div", button("Set", class_="main"), class_="buttons"),
            method="PUT",
            done="Endpoint set",
        ),
    )


def _company_dialog() -> Html:
    environments = [("sandbox", "Sandbox"), ("production", "Production")]
    numbers = "preferences.SalesFormsPrefs.CustomTxnNumbers"
    return dialog(
        "company",
        "Add a company",
        action(
            f"{DOOR}/realms",
            field(
                "Like", choice("company", [("", "the first one"), *((name, name) for name in sample.NAMES)])
            ),
            field(
                "Realm id",
                tag("input", name="realmId", inputmode="numeric", autocomplete="off"),
                hint="Empty: a new one",
            ),
            field("Environment", choice("environment", environments)),
            field(
                "Transaction numbers",
                choice(
                    numbers,
                    [("true", "Chosen by people and apps"), ("false", "Given by QuickBooks")],
                    data_type="json",
                ),
            ),
            tag("div", button("Add", class_="main"), class_="buttons"),
            done="Company added",
        ),
    )
