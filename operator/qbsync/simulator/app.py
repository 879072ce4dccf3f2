"""The whole simulator as one ASGI application."""

import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.types import ASGIApp

from qbsync.simulator import sample, security
from qbsync.simulator.accounting import Accounting
from qbsync.simulator.calls import PREFIX as API_PREFIX
from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.consent import ConsentPage
from qbsync.simulator.control import PREFIX as DOOR_PREFIX
from qbsync.simulator.control import ControlDoor, to_response
from qbsync.simulator.discovery import Discovery
from qbsync.simulator.oauth_http import AUTHORIZE_PATH, PATHS, OAuthEndpoints
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.page.routes import Pages
from qbsync.simulator.perform import Background
from qbsync.simulator.responses import door_answer
from qbsync.simulator.webhooks.deliverer import Deliverer
from qbsync.simulator.webhooks.post import post
from qbsync.simulator.wire import Receive, Scope, Send
from qbsync.simulator.world import World


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
                *Discovery(lambda: self.world).routes(),
                *Pages(lambda: self.world, options).routes(),
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
        """Begin anew from the seed. What is still at work finishes in the old world, and is not seen again;
        webhooks under way are dropped."""
        self._deliverer.stop()
        self.world = self._new_world()
        return self.world

    def _new_world(self) -> World:
        world = World(self.options, SimulatorClock(), self._description)
        self._deliverer = Deliverer(world.clock, world.switches, post)
        world.webhooks.wake = self._deliverer.wake
        return world

    async def _serve_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if scope["path"].startswith(DOOR_PREFIX):
                security.check(self.options, scope["method"], headers)
            elif scope["path"] == AUTHORIZE_PATH:
                security.check_origin(self.options, headers)
        except security.Forbidden as forbidden:
            response = to_response(door_answer({"error": forbidden.reason}, forbidden.status))
            await response(scope, receive, send)
            return
        await self._pages(scope, receive, send)
