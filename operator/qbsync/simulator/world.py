"""Everything a simulator remembers, made anew by a reset. It knows nothing of HTTP."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from qbsync.simulator import sample
from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.company import Company
from qbsync.simulator.counters import Counters
from qbsync.simulator.injection import FaultRules, Weather
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.latency import LatencySampler
from qbsync.simulator.ledger import Ledger, Moment
from qbsync.simulator.limits import Limits
from qbsync.simulator.oauth import Authority, Client, Issued
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.profiles import LATENCY, OVERRIDES
from qbsync.simulator.requestids import RequestIds
from qbsync.simulator.streams import Streams
from qbsync.simulator.switches import Switches

_KEPT_REQUESTS = 1000


class World:
    """One Intuit with one app and any number of companies, as the options and the seed make it."""

    def __init__(self, options: SimulatorOptions, clock: SimulatorClock, company: JsonObject) -> None:
        streams = Streams(options.seed)
        self.clock = clock
        self.server_timeout = options.server_timeout.total_seconds()
        self.switches = Switches(OVERRIDES[options.profile])
        self.ledger = Ledger(self.switches, lag=streams.stream("read lag"))
        self.limits = Limits(self.switches)
        self.requestids = RequestIds(self.switches)
        self.rules = FaultRules(streams.stream("fault rules"))
        self.weather = Weather(self.switches, streams.stream("weather"), server_timeout=self.server_timeout)
        self.latency = LatencySampler(options.latency or LATENCY[options.profile], streams.stream("latency"))
        self.counters = Counters()
        self.tids = streams.stream("intuit_tid")
        self.requests: deque[dict[str, Any]] = deque(maxlen=_KEPT_REQUESTS)
        self.refreshing: Counter[str] = Counter()
        self.companies: dict[str, Company] = {}
        self._description = company
        self._ids = streams.stream("ids")
        self.authority = Authority(self._client(), self.switches, streams.stream("tokens"))
        self.first_realm = self.add_company(None, {}).realm_id
        self.first_grant = self.issue_grant(self.first_realm)

    def moment(self) -> Moment:
        """Now."""
        timestamp = self.clock.timestamp()
        return Moment(self.clock.now(), timestamp)

    def add_company(self, realm_id: str | None, preferences: Mapping[str, Any]) -> Company:
        """A further company, like the sample one but for `preferences`. Raises UnreadableCompany."""
        realm = realm_id or self._new_realm_id()
        company = sample.found(realm, self._description, self.ledger, preferences=preferences)
        self.companies[realm] = company
        return company

    def issue_grant(self, realm_id: str) -> Issued:
        """A grant as after a person's consent."""
        self.counters.tokens_issued += 1
        return self.authority.grant(realm_id=realm_id, now=self.clock.timestamp())

    def grant_document(self, issued: Issued) -> dict[str, Any]:
        """A grant with all a client needs to use it."""
        return {
            "client_id": self.authority.client.client_id,
            "client_secret": self.authority.client.client_secret,
            "realm_id": issued.grant.realm_id,
            "access_token": issued.access.value,
            "refresh_token": issued.refresh_token,
            "expires_in": issued.expires_in,
        }

    def _client(self) -> Client:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return Client(
            client_id="AB" + "".join(self._ids.choices(letters, k=48)),
            client_secret="".join(self._ids.choices(letters, k=40)),
        )

    def _new_realm_id(self) -> str:
        realm = f"93414{self._ids.randrange(10**10, 10**11)}"
        return realm if realm not in self.companies else self._new_realm_id()
