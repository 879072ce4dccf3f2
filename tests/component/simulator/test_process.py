"""The simulator as a process: what it prints, which port it takes, how it ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from fixtures.simulator_server import SOURCES, RunningSimulator, minimal_invoice


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qbsync.simulator", *flags],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PYTHONPATH": str(SOURCES)},
    )


def test_one_json_line_a_port_of_its_own_and_a_quick_end() -> None:
    simulator = RunningSimulator("--seed", "7", profile="realistic")
    assert set(simulator.ready) == {
        "baseUrl",
        "realmId",
        "client_id",
        "client_secret",
        "realm_id",
        "access_token",
        "refresh_token",
        "expires_in",
    }
    assert simulator.ready["realm_id"] == simulator.realm_id
    assert not simulator.base_url.endswith(":0")
    # A request at work, and a connection that stays open, must not hold up the end.
    simulator.fault({"operation": "read"}, {"delaySeconds": 60})
    with httpx2.Client(base_url=simulator.base_url, trust_env=False, timeout=0.3) as client:
        headers = {"authorization": f"Bearer {simulator.ready['access_token']}"}
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"/v3/company/{simulator.realm_id}/customer/1", headers=headers)
        started = time.monotonic()
        simulator.process.send_signal(signal.SIGTERM)
        assert simulator.process.wait(timeout=5) == 0
        assert time.monotonic() - started < 1.0
    assert simulator.process.stdout is not None
    assert simulator.process.stdout.read() == ""
    simulator.stop()


def test_the_same_seed_gives_the_same_grant_and_another_seed_another() -> None:
    ready = []
    for seed in ("7", "7", "8"):
        with RunningSimulator("--seed", seed) as simulator:
            ready.append({**simulator.ready, "baseUrl": ""})
    assert ready[0] == ready[1]
    assert ready[0]["refresh_token"] != ready[2]["refresh_token"]


def test_people_are_told_what_they_need() -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "qbsync.simulator", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(SOURCES)},
    )
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 0
    process.stdout.close()
    text = "".join(lines)
    for wanted in (
        "client id",
        "client secret",
        "refresh token   RT1-",
        "/connect/oauth2?client_id=",
        "http://127.0.0.1:",
    ):
        assert wanted in text


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--host", "0.0.0.0"], "--control-token"),
        (["--company", "/no/such/file.json"], "No such file"),
        (["--server-timeout", "0s"], "--server-timeout"),
        (["--latency", "800,160"], "invalid parse_latency value"),
        (["--profile", "kind"], "invalid Profile value"),
    ],
)
def test_options_that_cannot_work_end_it_with_a_reason(flags: list[str], reason: str) -> None:
    ended = run("--port", "0", *flags)
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken() -> None:
    with RunningSimulator() as simulator:
        ended = run("--port", simulator.base_url.rpartition(":")[2])
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert "in use" in ended.stderr


def test_a_company_of_one_s_own(tmp_path: Path) -> None:
    import json
    from importlib import resources

    description = json.loads(resources.files("qbsync.simulator").joinpath("companies/us.json").read_text())
    description["companyInfo"]["CompanyName"] = "Elsewhere Ltd"
    file = tmp_path / "company.json"
    file.write_text(json.dumps(description))
    with RunningSimulator("--company", str(file)) as simulator:
        token = simulator.tokens()["access_token"]
        with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
            info = client.get(
                f"/v3/company/{simulator.realm_id}/companyinfo/1",
                headers={"authorization": f"Bearer {token}"},
            )
    assert info.json()["CompanyInfo"]["CompanyName"] == "Elsewhere Ltd"


def test_latency_is_taken_from_the_flags() -> None:
    with RunningSimulator("--latency", "120,121", profile="realistic") as simulator:
        token = simulator.tokens()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        with httpx2.Client(base_url=simulator.base_url, trust_env=False) as client:
            started = time.monotonic()
            path = f"/v3/company/{simulator.realm_id}/invoice"
            assert client.post(path, json=minimal_invoice(), headers=headers).status_code == 200
            assert 0.1 < time.monotonic() - started < 1.0
