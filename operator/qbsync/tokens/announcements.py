"""The Events of a connection: what is new in its status, once, however often the operator restarts."""

from dataclasses import dataclass

from qbsync.api.conditions import ConditionType, ReadyStatus, find
from qbsync.api.connection import QuickBooksConnectionStatus
from qbsync.engine.announcer import Announcer
from qbsync.engine.breaker import Circuits, Endpoint
from qbsync.engine.store import Snapshot
from qbsync.tokens.health import GrantHealth
from qbsync.tokens.look import Look

_ENDPOINTS = {Endpoint.TOKEN: "token endpoint", Endpoint.API: "API"}


@dataclass(frozen=True, slots=True)
class Announcements:
    """Posts what the status of before did not say: that was announced then, by this process or an earlier one."""

    announcer: Announcer
    circuits: Circuits

    def post(self, look: Look, status: QuickBooksConnectionStatus, health: GrantHealth | None) -> None:
        """Of one look that ended in `status`."""
        told = self._grant(look, health) if health is not None else set()
        self._circuit(look.snapshot, look.status)
        if health is not None:
            self._expiry(look, health)
        self._ready(look, status, told)

    def _grant(self, look: Look, health: GrantHealth) -> set[str]:
        for event in health.events:
            post = self.announcer.warning if event.warning else self.announcer.normal
            post(look.snapshot, event.reason, event.message)
        return {event.reason for event in health.events}

    def _circuit(self, snapshot: Snapshot, previous: QuickBooksConnectionStatus) -> None:
        if previous.circuit is not None and previous.circuit.opened_at is not None:
            return
        for circuit in self.circuits.each(snapshot.company):
            if circuit.opened_at is not None:
                message = (
                    f"so many calls to QuickBooks' {_ENDPOINTS[circuit.endpoint]} failed within a minute that it is "
                    f"left alone until {circuit.retry_at:%H:%M:%S} UTC"
                )
                self.announcer.warning(snapshot, "CircuitOpened", message)

    def _expiry(self, look: Look, health: GrantHealth) -> None:
        warning, was = health.expiry_warning, find(look.status.conditions, ConditionType.READY)
        if warning is not None and (was is None or warning not in was.message):
            self.announcer.warning(look.snapshot, "RefreshTokenExpiringSoon", warning)

    def _ready(self, look: Look, status: QuickBooksConnectionStatus, told: set[str]) -> None:
        was, ready = (find(each.conditions, ConditionType.READY) for each in (look.status, status))
        if ready is None or ready.status is not ReadyStatus.FALSE or ready.reason in told:
            return
        if was is None or was.reason != ready.reason:
            self.announcer.warning(look.snapshot, ready.reason, ready.message)
