"""Documents of Intuit's SDKs and of applications in the field, against ours: the same fields, the same kinds of values.

What all recorded rows have must be there, what is there of both must be of one kind. We may have more: most of these
documents are cut down by their authors.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from qbsync.simulator.entities.kinds import KINDS

from .conftest import Books, ThreadedSimulator
from .recording import RECORDED

_OTHER_DATA = "that company's own data; ours has none"
ACCEPTED: Mapping[str, Mapping[str, str]] = {
    "vendor_response": dict.fromkeys(
        ("[].PrimaryEmailAddr", "[].PrimaryEmailAddr.Address", "[].WebAddr", "[].WebAddr.URI"), _OTHER_DATA
    ),
    "tax_code_response": {
        f"[].PurchaseTaxRateList.TaxRateDetail[]{path}": _OTHER_DATA
        for path in (
            "",
            ".TaxOrder",
            ".TaxRateRef",
            ".TaxRateRef.name",
            ".TaxRateRef.value",
            ".TaxTypeApplicable",
        )
    },
    "company_info": {
        "[].PrimaryPhone.FreeFormNumber": _OTHER_DATA,
    },
    "preference_response": {"[].AccountingInfoPrefs.BookCloseDate": _OTHER_DATA},
}
"""By document: the path at which ours differs, and why that is right."""


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


def kinds(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every path of a document (rows of lists as []) with the kinds of values found there."""
    if isinstance(value, Mapping):
        yield path, "object"
        for name, content in value.items():
            yield from kinds(content, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield path, "list"
        for entry in value:
            yield from kinds(entry, f"{path}[]")
    else:
        yield path, "number" if type(value) in {int, float} else type(value).__name__


def always(value: Any, path: str = "") -> set[str]:
    """The paths that are there in every row of every list on the way."""
    if isinstance(value, Mapping):
        found = {path}
        for name, content in value.items():
            found |= always(content, f"{path}.{name}" if path else name)
        return found
    if isinstance(value, list) and value:
        return {path} | set.intersection(*(always(entry, f"{path}[]") for entry in value))
    return {path}


def differences(theirs: Any, ours: Any) -> set[str]:
    """The paths that all of theirs have and ours never, and those where ours has another kind of value."""
    known, mine = list(kinds(theirs)), list(kinds(ours))
    paths = {path for path, _ in mine}
    other = {path for path, kind in mine if path in dict(known) and (path, kind) not in known}
    return {path for path in always(theirs) if path not in paths} | other


@pytest.fixture
def books(simulator: ThreadedSimulator) -> Iterator[Books]:
    """A company that tracks classes and locations and has sales tax."""
    realm = simulator.post("/_simulator/realms", {"company": "us-sales-tax"})["realmId"]
    view = Books(simulator, realm)
    yield view
    view.close()


@pytest.mark.parametrize(
    ("document", "entity"),
    [
        ("items_response", "Item"),
        ("account_response", "Account"),
        ("class_response", "Class"),
        ("department_response", "Department"),
        ("vendor_response", "Vendor"),
        ("tax_code_response", "TaxCode"),
        ("tax_rate_get_by_id", "TaxRate"),
        ("company_info", "CompanyInfo"),
        ("preference_response", "Preferences"),
    ],
)
def test_entities_have_the_fields_met_in_the_field(books: Books, document: str, entity: str) -> None:
    theirs = recorded(f"fyle-qbo-api/{document}.json")
    rows = books.query(f"SELECT * FROM {entity} MAXRESULTS 1000")[KINDS[entity].name]
    ours = json.loads(json.dumps(rows, default=float))
    found = differences(theirs if isinstance(theirs, list) else [theirs], ours)
    assert found == set(ACCEPTED.get(document, {})), found


# OAuth


def refreshed(books: Books, grant: Mapping[str, str], **headers: str) -> httpx2.Response:
    return httpx2.post(
        f"{books.door.base_url}/oauth2/v1/tokens/bearer",
        data={"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]},
        auth=(grant["client_id"], grant["client_secret"]),
        headers=headers,
        trust_env=False,
    )


def test_token_answers_have_intuit_s_shape_and_headers(books: Books) -> None:
    theirs = recorded("oauth-jsclient/authResponse.json")
    openid = books.door.post("/_simulator/tokens", {"scopes": ["com.intuit.quickbooks.accounting", "openid"]})
    ours = refreshed(books, openid)
    assert set(ours.json()) == set(theirs["json"])
    names = ("content-type", "cache-control", "pragma", "server")
    assert {name: ours.headers[name] for name in names} == {
        name: theirs["response"]["headers"][name] for name in names
    }
    assert differences(recorded("oauth-jsclient/refreshResponse.json"), ours.json()) == set()
    older = recorded("dotnet-sdk/success_refreshtoken_response.json")
    assert differences(older, ours.json()) == set()


def test_the_hard_expiry_comes_when_asked_for(books: Books) -> None:
    theirs = recorded("oauth-jsclient/hard_expires_token_response.json")
    ours = refreshed(books, books.grant, **{"x-include-refresh-token-hard-expires-in": "true"}).json()
    assert set(ours) == set(theirs)
    assert (ours["expires_in"], ours["x_refresh_token_expires_in"]) == (
        theirs["expires_in"],
        theirs["x_refresh_token_expires_in"],
    )


def test_token_refusals_have_intuit_s_shape(books: Books) -> None:
    theirs = recorded("oauth-jsclient/errorResponse.json")
    ours = refreshed(books, {**books.grant, "refresh_token": "RT1-nobody"})
    assert ours.status_code == theirs["response"]["status"]
    assert set(ours.json()) == set(theirs["json"])
    assert ours.json()["error"] == theirs["json"]["error"]


def test_a_revocation_answers_as_intuit_s_mock_where_a_switch_says_so(books: Books) -> None:
    books.door.switch(revokeAnswer="statuscode")
    grant = books.grant
    response = httpx2.post(
        f"{books.door.base_url}/v2/oauth2/tokens/revoke",
        json={"token": grant["refresh_token"]},
        auth=(grant["client_id"], grant["client_secret"]),
        trust_env=False,
    )
    assert response.json() == recorded("dotnet-sdk/success_revoketoken_response.json")


def test_discovery_has_intuit_s_fields(books: Books) -> None:
    ours = books.door.get("/.well-known/openid_configuration")
    theirs = recorded("dotnet-sdk/discovery.json")
    assert list(kinds(ours)) == list(kinds(theirs))
    for name, value in theirs.items():
        if isinstance(value, list):
            assert ours[name] == value


def test_userinfo_has_intuit_s_fields(books: Books) -> None:
    scopes = ["openid", "profile", "email", "phone", "address"]
    grant = books.door.post("/_simulator/tokens", {"scopes": scopes})
    headers = {"authorization": f"Bearer {grant['access_token']}"}
    url = f"{books.door.base_url}/v1/openid_connect/userinfo"
    person = httpx2.get(url, headers=headers, trust_env=False).json()
    theirs = recorded("dotnet-sdk/success_userinfo_response.json")
    assert differences(theirs, person) == set()
    assert set(person) == set(theirs)


def test_the_comparison_itself_can_fail() -> None:
    theirs = {"A": [{"B": 1, "C": "x"}, {"B": 2.5}], "D": True}
    assert differences(theirs, theirs) == set()
    assert differences(theirs, {"A": [{"B": "1", "C": "x", "New": 1}], "D": 1}) == {"A[].B", "D"}
    assert differences(theirs, {"A": [{"C": "x"}]}) == {"A[].B", "D"}
