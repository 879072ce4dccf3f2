"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from localplane import build, recipe
from localplane.errors import ControlPlaneError
from localplane.progress import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["_keep"]:
        from localplane import keeper

        return keeper.keep(keeper.Orders.load(given[1]))
    options = _parser().parse_args(given)
    try:
        print(_run(options))
    except ControlPlaneError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace) -> Path:
    if options.verb == "bin":
        return build.folder(options.tools or recipe.BIN)
    # Only now: `bin` is called often, and should cost nothing.
    from localplane import verbs

    folder = Path(options.dir).absolute()
    if options.verb == "up":
        return verbs.up(folder, until_pid=options.until_pid)
    verbs.down(folder)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="controlplane", description="A real Kubernetes control plane on this machine, without Docker."
    )
    verbs_ = parser.add_subparsers(dest="verb", required=True)

    up = verbs_.add_parser("up", help="start one in the background, and print the path of its kubeconfig")
    up.add_argument("dir", metavar="DIR", help="everything of it lies here: kubeconfig, logs, data")
    up.add_argument(
        "--until-pid",
        type=int,
        metavar="PID",
        help="end, and delete the data, when this process ends, however it ends",
    )

    down = verbs_.add_parser("down", help="stop the one that runs in DIR; its data stay for the next `up`")
    down.add_argument("dir", metavar="DIR")

    bin_ = verbs_.add_parser("bin", help="print the folder of the programs, building what is missing")
    bin_.add_argument(
        "tools",
        metavar="TOOL",
        nargs="*",
        help=f"of {', '.join(recipe.TOOLS)} (without any: {', '.join(recipe.BIN)})",
    )
    return parser
