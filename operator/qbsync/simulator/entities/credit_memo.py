"""Credit memos: what a company owes its customer, to be used up by payments."""

from decimal import Decimal

from qbsync.simulator.entities import sales
from qbsync.simulator.entities.currency import put_home_amounts
from qbsync.simulator.entities.kinds import CREDIT_MEMO
from qbsync.simulator.entities.making import Making
from qbsync.simulator.entities.money import ZERO, amount
from qbsync.simulator.faults import business_rule
from qbsync.simulator.jsoncodec import JsonObject


def build(making: Making, body: JsonObject) -> JsonObject:
    """A credit memo, new or changed. Raises Refusal, 6000 too where less would be left than is used."""
    customer = sales.check(making, body)
    document = sales.build_form(making, CREDIT_MEMO, body, customer)
    used = ZERO
    if making.before is not None:
        used = Decimal(making.before["TotalAmt"]) - Decimal(making.before["Balance"])
    left = Decimal(document["TotalAmt"]) - used
    if left < 0:
        raise business_rule(f"{used} of this credit memo has been applied to other transactions")
    document["Balance"] = document["RemainingCredit"] = amount(left)
    put_home_amounts(making.company, document)
    return sales.arranged(document)
