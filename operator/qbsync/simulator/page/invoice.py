"""One invoice: all QuickBooks knows of it, and what a bookkeeper does with it."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.kinds import CUSTOMER, INVOICE, ITEM, PAYMENT, Kind
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.listing import Status, status_of
from qbsync.simulator.page.books import lines_of
from qbsync.simulator.page.html import Child, Html, joined, tag
from qbsync.simulator.page.parts import (
    Column,
    action,
    button,
    card,
    choice,
    dialog,
    empty,
    facts,
    field,
    link,
    moment,
    money,
    pretty,
    row,
    status_pill,
    table,
)
from qbsync.simulator.page.requests import listed, touching
from qbsync.simulator.page.visit import NothingHere, Screen, Visit
from qbsync.simulator.store import Record

_MOST_OPTIONS = 500
_LINES: Sequence[Column] = (
    ("Item", "grow"),
    ("Qty", "number mid"),
    ("Price", "number mid"),
    ("Tax", "mid"),
    ("Amount", "number"),
)


def invoice(visit: Visit, identifier: str) -> Screen:
    """One invoice opened."""
    record = _record(visit, identifier)
    document = record.document()
    status = status_of(record, visit.today)
    number = document.get("DocNumber") or f"#{identifier}"
    customer = document["CustomerRef"]
    name = link(visit.link(f"/customers/{customer['value']}"), tag("bdi", customer.get("name", "")))
    aside = tag("div", _facts(visit, document), _history(visit, record), class_="stack")
    raw = tag("details", tag("summary", "QuickBooks' own JSON"), pretty(document), class_="card", id="json")
    body = joined(
        tag("div", tag("div", _paper(visit, document), raw, class_="stack"), aside, class_="split"),
        *_dialogs(visit, document, status),
    )
    return Screen(
        f"Invoice {number}",
        body,
        actions=_actions(visit, document, status),
        subtitle=joined(status_pill(status), " ", name),
    )


def edit(visit: Visit, identifier: str) -> Screen:
    """The form in which a bookkeeper changes an invoice; only what was changed is sent."""
    document = _record(visit, identifier).document()
    number = document.get("DocNumber") or f"#{identifier}"
    back = visit.link(f"/invoices/{identifier}")
    form = action(
        visit.door(f"/invoices/{identifier}/edit"),
        tag("div", *_header_fields(visit, document), class_="fields"),
        tag("div", *_texts(document), class_="fields pair"),
        tag("h2", "Lines"),
        tag("div", *(_line_fields(visit, line) for line in document["Line"]), id="lines", class_="lines"),
        tag("template", _line_fields(visit, _new_line(visit)), id="new-line"),
        tag(
            "div",
            button("Save", class_="main"),
            button("Add a line", data_adds="new-line", data_into="lines"),
            link(back, "Cancel", class_="button quiet"),
            class_="buttons",
        ),
        done="Invoice saved",
        data_changed=True,
        data_then=back,
        class_="card",
        id="edit",
    )
    hint = "As in QuickBooks itself: no SyncToken is asked for, and what apps wrote is simply replaced."
    return Screen(f"Edit invoice {number}", form, subtitle=hint)


def _record(visit: Visit, identifier: str) -> Record:
    record = visit.company.table(INVOICE).get(identifier)
    if record is None:
        raise NothingHere(f"There is no invoice {identifier} in this company: deleted, or never made.")
    return record


def _paper(visit: Visit, document: JsonObject) -> Html:
    rows = [
        _line(visit, document, number, line)
        for number, line in enumerate(document["Line"])
        if line.get("DetailType") != "SubTotalLineDetail"
    ]
    head = facts(
        (
            ("Bill to", lines_of(document.get("BillAddr"))),
            ("Invoice date", document.get("TxnDate")),
            ("Due date", document.get("DueDate")),
            ("Ship date", document.get("ShipDate")),
            ("Terms", _term(visit, document)),
            ("Currency", document.get("CurrencyRef", {}).get("value")),
            ("Exchange rate", str(document.get("ExchangeRate", ""))),
        )
    )
    memo = document.get("CustomerMemo", {}).get("value")
    note = (
        tag("p", tag("span", "Message to the customer", class_="label"), tag("bdi", memo)) if memo else None
    )
    return card("", head, table("Lines", _LINES, rows), _totals(visit, document), note, class_="paper")


def _line(visit: Visit, document: JsonObject, number: int, line: Mapping[str, Any]) -> Html:
    detail = line.get("SalesItemLineDetail", {})
    title = detail.get("ItemRef", {}).get("name") or _OTHER_LINES.get(str(line.get("DetailType")), "")
    description = line.get("Description")
    name = joined(
        tag("bdi", title) if title else None,
        tag("bdi", description, class_="sub" if title else None) if description else None,
    )
    price = money(detail["UnitPrice"]) if "UnitPrice" in detail else ""
    tax = _called(visit, "TaxCode", detail.get("TaxCodeRef", {}))
    cells = (name, str(detail.get("Qty", "")), price, tag("bdi", tax), money(line.get("Amount")))
    return row(f"line-{document['Id']}-{number}", _LINES, cells)


_OTHER_LINES = {"DiscountLineDetail": "Discount", "GroupLineDetail": "Bundle", "TaxLineDetail": "Tax"}


def _totals(visit: Visit, document: JsonObject) -> Html:
    total, balance = Decimal(document["TotalAmt"]), Decimal(document["Balance"])
    tax = document.get("TxnTaxDetail", {})
    subtotal = next(
        (line["Amount"] for line in document["Line"] if line.get("DetailType") == "SubTotalLineDetail"), None
    )
    entries: list[tuple[str, Child]] = [("Subtotal", money(subtotal))]
    for line in tax.get("TaxLine", []):
        rate = line.get("TaxLineDetail", {})
        percent = f" {rate['TaxPercent']}%" if "TaxPercent" in rate else ""
        name = _called(visit, "TaxRate", rate.get("TaxRateRef", {}))
        entries.append(
            (f"Tax {name}{percent} on {money(rate.get('NetAmountTaxable'))}", money(line.get("Amount")))
        )
    if len(tax.get("TaxLine", [])) != 1 and tax.get("TotalTax"):
        entries.append(("Tax in all", money(tax["TotalTax"])))
    entries.append(("Total", tag("strong", money(total))))
    if document.get("Deposit"):
        entries.append(("Deposit", money(document["Deposit"])))
    if balance != total:
        entries.append(("Paid", money(total - balance - Decimal(document.get("Deposit", 0)))))
    entries.append(("Balance due", tag("strong", money(balance))))
    if document.get("HomeTotalAmt"):
        home = visit.company.home_currency["value"]
        entries.append((f"Total in {home}", money(document["HomeTotalAmt"])))
    return tag("div", facts(entries), class_="totals")


def _facts(visit: Visit, document: JsonObject) -> Html:
    meta = document.get("MetaData", {})
    delivery = document.get("DeliveryInfo", {})
    sent = joined(document.get("EmailStatus"), _when(" at ", delivery.get("DeliveryTime")))
    return card(
        "In the books",
        facts(
            (
                ("Id", tag("code", document["Id"])),
                ("SyncToken", tag("code", document["SyncToken"], id="sync-token")),
                ("Created", moment(meta.get("CreateTime"))),
                ("Last updated", moment(meta.get("LastUpdatedTime"))),
                ("E-mail", sent),
                ("Send to", document.get("BillEmail", {}).get("Address")),
                ("Private note", tag("bdi", document.get("PrivateNote") or "–", class_="note", id="note")),
                ("Linked", [_linked(visit, each) for each in document.get("LinkedTxn", [])] or "–"),
            )
        ),
    )


def _when(word: str, text: str | None) -> Html | None:
    return joined(word, moment(text)) if text else None


def _linked(visit: Visit, linked: Mapping[str, Any]) -> Html:
    kind, identifier = str(linked.get("TxnType")), str(linked.get("TxnId"))
    text = f"{kind} {identifier}"
    record = visit.company.table(PAYMENT).get(identifier) if kind == "Payment" else None
    if record is not None:
        text = f"{text}: {money(record.values['TotalAmt'])} on {record.values['TxnDate']}"
    return tag("div", text)


def _history(visit: Visit, record: Record) -> Html:
    entries = touching(visit, record)
    shown = listed(visit, entries) if entries else empty("None of the last requests was about it.")
    return card("Requests that touched it", shown, class_="history")


def _term(visit: Visit, document: JsonObject) -> str:
    return _called(visit, "Term", document.get("SalesTermRef", {}))


def _called(visit: Visit, kind: str, reference: Mapping[str, Any]) -> str:
    """The name of what is referred to, as the reference has it or the company's list."""
    known = visit.company.tables[kind].get(str(reference.get("value", "")))
    return str(
        reference.get("name") or (known.values["Name"] if known is not None else reference.get("value", ""))
    )


