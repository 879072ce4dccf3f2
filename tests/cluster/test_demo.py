"""`make demo` itself: it shows what it says, and leaves nothing behind however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster.harness.watching import eventually

DEMO = Path(__file__).resolve().parents[2] / "dev" / "demo" / "demo"


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The demo, with its output in a file and its temporary files in `folder`."""
    folder.mkdir()
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, str(DEMO), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder)},
        )


def printed(folder: Path) -> str:
    """What it has printed so far."""
    return (folder / "output").read_text()


def left_behind(folder: Path) -> list[str]:
    """Processes that have to do with its folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            text = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text:
            found.append(f"{place.name}: {text[:120]!r}")
    return found


def test_all_that_it_promises_is_so(bin_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = start(folder, "--once")
    assert demo.wait(timeout=240) == 0, printed(folder)
    text = printed(folder)
    assert "✗" not in text
    assert text.count("✓") >= 20
    for outcome in ("Created", "Adopted", "Recovered", "DocNumberConflict", "ReferenceNotFound"):
        assert outcome in text
    assert "no customer is called 'Atlantis Shipping Ltd.' in QuickBooks" in text
    assert [path.name for path in folder.iterdir()] == ["output"]
    eventually(lambda: not left_behind(folder), what="every process of the demo ended", timeout=20)


def test_killed_it_takes_everything_with_it(bin_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = start(folder)
    eventually(lambda: "A company is connected" in printed(folder), what="all processes running", timeout=120)
    assert len(left_behind(folder)) >= 5
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    eventually(lambda: not left_behind(folder), what="every process of the demo ended", timeout=30)
