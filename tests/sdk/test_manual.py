"""docs/simulator.md is so: every example on the page runs against a simulator as the page starts it, and prints what
the page says it prints."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from typer.main import get_command

from fixtures.simulator_server import RunningSimulator
from qbsync.cli.main import app
from qbsync.simulator import injection
from qbsync.simulator.control import ControlDoor
from qbsync.simulator.world import World
from sdk.test_node import NODE, needs_node

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTED = re.compile(r"(?:#|//) → (.*)$", re.MULTILINE)
ADDRESS = "http://127.0.0.1:8480"


def examples(language: str) -> str:
    """All examples in one language, in the page's order: later ones use what earlier ones made."""
    return "\n".join(text for tag, text in _BLOCK.findall(PAGE) if tag == language)


@pytest.fixture
def address() -> Iterator[str]:
    """A simulator as `qbsync simulator` starts it, but with steady answers: the slowest stay within 10 a second."""
    with RunningSimulator("--latency", "150,150", profile="realistic") as simulator:
        yield simulator.base_url


def run(command: list[str], example: str, address: str, cwd: Path) -> None:
    """Runs the example, and compares what it prints with what it says it prints."""
    done = subprocess.run(
        [*command, example.replace(ADDRESS, address)],
        cwd=cwd,
        env={**os.environ, "NO_PROXY": "127.0.0.1,localhost"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert done.stdout.splitlines() == _PRINTED.findall(example)


def test_the_examples_for_a_shell(address: str, tmp_path: Path) -> None:
    missing = [program for program in ("bash", "curl", "jq") if shutil.which(program) is None]
    if missing:
        reason = f"{', '.join(missing)} is missing: dev/testtools.py installs what it can"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    run(["bash", "-euo", "pipefail", "-c"], examples("sh"), address, tmp_path)


def test_the_example_for_python(address: str, tmp_path: Path) -> None:
    run([sys.executable, "-c"], examples("python"), address, tmp_path)


def test_the_example_for_node(address: str) -> None:
    needs_node()
    run(["node", "--input-type=module", "-e"], examples("js"), address, NODE)


def test_no_example_is_left_out() -> None:
    assert {tag for tag, _ in _BLOCK.findall(PAGE)} <= {"sh", "python", "js", "console", "json"}


def test_the_start_prints_what_the_page_shows() -> None:
    shown = [line for line in examples("console").splitlines() if line.startswith("  ") and "…" not in line]
    assert shown
    with subprocess.Popen(
        [sys.executable, "-m", "qbsync.simulator", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
    ) as process:
        assert process.stdout is not None
        printed = "".join(takewhile(lambda line: not line.startswith("Ctrl-C"), process.stdout))
        process.terminate()
    actual = re.search(r"http://127\.0\.0\.1:\d+", printed)
    assert actual is not None
    assert [line for line in shown if line not in printed.replace(actual[0], ADDRESS)] == []


def test_the_page_lists_the_commands_flags() -> None:
    options = {option.opts[0]: option.default for option in get_command(app).commands["simulator"].params}
    rows = dict(re.findall(r"^\| `(--[a-z-]+)[^`]*` \| (?:`([^`]*)`)? *\|", PAGE, re.MULTILINE))
    assert set(rows) == set(options)
    assert {name: default for name, default in rows.items() if default} == {
        name: str(getattr(default, "value", default)) if default is not None else rows[name]
        for name, default in options.items()
        if rows[name]
    }


def test_the_page_lists_the_companies() -> None:
    companies = {path.stem for path in (ROOT / "operator/qbsync/simulator/companies").glob("*.json")}
    listed = PAGE[PAGE.index("## Companies") : PAGE.index("## Profiles")]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", listed, re.MULTILINE)) == companies


def test_the_page_lists_everything_at_the_door() -> None:
    door = PAGE[PAGE.index("## The control door") : PAGE.index("## Faults")]

    def no_world() -> World:
        raise NotImplementedError

    for route in ControlDoor(no_world, no_world).routes():
        path = re.sub(r"\{\w+\}.*", "", route.path.removeprefix("/_simulator/"))
        (method,) = (route.methods or set()) - {"HEAD"}
        assert f"`{method} {path}" in door


def test_the_page_lists_every_part_of_a_fault_rule() -> None:
    faults = PAGE[PAGE.index("## Faults") : PAGE.index("## Webhooks")]
    assert [key for key in injection._MATCH_KEYS if f"`{key}`" not in faults] == []
    assert [key for key in injection._EFFECT_KEYS if f'"{key}"' not in faults] == []
    assert [name for name in injection.OPERATIONS - {"unsupported"} if f"`{name}`" not in faults] == []
