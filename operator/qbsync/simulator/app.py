"""The whole simulator as one ASGI application."""

import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from qbsync.simulator import jsoncodec, sample, security
from qbsync.simulator.accounting import Accounting
from qbsync.simulator.calls import PREFIX as API_PREFIX
from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.consent import ConsentPage
from qbsync.simulator.control import PREFIX as DOOR_PREFIX
from qbsync.simulator.control import ControlDoor, to_response
from qbsync.simulator.oauth_http import (
    AUTHORIZE_PATH,
    DISCOVERY_PATHS,
    JWKS_PATH,
    PATHS,
    OAuthEndpoints,
    discovery_document,
)
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.perform import Background
from qbsync.simulator.responses import JSON, Answer, door_answer
from qbsync.simulator.wire import Receive, Scope, Send
from qbsync.simulator.world import World

_GUARDED = frozenset({"/", AUTHORIZE_PATH})


class Simulator:
    """Routes each request to its part. The API and the token endpoint are served without any framework: they are
    the hot path, and must go on when their client is gone."""

    def __init__(self, options: SimulatorOptions) -> None:
        """Build the world. Raises sample.UnreadableCompany for a company file that cannot be used."""
        self.options = options
        self._description = sample.load(options.company)
        self._background = Background()
        self.world = self._new_world()
        self._accounting = Accounting(lambda: self.world, self._background)
        self._oauth = OAuthEndpoints(lambda: self.world, self._background)
        self._pages: ASGIApp = Starlette(
            routes=[
                *ControlDoor(lambda: self.world, self.reset).routes(),
                *ConsentPage(lambda: self.world).routes(),
                *(Route(path, self._discovery) for known in DISCOVERY_PATHS for path in (known, f"{known}/")),
                Route(JWKS_PATH, _jwks),
                Route("/", self._front_page),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        # Only the end of the process cancels a request; there is nobody left then to tell.
        with contextlib.suppress(asyncio.CancelledError):
            await self._dispatch(scope, receive, send)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith(API_PREFIX):
            await self._accounting(scope, receive, send)
        elif path in PATHS:
            await self._oauth(scope, receive, send)
        else:
            await self._serve_page(scope, receive, send)

    def reset(self) -> World:
        """Begin anew from the seed. What is still at work finishes in the old world, and is not seen again."""
        self.world = self._new_world()
        return self.world

    def _new_world(self) -> World:
        return World(self.options, SimulatorClock(), self._description)

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if scope["path"].startswith(DOOR_PREFIX):
                security.check(self.options, scope["method"], headers)
            elif scope["path"] in _GUARDED:
                security.check_origin(self.options, headers)
        except security.Forbidden as forbidden:
            response = to_response(door_answer({"error": forbidden.reason}, forbidden.status))
            await response(scope, receive, send)
            return
        await self._pages(scope, receive, send)

    async def _discovery(self, request: Request) -> Response:
        base = f"{request.url.scheme}://{request.headers.get('host', self.options.host)}"
        return to_response(Answer(200, jsoncodec.dump(discovery_document(base)), JSON))

    async def _front_page(self, _: Request) -> Response:
        companies = "".join(f"<li>{realm}</li>" for realm in self.world.companies)
        return HTMLResponse(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>QuickBooks simulator</title></head>'
            f"<body><h1>QuickBooks simulator</h1><p>Profile {self.options.profile}. Companies:</p><ul>{companies}</ul>"
            f"<p>Control door: <code>{DOOR_PREFIX}/state</code>, <code>/counters</code>, <code>/requests</code>, "
            "<code>/switches</code>, <code>/faults</code>.</p></body></html>"
        )


async def _jwks(_: Request) -> Response:
    return to_response(door_answer({"keys": []}))
