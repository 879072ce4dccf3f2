"""The CustomResourceDefinitions, made from the models: schema, CEL rules, columns, selectable fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import yaml

from qbsync.api.base import IN_SCHEMA, RULES, ApiModel, Rule
from qbsync.api.connection import QuickBooksConnectionSpec, QuickBooksConnectionStatus
from qbsync.api.invoice import InvoiceSyncSpec, InvoiceSyncStatus
from qbsync.api.meta import CATEGORY, GROUP, PLURALS, VERSION, Kind

JsonObject = dict[str, Any]

HEADER: Final = (
    "# Generated from operator/qbsync/api by `python -m qbsync.api.generate`:\n"
    "# change the models, not this file.\n"
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of `kubectl get`; `wide` ones only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False

    def as_schema(self) -> JsonObject:
        """The entry of `additionalPrinterColumns`."""
        described = {"description": self.description} if self.description else {}
        priority = {"priority": 1} if self.wide else {}
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **described, **priority}


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


@dataclass(frozen=True, slots=True)
class _Definition:
    """What a kind has beside its models."""

    singular: str
    short_names: tuple[str, ...]
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[_Column, ...]
    selectable: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


_AGE: Final = _Column("Age", ".metadata.creationTimestamp", "date")
_MESSAGE: Final = _Column("Message", _ready("message"), wide=True)

_CONNECTION: Final = _Definition(
    singular="quickbooksconnection",
    short_names=("qbconnections", "qbconnection", "qbc"),
    description="One QuickBooks Online company: its OAuth grant, kept alive, and what may be done with it.",
    spec=QuickBooksConnectionSpec,
    status=QuickBooksConnectionStatus,
    # expiries are strings: kubectl prints a future date as <invalid>
    columns=(
        _Column("Ready", _ready("status")),
        _Column("Reason", _ready("reason")),
        _Column("Realm", ".spec.realmId", description="QuickBooks' id of the company"),
        _Column("Company", ".status.company.name"),
        _Column("Access-Expires", ".status.accessTokenExpiresAt", description="End of the access token"),
        _Column(
            "Refresh-Expires",
            ".status.refreshTokenExpiresAt",
            description="End of the refresh token if unused",
        ),
        _Column("Next-Refresh", ".status.nextRefreshTime"),
        _Column("Circuit", ".status.circuit.state"),
        _AGE,
        _Column("Invoices", ".status.invoices.total", "integer", wide=True),
        _Column("Queue", ".status.invoices.waiting", "integer", wide=True),
        _Column("Key", ".status.encryption.keyId", description="Key that encrypted the tokens", wide=True),
        _MESSAGE,
    ),
    rules=(
        Rule(
            "self.metadata.name.size() <= 63",
            "write a name of at most 63 characters: it becomes a label of the connection's Secret",
        ),
    ),
)

_INVOICE: Final = _Definition(
    singular="invoicesync",
    short_names=("isync",),
    description="One invoice, wanted in QuickBooks Online exactly once.",
    spec=InvoiceSyncSpec,
    status=InvoiceSyncStatus,
    columns=(
        _Column("Ready", _ready("status")),
        _Column("Reason", _ready("reason")),
        _Column("Doc-Number", ".status.docNumber"),
        _Column("QuickBooks-ID", ".status.quickbooksId"),
        _Column("Total", ".status.totalAmount"),
        _Column("Balance", ".status.balance"),
        _Column("Paid", ".status.paymentStatus"),
        _Column("Connection", ".spec.connectionRef.name"),
        _AGE,
        _Column("Source", ".spec.source.number", description="Its number where it comes from", wide=True),
        _Column("Outcome", ".status.outcome", description="What the last sync did", wide=True),
        _MESSAGE,
    ),
    selectable=(
        ".spec.connectionRef.name",
        ".spec.connectionRef.namespace",
        ".status.quickbooksId",
        ".spec.invoice.docNumber",
    ),
)

_DEFINITIONS: Final[Mapping[Kind, _Definition]] = MappingProxyType(
    {Kind.CONNECTION: _CONNECTION, Kind.INVOICE: _INVOICE}
)


class _Dumper(yaml.SafeDumper):
    """Writes everything out: an anchor would tie together what only happens to be equal."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def crds() -> dict[Kind, JsonObject]:
    """The CRD document of each kind.

    Raises `ValueError` if a field has no description, or none that fits into 1,000 characters.
    """
    return {kind: _crd(kind, definition) for kind, definition in _DEFINITIONS.items()}


