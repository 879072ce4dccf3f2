"""The demo's QuickBooks: the simulator's own API, and its control door."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from showcase.errors import DemoError

JsonObject = dict[str, Any]


class QuickBooks:
    """A running simulator, by the JSON line that it printed."""

    def __init__(self, line: str) -> None:
        self.grant: JsonObject = json.loads(line)
        self.url: str = self.grant["baseUrl"]
        self.realm: str = self.grant["realmId"]
        self._client = httpx2.Client(base_url=self.url, timeout=30, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def create_invoice(self, number: str, amount: float, *, customer: str, item: str) -> str:
        """Create an invoice as any other program would; its id."""
        token = self._answer("POST", "/_simulator/tokens", {"realmId": self.realm})["access_token"]
        line = {
            "Amount": amount,
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {"ItemRef": {"value": item}},
        }
        body = {"DocNumber": number, "CustomerRef": {"value": customer}, "Line": [line]}
        path = f"/v3/company/{self.realm}/invoice?minorversion=75"
        created = self._answer("POST", path, body, headers={"Authorization": f"Bearer {token}"})
        return str(created["Invoice"]["Id"])

    def invoices(self, number: str | None = None) -> list[JsonObject]:
        """Every invoice of the company, or those with a DocNumber."""
        rows = self._answer("GET", "/_simulator/state")["realms"][self.realm]["invoices"]
        return [row for row in rows if number in (None, row.get("DocNumber"))]

    def let_pass(self, seconds: float) -> None:
        """Move QuickBooks' time on: a query may miss what was created within the last two seconds."""
        self._answer("POST", "/_simulator/clock", {"advanceSeconds": seconds})

    def calls(self) -> JsonObject:
        """How many requests of each operation it got."""
        return dict(self._answer("GET", "/_simulator/counters")["requests"])

    def hold_next_create(self, seconds: float) -> None:
        """Let the next create take so long."""
        rule = {"match": {"operation": "create"}, "effect": {"delaySeconds": seconds}, "times": 1}
        self._answer("POST", "/_simulator/faults", rule)

    def creates_at_work(self) -> int:
        """How many creates have arrived and are not answered yet."""
        entries = self._answer("GET", "/_simulator/requests?operation=create")["requests"]
        return sum(1 for entry in entries if "outcome" not in entry)

    def _answer(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> JsonObject:
        answer = self._client.request(method, path, json=body, headers=dict(headers or {}))
        if not answer.is_success:
            raise DemoError(
                f"the simulator answered {method} {path} with {answer.status_code}: {answer.text}"
            )
        return dict(answer.json())


def until(check: Callable[[], object], *, what: str, seconds: float = 60) -> None:
    """Wait until `check` is true. Raises `DemoError`."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise DemoError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)
