"""Requests that no client should send: strategies by family, and what counts as an answer to one."""

import codecs
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from hypothesis import strategies as st

from qbsync.simulator.entities.kinds import KINDS
from qbsync.simulator.entities.schema import STRUCTURES

from .rawhttp import Request

JSON_TYPE = (b"content-type", b"application/json")
KEYS = st.sampled_from(sorted({name for fields in STRUCTURES.values() for name in fields}))
WORDS = st.sampled_from(
    [
        "",
        " ",
        "1",
        "0",
        "-1",
        "1.5",
        "101",
        "NON",
        "TAX",
        "2026-01-01",
        "2026-02-30",
        "9999-12-31",
        "0001-01-01",
        "1e400",
        "SalesItemLineDetail",
        "DiscountLineDetail",
        "GroupLineDetail",
        "AUTO_GENERATE",
        "NeedToSend",
        "TaxInclusive",
        "true",
        "USD",
        "EUR",
        "Invoice",
        "x" * 5000,
        "\x00",
        "\ud800",
        "a@b",
        "'",
        "\\",
        "%",
        "é",
        "💸",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 10**15, 10**30, 10**400, 1e308, -0.0, 1e-300]),
    st.floats(),
    st.text(max_size=20),
    WORDS,
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=5)), inner, max_size=4)
    ),
    max_leaves=8,
)
_LINE = {
    "Amount": 10,
    "DetailType": "SalesItemLineDetail",
    "SalesItemLineDetail": {"ItemRef": {"value": "1"}, "Qty": 1},
}
_SALE = {"CustomerRef": {"value": "1"}, "Line": [_LINE], "DocNumber": "x1", "TxnDate": "2026-11-01"}
BODIES: Mapping[str, dict[str, Any]] = {
    "Invoice": {
        **_SALE,
        "BillEmail": {"Address": "a@b.example"},
        "PrivateNote": "x",
        "DueDate": "2026-12-01",
    },
    "CreditMemo": _SALE,
    "SalesReceipt": {**_SALE, "PaymentMethodRef": {"value": "1"}},
    "Payment": {
        "CustomerRef": {"value": "1"},
        "TotalAmt": 5,
        "Line": [{"Amount": 5, "LinkedTxn": [{"TxnId": "101", "TxnType": "Invoice"}]}],
    },
    "Customer": {
        "DisplayName": "New",
        "ParentRef": {"value": "1"},
        "Job": True,
        "CurrencyRef": {"value": "USD"},
    },
    "Item": {"Name": "New", "Type": "Service", "IncomeAccountRef": {"value": "1"}, "UnitPrice": 3},
    "Vendor": {"DisplayName": "New vendor", "TermRef": {"value": "1"}, "Vendor1099": False},
    "Employee": {"GivenName": "New", "FamilyName": "Person", "SSN": "111-22-3333"},
    "Account": {"Name": "New", "AccountType": "Expense", "SubAccount": True, "ParentRef": {"value": "7"}},
    "Class": {"Name": "New", "SubClass": True, "ParentRef": {"value": "5000000000000007280"}},
    "Department": {"Name": "New", "SubDepartment": True, "ParentRef": {"value": "1"}},
    "Term": {"Name": "New", "DueDays": 5, "DiscountPercent": 2},
    "PaymentMethod": {"Name": "New", "Type": "CREDIT_CARD"},
    "CompanyCurrency": {"Code": "EUR", "Name": "Euro"},
    "TaxCode": {"Name": "New"},
    "CompanyInfo": {"CompanyName": "New"},
    "Preferences": {"SalesFormsPrefs": {"CustomTxnNumbers": True}},
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return found + [each for key, inner in entries for each in _places(inner, (*path, key))]


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(copy[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw: st.DrawFn, entity: str) -> Any:
    """An entity's body with something wrong in up to three places; now and then something else altogether."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ANY)
    body: Any = BODIES[entity]
    if draw(st.booleans()):
        existing = draw(st.sampled_from(["1", "2", "101", "103", "999", "x", 1, None, {}, "1.5"]))
        token = draw(st.sampled_from(["0", "1", 0, "x", None, [], "99999999999999999999"]))
        body = {
            **body,
            "Id": existing,
            "SyncToken": token,
            "sparse": draw(st.sampled_from([True, False, "x", None])),
        }
    for _ in range(draw(st.integers(0, 3))):
        body = _with(body, draw(st.sampled_from(_places(body))), draw(ANY))
        if not _places(body):
            return body
    if draw(st.integers(0, 4)) == 0 and isinstance(body, dict):
        body = {**body, draw(st.one_of(KEYS, st.text(max_size=6))): draw(ANY)}
    return body


def text_of(value: Any) -> bytes:
    """JSON as Python writes it: NaN, Infinity and lone surrogates included."""
    return json.dumps(value).encode()


def _deep(count: int, opening: bytes, closing: bytes) -> Callable[[bytes], bytes]:
    return lambda text: opening * count + text + closing * count


MUTATIONS: st.SearchStrategy[Callable[[bytes], bytes]] = st.one_of(
    st.just(lambda text: text),
    st.floats(0, 1).map(lambda share: lambda text: text[: int(len(text) * share)]),
    st.binary(max_size=5).map(lambda junk: lambda text: text + junk),
    st.tuples(st.floats(0, 1), st.binary(max_size=3)).map(
        lambda spot: (
            lambda text: text[: int(len(text) * spot[0])] + spot[1] + text[int(len(text) * spot[0]) :]
        )
    ),
    st.sampled_from(
        [
            lambda text: codecs.BOM_UTF8 + text,
            lambda text: text.decode().encode("utf-16"),
            lambda text: text.decode().encode("utf-32-be"),
            gzip.compress,
            lambda text: text.replace(b"{", b'{"Id": "1", "Id": "2", ', 1),
            lambda text: text.replace(b"1", b"NaN"),
            lambda text: text.replace(b"1", b"1e999999"),
            lambda text: text.replace(b"1", b"1" * 5000),
            lambda text: text.replace(b"1", b"0.1" + b"0" * 400 + b"1"),
            lambda text: text.replace(b'"', b"'"),
            lambda text: text.replace(b'"1"', b'"\\ud800"'),
            lambda text: text.replace(b'"1"', b'"\\u0000"'),
            lambda text: text.replace(b'"1"', b'"\xff\xfe"'),
            lambda text: text.replace(b"}", b",}"),
            lambda _: b"",
            _deep(2000, b"[", b"]"),
            _deep(100_000, b"[", b""),
            _deep(400, b'{"Line":', b"}"),
            _deep(50_000, b'{"Line":[', b"]}"),
            lambda text: text.replace(b"[", b"[" + b'{"LinkedTxn":[' * 300, 1),
        ]
    ),
)


@st.composite
def bytes_of(draw: st.DrawFn, value: Any) -> bytes:
    """A document as text, broken two times out of three."""
    text = text_of(value)
    return draw(MUTATIONS)(text) if draw(st.integers(0, 2)) else text


PARAMETERS: st.SearchStrategy[dict[str, str]] = st.dictionaries(
    st.sampled_from(
        ["requestid", "operation", "include", "minorversion", "query", "entities", "changedSince", "sendTo"]
    ),
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=60),
        st.sampled_from(
            ["void", "delete", "update", "create", "allowduplicatedocnum", "75", "0", "x" * 60, "a,b"]
        ),
    ),
    max_size=3,
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(
                [b"content-type", b"accept", b"accept-encoding", b"request-id", b"x-forwarded-for", b"cookie"]
            ),
            st.one_of(
                st.sampled_from(
                    [
                        b"application/json",
                        b"application/json; charset=utf-16",
                        b"application/xml",
                        b"text/plain",
                        b"*/*",
                        b"application/pdf",
                        b"application/octet-stream",
                        b"application/x-www-form-urlencoded",
                        b";",
                        b",",
                        b"application/json;q=x, text/*;q=-1",
                        b"multipart/form-data",
                        b"gzip",
                        b"\xff\xfe",
                    ]
                ),
                st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\r\n\x00")),
            ),
        ),
        st.just((b"content-encoding", b"gzip")),
        st.just((b"expect", b"100-continue")),
    ),
    max_size=3,
).map(tuple)


def target(path: str, params: Mapping[str, str]) -> bytes:
    return (f"{path}?{urlencode(params, errors='replace')}" if params else path).encode("ascii")


Family = Callable[[str], st.SearchStrategy[Request]]
"""Requests about the company at a path (`/v3/company/…`)."""


def writes(company: str) -> st.SearchStrategy[Request]:
    @st.composite
    def request(draw: st.DrawFn) -> Request:
        entity = draw(st.sampled_from(sorted(BODIES)))
        body = draw(bytes_of(draw(bodies(entity))))
        where = target(f"{company}/{KINDS[entity].path}", draw(PARAMETERS))
        return Request(b"POST", where, (JSON_TYPE, *draw(HEADERS)), body)

    return request()


STEPS = st.one_of(
    st.sampled_from(
        [b"invoice", b"customer", b"Invoice", b"query", b"1", b"101", b"send", b"pdf", b"batch", b"cdc"]
    ),
    st.sampled_from(
        [b"", b".", b"..", b"%2e%2e", b"%00", b"%", b"%zz", b"%ff", b"taxcode", b"TAX", b"companyinfo"]
    ),
    st.binary(max_size=8).map(lambda raw: quote_from_bytes(raw, safe="").encode()),
    st.integers().map(lambda number: b"%d" % number),
)


def paths(company: str) -> st.SearchStrategy[Request]:
    @st.composite
    def request(draw: st.DrawFn) -> Request:
        method = draw(
            st.sampled_from(
                [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"HEAD", b"TRACE", b"X"]
            )
        )
        root = draw(
            st.sampled_from([company, company, company, "/v3/company", "/v3", "", "/page", "/_simulator"])
        )
        where = root.encode() + b"".join(b"/" + step for step in draw(st.lists(STEPS, max_size=4)))
        raw = draw(
            st.one_of(
                st.just(b""), st.binary(max_size=20).map(lambda raw: b"?" + quote_from_bytes(raw).encode())
            )
        )
        return Request(method, (where or b"/") + raw, draw(HEADERS), draw(st.binary(max_size=30)))

    return request()


FRAGMENTS = st.sampled_from(
    [
        "SELECT",
        "select *",
        "*",
        "count(*)",
        "FROM",
        "Invoice",
        "customer",
        "Custmoer",
        "TaxCode",
        "WHERE",
        "AND",
        "OR",
        "IN",
        "(",
        ")",
        ",",
        "LIKE",
        "ORDERBY",
        "ORDER BY",
        "DESC",
        "STARTPOSITION",
        "MAXRESULTS",
        "DocNumber",
        "Id",
        "Balance",
        "Active",
        "MetaData.CreateTime",
        "Line.*",
        "TxnDate",
        "=",
        "<",
        ">=",
        "'x'",
        "' '",
        "'TAX'",
        "'",
        "\\",
        "'%'",
        "1",
        "-1",
        "0",
        "1.5",
        "9" * 30,
        "true",
        ";",
        "\n",
        "é",
        "\x00",
        "--",
        "'" + "%a" * 2000 + "'",
        "2026-01-01",
    ]
)
TAILS = st.lists(FRAGMENTS, max_size=14).map(" ".join)
STATEMENTS = st.one_of(
    TAILS,
    TAILS.map(lambda tail: f"SELECT * FROM Invoice WHERE {tail}"),
    TAILS.map(lambda tail: f"SELECT * FROM Customer {tail}"),
    st.builds(
        "SELECT * FROM {} WHERE {} {} {}".format,
        st.sampled_from(sorted(KINDS)),
        st.one_of(
            KEYS, st.sampled_from(["Id", "Active", "MetaData.LastUpdatedTime", "CustomerRef", "TotalAmt"])
        ),
        st.sampled_from(["=", "<", "LIKE", "IN"]),
        st.sampled_from(
            ["'1'", "1", "('1', 'x')", "'2026-01-01'", "true", "' '", "'" + "x" * 20000 + "'", "()"]
        ),
    ),
    st.text(max_size=60),
)


def statements(company: str) -> st.SearchStrategy[Request]:
    @st.composite
    def request(draw: st.DrawFn) -> Request:
        statement = draw(STATEMENTS).encode("utf-8", errors="surrogatepass")
        if draw(st.booleans()):
            return Request(
                b"GET", f"{company}/query?query={quote_from_bytes(statement)}".encode(), draw(HEADERS)
            )
        kind = draw(
            st.sampled_from([b"application/text", b"text/plain", b"application/json", b"application/xml"])
        )
        return Request(
            b"POST", f"{company}/query".encode(), ((b"content-type", kind), *draw(HEADERS)), statement
        )

    return request()


@st.composite
def _items(draw: st.DrawFn) -> Any:
    item: dict[str, Any] = {"bId": draw(st.one_of(st.sampled_from(["a", "b", "x" * 40]), ANY))}
    if draw(st.integers(0, 3)) == 0:
        return {**item, "Query": draw(st.one_of(STATEMENTS, ANY))}
    entity = draw(st.sampled_from(sorted(BODIES)))
    item["operation"] = draw(st.one_of(st.sampled_from(["create", "update", "delete", "void", "read"]), ANY))
    if draw(st.booleans()):
        item["optionsData"] = draw(st.one_of(st.sampled_from(["void", "allowduplicatedocnum"]), ANY))
    return {**item, entity: draw(bodies(entity))}


def batches(company: str) -> st.SearchStrategy[Request]:
    @st.composite
    def request(draw: st.DrawFn) -> Request:
        items = draw(st.one_of(st.lists(st.one_of(_items(), ANY), max_size=4), ANY))
        if draw(st.integers(0, 9)) == 0 and isinstance(items, list):
            items = items * 40
        body = draw(st.one_of(st.just({"BatchItemRequest": items}), st.just(items)))
        where = target(f"{company}/batch", draw(PARAMETERS))
        return Request(b"POST", where, (JSON_TYPE, *draw(HEADERS)), draw(bytes_of(body)))

    return request()


def changes(company: str) -> st.SearchStrategy[Request]:
    entities = st.one_of(
        st.lists(st.sampled_from(["Invoice", "customer", "Bill", "TaxCode", "", "x", "Payment"])).map(
            ",".join
        ),
        st.text(st.characters(codec="utf-8"), max_size=20),
    )
    since = st.one_of(
        st.sampled_from(
            ["2026-11-01", "2026-11-23T00:00:00+02:00", "2026-11-23T00:00:00 02:00", "1970-01-01", ""]
        )
        | st.sampled_from(
            ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-11-23T00:00:00.123Z", "now"]
        ),
        st.datetimes().map(str),
        st.text(st.characters(codec="utf-8"), max_size=20),
    )
    return st.builds(
        lambda listed, moment, more, headers: Request(
            b"GET", target(f"{company}/cdc", {**more, "entities": listed, "changedSince": moment}), headers
        ),
        entities,
        since,
        PARAMETERS,
        HEADERS,
    )


def forms(_: str) -> st.SearchStrategy[Request]:
    """OAuth: token, revocation, consent, userinfo."""

    @st.composite
    def request(draw: st.DrawFn) -> Request:
        path = draw(
            st.sampled_from(
                [
                    "/oauth2/v1/tokens/bearer",
                    "/v2/oauth2/tokens/revoke",
                    "/connect/oauth2",
                    "/v1/openid_connect/userinfo",
                ]
            )
        )
        fields = draw(
            st.dictionaries(
                st.sampled_from(
                    [
                        "grant_type",
                        "refresh_token",
                        "code",
                        "redirect_uri",
                        "client_id",
                        "client_secret",
                        "token",
                        "scope",
                        "state",
                        "response_type",
                        "realmId",
                        "decision",
                    ]
                ),
                st.one_of(
                    st.sampled_from(
                        [
                            "refresh_token",
                            "authorization_code",
                            "code",
                            "RT1-x",
                            "openid",
                            "http://[::1",
                            "x:y",
                        ]
                    ),
                    st.text(st.characters(codec="utf-8"), max_size=30),
                ),
            )
        )
        text = draw(
            st.one_of(st.just(urlencode(fields).encode()), st.just(text_of(fields)), st.binary(max_size=40))
        )
        method = draw(st.sampled_from([b"POST", b"POST", b"GET", b"PUT", b"HEAD"]))
        kind = draw(
            st.sampled_from(
                [
                    b"application/x-www-form-urlencoded",
                    b"application/json",
                    b"multipart/form-data; boundary=x",
                    b"",
                ]
            )
        )
        basic = draw(
            st.sampled_from(
                [b"Basic eDp5", b"Basic !!!", b"Basic " + b"QUFB" * 500, b"Bearer x", b"\xff", b""]
            )
        )
        where = f"{path}?{urlencode(fields)}" if draw(st.booleans()) else path
        headers = ((b"content-type", kind), (b"authorization", basic), *draw(HEADERS))
        return Request(
            method, where.encode(), headers, draw(MUTATIONS)(text) if draw(st.booleans()) else text
        )

    return request()


def door(_: str) -> st.SearchStrategy[Request]:
    """The control door; `reset` is left out, as it would end the run's own world."""

    @st.composite
    def request(draw: st.DrawFn) -> Request:
        path = draw(
            st.sampled_from(
                [
                    "clock",
                    "faults",
                    "tokens",
                    "realms",
                    "switches",
                    "apps",
                    "webhooks",
                    "grants",
                    "grants/1/copy",
                    "invoices/101/pay",
                    "invoices/101/edit",
                    "invoices/103/void",
                    "invoices/x/delete",
                    "realms/1/invoices",
                    "requests",
                    "counters",
                    "state",
                    "nothing",
                ]
            )
        )
        body = draw(
            st.one_of(
                ANY,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "advanceSeconds": st.one_of(st.sampled_from([-1, 1e300, "x", None]), st.booleans()),
                        "match": ANY,
                        "effect": ANY,
                        "times": ANY,
                        "amount": ANY,
                        "realmId": ANY,
                        "preferences": ANY,
                        "scopes": ANY,
                        "clientId": ANY,
                        "company": ANY,
                        "environment": ANY,
                        "PrivateNote": ANY,
                        "Line": ANY,
                        "url": ANY,
                        "maxInValues": ANY,
                    },
                ),
            )
        )
        method = draw(st.sampled_from([b"POST", b"POST", b"PUT", b"GET", b"DELETE", b"PATCH"]))
        where = target(f"/_simulator/{path}", draw(PARAMETERS))
        return Request(method, where, (JSON_TYPE,), draw(bytes_of(body)))

    return request()


FAMILIES: Mapping[str, Family] = {
    "writes": writes,
    "paths": paths,
    "statements": statements,
    "batches": batches,
    "changes": changes,
    "forms": forms,
    "door": door,
}
