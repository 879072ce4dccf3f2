"""How the tests' tools get onto a machine: dev/testtools.py, with programs of the test's own in the place of npm."""

import json
import os
import shutil
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "tests" / "sdk" / "node"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script; the machine has node, chromium and an npm that notes when it was called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    npm = 'echo "$@" >> "$CALLS"; mkdir -p node_modules; exit ${NPM_EXIT:-0}'
    for name, does in {"node": "", "chromium": "", "curl": "", "jq": "", "npm": npm}.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    (programs / "mkdir").symlink_to(str(shutil.which("mkdir")))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    (tmp_path / "package-lock.json").write_text("{}")
    loader = SourceFileLoader("testtools", str(ROOT / "dev" / "testtools.py"))
    module = module_from_spec(spec_from_loader("testtools", loader))
    loader.exec_module(module)
    return module


def calls(directory: Path) -> list[str]:
    noted = directory / "calls"
    return noted.read_text().splitlines() if noted.exists() else []


def test_packages_are_installed_once_for_a_lock(tools: ModuleType, tmp_path: Path) -> None:
    tools.main(tmp_path)
    tools.main(tmp_path)
    assert calls(tmp_path) == ["ci --loglevel=error"]
    (tmp_path / "package-lock.json").write_text('{"other": true}')
    tools.main(tmp_path)
    assert len(calls(tmp_path)) == 2


def test_a_failed_installation_is_tried_again(
    tools: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NPM_EXIT", "7")
    tools.main(tmp_path)
    assert "npm ci failed with exit code 7" in capfd.readouterr().err
    monkeypatch.setenv("NPM_EXIT", "0")
    tools.main(tmp_path)
    assert len(calls(tmp_path)) == 2


def test_it_says_what_is_missing_where_it_may_not_install(
    tools: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.main(tmp_path)
    assert "apt-get install nodejs npm chromium curl jq" in capfd.readouterr().out
    assert calls(tmp_path) == []


def test_as_root_on_debian_it_installs_what_is_missing(
    tools: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(tools, "DEBIAN", tmp_path)
    programs = tmp_path / "bin"
    (programs / "chromium").unlink()
    (programs / "apt-get").write_text(
        f'#!/bin/sh\necho "$@" >> "$CALLS"\n[ $2 = update ] || > {programs}/chromium\n'
    )
    (programs / "apt-get").chmod(0o755)
    tools.main(tmp_path)
    assert calls(tmp_path)[:2] == ["-qq update", "-qq install -y --no-install-recommends chromium"]


def test_the_lock_names_versions_and_no_registry() -> None:
    text = (PACKAGES / "package-lock.json").read_text(encoding="utf-8")
    assert "resolved" not in text
    locked = json.loads(text)["packages"]
    wanted = json.loads((PACKAGES / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in package for path, package in locked.items() if path)
