"""Which redirect addresses Intuit registers for which keys, and where `qbsync connect` listens for the callback."""

import pytest

from qbsync.api.connection import Environment
from qbsync.cli import redirect
from qbsync.cli.redirect import Redirect, RedirectRefused

PRODUCTION, SANDBOX, CUSTOM = Environment.PRODUCTION, Environment.SANDBOX, Environment.CUSTOM
YOURS = "https://billing.example.com/intuit/callback"


@pytest.mark.parametrize(
    ("environment", "address", "port", "expected"),
    [
        (SANDBOX, None, None, Redirect("http://localhost:8000/callback", 8000)),
        (CUSTOM, None, 8123, Redirect("http://localhost:8123/callback", 8123)),
        (SANDBOX, None, 0, Redirect(None)),
        (
            SANDBOX,
            "http://localhost:3000/oauth",
            None,
            Redirect("http://localhost:3000/oauth", 3000, "/oauth"),
        ),
        (SANDBOX, "http://127.0.0.1", None, Redirect("http://127.0.0.1", 80, "/")),
        # Seen from elsewhere, as with a forwarded port, the registered address has another one.
        (SANDBOX, "http://localhost:3000/cb", 9000, Redirect("http://localhost:3000/cb", 9000, "/cb")),
        (PRODUCTION, YOURS, 8000, Redirect(YOURS, 8000, "/intuit/callback")),
        (CUSTOM, "http://qbo.test:88/cb", 8000, Redirect("http://qbo.test:88/cb", 8000, "/cb")),
    ],
)
def test_where_the_callback_is_awaited(
    environment: Environment, address: str | None, port: int | None, expected: Redirect
) -> None:
    assert redirect.choose(environment, address=address, port=port) == expected


@pytest.mark.parametrize(
    ("environment", "address", "said"),
    [
        (PRODUCTION, None, "no localhost for production keys"),
        (PRODUCTION, YOURS, "--paste, or the --port"),
        (SANDBOX, YOURS, "--paste, or the --port"),
        (PRODUCTION, "http://billing.example.com/cb", "https and a name"),
        (PRODUCTION, "https://localhost:8000/cb", "https and a name"),
        (PRODUCTION, "https://192.0.2.7/cb", "https and a name"),
        (PRODUCTION, "https://[2001:db8::7]/cb", "https and a name"),
        (SANDBOX, "http://billing.example.com/cb", "http on localhost only"),
        (SANDBOX, "http://[::1]:8000/cb", "http on localhost only"),
        (SANDBOX, "https://billing.example.com/cb?tenant=7", "query string"),
        (SANDBOX, "https://billing.example.com/cb#x", "fragment"),
        (SANDBOX, "billing.example.com/cb", "no http or https address"),
        (SANDBOX, "http://localhost:99999/cb", "no http or https address"),
        (CUSTOM, "https:///cb", "no http or https address"),
    ],
)
def test_what_does_not_lead_back(environment: Environment, address: str | None, said: str) -> None:
    with pytest.raises(RedirectRefused, match=said):
        redirect.choose(environment, address=address, port=None)


def test_pasting_needs_a_registered_address_and_nobody_there() -> None:
    assert redirect.pasted(PRODUCTION, address=YOURS) == YOURS
    with pytest.raises(RedirectRefused, match="--redirect-uri"):
        redirect.pasted(PRODUCTION, address=None)
    with pytest.raises(RedirectRefused, match="https and a name"):
        redirect.pasted(PRODUCTION, address="http://localhost:8000/callback")


def test_a_free_port_is_in_the_address() -> None:
    assert Redirect(None).reached_at(40123) == "http://localhost:40123/callback"
    assert Redirect(YOURS, 8000, "/intuit/callback").reached_at(8000) == YOURS
