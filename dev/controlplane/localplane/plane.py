"""One control plane's files and command lines, all below one folder."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localplane.processes import Process

HOST = "127.0.0.1"
PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager")
SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager")
"""In the order in which they are started."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in the folder given to `up`."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def tokens(self) -> Path:
        """kube-apiserver's token file: token, user, uid, groups."""
        return self.pki / "tokens.csv"

    @property
    def manager_kubeconfig(self) -> Path:
        return self.pki / "controller-manager.kubeconfig"

    @property
    def ports(self) -> Path:
        """The ports of the last start, used again if they are free, so that old kubeconfigs stay good."""
        return self.pki / "ports.json"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def pids(self) -> Path:
        """The processes that run now: the pid file."""
        return self.root / "pids.json"

    def log(self, server: str) -> Path:
        return self.logs / f"{server}.log"

    def read_pids(self) -> dict[str, Process]:
        """The processes of the last start by name; some may have ended."""
        try:
            raw: dict[str, dict[str, object]] = json.loads(self.pids.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return {name: Process.load(entry) for name, entry in raw.items()}

    def forget(self, *, root_too: bool) -> None:
        """Remove all that a failed first start made; with `root_too` also the folder, if it is empty then."""
        for folder in (self.etcd, self.pki, self.logs):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.kubeconfig, self.pids, self.lock):
            file.unlink(missing_ok=True)
        if root_too:
            with contextlib.suppress(OSError):
                self.root.rmdir()

    def write_pids(self, processes: Mapping[str, Process]) -> None:
        """Replace the pid file whole."""
        dumped = {name: process.dump() for name, process in processes.items()}
        partial = self.pids.with_suffix(".partial")
        partial.write_text(json.dumps(dumped))
        partial.replace(self.pids)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The bearer tokens of the two users who are no service accounts."""

    admin: str
    manager: str


def read_credentials(layout: Layout) -> Credentials:
    """The tokens of an earlier start, else new random ones, written to the token file."""
    if not layout.tokens.exists():
        made = Credentials(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        write_private(
            layout.tokens,
            f'{made.admin},admin,admin,"system:masters"\n'
            f"{made.manager},system:kube-controller-manager,system:kube-controller-manager\n",
        )
    admin, manager = (line.split(",")[0] for line in layout.tokens.read_text().splitlines())
    return Credentials(admin, manager)


@contextlib.contextmanager
def reserved_ports(layout: Layout) -> Iterator[dict[str, int]]:
    """Free ports by name, held while the servers start, so that nothing else takes them meanwhile.

    The holder is bound but does not listen; the servers bind beside it with SO_REUSEPORT.
    """
    try:
        wanted: dict[str, int] = json.loads(layout.ports.read_text())
    except (FileNotFoundError, ValueError):
        wanted = {}
    with contextlib.ExitStack() as stack:
        ports = {name: _reserve(stack, wanted.get(name, 0)) for name in PORTS}
        layout.ports.write_text(json.dumps(ports))
        yield ports


def _reserve(stack: contextlib.ExitStack, port: int) -> int:
    holder = stack.enter_context(socket.socket())
    # Without SO_REUSEADDR the port of a server that stopped a moment ago is refused.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        _refuse_shared(port)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((HOST, port))
    except OSError:
        if port == 0:
            raise
        return _reserve(stack, 0)
    return int(holder.getsockname()[1])


def _refuse_shared(port: int) -> None:
    """Raise OSError if anything is bound to `port`, also if it would share it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))


def commands(layout: Layout, ports: Mapping[str, int], bin_folder: Path) -> dict[str, list[str]]:
    """The command line of each server."""
    arguments = {
        "etcd": _etcd(layout, ports),
        "kube-apiserver": _apiserver(layout, ports),
        "kube-controller-manager": _manager(layout, ports),
    }
    return {
        name: [str(bin_folder / name), *(f"--{flag}={value}" for flag, value in arguments[name].items())]
        for name in SERVERS
    }


