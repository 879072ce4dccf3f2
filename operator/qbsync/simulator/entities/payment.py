"""Payments: money received, what it pays, and what is left of it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qbsync.simulator.entities import sales
from qbsync.simulator.entities.checks import limit_lengths, require
from qbsync.simulator.entities.currency import (
    CurrencyRules,
    check_unchanged,
    currency_of,
    put_home_amounts,
)
from qbsync.simulator.entities.kinds import PAYMENT
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount, half_up, total
from qbsync.simulator.entities.numbers import check_number
from qbsync.simulator.entities.sales_receipt import deposit_account
from qbsync.simulator.faults import business_rule, missing_parameters
from qbsync.simulator.jsoncodec import JsonObject

COMPUTED = frozenset({*sales.COMPUTED, "UnappliedAmt"} - {"TotalAmt"})
_LENGTHS = {"PaymentRefNum": 21, "PrivateNote": 4000}
_AS_SENT = (
    "PaymentMethodRef",
    "PaymentRefNum",
    "PrivateNote",
    "CreditCardPayment",
    "CheckPayment",
    "ARAccountRef",
)


def build(making: Making, body: JsonObject) -> JsonObject:
    """A payment, new or changed; whether the invoices can take it is seen when it is applied. Raises Refusal."""
    require(body, "CustomerRef", "TotalAmt")
    limit_lengths(body, _LENGTHS)
    customer = sales.customer_of(making, body["CustomerRef"])
    if making.before is not None:
        check_unchanged(making.before, body)
    number = body.get("PaymentRefNum")
    if number and number != making.carried("PaymentRefNum", None):
        check_number(making, PAYMENT, number)
    received = half_up(Decimal(body["TotalAmt"]))
    if received < 0:
        raise business_rule("Transaction amount must be 0 or greater.")
    lines = [_line(line) for line in body.get("Line", [])]
    document: JsonObject = {
        "CustomerRef": {"value": customer["Id"], "name": customer["DisplayName"]},
        # Recorded: without the name that a sales receipt's has.
        "DepositToAccountRef": {"value": deposit_account(making, body)["value"]},
        **{name: body[name] for name in _AS_SENT if body.get(name)},
        "TotalAmt": amount(received),
        "UnappliedAmt": amount(_left(received, lines)),
        "ProcessPayment": body.get("ProcessPayment", False),
        **making.frame(),
        "TxnDate": sales.transaction_date(making, body),
        **currency_of(making.company, body, customer, rules=CurrencyRules.of(making.switches)),
        "LinkedTxn": making.carried("LinkedTxn", []),
        "Line": lines,
    }
    put_home_amounts(making.company, document)
    return document


def links(document: Mapping[str, Any]) -> dict[tuple[str, str], Decimal]:
    """What a payment applies to which transaction: TxnType and TxnId with the amount."""
    found: dict[tuple[str, str], Decimal] = {}
    for line in document["Line"]:
        link = line["LinkedTxn"][0]
        target = (link["TxnType"], link["TxnId"])
        found[target] = found.get(target, ZERO) + Decimal(line["Amount"])
    return found


def relink(document: JsonObject, target: tuple[str, str], sum_applied: Decimal) -> None:
    """Apply another amount, or nothing, to one transaction; the rest of the payment is left over."""
    kept = [line for line in document["Line"] if _target(line) != target]
    if sum_applied > 0:
        kept.append(_linked(target, sum_applied))
    document["Line"] = kept
    document["UnappliedAmt"] = amount(_left(Decimal(document["TotalAmt"]), kept))


def void(document: JsonObject, *, note: str) -> None:
    """Nothing received, nothing applied."""
    document.update({"TotalAmt": 0, "UnappliedAmt": 0, "Line": []})
    if "HomeTotalAmt" in document:
        document["HomeTotalAmt"] = 0
    sales.void_note(document, note=note)


def _line(line: Mapping[str, Any]) -> JsonObject:
    require(line, "Amount")
    link: Mapping[str, Any] = next(iter(line.get("LinkedTxn", [])), {})
    if not link.get("TxnId") or not link.get("TxnType"):
        raise missing_parameters("Line.LinkedTxn")
    applied = half_up(Decimal(line["Amount"]))
    if applied < 0:
        raise business_rule("The amount applied must be 0 or greater.")
    return _linked((str(link["TxnType"]), str(link["TxnId"])), applied)


def _linked(target: tuple[str, str], applied: Decimal) -> JsonObject:
    return {"Amount": amount(applied), "LinkedTxn": [{"TxnId": target[1], "TxnType": target[0]}]}


def _target(line: Mapping[str, Any]) -> tuple[str, str]:
    link = line["LinkedTxn"][0]
    return link["TxnType"], link["TxnId"]


def _left(received: Decimal, lines: list[JsonObject]) -> Decimal:
    """Money and credits, less what is paid with them. Raises Refusal 6000 below 0."""
    used = total(Decimal(line["Amount"]) * (-1 if _target(line)[0] == "CreditMemo" else 1) for line in lines)
    if used > received:
        raise business_rule(f"The amounts applied come to {used}, more than the {received} received")
    if used < 0:
        raise business_rule(f"The credits applied are {-used} more than what they pay for")
    return received - used
