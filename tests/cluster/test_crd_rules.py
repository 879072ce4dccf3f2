"""What the API server accepts and refuses, case by case: tests/unit/api/data/cases.yaml."""

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest

from qbsync.api.meta import Kind
from unit.api.documents import CASES, manifest

pytestmark = pytest.mark.usefixtures("crds_installed")


class Kubectl(Protocol):
    """What these tests need of the fixture."""

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str: ...


@pytest.fixture(scope="module")
def home(kubectl: Kubectl) -> Iterator[str]:
    """A namespace for all cases: their names are unique."""
    name = f"crd-rules-{uuid.uuid4().hex[:12]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['kind']}: {case['title']}")
def test_case(kubectl: Kubectl, home: str, case: Mapping[str, Any]) -> None:
    def apply(change: Mapping[str, Any], *arguments: str) -> None:
        document = json.dumps(manifest(kind, change, name=name))
        kubectl("apply", "--server-side", "-n", home, *arguments, "-f", "-", stdin=document)

    kind = Kind(case["kind"])
    name = case.get("name", f"case-{uuid.uuid4().hex[:12]}")
    if "before" in case:
        apply(case["before"])
    if "refused" not in case:
        apply(case["change"], "--dry-run=server")
        return
    with pytest.raises(RuntimeError) as caught:
        apply(case["change"], "--dry-run=server")
    error = str(caught.value)
    assert case["refused"] in error
    assert f"{case['at'].replace('[]', '[0]')}: " in error or not case["at"]
