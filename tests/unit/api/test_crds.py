"""The CRDs: current, bounded, and with the names that users were told."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml

from qbsync.api.base import ApiModel, NameRef
from qbsync.api.crds import crds, model_schema, render
from qbsync.api.generate import generated, main
from qbsync.api.meta import GROUP, PLURALS, Kind
from unit.api.documents import CASES, rules, schema, walk

ROOT = Path(__file__).parents[3]
VERSION_OF = {kind: document["spec"]["versions"][0] for kind, document in crds().items()}


@pytest.mark.parametrize("name", generated())
def test_the_committed_files_are_current(name: str) -> None:
    committed = (ROOT / name).read_text(encoding="utf-8")
    assert committed == generated()[name], "run `python -m qbsync.api.generate`"


def test_there_is_no_file_that_nothing_generates() -> None:
    assert {f"crds/{path.name}" for path in (ROOT / "crds").iterdir()} <= {*generated()}


def test_generate_writes_below_the_given_folder(tmp_path: Path) -> None:
    main([str(tmp_path)])
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {*generated()}


def test_the_files_are_plain_yaml_that_can_stand_in_a_helm_template() -> None:
    text = render()
    documents = [document for document in yaml.safe_load_all(text) if document]
    assert documents == [*crds().values()]
    assert text.startswith("# Generated from")
    assert "{{" not in text
    assert "&id" not in text


@pytest.mark.parametrize(
    ("kind", "plural", "short_names"),
    [
        (Kind.CONNECTION, "quickbooksconnections", ["qbconnections", "qbconnection", "qbc"]),
        (Kind.INVOICE, "invoicesyncs", ["isync"]),
    ],
)
def test_names(kind: Kind, plural: str, short_names: list[str]) -> None:
    document = crds()[kind]
    assert document["metadata"]["name"] == f"{plural}.{GROUP}"
    names = document["spec"]["names"]
    assert (names["plural"], names["shortNames"], names["categories"]) == (plural, short_names, ["qbsync"])
    assert PLURALS[kind] == plural
    assert document["spec"]["scope"] == "Namespaced"
    assert (VERSION_OF[kind]["name"], VERSION_OF[kind]["subresources"]) == ("v1alpha1", {"status": {}})


@pytest.mark.parametrize(
    ("kind", "narrow", "wide"),
    [
        (
            Kind.CONNECTION,
            "Ready Reason Realm Company Access-Expires Refresh-Expires Next-Refresh Circuit Age",
            "Invoices Queue Key Message",
        ),
        (
            Kind.INVOICE,
            "Ready Reason Doc-Number QuickBooks-ID Total Balance Paid Connection Age",
            "Source Outcome Message",
        ),
    ],
)
def test_columns(kind: Kind, narrow: str, wide: str) -> None:
    columns = VERSION_OF[kind]["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == narrow.split()
    assert [column["name"] for column in columns if column.get("priority")] == wide.split()
    # kubectl prints a date in the future as <invalid>
    assert [column["name"] for column in columns if column["type"] == "date"] == ["Age"]


def test_selectable_fields() -> None:
    assert [field["jsonPath"] for field in VERSION_OF[Kind.INVOICE]["selectableFields"]] == [
        ".spec.connectionRef.name",
        ".spec.connectionRef.namespace",
        ".status.quickbooksId",
        ".spec.invoice.docNumber",
    ]


def test_only_defaults_that_define_meaning_stand_in_the_schema() -> None:
    defaults = {
        path: node["default"] for kind in Kind for path, node in walk(schema(kind), kind) if "default" in node
    }
    assert defaults == {
        "QuickBooksConnection.spec.suspend": False,
        "QuickBooksConnection.spec.deletionPolicy": "Retain",
        "QuickBooksConnection.status": {"observedGeneration": -1},
        "InvoiceSync.spec.send": "Never",
        "InvoiceSync.spec.deletionPolicy": "Retain",
        "InvoiceSync.spec.mode": "Apply",
        "InvoiceSync.spec.suspend": False,
        "InvoiceSync.status": {"observedGeneration": -1},
    }


def nodes() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in Kind:
        yield from walk(schema(kind), kind)


def test_every_field_is_described_briefly() -> None:
    lengths = {
        path: len(node.get("description", ""))
        for path, node in nodes()
        if not path.endswith(("[]", "{}", ".metadata"))
    }
    assert not {path for path, length in lengths.items() if not 0 < length <= 1000}


def test_everything_has_a_bound() -> None:
    """CEL's cost is estimated from the bounds, and the size of an object follows from them."""
    bounds = {"string": {"maxLength", "enum", "format"}, "array": {"maxItems"}, "integer": {"minimum"}}
    for path, node in nodes():
        if path.endswith((".apiVersion", ".kind")):
            continue
        assert node["type"] != "number", path
        if node["type"] in bounds:
            assert bounds[node["type"]] & node.keys(), path
        if node["type"] == "object" and "properties" not in node and not path.endswith(".metadata"):
            assert "maxProperties" in node, path


def test_nothing_but_extra_takes_unknown_fields() -> None:
    open_ = [path for path, node in nodes() if node.get("x-kubernetes-preserve-unknown-fields")]
    assert open_ == ["InvoiceSync.spec.invoice.extra"]


def test_lists_of_conditions_are_maps_by_type() -> None:
    for kind in Kind:
        conditions = schema(kind)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_the_schema_has_only_words_that_kubernetes_allows() -> None:
    text = json.dumps([schema(kind) for kind in Kind])
    assert not [
        word for word in ("$ref", "anyOf", "title", "null", "x-qbsync") if f'"{word}' in text.replace(*NOT)
    ]


NOT = ('"not": {"anyOf"', "")
"""The one place where `anyOf` may stand: the forbidden keys of extra."""


def test_a_field_without_description_is_refused() -> None:
    class Bare(ApiModel):
        """Has a field that nobody explained."""

        name: str

    with pytest.raises(ValueError, match=r"Bare\.name needs a description"):
        model_schema(Bare)


def test_alternatives_are_refused() -> None:
    class Either(ApiModel):
        """Takes one of two types, which no structural schema can say."""

        value: int | str
        """A number, or text."""

    with pytest.raises(ValueError, match="no alternatives"):
        model_schema(Either)


def test_a_shared_model_can_be_described_where_it_is_used() -> None:
    class Both(ApiModel):
        """Refers to two things."""

        one: NameRef
        """The first."""
        other: Annotated[NameRef | None, "ignored"] = None
        """The second."""

    properties = model_schema(Both)["properties"]
    assert properties["one"]["description"] == "The first."
    assert properties["other"] == {**properties["one"], "description": "The second."}


@pytest.mark.parametrize("kind", Kind)
def test_every_cel_rule_has_a_case_that_it_refuses(kind: Kind) -> None:
    """The cases are tried on a real API server in tests/cluster/test_crd_rules.py."""
    tried = {
        (case["at"], case["refused"]) for case in CASES if case["kind"] == kind.value and "refused" in case
    }
    assert {(path, rule["message"]) for path, rule in rules(kind)} <= tried


def test_every_message_says_what_to_do() -> None:
    for kind in Kind:
        for path, rule in rules(kind):
            assert any(word in rule["message"] for word in ("write ", "create another", "leave ")), (
                path,
                rule,
            )
