"""The example documents of these tests, and ways to look into a schema."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from qbsync.api.crds import crds
from qbsync.api.meta import API_VERSION, INSTANCE_LABEL, Kind

DATA = Path(__file__).parent / "data"


def full(kind: Kind) -> dict[str, Any]:
    """A document of the kind that has every field."""
    loaded: dict[str, Any] = yaml.safe_load((DATA / f"{kind.value.lower()}.yaml").read_text(encoding="utf-8"))
    return loaded


def schema(kind: Kind) -> dict[str, Any]:
    """The schema of the whole object, as in the CRD."""
    found: dict[str, Any] = crds()[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def walk(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema below a path, itself first: `.spec.invoice.lines[].item`."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        yield from walk(node["additionalProperties"], f"{path}{{}}")


def rules(kind: Kind) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every CEL rule with the path that its error names: `spec.invoice.lines[]`."""
    for path, node in walk(schema(kind), ""):
        for rule in node.get("x-kubernetes-validations", ()):
            yield (path + rule.get("fieldPath", "")).removeprefix("."), rule


_FILE = yaml.safe_load((DATA / "cases.yaml").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = _FILE["cases"]
"""Manifests that the API server accepts or refuses; the file explains their form."""


def manifest(kind: Kind, change: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """The kind's base manifest with a JSON merge patch on its spec; a text like `x*1000` is 1,000 times x.

    It is labelled for an installation that does not exist: no operator may take it up.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {"name": name, "labels": {INSTANCE_LABEL: "none"}},
        "spec": _merged(_FILE["bases"][kind.value], change),
    }


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return _expanded(change)
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_merged(None, child) for child in value]
    if isinstance(value, str) and value.startswith("x*"):
        return "x" * int(value[2:])
    return value
