"""What is built, from which pinned module, and the key under which the result is cached."""

import hashlib
import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the Go modules and of the `controlplane` command."""

KUBERNETES = "1.36.3"
HELM = "3.22.0"
KUBECONFORM = "0.8.0"
PROMTOOL = "0.308.0"

_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_COMPONENT = "k8s.io/component-base/version"
_PROMETHEUS = "github.com/prometheus/common/version"


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module of its own: its tools agree on the versions of everything below them."""

    folder: str
    variables: tuple[tuple[str, str], ...]
    """Go variables set at link time; without them the programs report development versions."""

    @property
    def path(self) -> Path:
        return ROOT / self.folder

    @property
    def ldflags(self) -> str:
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.variables)])


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: `name` is what it is called in the bin folder, `built` what `go build` calls it."""

    name: str
    module: Module
    package: str

    @property
    def built(self) -> str:
        # Go names a program after its package's folder, except that a major version's folder does not count.
        *_, parent, last = self.package.split("/")
        return parent if re.fullmatch(r"v\d+", last) else last


_SERVERS = Module(
    ".",
    (
        (f"{_COMPONENT}.gitVersion", f"v{KUBERNETES}"),
        (f"{_COMPONENT}.gitMajor", _MAJOR),
        (f"{_COMPONENT}.gitMinor", _MINOR),
    ),
)
# `helm template` and `helm lint` judge charts as for 1.20 unless told otherwise.
_HELM = Module(
    "tools/helm",
    (
        ("helm.sh/helm/v3/internal/version.version", f"v{HELM}"),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor", _MAJOR),
        ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", _MINOR),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor", _MAJOR),
        ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", _MINOR),
    ),
)
_KUBECONFORM = Module("tools/kubeconform", (("main.version", f"v{KUBECONFORM}"),))
_KIND = Module("tools/kind", ())
_PROMTOOL = Module("tools/promtool", ((f"{_PROMETHEUS}.Version", PROMTOOL),))

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("etcd", _SERVERS, "go.etcd.io/etcd/server/v3"),
        Tool("kube-apiserver", _SERVERS, "k8s.io/kubernetes/cmd/kube-apiserver"),
        Tool("kube-controller-manager", _SERVERS, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Tool("kubectl", _SERVERS, "k8s.io/kubernetes/cmd/kubectl"),
        Tool("pki", _SERVERS, "./pki"),
        Tool("helm", _HELM, "helm.sh/helm/v3/cmd/helm"),
        Tool("kubeconform", _KUBECONFORM, "github.com/yannh/kubeconform/cmd/kubeconform"),
        Tool("kind", _KIND, "sigs.k8s.io/kind"),
        Tool("promtool", _PROMTOOL, "github.com/prometheus/prometheus/cmd/promtool"),
    )
}
"""Every program that can be built."""

UP: tuple[str, ...] = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "pki")
"""What `up` needs."""

BIN: tuple[str, ...] = (*UP, "helm")
"""What `bin` gives when no tool is named; the rest is built when asked for."""


def modules() -> tuple[Module, ...]:
    """Every module, each once."""
    return tuple(dict.fromkeys(tool.module for tool in TOOLS.values()))


def go_version() -> tuple[int, ...]:
    """The oldest Go that can build every module, from their `go` lines."""
    found = [re.search(r"^go ([\d.]+)$", _mod(module), re.MULTILINE) for module in modules()]
    return max(tuple(int(part) for part in match[1].split(".")) for match in found if match)


def key() -> str:
    """Names everything that the built programs depend on, except the Go toolchain's own version."""
    digest = hashlib.sha256()
    recipe = [[t.name, t.package, t.module.folder, t.module.ldflags] for t in TOOLS.values()]
    digest.update(json.dumps([recipe, *target()]).encode())
    for module in modules():
        for name in ("go.mod", "go.sum"):
            digest.update((module.path / name).read_bytes())
    for source in sorted((ROOT / "pki").glob("*.go")):
        digest.update(source.read_bytes())
    return f"k8s-{KUBERNETES}-{digest.hexdigest()[:16]}"


def target() -> tuple[str, str]:
    """This machine's operating system and processor, as Python names them."""
    return platform.system().lower(), platform.machine().lower()


def _mod(module: Module) -> str:
    return (module.path / "go.mod").read_text()
