"""The control door under `/_simulator/`: look into the simulator, and make it do things QuickBooks does by itself."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qbsync.simulator import apps, grants, headers, jsoncodec, listing
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import INVOICE
from qbsync.simulator.faults import Refusal
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.ledger import parse_amount
from qbsync.simulator.pacific import business_date
from qbsync.simulator.responses import Answer, door_answer, refused
from qbsync.simulator.webhooks import door as webhooks
from qbsync.simulator.world import World

PREFIX = "/_simulator"
_REALM = re.compile(r"[0-9]{1,19}")
_LONGEST_JOURNEY = 100 * 365 * 24 * 3600.0
_STATE = {"invoices": "Invoice", "customers": "Customer", "items": "Item", "payments": "Payment"}


class DoorRefused(Exception):
    """A request the door cannot fulfil: HTTP status and what to do about it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ControlDoor:
    """The door's endpoints over whatever world there is; `reset` makes a new one."""

    def __init__(self, world: Callable[[], World], reset: Callable[[], World]) -> None:
        self._current = world
        self._reset = reset

    @property
    def _world(self) -> World:
        return self._current()

    def routes(self) -> list[Route]:
        """Every endpoint, as starlette wants it."""
        table: list[tuple[str, str, Callable[[Request, JsonObject], Answer]]] = [
            ("GET", "/state", self._get_state),
            ("GET", "/requests", self._get_requests),
            ("GET", "/counters", self._get_counters),
            ("POST", "/reset", self._post_reset),
            ("GET", "/clock", self._get_clock),
            ("POST", "/clock", self._post_clock),
            ("GET", "/switches", self._get_switches),
            ("PUT", "/switches", self._put_switches),
            ("GET", "/faults", self._get_faults),
            ("POST", "/faults", self._post_faults),
            ("DELETE", "/faults", self._delete_faults),
            ("POST", "/invoices/{id}/{verb}", self._post_invoice),
            ("GET", "/realms", self._get_realms),
            ("POST", "/realms", self._post_realms),
            ("GET", "/realms/{realm}/{list}", self._get_list),
            ("POST", "/tokens", self._post_tokens),
            ("GET", "/grants", self._get_grants),
            ("POST", "/grants", self._post_grants),
            ("POST", "/grants/{number}/{verb}", self._post_grant),
            ("GET", "/apps", self._get_apps),
            ("POST", "/apps", self._post_apps),
            ("GET", "/webhooks", self._get_webhooks),
            ("PUT", "/webhooks", self._put_webhooks),
        ]
        return [
            Route(PREFIX + path, _endpoint(handler, self._current), methods=[method])
            for method, path, handler in table
        ]

    # Looking

    def _get_state(self, request: Request, _: JsonObject) -> Answer:
        wanted = request.query_params.get("realmId")
        companies = self._world.companies
        realms = {realm: _books(companies[realm]) for realm in companies if wanted in (None, realm)}
        return door_answer({"realms": realms})

    def _get_requests(self, request: Request, _: JsonObject) -> Answer:
        operation = request.query_params.get("operation")
        since, limit = (_whole(request.query_params.get(name, "0"), name) for name in ("since", "limit"))
        journal = self._world.requests
        if journal and since > journal[-1]["number"]:  # a cursor from before a reset
            since = 0
        entries = [
            entry for entry in journal if entry["number"] > since and operation in (None, entry["operation"])
        ]
        # What has not been answered yet comes again: its end is news too.
        waiting = (entry["number"] - 1 for entry in journal if "outcome" not in entry)
        last = journal[-1]["number"] if journal else 0
        return door_answer(
            {"requests": entries[-limit:] if limit else entries, "next": min([*waiting, last])}
        )

    def _get_realms(self, _: Request, __: JsonObject) -> Answer:
        world = self._world
        return door_answer({"realms": [_company(world, company) for company in world.companies.values()]})

    def _get_list(self, request: Request, _: JsonObject) -> Answer:
        company = self._world.companies.get(request.path_params["realm"])
        kind = listing.LISTS.get(request.path_params["list"])
        if company is None or kind is None:
            raise DoorRefused(404, f"there are {', '.join(listing.LISTS)} of each company")
        params = request.query_params
        found = listing.excerpt(
            company,
            kind,
            listing.Search(params.get("q", ""), params.get("status", ""), params.get("customer", "")),
            today=business_date(self._world.clock.now()),
            before=params.get("before", ""),
            limit=_whole(params.get("limit", "50"), "limit"),
        )
        rows = [jsoncodec.Raw(record.body) for record in found.rows]
        return door_answer({"rows": rows, "next": found.next, "total": len(company.table(kind))})

    def _get_grants(self, request: Request, _: JsonObject) -> Answer:
        return door_answer({"grants": grants.listed(self._world, request.query_params.get("realmId"))})

    def _get_counters(self, _: Request, __: JsonObject) -> Answer:
        return door_answer(self._world.counters.document())

    def _get_clock(self, _: Request, __: JsonObject) -> Answer:
        clock = self._world.clock
        return door_answer(
            {"now": clock.now().isoformat(timespec="milliseconds"), "offsetSeconds": clock.offset}
        )

    def _get_switches(self, _: Request, __: JsonObject) -> Answer:
        return door_answer(dict(self._world.switches.as_dict()))

    def _get_faults(self, _: Request, __: JsonObject) -> Answer:
        return door_answer({"faults": self._world.rules.describe()})

    # Changing

    def _post_reset(self, _: Request, __: JsonObject) -> Answer:
        world = self._reset()
        return door_answer({"realmId": world.first_realm, **world.grant_document(world.first_grant)})

    def _post_clock(self, request: Request, body: JsonObject) -> Answer:
        seconds, clock = body.get("advanceSeconds"), self._world.clock
        if not isinstance(seconds, (int, float, Decimal)) or isinstance(seconds, bool) or seconds < 0:
            raise DoorRefused(
                400, 'the clock takes {"advanceSeconds": n}, n not below 0: time is never turned back'
            )
        if clock.offset + float(seconds) > _LONGEST_JOURNEY:
            raise DoorRefused(400, "that is more than a century from now")
        clock.advance(float(seconds))
        return self._get_clock(request, body)

    def _put_switches(self, request: Request, body: JsonObject) -> Answer:
        self._world.switches.put(body)
        return self._get_switches(request, body)

    def _post_faults(self, _: Request, body: JsonObject) -> Answer:
        return door_answer(self._world.rules.post(body).describe())

    def _delete_faults(self, request: Request, body: JsonObject) -> Answer:
        self._world.rules.clear()
        return self._get_faults(request, body)

    def _post_realms(self, _: Request, body: JsonObject) -> Answer:
        realm = body.get("realmId")
        if realm is not None and not (isinstance(realm, str) and _REALM.fullmatch(realm)):
            raise DoorRefused(400, f"realmId is a string of up to 19 digits, not {realm!r}")
        if realm in self._world.companies:
            raise DoorRefused(409, f"there is a company {realm} already")
        preferences = body.get("preferences") or {}
        if not isinstance(preferences, Mapping):
            raise DoorRefused(400, "preferences is an object, as in QuickBooks' Preferences")
        environment = apps.environment(body.get("environment"))
        company = self._world.add_company(realm, preferences, environment, body.get("company"))
        return door_answer({"realmId": company.realm_id})

    def _post_grants(self, _: Request, body: JsonObject) -> Answer:
        realm = str(body.get("realmId", self._world.first_realm))
        if realm not in self._world.companies:
            raise DoorRefused(404, f"there is no company {realm!r}: POST {PREFIX}/realms makes one")
        return door_answer(grants.issued(self._world, realm))

    def _post_grant(self, request: Request, _: JsonObject) -> Answer:
        try:
            return door_answer(grants.treated(self._world, **request.path_params))
        except grants.NoSuchGrant as refusal:
            raise DoorRefused(404, str(refusal)) from None

    def _post_tokens(self, _: Request, body: JsonObject) -> Answer:
        realm = body.get("realmId", self._world.first_realm)
        if not isinstance(realm, str) or realm not in self._world.companies:
            raise DoorRefused(404, f"there is no company {realm!r}: POST {PREFIX}/realms makes one")
        client_id = body.get("clientId", self._world.authority.client.client_id)
        if not isinstance(client_id, str) or client_id not in self._world.authority.apps:
            raise DoorRefused(404, f"there is no app {client_id!r}: POST {PREFIX}/apps makes one")
        scopes = body.get("scopes", [apps.ACCOUNTING_SCOPE])
        if not isinstance(scopes, list) or not set(map(str, scopes)) <= apps.SCOPES:
            raise DoorRefused(400, f"scopes is a list of some of {', '.join(sorted(apps.SCOPES))}")
        return door_answer(self._world.grant_document(self._world.issue_grant(realm, client_id, scopes)))

    def _get_apps(self, _: Request, __: JsonObject) -> Answer:
        return door_answer({"apps": [app.document() for app in self._world.authority.apps.values()]})

    def _post_apps(self, _: Request, body: JsonObject) -> Answer:
        return door_answer(self._world.add_app(body).document())

    def _get_webhooks(self, _: Request, __: JsonObject) -> Answer:
        return door_answer(webhooks.shown(self._world))

    def _put_webhooks(self, _: Request, body: JsonObject) -> Answer:
        return door_answer(webhooks.configured(self._world, body))

    def _post_invoice(self, request: Request, body: JsonObject) -> Answer:
        world, identifier, verb = self._world, request.path_params["id"], request.path_params["verb"]
        company = self._company_of(identifier, request.query_params.get("realmId"))
        moment = world.moment()
        if verb == "pay":
            invoice, payment = world.ledger.pay(company, identifier, parse_amount(body.get("amount")), moment)
            return door_answer(
                {"Invoice": jsoncodec.Raw(invoice.body), "Payment": jsoncodec.Raw(payment.body)}
            )
        if verb == "edit":
            record = world.ledger.edit(company, identifier, body, moment)
        elif verb == "void":
            record = world.ledger.void_by_hand(company, identifier, moment)
        elif verb == "send":
            send_to = body.get("sendTo")
            if not isinstance(send_to, str | None):
                raise DoorRefused(400, f"sendTo is an e-mail address, not {send_to!r}")
            record = world.ledger.send(company, INVOICE, identifier, moment, send_to=send_to)
        elif verb == "delete":
            return door_answer({"Invoice": world.ledger.delete_by_hand(company, identifier, moment)})
        else:
            raise DoorRefused(404, f"an invoice takes pay, edit, send, void and delete, not {verb!r}")
        return door_answer({"Invoice": jsoncodec.Raw(record.body)})

    def _company_of(self, invoice_id: str, realm: str | None) -> Company:
        companies = self._world.companies
        having = [
            company
            for company in companies.values()
            if realm in (None, company.realm_id) and company.tables["Invoice"].get(invoice_id) is not None
        ]
        if len(having) > 1:
            raise DoorRefused(409, f"several companies have an invoice {invoice_id}: add ?realmId=")
        if not having:
            raise DoorRefused(
                404, f"there is no invoice {invoice_id}" + (f" in company {realm}" if realm else "")
            )
        return having[0]


