"""What `qbsync connect` does. The code is in memory and in one Secret, never in an argument or a log."""

import asyncio
import base64
import contextlib
import secrets
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from qbsync.api.connection import Environment, QuickBooksConnectionSpec
from qbsync.api.meta import API_VERSION, REQUESTED_AT, Kind
from qbsync.cli import output, redirect, session
from qbsync.cli.callback import CannotListen, listening
from qbsync.cli.redirect import RedirectRefused
from qbsync.kube.desk import Desk
from qbsync.kube.errors import KubeError
from qbsync.quickbooks.oauth import QUICKBOOKS_PRODUCTION, QUICKBOOKS_SANDBOX, Provider
from qbsync.tokens import authorization
from qbsync.tokens.consent import LIFETIME, Callback, CallbackRefused, Consent
from qbsync.tokens.credentials import CredentialsMissing, read_credentials
from qbsync.tokens.spec import Trigger

_POLL: Final = 0.5


class Impossible(Exception):
    """It cannot be done this way; `str()` says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `qbsync connect`."""

    connection: str
    port: int | None
    """On this machine's loopback; None: that of `redirect_uri`, else 8000."""
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
        except (Impossible, RedirectRefused, CannotListen, CallbackRefused, CredentialsMissing) as error:
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
        address = redirect.pasted(spec.environment, address=self.options.redirect_uri)
        consent = Consent(_now())
        self._send_off(provider, client_id, address, consent, spec)
        output.say(
            "Then paste the whole address that you end at (it holds the code; the page may not exist):"
        )
        pasted = await asyncio.to_thread(input)
        return await self._hand_over(consent.accept(pasted, now=_now()), address)

    async def _called_back(self, spec: QuickBooksConnectionSpec, provider: Provider, client_id: str) -> int:
        chosen = redirect.choose(spec.environment, address=self.options.redirect_uri, port=self.options.port)
        consent = Consent(_now())
        async with listening(consent, chosen) as arrival:
            self._send_off(provider, client_id, arrival.redirect_uri, consent, spec)
            try:
                callback = await asyncio.wait_for(arrival.callback, LIFETIME.total_seconds())
            except TimeoutError:
                raise Impossible("nobody consented within 10 minutes: run the command again") from None
            return await self._hand_over(callback, arrival.redirect_uri)

    def _send_off(
        self,
        provider: Provider,
        client_id: str,
        address: str,
        consent: Consent,
        spec: QuickBooksConnectionSpec,
    ) -> None:
        url = provider.consent_url(client_id=client_id, redirect_uri=address, state=consent.state)
        output.say(f"The redirect address {address} has to be registered with the app, exactly so")
        output.say(f"Consent for company {spec.realm_id} here, within 10 minutes:")
        print(url, flush=True)
        if self.options.browser:
            webbrowser.open(url)

    # -- the operator --------------------------------------------------------------------------------------

    async def _hand_over(self, callback: Callback, address: str) -> int:
        connection = await self._read()
        before: Mapping[str, Any] = connection.get("status") or {}
        request = f"connect-{_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        document = self._document(callback, address, owner=connection["metadata"]["uid"])
        await self.desk.apply(document, force=True)
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
        return _told(before, status, f"{self.namespace}/{self.name}")

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

    def _document(self, callback: Callback, address: str, *, owner: str) -> dict[str, Any]:
        content = {
            authorization.CODE: callback.code.get_secret_value(),
            authorization.REALM_ID: callback.realm,
            authorization.REDIRECT_URI: address,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": authorization.SECRET_TYPE,
            "metadata": {
                "namespace": self.namespace,
                "name": authorization.secret_name(self.name),
                "annotations": {authorization.AUTHORIZED_AT: _now().isoformat()},
                # Unlike the tokens: a code is of no use without its connection, and goes with it.
                "ownerReferences": [
                    {
                        "apiVersion": API_VERSION,
                        "kind": Kind.CONNECTION.value,
                        "name": self.name,
                        "uid": owner,
                    }
                ],
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
        }


def _provider(spec: QuickBooksConnectionSpec) -> Provider:
    if spec.environment is Environment.PRODUCTION:
        return QUICKBOOKS_PRODUCTION
    if spec.environment is Environment.SANDBOX:
        return QUICKBOOKS_SANDBOX
    if spec.endpoints is None or spec.endpoints.authorize is None:
        raise Impossible("the connection has no spec.endpoints.authorize: nobody can consent there")
    return replace(QUICKBOOKS_SANDBOX, authorize_url=spec.endpoints.authorize)


def _told(before: Mapping[str, Any], after: Mapping[str, Any], where: str) -> int:
    known = _exchanges(before)
    record = next((one for one in _exchanges(after) if one not in known), None)
    ready = _ready(after)
    if record is None and ready.get("status") == "True":
        # An operator that ended in between did not say it.
        if _ready(before).get("status") == "True":
            output.complain(
                f"{where} is Ready, but the operator was replaced before it said whether by this consent or by "
                "the one before: if in doubt, run the command again"
            )
            return output.FINDINGS
    elif record is None or record.get("error"):
        why = record["error"] if record is not None else f"{ready.get('reason')}: {ready.get('message')}"
        output.complain(f"{where} was not connected: {why}")
        return output.FINDINGS
    company = (after.get("company") or {}).get("name", "")
    output.say(f"{where} is connected to {company or 'its company'}")
    output.say(f"Ready is {ready.get('status')} ({ready.get('reason')})")
    if ready.get("status") != "True":
        output.say(ready.get("message", ""))
    return output.OK


def _exchanges(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    history: list[Mapping[str, Any]] = status.get("refreshHistory") or []
    return [one for one in history if one.get("trigger") == Trigger.AUTHORIZATION]


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})


def _now() -> datetime:
    return datetime.now(UTC)
