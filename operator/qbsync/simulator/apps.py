"""The apps registered with this Intuit: their keys, where consent may lead back to, and what they may ask for."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

ACCOUNTING_SCOPE = "com.intuit.quickbooks.accounting"
SCOPES = frozenset(
    {
        ACCOUNTING_SCOPE,
        "com.intuit.quickbooks.payment",
        "project-management.project",
        "app-foundations.custom-field-definitions",
        "app-foundations.custom-field-definitions.read",
        "payroll.compensation.read",
        "indirect-tax.tax-calculation.quickbooks",
        *("openid", "profile", "email", "phone", "address"),
    }
)
# What no client writes differently in a Basic header, whether it encodes its keys first (RFC 6749, 2.3.1) or not.
_KEY = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_KEYS = frozenset({"clientId", "clientSecret", "name", "environment", "redirectUris", "scopes"})


class Environment(StrEnum):
    """Which of an app's two key sets this is; companies have one too."""

    SANDBOX = "sandbox"
    PRODUCTION = "production"


class UnreadableApp(ValueError):
    """An app the door cannot register; the message says why."""


@dataclass(frozen=True, slots=True)
class App:
    """One key set of an app.

    `redirect_uris` are compared character by character; without any, every address that could be registered
    will do. Without `scopes` the app may ask for all there are.
    """

    client_id: str
    client_secret: str = field(repr=False)
    name: str = "Sample app"
    environment: Environment = Environment.SANDBOX
    redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def may_ask_for(self, scopes: tuple[str, ...]) -> bool:
        """Whether each scope exists and is one of the app's."""
        return bool(scopes) and set(scopes) <= (set(self.scopes) or SCOPES)

    def leads_back_to(self, redirect_uri: str) -> bool:
        """Whether consent may end at that address."""
        if self.redirect_uris:
            return redirect_uri in self.redirect_uris
        return redirect_problem(redirect_uri, self.environment) is None

    def document(self) -> dict[str, Any]:
        """The door's JSON, with the secret: the door hands out grants anyway."""
        return {
            "clientId": self.client_id,
            "clientSecret": self.client_secret,
            "name": self.name,
            "environment": str(self.environment),
            "redirectUris": list(self.redirect_uris),
            "scopes": list(self.scopes),
        }


def redirect_problem(uri: str, environment: Environment) -> str | None:
    """Why Intuit would not register that redirect URI for such keys, None if it would.

    Production: https and a name; development: http too, on this machine. Never a query string or fragment.
    """
    try:
        target = urlsplit(uri)
        host = target.hostname
    except ValueError:
        return "is no address"
    if target.scheme not in {"http", "https"} or not host:
        return "is no http or https address"
    if target.query or target.fragment or "?" in uri or "#" in uri:
        return "has a query string or a fragment"
    this_machine = host == "localhost" or _is_address(host, loopback=True)
    if environment is Environment.PRODUCTION and (this_machine or _is_address(host)):
        return "is localhost or an IP address, which production keys may not have"
    if target.scheme == "http" and not this_machine:
        return "is not https"
    return None


def read(document: Mapping[str, Any], *, client_id: str, client_secret: str) -> App:
    """An app from the door's JSON; the keys given here where it names none. Raises UnreadableApp."""
    unknown = set(document) - _KEYS
    if unknown:
        raise UnreadableApp(f"an app has {', '.join(sorted(_KEYS))}, not {', '.join(sorted(unknown))}")
    app = App(
        client_id=_text(document, "clientId", client_id),
        client_secret=_text(document, "clientSecret", client_secret),
        name=_text(document, "name", "Sample app"),
        environment=environment(document.get("environment")),
        redirect_uris=_texts(document, "redirectUris"),
        scopes=_texts(document, "scopes"),
    )
    for name, key in (("clientId", app.client_id), ("clientSecret", app.client_secret)):
        if not _KEY.fullmatch(key):
            raise UnreadableApp(f"{name} is made of letters, digits, '.', '_', '~' and '-', at most 100")
    for uri in app.redirect_uris:
        problem = redirect_problem(uri, app.environment)
        if problem is not None:
            raise UnreadableApp(f"the redirect URI {uri!r} {problem}")
    strangers = sorted(set(app.scopes) - SCOPES)
    if strangers:
        raise UnreadableApp(f"no scope {', '.join(strangers)}; there are {', '.join(sorted(SCOPES))}")
    return app


def environment(value: object) -> Environment:
    """`sandbox` (also when absent) or `production`. Raises UnreadableApp."""
    try:
        return Environment(str(value or "sandbox"))
    except ValueError:
        raise UnreadableApp(f"environment is sandbox or production, not {value!r}") from None


def _text(document: Mapping[str, Any], name: str, default: str) -> str:
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or not value:
        raise UnreadableApp(f"{name} is a text, not {value!r}")
    return value


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name) or []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise UnreadableApp(f"{name} is a list of texts")
    return tuple(value)


def _is_address(host: str, *, loopback: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or not loopback
