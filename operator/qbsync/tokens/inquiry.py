"""What a company is asked about itself: who it is, and whether it still lets us in.

Each question is a metered read, so it is asked once; again only on request, or while the company refuses us.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from qbsync.api.conditions import ConnectionReason
from qbsync.api.connection import CompanyStatus, Limits, TestResult
from qbsync.engine.breaker import Circuits, CircuitState, Endpoint
from qbsync.engine.clock import Clock
from qbsync.engine.keys import Company
from qbsync.quickbooks.client import CompanyClient
from qbsync.quickbooks.errors import QuickBooksError
from qbsync.tokens import refusals
from qbsync.tokens.look import Look
from qbsync.tokens.spec import GrantSpec
from qbsync.tokens.status import Verdict

OPEN_LONG: Final = timedelta(minutes=5)
"""A circuit that has not closed for this long is the connection's reason."""
_RESULT_LENGTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Asks the companies of one process."""

    clock: Clock
    circuits: Circuits
    client_of: Callable[[Company, GrantSpec, Limits], CompanyClient]
    reads_blocked: Callable[[Company], timedelta | None]
    """In how long a read is tried again where the app's allowance is used up."""

    async def know(
        self, look: Look, grant: GrantSpec, verdict: Verdict
    ) -> tuple[Verdict, CompanyStatus | None]:
        """Read the company where that is due, else go by what is known. Ready waits for the first answer."""
        memory, known = look.memory, look.status.company
        client = self.client_of(look.company, grant, look.limits)
        if known is not None and not self._due(look):
            return self._unasked(look, verdict), known
        try:
            company = await _read(client)
        except refusals.REFUSED as error:
            memory.refuse(error, now=self.clock.now())
            return refusals.verdict(error, look.spec, look.status), known
        except QuickBooksError as error:
            memory.failures += 1
            if known is not None:
                return self._unasked(look, verdict), known
            message = f"the company could not be read yet: {error}"
            return Verdict(ConnectionReason.IMPORTING, message), None
        memory.known()
        return verdict, company

    async def test(self, look: Look, grant: GrantSpec) -> TestResult | None:
        """One CompanyInfo read, where a person asks for it."""
        if look.test is None:
            return None
        client = self.client_of(look.company, grant, look.limits)
        try:
            info = await client.company_info()
        except QuickBooksError as error:
            if isinstance(error, refusals.REFUSED):
                look.memory.refuse(error, now=self.clock.now())
            return self._result(look, f"failed: {error}")
        if look.memory.refused is not None:
            look.memory.probe_at = self.clock.now()
        return self._result(look, f"ok: QuickBooks answered for {info.name}")

    def untested(self, look: Look, verdict: Verdict) -> TestResult | None:
        """The answer to a person who asks where nothing can be asked."""
        return self._result(look, f"failed: not asked, {verdict.message}") if look.test is not None else None

    def _result(self, look: Look, text: str) -> TestResult:
        return TestResult(time=self.clock.now(), result=text[:_RESULT_LENGTH], request=look.test)

    def _due(self, look: Look) -> bool:
        """Whether a company that is known is asked again."""
        memory = look.memory
        if memory.company_moved or look.request is not None:
            return True
        if memory.refused is not None and (memory.probe_at is None or self.clock.now() >= memory.probe_at):
            return True
        if self.circuits.of(look.company, Endpoint.API).state is CircuitState.HALF_OPEN:
            return True
        blocked = self.reads_blocked(look.company)
        return blocked is not None and blocked <= timedelta()

    def _unasked(self, look: Look, verdict: Verdict) -> Verdict:
        """What stands of a company that was not asked, or did not answer, now."""
        if look.memory.refused is not None:
            return refusals.verdict(look.memory.refused, look.spec, look.status)
        if self.reads_blocked(look.company) is not None:
            return Verdict(
                ConnectionReason.READ_BUDGET_EXHAUSTED,
                "Intuit answers every read of the app with 429, and its monthly allowance is nearly used up "
                "(status.usage): one read an hour is tried, until Intuit allows more or the month ends",
            )
        opened = self.circuits.of(look.company, Endpoint.API).opened_at
        if opened is None or self.clock.now() - opened < OPEN_LONG:
            return verdict
        return Verdict(
            ConnectionReason.CIRCUIT_OPEN,
            f"calls to QuickBooks fail since {opened:%Y-%m-%d %H:%M} UTC: "
            "it is left alone until status.circuit.retryAt, then asked once",
        )


async def _read(client: CompanyClient) -> CompanyStatus:
    info = await client.company_info()
    preferences = await client.preferences()
    return CompanyStatus(
        name=info.name,
        country=info.country,
        currency=preferences.home_currency,
        custom_transaction_numbers=preferences.custom_transaction_numbers,
        multicurrency=preferences.multicurrency,
    )
