"""The consent page: where a person lets an app into a company. Real HTML, Approve and Deny."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from random import SystemRandom
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from qbsync.simulator.apps import ACCOUNTING_SCOPE, App
from qbsync.simulator.oauth_http import AUTHORIZE_PATH
from qbsync.simulator.world import World

_HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    # Not no-referrer: a browser would then send the form with Origin: null, like a foreign page's.
    "referrer-policy": "same-origin",
}
_OPEN_PAGES = 256

_STYLE = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}
form{margin:1.5rem 0}
select,button{font:inherit;padding:.5rem 1rem;margin-right:.75rem}
code{overflow-wrap:anywhere}
:focus-visible{outline:3px solid #2c7be5;outline-offset:2px}
"""

_IN_WORDS = {
    ACCOUNTING_SCOPE: "see and change the company's books",
    "com.intuit.quickbooks.payment": "take payments for the company",
    "openid": "know who you are",
    "email": "see your e-mail address",
    "profile": "see your name",
    "phone": "see your phone number",
    "address": "see your address",
}
_WRONG_REDIRECT = (
    "The redirect_uri query parameter value is invalid. Make sure it is listed in the Redirect URIs section on "
    "your app's keys tab and matches it exactly."
)


class Refused(Exception):
    """An authorization request that cannot even be shown; the message is for the app's developers."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an app asks a person for."""

    app: App
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str


class ConsentPage:
    """`/connect/oauth2`. Each page shown carries a one-time number, so that no other site can approve for a person."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world
        self._random = SystemRandom()
        self._shown: dict[str, _Asked] = {}

    def routes(self) -> list[Route]:
        """The page and its form."""
        return [
            Route(AUTHORIZE_PATH, self._show, methods=["GET"]),
            Route(AUTHORIZE_PATH, self._decide, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        world, query = self._world(), dict(request.query_params)
        try:
            asked = _understood(world, query)
        except Refused as refusal:
            return _problem(query, str(refusal), world)
        if not asked.app.may_ask_for(asked.scopes):
            if world.switches.choice("invalidScope") == "redirect":
                return _back(asked, {"error": "invalid_scope"})
            return _problem(query, "The scope query parameter value is invalid.", world)
        number = f"{self._random.getrandbits(128):032x}"
        self._shown[number] = asked
        if len(self._shown) > _OPEN_PAGES:
            del self._shown[next(iter(self._shown))]
        return _page(
            f"Connect {asked.app.name} to QuickBooks", _form(number, asked, _companies(world, asked))
        )

    async def _decide(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        asked, world = self._shown.pop(form.get("page", ""), None), self._world()
        if asked is None or asked.app.client_id not in world.authority.apps:
            return _page("This page is out of date", "<p>Start again from the app.</p>", status=400)
        if form.get("decision") != "approve":
            return _back(asked, {"error": "access_denied"})
        realm = form.get("realmId", "")
        if realm not in _companies(world, asked):
            return _page("No such company", "<p>Start again from the app, and choose one.</p>", status=400)
        code = world.authority.issue_code(
            asked.app,
            realm_id=realm,
            redirect_uri=asked.redirect_uri,
            scopes=asked.scopes,
            now=world.clock.timestamp(),
        )
        return _back(asked, {"code": code, "realmId": realm})


def _understood(world: World, query: Mapping[str, str]) -> _Asked:
    app = world.authority.apps.get(query.get("client_id", ""))
    if app is None:
        raise Refused("The client_id query parameter is missing or is not one of an app's keys.")
    if not app.leads_back_to(query.get("redirect_uri", "")):
        raise Refused(_WRONG_REDIRECT)
    if query.get("response_type") != "code":
        raise Refused("The response_type query parameter must be code.")
    for name in ("scope", "state"):
        if not query.get(name):
            raise Refused(f"The {name} query parameter is missing.")
    return _Asked(app, query["redirect_uri"], tuple(query["scope"].split()), query["state"])


def _companies(world: World, asked: _Asked) -> dict[str, str]:
    """The companies these keys can be let into, by realm: a sandbox's keys see sandboxes only."""
    separate = world.switches.on("environmentsSeparate")
    return {
        realm: str(company.info["CompanyName"])
        for realm, company in world.companies.items()
        if not separate or world.environment_of(realm) is asked.app.environment
    }


def _form(number: str, asked: _Asked, companies: Mapping[str, str]) -> str:
    if not companies:
        return f"<p>There is no {asked.app.environment} company that {escape(asked.app.name)} could be let into.</p>"
    wishes = "".join(f"<li>{escape(_IN_WORDS.get(scope, scope))}</li>" for scope in asked.scopes)
    return (
        f"<p><strong>{escape(asked.app.name)}</strong> asks to:</p><ul>{wishes}</ul>"
        f"<p>Your answer goes to <code>{escape(asked.redirect_uri)}</code>.</p>"
        f'<form method="post" action="{AUTHORIZE_PATH}">'
        f'<input type="hidden" name="page" value="{number}">'
        f"<p>{_chooser(companies)}</p>"
        '<p><button type="submit" name="decision" value="approve" id="approve">Approve</button>'
        '<button type="submit" name="decision" value="deny" id="deny">Deny</button></p></form>'
    )


def _chooser(companies: Mapping[str, str]) -> str:
    """Several companies: a person chooses; one: it is only named."""
    if len(companies) == 1:
        ((realm, name),) = companies.items()
        return (
            f'<input type="hidden" name="realmId" value="{escape(realm)}">'
            f"Company: <strong>{escape(name)}</strong> ({escape(realm)})"
        )
    options = "".join(
        f'<option value="{escape(realm)}">{escape(name)} ({escape(realm)})</option>'
        for realm, name in companies.items()
    )
    return f'<label for="realmId">Company</label> <select name="realmId" id="realmId">{options}</select>'


def _back(asked: _Asked, answer: Mapping[str, str]) -> Response:
    parameters = {**answer, "state": asked.state}
    target = f"{asked.redirect_uri}?{urlencode(parameters)}"
    return RedirectResponse(target, status_code=302, headers=_HEADERS)


def _problem(query: Mapping[str, str], words: str, world: World) -> Response:
    app = world.authority.apps.get(query.get("client_id", ""))
    return _page(
        "Uh oh, there’s a connection problem.",
        f"<p>Sorry, but {escape(app.name) if app is not None else 'the app'} didn’t connect.</p>"
        f"<details open><summary>Error details (for developers)</summary><p>{escape(words)}</p></details>",
        status=400,
    )


def _page(title: str, body: str, *, status: int = 200) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main>"
        "<footer><small>A simulator: nothing here reaches Intuit.</small></footer></body></html>"
    )
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
