"""`qbsync invoices …`: what became of them, for people and spreadsheets."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="InvoiceSyncs and their invoices.", no_args_is_help=True)


class Table(StrEnum):
    """How the register is written."""

    CSV = "csv"
    JSON = "json"


@app.callback()
def group() -> None:
    """A group of commands, also while there is one only."""


@app.command()
def export(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only this namespace [the kubeconfig's].")
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")] = False,
    connection: Annotated[
        str | None, typer.Option(help="Only invoices of this connection: NAME, or NAMESPACE/NAME.")
    ] = None,
    form: Annotated[
        Table, typer.Option("--format", "-o", help="csv, or json: an array, one object a line.")
    ] = Table.CSV,
    file: Annotated[
        Path | None, typer.Option("--output", help="Write there, when all is read [standard output].")
    ] = None,
) -> None:
    """Which invoice of which system is which invoice in QuickBooks: one row per InvoiceSync.

    Reads InvoiceSyncs and nothing else: the right to list them is enough. Columns keep their order.
    """
    from qbsync.cli import invoice_work  # noqa: PLC0415 - the operator does not load it

    wanted = invoice_work.Export(
        namespace=namespace, everywhere=all_namespaces, connection=connection, file=file
    )
    raise typer.Exit(invoice_work.export(wanted, as_json=form is Table.JSON))
