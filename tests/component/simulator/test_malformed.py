"""Whatever is sent, the answer is a fault: never a 500, never silence."""

from typing import Any
from urllib.parse import quote

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qbsync.simulator import jsoncodec
from qbsync.simulator.entities.schema import STRUCTURES

from .conftest import Books

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = st.sampled_from(sorted({name for fields in STRUCTURES.values() for name in fields}))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.sampled_from(
        ["1", "2026-01-01", "SalesItemLineDetail", "DescriptionOnly", "1e400", "AUTO_GENERATE", "NeedToSend"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), inner, max_size=4)
    ),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {
        "CustomerRef": st.one_of(st.just({"value": "1"}), JSON),
        "Line": st.one_of(
            JSON,
            st.lists(
                st.fixed_dictionaries(
                    {
                        "Amount": st.one_of(st.just(10), JSON),
                        "DetailType": st.one_of(st.just("SalesItemLineDetail"), JSON),
                        "SalesItemLineDetail": st.one_of(st.just({"ItemRef": {"value": "1"}}), JSON),
                    }
                ),
                max_size=2,
            ),
        ),
    },
    optional=dict.fromkeys(
        ("DocNumber", "TxnDate", "DueDate", "Deposit", "BillEmail", "CustomField", "Id"), JSON
    ),
)


def is_answer(response: httpx2.Response) -> bool:
    """A success, or a fault with a code."""
    if response.status_code == 200:
        return True
    return response.status_code == 400 and bool(response.json()["Fault"]["Error"][0]["code"])


@SETTINGS
@given(body=st.one_of(JSON, NEARLY), entity=st.sampled_from(["invoice", "customer", "item"]))
def test_any_json(books: Books, body: Any, entity: str) -> None:
    assert is_answer(books.client.post(entity, json=body))


@SETTINGS
@given(body=st.binary(max_size=200))
def test_any_bytes(books: Books, body: bytes) -> None:
    assert is_answer(books.client.post("invoice", content=body, headers={"content-type": "application/json"}))
    assert is_answer(books.client.post("query", content=body))


@SETTINGS
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    steps=st.lists(
        st.one_of(
            st.sampled_from(
                ["invoice", "customer", "query", "1", "101", "send", "pdf", "batch", "cdc", "", "%2e"]
            ),
            st.text(st.characters(codec="utf-8"), max_size=8),
        ),
        max_size=4,
    ),
    params=st.dictionaries(
        st.sampled_from(["query", "requestid", "operation", "include"]), st.text(max_size=60), max_size=3
    ),
)
def test_any_path(books: Books, method: str, steps: list[str], params: dict[str, str]) -> None:
    path = "/".join(quote(step, safe="") for step in steps)
    response = books.client.request(method, f"{books.client.base_url}{path}", params=params)
    # The client itself resolves dots in paths, and then asks for something else.
    assert is_answer(response) or not response.url.path.startswith(f"/v3/company/{books.realm_id}/")


@SETTINGS
@given(
    body=JSON,
    path=st.sampled_from(["clock", "faults", "tokens", "realms", "invoices/101/pay", "invoices/101/edit"]),
)
def test_any_json_at_the_door(books: Books, body: Any, path: str) -> None:
    response = books.client.post(
        f"{books.door.base_url}/_simulator/{path}",
        content=jsoncodec.dump([body])[1:-1],
        headers={"content-type": "application/json"},
    )
    assert response.status_code in {200, 400, 404, 409}
    books.door.clear_faults()