# What a bookkeeper does


def _actions(visit: Visit, document: JsonObject, status: Status) -> Html:
    identifier = document["Id"]
    payable = Decimal(document["Balance"]) > 0
    return joined(
        button("Receive payment", class_="main", data_opens="pay") if payable else None,
        link(visit.link(f"/invoices/{identifier}/edit"), "Edit", class_="button"),
        button("Send", data_opens="send"),
        button("Void", data_opens="void") if status is not Status.VOIDED else None,
        button("Delete", class_="danger", data_opens="delete"),
    )


def _dialogs(visit: Visit, document: JsonObject, status: Status) -> Iterable[Html]:
    identifier, balance = document["Id"], money(document["Balance"])
    number = document.get("DocNumber") or f"#{identifier}"
    address = visit.door(f"/invoices/{identifier}")
    pay, send, void, delete = (
        address.replace("?", f"/{verb}?") for verb in ("pay", "send", "void", "delete")
    )
    amount = tag(
        "input", name="amount", id="amount", inputmode="decimal", data_type="number", autocomplete="off"
    )
    yield dialog(
        "pay",
        f"Receive a payment for {number}",
        action(
            pay,
            field("Amount", amount, hint=f"Empty: all of the open balance, {balance}"),
            tag("div", button("Receive", class_="main"), class_="buttons"),
            done="Payment received",
        ),
    )
    known = document.get("BillEmail", {}).get("Address", "")
    to = tag("input", name="sendTo", type_="email", value=known, autocomplete="off")
    yield dialog(
        "send",
        f"Send {number}",
        action(
            send,
            field("E-mail address", to),
            tag("div", button("Send", class_="main"), class_="buttons"),
            done="Invoice sent",
        ),
    )
    if status is not Status.VOIDED:
        yield dialog("void", f"Void {number}?", _confirm(void, "Void it", "Invoice voided", _VOIDING))
    yield dialog(
        "delete",
        f"Delete {number}?",
        _confirm(delete, "Delete it", "Invoice deleted", _DELETING, data_then=visit.link("/invoices")),
    )


