"""DocNumbers: whose they are, which comes next, and what is refused as used already."""

from collections.abc import Iterator

from qbsync.simulator.entities.kinds import CREDIT_MEMO, INVOICE, PAYMENT, SALES_RECEIPT, Kind
from qbsync.simulator.entities.making import Making
from qbsync.simulator.faults import duplicate_number
from qbsync.simulator.store import Record

AUTO_GENERATE = "AUTO_GENERATE"
# The field a number stands in, and QuickBooks' words for the kind in fault 6140.
_NUMBERED = {
    INVOICE.name: ("DocNumber", "Invoice"),
    CREDIT_MEMO.name: ("DocNumber", "Credit Memo"),
    SALES_RECEIPT.name: ("DocNumber", "Sales Receipt"),
    PAYMENT.name: ("PaymentRefNum", "Payment"),
}


def number_of(making: Making, kind: Kind, sent: str | None) -> str | None:
    """The transaction's DocNumber, None for none. Raises Refusal 6140.

    Custom numbers on: yours or none. Off: the next one, or yours where the switch keeps it. An update just sets
    the field, and one that leaves it out clears it only where people number by themselves.
    """
    company = making.company
    following = company.next_number(
        continue_last_pattern=making.switches.choice("nextNumber") == "lastPattern"
    )
    if sent == AUTO_GENERATE:
        return following
    if making.before is not None:
        return _changed(making, kind, sent)
    if not company.custom_numbers and not making.own_number:
        return sent if sent and making.switches.choice("automaticNumbers") == "keep" else following
    if not sent:
        return None
    check_number(making, kind, sent)
    return sent


def check_number(making: Making, kind: Kind, number: str) -> None:
    """Refuse a number another transaction has (6140), where the check is on."""
    if making.allow_duplicate or making.own_number or not making.switches.on("duplicateDocCheck"):
        return
    for name, holder in _holders(making, kind, number):
        if (name, holder.id) != (kind.name, making.identifier):
            long = making.switches.choice("duplicateDocForm") == "long"
            raise duplicate_number(number, (_NUMBERED[name][1], holder.id) if long else None)


def _changed(making: Making, kind: Kind, sent: str | None) -> str | None:
    before = making.carried("DocNumber", None)
    if not sent:
        return None if making.company.custom_numbers else before
    if sent != before:
        check_number(making, kind, sent)
    return sent


def _holders(making: Making, kind: Kind, number: str) -> Iterator[tuple[str, Record]]:
    across = making.switches.on("duplicateDocAcross")
    for name, (field, _) in _NUMBERED.items():
        if name == kind.name or across:
            for record in making.company.tables[name].having(field, number):
                yield name, record
