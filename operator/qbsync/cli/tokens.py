"""`qbsync tokens …`: grants that come from elsewhere, move to another name, or belong to nobody any more."""

from pathlib import Path
from typing import Annotated

import typer

from qbsync.cli.keys import KeyDir, Namespaces, Output
from qbsync.cli.output import Format

app = typer.Typer(help="Stored grants: migrate, adopt, purge.", no_args_is_help=True)


@app.command()
def migrate(
    name: Annotated[str, typer.Option(help="Name of the connection to make.")],
    from_env: Annotated[
        Path | None,
        typer.Option(help="An .env file with QUICKBOOKS_REFRESH_TOKEN and so on; - reads standard input."),
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option(help="A JSON file with refresh_token and so on; - reads standard input.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Where to [the kubeconfig's].")
    ] = None,
    environment: Annotated[
        str | None, typer.Option(help="Production, Sandbox or Custom [the file's].")
    ] = None,
    realm_id: Annotated[str | None, typer.Option(help="The company's id [the file's].")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="FIELD=NAME: what the file calls refresh_token, realm_id, client_id, …; repeatable."
        ),
    ] = None,
    api_endpoint: Annotated[str | None, typer.Option(help="With environment Custom.")] = None,
    token_endpoint: Annotated[str | None, typer.Option(help="With environment Custom.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Take over tokens that another program kept in environment variables or in a file.

    Without --apply it shows what would be made. Stop the other program before: a refresh token has one user.
    """
    from qbsync.cli import token_work  # noqa: PLC0415 - the operator does not load it

    options = token_work.MigrateOptions(
        name=name,
        from_env=from_env,
        from_file=from_file,
        namespace=namespace,
        environment=environment,
        realm_id=realm_id,
        mapping=tuple(mapping or ()),
        api_endpoint=api_endpoint,
        token_endpoint=token_endpoint,
        apply=apply,
    )
    raise typer.Exit(token_work.migrate(options, output))


@app.command()
def adopt(
    source: Annotated[str, typer.Option("--from", help="NAMESPACE/NAME of the connection that was.")],
    target: Annotated[
        str, typer.Option("--to", help="NAMESPACE/NAME of the connection that is, or will be.")
    ],
    from_secret: Annotated[
        str | None, typer.Option(help="Which Secret, if several stand for the source.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up the grant that the target has.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    wait: Annotated[str, typer.Option(help="How long to wait for a refresh that is under way.")] = "200s",
    patience: Annotated[
        str,
        typer.Option(help="An interrupted refresh is nobody's after that: the operator's two timeouts."),
    ] = "180s",
    key_dir: KeyDir = None,
    output: Output = Format.TABLE,
) -> None:
    """Move a stored grant to a connection of another name or namespace.

    The source's connection must be deleted before (its tokens stay): two users of one grant end it.
    """
    from qbsync.cli import token_work  # noqa: PLC0415

    options = token_work.AdoptOptions(
        source=source,
        target=target,
        from_secret=from_secret,
        replace=replace,
        dry_run=dry_run,
        wait=wait,
        patience=patience,
        key_dir=key_dir,
    )
    raise typer.Exit(token_work.adopt(options, output))


@app.command()
def purge(
    namespace: Namespaces = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list them.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Delete the stored grants of connections that no longer exist, after a question.

    Intuit is not told: a grant that is deleted here lives on there until it expires, or until the company
    disconnects the app.
    """
    from qbsync.cli import token_work  # noqa: PLC0415

    raise typer.Exit(token_work.purge_orphans(tuple(namespace or ()), output, yes=yes, dry_run=dry_run))
