"""The QuickBooks ids behind the names of a spec: asked for once a round, remembered for a while."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from qbsync.api.invoice import CustomerRef, InvoiceSpec, ItemRef, Line
from qbsync.engine.clock import Clock
from qbsync.invoices.errors import ReferenceMissing
from qbsync.quickbooks.entities import NamedRow

FOUND_FOR = timedelta(minutes=15)
MISSING_FOR = timedelta(seconds=20)
_BY_ID: Final = "id:"
_LITERAL_TAX_CODES: Final = frozenset({"TAX", "NON"})
"""Intuit: a US company's lines are taxable or not; the two codes are their own ids."""


class Directory(Protocol):
    """Where names are looked up."""

    async def named(self, entity: str, field: str, names: Sequence[str]) -> Sequence[tuple[str, NamedRow]]:
        """Every row, active or not, whose `field` is one of `names`, with the value of that field."""
        ...


@dataclass(frozen=True, slots=True)
class Name:
    """What one entry of a name list is asked for by."""

    entity: str
    field: str
    text: str

    @property
    def folded(self) -> tuple[str, str, str]:
        """What two spellings of one name share: QuickBooks compares without regard to case."""
        return (self.entity, self.field, self.text.casefold())


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of a name list that a spec names."""

    slot: str
    """Where its id is wanted: "customer", "lines[3].item"."""
    path: str
    """Which field of the spec names it."""
    id: str | None = None
    """Given by the spec itself."""
    name: Name | None = None
    """To be looked up."""


Resolved = Mapping[str, str]
"""QuickBooks' ids by slot, of everything that a spec names."""


def references_of(invoice: InvoiceSpec) -> Iterator[Reference]:
    """Everything a spec names, in its order."""
    yield customer_reference(invoice.customer)
    for position, line in enumerate(invoice.lines):
        yield from _of_line(f"lines[{position}]", line)
    yield from _texts(
        ("terms", "Term", "Name", invoice.terms),
        ("location", "Department", "FullyQualifiedName", invoice.location),
        ("class", "Class", "FullyQualifiedName", invoice.class_),
        ("tax.code", "TaxCode", "Name", invoice.tax.code if invoice.tax is not None else None),
    )


def account_reference(slot: str, path: str, text: str) -> Reference:
    """An account by its full name, or `id:…`."""
    return _text(slot, path, "Account", "FullyQualifiedName", text)


def customer_reference(customer: CustomerRef) -> Reference:
    """Who pays: by id, e-mail address or name."""
    path = "spec.invoice.customer"
    if customer.id is not None:
        return Reference("customer", f"{path}.id", id=customer.id)
    if customer.email is not None:
        email = Name("Customer", "PrimaryEmailAddr", customer.email)
        return Reference("customer", f"{path}.email", name=email)
    name = customer.name or ""
    # A sub-customer is named by its path, "Parent:Child"; DisplayName is unique in a company.
    by = "FullyQualifiedName" if ":" in name else "DisplayName"
    return Reference("customer", f"{path}.name", name=Name("Customer", by, name))


def _of_line(slot: str, line: Line) -> Iterator[Reference]:
    if line.item is not None:
        yield _item(f"{slot}.item", line.item)
    yield from _texts(
        (f"{slot}.taxCode", "TaxCode", "Name", line.tax_code),
        (f"{slot}.class", "Class", "FullyQualifiedName", line.class_),
    )
    if line.discount is not None and line.discount.account is not None:
        path = f"{slot}.discount.account"
        yield account_reference(path, f"spec.invoice.{path}", line.discount.account)


def _item(slot: str, item: ItemRef) -> Reference:
    path = f"spec.invoice.{slot}"
    if item.id is not None:
        return Reference(slot, f"{path}.id", id=item.id)
    if item.sku is not None:
        return Reference(slot, f"{path}.sku", name=Name("Item", "Sku", item.sku))
    name = item.name or ""
    by = "FullyQualifiedName" if ":" in name else "Name"
    return Reference(slot, f"{path}.name", name=Name("Item", by, name))


def _texts(*texts: tuple[str, str, str, str | None]) -> Iterator[Reference]:
    for slot, entity, by, text in texts:
        if text:
            yield _text(slot, f"spec.invoice.{slot}", entity, by, text)


def _text(slot: str, path: str, entity: str, by: str, text: str) -> Reference:
    if text.startswith(_BY_ID):
        return Reference(slot, path, id=text.removeprefix(_BY_ID).strip())
    if entity == "TaxCode" and text in _LITERAL_TAX_CODES:
        return Reference(slot, path, id=text)
    return Reference(slot, path, name=Name(entity, by, text))


def names_in(invoice: InvoiceSpec) -> set[str]:
    """Every text of a spec that is looked up in QuickBooks."""
    names = {reference.name.text for reference in references_of(invoice) if reference.name is not None}
    return names | {invoice.doc_number or ""}


