"""Which creates go out together, and what of a batch goes out in the end.

A handful goes one by one, each with its requestid: that is the best guard there is. A backlog goes in batches,
whose items have none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qbsync.invoices.errors import NotSending
from qbsync.invoices.outcomes import Letter
from qbsync.quickbooks.batch import MOST_ITEMS, BatchItem
from qbsync.quickbooks.client import CompanyClient

HANDFUL = 10
"""What a company's limit lets through within a second."""


def sort_out(
    letters: Sequence[Letter], *, handful: int | None
) -> tuple[Sequence[Letter], Sequence[Sequence[Letter]]]:
    """What goes out one by one, and what in batches: whatever is more than a `handful` (None: nothing)."""
    if handful is None:
        return letters, []
    batches = [letters[at : at + MOST_ITEMS] for at in range(0, len(letters), MOST_ITEMS)]
    rest = batches.pop() if batches and len(batches[-1]) <= handful else []
    return rest, batches


@dataclass(slots=True)
class Batch:
    """One batch on its way."""

    letters: list[Letter]
    """Those that may still go."""
    before_send: Callable[[Letter], None]
    """Asked of each at the last moment; raises NotSending for what must not go out."""
    going: dict[str, Letter] = field(default_factory=dict)
    """What went out last, by bId."""
    left_behind: list[tuple[Letter, NotSending]] = field(default_factory=list)
    """What does not go, and why."""

    @property
    def client(self) -> CompanyClient:
        return self.letters[0].client

    def compose(self) -> Sequence[BatchItem]:
        """What goes out now. Raises NotSending if nothing is left."""
        for letter in list(self.letters):
            try:
                self.before_send(letter)
            except NotSending as reason:
                # It may have gone out before; but a batch is repeated after a 401 only, which executes nothing.
                letter.thaw()
                self.letters.remove(letter)
                self.left_behind.append((letter, reason))
        if not self.letters:
            raise NotSending("nothing is left of the batch")
        self.going = {str(number): letter for number, letter in enumerate(self.letters, start=1)}
        return [BatchItem(bid, "Invoice", letter.sent.body) for bid, letter in self.going.items()]
