"""A real kube-apiserver for the tests: one control plane per run, shared by all xdist workers.

Tests keep apart by namespace: each takes its own from the `namespace` fixture.
"""

import fcntl
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / "dev" / "controlplane" / "controlplane"
CRDS = ROOT / "crds"


class KubectlError(RuntimeError):
    """kubectl failed; the message is its standard error."""


class Kubectl:
    """Runs kubectl with one kubeconfig: `kubectl("get", "pods")` returns what it prints."""

    def __init__(self, binary: Path, kubeconfig: Path) -> None:
        self._binary = binary
        self.kubeconfig = kubeconfig
        # Not in the home folder: an earlier run's discovery on the same port would be believed.
        cache = kubeconfig.with_name("kubectl-cache")
        self._environ = os.environ | {"KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(cache)}

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        """Standard output; KubectlError with standard error if it exits with anything but 0."""
        done = subprocess.run(
            [str(self._binary), *arguments],
            env=self._environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """What it prints with `-o json`, parsed."""
        return json.loads(self(*arguments, "-o", "json", stdin=stdin))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all xdist workers of this run share, and no other run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def run_pid() -> int:
    """The process that ends last of this run: pytest itself, of which xdist's workers are children."""
    return os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()


@pytest.fixture(scope="session")
def bin_dir(pytestconfig: pytest.Config) -> Path:
    """The folder with kubectl, helm, kube-apiserver and the others; builds them the first time."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    # A build takes minutes: its progress is to be seen.
    with capture.global_and_fixture_disabled():
        done = subprocess.run([str(COMMAND), "bin"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def controlplane(bin_dir: Path, run_folder: Path, run_pid: int) -> Path:
    """The admin kubeconfig of the run's control plane, which ends with the run however that ends."""
    # Workers call this at the same time: the first one starts it, the others wait and find it running.
    command = [str(COMMAND), "up", str(run_folder / "controlplane"), "--until-pid", str(run_pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def kubectl(bin_dir: Path, controlplane: Path) -> Kubectl:
    """kubectl as administrator of the run's control plane."""
    return Kubectl(bin_dir / "kubectl", controlplane)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A new namespace; it is deleted afterwards, but nobody waits for that."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="session")
def crds_installed(kubectl: Kubectl, run_folder: Path) -> None:
    """The repository's CustomResourceDefinitions are served."""
    with (run_folder / "crds.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(CRDS))
        names = [f"{crd['spec']['names']['plural']}.{crd['spec']['group']}" for crd in _items(kubectl)]
    for name in names:
        _await_served(kubectl, name)


def _items(kubectl: Kubectl) -> list[Any]:
    found = kubectl.json("get", "-f", str(CRDS))
    return list(found["items"]) if found["kind"] == "List" else [found]


def _await_served(kubectl: Kubectl, resource: str) -> None:
    """Established means decided; the API server serves the new resource a moment later, and tells nobody."""
    deadline = time.monotonic() + 30
    while True:
        try:
            kubectl("get", resource, "--all-namespaces")
        except KubectlError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