@dataclass(slots=True)
class References:
    """The names of one company, as far as somebody asked for them lately."""

    clock: Clock
    thrifty: Callable[[], bool] = lambda: False
    """Whether what was found once is not to be looked up again: reads run short."""
    _known: dict[tuple[str, str, str], tuple[float, tuple[NamedRow, ...]]] = field(default_factory=dict)

    async def learn(self, references: Iterable[Reference], directory: Directory) -> None:
        """Look up every name that is not known yet, one query per kind and field.

        Raises what the directory raises; then nothing may be concluded.
        """
        wanted: dict[tuple[str, str], dict[tuple[str, str, str], Name]] = {}
        for reference in references:
            name = reference.name
            if name is not None and not self._fresh(name):
                wanted.setdefault((name.entity, name.field), {})[name.folded] = name
        for (entity, by), names in wanted.items():
            rows = await directory.named(entity, by, [name.text for name in names.values()])
            for folded, name in names.items():
                hits = tuple(row for value, row in rows if value.casefold() == folded[2])
                if not hits and self._fresh(name):
                    # Created while it was asked for.
                    continue
                lifetime = FOUND_FOR if hits else MISSING_FOR
                self._known[folded] = (self.clock.monotonic() + lifetime.total_seconds(), hits)

    def forget(self) -> None:
        """Ask again next time: QuickBooks refused an id that was remembered."""
        self._known.clear()

    def forget_absent(self) -> None:
        """Ask again next time for what was not there: something may be on its way."""
        self._known = {folded: known for folded, known in self._known.items() if known[1]}

    def know(self, name: Name, row: NamedRow) -> None:
        """It was created a moment ago, and a query may miss it for a while."""
        self._known[name.folded] = (self.clock.monotonic() + FOUND_FOR.total_seconds(), (row,))

    def resolve(self, references: Iterable[Reference]) -> Resolved:
        """The ids of everything that a spec names. Raises `ReferenceMissing` for the first that has none."""
        return {reference.slot: self.id_of(reference) for reference in references}

    def intend(self, references: Iterable[Reference]) -> Resolved:
        """The same, where what is absent shall be created: words that are no id stand for it until it is there.

        Raises `ReferenceMissing` for what is there, but not once or not active.
        """
        return {
            one.slot: f"{one.name.text!r}, which is to be created"
            if one.name is not None and self.absent(one)
            else self.id_of(one)
            for one in references
        }

    def id_of(self, reference: Reference) -> str:
        """The id of one entry, from what was learned. Raises `ReferenceMissing`."""
        if reference.id is not None:
            return reference.id
        row = self.row_of(reference)
        if row is not None:
            return row.id
        raise ReferenceMissing(f"{reference.path}: {self._explain(reference)}")

    def row_of(self, reference: Reference) -> NamedRow | None:
        """The one active entry of that name; None if there is none, or more than one."""
        active = [row for row in self._hits(reference) if row.active]
        return active[0] if len(active) == 1 else None

    def absent(self, reference: Reference) -> bool:
        """QuickBooks had no entry of that name at all, not even an inactive one, when it was last asked.

        However long ago: a slow round decides by what it has learned.
        """
        name = reference.name
        return name is not None and name.folded in self._known and not self._hits(reference)

    def _hits(self, reference: Reference) -> tuple[NamedRow, ...]:
        if reference.name is None:
            return ()
        return self._known.get(reference.name.folded, (0.0, ()))[1]

    def _fresh(self, name: Name) -> bool:
        until, hits = self._known.get(name.folded, (float("-inf"), ()))
        return until > self.clock.monotonic() or (bool(hits) and self.thrifty())

    def _explain(self, reference: Reference) -> str:
        name, hits = reference.name, self._hits(reference)
        if name is None:
            return "not given"
        kind = _IN_WORDS.get(name.entity, name.entity.lower())
        called = _CALLED.get(name.field, "is called")
        ids = ", ".join(row.id for row in hits)
        if sum(row.active for row in hits) > 1:
            active = ", ".join(row.id for row in hits if row.active)
            return f"more than one {kind} {called} {name.text!r} (ids {active}): name the one you mean by id"
        if hits:
            inactive = f"the {kind} {name.text!r} (id {ids}) is inactive"
            return f"{inactive}: reactivate it in QuickBooks and request a sync, or name another"
        absent = f"no {kind} {called} {name.text!r} in QuickBooks"
        return f"{absent}: create it there and request a sync, or correct the name"


_IN_WORDS: Final = {"Department": "location", "TaxCode": "tax code", "Term": "payment term"}
_CALLED: Final = {"PrimaryEmailAddr": "has the e-mail address", "Sku": "has the SKU"}
