"""What the rules of every kind are given to make or change an entity with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qbsync.simulator.company import Company
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.pacific import stamp
from qbsync.simulator.switches import Switches


@dataclass(frozen=True, slots=True)
class Making:
    """One entity in the making. `before` is the entity as it stands, None for a new one.

    The body that goes with it already has QuickBooks' types and is whole: a sparse update has been laid over what
    the entity held, a full one is as it was sent. `sent` names the fields that are in the request itself.
    `own_number`: the transaction comes with its DocNumber, whoever numbers in this company.
    """

    company: Company
    switches: Switches
    now: datetime
    identifier: str
    before: JsonObject | None = None
    allow_duplicate: bool = False
    sparse: bool = False
    sent: frozenset[str] = frozenset()
    own_number: bool = False

    @property
    def inactive_code(self) -> str:
        """The fault's code for a reference to what has been made inactive."""
        return self.switches.choice("inactiveReference")

    def keeps(self, field: str) -> bool:
        """Whether a field stays as it is: a sparse update that leaves it out."""
        return self.before is not None and self.sparse and field not in self.sent

    def frame(self) -> JsonObject:
        """What every entity has: Id, SyncToken, MetaData, domain and sparse, moved on for a changed one."""
        time = stamp(self.now)
        token, created = "0", time
        if self.before is not None:
            token = str(int(self.before["SyncToken"]) + 1)
            created = self.before["MetaData"]["CreateTime"]
        return {
            "domain": "QBO",
            "sparse": False,
            "Id": self.identifier,
            "SyncToken": token,
            "MetaData": {"CreateTime": created, "LastUpdatedTime": time},
        }

    def carried(self, field: str, default: Any) -> Any:
        """What QuickBooks keeps by itself (balances …): from the entity as it stands, or the default."""
        return default if self.before is None else self.before.get(field, default)


Build = Callable[[Making, JsonObject], JsonObject]
"""Make the whole entity, or raise Refusal; it reads the books and changes nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How entities of one kind are made and changed.

    `build` serves create and both updates. `computed` are the fields QuickBooks keeps by itself: what a client sends
    there is dropped before `build` sees it.
    """

    build: Build
    computed: frozenset[str] = frozenset()
