"""Intuit's OAuth client for Node (intuit-oauth 4.2.5) and node-quickbooks 2.0.50, unchanged, at the simulator.

Each story in node/ is one run of node, which prints one JSON line a step; each test here is about one step.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fixtures.simulator_server import RunningSimulator

NODE = Path(__file__).parent / "node"
Step = dict[str, Any]


def needs_node() -> None:
    """Skips where node or the SDKs are missing, but not in continuous integration: there it fails."""
    missing = "node" if shutil.which("node") is None else "node_modules"
    if missing == "node" or not (NODE / "node_modules" / "node-quickbooks").exists():
        reason = f"{missing} is missing: dev/testtools.py installs what it can, and says what it cannot"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def tell(name: str, simulator: RunningSimulator) -> Mapping[str, Step]:
    """Runs one story against a simulator as new; every step by its name."""
    needs_node()
    ready = {**simulator.ready, **simulator.reset()}
    done = subprocess.run(
        ["node", f"{name}.mjs", json.dumps(ready)],
        cwd=NODE,
        env={**os.environ, "NO_PROXY": "127.0.0.1,localhost"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    return {step.pop("step"): step for step in steps}


@pytest.fixture(scope="module")
def oauth(shared_simulator: RunningSimulator) -> Mapping[str, Step]:
    return tell("oauth", shared_simulator)


@pytest.fixture(scope="module")
def books(shared_simulator: RunningSimulator) -> Mapping[str, Step]:
    return tell("books", shared_simulator)


@pytest.fixture(scope="module")
def faults(shared_simulator: RunningSimulator) -> Mapping[str, Step]:
    return tell("faults", shared_simulator)


def thrown(step: Step) -> Step:
    """What the step threw."""
    assert "thrown" in step, step
    return dict(step["thrown"])


# Intuit's OAuth client


def test_it_connects_a_company(oauth: Mapping[str, Step], shared_simulator: RunningSimulator) -> None:
    assert oauth["connect"] == {
        "status": 200,
        "state": "a-state",
        "realmId": shared_simulator.realm_id,
        "expiresIn": 3600,
        "refreshExpiresIn": 8726400,
        "valid": True,
        "tid": True,
    }


def test_a_person_may_deny(oauth: Mapping[str, Step]) -> None:
    assert oauth["deny"] == {"error": "access_denied", "state": "s"}


def test_the_hard_expiry_is_never_extended(oauth: Mapping[str, Step]) -> None:
    """Five years from the consent; a refresh a day later leaves a day less."""
    years = 5 * 365 * 24 * 3600
    assert years - 24 * 3600 < oauth["hard expiry"]["first"] <= years
    assert oauth["hard expiry"]["lost"] >= 24 * 3600


def test_a_refresh(oauth: Mapping[str, Step]) -> None:
    assert oauth["refresh"] == {"same": True, "newAccess": True, "rotated": True}


@pytest.mark.parametrize("step", ["stale refresh token", "code twice"])
def test_what_was_used_up_is_an_invalid_grant(oauth: Mapping[str, Step], step: str) -> None:
    error = thrown(oauth[step])
    assert (error["error"], error["message"]) == ("invalid_grant", "invalid_grant")
    assert error["description"]
    assert error["tid"]


def test_a_wrong_secret_is_an_invalid_client(oauth: Mapping[str, Step]) -> None:
    assert thrown(oauth["wrong secret"])["error"] == "invalid_client"


def test_a_rotation_whose_answer_is_lost_is_lost_for_good(oauth: Mapping[str, Step]) -> None:
    """loadResponse in OAuthClient.js repeats a request that was reset, with the value that has been replaced."""
    assert thrown(oauth["lost rotation"])["error"] == "invalid_grant"


def test_an_outage_of_the_token_endpoint_is_waited_out(oauth: Mapping[str, Step]) -> None:
    assert oauth["outage of the token endpoint"] == {"valid": True}


def test_the_id_token_is_valid(oauth: Mapping[str, Step]) -> None:
    assert oauth["id_token"] == {"valid": True, "email": "craig@example.com"}


def test_without_openid_there_is_no_id_token(oauth: Mapping[str, Step]) -> None:
    assert thrown(oauth["no id_token"])["message"] == "The bearer token does not have id_token"


def test_its_api_calls(oauth: Mapping[str, Step]) -> None:
    assert oauth["API call"] == {"status": 200, "country": "US"}


def test_its_api_faults(oauth: Mapping[str, Step]) -> None:
    error = thrown(oauth["API fault"])
    assert (error["class"], error["code"], error["faultType"]) == ("OAuthError", "610", "ValidationFault")
    assert error["tid"]


@pytest.mark.parametrize(
    ("step", "code"), [("API 401", "401"), ("API 403", "403"), ("API 429", "RATE_LIMIT_EXCEEDED")]
)
def test_refusals_of_the_gateway_have_a_status_only(oauth: Mapping[str, Step], step: str, code: str) -> None:
    """makeApiCall looks for `Fault` in a 400 only; the gateway's lower-case body is not read."""
    error = thrown(oauth[step])
    assert (error["class"], error["code"]) == ("OAuthError", code)