_VOIDING = "Its amounts become 0; the number stays used. What happens to the note is the switch voidNote."
_DELETING = "Reads will answer 610 from now on, and payments for it become unapplied."


def _confirm(address: str, word: str, done: str, text: str, **more: str) -> Html:
    closing = button("Keep it", class_="quiet", data_closes=True)
    buttons = tag("div", button(word, class_="danger"), closing, class_="buttons")
    return action(address, tag("p", text), buttons, done=done, **more)


# The form


def _header_fields(visit: Visit, document: JsonObject) -> Iterable[Html]:
    customer = document["CustomerRef"]
    yield field("Customer", _reference(visit, CUSTOMER, "DisplayName", customer, name="CustomerRef.value"))
    number = document.get("DocNumber", "")
    yield field("Number", tag("input", name="DocNumber", value=number, autocomplete="off", data_empty="text"))
    for title, name in (("Invoice date", "TxnDate"), ("Due date", "DueDate")):
        yield field(title, tag("input", type_="date", name=name, value=document.get(name, "")))
    mail = document.get("BillEmail", {}).get("Address", "")
    yield field(
        "E-mail", tag("input", type_="email", name="BillEmail.Address", value=mail, data_empty="text")
    )


def _texts(document: JsonObject) -> Iterable[Html]:
    for title, name, text in (
        ("Message to the customer", "CustomerMemo.value", document.get("CustomerMemo", {}).get("value", "")),
        ("Private note", "PrivateNote", document.get("PrivateNote", "")),
    ):
        # The parser drops the first line break of a textarea, so one is put there for it.
        area = tag("textarea", "\n", text, name=name, rows="3", data_empty="text")
        yield field(title, area)


def _line_fields(visit: Visit, line: Mapping[str, Any]) -> Html | None:
    kind = line.get("DetailType")
    if kind == "SubTotalLineDetail":
        return None
    kept = jsoncodec.dump(dict(line)).decode()
    drop = button("Remove", class_="quiet danger", data_drops=True)
    if kind != "SalesItemLineDetail":
        text = f"{_OTHER_LINES.get(str(kind), 'Text')}: {line.get('Description', '')} {money(line.get('Amount'))}"
        return tag("fieldset", tag("legend", "Line"), tag("p", tag("bdi", text)), drop, data_line=kept)
    detail = line.get("SalesItemLineDetail", {})
    item = _reference(
        visit, ITEM, "Name", detail.get("ItemRef", {}), data_path="SalesItemLineDetail.ItemRef.value"
    )
    return tag(
        "fieldset",
        tag("legend", "Line"),
        field("Item", item, class_="grow"),
        field("Description", _input("Description", line.get("Description", "")), class_="grow"),
        field("Qty", _input("SalesItemLineDetail.Qty", detail.get("Qty", ""), number=True)),
        field("Price", _input("SalesItemLineDetail.UnitPrice", detail.get("UnitPrice", ""), number=True)),
        field("Amount", _input("Amount", line.get("Amount", ""), number=True)),
        drop,
        data_line=kept,
    )


def _new_line(visit: Visit) -> JsonObject:
    first = next((row for row in visit.company.table(ITEM) if row.active), None)
    reference = {"value": first.id} if first is not None else {}
    return {"DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": reference}}


def _input(path: str, value: Any, *, number: bool = False) -> Html:
    kind = "number" if number else None
    mode = "decimal" if number else None
    return tag("input", value=str(value), data_path=path, data_type=kind, inputmode=mode, autocomplete="off")


def _reference(
    visit: Visit, kind: Kind, called: str, reference: Mapping[str, Any], **attributes: str
) -> Html:
    """A choice among the active rows of a list; its plain Id where they are too many to choose from."""
    table, chosen = visit.company.table(kind), str(reference.get("value", ""))
    name = attributes.pop("name", "")
    if len(table) > _MOST_OPTIONS:
        return tag("input", name=name or None, value=chosen, inputmode="numeric", **attributes)
    rows = [each for each in table if each.active or each.id == chosen]
    rows.sort(key=lambda each: str(each.values[called]).casefold())
    options = [(each.id, str(each.values[called])) for each in rows]
    if chosen not in {value for value, _ in options}:
        options.insert(0, (chosen, str(reference.get("name") or chosen)))
    return choice(name, options, chosen, **attributes)
