"""Who may use the control door and the pages: it hands out grants, so a web page must not be able to ask it."""

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from qbsync.simulator.options import SimulatorOptions, is_loopback

_READING = frozenset({"GET", "HEAD"})


class Forbidden(Exception):
    """A request the door does not serve: HTTP status and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def check(options: SimulatorOptions, method: str, headers: Mapping[str, str]) -> None:
    """Raise Forbidden unless the request names this server, comes from no foreign page and has the token it needs."""
    check_origin(options, headers)
    if method not in _READING and method != "DELETE":
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise Forbidden(415, "the control door takes Content-Type: application/json")
    if options.control_token is not None and not hmac.compare_digest(
        _token(headers), options.control_token.encode()
    ):
        raise Forbidden(401, "the control door of this simulator wants Authorization: Bearer <control token>")


def check_origin(options: SimulatorOptions, headers: Mapping[str, str]) -> None:
    """Raise Forbidden for a Host that is not ours (DNS rebinding) and for a foreign Origin (another page)."""
    host = headers.get("host", "")
    if not _own_host(options, _name(host)):
        raise Forbidden(403, "the Host header must be a loopback name or the one given with --host")
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in {f"http://{host}".lower(), f"https://{host}".lower()}:
        raise Forbidden(403, "requests of other origins are not served")


def _own_host(options: SimulatorOptions, name: str) -> bool:
    if is_loopback(name) or name.lower() == options.host.lower():
        return True
    # Bound to every address, any name of this machine may be the right one; the control token stands guard alone.
    return options.on_every_address


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token(headers: Mapping[str, str]) -> bytes:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip().encode() if scheme.lower() == "bearer" else b""
