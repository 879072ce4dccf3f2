"""What pays what: payments and credits applied to invoices, and what becomes of them when one goes away."""

from decimal import Decimal

from qbsync.simulator.books.draft import Draft
from qbsync.simulator.company import Company
from qbsync.simulator.entities import payment as payments
from qbsync.simulator.entities.currency import put_home_amounts
from qbsync.simulator.entities.kinds import CREDIT_MEMO, CUSTOMER, INVOICE, PAYMENT, Kind
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import Refusal, business_rule, invalid_reference
from qbsync.simulator.jsoncodec import JsonObject

_PAID = {INVOICE.name: INVOICE, CREDIT_MEMO.name: CREDIT_MEMO}
Target = tuple[str, str]


class Links:
    """The links of one company's transactions, within one draft."""

    def __init__(self, company: Company, draft: Draft, *, move_token: bool) -> None:
        self._company = company
        self._draft = draft
        self._move_token = move_token

    def apply(self, before: JsonObject | None, after: JsonObject | None) -> None:
        """Let a payment's new links take the place of its old ones. Raises Refusal 2500 or 6000."""
        old = payments.links(before) if before is not None else {}
        new = payments.links(after) if after is not None else {}
        payment = after or before
        for target in {**old, **new}:
            if old.get(target) != new.get(target) and payment is not None:
                self._settle(payment, target, old.get(target, ZERO), new.get(target))

    def release(self, document: JsonObject, kind: Kind) -> None:
        """Payments of a transaction that goes away stay, unapplied."""
        for identifier in payment_ids(document):
            payment = self._draft.get(PAYMENT, identifier)
            payments.relink(payment, (kind.name, document["Id"]), ZERO)
            self._draft.touch(PAYMENT, payment, move_token=self._move_token)
        document["LinkedTxn"] = [link for link in document["LinkedTxn"] if link["TxnType"] != PAYMENT.name]

    def shrink(self, invoice: JsonObject) -> None:
        """Take back from the payments what they have paid above the invoice's total, the latest first."""
        excess = -Decimal(invoice["Balance"])
        for identifier in reversed(payment_ids(invoice)):
            if excess <= 0:
                break
            payment = self._draft.get(PAYMENT, identifier)
            target = (INVOICE.name, str(invoice["Id"]))
            applied = payments.links(payment).get(target, ZERO)
            taken = min(applied, excess)
            payments.relink(payment, target, applied - taken)
            self._draft.touch(PAYMENT, payment, move_token=self._move_token)
            excess -= taken
            if taken == applied:
                invoice["LinkedTxn"] = [link for link in invoice["LinkedTxn"] if link != _link(identifier)]
        invoice["Balance"] = amount(ZERO)

    def _settle(self, payment: JsonObject, target: Target, old: Decimal, new: Decimal | None) -> None:
        kind = _PAID.get(target[0])
        if kind is None:
            raise business_rule(f"A payment cannot be applied to a transaction of type {target[0]}")
        try:
            document = self._draft.get(kind, target[1])
        except Refusal:
            raise invalid_reference("Txns", target[1]) from None
        if new is not None:
            self._check_customer(payment, document)
        left = Decimal(document["Balance"]) + old - (new or ZERO)
        if left < 0:
            raise business_rule(
                f"The amount applied to {target[0]} {target[1]} is more than its open balance of "
                f"{Decimal(document['Balance']) + old}"
            )
        document["Balance"] = amount(left)
        if kind is CREDIT_MEMO:
            document["RemainingCredit"] = document["Balance"]
        others = [link for link in document["LinkedTxn"] if link != _link(payment["Id"])]
        document["LinkedTxn"] = [*others, _link(payment["Id"])] if new is not None else others
        put_home_amounts(self._company, document)
        self._draft.touch(kind, document, move_token=self._move_token)

    def _check_customer(self, payment: JsonObject, document: JsonObject) -> None:
        """A payment pays its own customer's invoices, and those of the customers below."""
        payer, customer = payment["CustomerRef"]["value"], document["CustomerRef"]["value"]
        seen: set[str] = set()
        while customer and customer != payer:
            record = self._company.table(CUSTOMER).get(customer)
            seen.add(customer)
            above = record.document().get("ParentRef", {}) if record is not None else {}
            customer = str(above.get("value", ""))
            if customer in seen:
                customer = ""
        if not customer:
            raise business_rule(
                f"The transaction {document['Id']} belongs to another customer than the payment"
            )


def payment_ids(document: JsonObject) -> list[str]:
    """The payments that have been applied to a transaction."""
    return [link["TxnId"] for link in document.get("LinkedTxn", []) if link["TxnType"] == PAYMENT.name]


def _link(payment_id: str) -> JsonObject:
    return {"TxnId": payment_id, "TxnType": PAYMENT.name}