def _etcd(layout: Layout, ports: Mapping[str, int]) -> dict[str, object]:
    client = f"https://{HOST}:{ports['etcd']}"
    peer = f"https://{HOST}:{ports['etcd-peer']}"
    certificate, key, authority = layout.pki / "etcd.crt", layout.pki / "etcd.key", layout.pki / "ca.crt"
    return {
        "name": "local",
        "data-dir": layout.etcd,
        "unsafe-no-fsync": "true",
        "log-level": "warn",
        "socket-reuse-port": "true",
        "socket-reuse-address": "true",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        # Other users of the machine reach the loopback address too: only who holds the key may read.
        "cert-file": certificate,
        "key-file": key,
        "trusted-ca-file": authority,
        "client-cert-auth": "true",
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"local={peer}",
        "peer-cert-file": certificate,
        "peer-key-file": key,
        "peer-trusted-ca-file": authority,
        "peer-client-cert-auth": "true",
    }


def _apiserver(layout: Layout, ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "etcd-servers": f"https://{HOST}:{ports['etcd']}",
        "etcd-cafile": layout.pki / "ca.crt",
        "etcd-certfile": layout.pki / "etcd.crt",
        "etcd-keyfile": layout.pki / "etcd.key",
        "bind-address": HOST,
        "advertise-address": HOST,
        # The reconciler would try for ever to publish a loopback address, which Endpoints must not hold.
        "endpoint-reconciler-type": "none",
        "secure-port": ports["kube-apiserver"],
        "permit-port-sharing": "true",
        "permit-address-sharing": "true",
        "tls-cert-file": layout.pki / "apiserver.crt",
        "tls-private-key-file": layout.pki / "apiserver.key",
        "authorization-mode": "RBAC,Node",
        "token-auth-file": layout.tokens,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": layout.pki / "service-account.key",
        "service-account-signing-key-file": layout.pki / "service-account.key",
        "service-cluster-ip-range": "10.96.0.0/16",
        "profiling": "false",
    }


def _manager(layout: Layout, ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "kubeconfig": layout.manager_kubeconfig,
        "bind-address": HOST,
        "secure-port": ports["kube-controller-manager"],
        "permit-port-sharing": "true",
        "permit-address-sharing": "true",
        "tls-cert-file": layout.pki / "apiserver.crt",
        "tls-private-key-file": layout.pki / "apiserver.key",
        "authentication-skip-lookup": "true",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": layout.pki / "ca.crt",
        "service-account-private-key-file": layout.pki / "service-account.key",
        # The defaults protect large clusters; here they only make tests wait.
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        "profiling": "false",
    }


def write_kubeconfig(path: Path, *, port: int, authority: Path, user: str, token: str) -> None:
    """Write a kubeconfig that needs no other file, readable by its owner only. JSON is YAML."""
    name = "qbsync-local"
    pem = base64.b64encode(authority.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": f"https://{HOST}:{port}", "certificate-authority-data": pem},
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}],
    }
    write_private(path, json.dumps(config, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file whole, never readable by others, not even for a moment."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


class Probe:
    """Asks the servers how they are."""

    def __init__(self, layout: Layout, ports: Mapping[str, int], token: str) -> None:
        self._api = f"https://{HOST}:{ports['kube-apiserver']}"
        self._manager = f"https://{HOST}:{ports['kube-controller-manager']}"
        self._token = token
        context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
        # No proxy of the environment: this machine talks to itself.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def missing(self) -> str | None:
        """The first thing that is not there yet; None when the control plane can be used."""
        wanted = {
            "namespace default": f"{self._api}/api/v1/namespaces/default",
            "kube-controller-manager": f"{self._manager}/healthz",
            "service account default": f"{self._api}/api/v1/namespaces/default/serviceaccounts/default",
        }
        missing = (what for what, url in wanted.items() if not self._answers(url))
        return self.missing_apiserver() or next(missing, None)

    def missing_apiserver(self) -> str | None:
        """None when kube-apiserver can be used."""
        return None if self._answers(f"{self._api}/readyz") else "kube-apiserver"

    def _answers(self, url: str) -> bool:
        headers = {"Authorization": f"Bearer {self._token}"} if url.startswith(self._api) else {}
        try:
            with self._opener.open(urllib.request.Request(url, headers=headers), timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
