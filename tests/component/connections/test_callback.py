"""The callback that `qbsync connect` awaits on this machine: a browser over real sockets."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from qbsync.cli.callback import Arrival, CannotListen, listening
from qbsync.cli.redirect import Redirect
from qbsync.tokens.consent import CallbackRefused, Consent


def new_consent(ago: timedelta = timedelta()) -> Consent:
    return Consent(datetime.now(UTC) - ago)


async def visit(arrival: Arrival, query: str, *, address: str | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as browser:
        return await browser.get(f"{address or arrival.redirect_uri}?{query}")


async def test_the_code_leaves_the_address_bar_at_once() -> None:
    consent = new_consent()
    async with listening(consent, Redirect(None)) as arrival:
        answer = await visit(arrival, f"code=c0de&realmId=7&state={consent.state}")
        assert answer.status_code == 303
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["location"] == "?done"
        callback = await arrival.callback
        assert (callback.code.get_secret_value(), callback.realm) == ("c0de", "7")
        done = await visit(arrival, "done")
        assert (done.status_code, "close this page" in done.text) == (200, True)
        again = await visit(arrival, f"code=c0de&realmId=7&state={consent.state}")
        assert (again.status_code, "used before" in again.text) == (400, True)


async def test_a_registered_https_address_leads_here_by_its_path() -> None:
    consent, registered = new_consent(), "https://billing.example.com/intuit/cb"
    async with listening(consent, Redirect(None, path="/intuit/cb")) as here:
        port = here.redirect_uri.split(":")[2].partition("/")[0]
    async with listening(consent, Redirect(registered, int(port), "/intuit/cb")) as arrival:
        assert arrival.redirect_uri == registered
        forwarded = f"http://127.0.0.1:{port}"
        query = f"code=c0de&realmId=7&state={consent.state}"
        assert (await visit(arrival, query, address=f"{forwarded}/callback")).status_code == 404
        assert (await visit(arrival, query, address=f"{forwarded}/intuit/cb")).status_code == 303
        assert (await arrival.callback).realm == "7"


async def test_a_stranger_neither_ends_the_wait_nor_uses_the_consent_up() -> None:
    consent = new_consent()
    async with listening(consent, Redirect(None)) as arrival:
        stranger = await visit(arrival, f"code=bad&realmId=7&state={new_consent().state}")
        assert (stranger.status_code, "does not belong" in stranger.text) == (400, True)
        assert not arrival.callback.done()
        reader, writer = await asyncio.open_connection(*arrival.redirect_uri[7:-9].split(":"))
        writer.write(b"\x16\x03\x01 nonsense\n")
        assert b"404" in await reader.readline()
        writer.close()
        await visit(arrival, f"code=c0de&realmId=7&state={consent.state}")
        assert (await arrival.callback).code.get_secret_value() == "c0de"


@pytest.mark.parametrize(
    ("query", "ago", "said"),
    [
        ("error=access_denied", timedelta(), "did not consent"),
        ("code=c0de&realmId=7", timedelta(minutes=11), "longer than 10 minutes"),
    ],
)
async def test_what_ends_the_wait_without_a_code(query: str, ago: timedelta, said: str) -> None:
    consent = new_consent(ago)
    async with listening(consent, Redirect(None)) as arrival:
        assert (await visit(arrival, f"{query}&state={consent.state}")).status_code == 400
        with pytest.raises(CallbackRefused, match=said):
            await arrival.callback


async def test_a_port_that_is_taken_is_said() -> None:
    async with listening(new_consent(), Redirect(None)) as arrival:
        port = int(arrival.redirect_uri.split(":")[2].partition("/")[0])
        with pytest.raises(CannotListen, match="--port"):
            async with listening(new_consent(), Redirect(None, port)):
                pass
