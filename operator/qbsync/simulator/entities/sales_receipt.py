"""Sales receipts: sold and paid at once."""

from qbsync.simulator.entities import sales
from qbsync.simulator.entities.checks import referred
from qbsync.simulator.entities.currency import put_home_amounts
from qbsync.simulator.entities.kinds import ACCOUNT, SALES_RECEIPT
from qbsync.simulator.entities.making import Making
from qbsync.simulator.jsoncodec import JsonObject

UNDEPOSITED_FUNDS = "4"


def build(making: Making, body: JsonObject) -> JsonObject:
    """A sales receipt, new or changed; a customer may be missing. Raises Refusal."""
    customer = sales.check(making, body, customer_required=False)
    document = sales.build_form(making, SALES_RECEIPT, body, customer)
    document.pop("LinkedTxn")
    document["Balance"] = 0
    document["DepositToAccountRef"] = deposit_account(making, body)
    put_home_amounts(making.company, document)
    return sales.arranged(document)


def deposit_account(making: Making, body: JsonObject) -> JsonObject:
    """The account the money goes to, Undeposited Funds by default. Raises Refusal 2500."""
    sent = body.get("DepositToAccountRef")
    if sent is None:
        record = making.company.table(ACCOUNT).get(UNDEPOSITED_FUNDS)
        if record is None:
            return {"value": UNDEPOSITED_FUNDS}
    else:
        record = referred(making.company, ACCOUNT, sent, inactive_code=making.inactive_code)
    return {"value": record.id, "name": record.values["FullyQualifiedName"]}
