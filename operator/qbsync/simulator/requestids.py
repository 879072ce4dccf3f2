"""QuickBooks' memory of requestids: the first answer is repeated, whatever operation or body comes with the id."""

from dataclasses import dataclass, field

from qbsync.simulator.responses import Answer
from qbsync.simulator.switches import Switches

LONGEST = 50


@dataclass(frozen=True, slots=True)
class _Remembered:
    answer: Answer = field(repr=False)
    at: float


class RequestIds:
    """One memory per company, under the switches `requestidMemory…` and `replayFailures`."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._memory: dict[tuple[str, str], _Remembered] = {}

    def recall(self, realm_id: str, requestid: str, now: float) -> Answer | None:
        """The answer this id had before, byte for byte, or None for a new one."""
        if self._switches.choice("requestidMemory") == "forget":
            return None
        remembered = self._memory.get((realm_id, requestid))
        if remembered is None:
            return None
        if now - remembered.at > self._switches.number("requestidMemorySeconds"):
            del self._memory[realm_id, requestid]
            return None
        return remembered.answer

    def remember(self, realm_id: str, requestid: str, answer: Answer, now: float) -> None:
        """Keep an answer; the first one stays, and failures only where they are replayed."""
        if answer.succeeded or self._switches.on("replayFailures"):
            self._memory.setdefault((realm_id, requestid), _Remembered(answer, now))
