"""The command line: `demo [--once]`."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from showcase.errors import DemoError
from showcase.screen import Screen
from showcase.story import Story


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the demo; 0 only if everything was as promised."""
    parser = argparse.ArgumentParser(prog="demo", description="qbsync on this machine, from end to end.")
    parser.add_argument(
        "--once", action="store_true", help="leave at the end, instead of staying up to be tried"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="qbsync-demo-"))
    problem = _play(screen, folder, once=options.once)
    if problem is None and not screen.failed:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    if problem == "":
        return 130
    screen.problem(problem or f"not as promised: {'; '.join(screen.failed)}")
    screen.say(f"the logs are kept in {folder}")
    return 1


def _play(screen: Screen, folder: Path, *, once: bool) -> str | None:
    """What ended it: None if it came to its end, "" if somebody interrupted it, else what went wrong."""
    with ExitStack() as ends:
        story = Story(screen, folder, ends)
        try:
            story.play()
        except DemoError as error:
            return str(error)
        except KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
            return ""
        if once or screen.failed:
            return None
        story.invite()
        try:
            signal.pause()
        except KeyboardInterrupt:
            screen.say("ending everything")
    return None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
