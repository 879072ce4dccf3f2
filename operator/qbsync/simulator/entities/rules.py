"""Which rules make and change the entities of which kind."""

from collections.abc import Mapping

from qbsync.simulator.entities import (
    account,
    credit_memo,
    customer,
    invoice,
    item,
    lists,
    names,
    payment,
    sales,
    sales_receipt,
)
from qbsync.simulator.entities.kinds import (
    ACCOUNT,
    CLASS,
    COMPANY_CURRENCY,
    CREDIT_MEMO,
    CUSTOMER,
    DEPARTMENT,
    EMPLOYEE,
    INVOICE,
    ITEM,
    PAYMENT,
    PAYMENT_METHOD,
    SALES_RECEIPT,
    TERM,
    VENDOR,
)
from qbsync.simulator.entities.making import Rules

RULES: Mapping[str, Rules] = {
    INVOICE.name: Rules(invoice.build, sales.COMPUTED),
    CREDIT_MEMO.name: Rules(credit_memo.build, sales.COMPUTED),
    SALES_RECEIPT.name: Rules(sales_receipt.build, sales.COMPUTED),
    PAYMENT.name: Rules(payment.build, payment.COMPUTED),
    CUSTOMER.name: Rules(customer.build, customer.COMPUTED),
    ITEM.name: Rules(item.build, item.COMPUTED),
    VENDOR.name: Rules(names.build_vendor, names.VENDOR_COMPUTED),
    EMPLOYEE.name: Rules(names.build_employee),
    ACCOUNT.name: Rules(account.build, account.COMPUTED),
    CLASS.name: Rules(lists.build_class, lists.COMPUTED),
    DEPARTMENT.name: Rules(lists.build_department, lists.COMPUTED),
    TERM.name: Rules(lists.build_term, frozenset({"Type"})),
    PAYMENT_METHOD.name: Rules(lists.build_payment_method),
    COMPANY_CURRENCY.name: Rules(lists.build_currency),
}
