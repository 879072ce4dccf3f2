"""The invoices room, two processes of it, against the simulator's own books: in one process and virtual time.

A history is a list of steps. Whatever they are, the rules in `Model.check` hold after each, and `finish`
heals the world and expects everything to come to an end. The operator's code is the real one, from the
watch's events to the bytes of each request; the far side is the simulator's real service behind an
in-process wire that can lose answers and whole processes.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from component.invoices.processes import Cluster, Process
from fakes.virtual_time import LoopClock
from fixtures.quickbooks_in_process import SERVER_TIMEOUT, QuickBooks
from qbsync.api.meta import RECREATE, REQUESTED_AT, Kind
from qbsync.engine.grace import NO_GRACE, TakeoverGrace
from qbsync.invoices.identity import uid_mark
from qbsync.invoices.mapping import mark_of
from qbsync.invoices.outbox import LOOKUP_LAG
from qbsync.quickbooks.client import AccessToken
from qbsync.quickbooks.transport import HttpRequest
from qbsync.simulator.faults import Refusal

LEASE = timedelta(seconds=15)
HEARD_AFTER = 2.0
"""Seconds until a process has surely taken in what the watch tells."""
NOTICED_AFTER, DRAINED_AFTER = 2.0, 30.0
"""Seconds until a process that lost its lease takes no more work, and until it has ended."""
AT_MOST = timedelta(hours=2)
"""Within which everything comes to an end once the world is healed."""
_CONNECTED = {
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "TokenFresh",
            "message": "",
            "lastTransitionTime": "2026-11-23T09:00:00Z",
        }
    ],
    "company": {"name": "Acme", "currency": "USD", "customTransactionNumbers": True},
}


NEW_ADDRESS = "one@new.example"


class Broken(AssertionError):
    """A rule did not hold."""


@dataclass
class Edited:
    """What a bookkeeper wrote into an invoice, and for which object it must stay."""

    due: str
    uid: str | None


@dataclass
class Model:
    """The world of one history."""

    seed: int
    rng: random.Random = field(init=False)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.quickbooks = QuickBooks(self.seed)
        self.cluster = Cluster(self.rng)
        world = self.quickbooks.world
        # Keeping a grant alive is another room's business.
        world.switches.put({"accessTokenSeconds": 10**7})
        self.token = AccessToken(SecretStr(world.issue_grant(world.first_realm).access.value), 1)
        connection = self.cluster.add(
            Kind.CONNECTION,
            "acme",
            realmId=self.quickbooks.world.first_realm,
            environment="Sandbox",
            clientSecretRef={"name": "app"},
            invoices={
                "incomeAccount": "Services",
                "permit": {
                    "deletion": ["Retain", "Void", "Delete"],
                    "createMissing": ["Customers", "Items"],
                    "send": True,
                },
            },
        )
        self.numbers_itself = self.rng.random() < 0.2
        company = {**_CONNECTED["company"], "customTransactionNumbers": not self.numbers_itself}
        self.connection = {**connection, "status": {**_CONNECTED, "company": company}}
        if self.numbers_itself:
            self.quickbooks.number_itself()
        self.process = Process(self, NO_GRACE)
        self.process.begin()
        self.numbers: Counter[str] = Counter()
        self.by_hand: set[str] = set()
        self.edited: dict[str, Edited] = {}
        self.wishes = 0
        self.mails: Counter[str] = Counter()
        self.at_rest: dict[str, float] = {}
        """Since when an object's spec says that nothing is to be written for it."""
        self.ever: defaultdict[str, set[str]] = defaultdict(set)
        """All the invoices that an object has had, by its uid. One that was deleted before it was known is none."""
        self.recreated: Counter[str] = Counter()
        self.to_vanish: set[str] = set()
        """The objects whose deletion is to take their invoice along."""
        self.broken = ""
        self.over = False
        """The dead need not wait any longer."""
        self.writes: Counter[str] = Counter()

    def note(self, what: str) -> None:
        """For the reader of a failing history."""
        self.told.append(f"{asyncio.get_running_loop().time():9.2f} {what}")

    def sending(self, operation: str, request: HttpRequest) -> None:
        """A process sends something."""
        self.writes[operation] += 1
        self.note(f"sends {operation} {request.body[:200].decode() if operation != 'look' else ''}")
        for name in self._written_for(operation, request):
            since = self.at_rest.get(name)
            rests = since is not None and asyncio.get_running_loop().time() - since > HEARD_AFTER
            self._expect(not rests, f"{operation} for {name}, which is observed or suspended")
        if operation == "send":
            id_ = urlsplit(request.url).path.split("/")[-2]
            self.mails[id_] += 1
            self._expect(self.mails[id_] == 1, f"invoice {id_} was e-mailed twice")
            self._expect(id_ not in self.by_hand, f"invoice {id_}, which was written by hand, was e-mailed")
        if operation in {"void", "delete"}:
            id_ = msgspec.json.decode(request.body)["Id"]
            self._expect(id_ not in self.by_hand, f"{operation} of invoice {id_}, which was written by hand")

    def _written_for(self, operation: str, request: HttpRequest) -> Iterator[str]:
        """The names of the objects whose invoices are written there."""
        if operation == "look":
            return
        if operation == "send":
            ids, uids = {urlsplit(request.url).path.split("/")[-2]}, set()
        else:
            body = msgspec.json.decode(request.body)
            rows = [item.get("Invoice", {}) for item in body.get("BatchItemRequest", [{"Invoice": body}])]
            ids = {row["Id"] for row in rows if "Id" in row}
            uids = {mark.uid for row in rows if (mark := mark_of(row)) is not None}
        for (kind, _, name), body in self.cluster.objects.items():
            held = body.get("status", {}).get("quickbooksId")
            if kind is Kind.INVOICE and (held in ids or uid_mark(body["metadata"]["uid"]) in uids):
                yield name

    # Users of the cluster

    def apply(self, name: str, number: str, policy: str, due: str, flavour: str) -> None:
        """kubectl apply: create it, or change what is there.

        `flavour`: "unnumbered", "sourceless", "named" (new customer and item), "addressed" (new customer, by
        e-mail), "mailed".
        """
        if (Kind.INVOICE, "ns", name) in self.cluster.objects:
            self._change(name, {"dueDate": due}, {"deletionPolicy": policy})
            return
        self.numbers[name] += 1
        self.at_rest.pop(name, None)
        body = self.cluster.add(
            Kind.INVOICE,
            name,
            uid=f"uid-{name}-{self.numbers[name]}",
            **_spec(name, number, policy, due, flavour, numbers_itself=self.numbers_itself),
        )
        body["metadata"]["creationTimestamp"] = LoopClock().now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self.note(f"applied {name} as {number} {policy} {due} {flavour}")
        self.cluster.tell(Kind.INVOICE, "ADDED", body)

    def edit(self, name: str, amount: str, memo: str) -> None:
        """kubectl edit of the lines and the memo."""
        lines = [{"item": {"id": "1"}, "amount": amount}]
        self._change(name, {"lines": lines, "customerMemo": memo}, {})

    def move(self, name: str, due: str) -> None:
        """kubectl edit of the due date."""
        self._change(name, {"dueDate": due}, {})

    def suspend(self, name: str, suspend: bool) -> None:
        """kubectl patch of suspend."""
        self._change(name, {}, {"suspend": suspend})

    def observe(self, name: str, observe: bool) -> None:
        """kubectl patch of mode."""
        self._change(name, {}, {"mode": "Observe" if observe else "Apply"})

    def ask_too_much(self, name: str, too_much: bool) -> None:
        """kubectl patch of adoption, to what the connection permits or does not."""
        self._change(name, {}, {"adoption": "Always" if too_much else "IfMatching"})

    def ask(self, name: str) -> None:
        """kubectl annotate requested-at."""
        self._annotate(name, REQUESTED_AT)

    def recreate(self, name: str) -> None:
        """kubectl annotate recreate."""
        if (body := self._living(name)) is not None:
            self.recreated[body["metadata"]["uid"]] += 1
        self._annotate(name, RECREATE)

    def delete(self, name: str) -> None:
        """kubectl delete."""
        if (Kind.INVOICE, "ns", name) not in self.cluster.objects:
            return
        body = self.cluster.delete(Kind.INVOICE, name)
        takes_along = body["spec"]["deletionPolicy"] != "Retain" and name not in self.at_rest
        if takes_along and body["metadata"].get("finalizers"):
            self.to_vanish.add(uid_mark(body["metadata"]["uid"]))
        deleting = "deletionTimestamp" in body["metadata"]
        self.note(f"deleted {name}")
        self.cluster.tell(Kind.INVOICE, "MODIFIED" if deleting else "DELETED", body)

    def released(self, uid: str) -> None:
        """An object was let go, and its invoice is left as it is."""
        self.note(f"{uid} is released")
        self.to_vanish.discard(uid_mark(uid))

    def _living(self, name: str) -> dict[str, Any] | None:
        body = self.cluster.objects.get((Kind.INVOICE, "ns", name))
        return None if body is None or "deletionTimestamp" in body["metadata"] else body

    def _change(self, name: str, invoice: dict[str, Any], spec: dict[str, Any]) -> None:
        body = self._living(name)
        if body is None:
            return
        content = {**body["spec"]["invoice"], **invoice}
        self.note(f"changed {name}: {invoice or spec}")
        changed = self.cluster.touch(Kind.INVOICE, name, invoice=content, **spec)
        if changed["spec"].get("suspend") or changed["spec"].get("mode") == "Observe":
            self.at_rest.setdefault(name, asyncio.get_running_loop().time())
        else:
            self.at_rest.pop(name, None)
        self.cluster.tell(Kind.INVOICE, "MODIFIED", changed)

    def _annotate(self, name: str, annotation: str) -> None:
        if self._living(name) is None:
            return
        self.wishes += 1
        body = self.cluster.touch(Kind.INVOICE, name)
        body["metadata"]["generation"] -= 1
        known = body["metadata"].get("annotations", {})
        body["metadata"]["annotations"] = {**known, annotation: f"wish {self.wishes}"}
        self.note(f"{annotation} {name}")
        self.cluster.tell(Kind.INVOICE, "MODIFIED", body)

    # Bookkeepers

    def book(self, what: str, pick: int) -> None:
        """Pay, edit, void or delete one of the invoices with a number of ours, by hand."""
        world, company = self.quickbooks.world, self.quickbooks.company
        rows = [row for row in self.quickbooks.invoices() if _is_ours(row) or row["Id"] in self.by_hand]
        if not rows:
            return
        row = rows[pick % len(rows)]
        self.note(f"{what} invoice {row['Id']} by hand")
        moment, ledger = world.moment(), world.ledger
        with contextlib.suppress(Refusal):
            if what == "pay":
                ledger.pay(company, row["Id"], None, moment)
            elif what == "edit":
                due = f"2028-{pick % 12 + 1:02}-{len(self.edited) % 28 + 1:02}"
                ledger.edit(company, row["Id"], {"DueDate": due}, moment)
                self.edited[row["Id"]] = Edited(due, self._holder(row["Id"]))
            elif what == "void":
                ledger.void_by_hand(company, row["Id"], moment)
            else:
                ledger.delete_by_hand(company, row["Id"], moment)

    def write_by_hand(self, number: str) -> None:
        """A bookkeeper writes an invoice with a number that somebody may ask for."""
        if any(row.get("DocNumber") == number for row in self.quickbooks.invoices()):
            return
        if any(
            body["spec"]["invoice"].get("docNumber") == number
            for (kind, _, _), body in self.cluster.objects.items()
            if kind is Kind.INVOICE
        ):
            # Two people at once writing one number is what QuickBooks' own check is for.
            return
        world = self.quickbooks.world
        line = {
            "Amount": 100,
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": "1"}},
        }
        body = {"CustomerRef": {"value": "1"}, "DocNumber": number, "Line": [line]}
        kind = self.quickbooks.company.tables["Invoice"].kind
        record = world.ledger.create(self.quickbooks.company, kind, body, world.moment())
        self.by_hand.add(record.id)
        self.note(f"invoice {record.id} written by hand as {number}")

    def _holder(self, quickbooks_id: str) -> str | None:
        for (kind, _, _), body in self.cluster.objects.items():
            if kind is Kind.INVOICE and body.get("status", {}).get("quickbooksId") == quickbooks_id:
                return str(body["metadata"]["uid"])
        return None

    # Trouble

    def trouble(self, operation: str, effect: dict[str, Any], *, in_batch: bool = False) -> None:
        """The next call of that kind has an accident; `in_batch`: the next item of a batch."""
        self.note(f"trouble for {operation}{' in a batch' * in_batch}: {effect}")
        match = {"operation": operation, "inBatch": in_batch}
        self.quickbooks.world.rules.post({"match": match, "effect": effect})

    def trouble_with_item(self, effect: dict[str, Any]) -> None:
        """The next create in a batch has an accident of its own."""
        self.trouble("create", effect, in_batch=True)

    def switch(self, name: str, value: Any) -> None:
        """QuickBooks behaves otherwise from now on."""
        self.note(f"{name} = {value}")
        self.quickbooks.world.switches.put({name: value})

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        await asyncio.sleep(seconds)

    def arm(self, moment: str) -> None:
        """The process will die there."""
        self.process.die_at = moment

    async def crash(self) -> None:
        """kill -9 now, and another process takes over when the lease has run out."""
        self.note("crash")
        self.process.die()
        await self._succeed(LEASE)

    async def succeed_the_dead(self) -> None:
        """A process that died at an armed moment is followed by another one."""
        await self._succeed(LEASE)

    async def freeze(self) -> None:
        """The process loses the lease, takes no new work and ends; what it has sent until then it still hears of."""
        self.note("loses the lease")
        old, loop = self.process, asyncio.get_running_loop()
        old.leads = False
        loop.call_later(NOTICED_AFTER, old.workers.stop_taking)
        loop.call_later(DRAINED_AFTER, old.die)
        await self._succeed(timedelta(seconds=1))

    async def resign(self) -> None:
        """The process is told to end, and hands the lease over once all it sent has an answer and is recorded."""
        self.note("resigns")
        old = self.process
        old.leads = False
        old.workers.stop_taking()
        try:
            async with asyncio.timeout(DRAINED_AFTER):
                await old.workers.drained()
                await old.reporter.flush()
        except TimeoutError:
            old.die()
            await self._succeed(LEASE)
            return
        clean = not old.dead and old.grace.is_over(asyncio.get_running_loop().time())
        old.die()
        await self._succeed(timedelta(seconds=1) if clean else LEASE, clean=clean)

    async def _succeed(self, after: timedelta, *, clean: bool = False) -> None:
        last_seen = asyncio.get_running_loop().time()
        await asyncio.sleep(after.total_seconds())
        until = last_seen + (LEASE + SERVER_TIMEOUT + LOOKUP_LAG).total_seconds()
        self.process = Process(self, NO_GRACE if clean else TakeoverGrace(until=until))
        self.process.begin()
        self.note("another process leads")

    # The rules

    def check(self) -> None:
        """What must hold at any time."""
        rows = self.quickbooks.invoices()
        marks: Counter[tuple[str, str]] = Counter()
        writers: Counter[tuple[str, str]] = Counter()
        numbers: Counter[str] = Counter()
        for row in rows:
            mark = mark_of(row)
            if mark is not None:
                number = str(row.get("DocNumber")).casefold()
                # An object may be deleted and made anew with another number: that is another invoice.
                marks[mark.key, number] += 1
                writers[mark.key, mark.uid] += 1
                numbers[number] += 1
        self._expect(max(marks.values(), default=0) < 2, f"two invoices with one owner mark: {marks}")
        self._expect(max(numbers.values(), default=0) < 2, f"two invoices of ours with one number: {numbers}")
        self._expect(max(writers.values(), default=0) < 2, f"two invoices of one object: {writers}")
        for (kind, _, _), body in self.cluster.objects.items():
            recorded = body.get("status", {}).get("quickbooksId")
            if kind is Kind.INVOICE and recorded is not None:
                self.ever[body["metadata"]["uid"]].add(recorded)
        for uid, ids in self.ever.items():
            self._expect(
                len(ids) <= 1 + self.recreated[uid], f"an invoice came back that nobody asked for: {ids}"
            )
        self._check_names()
        standing = {row["Id"]: row for row in rows}
        for id_, edited in self.edited.items():
            row = standing.get(id_)
            if row is not None and edited.uid is not None and self._holder(id_) == edited.uid:
                self._expect(
                    row["DueDate"] == edited.due, f"a bookkeeper's due date of {id_} was overwritten"
                )

    def _check_names(self) -> None:
        tables = self.quickbooks.company.tables
        for table, label in (("Customer", "DisplayName"), ("Item", "Name")):
            names = Counter(str(record.document()[label]).casefold() for record in tables[table])
            self._expect(max(names.values()) < 2, f"one name twice: {names.most_common(1)}")
        addresses = Counter(
            record.document().get("PrimaryEmailAddr", {}).get("Address") for record in tables["Customer"]
        )
        self._expect(addresses[NEW_ADDRESS] < 2, "two customers of one address were created")

    def _expect(self, holds: bool, what: str) -> None:
        # The operator's code takes whatever is raised in its calls for a fault of QuickBooks: `check` says it again.
        self.broken = self.broken or ("" if holds else what)
        if self.broken:
            raise Broken("\n".join([self.broken, *self.told]))

    async def finish(self) -> None:
        """Heal the world; everything comes to an end, and stays there."""
        world = self.quickbooks.world
        world.rules.clear()
        self.note("healed")
        if self.process.dead:
            await self._succeed(LEASE)
        self.process.die_at = None
        deadline = asyncio.get_running_loop().time() + AT_MOST.total_seconds()
        while self._unfinished() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(5)
            self.check()
        self._expect(not self._unfinished(), f"unfinished: {self._unfinished()}")
        # What was under way when the last object came to its end may still go out.
        await asyncio.sleep(300)
        before = dict(self.writes)
        await asyncio.sleep(600)
        self.check()
        after = {name: count for name, count in self.writes.items() if name != "look"}
        before.pop("look", None)
        self._expect(before == after, f"writes without a reason: {before} {after}")
        self._agree()

    def _unfinished(self) -> list[str]:
        return [
            f"{name}: {_ready(body)}"
            for (kind, _, name), body in self.cluster.objects.items()
            if kind is Kind.INVOICE and not self._finished(body)
        ]

    def _finished(self, body: Mapping[str, Any]) -> bool:
        ready = _ready(body)
        if "deletionTimestamp" in body["metadata"]:
            return ready.get("reason") in {"VoidRefused", "PeriodClosed"}
        if body["spec"].get("suspend"):
            return True
        status = body.get("status", {})
        current = status.get("observedGeneration") == body["metadata"]["generation"]
        observed = body["spec"].get("mode") == "Observe"
        if ready.get("status") == "True" and status.get("intent") and not observed:
            return False
        return current and ready.get("status") in {"True", "False"}

    def _agree(self) -> None:
        """No invoice is recorded twice, and who is Ready has one."""
        held: Counter[str] = Counter()
        for (kind, _, name), body in self.cluster.objects.items():
            if kind is not Kind.INVOICE or body["spec"].get("suspend"):
                continue
            id_ = body.get("status", {}).get("quickbooksId")
            if id_ is not None:
                held[id_] += 1
            if _ready(body).get("status") == "True" and _ready(body).get("reason") == "Created":
                self._expect(id_ is not None, f"{name} is Ready without an invoice")
        self._expect(max(held.values(), default=0) < 2, f"one invoice recorded twice: {held}")
        for row in self.quickbooks.invoices():
            mark = mark_of(row)
            left = mark is not None and not mark.adopted and mark.uid in self.to_vanish and row["TotalAmt"]
            self._expect(
                not left or self._holder(row["Id"]) is not None,
                f"invoice {row['Id']} stands, and its object is gone",
            )


