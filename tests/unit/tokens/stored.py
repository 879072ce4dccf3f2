"""Token Secrets made by hand, for what the command line does with them."""

import base64
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from fakes.clock import FakeClock
from fakes.desk import FakeDesk
from qbsync.kube.secrets import Secret
from qbsync.tokens.adoption import Holding
from qbsync.tokens.claim import Intent
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.grant import Grant, ImportMemory
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.schedule import Rejection
from qbsync.tokens.store import Draft, Stored, TokenStore

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
INTUIT = "oauth.platform.intuit.com"
TOKEN = "RT1-the-refresh-token-that-nobody-may-see"
INTENT = Intent("operator-1", "nonce-1", 3, 4, "2026-11-23T09:00:00.000000Z")


def keys(*letters: str) -> Keyring:
    """A keyring whose keys are known by a letter each, the first one primary."""
    rings = [
        Keyring.from_environment(
            {"ENCRYPTION_MASTER_KEY": "base64:" + base64.b64encode(letter.encode() * 32).decode()}
        )
        for letter in letters
    ]
    return Keyring([ring.primary for ring in rings])


def binding(name: str = "acme", **changes: Any) -> EnvelopeBinding:
    """Of a sandbox connection in `billing`."""
    given = {
        "namespace": "billing",
        "realm": "9341453908123456",
        "environment": "Sandbox",
        "token_host": INTUIT,
    }
    return EnvelopeBinding(name=name, **{**given, **changes})


def grant(**changes: Any) -> Grant:
    """A grant at sequence 3."""
    given: dict[str, Any] = {
        "refresh_token": SecretStr(TOKEN),
        "sequence": 3,
        "uid": "uid-of-acme",
        "memory": ImportMemory(b"k" * 32),
        "obtained_at": NOW,
    }
    return Grant(**{**given, **changes})


async def put(
    desk: FakeDesk,
    clock: FakeClock,
    keyring: Keyring,
    *,
    bound: EnvelopeBinding | None = None,
    secret_name: str = "",
    stored: Grant | None = None,
    intent: Intent | None = None,
    rejection: Rejection | None = None,
) -> Secret:
    """Store a grant as the operator would."""
    bound = bound or binding()
    store = TokenStore(secrets=desk, keyring=keyring, clock=clock)
    written = await store.write(
        Holding(bound, secret_name or f"{bound.name}-qbsync-tokens"),
        Stored(),
        Draft(stored or grant(), intent, rejection),
    )
    assert written.secret is not None
    desk.calls.clear()
    return written.secret
