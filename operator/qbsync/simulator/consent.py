"""The consent page: where a person lets an app into a company. Real HTML, Approve and Deny."""

from collections.abc import Callable, Mapping
from html import escape
from random import SystemRandom
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from qbsync.simulator.oauth_http import AUTHORIZE_PATH
from qbsync.simulator.world import World

_HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
_OPEN_PAGES = 256

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.5rem 1.5rem;margin-right:.5rem}code{background:#eee;padding:0 .3em}"
)


class Refused(Exception):
    """An authorization request that cannot even be shown; the person sees why."""


class ConsentPage:
    """`/connect/oauth2`. Each page shown carries a one-time number, so that no other site can approve for a person."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world
        self._random = SystemRandom()
        self._shown: dict[str, dict[str, str]] = {}

    def routes(self) -> list[Route]:
        """The page and its form."""
        return [
            Route(AUTHORIZE_PATH, self._show, methods=["GET"]),
            Route(AUTHORIZE_PATH, self._decide, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        asked = dict(request.query_params)
        try:
            _check(asked, self._world().authority.client.client_id)
        except Refused as refusal:
            return _page("This app cannot be connected", f"<p>{escape(str(refusal))}</p>", status=400)
        number = f"{self._random.getrandbits(128):032x}"
        self._shown[number] = asked
        if len(self._shown) > _OPEN_PAGES:
            del self._shown[next(iter(self._shown))]
        return _page("Connect an app to QuickBooks", self._form(number, asked))

    async def _decide(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        asked = self._shown.pop(form.get("page", ""), None)
        if asked is None:
            return _page("This page is out of date", "<p>Start again from the app.</p>", status=400)
        world = self._world()
        realm = form.get("realmId", world.first_realm)
        if form.get("decision") != "approve" or realm not in world.companies:
            return _back(asked, {"error": "access_denied"})
        code = world.authority.issue_code(
            realm_id=realm,
            redirect_uri=asked["redirect_uri"],
            scopes=asked["scope"].split(),
            now=world.clock.timestamp(),
        )
        return _back(asked, {"code": code, "realmId": realm})

    def _form(self, number: str, asked: Mapping[str, str]) -> str:
        options = "".join(
            f'<option value="{escape(realm)}">{escape(str(company.info["CompanyName"]))} ({escape(realm)})</option>'
            for realm, company in self._world().companies.items()
        )
        return (
            f"<p>The app <code>{escape(asked['client_id'][:12])}…</code> asks for "
            f"<code>{escape(asked['scope'])}</code> and will be told at "
            f"<code>{escape(asked['redirect_uri'])}</code>.</p>"
            f'<form method="post" action="{AUTHORIZE_PATH}">'
            f'<input type="hidden" name="page" value="{number}">'
            f'<p><label>Company <select name="realmId" id="realmId">{options}</select></label></p>'
            '<p><button type="submit" name="decision" value="approve" id="approve">Approve</button>'
            '<button type="submit" name="decision" value="deny" id="deny">Deny</button></p></form>'
        )


def _check(asked: Mapping[str, str], client_id: str) -> None:
    if asked.get("client_id") != client_id:
        raise Refused("The client_id is not one of this simulator's apps.")
    if asked.get("response_type") != "code":
        raise Refused("response_type must be code.")
    if not asked.get("scope"):
        raise Refused("A scope is missing.")
    try:
        target = urlsplit(asked.get("redirect_uri", ""))
    except ValueError:
        target = urlsplit("")
    if target.scheme not in {"http", "https"} or not target.hostname or target.query or target.fragment:
        raise Refused("redirect_uri must be an http or https address without a query string.")
    if not asked.get("state"):
        raise Refused("The state parameter is missing.")


def _back(asked: Mapping[str, str], answer: Mapping[str, str]) -> Response:
    parameters = {**answer, "state": asked["state"]}
    target = f"{asked['redirect_uri']}?{urlencode(parameters)}"
    return RedirectResponse(target, status_code=302, headers=_HEADERS)


def _page(title: str, body: str, *, status: int = 200) -> Response:
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}"
        "<p><small>A simulator: nothing here reaches Intuit.</small></p></body></html>"
    )
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
