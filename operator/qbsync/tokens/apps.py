"""Which Intuit app a connection belongs to, from its client Secret: read by name, remembered for minutes."""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from qbsync.engine.clock import Clock
from qbsync.kube.errors import KubeError, NotFound
from qbsync.kube.secrets import Secret, SecretsApi
from qbsync.tokens.credentials import CLIENT_ID

VERIFIER_TOKEN: Final = "webhook_verifier_token"  # noqa: S105 - a key's name
REMEMBERED: Final = timedelta(minutes=5)
READ_AGAIN: Final = timedelta(seconds=15)
"""How soon a Secret is read again where what is remembered of it does not fit."""
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class App:
    """An Intuit application, without its credentials."""

    id: str
    """The first 12 hex digits of the SHA-256 of its client id: names the app in paths and counters."""
    verifier: SecretStr | None
    """What its webhooks are signed with; None: it has none."""


def app_id(client_id: str) -> str:
    """The name of an app that does not tell its client id."""
    return hashlib.sha256(client_id.encode()).hexdigest()[:12]


class Apps:
    """The apps of the client Secrets that were asked for lately."""

    def __init__(self, *, secrets: SecretsApi, clock: Clock) -> None:
        self._secrets, self._clock = secrets, clock
        self._known: dict[tuple[str, str], tuple[float, App | None]] = {}
        self._reading: dict[tuple[str, str], asyncio.Lock] = {}

    async def of(self, namespace: str, name: str, *, newer_than: timedelta = REMEMBERED) -> App | None:
        """The app of a client Secret, not older than that; None if the Secret does not say.

        What could not be read keeps what was known. Never raises.
        """
        place = (namespace, name)
        async with self._reading.setdefault(place, asyncio.Lock()):
            read_at, app = self._known.get(place, (float("-inf"), None))
            if self._clock.monotonic() - read_at <= newer_than.total_seconds():
                return app
            try:
                app = _app(await self._secrets.get(namespace, name))
            except NotFound:
                app = None
            except KubeError:
                return app
            self._known[place] = (self._clock.monotonic(), app)
            return app

    def keep(self, places: set[tuple[str, str]]) -> None:
        """Forget every Secret but these: no connection names them any more."""
        for place in self._known.keys() - places:
            del self._known[place]
            self._reading.pop(place, None)


def _app(secret: Secret) -> App | None:
    client_id, verifier = _text(secret, CLIENT_ID), _text(secret, VERIFIER_TOKEN)
    if not client_id:
        return None
    return App(app_id(client_id), SecretStr(verifier) if verifier else None)


def _text(secret: Secret, key: str) -> str:
    try:
        return secret.data.get(key, b"")[:_LONGEST].decode().strip()
    except UnicodeDecodeError:
        return ""
