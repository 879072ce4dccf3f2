"""A request of the accounting API, understood: which operation on what, in which company."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from qbsync.simulator.entities.kinds import BY_PATH, Kind
from qbsync.simulator.faults import Refusal, unsupported_operation
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.ledger import parse_body

PREFIX = "/v3/company/"
_OPERATIONS = {"delete": "delete", "void": "void", "update": "update"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `problem` is what QuickBooks will say to a request that makes no sense, once it is let in."""

    operation: str
    realm_id: str
    method: str
    path: str
    params: Mapping[str, str]
    kind: Kind | None = None
    identifier: str = ""
    statement: str = ""
    body: JsonObject = field(default_factory=dict, repr=False)
    problem: Refusal | None = None

    @property
    def entity(self) -> str | None:
        """QuickBooks' name of the entity, if the call is about one."""
        return self.kind.name if self.kind is not None else None

    @property
    def requestid(self) -> str:
        """The requestid of a write; empty where there is none or it means nothing."""
        return self.params.get("requestid", "") if self.is_write else ""

    @property
    def is_write(self) -> bool:
        """Whether the call changes the books."""
        return self.operation not in {"query", "read", "cdc", "pdf", "unsupported"}


def understand(method: str, path: str, query_string: bytes, body: bytes) -> Call:
    """Read a request to `/v3/company/…`. Never raises: what makes no sense is a call with a `problem`."""
    params = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    realm_id, _, rest = path.removeprefix(PREFIX).partition("/")
    steps = rest.split("/")
    if steps == ["query"] and method in {"GET", "POST"}:
        statement = params.get("query", "") if method == "GET" else _text(body)
        return Call("query", realm_id, method, path, params, statement=statement or params.get("query", ""))
    if method == "GET":
        return _get(steps, realm_id, path, params)
    if method == "POST":
        return _post(steps, realm_id, path, params, body)
    return _senseless(method, realm_id, path, params)


def _get(steps: list[str], realm_id: str, path: str, params: Mapping[str, str]) -> Call:
    kind = BY_PATH.get(steps[0])
    if steps == ["cdc"]:
        return _not_yet("cdc", realm_id, path, params)
    if kind is not None and len(steps) == 3 and steps[2] == "pdf":
        return _not_yet("pdf", realm_id, path, params, kind)
    if kind is not None and kind.single and len(steps) <= 2:
        return Call("read", realm_id, "GET", path, params, kind=kind, identifier="1")
    if kind is not None and len(steps) == 2:
        return Call("read", realm_id, "GET", path, params, kind=kind, identifier=steps[1])
    return _senseless("GET", realm_id, path, params)


def _post(steps: list[str], realm_id: str, path: str, params: Mapping[str, str], body: bytes) -> Call:
    kind = BY_PATH.get(steps[0])
    if steps == ["batch"]:
        return _not_yet("batch", realm_id, path, params)
    if kind is not None and len(steps) == 3 and steps[2] == "send":
        return _not_yet("send", realm_id, path, params, kind)
    if kind is None or len(steps) != 1:
        return _senseless("POST", realm_id, path, params)
    try:
        document = parse_body(body)
    except Refusal as problem:
        return Call("create", realm_id, "POST", path, params, kind=kind, problem=problem)
    asked = _OPERATIONS.get(params.get("operation", ""))
    operation = asked or ("update" if document.get("Id") else "create")
    if operation != "create":
        return _not_yet(operation, realm_id, path, params, kind)
    return Call("create", realm_id, "POST", path, params, kind=kind, body=document)


def _not_yet(
    operation: str, realm_id: str, path: str, params: Mapping[str, str], kind: Kind | None = None
) -> Call:
    """An operation this simulator does not play yet: refused as QuickBooks refuses what it does not have."""
    method = "GET" if operation in {"cdc", "pdf"} else "POST"
    problem = unsupported_operation(f"{operation} of {path}")
    return Call(operation, realm_id, method, path, params, kind=kind, problem=problem)


def _senseless(method: str, realm_id: str, path: str, params: Mapping[str, str]) -> Call:
    full = f"https://c50.qbo.intuit.com/qbo50{path}"
    problem = unsupported_operation(f"Could not find resource for relative : {path} of full path: {full}")
    return Call("unsupported", realm_id, method, path, params, problem=problem)


def _text(body: bytes) -> str:
    return body.decode("utf-8", errors="replace")