def _company(world: World, company: Company) -> dict[str, Any]:
    return {
        "realmId": company.realm_id,
        "name": company.info.get("CompanyName"),
        "country": company.info.get("Country"),
        "currency": company.home_currency["value"],
        "environment": str(world.environment_of(company.realm_id)),
        **{name: len(company.table(kind)) for name, kind in listing.LISTS.items()},
    }


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise DoorRefused(400, f"{name} is a whole number, not {text!r}")
    return int(text)


def _books(company: Company) -> dict[str, Any]:
    return {
        name: [jsoncodec.Raw(record.body) for record in company.tables[kind]] for name, kind in _STATE.items()
    }


def _endpoint(
    handler: Callable[[Request, JsonObject], Answer], world: Callable[[], World]
) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        return to_response(_answer(handler, request, await request.body(), world()))

    return endpoint


def _answer(
    handler: Callable[[Request, JsonObject], Answer], request: Request, data: bytes, world: World
) -> Answer:
    """The handler's answer, or what stood in its way; never a traceback."""
    try:
        return handler(request, jsoncodec.load_object(data) if data.strip() else {})
    except Refusal as refusal:
        return refused(refusal, world.clock.now())
    except DoorRefused as refusal:
        return door_answer({"error": str(refusal)}, refusal.status)
    except ValueError as error:  # UnreadableJson, UnreadableRule, UnknownSwitch, UnreadableCompany, amounts
        return door_answer({"error": str(error)}, 400)


def to_response(answer: Answer) -> Response:
    """An answer as starlette sends it."""
    response = Response(answer.body, answer.status)
    response.raw_headers = headers.for_door(answer)
    return response
