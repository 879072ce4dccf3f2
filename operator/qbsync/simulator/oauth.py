"""OAuth 2.0 as Intuit runs it: codes, grants, rotating refresh tokens, access tokens. Pure: time is passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from qbsync.simulator.apps import ACCOUNTING_SCOPE, App
from qbsync.simulator.switches import Switches

_ROTATION_SECONDS = 24 * 3600
_CODE_SECONDS = 600
_OTHER_CLIENT = "Incorrect Token type or clientID"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class OAuthRefused(Exception):
    """A refusal of an OAuth endpoint: RFC 6749 `error`, its description if any, HTTP status."""

    def __init__(self, error: str, description: str | None = None, *, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status


@dataclass(slots=True)
class RefreshValue:
    """One value of a refresh token. `replaced_at` is set when a newer value took its place."""

    value: str = field(repr=False)
    issued_at: float
    replaced_at: float | None = None


@dataclass(slots=True)
class Grant:
    """What a person allowed an app to do in one company: a family of tokens with one fate."""

    client_id: str
    realm_id: str
    scopes: tuple[str, ...]
    authorized_at: float
    expires_at: float
    current: RefreshValue
    past: list[RefreshValue] = field(default_factory=list)
    revoked: bool = False


@dataclass(slots=True)
class AccessToken:
    """One access token; it lives until its own expiry, whatever refreshes follow."""

    value: str = field(repr=False)
    grant: Grant
    expires_at: float
    revoked: bool = False

    @property
    def client_id(self) -> str:
        """The app it was given to."""
        return self.grant.client_id

    @property
    def realm_id(self) -> str:
        """The company it opens."""
        return self.grant.realm_id

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it may be used for."""
        return self.grant.scopes


@dataclass(slots=True)
class _Code:
    realm_id: str
    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    approved_at: float
    expires_at: float
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """What a successful token request gives."""

    grant: Grant
    access: AccessToken
    refresh_token: str = field(repr=False)
    expires_in: int
    refresh_expires_in: int
    hard_expires_in: int

    def document(self, *, with_hard_expiry: bool = False, id_token: str | None = None) -> dict[str, Any]:
        """The answer's JSON. The hard expiry only when its header asked for it (oauth-jsclient 4.2.4)."""
        document: dict[str, Any] = {
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "refresh_token": self.refresh_token,
            "x_refresh_token_expires_in": self.refresh_expires_in,
            "access_token": self.access.value,
        }
        if with_hard_expiry:
            document["x_refresh_token_hard_expires_in"] = self.hard_expires_in
        if id_token is not None:
            document["id_token"] = id_token
        return document


