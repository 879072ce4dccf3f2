"""An operator that cannot work at all: what its pod shows, and that docs/troubleshooting.md has it."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from component.connections.test_troubleshooting import ENCRYPTION, STALLED, sections
from qbsync.telemetry.metrics import Metrics
from qbsync.telemetry.probes import ProbeServer

KEY = "base64:" + "QUFB" * 10 + "QUE="


def operator(tmp_path: Path, api_server: str, **environment: str) -> "subprocess.Popen[str]":
    """An operator process on its own; the API server is where nobody listens."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": api_server}}],
                "users": [{"name": "u", "user": {}}],
            }
        ),
        encoding="utf-8",
    )
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("QBSYNC_", "ENCRYPTION_"))
    }
    return subprocess.Popen(
        [sys.executable, "-c", "from qbsync.cli.main import main; main()", "operator"],
        env=inherited | {"KUBECONFIG": str(kubeconfig), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that is taken, and where nobody listens: connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def treated(section: str, said: str) -> bool:
    return said in " ".join(sections()[section].split())


def test_without_a_key_it_does_not_start_and_names_the_variable(tmp_path: Path, nobody: str) -> None:
    process = operator(tmp_path, nobody)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "ENCRYPTION_MASTER_KEY is not set" in said
    assert "openssl rand -base64 32" in said
    assert treated(ENCRYPTION, "ENCRYPTION_MASTER_KEY is not set")


def test_without_an_api_server_it_is_not_ready_and_says_why(tmp_path: Path, nobody: str) -> None:
    process = operator(tmp_path, nobody, ENCRYPTION_MASTER_KEY=KEY)
    assert process.stderr is not None
    try:
        lines = (json.loads(line) for line in process.stderr)
        listen = next(line["listen"] for line in lines if line["message"] == "started")
        answer = httpx2.get(f"http://{listen}/readyz", trust_env=False, timeout=60)
        assert answer.status_code == 503
        assert "the Kubernetes API server has not answered" in answer.text
        assert httpx2.get(f"http://{listen}/livez", trust_env=False, timeout=60).text == "ok"
        assert "qbsync_leader 0.0" in httpx2.get(f"http://{listen}/metrics", trust_env=False, timeout=60).text
        assert any("cannot stand for the lease" in line["message"] for line in lines)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    for said in (
        "the Kubernetes API server has not answered",
        "cannot stand for the lease",
        "`sum(qbsync_leader)` is 0",
    ):
        assert treated(STALLED, said)


def test_a_stuck_event_loop_does_not_answer_its_liveness_probe() -> None:
    stuck, release = threading.Event(), threading.Event()
    server = ProbeServer(
        address=("127.0.0.1", 0), metrics=Metrics(), unready=lambda: None, before_scrape=lambda: None
    )

    async def serve() -> None:
        serving = asyncio.create_task(server.run())
        while not await asyncio.to_thread(_alive, server.address):
            pass
        stuck.set()
        release.wait()  # as a call that blocks the loop does
        server.stop()
        await serving

    loop = threading.Thread(target=lambda: asyncio.run(serve()))
    loop.start()
    assert stuck.wait(60)
    try:
        with pytest.raises(httpx2.TimeoutException):
            httpx2.get(f"http://{server.address}/livez", trust_env=False, timeout=0.5)
    finally:
        release.set()
        loop.join()
    assert treated(STALLED, "Liveness probe failed")


def _alive(address: str) -> bool:
    return httpx2.get(f"http://{address}/livez", trust_env=False, timeout=60).text == "ok"
