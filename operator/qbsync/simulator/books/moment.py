"""When something happens."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """Business time, in both forms it is needed in."""

    now: datetime
    timestamp: float
