"""Writes what is made from the models: `python -m qbsync.api.generate [ROOT]`, ROOT being the repository."""

import sys
from collections.abc import Sequence
from pathlib import Path

from qbsync.api.crds import render
from qbsync.api.meta import GROUP, PLURALS, Kind
from qbsync.api.reference import reasons_page


def generated() -> dict[str, str]:
    """Path in the repository → content, of every generated file."""
    files = {f"crds/{GROUP}_{PLURALS[kind]}.yaml": render([kind]) for kind in Kind}
    return {**files, "docs/reference/reasons.md": reasons_page()}


def main(arguments: Sequence[str]) -> None:
    """Write every generated file below the given folder, or the current one."""
    root = Path(arguments[0] if arguments else ".")
    for name, content in generated().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
