"""Customers and items by name: asked for once a round, remembered for a while."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from qbsync.api.invoice import InvoiceSpec
from qbsync.engine.clock import Clock
from qbsync.invoices.errors import InvalidSpec, ReferenceMissing
from qbsync.invoices.mapping import Resolved
from qbsync.quickbooks.entities import NamedRow

FOUND_FOR = timedelta(minutes=15)
MISSING_FOR = timedelta(seconds=20)


class Directory(Protocol):
    """Where names are looked up."""

    async def named(self, entity: str, field: str, names: Sequence[str]) -> Sequence[tuple[str, NamedRow]]:
        """Every row, active or not, whose `field` is one of `names`, with the value of that field."""
        ...


@dataclass(frozen=True, slots=True)
class _Name:
    entity: str
    field: str
    name: str

    @property
    def folded(self) -> tuple[str, str, str]:
        return (self.entity, self.field, self.name.casefold())


@dataclass(slots=True)
class References:
    """The names of one company's customers and items."""

    clock: Clock
    _known: dict[tuple[str, str, str], tuple[float, tuple[NamedRow, ...]]] = field(default_factory=dict)

    async def learn(self, invoices: Iterable[InvoiceSpec], directory: Directory) -> None:
        """Look up every name that is not known yet, one query per kind and field.

        Raises what the directory raises; then nothing may be concluded.
        """
        wanted: dict[tuple[str, str], dict[tuple[str, str, str], _Name]] = {}
        for invoice in invoices:
            for name in _names(invoice):
                if not self._fresh(name):
                    wanted.setdefault((name.entity, name.field), {})[name.folded] = name
        for (entity, field_), names in wanted.items():
            rows = await directory.named(entity, field_, [name.name for name in names.values()])
            for folded in names:
                hits = tuple(row for value, row in rows if value.casefold() == folded[2])
                lifetime = FOUND_FOR if hits else MISSING_FOR
                self._known[folded] = (self.clock.monotonic() + lifetime.total_seconds(), hits)

    def forget(self) -> None:
        """Ask again next time: QuickBooks refused an id that was remembered."""
        self._known.clear()

    def resolve(self, invoice: InvoiceSpec) -> Resolved:
        """The ids for one spec, from what was learned. Raises `ReferenceMissing`, `InvalidSpec`."""
        return Resolved(self.customer(invoice), self._items(invoice))

    def customer(self, invoice: InvoiceSpec) -> str:
        """The customer's id. Raises `ReferenceMissing`."""
        if invoice.customer.id is not None:
            return invoice.customer.id
        return self._one(_customer_name(invoice), "spec.invoice.customer.name")

    def _items(self, invoice: InvoiceSpec) -> tuple[str, ...]:
        ids = []
        for position, line in enumerate(invoice.lines):
            path = f"spec.invoice.lines[{position}].item"
            if line.item is None:
                raise InvalidSpec(f"not supported yet: a line without an item ({path})")
            if line.item.id is not None:
                ids.append(line.item.id)
            else:
                ids.append(self._one(_item_name(line.item.name or ""), f"{path}.name"))
        return tuple(ids)

    def _one(self, name: _Name, path: str) -> str:
        _, hits = self._known.get(name.folded, (0.0, ()))
        active = [row for row in hits if row.active]
        if len(active) == 1:
            return active[0].id
        raise ReferenceMissing(f"{path}: {_explain(name, hits, active)}")

    def _fresh(self, name: _Name) -> bool:
        return self._known.get(name.folded, (float("-inf"), ()))[0] > self.clock.monotonic()


def names_in(invoice: InvoiceSpec) -> set[str]:
    """Every text of a spec that is looked up in QuickBooks."""
    return {name.name for name in _names(invoice)} | {invoice.doc_number or ""}


def _names(invoice: InvoiceSpec) -> Iterable[_Name]:
    if invoice.customer.id is None:
        yield _customer_name(invoice)
    for line in invoice.lines:
        if line.item is not None and line.item.id is None and line.item.name is not None:
            yield _item_name(line.item.name)


def _customer_name(invoice: InvoiceSpec) -> _Name:
    name = invoice.customer.name or ""
    # A sub-customer is named by its path, "Parent:Child"; DisplayName is unique in a company.
    return _Name("Customer", "FullyQualifiedName" if ":" in name else "DisplayName", name)


def _item_name(name: str) -> _Name:
    return _Name("Item", "FullyQualifiedName" if ":" in name else "Name", name)


def _explain(name: _Name, hits: Sequence[NamedRow], active: Sequence[NamedRow]) -> str:
    kind = name.entity.lower()
    if len(active) > 1:
        ids = ", ".join(row.id for row in active)
        return f"{len(active)} {kind}s are called {name.name!r} (ids {ids}): name the one you mean by id"
    if hits:
        ids = ", ".join(row.id for row in hits)
        return (
            f"the {kind} {name.name!r} (id {ids}) is inactive: reactivate it in QuickBooks, or name another"
        )
    return f"no {kind} is called {name.name!r} in QuickBooks: create it there, or correct the name"
