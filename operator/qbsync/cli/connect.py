"""`qbsync connect`: a person consents, the operator exchanges."""

from typing import Annotated

import typer


def connect(
    connection: Annotated[str, typer.Argument(help="NAME, or NAMESPACE/NAME, of the connection.")],
    port: Annotated[
        int | None,
        typer.Option(
            help="Where to listen on this machine; 0 takes a free one [that of --redirect-uri, else 8000].",
            min=0,
            max=65535,
        ),
    ] = None,
    paste: Annotated[
        bool, typer.Option("--paste", help="Do not listen: paste the address that the consent ends at.")
    ] = False,
    redirect_uri: Annotated[
        str | None,
        typer.Option(
            help="As registered with the app [http://localhost:PORT/callback]. An https address leads to --port "
            "here by a tunnel or an ingress of yours, or nowhere: then --paste."
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link.")] = False,
    client_id: Annotated[
        str | None, typer.Option(help="Of the app [from the connection's client Secret].")
    ] = None,
    wait: Annotated[int, typer.Option(help="Seconds to wait for the operator.", min=1)] = 120,
) -> None:
    """Connect a company, or connect it again: open the consent page, and hand the answer to the operator.

    Intuit registers no localhost for production keys: there --redirect-uri is an https address of yours, and you
    --paste the address that the consent ends at, or have it lead to --port on this machine.
    """
    from qbsync.cli import connect_work  # noqa: PLC0415 - the operator does not load it

    options = connect_work.Options(
        connection=connection,
        port=port,
        paste=paste,
        redirect_uri=redirect_uri,
        browser=not no_browser,
        client_id=client_id,
        wait=wait,
    )
    raise typer.Exit(connect_work.connect(options))
