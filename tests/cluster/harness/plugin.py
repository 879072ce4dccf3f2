"""Fixtures for tests with an operator: a module that wants them says `pytest_plugins = ["cluster.harness.plugin"]`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.harness.stage import ROOT, Kubectl, NewStage, OwnPlane, Stage
from fixtures.simulator_server import RunningSimulator


@pytest.fixture
def new_stage(
    kubectl: Kubectl, bin_dir: Path, namespace: str, crds_installed: None, tmp_path: Path
) -> Iterator[NewStage]:
    """Makes stages: `new_stage("--latency", "20,100", profile="realistic")`, with flags of the simulator."""
    operator_namespace = f"{namespace}-operator"
    kubectl("create", "namespace", operator_namespace)
    stages: list[Stage] = []

    def make(*flags: str, profile: str = "unlimited") -> Stage:
        simulator = RunningSimulator("--server-timeout", "3s", *flags, profile=profile)
        stage = Stage(kubectl, bin_dir, tmp_path, namespace, operator_namespace, simulator)
        stages.append(stage)
        return stage

    yield make
    for stage in stages:
        stage.close()
        stage.simulator.stop()
    kubectl("delete", "namespace", operator_namespace, "--wait=false", "--ignore-not-found")
    # Whatever a test is about: an operator that works has nothing to complain of.
    assert [line for stage in stages for line in stage.complaints()] == []


@pytest.fixture
def stage(new_stage: NewStage) -> Stage:
    """A stage with the simulator's profile `unlimited`: no latency, no limits."""
    return new_stage()


@pytest.fixture
def own_plane(kubectl: Kubectl, bin_dir: Path, tmp_path: Path) -> Iterator[OwnPlane]:
    """A control plane without CRDs that nobody else uses."""
    folder = tmp_path / "plane"
    # The class of the shared one, which lives in conftest.py.
    own: Kubectl = cast(Any, type(kubectl))(
        bin_dir / "kubectl", Path(_controlplane("up", folder, "--until-pid", os.getpid()))
    )
    plane = OwnPlane(folder, bin_dir, own)
    yield plane
    for stage in plane.stages:
        stage.close()
        stage.simulator.stop()
    _controlplane("down", folder)


def _controlplane(*arguments: object) -> str:
    command = [str(ROOT / "dev" / "controlplane" / "controlplane"), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