def test_revoking_ends_the_connection(oauth: Mapping[str, Step]) -> None:
    assert oauth["revoke"] == {"status": 200, "cleared": True, "after": "invalid_grant"}


# What node-quickbooks has of OAuth


def test_node_quickbooks_refreshes(oauth: Mapping[str, Step]) -> None:
    assert oauth["node-quickbooks refresh"] == {"expiresIn": 3600, "changed": True}


def test_node_quickbooks_keeps_its_tokens_at_an_invalid_grant(oauth: Mapping[str, Step]) -> None:
    assert oauth["node-quickbooks invalid_grant"] == {
        "class": "AxiosError",
        "status": 400,
        "body": "invalid_grant",
        "kept": True,
    }


def test_node_quickbooks_asks_who_it_is(oauth: Mapping[str, Step]) -> None:
    assert oauth["node-quickbooks user info"] == {"email": "craig@example.com"}


def test_node_quickbooks_revokes(oauth: Mapping[str, Step]) -> None:
    assert oauth["node-quickbooks revoke"] == {"forgotten": True, "after": "invalid_grant"}


# The books

BOOKS: dict[str, Step] = {
    "company": {"country": "US", "customNumbers": True},
    "create": {
        "name": "Ada's Bakery & Söhne",
        "total": 120.5,
        "balance": 120.5,
        "number": "N-1",
        "tokens": ["0", "0", "0"],
        "lines": ["SalesItemLineDetail", "SubTotalLineDetail"],
        "same": True,
    },
    "query": {"customers": ["Ada's Bakery & Söhne"], "numbers": ["N-1"], "nothing": {}, "like": 1},
    "count": {"more": 1},
    "pages": {"pages": [["PAGE-0", "PAGE-1"], ["PAGE-2", "PAGE-3"], ["PAGE-4"], []], "all": True},
    "sparse update": {"token": "1", "note": "after", "number": "N-3", "total": 100},
    # node-quickbooks sends back what it read, `sparse: false` with it: a full update, which clears what is left out.
    "full update": {"token": "1", "note": None, "number": "N-4", "total": 70},
    "inactive": {"active": False, "listed": 0},
    "void": {"TotalAmt": 0, "Balance": 0, "PrivateNote": "Voided", "DocNumber": "N-5", "SyncToken": "1"},
    "send with Intuit's client": {"status": "EmailSent", "to": "ada@example.com", "how": "Email"},
    "pdf": {"start": "%PDF-"},
    "payment": {"balance": 40, "linked": True, "after": 100},
    "batch": {"good": "Batch", "bad": "6240", "change": "x", "ask": 1, "gone": "Deleted"},
    "changes": {"kept": None, "gone": "Deleted", "known": True},
    "requestid": {"replayed": True, "another": True},
    "lost answer": {"code": "ECONNRESET", "one": [True]},
}


@pytest.mark.parametrize("step", BOOKS)
def test_node_quickbooks_keeps_books(books: Mapping[str, Step], step: str) -> None:
    assert books[step] == BOOKS[step]


def test_node_quickbooks_cannot_send(books: Mapping[str, Step]) -> None:
    error = thrown(books["send"])
    assert (error["status"], error["faultCode"]) == (400, "500")
    assert "Cannot consume content type" in error["faultDetail"]


def test_node_quickbooks_deletes(books: Mapping[str, Step]) -> None:
    step = books["delete"]
    assert {name: step[name] for name in ("status", "domain", "same", "left")} == {
        "status": "Deleted",
        "domain": "QBO",
        "same": True,
        "left": {},
    }


# Faults


@pytest.mark.parametrize(
    ("step", "status", "code"),
    [
        ("6140", 400, "6140"),
        ("610", 400, "610"),
        ("610 deleted", 400, "610"),
        ("5010", 400, "5010"),
        ("2010", 400, "2010"),
        ("2020", 400, "2020"),
        ("4001", 400, "4001"),
        ("401", 401, "3200"),
        ("403", 403, "3100"),
        ("429", 429, "3001"),
    ],
)
def test_faults_are_the_http_clients_errors(
    faults: Mapping[str, Step], step: str, status: int, code: str
) -> None:
    error = thrown(faults[step])
    assert (error["class"], error["status"], error["faultCode"]) == ("AxiosError", status, code)


def test_6140_names_the_other_invoice(faults: Mapping[str, Step]) -> None:
    assert (
        "DocNumber=TWICE is assigned to TxnType=Invoice with TxnId=" in thrown(faults["6140"])["faultDetail"]
    )


def test_6140_can_be_waived(faults: Mapping[str, Step]) -> None:
    assert faults["6140 waived"] == {"number": "TWICE"}


def test_an_error_page_is_an_error(faults: Mapping[str, Step]) -> None:
    error = thrown(faults["error page"])
    assert (error["class"], error["status"], error.get("faultCode")) == ("AxiosError", 503, None)


def test_a_fault_in_a_200_is_an_error(faults: Mapping[str, Step]) -> None:
    assert faults["200 with a fault"] == {"code": "610"}
