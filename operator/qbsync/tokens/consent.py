"""A person's way to the consent page and back: the state that goes out, and what the callback has to bring. Pure.

Used by whoever takes the callback. A state is random, good for one callback, and for ten minutes.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

LIFETIME: Final = timedelta(minutes=10)
_STATE_BYTES: Final = 32


class CallbackRefused(Exception):
    """The address is not the answer to this consent; `str()` says why and shows nothing secret."""


@dataclass(frozen=True, slots=True)
class Callback:
    """What a consent brought."""

    code: SecretStr
    realm: str


@dataclass(slots=True)
class Consent:
    """One way to the consent page, not yet come back from."""

    begun: datetime
    state: str = field(default_factory=lambda: secrets.token_urlsafe(_STATE_BYTES), repr=False)
    used: bool = False

    def accept(self, address: str, *, now: datetime) -> Callback:
        """Read the address that the person was sent back to; raises `CallbackRefused`.

        Only an address with the right state uses the state up.
        """
        given = {key: values[-1] for key, values in parse_qs(urlsplit(address.strip()).query).items()}
        if not hmac.compare_digest(given.get("state", "").encode(), self.state.encode()):
            raise CallbackRefused(
                "the address does not belong to this consent (its state is another): start anew"
            )
        if self.used:
            raise CallbackRefused("this consent was used before: start anew")
        self.used = True
        if now - self.begun > LIFETIME:
            minutes = int(LIFETIME.total_seconds() // 60)
            raise CallbackRefused(f"the consent took longer than {minutes} minutes: start anew")
        if "error" in given:
            denied = given["error"] == "access_denied"
            raise CallbackRefused(
                "the person did not consent" if denied else "the provider refused the consent: see its page"
            )
        code, realm = given.get("code", ""), given.get("realmId", "")
        if not code or not realm:
            raise CallbackRefused("the address holds no code, or no realmId: paste the whole address")
        return Callback(SecretStr(code), realm)
