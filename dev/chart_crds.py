"""Makes the chart's CRD templates from crds/: `python dev/chart_crds.py`, after a change of crds/.

A chart's own `crds/` folder would be simpler, but Helm never upgrades what lies there.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRDS = ROOT / "crds"
TEMPLATES = ROOT / "charts" / "qbsync" / "templates"

HEAD = """\
{{{{- /* Made from crds/{source} by `python dev/chart_crds.py`: change the models, not this file. */ -}}}}
{{{{- if .Values.crds.install }}}}
"""
METADATA = """\
  labels:
    {{- include "qbsync.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
TAIL = "{{- end }}\n"


def templates() -> dict[Path, str]:
    """Path → content of every template that is made from a CustomResourceDefinition."""
    return {TEMPLATES / f"crd-{_plural(path)}.yaml": _template(path) for path in sorted(CRDS.glob("*.yaml"))}


def main() -> None:
    """Write them, and remove those whose source is gone."""
    made = templates()
    for old in set(TEMPLATES.glob("crd-*.yaml")) - set(made):
        old.unlink()
    for path, content in made.items():
        path.write_text(content, encoding="utf-8")


def _plural(path: Path) -> str:
    return path.stem.partition("_")[2]


def _template(path: Path) -> str:
    header, _, document = path.read_text(encoding="utf-8").partition("---\n")
    if not all(line.startswith("#") for line in header.splitlines()) or "{{" in document:
        raise ValueError(f"{path}: expected a comment, then one document without {{{{")
    before, metadata, after = document.partition("\nmetadata:\n")
    name, spec, rest = after.partition("\nspec:\n")
    if not (metadata and spec) or name != f"  name: {_plural(path)}.qbsync.dev":
        raise ValueError(f"{path}: its metadata is expected to be its name, and nothing else")
    return HEAD.format(source=path.name) + before + metadata + name + "\n" + METADATA + spec[1:] + rest + TAIL


if __name__ == "__main__":
    main()
