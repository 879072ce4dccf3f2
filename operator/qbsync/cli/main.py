"""`qbsync`: the operator, the simulator, and what one needs beside them."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from qbsync import __version__
from qbsync.cli import connect, invoices, keys, tokens

app = typer.Typer(
    name="qbsync",
    help="QuickBooks grants that stay alive, and exactly one invoice per InvoiceSync.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Else what stands in brackets, the defaults, is taken for markup and not shown.
    rich_markup_mode=None,
)
app.command()(connect.connect)
app.add_typer(keys.app, name="keys")
app.add_typer(tokens.app, name="tokens")
app.add_typer(invoices.app, name="invoices")


class Profile(StrEnum):
    """How the simulator behaves."""

    REALISTIC = "realistic"
    STRICT = "strict"
    HOSTILE = "hostile"
    UNLIMITED = "unlimited"


def _env(option: str) -> str:
    return f"(environment: QBSYNC_{option.upper()})"


@app.command()
def operator(
    allow_custom_endpoints: Annotated[
        bool | None,
        typer.Option(
            "--allow-custom-endpoints",
            help=f"Let connections with environment Custom point to loopback. {_env('allow_custom_endpoints')}",
        ),
    ] = None,
    custom_endpoint: Annotated[
        list[str] | None,
        typer.Option(
            help=f"host:port that environment Custom may name; repeatable. {_env('custom_endpoint')}"
        ),
    ] = None,
    quickbooks_server_timeout: Annotated[
        str | None,
        typer.Option(
            help=f"How long QuickBooks may work on a request [120s]. {_env('quickbooks_server_timeout')}"
        ),
    ] = None,
    token_timeout: Annotated[
        str | None,
        typer.Option(help=f"Deadline of a call to the token endpoint [60s]. {_env('token_timeout')}"),
    ] = None,
    lease_duration: Annotated[
        str | None, typer.Option(help=f"How long a dead leader's lease lasts [15s]. {_env('lease_duration')}")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help=f"host:port of probes and metrics [127.0.0.1:0]. {_env('listen')}")
    ] = None,
    webhook_listen: Annotated[
        str | None, typer.Option(help=f"host:port for Intuit's webhooks [off]. {_env('webhook_listen')}")
    ] = None,
    drift_interval: Annotated[
        str | None,
        typer.Option(help=f"How often changes in QuickBooks are asked for [6h]. {_env('drift_interval')}"),
    ] = None,
    read_budget: Annotated[
        int | None,
        typer.Option(help=f"Metered reads of an app in a month [500000]. {_env('read_budget')}"),
    ] = None,
    operator_namespace: Annotated[
        str | None, typer.Option(help=f"Namespace of the Lease. {_env('operator_namespace')}")
    ] = None,
    no_takeover_grace: Annotated[
        bool | None,
        typer.Option(
            "--no-takeover-grace",
            help=f"Create at once after another process died; no batches then. {_env('no_takeover_grace')}",
        ),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(help=f"Only objects with this label qbsync.dev/instance. {_env('instance')}"),
    ] = None,
    namespaces: Annotated[
        str | None, typer.Option(help=f"Only these namespaces, separated by commas. {_env('namespaces')}")
    ] = None,
    invoice_events: Annotated[
        str | None, typer.Option(help=f"Events about invoices: warnings or all. {_env('invoice_events')}")
    ] = None,
    deletion_patience: Annotated[
        str | None,
        typer.Option(
            help="How long a deletion waits for a connection that cannot void the invoice [10m]. "
            f"{_env('deletion_patience')}"
        ),
    ] = None,
    spool_dir: Annotated[
        Path | None,
        typer.Option(
            help="Directory where tokens wait, encrypted, until their Secret can be written. "
            f"{_env('spool_dir')}"
        ),
    ] = None,
    breaker_window: Annotated[
        str | None,
        typer.Option(help=f"Calls that a circuit breaker judges by [60s]. {_env('breaker_window')}"),
    ] = None,
    breaker_failure_rate: Annotated[
        float | None,
        typer.Option(help=f"Share of failed calls that opens it [0.5]. {_env('breaker_failure_rate')}"),
    ] = None,
    breaker_minimum_calls: Annotated[
        int | None,
        typer.Option(help=f"Calls below which it stays closed [5]. {_env('breaker_minimum_calls')}"),
    ] = None,
    breaker_open_time: Annotated[
        str | None,
        typer.Option(help=f"How long it is open the first time [30s]. {_env('breaker_open_time')}"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help=f"debug, info, warning or error. {_env('log_level')}")
    ] = None,
) -> None:
    """Run the operator, against KUBECONFIG or the cluster it runs in."""
    from qbsync.app import main as run_operator  # noqa: PLC0415 - kopf is loaded only by who needs it
    from qbsync.settings import operator_settings  # noqa: PLC0415

    given = dict(locals())
    given = {
        name: value for name, value in given.items() if name not in {"run_operator", "operator_settings"}
    }
    try:
        settings = operator_settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            option = "-".join(str(part) for part in problem["loc"]).replace("_", "-") or "options"
            print(f"qbsync: --{option}: {problem['msg']}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(run_operator(settings))


@app.command()
def simulator(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8480,
    profile: Annotated[Profile, typer.Option(help="How nasty it is.")] = Profile.REALISTIC,
    seed: Annotated[int | None, typer.Option(help="Same seed, same behaviour.")] = None,
    company: Annotated[
        Path | None, typer.Option(help="A company to start with: its name, or a JSON file.")
    ] = None,
    latency: Annotated[str | None, typer.Option(help="p50,p99 in milliseconds [160,800].")] = None,
    server_timeout: Annotated[str, typer.Option(help="Longest work on one request.")] = "120s",
    host: Annotated[str, typer.Option(help="Off loopback a control token is needed.")] = "127.0.0.1",
    control_token: Annotated[str | None, typer.Option(help="Opens the control door off loopback.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where the first app hears of changes.")] = None,
    webhook_verifier_token: Annotated[
        str | None, typer.Option(help="Signs webhooks [from the seed].")
    ] = None,
    webhook_format: Annotated[str, typer.Option(help="cloudevents or legacy.")] = "cloudevents",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
) -> None:
    """Run a QuickBooks Online on this machine."""
    from qbsync.simulator import options as simulated  # noqa: PLC0415
    from qbsync.simulator.server import serve  # noqa: PLC0415

    try:
        options = simulated.SimulatorOptions(
            port=port,
            host=host,
            seed=1 if seed is None else seed,
            company=company,
            profile=simulated.Profile(profile),
            latency=simulated.parse_latency(latency) if latency is not None else None,
            server_timeout=simulated.parse_duration(server_timeout),
            json=json,
            control_token=control_token,
            webhook_url=webhook_url,
            webhook_verifier_token=webhook_verifier_token,
            webhook_format=webhook_format,
        )
    except ValueError as error:
        print(f"qbsync: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    serve(options)


@app.command()
def crds() -> None:
    """Print the CustomResourceDefinitions, for kubectl apply --server-side -f -."""
    from qbsync.api.crds import render  # noqa: PLC0415

    print(render(), end="")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show:
        print(f"qbsync {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    app()
