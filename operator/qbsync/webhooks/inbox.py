"""What a webhook is worth: whose it is, whether it is genuine, and which companies it makes due.

Nothing of a body is believed before its signature holds, and nothing of it is kept but the ids of its events.
A replay, a loss or another order changes no result: a webhook only says when to ask QuickBooks.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from pydantic import SecretStr

from qbsync.api.meta import Kind
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.engine.store import ObjectStore
from qbsync.invoices.labels import by_id
from qbsync.quickbooks.webhooks import UnreadableWebhook, WebhookEvent, parse_webhook, signed_by
from qbsync.tokens.apps import READ_AGAIN, Apps

logger = logging.getLogger(__name__)

REMEMBERED_EVENTS: Final = 10_000
PER_SECOND: Final = 20
BURST: Final = 100
"""Genuine webhooks of one app; Intuit sends what was refused again."""
_RECIPIENTS_FOR: Final = timedelta(seconds=60)
_COMPLAIN_EVERY: Final = 60.0
_PAYING: Final = frozenset({"payment", "creditmemo"})
"""What moves the balance of invoices that it does not name."""
_LONGEST_ID: Final = 256


class WebhookObserver(Protocol):
    """Counts webhooks."""

    def webhook_received(self, result: str) -> None:
        """`result`: accepted, unsigned, unknown, limited, unreadable, forwarded, failed."""
        ...


@dataclass(frozen=True, slots=True)
class _Recipient:
    """A connection, as far as webhooks are concerned."""

    company: Company
    realm: str
    app: str
    verifier: SecretStr | None


class Inbox:
    """Takes the webhooks of one leader."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: ObjectStore,
        apps: Apps,
        observer: WebhookObserver,
        closed_namespace: str | None,
        echoes: Callable[[Company, str], bool],
        notified: Callable[[Company, bool], None],
    ) -> None:
        """`echoes`: whether news of that invoice is of our own making. `notified(company, named)`: something
        changed there; `named`: an invoice that one of our objects keeps.
        """
        self._clock, self._store, self._apps, self._observer = clock, store, apps, observer
        self._closed, self._echoes, self._notified = closed_namespace, echoes, notified
        self._recipients: tuple[_Recipient, ...] = ()
        self._gathered = float("-inf")
        self._gathering = asyncio.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._rates: dict[str, _Bucket] = {}
        self._quiet_until = float("-inf")

    async def receive(self, app: str, *, signature: str, body: bytes) -> int:
        """Take one webhook for that app; returns the HTTP status of the answer."""
        genuine = await self._genuine(app, signature, body)
        if not genuine:
            known = any(one.app == app for one in self._recipients)
            self._count("unsigned" if known else "unknown")
            # A leader that has just begun does not know its connections yet: Intuit sends it again.
            return 401 if known else 404 if self._recipients else 503
        if not self._rates.setdefault(app, _Bucket()).take(self._clock.monotonic()):
            self._count("limited")
            return 429
        try:
            events = parse_webhook(body)
        except UnreadableWebhook as error:
            # It is from Intuit, and would come again and hold up what follows: acknowledged, and said.
            self._count("unreadable")
            self._complain("a webhook of app %s holds nothing known: %s", app, error)
            return 200
        self._count("accepted")
        self._sort(events, genuine)
        return 200

    def connections_changed(self) -> None:
        """What is known of the connections is out of date."""
        self._gathered = float("-inf")

    # -- whose it is ----------------------------------------------------------------------------------------

    async def _genuine(self, app: str, signature: str, body: bytes) -> list[_Recipient]:
        """The connections of that app whose verifier token signed the body."""
        await self._gather(_RECIPIENTS_FOR)
        found = self._signed(app, signature, body)
        if not found:
            # A connection or its Secret may be newer than what is known: but that is asked now and then only.
            await self._gather(READ_AGAIN)
            found = self._signed(app, signature, body)
        return found

    def _signed(self, app: str, signature: str, body: bytes) -> list[_Recipient]:
        ours = [one for one in self._recipients if one.app == app and one.verifier is not None]
        tokens = {one.verifier.get_secret_value(): one.verifier for one in ours if one.verifier is not None}
        good = {value for value, token in tokens.items() if signed_by(token, body=body, signature=signature)}
        return [one for one in ours if one.verifier is not None and one.verifier.get_secret_value() in good]

    async def _gather(self, newer_than: timedelta) -> None:
        """Know every connection's app and verifier token, not older than that."""
        async with self._gathering:
            if self._recipients and self._clock.monotonic() - self._gathered <= newer_than.total_seconds():
                return
            again = newer_than is READ_AGAIN
            found, places = [], set()
            for snapshot in self._store.all(Kind.CONNECTION):
                secret = (snapshot.spec.get("clientSecretRef") or {}).get("name")
                namespace = snapshot.key.namespace
                if not secret or snapshot.deleting or namespace == self._closed:
                    continue
                places.add((namespace, secret))
                app = await self._apps.of(namespace, secret, **({"newer_than": READ_AGAIN} if again else {}))
                if app is not None:
                    realm = str(snapshot.spec.get("realmId"))
                    found.append(_Recipient(snapshot.company, realm, app.id, app.verifier))
            self._apps.keep(places)
            self._recipients, self._gathered = tuple(found), self._clock.monotonic()
            apps = {one.app for one in found}
            self._rates = {app: bucket for app, bucket in self._rates.items() if app in apps}

    # -- whom it concerns -----------------------------------------------------------------------------------

    def _sort(self, events: Iterable[WebhookEvent], recipients: Iterable[_Recipient]) -> None:
        by_realm: dict[str, list[Company]] = {}
        for recipient in recipients:
            by_realm.setdefault(recipient.realm, []).append(recipient.company)
        due: dict[Company, bool] = {}
        for event in events:
            companies = by_realm.get(event.realm, ())
            if not companies or self._repeated(event):
                continue
            for company in companies:
                named = event.entity == "invoice" and self._concerns(company, event.entity_id)
                if named or event.entity in _PAYING:
                    due[company] = due.get(company, False) or named
        for company, named in due.items():
            self._notified(company, named)

    def _concerns(self, company: Company, quickbooks_id: str) -> bool:
        echoed = self._echoes(company, quickbooks_id)
        return bool(self._store.labelled(company, by_id(quickbooks_id))) and not echoed

    def _repeated(self, event: WebhookEvent) -> bool:
        if not event.id or len(event.id) > _LONGEST_ID:
            return False
        if event.id in self._seen:
            self._seen.move_to_end(event.id)
            return True
        self._seen[event.id] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        return False

    def _count(self, result: str) -> None:
        self._observer.webhook_received(result)

    def _complain(self, message: str, *arguments: object) -> None:
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + _COMPLAIN_EVERY
            logger.warning(message, *arguments)


@dataclass(slots=True)
class _Bucket:
    """So many at once, so many a second."""

    left: float = BURST
    at: float = 0.0

    def take(self, now: float) -> bool:
        self.left = min(self.left + (now - self.at) * PER_SECOND, float(BURST))
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True
