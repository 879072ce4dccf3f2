"""What the API has and this release does not do yet: refused by name, never ignored."""

from collections.abc import Iterator, Mapping

from qbsync.api.base import ApiModel
from qbsync.api.connection import QuickBooksConnectionSpec
from qbsync.api.invoice import InvoiceDeletionPolicy, InvoiceSpec, InvoiceSyncSpec, Line, Mode, Send
from qbsync.api.meta import ADOPT, RECREATE

_INVOICE_FIELDS = {
    "doc_number",
    "customer",
    "lines",
    "transaction_date",
    "due_date",
    "bill_email",
    "customer_memo",
    "private_note",
}
_LINE_FIELDS = {"item", "description", "quantity", "unit_price", "amount", "service_date"}
_CUSTOMER_FIELDS = {"id", "name"}
_ITEM_FIELDS = {"id", "name"}
_ABSENT: tuple[object, ...] = (None, (), {})


def not_supported_yet(spec: InvoiceSyncSpec, annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The paths in an InvoiceSync that this release cannot carry out, in the order of the spec."""
    return tuple(_of_sync(spec, annotations))


def connection_not_supported_yet(spec: QuickBooksConnectionSpec) -> tuple[str, ...]:
    """The settings of a connection under which this release creates no invoice."""
    mark = spec.invoices.owner_mark if spec.invoices is not None else None
    if mark is not None and mark != "PrivateNote":
        return (f"spec.invoices.ownerMark {mark} of the connection",)
    return ()


def _of_sync(spec: InvoiceSyncSpec, annotations: Mapping[str, str]) -> Iterator[str]:
    if spec.invoice.doc_number is None:
        yield "an invoice without spec.invoice.docNumber"
    yield from _of_invoice(spec.invoice)
    if spec.source is not None and spec.source.total is not None:
        yield "spec.source.total"
    if spec.send is not Send.NEVER:
        yield f"spec.send {spec.send}"
    if spec.deletion_policy is not InvoiceDeletionPolicy.RETAIN:
        yield f"spec.deletionPolicy {spec.deletion_policy}"
    if spec.mode is not Mode.APPLY:
        yield f"spec.mode {spec.mode}"
    yield from (f"annotation {name}" for name in (RECREATE, ADOPT) if annotations.get(name))


def _of_invoice(invoice: InvoiceSpec) -> Iterator[str]:
    yield from _unknown("spec.invoice", invoice, _INVOICE_FIELDS)
    yield from _unknown("spec.invoice.customer", invoice.customer, _CUSTOMER_FIELDS)
    for position, line in enumerate(invoice.lines):
        yield from _of_line(f"spec.invoice.lines[{position}]", line)


def _of_line(path: str, line: Line) -> Iterator[str]:
    yield from _unknown(path, line, _LINE_FIELDS)
    if line.item is not None:
        yield from _unknown(f"{path}.item", line.item, _ITEM_FIELDS)


def _unknown(path: str, content: ApiModel, supported: set[str]) -> Iterator[str]:
    for name in type(content).model_fields:
        if name not in supported and getattr(content, name) not in _ABSENT:
            yield f"{path}.{_camel(name)}"


def _camel(name: str) -> str:
    head, *tail = name.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in tail)
