"""The OAuth endpoints for programs: token, revoke, userinfo, discovery."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from qbsync.simulator import headers, identity, journal, jsoncodec, synthesis
from qbsync.simulator.apps import App
from qbsync.simulator.injection import NOTHING
from qbsync.simulator.limits import Caller
from qbsync.simulator.oauth import Issued, OAuthRefused
from qbsync.simulator.perform import Background, perform
from qbsync.simulator.responses import TOKEN_JSON, Answer, Outcome, token_answer, token_error
from qbsync.simulator.wire import Receive, Scope, Send, deliver, read_body
from qbsync.simulator.world import World

TOKEN_PATH = "/oauth2/v1/tokens/bearer"  # noqa: S105
REVOKE_PATH = "/v2/oauth2/tokens/revoke"
USERINFO_PATH = "/v1/openid_connect/userinfo"
AUTHORIZE_PATH = "/connect/oauth2"
DISCOVERY_PATHS = frozenset(
    {"/.well-known/openid_configuration", "/.well-known/openid_sandbox_configuration"}
)
JWKS_PATH = "/op/v1/jwks"
# The real one's name, not an address here: Intuit's clients for Node.js compare id_tokens with this text.
ISSUER = "https://oauth.platform.intuit.com/op/v1"
PATHS = frozenset({TOKEN_PATH, REVOKE_PATH, USERINFO_PATH})
_HARD_EXPIRY_HEADER = "x-include-refresh-token-hard-expires-in"


class OAuthEndpoints:
    """Token, revoke and userinfo. No limits and no weather here: only rules of the control door."""

    def __init__(self, world: Callable[[], World], background: Background) -> None:
        self._world = world
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request to one of PATHS."""
        body = await read_body(receive)
        if body is None:
            return
        world = self._world()
        started = world.clock.timestamp()
        tid = headers.new_tid(world.tids, started)
        request = _Request(scope, body)
        entry = journal.begin(
            world, operation=request.operation, method=request.method, path=request.path, tid=tid
        )
        outcome = await self._outcome(world, request)
        journal.end(entry, outcome, seconds=world.clock.timestamp() - started)
        await deliver(outcome, lambda answer: headers.for_token_answer(answer, tid=tid), scope, receive, send)

    async def _outcome(self, world: World, request: "_Request") -> Outcome:
        realm_id, client_id = request.realm_id(world), request.client(from_form=True)[0]
        if realm_id is not None and client_id is not None:
            world.limits.note_elsewhere(Caller(realm_id, client_id), world.clock.timestamp())
        effect = world.rules.effect_for(request.operation, realm_id, None) or NOTHING
        value = request.form.get("refresh_token", "") if request.operation == "refresh" else ""
        parallel = bool(value) and world.refreshing[value] > 0
        world.refreshing[value] += 1
        try:
            return await perform(
                world,
                self._background,
                effect,
                carry_out=lambda: _carry_out(world, request, parallel=parallel),
                synthesize=lambda asked: synthesis.token_answer(asked, world.clock.now()),
            )
        finally:
            world.refreshing[value] -= 1
            if not world.refreshing[value]:
                del world.refreshing[value]


class _Request:
    """A request to an OAuth endpoint, as far as it can be read."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.is_form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        self._body = body
        self.form: Mapping[str, str] = self._form() if self.is_form else {}

    @property
    def operation(self) -> str:
        """refresh, token, revoke or userinfo."""
        if self.path == REVOKE_PATH:
            return "revoke"
        if self.path == USERINFO_PATH:
            return "userinfo"
        return "refresh" if self.form.get("grant_type") == "refresh_token" else "token"

    def realm_id(self, world: World) -> str | None:
        """The company it is about, for rules that match on it."""
        if self.operation == "revoke":
            return world.authority.realm_of(self.token_to_revoke())
        if self.operation == "userinfo":
            return world.authority.realm_of(self.bearer())
        return world.authority.realm_of(self.form.get("refresh_token") or self.form.get("code", ""))

    def client(self, *, from_form: bool) -> tuple[str | None, str | None]:
        """Client id and secret: from the Basic header, else from the form (client_secret_post)."""
        scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return (self.form.get("client_id"), self.form.get("client_secret")) if from_form else (None, None)
        try:
            user, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None, None
        return unquote_plus(user), unquote_plus(password)

    def bearer(self) -> str:
        """The token of a Bearer header; empty where there is none."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else ""

    def token_to_revoke(self) -> str:
        """The token named in the body, JSON or form; empty where there is none."""
        if self.is_form:
            return self.form.get("token", "")
        try:
            token = jsoncodec.load_object(self._body).get("token")
        except jsoncodec.UnreadableJson:
            return ""
        return token if isinstance(token, str) else ""

    def _form(self) -> Mapping[str, str]:
        return dict(parse_qsl(self._body.decode("utf-8", errors="replace"), keep_blank_values=True))


