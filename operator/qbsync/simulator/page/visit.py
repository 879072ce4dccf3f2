"""One look at the page: who looks at what, in which company, and the links from there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from urllib.parse import urlencode

from qbsync.simulator.company import Company
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.pacific import business_date
from qbsync.simulator.page.html import Html
from qbsync.simulator.world import World

DOOR = "/_simulator"


class NothingHere(LookupError):
    """A page that does not exist; the message says what to look at instead."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What a view shows: a title for the tab and the heading, and everything below it."""

    title: str
    body: Html
    actions: Html = field(default_factory=Html)
    subtitle: Html | str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a view. `company` is the one chosen in the address, the first one unless another is."""

    world: World
    options: SimulatorOptions
    company: Company
    path: str
    params: Mapping[str, str]

    @property
    def realm(self) -> str:
        """The chosen company's realm id."""
        return self.company.realm_id

    @property
    def now(self) -> datetime:
        """Business time."""
        return self.world.clock.now()

    @property
    def today(self) -> date:
        """The company's calendar day."""
        return business_date(self.now)

    def link(self, path: str, **params: str) -> str:
        """The address of a view in the chosen company."""
        chosen = {} if self.realm == self.world.first_realm else {"realm": self.realm}
        query = urlencode({**chosen, **{name: value for name, value in params.items() if value}})
        return f"{path}?{query}" if query else path

    def door(self, path: str) -> str:
        """The address of an endpoint of the control door, for the chosen company."""
        return f"{DOOR}{path}?{urlencode({'realmId': self.realm})}"


View = Callable[[Visit], Screen]
"""Makes a screen. Raises NothingHere."""
