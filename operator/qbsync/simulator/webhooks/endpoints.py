"""Where an app wants to hear of changes, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from qbsync.simulator.webhooks.events import TOLD, Format

_KEYS = frozenset({"clientId", "url", "verifierToken", "format", "entities"})


class UnreadableEndpoint(ValueError):
    """An endpoint the door cannot set; the message says why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One app's endpoint. `entities` are the kinds it wants, by Intuit's names; None for all."""

    url: str
    verifier_token: str = field(repr=False)
    format: Format = Format.CLOUDEVENTS
    entities: frozenset[str] | None = None

    def wants(self, entity: str) -> bool:
        """Whether it hears of that kind."""
        return self.entities is None or entity in self.entities


def url_problem(url: str) -> str | None:
    """Why nothing could be sent to that address, None if something could."""
    try:
        target = urlsplit(url)
        host, _ = target.hostname, target.port
    except ValueError:
        return "is no address"
    return None if target.scheme in {"http", "https"} and host else "is no http or https address"


def read(document: Mapping[str, Any], *, verifier_token: str) -> Endpoint:
    """An endpoint from the door's JSON, with this verifier token if it names none. Raises UnreadableEndpoint."""
    unknown = set(document) - _KEYS
    if unknown:
        raise UnreadableEndpoint(
            f"an endpoint has {', '.join(sorted(_KEYS))}, not {', '.join(sorted(unknown))}"
        )
    url, token = document.get("url"), document.get("verifierToken") or verifier_token
    if not isinstance(url, str) or url_problem(url) is not None:
        raise UnreadableEndpoint(f"url is an http or https address, or null for none; not {url!r}")
    if not isinstance(token, str):
        raise UnreadableEndpoint("verifierToken is a text")
    return Endpoint(url, token, _format(document.get("format")), _entities(document.get("entities")))


def _format(value: object) -> Format:
    try:
        return Format(str(value or "cloudevents"))
    except ValueError:
        raise UnreadableEndpoint(f"format is cloudevents or legacy, not {value!r}") from None


def _entities(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    known = set(TOLD.values())
    if not isinstance(value, list) or not all(isinstance(name, str) and name in known for name in value):
        raise UnreadableEndpoint(f"entities is a list of some of {', '.join(sorted(known))}, or null for all")
    return frozenset(value)
