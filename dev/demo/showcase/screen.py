"""What the demo prints."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from showcase.processes import Stopwatch


class Screen:
    """Readable on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self.failed: list[str] = []
        """What was not as expected."""

    def title(self, text: str) -> None:
        """A part of the story."""
        self._console.print()
        self._line(Text(text, style="bold cyan"))

    def say(self, text: str) -> None:
        """A sentence."""
        self._line(Text(f"  {text}"))

    def command(self, text: str) -> None:
        """A command, to be copied."""
        self._line(Text.assemble("  ", (f"$ {text}", "bold")))

    def output(self, text: str) -> None:
        """What a command printed, as it was."""
        for line in text.rstrip().splitlines():
            self._line(Text(f"  {line}"))

    def check(self, text: str, holds: bool) -> None:
        """Something that was promised, and whether it is so."""
        mark, style = ("✓", "green") if holds else ("✗", "bold red")
        self._line(Text.assemble("  ", (mark, style), " ", (text, "" if holds else "bold red")))
        if not holds:
            self.failed.append(text)

    def problem(self, text: str) -> None:
        """Why the demo ends early."""
        self._console.print()
        self._line(Text(text, style="bold red"))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """While something takes its time: what, and for how long already."""
        if not self._console.is_terminal:
            self.say(f"{text} …")
            yield
            return
        with self._console.status(text) as status, Stopwatch(lambda gone: status.update(f"{text}  {gone} s")):
            yield

    def _line(self, text: Text) -> None:
        # Never wrapped or cut here: tables and commands stay as they are, and can be copied.
        self._console.print(text, soft_wrap=True)
