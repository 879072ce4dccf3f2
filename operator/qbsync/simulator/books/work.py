"""One change to a company's books with all that follows from it; nothing is written before `commit`."""

from collections.abc import Sequence

from qbsync.simulator.books import bodies, gates, names
from qbsync.simulator.books.delivery import mark_sent
from qbsync.simulator.books.draft import Draft, Lag
from qbsync.simulator.books.links import Links, payment_ids
from qbsync.simulator.books.moment import Moment
from qbsync.simulator.company import Company
from qbsync.simulator.entities import payment as payments
from qbsync.simulator.entities import sales, schema
from qbsync.simulator.entities.checks import require
from qbsync.simulator.entities.kinds import (
    CREDIT_MEMO,
    CUSTOMER,
    INVOICE,
    PAYMENT,
    SALES_RECEIPT,
    Change,
    Kind,
)
from qbsync.simulator.entities.making import Making, Rules
from qbsync.simulator.entities.rules import RULES
from qbsync.simulator.faults import business_rule, invalid_id, unsupported_operation
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.switches import Switches

_FORMS = frozenset({INVOICE.name, CREDIT_MEMO.name, SALES_RECEIPT.name})
_TRANSACTIONS = _FORMS | {PAYMENT.name}
_VOIDABLE = frozenset({INVOICE.name, SALES_RECEIPT.name, PAYMENT.name})


