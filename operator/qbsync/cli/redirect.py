"""Where the consent page sends the person back to: what Intuit registers for which keys, and who listens there. Pure.

Intuit compares redirect addresses character by character with those registered for the app. Development keys
may have http on this machine; production keys only https with a name, so never this machine itself.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from qbsync.api.connection import Environment

DEFAULT_PORT: Final = 8000
DEFAULT_PATH: Final = "/callback"


class RedirectRefused(Exception):
    """The consent cannot come back this way; `str()` says which one there is."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """An address that is registered with the app, and where its callback is awaited."""

    address: str | None
    """None: that of whatever port is free."""
    port: int = 0
    """On this machine's loopback; 0: a free one."""
    path: str = DEFAULT_PATH

    def reached_at(self, port: int) -> str:
        """The redirect URI, once it is known which port is listened on."""
        return self.address or f"http://localhost:{port}{self.path}"


def choose(environment: Environment, *, address: str | None, port: int | None) -> Redirect:
    """Where to listen for the callback; raises `RedirectRefused`. Both are the command's options."""
    if address is None:
        if environment is Environment.PRODUCTION:
            raise RedirectRefused(
                "Intuit registers no localhost for production keys: say --redirect-uri https://… with an address "
                "of yours that is registered with the app, and --paste, or the --port that it leads to"
            )
        chosen = DEFAULT_PORT if port is None else port
        return Redirect(f"http://localhost:{chosen}{DEFAULT_PATH}" if chosen else None, chosen)
    parts = _checked(address, environment)
    if port is None and not (parts.scheme == "http" and _is_this_machine(parts)):
        raise RedirectRefused(
            f"{address} is not on this machine: say --paste, or the --port here that it leads to"
        )
    return Redirect(address, (parts.port or 80) if port is None else port, parts.path or "/")


def pasted(environment: Environment, *, address: str | None) -> str:
    """The redirect URI where nobody listens; raises `RedirectRefused`."""
    if address is None:
        raise RedirectRefused(
            "--paste needs --redirect-uri: an https address that is registered with the app; nothing need be there"
        )
    _checked(address, environment)
    return address


def _checked(address: str, environment: Environment) -> SplitResult:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise RedirectRefused(f"--redirect-uri {address} is no http or https address")
    if "?" in address or "#" in address:
        raise RedirectRefused(
            f"--redirect-uri {address}: Intuit registers no address with a query string or a fragment"
        )
    if environment is Environment.PRODUCTION and (parts.scheme != "https" or _is_numeric_or_local(parts)):
        raise RedirectRefused(
            f"--redirect-uri {address}: production keys need https and a name, no localhost and no IP address"
        )
    if environment is Environment.SANDBOX and parts.scheme != "https" and not _is_this_machine(parts):
        raise RedirectRefused(
            f"--redirect-uri {address}: development keys may have http on localhost only, else https"
        )
    return parts


def _is_numeric_or_local(parts: SplitResult) -> bool:
    return parts.hostname == "localhost" or _ip(parts) is not None


def _is_this_machine(parts: SplitResult) -> bool:
    ip = _ip(parts)
    return parts.hostname == "localhost" or (ip is not None and ip.version == 4 and ip.is_loopback)


def _ip(parts: SplitResult) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return None
