"""The chart's files agree with each other and with what they are made from. Needs no helm."""

import json
import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from qbsync import __version__

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "qbsync"
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
UNTABLED = "see values.yaml"


def leaves(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths of all values that the schema knows, down to where it lets anything in."""
    for name, child in schema["properties"].items():
        if "properties" in child:
            yield from leaves(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def value_at(path: str) -> Any:
    value: Any = VALUES
    for name in path.split("."):
        value = value[name]
    return value


def readme_defaults() -> dict[str, str]:
    """Value → default, from the README's table."""
    rows = (CHART / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("| `")]
    return {cell[0].strip("`"): cell[1] for cell in cells}


def test_crd_templates_are_current() -> None:
    made: dict[Path, str] = runpy.run_path(str(ROOT / "dev" / "chart_crds.py"))["templates"]()
    committed = {path: path.read_text(encoding="utf-8") for path in (CHART / "templates").glob("crd-*.yaml")}
    assert committed == made, "run: python dev/chart_crds.py"
    assert len(made) == len(list((ROOT / "crds").glob("*.yaml"))) > 0


def test_a_crd_template_holds_its_crd_and_nothing_else() -> None:
    for path in (CHART / "templates").glob("crd-*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        # The lines of the chart: directives, and the metadata that stands between two of them.
        bare = "\n".join(
            line
            for line in lines
            if "{{" not in line
            and line not in {"  labels:", "  annotations:", "    helm.sh/resource-policy: keep"}
        )
        document = yaml.safe_load(bare)
        plural = document["spec"]["names"]["plural"]
        source = (ROOT / "crds" / f"qbsync.dev_{plural}.yaml").read_text(encoding="utf-8")
        assert document == yaml.safe_load(source)


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_every_value_has_a_default_and_a_row_in_the_readme() -> None:
    known = set(leaves(SCHEMA)) - {"global"}
    for path in known:
        value_at(path)
    assert set(readme_defaults()) == known


@pytest.mark.parametrize("path", sorted(readme_defaults()))
def test_the_readme_shows_the_default(path: str) -> None:
    shown = readme_defaults()[path]
    if shown != UNTABLED:
        assert json.loads(shown.strip("`")) == value_at(path)


def test_the_schema_is_closed_wherever_it_names_fields() -> None:
    def open_objects(schema: Mapping[str, Any], path: str) -> Iterator[str]:
        if "properties" in schema:
            if schema.get("additionalProperties") is not False:
                yield path
            for name, child in schema["properties"].items():
                yield from open_objects(child, f"{path}.{name}")
        if isinstance(schema.get("items"), Mapping):
            yield from open_objects(schema["items"], f"{path}[]")

    assert list(open_objects(SCHEMA, "values")) == []


def test_what_the_image_is_built_with_is_locked() -> None:
    """The build backend comes from the same lock as everything else, with the same hashes."""
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    wanted = (ROOT / "dev" / "image" / "build-requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", wanted, flags=re.MULTILINE | re.DOTALL)
    assert any(entry.startswith("hatchling==") for entry in entries)
    for entry in entries:
        pins = re.findall(r"^\S+==[^\s;\\]+|--hash=\S+", entry, flags=re.MULTILINE)
        assert len(pins) > 1, entry
        assert [pin for pin in pins if pin not in lock] == []
