"""`python -m qbsync.simulator`: the same server as `qbsync simulator`, without the rest of the command line."""

import argparse
from pathlib import Path

from qbsync.simulator.options import Profile, SimulatorOptions, parse_duration, parse_latency
from qbsync.simulator.sample import NAMES
from qbsync.simulator.server import serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qbsync.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8480, help="0 takes any free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same tokens and weather")
    parser.add_argument("--company", type=Path, default=None, help=f"{', '.join(NAMES)}, or a JSON file")
    parser.add_argument("--profile", type=Profile, choices=list(Profile), default=Profile.REALISTIC)
    parser.add_argument("--latency", type=parse_latency, default=None, metavar="P50,P99", help="milliseconds")
    parser.add_argument("--server-timeout", type=parse_duration, default=parse_duration("120s"))
    parser.add_argument(
        "--control-token", default=None, help="required when --host is not a loopback address"
    )
    parser.add_argument("--webhook-url", default=None, help="where the first app hears of changes")
    parser.add_argument("--webhook-verifier-token", default=None, help="signs them; from the seed by default")
    parser.add_argument("--webhook-format", choices=["cloudevents", "legacy"], default="cloudevents")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready, nothing else")
    return parser


def main() -> None:
    """Read the flags, serve until SIGTERM or SIGINT."""
    arguments = _parser().parse_args()
    serve(
        SimulatorOptions(
            port=arguments.port,
            host=arguments.host,
            seed=arguments.seed,
            company=arguments.company,
            profile=arguments.profile,
            latency=arguments.latency,
            server_timeout=arguments.server_timeout,
            json=arguments.json,
            control_token=arguments.control_token,
            webhook_url=arguments.webhook_url,
            webhook_verifier_token=arguments.webhook_verifier_token,
            webhook_format=arguments.webhook_format,
        )
    )


if __name__ == "__main__":
    main()