def render(kinds: Iterable[Kind] = tuple(Kind)) -> str:
    """The CRDs of these kinds as YAML documents, with a header; plain enough to stand in a Helm template."""
    documents = crds()
    text = "".join(
        "---\n" + yaml.dump(documents[kind], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
        for kind in kinds
    )
    if "{{" in text:
        raise ValueError("a CRD contains {{, which Helm would take for a template")
    return HEADER + text


def _crd(kind: Kind, definition: _Definition) -> JsonObject:
    plural = PLURALS[kind]
    selectable = [{"jsonPath": path} for path in definition.selectable]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.as_schema() for column in definition.columns],
        **({"selectableFields": selectable} if selectable else {}),
        "schema": {"openAPIV3Schema": _object_schema(kind, definition)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.value,
                "listKind": f"{kind.value}List",
                "plural": plural,
                "singular": definition.singular,
                "shortNames": list(definition.short_names),
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def _object_schema(kind: Kind, definition: _Definition) -> JsonObject:
    spec = model_schema(definition.spec)
    status = model_schema(definition.status)
    # kstatus takes an object without any status for a finished one
    status["default"] = {"observedGeneration": -1}
    return {
        "description": definition.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.value},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        **({RULES: [rule.as_schema() for rule in definition.rules]} if definition.rules else {}),
    }


def model_schema(model: type[ApiModel]) -> JsonObject:
    """The structural schema of a model: pydantic's JSON schema in the words that Kubernetes allows."""
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _Structural(document.pop("$defs", {})).convert(document, path=model.__name__)


class _Structural:
    """Turns pydantic's JSON schema into a structural one: nothing shared, no null, no default of ours."""

    _ORDER: Final = ("description", "type", "format", "enum", "default", "required", "properties", "items")
    _DROPPED: Final = ("title", "additionalProperties", "anyOf", "$ref", IN_SCHEMA)

    def __init__(self, definitions: Mapping[str, JsonObject]) -> None:
        self._definitions = definitions

    def convert(self, source: Mapping[str, Any], *, path: str) -> JsonObject:
        flat = self._flatten(source)
        described = "description" in flat or path.endswith(("[]", "{}"))
        if not described or len(flat.get("description", "")) > 1000:
            raise ValueError(f"{path} needs a description of at most 1,000 characters")
        result = {key: value for key, value in flat.items() if key not in self._DROPPED}
        if not flat.get(IN_SCHEMA):
            result.pop("default", None)
        if "description" in result:
            result["description"] = " ".join(result["description"].split())
        self._convert_children(flat, result, path=path)
        return {key: result[key] for key in sorted(result, key=self._position)}

    def _flatten(self, source: Mapping[str, Any]) -> JsonObject:
        """`source` with what it refers to, and its only alternative to null, merged into it."""
        merged: JsonObject = {}
        for inner in self._inner(source):
            merged = _merge(merged, self._flatten(inner))
        return _merge(merged, {key: value for key, value in source.items() if key not in {"$ref", "anyOf"}})

    def _inner(self, source: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if "$ref" in source:
            return [self._definitions[source["$ref"].removeprefix("#/$defs/")]]
        alternatives = [option for option in source.get("anyOf", []) if option != {"type": "null"}]
        if len(alternatives) > 1:
            raise ValueError(f"a structural schema has no alternatives: {alternatives}")
        return alternatives

    def _convert_children(self, flat: JsonObject, result: JsonObject, *, path: str) -> None:
        kind = flat.get("type")
        if "properties" in flat:
            result["properties"] = {
                name: self.convert(child, path=f"{path}.{name}") for name, child in flat["properties"].items()
            }
        elif kind == "object" and flat.get("additionalProperties") is True:
            result["x-kubernetes-preserve-unknown-fields"] = True
        elif kind == "object" and "additionalProperties" in flat:
            result["additionalProperties"] = self.convert(flat["additionalProperties"], path=f"{path}{{}}")
        elif kind == "array":
            result["items"] = self.convert(flat["items"], path=f"{path}[]")
            result.setdefault("x-kubernetes-list-type", "atomic")
        elif kind == "integer":
            result["format"] = "int64"

    def _position(self, key: str) -> tuple[int, str]:
        return (self._ORDER.index(key) if key in self._ORDER else len(self._ORDER), key)


def _merge(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> JsonObject:
    rules = [*inner.get(RULES, []), *outer.get(RULES, [])]
    return {**inner, **outer, **({RULES: rules} if rules else {})}