def discovery_document(base_url: str) -> dict[str, Any]:
    """The discovery document; its addresses lead back to this server. Data scopes are not listed, as in real life."""
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{base_url}{AUTHORIZE_PATH}",
        "token_endpoint": f"{base_url}{TOKEN_PATH}",
        "userinfo_endpoint": f"{base_url}{USERINFO_PATH}",
        "revocation_endpoint": f"{base_url}{REVOKE_PATH}",
        "jwks_uri": f"{base_url}{JWKS_PATH}",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "address", "phone"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "claims_supported": ["aud", "exp", "iat", "iss", "realmid", "sub"],
    }


def _carry_out(world: World, request: _Request, *, parallel: bool) -> Answer:
    try:
        if request.operation == "userinfo":
            return _userinfo(world, request)
        if request.method != "POST":
            return token_error(405, "invalid_request")
        keys = request.client(from_form=world.switches.on("clientSecretPost"))
        app = world.authority.check_client(*keys)
        if request.operation == "revoke":
            return _revoke(world, request, app)
        return _tokens(world, request, app, parallel=parallel)
    except OAuthRefused as refusal:
        return token_error(refusal.status, refusal.error, refusal.description)


def _tokens(world: World, request: _Request, app: App, *, parallel: bool) -> Answer:
    grant_type = request.form.get("grant_type")
    if not grant_type:
        raise OAuthRefused("invalid_request")
    now = world.clock.timestamp()
    if grant_type == "refresh_token":
        value = _needed(request, "refresh_token")
        issued = world.authority.refresh(app, value, now=now, parallel=parallel)
        world.counters.refreshes += 1
    elif grant_type == "authorization_code":
        # A code_verifier is not looked at: Intuit has no PKCE.
        code, redirect_uri = _needed(request, "code"), request.form.get("redirect_uri")
        issued = world.authority.exchange(app, code=code, redirect_uri=redirect_uri, now=now)
    else:
        raise OAuthRefused("unsupported_grant_type")
    world.counters.tokens_issued += 1
    with_hard_expiry = request.headers.get(_HARD_EXPIRY_HEADER, "").lower() == "true"
    id_token = _id_token(world, issued, now)
    return token_answer(issued.document(with_hard_expiry=with_hard_expiry, id_token=id_token))


def _id_token(world: World, issued: Issued, now: float) -> str | None:
    if "openid" not in issued.grant.scopes:
        return None
    return world.signer.id_token(issued.grant, issuer=ISSUER, now=now)


def _needed(request: _Request, name: str) -> str:
    value = request.form.get(name)
    if not value:
        raise OAuthRefused("invalid_request")
    return value


def _revoke(world: World, request: _Request, app: App) -> Answer:
    token = request.token_to_revoke()
    if not token:
        raise OAuthRefused("invalid_request")
    world.authority.revoke(app, token)
    told = world.switches.choice("revokeAnswer") == "statuscode"
    return Answer(200, jsoncodec.dump({"statuscode": "200"}) if told else b"", TOKEN_JSON)


def _userinfo(world: World, request: _Request) -> Answer:
    token = world.authority.access_token(request.bearer())
    if token is None or token.revoked or world.clock.timestamp() >= token.expires_at:
        raise OAuthRefused("invalid_token", status=401)
    if not world.switches.on("scopesEnforced"):
        return Answer(200, jsoncodec.dump(identity.userinfo(None)), TOKEN_JSON)
    if "openid" not in token.scopes:
        raise OAuthRefused("insufficient_scope", status=403)
    return Answer(200, jsoncodec.dump(identity.userinfo(token.scopes)), TOKEN_JSON)
