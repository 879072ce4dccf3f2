"""The command line: `demo [--once]`."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
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
    _listen_for_interrupts(_interrupt)
    screen = Screen()
    folder = Path(tempfile.mkdtemp(prefix="qbsync-demo-"))
    problem = _play(screen, folder, once=options.once)
    if problem is None and not screen.failed:
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    if problem == "":
        shutil.rmtree(folder, ignore_errors=True)
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
            if not once and not screen.failed:
                story.invite()
                _await_interrupt()
                screen.say("ending everything")
        except DemoError as error:
            return str(error)
        except KeyboardInterrupt:
            return ""
        finally:
            # What was started is being ended: a second Ctrl-C would only leave something behind.
            _listen_for_interrupts(signal.SIG_IGN)
    return None


def _listen_for_interrupts(handler: Callable[..., None] | signal.Handlers) -> None:
    # Explicitly for both: a shell that starts it in the background has SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _await_interrupt() -> None:
    with suppress(KeyboardInterrupt):
        signal.pause()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