class Work:
    """A piece of work at one moment, through the API or by hand; people may do what the API refuses."""

    def __init__(
        self, company: Company, switches: Switches, moment: Moment, *, by_hand: bool = False
    ) -> None:
        self._company = company
        self._switches = switches
        self._moment = moment
        self._by_hand = by_hand
        self._draft = Draft(company, moment)
        self._links = Links(company, self._draft, move_token=switches.on("paymentMovesSyncToken"))
        self._renamed: list[tuple[Kind, JsonObject, JsonObject]] = []
        if not by_hand:
            gates.check_subscription(switches)

    def make(self, kind: Kind, body: JsonObject, *, allow_duplicate: bool = False) -> str:
        """A new entity; its Id. Raises Refusal."""
        return self._make(kind, body, self._company.free_id(kind), allow_duplicate=allow_duplicate)

    def adopt(self, kind: Kind, body: JsonObject) -> None:
        """An entity that comes with its Id and number. Raises Refusal."""
        self._make(kind, body, str(body["Id"]), allow_duplicate=True, own_number=True)

    def _make(
        self,
        kind: Kind,
        body: JsonObject,
        identifier: str,
        *,
        allow_duplicate: bool,
        own_number: bool = False,
    ) -> str:
        rules = _rules(kind, "create")
        conformed = self._conformed(kind, body)
        making = Making(
            self._company,
            self._switches,
            self._moment.now,
            identifier,
            allow_duplicate=allow_duplicate,
            sent=frozenset(conformed),
            own_number=own_number,
        )
        document = rules.build(making, bodies.filled(bodies.without_computed(conformed, rules)))
        self._check_period(document)
        names.mark(kind, None, document)
        self._draft.put(kind, document, Change.CREATED)
        if kind is PAYMENT:
            self._links.apply(None, document)
        return making.identifier

    def change(
        self, kind: Kind, identifier: str, body: JsonObject, *, sparse: bool, allow_duplicate: bool = False
    ) -> bool:
        """A sparse or a full update; whether anything is different now. Raises Refusal."""
        rules = _rules(kind, "update")
        before = self._before(kind, identifier, body)
        conformed = self._conformed(kind, body)
        if sparse:
            whole = bodies.laid_over(before, bodies.without_computed(conformed, rules), rules, self._switches)
        else:
            whole = bodies.without_computed(bodies.filled(conformed), rules)
        sent = frozenset(conformed)
        names.unmark(kind, before, whole, sent)
        self._settle_customer(kind, before, whole)
        making = Making(
            self._company,
            self._switches,
            self._moment.now,
            identifier,
            before=before,
            allow_duplicate=allow_duplicate,
            sparse=sparse,
            sent=sent,
        )
        document = rules.build(making, whole)
        self._check_period(document)
        names.mark(kind, before, document)
        return self._put_changed(kind, document)

    def void(self, kind: Kind, identifier: str, body: JsonObject) -> None:
        """Void a transaction. Raises Refusal."""
        if kind.name not in _VOIDABLE:
            raise unsupported_operation(f"void on {kind.name}")
        document = self._before(kind, identifier, body)
        note = self._switches.choice("voidNote")
        if kind is PAYMENT:
            self._links.apply(self._draft.original(kind, identifier), None)
            payments.void(document, note=note)
        else:
            self._let_go(kind, document)
            sales.void(document, note=note)
        self._draft.touch(kind, document)
        self._draft.put(kind, _arranged(kind, document), Change.VOIDED)

    def delete(self, kind: Kind, identifier: str, body: JsonObject) -> None:
        """Delete a transaction. Raises Refusal."""
        if kind.name not in _TRANSACTIONS:
            raise unsupported_operation(f"delete on {kind.name}")
        document = self._before(kind, identifier, body)
        if kind is PAYMENT:
            self._links.apply(self._draft.original(kind, identifier), None)
        else:
            self._let_go(kind, document)
        self._draft.remove(kind, identifier)

    def send(self, kind: Kind, identifier: str, *, send_to: str | None) -> None:
        """Send a transaction by e-mail. Raises Refusal."""
        if kind.name not in _TRANSACTIONS:
            raise unsupported_operation(f"send on {kind.name}")
        document = self._draft.get(kind, identifier)
        keep = self._switches.on("sendSetsBillEmail")
        mark_sent(document, self._moment.now, send_to=send_to, keep_address=keep)
        self._draft.touch(kind, document, move_token=self._switches.on("sendMovesSyncToken"))
        self._draft.put(kind, _arranged(kind, document), Change.EMAILED)

    def deposit(self, payment_id: str, deposit_id: str) -> None:
        """Take a payment to the bank: from now on the API may not touch it. Raises Refusal 610 or 6000."""
        document = self._draft.get(PAYMENT, payment_id)
        if document["LinkedTxn"]:
            raise business_rule("This payment has been deposited already")
        document["LinkedTxn"] = [{"TxnId": deposit_id, "TxnType": "Deposit"}]
        self._draft.touch(PAYMENT, document)

    def merge(self, loser: str, winner: str) -> None:
        """Make two customers one: all of the one's transactions are the other's. Raises Refusal 610 or 6000."""
        gone, kept = self._draft.get(CUSTOMER, loser), self._draft.get(CUSTOMER, winner)
        if loser == winner or gone["CurrencyRef"] != kept["CurrencyRef"]:
            raise business_rule("Only two customers with one currency can be merged")
        for kind in (INVOICE, CREDIT_MEMO, SALES_RECEIPT, PAYMENT):
            for record in self._company.table(kind).having("CustomerRef", loser):
                document = self._draft.get(kind, record.id)
                document["CustomerRef"] = {"value": winner, "name": kept["DisplayName"]}
                self._draft.touch(kind, document)
        merged = {**gone, "Active": False}
        names.mark(CUSTOMER, gone, merged)
        self._draft.touch(CUSTOMER, merged)
        self._draft.put(CUSTOMER, merged, Change.MERGED)

    def commit(self, lag: Lag) -> Sequence[tuple[Kind, str, Change]]:
        """Write it all into the books; what happened to which entity."""
        done = self._draft.commit(lag, credits_count=self._switches.on("creditsLowerBalance"))
        for kind, before, after in self._renamed:
            names.follow(self._company, kind, before, after)
        return done

    # Parts

    def _conformed(self, kind: Kind, body: JsonObject) -> JsonObject:
        refuse = self._by_hand or self._switches.choice("unknownFields") == "refuse"
        return schema.conform(kind.name, body, refuse_unknown=refuse)

    def _before(self, kind: Kind, identifier: str, body: JsonObject) -> JsonObject:
        """The entity a request is about, once the request may change it. Raises Refusal 610, 2020, 5010, 6210, 6540."""
        document = self._draft.get(kind, identifier)
        if not self._by_hand:
            gates.check_token(self._switches, kind.name, document, body)
            self._check_period(document)
            gates.check_deposited(document)
        return document

    def _check_period(self, document: JsonObject) -> None:
        if not self._by_hand:
            gates.check_period(self._company, document)

    def _settle_customer(self, kind: Kind, before: JsonObject, whole: JsonObject) -> None:
        """What has been paid by one customer cannot go to another."""
        moved = before.get("CustomerRef", {}).get("value") != whole.get("CustomerRef", {}).get("value")
        if moved and kind.name in _FORMS and payment_ids(before):
            self._let_go(kind, before)

    def _let_go(self, kind: Kind, document: JsonObject) -> None:
        """Refuse what would break a link to a payment, or take the link off. Raises Refusal 6000."""
        linked = payment_ids(document)
        if not linked:
            return
        self._refuse_linked()
        self._links.release(document, kind)
        document["Balance"] = sales.undeposited(document)

    def _refuse_linked(self) -> None:
        if not self._by_hand and self._switches.choice("linkedPayments") == "refuse":
            raise business_rule(
                "You cannot change this transaction because a payment is linked to it. "
                "Remove the link to the payment first"
            )

    def _put_changed(self, kind: Kind, document: JsonObject) -> bool:
        original = self._draft.original(kind, document["Id"])
        if kind.is_list and _content(original) == _content(document):
            # Recorded: an update of a name that changes nothing leaves SyncToken and LastUpdatedTime alone.
            return False
        if kind is INVOICE and document["Balance"] < 0:
            self._refuse_linked()
            self._links.shrink(document)
        if kind is PAYMENT:
            self._links.apply(original, document)
        self._draft.put(kind, document, Change.UPDATED)
        self._renamed.append((kind, original, document))
        return True


def named(body: JsonObject) -> str:
    """The Id in a request's body. Raises Refusal 2020 without one, 2030 for what is no id."""
    require(body, "Id")
    return checked_id(str(body["Id"]))


def checked_id(identifier: str) -> str:
    """An Id as QuickBooks has them. Raises Refusal 2030 for anything else."""
    if not (identifier.isascii() and identifier.isdigit() and len(identifier) < 20):
        raise invalid_id(identifier)
    return identifier


def _rules(kind: Kind, operation: str) -> Rules:
    rules = RULES.get(kind.name)
    if rules is None or not kind.writable:
        raise unsupported_operation(f"{operation} on {kind.name}")
    return rules


def _arranged(kind: Kind, document: JsonObject) -> JsonObject:
    return sales.arranged(document) if kind.name in _FORMS else document


def _content(document: JsonObject) -> JsonObject:
    return {name: value for name, value in document.items() if name not in {"SyncToken", "MetaData"}}
