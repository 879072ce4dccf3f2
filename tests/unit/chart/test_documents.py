"""What the README and the pages of docs/ show is so: links lead somewhere, manifests are valid, metrics exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qbsync.api.connection import QuickBooksConnectionSpec
from qbsync.api.invoice import InvoiceSyncSpec
from qbsync.api.meta import API_VERSION, Kind
from qbsync.api.reasons import REASONS
from qbsync.invoices.register import COLUMNS
from qbsync.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "charts" / "qbsync" / "README.md"])
SPECS: dict[str, type[InvoiceSyncSpec | QuickBooksConnectionSpec]] = {
    Kind.CONNECTION: QuickBooksConnectionSpec,
    Kind.INVOICE: InvoiceSyncSpec,
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def manifests(page: Path) -> Iterator[dict[str, Any]]:
    """The manifests of our kinds in the YAML blocks of a page."""
    for block in re.findall(
        r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if f"apiVersion: {API_VERSION}" in block:
            yield from yaml.safe_load_all(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("https://", "http://", "mailto:"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if any(manifests(page))], ids=name_of)
def test_manifests_are_valid(page: Path) -> None:
    for manifest in manifests(page):
        model = SPECS[manifest["kind"]]
        spec = model.model_validate(manifest["spec"])
        dumped = spec.model_dump(by_alias=True, exclude_unset=True, mode="json")
        # Unknown fields are dropped by the models: a misspelt one would be missing here.
        assert dumped == manifest["spec"]


def test_there_are_manifests_to_check() -> None:
    assert {name_of(page) for page in PAGES if any(manifests(page))} >= {"README.md", "docs/quickstart.md"}


def test_every_metric_is_described() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(qbsync_\w+)", page, re.MULTILINE))
    metrics = Metrics().registry.collect()
    exposed = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in metrics}
    assert described == exposed


def test_every_reason_is_treated() -> None:
    """A user who meets a reason finds it in the troubleshooting page."""
    table = (ROOT / "docs" / "reference" / "reasons.md").read_text(encoding="utf-8")
    reasons = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()
    assert len(reasons) > 30


def test_every_column_of_the_export_is_described_in_its_order() -> None:
    page = (ROOT / "docs" / "invoices.md").read_text(encoding="utf-8")
    table = page.split("| column | what it holds |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == COLUMNS


def test_nothing_is_put_off_to_a_later_release_that_works() -> None:
    """Reasons that users meet are never explained away."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    invoices = text.split("## InvoiceSync")[1].split("\n## ")[0]
    rows = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]+)\|", invoices, re.MULTILINE))))
    assert rows == {row.reason for (kind, _), row in REASONS.items() if kind is Kind.INVOICE}
    assert "later release" not in text
