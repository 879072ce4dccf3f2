"""Which app hears of which change."""

import uuid
from collections.abc import Callable, Iterator
from random import Random

from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import Change, Kind
from qbsync.simulator.ledger import Moment
from qbsync.simulator.oauth import Authority
from qbsync.simulator.switches import Switches
from qbsync.simulator.webhooks.endpoints import Endpoint
from qbsync.simulator.webhooks.events import TOLD, Event
from qbsync.simulator.webhooks.outbox import Outbox


def _nobody(_: Outbox) -> None:
    """Nobody carries anything away."""


class Webhooks:
    """The outboxes of all apps. An app hears of the companies it holds a living grant for, its own writes included.

    `wake` is called with an outbox that has something new; whoever delivers sets it.
    """

    def __init__(self, authority: Authority, switches: Switches, random: Random) -> None:
        self.wake: Callable[[Outbox], None] = _nobody
        self._authority = authority
        self._switches = switches
        self._random = random
        self._boxes: dict[str, Outbox] = {}

    def __iter__(self) -> Iterator[Outbox]:
        return iter(self._boxes.values())

    def configure(self, client_id: str, endpoint: Endpoint | None) -> None:
        """Set an app's endpoint; what is pending goes there from now on. None: it hears nothing any more."""
        box = self._boxes.get(client_id)
        if endpoint is None:
            if box is not None:
                self._boxes.pop(client_id).close()
        elif box is not None:
            box.endpoint = endpoint
        else:
            self._boxes[client_id] = Outbox(client_id, endpoint, self._switches, self._random)

    def announce(self, company: Company, kind: Kind, identifier: str, change: Change, moment: Moment) -> None:
        """Something was committed. Returns at once: whoever caused it does not wait for any app."""
        entity = TOLD.get(kind.name)
        if entity is None:
            return
        for box in self._boxes.values():
            if not box.endpoint.wants(entity):
                continue
            if not self._authority.connected(box.client_id, company.realm_id, moment.timestamp):
                continue
            number = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
            event = Event(number, company.realm_id, entity, identifier, change, moment.timestamp)
            box.add(event, moment.timestamp)
            self.wake(box)

    def new_verifier_token(self) -> str:
        """A verifier token in the look of Intuit's: a UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))