class Authority:
    """Intuit's authorization server. Every method is atomic and takes the time in seconds.

    `first` is the app that everything is for unless another is named.
    """

    def __init__(self, first: App, switches: Switches, random: Random) -> None:
        self.client = first
        self._apps = {first.client_id: first}
        self._switches = switches
        self._random = random
        self._codes: dict[str, _Code] = {}
        self._refresh_values: dict[str, tuple[Grant, RefreshValue]] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._grants: list[Grant] = []
        self._families: dict[tuple[str, str], list[Grant]] = {}

    @property
    def apps(self) -> Mapping[str, App]:
        """Every registered key set by its client id, the first one first."""
        return self._apps

    def register(self, app: App) -> None:
        """Add an app, or change one; its grants stay."""
        self._apps[app.client_id] = app
        if app.client_id == self.client.client_id:
            self.client = app

    def check_client(self, client_id: str | None, client_secret: str | None) -> App:
        """The app with these keys. Raises OAuthRefused invalid_client."""
        app = self._apps.get(client_id or "")
        if app is None or app.client_secret != client_secret:
            raise OAuthRefused("invalid_client", status=int(self._switches.choice("invalidClientStatus")))
        return app

    # Authorization codes

    def issue_code(
        self, app: App, *, realm_id: str, redirect_uri: str, scopes: Sequence[str], now: float
    ) -> str:
        """A single-use code for a person's Approve."""
        code = f"AB11{self._letters(50)}"
        self._codes[code] = _Code(
            realm_id, app.client_id, redirect_uri, tuple(scopes), now, now + _CODE_SECONDS
        )
        return code

    def exchange(self, app: App, *, code: str, redirect_uri: str | None, now: float) -> Issued:
        """Tokens for a code. Raises OAuthRefused; a second exchange may revoke what the first one gave."""
        entry = self._codes.get(code)
        if entry is None:
            raise self._invalid_grant("Invalid authorization code")
        if entry.client_id != app.client_id:
            raise self._invalid_grant(_OTHER_CLIENT)
        if entry.grant is not None:
            if self._switches.on("codeReuseRevokes"):
                self._revoke(entry.grant, access_too=True)
            raise self._invalid_grant("Authorization code has already been used")
        if now >= entry.expires_at:
            raise self._invalid_grant("Authorization code expired")
        if redirect_uri != entry.redirect_uri:
            raise self._invalid_grant("Invalid redirect_uri")
        issued = self.grant(
            app, realm_id=entry.realm_id, scopes=entry.scopes, now=now, authorized_at=entry.approved_at
        )
        entry.grant = issued.grant
        return issued

    # Grants

    def grant(
        self,
        app: App,
        *,
        realm_id: str,
        now: float,
        scopes: Sequence[str] = (ACCOUNTING_SCOPE,),
        authorized_at: float | None = None,
    ) -> Issued:
        """A new family of tokens, as after a consent (now, unless `authorized_at` says when)."""
        since = now if authorized_at is None else authorized_at
        value = RefreshValue(self._new_refresh_value(), now)
        grant = Grant(app.client_id, realm_id, tuple(scopes), since, self._soft_expiry(since, now), value)
        self._refresh_values[value.value] = (grant, value)
        self._grants.append(grant)
        self._families.setdefault((app.client_id, realm_id), []).append(grant)
        return self._issue(grant, now)

    def refresh(self, app: App, value: str, *, now: float, parallel: bool = False) -> Issued:
        """Tokens for a refresh token. `parallel` says that another refresh with it is at work.

        The same value comes back until the first refresh after 24 h (switch `rotateAlways`). A replaced value
        works on for the grace, if any; after that its use revokes the family (switch `reuseRevokesFamily`).
        Raises OAuthRefused invalid_grant.
        """
        found = self._refresh_values.get(value)
        if found is None:
            raise self._invalid_grant("Incorrect or invalid refresh token")
        grant, entry = found
        if grant.client_id != app.client_id:
            raise self._invalid_grant(_OTHER_CLIENT)
        if not self.alive(grant, now):
            raise self._invalid_grant("Incorrect or invalid refresh token")
        if parallel and self._switches.on("parallelRefreshRevokes"):
            self._revoke(grant, access_too=self._switches.on("reuseKillsAccessTokens"))
            raise self._invalid_grant("Incorrect or invalid refresh token")
        if entry.replaced_at is not None:
            self._check_grace(grant, entry.replaced_at, now)
        elif self._due_for_rotation(entry, now):
            self._rotate(grant, entry, now)
        grant.expires_at = self._soft_expiry(grant.authorized_at, now)
        return self._issue(grant, now)

    def revoke(self, app: App, token: str) -> None:
        """End the connection by any of its tokens: what the app holds for that company, or that grant alone (switch
        `revocationEnds`). Raises OAuthRefused for a token that is none of the app's."""
        found = self._refresh_values.get(token)
        access = self._access_tokens.get(token)
        grant = found[0] if found is not None else access.grant if access is not None else None
        if grant is None or grant.revoked or grant.client_id != app.client_id:
            raise OAuthRefused("invalid_request", "Invalid token")
        whole = self._switches.choice("revocationEnds") == "connection"
        for each in self._families[app.client_id, grant.realm_id] if whole else [grant]:
            if not each.revoked:
                self._revoke(each, access_too=True)

    def access_token(self, value: str) -> AccessToken | None:
        """The access token of that value, dead or alive."""
        return self._access_tokens.get(value)

    def realm_of(self, value: str) -> str | None:
        """The company that a code or any token is for, None for a value that is neither."""
        if value in self._refresh_values:
            return self._refresh_values[value][0].realm_id
        entry = self._codes.get(value) or self._access_tokens.get(value)
        return entry.realm_id if entry is not None else None

    def grants(self) -> list[Grant]:
        """Every grant ever given, oldest first."""
        return list(self._grants)

    def connected(self, client_id: str, realm_id: str, now: float) -> bool:
        """Whether that app holds a living grant for the company's books."""
        family = self._families.get((client_id, realm_id), ())
        return any(ACCOUNTING_SCOPE in grant.scopes and self.alive(grant, now) for grant in reversed(family))

    # What happens to a grant at Intuit, without the app's doing

    def alive(self, grant: Grant, now: float) -> bool:
        """Whether a refresh with the grant's current value would succeed."""
        return not grant.revoked and now < min(grant.expires_at, self.hard_end(grant))

    def hard_end(self, grant: Grant) -> float:
        """When the grant ends however often it is refreshed."""
        return grant.authorized_at + self._switches.number("hardExpirySeconds")

    def living_access_tokens(self, now: float) -> list[AccessToken]:
        """Every access token that still opens something, oldest first."""
        return [each for each in self._access_tokens.values() if not each.revoked and now < each.expires_at]

    def end(self, grant: Grant) -> None:
        """The person disconnects the app: every token of the grant is dead."""
        self._revoke(grant, access_too=True)

    def end_access_tokens(self, grant: Grant) -> None:
        """The access tokens die before their time; the refresh token lives."""
        for token in self._access_tokens.values():
            if token.grant is grant:
                token.revoked = True

    def end_old_values(self, grant: Grant) -> None:
        """Replaced refresh tokens are dead at once, whatever the grace."""
        for entry in grant.past:
            entry.replaced_at = float("-inf")

    def rotate(self, grant: Grant, now: float) -> None:
        """Replace the current refresh token, as if a refresh had done so and its answer were lost."""
        self._rotate(grant, grant.current, now)

    # Parts

    def _check_grace(self, grant: Grant, replaced_at: float, now: float) -> None:
        if now < replaced_at + self._switches.number("refreshGraceHours") * 3600:
            return
        if self._switches.on("reuseRevokesFamily"):
            self._revoke(grant, access_too=self._switches.on("reuseKillsAccessTokens"))
        raise self._invalid_grant("Incorrect or invalid refresh token")

    def _due_for_rotation(self, entry: RefreshValue, now: float) -> bool:
        return self._switches.on("rotateAlways") or now - entry.issued_at >= _ROTATION_SECONDS

    def _rotate(self, grant: Grant, entry: RefreshValue, now: float) -> None:
        entry.replaced_at = now
        grant.past.append(entry)
        grant.current = RefreshValue(self._new_refresh_value(), now)
        self._refresh_values[grant.current.value] = (grant, grant.current)

    def _issue(self, grant: Grant, now: float) -> Issued:
        lifetime = int(self._switches.number("accessTokenSeconds"))
        access = AccessToken(
            f"eyJlbmMiOiJBMTI4Q0JDLUhTMjU2IiwiYWxnIjoiZGlyIn0..{self._letters(600, _BASE64URL)}",
            grant,
            now + lifetime,
        )
        self._access_tokens[access.value] = access
        self._forget_old_tokens(now)
        return Issued(
            grant=grant,
            access=access,
            refresh_token=grant.current.value,
            expires_in=lifetime,
            refresh_expires_in=int(grant.expires_at - now),
            hard_expires_in=int(self.hard_end(grant) - now),
        )

    def _forget_old_tokens(self, now: float) -> None:
        """Tokens dead for a day answer like unknown ones: bounded memory in long runs."""
        if len(self._access_tokens) % 4096:
            return
        limit = now - 24 * 3600
        self._access_tokens = {
            value: token for value, token in self._access_tokens.items() if token.expires_at > limit
        }

    def _revoke(self, grant: Grant, *, access_too: bool) -> None:
        grant.revoked = True
        if access_too:
            self.end_access_tokens(grant)

    def _soft_expiry(self, authorized_at: float, now: float) -> float:
        hard_end = authorized_at + self._switches.number("hardExpirySeconds")
        return min(now + self._switches.number("refreshTokenSeconds"), hard_end)

    def _new_refresh_value(self) -> str:
        # Intuit's digits may be an epoch; drawn here, so that the same seed gives the same values at any time.
        digits = self._random.randrange(17 * 10**8, 20 * 10**8)
        return f"RT1-{self._random.randrange(10, 99)}-H3-{digits}{self._letters(20)}"

    def _letters(self, length: int, alphabet: str = _BASE36) -> str:
        return "".join(self._random.choices(alphabet, k=length))

    def _invalid_grant(self, description: str) -> OAuthRefused:
        described = self._switches.on("invalidGrantDescription")
        return OAuthRefused("invalid_grant", description if described else None)
