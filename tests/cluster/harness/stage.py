"""A company's stage: a namespace of its own, a simulator of its own, and operators that see nothing else."""

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2

from cluster.harness import manifests
from cluster.harness.watching import Watch, is_ready, ready
from cluster.operator_process import SCALED, RunningOperator
from fixtures.simulator_server import RunningSimulator, minimal_invoice

JsonObject = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
GROUP_PATH = "/apis/qbsync.dev/v1alpha1"
READY = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}"


class Kubectl(Protocol):
    """The `kubectl` fixture; failures are RuntimeErrors with kubectl's words."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str: ...

    def json(self, *arguments: str, stdin: str = "") -> Any: ...


@dataclass
class Stage:
    """Where one test plays."""

    kubectl: Kubectl
    bin_dir: Path
    folder: Path
    namespace: str
    operator_namespace: str
    simulator: RunningSimulator
    sample: int = 0
    """How many invoices the sample company has."""
    tolerated: list[str] = field(default_factory=list)
    """Parts of messages that operators may log as errors in this test."""
    _operators: list[RunningOperator] = field(default_factory=list)
    _ends: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterable[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.sample = len(self.simulator.invoices())

    def close(self) -> None:
        """Kill what was started, newest first."""
        self._ends.close()

    # -- operators -----------------------------------------------------------------------------------------

    def operator(
        self,
        *flags: str,
        scaled: Sequence[str] = SCALED,
        allow_custom: bool = True,
        environment: Mapping[str, str | None] | None = None,
    ) -> RunningOperator:
        """Start an operator for this stage's namespace; it ends with the stage. Does not wait for anything."""
        number = next(iter(self._numbers))
        running = RunningOperator(
            kubeconfig=self.kubectl.kubeconfig,
            log_file=self.folder / f"operator-{number}.log",
            environment=environment,
            flags=(
                *(("--allow-custom-endpoints",) if allow_custom else ()),
                *("--namespaces", self.namespace),
                *("--operator-namespace", self.operator_namespace),
                *scaled,
                *flags,
            ),
        )
        self._operators.append(running)
        return self._ends.enter_context(running)

    def complaints(self) -> list[dict[str, Any]]:
        """Errors, tracebacks and lines that are no JSON, of all operators, apart from what is tolerated."""
        return [
            line
            for operator in self._operators
            for line in operator.lines
            if ("raw" in line or "traceback" in line or line["level"] in {"error", "critical"})
            and not any(text in json.dumps(line) for text in self.tolerated)
        ]

    def logs(self) -> str:
        """Everything that every operator of this stage has logged."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("operator-*.log")))

    def audit(self, name: str) -> list[JsonObject]:
        """The audit lines about one InvoiceSync, of all operators, oldest first."""
        told = f"{self.namespace}/{name}"
        lines = (line for operator in self._operators for line in tuple(operator.lines))
        return [line for line in lines if line.get("audit") is True and line.get("object") == told]

    def events(self, name: str) -> set[tuple[str, str]]:
        """Type and reason of the Events about one object."""
        found = self.kubectl.json("get", "events.events.k8s.io", "-n", self.namespace)["items"]
        return {(event["type"], event["reason"]) for event in found if event["regarding"]["name"] == name}

    # -- objects -------------------------------------------------------------------------------------------

    def apply(self, *documents: JsonObject) -> None:
        """kubectl apply --server-side."""
        self.kubectl("apply", "--server-side", "-n", self.namespace, "-f", "-", stdin=as_list(documents))

    def delete(self, kind: str, name: str) -> None:
        """kubectl delete, which waits until it is gone."""
        self.kubectl("delete", kind, name, "-n", self.namespace, "--timeout=60s")

    def get(self, kind: str, name: str) -> JsonObject:
        """One object."""
        return dict(self.kubectl.json("get", kind, name, "-n", self.namespace))

    def all(self, kind: str) -> dict[str, JsonObject]:
        """Every object of a kind, by name."""
        found = self.kubectl.json("get", kind, "-n", self.namespace)["items"]
        return {body["metadata"]["name"]: body for body in found}

    def annotate(self, kind: str, name: str, **annotations: str) -> None:
        """Set annotations of qbsync.dev; `requested_at` is requested-at."""
        texts = [f"qbsync.dev/{key.replace('_', '-')}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "--overwrite", kind, name, "-n", self.namespace, *texts)

    def watch(self, plural: str = "invoicesyncs") -> Watch:
        """Follow this namespace's objects of one kind from now on."""
        path = f"{GROUP_PATH}/namespaces/{self.namespace}/{plural}"
        watch = Watch(binary=self.bin_dir / "kubectl", kubeconfig=self.kubectl.kubeconfig, path=path)
        self._ends.callback(watch.close)
        return watch

    # -- a company -----------------------------------------------------------------------------------------

    def connection(self, name: str = "acme", *, realm: str | None = None, **spec: Any) -> JsonObject:
        """The document of a connection to this stage's simulator; `token_url` as in `manifests.connection`."""
        given = {"base_url": self.simulator.base_url, "realm": realm or self.simulator.realm_id}
        return manifests.connection(name, **given, **spec)

    def connect(self, name: str = "acme", *, realm: str | None = None, **spec: Any) -> Watch:
        """Apply client Secret, import Secret and connection; returns the connections' watch."""
        grant = self.simulator.tokens(realm)
        watch = self.watch("quickbooksconnections")
        self.apply(
            manifests.client_secret(name, grant),
            manifests.import_secret(name, grant),
            self.connection(name, realm=realm, **spec),
        )
        return watch

    def connected(self, name: str = "acme", *, realm: str | None = None, **spec: Any) -> Watch:
        """As `connect`, with a connection that is Ready."""
        watch = self.connect(name, realm=realm, **spec)
        watch.object(name, is_ready, what="Ready")
        return watch

    def seed(self, bodies: Iterable[Mapping[str, Any]], realm: str | None = None) -> list[JsonObject]:
        """Create invoices in QuickBooks as somebody else's program would; limits do not apply meanwhile."""
        grant = self.simulator.tokens(realm)
        switches = self.simulator.get("/_simulator/switches")
        limits = {name: switches[name] for name in ("limitPerMinute", "limitPerSecond", "limitConcurrent")}
        self.simulator.switch(**dict.fromkeys(limits, 0))
        url = f"{self.simulator.base_url}/v3/company/{grant['realm_id']}/invoice?minorversion=75"
        headers = {"Authorization": f"Bearer {grant['access_token']}"}
        with (
            httpx2.Client(headers=headers, timeout=30, trust_env=False) as client,
            ThreadPoolExecutor(8) as pool,
        ):

            def create(body: Mapping[str, Any]) -> JsonObject:
                answer = client.post(url, json=dict(body))
                assert answer.status_code == 200, answer.text
                return dict(answer.json()["Invoice"])

            created = list(pool.map(create, bodies))
        self.simulator.switch(**limits)
        # A query may miss what was created within the last two seconds.
        self.simulator.advance(5)
        return created

    def by_hand(self, quickbooks_id: str, what: str, **body: Any) -> JsonObject:
        """What a bookkeeper does to an invoice in QuickBooks: pay, edit, void or delete."""
        return dict(self.simulator.post(f"/_simulator/invoices/{quickbooks_id}/{what}", body))

    def call(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Speak to QuickBooks' API as another program of the company does: `path` is what follows the realm."""
        grant = self.simulator.tokens()
        url = f"{self.simulator.base_url}/v3/company/{grant['realm_id']}/{path}"
        headers = {"Authorization": f"Bearer {grant['access_token']}", "Accept": "application/json"}
        answer = httpx2.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def more_than_sample(self) -> int:
        """How many invoices QuickBooks has that the sample company had not."""
        return len(self.simulator.invoices()) - self.sample

    def numbers(self) -> dict[str, int]:
        """How many invoices have each DocNumber."""
        counts: dict[str, int] = {}
        for row in self.simulator.invoices():
            counts[row["DocNumber"]] = counts.get(row["DocNumber"], 0) + 1
        return counts


@dataclass
class OwnPlane:
    """A control plane of one test's own, to be maltreated."""

    folder: Path
    bin_dir: Path
    kubectl: Kubectl
    stages: list[Stage] = field(default_factory=list)

    def install_crds(self) -> None:
        """Apply the repository's CRDs and wait until they are established."""
        self.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))

    def stage(self, *flags: str, profile: str = "unlimited") -> Stage:
        """A stage in its namespace `billing`, with a simulator as for `new_stage`."""
        for namespace in ("billing", "operators"):
            self.kubectl("create", "namespace", namespace)
        simulator = RunningSimulator("--server-timeout", "3s", *flags, profile=profile)
        stage = Stage(self.kubectl, self.bin_dir, self.folder, "billing", "operators", simulator)
        self.stages.append(stage)
        return stage

    def freeze_api_server(self) -> None:
        """It answers nobody from now on, as behind a broken network."""
        os.kill(self._api_server, signal.SIGSTOP)

    def thaw_api_server(self) -> None:
        """It goes on where it was."""
        os.kill(self._api_server, signal.SIGCONT)

    @property
    def _api_server(self) -> int:
        return int(json.loads((self.folder / "pids.json").read_text())["kube-apiserver"]["pid"])


NewStage = Callable[..., Stage]
"""Flags of the simulator, and its `profile`, to a stage."""


def foreign_invoice(number: str, amount: Any = 100, **fields: Any) -> JsonObject:
    """An invoice as another program creates it, to be seeded."""
    return minimal_invoice(amount, DocNumber=number, **fields)


def as_list(documents: Iterable[JsonObject]) -> str:
    """Documents as one List."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})


def outcomes(objects: Mapping[str, JsonObject]) -> dict[str, int]:
    """How many objects have each reason of Ready."""
    counts: dict[str, int] = {}
    for body in objects.values():
        reason = str(ready(body).get("reason"))
        counts[reason] = counts.get(reason, 0) + 1
    return counts