def _spec(
    name: str, number: str, policy: str, due: str, flavour: str, *, numbers_itself: bool
) -> dict[str, Any]:
    invoice: dict[str, Any] = {
        "docNumber": number,
        "customer": {"id": "1"},
        "lines": [{"item": {"id": "1"}, "amount": "100.00"}],
        "dueDate": due,
    }
    spec: dict[str, Any] = {"connectionRef": {"name": "acme"}, "deletionPolicy": policy, "invoice": invoice}
    if "unnumbered" in flavour:
        del invoice["docNumber"]
    if ("unnumbered" in flavour and "sourceless" not in flavour) or numbers_itself:
        spec["source"] = {"system": "crm", "id": f"{name} {number}"}
    if "named" in flavour:
        invoice["customer"] = {"name": "New One", "create": {"displayName": "New One"}}
        invoice["lines"] = [{"item": {"name": "New Work"}, "amount": "100.00"}]
    if "addressed" in flavour:
        invoice["customer"] = {"email": NEW_ADDRESS, "create": {"displayName": f"New {name}"}}
    if "mailed" in flavour:
        spec["send"] = "AfterCreate"
        invoice["billEmail"] = "to@customer.example"
    return spec


def _is_ours(row: Mapping[str, Any]) -> bool:
    return str(row.get("DocNumber")).startswith("N-") or mark_of(row) is not None


def _ready(body: Mapping[str, Any]) -> dict[str, Any]:
    conditions = body.get("status", {}).get("conditions", ())
    return next((dict(one) for one in conditions if one["type"] == "Ready"), {})
