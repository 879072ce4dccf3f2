"""Everything a simulator remembers, made anew by a reset. It knows nothing of HTTP."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from qbsync.simulator import apps, sample
from qbsync.simulator.apps import ACCOUNTING_SCOPE, App, Environment
from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.company import Company
from qbsync.simulator.counters import Counters
from qbsync.simulator.identity import Signer
from qbsync.simulator.injection import FaultRules, Weather
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.latency import LatencySampler
from qbsync.simulator.ledger import Ledger, Moment
from qbsync.simulator.limits import Limits
from qbsync.simulator.oauth import AccessToken, Authority, Issued
from qbsync.simulator.options import SimulatorOptions
from qbsync.simulator.profiles import LATENCY, OVERRIDES
from qbsync.simulator.requestids import RequestIds
from qbsync.simulator.streams import Streams
from qbsync.simulator.switches import Switches
from qbsync.simulator.webhooks.endpoints import Endpoint
from qbsync.simulator.webhooks.events import Format
from qbsync.simulator.webhooks.hub import Webhooks

_KEPT_REQUESTS = 1000


class World:
    """One Intuit with any number of apps and companies, as the options and the seed make it: one of each at first."""

    def __init__(self, options: SimulatorOptions, clock: SimulatorClock, company: JsonObject) -> None:
        streams = Streams(options.seed)
        self.clock = clock
        self.server_timeout = options.server_timeout.total_seconds()
        self.switches = Switches(OVERRIDES[options.profile])
        self.limits = Limits(self.switches)
        self.requestids = RequestIds(self.switches)
        self.rules = FaultRules(streams.stream("fault rules"))
        self.weather = Weather(self.switches, streams.stream("weather"), server_timeout=self.server_timeout)
        self.latency = LatencySampler(options.latency or LATENCY[options.profile], streams.stream("latency"))
        self.counters = Counters()
        self.tids = streams.stream("intuit_tid")
        self.requests: deque[dict[str, Any]] = deque(maxlen=_KEPT_REQUESTS)
        self.request_numbers = count(1)
        self.refreshing: Counter[str] = Counter()
        self.companies: dict[str, Company] = {}
        self._description = company
        self._ids = streams.stream("ids")
        self.authority = Authority(App(*self._new_keys()), self.switches, streams.stream("tokens"))
        self.signer = Signer()
        self.webhooks = Webhooks(self.authority, self.switches, streams.stream("webhooks"))
        self.ledger = Ledger(self.switches, lag=streams.stream("read lag"), announce=self.webhooks.announce)
        self._environments: dict[str, Environment] = {}
        self.first_realm = self.add_company(None, {}).realm_id
        self.first_grant = self.issue_grant(self.first_realm)
        if options.webhook_url is not None:
            token = options.webhook_verifier_token or self.webhooks.new_verifier_token()
            endpoint = Endpoint(options.webhook_url, token, Format(options.webhook_format))
            self.webhooks.configure(self.authority.client.client_id, endpoint)

    def moment(self) -> Moment:
        """Now."""
        timestamp = self.clock.timestamp()
        return Moment(self.clock.now(), timestamp)

    def add_company(
        self,
        realm_id: str | None,
        preferences: Mapping[str, Any],
        environment: Environment = Environment.SANDBOX,
        like: object = None,
    ) -> Company:
        """A further company, `like` one of the package (by default the first one) but for `preferences`.

        Raises UnreadableCompany.
        """
        realm = realm_id or self._new_realm_id()
        description = self._description if like is None else sample.load(sample.named(like))
        company = sample.found(realm, description, self.ledger, preferences=preferences)
        self.companies[realm] = company
        self._environments[realm] = environment
        return company

    def environment_of(self, realm_id: str) -> Environment:
        """Whether that company is a sandbox or a real one."""
        return self._environments[realm_id]

    def admits(self, token: AccessToken, realm_id: str) -> bool:
        """Whether a living token opens that company's books; if not, the gateway answers 403/3100."""
        if token.realm_id != realm_id or realm_id not in self.companies:
            return False
        if self.switches.on("scopesEnforced") and ACCOUNTING_SCOPE not in token.scopes:
            return False
        keys = self.authority.apps[token.client_id].environment
        return keys is self.environment_of(realm_id) or not self.switches.on("environmentsSeparate")

    def issue_grant(
        self, realm_id: str, client_id: str | None = None, scopes: Sequence[str] = (ACCOUNTING_SCOPE,)
    ) -> Issued:
        """A grant as after a person's consent, for the first app unless another is named."""
        app = self.authority.apps[client_id] if client_id is not None else self.authority.client
        self.counters.tokens_issued += 1
        return self.authority.grant(app, realm_id=realm_id, scopes=scopes, now=self.clock.timestamp())

    def grant_document(self, issued: Issued) -> dict[str, Any]:
        """A grant with all a client needs to use it."""
        app = self.authority.apps[issued.grant.client_id]
        return {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "realm_id": issued.grant.realm_id,
            "access_token": issued.access.value,
            "refresh_token": issued.refresh_token,
            "expires_in": issued.expires_in,
        }

    def add_app(self, document: Mapping[str, Any]) -> App:
        """Register an app from the door's JSON, or change the one that `clientId` names. Raises UnreadableApp."""
        known = self.authority.apps.get(str(document.get("clientId")))
        client_id, secret = (known.client_id, known.client_secret) if known else self._new_keys()
        app = apps.read(document, client_id=client_id, client_secret=secret)
        self.authority.register(app)
        return app

    def _new_keys(self) -> tuple[str, str]:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "AB" + "".join(self._ids.choices(letters, k=48)), "".join(self._ids.choices(letters, k=40))

    def _new_realm_id(self) -> str:
        realm = f"93414{self._ids.randrange(10**10, 10**11)}"
        return realm if realm not in self.companies else self._new_realm_id()
