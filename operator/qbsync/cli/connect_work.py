"""What `qbsync connect` does. The code is in memory and in one Secret, never in an argument or a log."""

import asyncio
import base64
import contextlib
import secrets
import webbrowser
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from qbsync.api.connection import Environment, QuickBooksConnectionSpec
from qbsync.api.meta import API_VERSION, REQUESTED_AT, Kind
from qbsync.cli import output, session
from qbsync.kube.desk import Desk
from qbsync.kube.errors import KubeError
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION, QUICKBOOKS_SANDBOX, Provider
from qbsync.tokens import authorization
from qbsync.tokens.consent import LIFETIME, Callback, CallbackRefused, Consent
from qbsync.tokens.credentials import CredentialsMissing, read_credentials
from qbsync.tokens.spec import Trigger

_PATH: Final = "/callback"
_DONE: Final = "/done"
_PAGE: Final = "<!doctype html><title>qbsync</title><p>{}</p>"
_HEADERS: Final = (
    "Content-Type: text/html; charset=utf-8\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
    "Connection: close\r\n"
)
_POLL: Final = 0.5
_LONGEST_LINE: Final = 16_384


class Impossible(Exception):
    """It cannot be done this way; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `qbsync connect`."""

    connection: str
    port: int
    paste: bool
    redirect_uri: str | None
    browser: bool
    client_id: str | None
    wait: int
    """Seconds."""


def connect(options: Options) -> int:
    """Returns the exit code."""

    async def work(desk: Desk, default: str) -> int:
        namespace, _, name = options.connection.rpartition("/")
        try:
            return await _Connecting(desk, namespace or default, name, options).run()
        except (Impossible, CallbackRefused, CredentialsMissing) as error:
            output.complain(error)
            return output.FAILED

    return session.run(work)


@dataclass(frozen=True, slots=True)
class _Connecting:
    desk: Desk
    namespace: str
    name: str
    options: Options

    async def run(self) -> int:
        spec = QuickBooksConnectionSpec.model_validate((await self._read())["spec"])
        provider = _provider(spec)
        client_id = (
            self.options.client_id
            or (
                await read_credentials(self.desk, namespace=self.namespace, name=spec.client_secret_ref.name)
            ).client_id
        )
        if self.options.paste:
            return await self._pasted(spec, provider, client_id)
        return await self._called_back(spec, provider, client_id)

    # -- the person ----------------------------------------------------------------------------------------

    async def _pasted(self, spec: QuickBooksConnectionSpec, provider: Provider, client_id: str) -> int:
        redirect = self.options.redirect_uri
        if redirect is None:
            raise Impossible("--paste needs --redirect-uri: an https address that is registered with the app")
        if spec.environment is Environment.PRODUCTION and urlsplit(redirect).scheme != "https":
            raise Impossible("production keys need an https address: --redirect-uri https://…")
        consent = Consent(_now())
        self._send_off(provider, client_id, redirect, consent, spec)
        output.say(
            "Then paste the whole address that you end at (it holds the code; the page may not exist):"
        )
        address = await asyncio.to_thread(input)
        return await self._hand_over(consent.accept(address, now=_now()), redirect)

    async def _called_back(self, spec: QuickBooksConnectionSpec, provider: Provider, client_id: str) -> int:
        if spec.environment is Environment.PRODUCTION:
            raise Impossible(
                "Intuit forbids localhost for production keys: use --paste with --redirect-uri https://…"
            )
        consent = Consent(_now())
        async with listening(consent, port=self.options.port) as (port, arrived):
            redirect = f"http://localhost:{port}{_PATH}"
            self._send_off(provider, client_id, redirect, consent, spec)
            try:
                callback = await asyncio.wait_for(arrived, LIFETIME.total_seconds())
            except TimeoutError:
                raise Impossible("nobody consented within 10 minutes: run the command again") from None
            return await self._hand_over(callback, redirect)

    def _send_off(
        self,
        provider: Provider,
        client_id: str,
        redirect: str,
        consent: Consent,
        spec: QuickBooksConnectionSpec,
    ) -> None:
        url = provider.consent_url(client_id=client_id, redirect_uri=redirect, state=consent.state)
        output.say(f"The app has to know the redirect address {redirect}")
        output.say(f"Consent for company {spec.realm_id} here, within 10 minutes:")
        print(url, flush=True)
        if self.options.browser:
            webbrowser.open(url)

    # -- the operator --------------------------------------------------------------------------------------

    async def _hand_over(self, callback: Callback, redirect: str) -> int:
        request = f"connect-{_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        await self.desk.apply(self._document(callback, redirect), force=True)
        try:
            await self.desk.annotate(Kind.CONNECTION, self.namespace, self.name, {REQUESTED_AT: request})
        except KubeError:
            await self._take_back()
            raise
        output.say("The operator exchanges the code …")
        status = await self._outcome(request)
        if status is None:
            await self._take_back()
            raise Impossible(
                f"the operator has not taken it up within {self.options.wait} s: is it running, and does it watch "
                f"namespace {self.namespace}? The code was deleted; run the command again"
            )
        return _told(status, f"{self.namespace}/{self.name}")

    async def _outcome(self, request: str) -> Mapping[str, Any] | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.wait):
                while True:
                    status: Mapping[str, Any] = (await self._read()).get("status") or {}
                    if status.get("lastHandledRequest") == request:
                        return status
                    await asyncio.sleep(_POLL)
        return None

    async def _take_back(self) -> None:
        with contextlib.suppress(KubeError):
            await self.desk.remove(await self.desk.get(self.namespace, authorization.secret_name(self.name)))

    async def _read(self) -> dict[str, Any]:
        metadata = {"namespace": self.namespace, "name": self.name}
        found = await self.desk.find(
            {"apiVersion": API_VERSION, "kind": Kind.CONNECTION.value, "metadata": metadata}
        )
        if found is None:
            raise Impossible(
                f"there is no QuickBooksConnection {self.namespace}/{self.name}: create it first"
            )
        return found

    def _document(self, callback: Callback, redirect: str) -> dict[str, Any]:
        content = {
            authorization.CODE: callback.code.get_secret_value(),
            authorization.REALM_ID: callback.realm,
            authorization.REDIRECT_URI: redirect,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": authorization.SECRET_TYPE,
            "metadata": {
                "namespace": self.namespace,
                "name": authorization.secret_name(self.name),
                "annotations": {authorization.AUTHORIZED_AT: _now().isoformat()},
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
        }


@contextlib.asynccontextmanager
async def listening(consent: Consent, *, port: int) -> AsyncIterator[tuple[int, "asyncio.Future[Callback]"]]:
    """Take the callback on this machine's loopback; yields the port, and what will be the answer."""
    arrived: asyncio.Future[Callback] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, asyncio.IncompleteReadError):
            line = (await reader.readline()).decode("latin-1").split()
            writer.write(_answer(line, consent, arrived).encode())
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_LONGEST_LINE)
    except OSError as error:
        raise Impossible(
            f"port {port} cannot be listened on ({error.strerror}): take another --port"
        ) from None
    async with server:
        yield server.sockets[0].getsockname()[1], arrived


