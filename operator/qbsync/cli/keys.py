"""`qbsync keys …`: which keys there are, re-encryption to the primary one, and what would not open."""

from pathlib import Path
from typing import Annotated

import typer

from qbsync.cli.output import Format

app = typer.Typer(help="The encryption keys of stored tokens.", no_args_is_help=True)

KeyDir = Annotated[
    Path | None,
    typer.Option(help="Directory with one key per file, the first name is primary [the environment's]."),
]
Namespaces = Annotated[
    list[str] | None, typer.Option("--namespace", "-n", help="Only this namespace; repeatable [all].")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="table or json.")]


@app.command("list")
def list_keys(namespace: Namespaces = None, key_dir: KeyDir = None, output: Output = Format.TABLE) -> None:
    """Show which keys there are, which one encrypts, and how many Secrets need each.

    Without a keyring it shows what the Secrets say. Exit code 1: a Secret needs a key that is not there.
    """
    from qbsync.cli import key_work  # noqa: PLC0415 - the operator does not load it

    raise typer.Exit(key_work.list_keys(tuple(namespace or ()), key_dir, output))


@app.command()
def check(namespace: Namespaces = None, key_dir: KeyDir = None, output: Output = Format.TABLE) -> None:
    """Try to open every stored grant; print what would not open and why. Writes nothing.

    Exit code 1: something does not open.
    """
    from qbsync.cli import key_work  # noqa: PLC0415

    raise typer.Exit(key_work.check(tuple(namespace or ()), key_dir, output))


@app.command()
def rewrap(
    namespace: Namespaces = None,
    key_dir: KeyDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    wait: Annotated[
        str, typer.Option(help="How long to come back to Secrets whose refresh is under way.")
    ] = "200s",
    patience: Annotated[
        str,
        typer.Option(help="An interrupted refresh is nobody's after that: the operator's two timeouts."),
    ] = "180s",
    output: Output = Format.TABLE,
) -> None:
    """Re-encrypt every stored grant with the primary key, beside a running operator.

    Running it again changes nothing. Exit code 1: some could not be done.
    """
    from qbsync.cli import key_work  # noqa: PLC0415

    how = key_work.Rewrapping(wait=wait, patience=patience, dry_run=dry_run)
    raise typer.Exit(key_work.rewrap(tuple(namespace or ()), key_dir, how, output))
