"""The page's addresses: the same screens at `/…` for people and at `/_simulator/page/…` for the script."""

import hashlib
from collections.abc import Awaitable, Callable
from importlib import resources

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from qbsync.simulator import security
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.page import books, connections, controls, frame, invoice, requests
from qbsync.simulator.page.html import tag
from qbsync.simulator.page.overview import overview
from qbsync.simulator.page.parts import link
from qbsync.simulator.page.visit import DOOR, NothingHere, Screen, Visit
from qbsync.simulator.world import World

_SCREENS: dict[str, Callable[..., Screen]] = {
    "/": overview,
    "/invoices": books.invoices,
    "/invoices/{identifier}": invoice.invoice,
    "/invoices/{identifier}/edit": invoice.edit,
    "/payments": books.payments,
    "/customers": books.customers,
    "/customers/{identifier}": books.customer,
    "/items": books.items,
    "/tokens": connections.tokens,
    "/requests": requests.requests,
    "/webhooks": connections.webhooks,
    "/companies": connections.companies,
    "/switches": controls.switches,
    "/faults": controls.faults,
    "/clock": controls.clock,
}
_ASSETS = {
    "page.css": "text/css;charset=utf-8",
    "page.js": "text/javascript;charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """Every screen, and the files they need. Without a control token the first answer is the whole screen already."""

    def __init__(self, world: Callable[[], World], options: SimulatorOptions) -> None:
        self._world = world
        self._options = options

    def routes(self) -> list[Route]:
        """What starlette serves."""
        shown = [Route(path, self._whole(view), methods=["GET"]) for path, view in _SCREENS.items()]
        below = f"{DOOR}/page"
        data = [Route(below + path, self._screen(view), methods=["GET"]) for path, view in _SCREENS.items()]
        assets = [
            Route(f"/page/{name}", _asset(name, kind), methods=["GET"]) for name, kind in _ASSETS.items()
        ]
        return [*shown, *data, *assets]

    def _whole(self, view: Callable[..., Screen]) -> _Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                security.check_origin(self._options, request.headers)
            except security.Forbidden as forbidden:
                return JSONResponse({"error": forbidden.reason}, forbidden.status, _HEADERS)
            if self._options.control_token is not None:
                page = frame.document("Control token", frame.waiting(), guarded=True)
                return HTMLResponse(page, headers={**_HEADERS, "cache-control": "no-store"})
            return self._answer(view, request, request.url.path)

        return endpoint

    def _screen(self, view: Callable[..., Screen]) -> _Endpoint:
        """The same for the script; the app has checked the control token by then."""

        async def endpoint(request: Request) -> Response:
            return self._answer(view, request, request.url.path.removeprefix(f"{DOOR}/page") or "/")

        return endpoint

    def _answer(self, view: Callable[..., Screen], request: Request, path: str) -> Response:
        world = self._world()
        realm = request.query_params.get("realm", world.first_realm)
        company = world.companies.get(realm, world.companies[world.first_realm])
        visit = Visit(world, self._options, company, path, dict(request.query_params))
        status = 200
        try:
            screen = view(visit, **request.path_params) if realm == visit.realm else _no_company(realm)
        except NothingHere as nothing:
            screen, status = _nothing(visit, nothing), 404
        page = frame.document(screen.title, frame.framed(visit, screen), guarded=False)
        return HTMLResponse(page, status, {**_HEADERS, "cache-control": "no-store"})


def _no_company(realm: str) -> Screen:
    raise NothingHere(f"There is no company {realm} in this simulator.")


def _nothing(visit: Visit, nothing: NothingHere) -> Screen:
    return Screen(
        "Not here", tag("p", str(nothing), " ", link(visit.link("/"), "To the overview"), class_="empty")
    )


def _asset(name: str, kind: str) -> _Endpoint:
    data = resources.files("qbsync.simulator.page").joinpath("assets", name).read_bytes()
    version = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {**_HEADERS, "cache-control": "no-cache", "etag": version}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == version:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=kind, headers=headers)

    return endpoint
