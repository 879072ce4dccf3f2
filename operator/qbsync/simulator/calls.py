"""A request of the accounting API, understood: which operation on what, in which company."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from qbsync.simulator.entities.kinds import BY_PATH, Kind
from qbsync.simulator.faults import Refusal, unsupported_operation
from qbsync.simulator.jsoncodec import JsonObject
from qbsync.simulator.ledger import parse_body

PREFIX = "/v3/company/"
_PRINTED = frozenset({"Invoice", "CreditMemo", "SalesReceipt", "Payment"})
_VOIDED_BY_OPERATION = frozenset({"Invoice"})
_VOIDED_BY_INCLUDE = frozenset({"Payment", "SalesReceipt"})
_READS = frozenset({"query", "read", "cdc", "pdf"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call, or one item of a batch.

    `problem` is what QuickBooks will say to a request that makes no sense, once it is let in.
    """

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
    content_type: str = ""

    @property
    def entity(self) -> str | None:
        """QuickBooks' name of the entity, if the call is about one."""
        return self.kind.name if self.kind is not None else None

    @property
    def requestid(self) -> str:
        """The requestid of a write; empty where there is none or it means nothing."""
        return self.params.get("requestid", "") if self.is_write else ""

    @property
    def included(self) -> frozenset[str]:
        """The values of the parameter `include`."""
        return frozenset(self.params.get("include", "").split(","))

    @property
    def is_write(self) -> bool:
        """Whether the call changes the books, or may."""
        return self.operation not in _READS and self.operation != "unsupported"


def understand(method: str, path: str, query_string: bytes, body: bytes, *, content_type: str = "") -> Call:
    """Read a request to `/v3/company/…`. Never raises: what makes no sense is a call with a `problem`."""
    params = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    realm_id, _, rest = path.removeprefix(PREFIX).partition("/")
    asked = _Asked(method, realm_id, path, params, body, content_type.partition(";")[0].strip().lower())
    return asked.understood(rest.split("/"))


def write_operation(kind: Kind, asked: str, included: frozenset[str], body: JsonObject) -> str | None:
    """Which write is meant by `operation=…`, `include=…` and the body; None for one that there is not."""
    if asked == "delete":
        return "delete"
    if asked == "void":
        return "void" if kind.name in _VOIDED_BY_OPERATION else None
    if asked not in {"", "create", "update"}:
        return None
    if "void" in included and kind.name in _VOIDED_BY_INCLUDE:
        return "void"
    return "update" if asked == "update" or body.get("Id") else "create"


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request as it came."""

    method: str
    realm_id: str
    path: str
    params: Mapping[str, str]
    body: bytes
    content_type: str

    def understood(self, steps: list[str]) -> Call:
        kind = BY_PATH.get(steps[0])
        if steps in (["query"], ["batch"], ["cdc"]):
            return self._about_no_entity(steps[0])
        if kind is None or len(steps) > (2 if kind.single else 3):
            return self._nowhere()
        if len(steps) == 3:
            return self._document(kind, steps[1], steps[2])
        return self._entity(kind, "1" if kind.single else "".join(steps[1:]), addressed=len(steps) == 2)

    def _entity(self, kind: Kind, identifier: str, *, addressed: bool) -> Call:
        if self.method == "GET" and (addressed or kind.single):
            return self._call("read", kind=kind, identifier=identifier)
        if self.method == "POST" and not addressed:
            return self._write(kind)
        return self._no_such_method()

    def _about_no_entity(self, resource: str) -> Call:
        if self.method not in {"query": ("GET", "POST"), "batch": ("POST",), "cdc": ("GET",)}[resource]:
            return self._no_such_method()
        if resource == "query":
            sent = self.body.decode("utf-8", errors="replace") if self.method == "POST" else ""
            return self._call("query", statement=sent or self.params.get("query", ""))
        if resource == "cdc":
            return self._call("cdc")
        try:
            return self._call("batch", body=parse_body(self.body))
        except Refusal as problem:
            return self._call("batch", problem=problem)

    def _document(self, kind: Kind, identifier: str, what: str) -> Call:
        if what not in {"pdf", "send"} or kind.name not in _PRINTED:
            return self._nowhere()
        if self.method != ("GET" if what == "pdf" else "POST"):
            return self._no_such_method()
        return self._call(what, kind=kind, identifier=identifier)

    def _write(self, kind: Kind) -> Call:
        body, problem = {}, None
        try:
            body = parse_body(self.body)
        except Refusal as refusal:
            problem = refusal
        asked = self.params.get("operation", "")
        included = frozenset(self.params.get("include", "").split(","))
        operation = write_operation(kind, asked, included, body)
        if operation is None:
            return self._refused(f"{asked} on {kind.name}")
        identifier = body.get("Id")
        return self._call(
            operation,
            kind=kind,
            identifier=identifier if isinstance(identifier, str) else "",
            body=body,
            problem=problem,
        )

    def _nowhere(self) -> Call:
        full = f"https://c50.sandbox.qbo.intuit.com/qbo50{self.path}"
        return self._refused(f"Could not find resource for relative : {self.path} of full path: {full}")

    def _no_such_method(self) -> Call:
        """The words of RESTEasy, whose "Could not find resource" is recorded."""
        return self._refused(f"No resource method found for {self.method}, return 405 with Allow header")

    def _refused(self, what: str) -> Call:
        return self._call("unsupported", problem=unsupported_operation(what))

    def _call(
        self,
        operation: str,
        *,
        kind: Kind | None = None,
        identifier: str = "",
        statement: str = "",
        body: JsonObject | None = None,
        problem: Refusal | None = None,
    ) -> Call:
        return Call(
            operation,
            self.realm_id,
            self.method,
            self.path,
            self.params,
            kind=kind,
            identifier=identifier,
            statement=statement,
            body=body if body is not None else {},
            problem=problem,
            content_type=self.content_type if self.method == "POST" else "",
        )