def _answer(line: list[str], consent: Consent, arrived: "asyncio.Future[Callback]") -> str:
    """One request. The browser is sent on at once, so that the code does not stay in its address bar."""
    target = line[1] if len(line) == 3 and line[0] == "GET" else ""
    path = urlsplit(target).path
    if path == _DONE:
        return _response("200 OK", "Done: see the terminal. You can close this page.")
    if path != _PATH:
        return _response("404 Not Found", "Nothing is here.")
    try:
        callback = consent.accept(target, now=_now())
    except CallbackRefused as error:
        if consent.used and not arrived.done():
            arrived.set_exception(error)
        return _response("400 Bad Request", str(error))
    arrived.set_result(callback)
    return _response("303 See Other", "", f"Location: {_DONE}\r\n")


def _response(status: str, text: str, more: str = "") -> str:
    page = _PAGE.format(text)
    return f"HTTP/1.1 {status}\r\n{_HEADERS}{more}Content-Length: {len(page.encode())}\r\n\r\n{page}"


def _provider(spec: QuickBooksConnectionSpec) -> Provider:
    if spec.environment is Environment.PRODUCTION:
        return QUICKBOOKS_PRODUCTION
    if spec.environment is Environment.SANDBOX:
        return QUICKBOOKS_SANDBOX
    if spec.endpoints is None or spec.endpoints.authorize is None:
        raise Impossible("the connection has no spec.endpoints.authorize: nobody can consent there")
    return replace(QUICKBOOKS_SANDBOX, authorize_url=spec.endpoints.authorize)


def _told(status: Mapping[str, Any], where: str) -> int:
    history = status.get("refreshHistory") or []
    record = next((one for one in history if one.get("trigger") == Trigger.AUTHORIZATION), None)
    ready: Mapping[str, Any] = next(
        (one for one in status.get("conditions") or () if one["type"] == "Ready"), {}
    )
    if record is None or record.get("error"):
        why = record["error"] if record is not None else f"{ready.get('reason')}: {ready.get('message')}"
        output.complain(f"{where} was not connected: {why}")
        return output.FINDINGS
    company = (status.get("company") or {}).get("name", "")
    output.say(f"{where} is connected to {company or 'its company'}")
    output.say(f"Ready is {ready.get('status')} ({ready.get('reason')})")
    if ready.get("status") != "True":
        output.say(ready.get("message", ""))
    return output.OK


def _now() -> datetime:
    return datetime.now(UTC)
