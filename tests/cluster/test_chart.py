"""The chart on a real API server: what it renders is accepted, and its account may do what it must and no more.

No pod runs here (there are no nodes): the operator runs as a process with the token of the chart's account,
and with the arguments of the chart's container.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from qbsync.app import DRAIN_MARGIN
from qbsync.settings import OperatorSettings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "qbsync"
KEYS = "chart-keys"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
READ = {"get", "list", "watch"}

Manifest = dict[str, Any]


class Kubectl(Protocol):
    """What these tests need of the fixture."""

    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str: ...

    def json(self, *arguments: str, stdin: str = "") -> Any: ...


class HelmError(RuntimeError):
    """helm failed; the message is its standard error."""


@dataclass(frozen=True)
class Helm:
    """Runs helm on the chart, with folders of its own."""

    binary: Path
    home: Path
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str) -> str:
        folders = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        environ = os.environ | folders | ({"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {})
        done = subprocess.run(
            [str(self.binary), *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr.strip())
        return done.stdout

    def template(
        self, values: Mapping[str, Any], *, release: str = "qbsync", namespace: str = "ops"
    ) -> list[Manifest]:
        """Every manifest that the chart renders with these values."""
        given = self.home / f"values-{len(list(self.home.glob('values-*')))}.json"
        given.write_text(json.dumps(values), encoding="utf-8")
        rendered = self("template", release, str(CHART), "--namespace", namespace, "--values", str(given))
        return [manifest for manifest in yaml.safe_load_all(rendered) if manifest]


def values(**given: Any) -> dict[str, Any]:
    """The least that the chart needs, and what is given."""
    return {"encryption": {"existingSecret": KEYS}, **given}


FULL = values(
    instance="second",
    watchNamespaces=["billing", "billing-eu"],
    logLevel="debug",
    extraArgs=["--lease-duration=20s", "--invoice-events=all"],
    extraEnv=[{"name": "QBSYNC_TOKEN_TIMEOUT", "value": "30s"}],
    image={"repository": "registry.example.com/qbsync", "digest": f"sha256:{'a' * 64}"},
    imagePullSecrets=[{"name": "pull"}],
    replicaCount=2,
    serviceAccount={"annotations": {"example.com/role": "qbsync"}},
    metrics={"service": {"annotations": {"prometheus.io/scrape": "true"}}},
    podAnnotations={"example.com/team": "billing"},
    podLabels={"example.com/team": "billing"},
    priorityClassName="system-cluster-critical",
    nodeSelector={"kubernetes.io/os": "linux"},
    tolerations=[{"key": "billing", "operator": "Exists"}],
    affinity={"podAntiAffinity": {}},
    topologySpreadConstraints=[
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
)


@pytest.fixture
def helm(bin_dir: Path, tmp_path: Path) -> Helm:
    """helm without a cluster."""
    return Helm(bin_dir / "helm", tmp_path)


def one(manifests: Sequence[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def container(manifests: Sequence[Manifest]) -> Manifest:
    """The operator's container."""
    (found,) = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def as_list(manifests: Sequence[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


# -- what the chart renders -----------------------------------------------------------------------------


def test_lint_finds_nothing(helm: Helm) -> None:
    said = helm("lint", "--strict", str(CHART), "--set", f"encryption.existingSecret={KEYS}")
    assert "0 chart(s) failed" in said


def test_without_a_key_it_says_how_to_make_one(helm: Helm) -> None:
    with pytest.raises(
        HelmError, match=r"set encryption\.existingSecret to the name of a Secret .*openssl rand"
    ):
        helm.template({})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"replicas": 2}, r"'replicas' not allowed"),
        ({"encryption": {"existingSecret": KEYS, "masterKey": "secret"}}, r"'masterKey' not allowed"),
        ({"watchNamespaces": "billing"}, r"got string, want array"),
        ({"logLevel": "loud"}, r"must be one of"),
        ({"terminationGracePeriodSeconds": 30}, r"minimum: got 30, want 150"),
        ({"image": {"digest": "latest"}}, r"does not match pattern"),
    ],
)
def test_the_schema_refuses(helm: Helm, given: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(HelmError, match=problem):
        helm.template(values(**given))


def test_the_pod_outlives_everything_it_sent(helm: Helm) -> None:
    settings = OperatorSettings()
    drain = max(settings.quickbooks_server_timeout, settings.token_timeout) + DRAIN_MARGIN
    manifests = helm.template(values())
    grace = one(manifests, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    least = schema["properties"]["terminationGracePeriodSeconds"]["minimum"]
    assert grace > least > drain.total_seconds()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "qbsync:0.1.0"),
        ({"repository": "registry.example.com/qbsync", "tag": "edge"}, "registry.example.com/qbsync:edge"),
        ({"tag": "edge", "digest": f"sha256:{'0' * 64}"}, f"qbsync@sha256:{'0' * 64}"),
    ],
)
def test_image(helm: Helm, image: Mapping[str, str], expected: str) -> None:
    assert container(helm.template(values(image=image)))["image"] == expected


WEBHOOKS = values(
    webhooks={"enabled": True, "service": {"port": 80, "annotations": {"example.com/way": "in"}}}
)


@pytest.mark.parametrize("given", [values(), FULL, WEBHOOKS], ids=["defaults", "everything", "webhooks"])
def test_the_operator_knows_every_argument(helm: Helm, given: Mapping[str, Any]) -> None:
    """With all its arguments understood, the first thing that it misses is the key."""
    rendered = container(helm.template(given))
    plain = {entry["name"]: entry["value"] for entry in rendered["env"] if "value" in entry}
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("QBSYNC_", "ENCRYPTION_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", "from qbsync.cli.main import main; main()", *rendered["args"]],
        env=environ | plain,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("qbsync: ENCRYPTION_MASTER_KEY is not set"), done.stderr


def test_a_keyring_is_mounted_instead_of_one_key_in_the_environment(helm: Helm) -> None:
    manifests = helm.template(values(encryption={"existingSecret": KEYS, "keyring": True}))
    environment = {entry["name"]: entry.get("value") for entry in container(manifests)["env"]}
    assert not {"ENCRYPTION_MASTER_KEY", "ENCRYPTION_SALT"} & environment.keys()
    mounts = {mount["mountPath"]: mount for mount in container(manifests)["volumeMounts"]}
    mount = mounts[environment["ENCRYPTION_KEY_DIR"]]
    assert mount["readOnly"] is True
    volumes = one(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": mount["name"], "secret": {"secretName": KEYS}} in volumes


def test_webhooks_have_a_port_and_a_service_of_their_own(helm: Helm) -> None:
    manifests = helm.template(WEBHOOKS)
    services = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "Service"}
    assert set(services) == {"qbsync-metrics", "qbsync-webhooks"}
    service = services["qbsync-webhooks"]
    assert service["metadata"]["annotations"] == {"example.com/way": "in"}
    assert service["spec"]["ports"] == [{"name": "webhooks", "port": 80, "targetPort": "webhooks"}]
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    rendered = container(manifests)
    ports = {port["name"]: port["containerPort"] for port in rendered["ports"]}
    environment = {entry["name"]: entry for entry in rendered["env"]}
    assert environment["QBSYNC_WEBHOOK_LISTEN"]["value"] == f":{ports['webhooks']}"
    assert environment["POD_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
    without = container(helm.template(values()))
    assert not {"QBSYNC_WEBHOOK_LISTEN", "POD_IP"} & {entry["name"] for entry in without["env"]}
    assert [port["name"] for port in without["ports"]] == ["http"]


def test_everything_given_arrives(helm: Helm) -> None:
    manifests = helm.template(FULL)
    deployment = one(manifests, "Deployment")
    pod = deployment["spec"]["template"]
    assert deployment["spec"]["replicas"] == 2
    assert pod["metadata"]["annotations"] == FULL["podAnnotations"]
    assert pod["metadata"]["labels"].items() > FULL["podLabels"].items()
    for name in ("priorityClassName", "nodeSelector", "tolerations", "affinity", "imagePullSecrets"):
        assert pod["spec"][name] == FULL[name]
    assert pod["spec"]["topologySpreadConstraints"] == FULL["topologySpreadConstraints"]
    assert (
        one(manifests, "ServiceAccount")["metadata"]["annotations"] == FULL["serviceAccount"]["annotations"]
    )
    assert one(manifests, "Service")["metadata"]["annotations"] == FULL["metrics"]["service"]["annotations"]
    assert {"name": "QBSYNC_TOKEN_TIMEOUT", "value": "30s"} in container(manifests)["env"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"rbac": {"create": False}}, {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
        ({"watchNamespaces": ["billing"]}, {"ClusterRole", "ClusterRoleBinding"}),
        ({"serviceAccount": {"create": False, "name": "mine"}}, {"ServiceAccount"}),
        ({"metrics": {"service": {"enabled": False}}}, {"Service"}),
        ({"crds": {"install": False}}, {"CustomResourceDefinition"}),
    ],
)
def test_what_is_not_wanted_is_not_there(helm: Helm, given: Mapping[str, Any], missing: set[str]) -> None:
    everything = {manifest["kind"] for manifest in helm.template(values())}
    assert everything - {manifest["kind"] for manifest in helm.template(values(**given))} == missing


# -- the CustomResourceDefinitions ------------------------------------------------------------------------


@pytest.mark.usefixtures("crds_installed")
def test_its_crds_are_those_of_the_repository(helm: Helm, kubectl: Kubectl) -> None:
    crds = [
        manifest for manifest in helm.template(values()) if manifest["kind"] == "CustomResourceDefinition"
    ]
    assert len(crds) == 2
    assert {crd["metadata"]["annotations"]["helm.sh/resource-policy"] for crd in crds} == {"keep"}
    arguments = (
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    )
    applied = kubectl.json(*arguments, stdin=as_list(crds))["items"]
    for crd in applied:
        stored = kubectl.json("get", "crd", crd["metadata"]["name"])
        assert crd["spec"] == stored["spec"]
        assert crd["metadata"]["generation"] == stored["metadata"]["generation"]


def test_crds_may_go_with_the_release(helm: Helm) -> None:
    crds = helm.template(values(crds={"keep": False}))
    assert (
        "annotations"
        not in next(crd for crd in crds if crd["kind"] == "CustomResourceDefinition")["metadata"]
    )


# -- installed ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """The chart, applied."""

    manifests: list[Manifest]
    namespace: str
    account: str

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.account}"


class Installer(Protocol):
    """Renders and applies the chart in the test's namespace."""

    def __call__(self, **given: Any) -> Release: ...


@pytest.fixture
def install(helm: Helm, kubectl: Kubectl, namespace: str, crds_installed: None) -> Iterator[Installer]:
    """Server-side apply, strictly validated; what is outside the namespace is deleted afterwards."""
    outside: list[Manifest] = []

    def run(**given: Any) -> Release:
        # The release is called as the namespace: ClusterRoles are everybody's.
        manifests = helm.template(
            values(crds={"install": False}, fullnameOverride=namespace, **given),
            release=namespace,
            namespace=namespace,
        )
        outside.extend(manifest for manifest in manifests if "namespace" not in manifest["metadata"])
        kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=as_list(manifests))
        return Release(manifests, namespace, one(manifests, "ServiceAccount")["metadata"]["name"])

    yield run
    if outside:
        kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=as_list(outside))


@pytest.fixture
def other(kubectl: Kubectl, namespace: str) -> Iterator[str]:
    """Another namespace of the test's own."""
    name = f"{namespace}-other"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def allowed(kubectl: Kubectl, user: str, namespace: str, resources: Sequence[str]) -> dict[str, set[str]]:
    """What a user may do in a namespace ("" is all of them), per `group/resource[/subresource]`."""
    questions = [(resource, verb) for resource in resources for verb in VERBS]
    reviews = [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user,
                "groups": groups_of(user),
                "resourceAttributes": attributes(resource, verb, namespace),
            },
        }
        for resource, verb in questions
    ]
    template = '{{.status.allowed}}{{"\\n"}}'
    answers = kubectl("create", "-f", "-", "-o", f"go-template={template}", stdin=as_list(reviews)).split()
    found: dict[str, set[str]] = {resource: set() for resource in resources}
    for (resource, verb), answer in zip(questions, answers, strict=True):
        if answer == "true":
            found[resource].add(verb)
    return found


def groups_of(user: str) -> list[str]:
    """The groups that a service account is in without anybody saying so."""
    return ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}", "system:authenticated"]


def attributes(resource: str, verb: str, namespace: str) -> dict[str, str]:
    group, _, rest = resource.partition("/")
    name, _, subresource = rest.partition("/")
    return {
        "group": group,
        "resource": name,
        "subresource": subresource,
        "verb": verb,
        "namespace": namespace,
    }


OF_OBJECTS: Mapping[str, Set[str]] = {
    "qbsync.dev/quickbooksconnections": READ | {"patch"},
    "qbsync.dev/invoicesyncs": READ | {"patch"},
    "qbsync.dev/quickbooksconnections/status": {"get", "patch"},
    "qbsync.dev/invoicesyncs/status": {"get", "patch"},
    "/secrets": {"get", "create", "update", "patch", "delete"},
    "events.k8s.io/events": {"create", "patch"},
}
NEVER: Mapping[str, Set[str]] = dict.fromkeys(
    (
        "/events",
        "/configmaps",
        "/pods",
        "/pods/exec",
        "/serviceaccounts",
        "/serviceaccounts/token",
        "apps/deployments",
        "rbac.authorization.k8s.io/roles",
        "rbac.authorization.k8s.io/clusterroles",
        "apiextensions.k8s.io/customresourcedefinitions",
    ),
    frozenset(),
)
NOTHING: Mapping[str, Set[str]] = dict.fromkeys(OF_OBJECTS, frozenset())
LEASE = {"get", "create", "update"}


def test_cluster_wide_it_may_do_what_it_must_and_no_more(
    install: Installer, kubectl: Kubectl, other: str
) -> None:
    user = install().user
    expected = {**OF_OBJECTS, **NEVER, "/namespaces": {"get"}, "coordination.k8s.io/leases": set()}
    assert allowed(kubectl, user, other, list(expected)) == expected
    assert allowed(kubectl, user, "", list(expected)) == expected
    own = allowed(kubectl, user, user.split(":")[2], ["coordination.k8s.io/leases"])
    assert own == {"coordination.k8s.io/leases": LEASE}


def test_in_namespaces_it_may_do_the_same_there_and_nothing_elsewhere(
    install: Installer, kubectl: Kubectl, other: str
) -> None:
    user = install(watchNamespaces=[other]).user
    inside = {**OF_OBJECTS, **NEVER, "/namespaces": {"get"}, "coordination.k8s.io/leases": set()}
    assert allowed(kubectl, user, other, list(inside)) == inside
    outside = {**NOTHING, **NEVER, "/namespaces": set()}
    assert allowed(kubectl, user, "", list(outside)) == outside
    own = {**NOTHING, **NEVER, "coordination.k8s.io/leases": LEASE}
    assert allowed(kubectl, user, user.split(":")[2], list(own)) == own


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("list", "secrets", "--all-namespaces"), "no"),
        (("watch", "secrets", "--all-namespaces"), "no"),
        (("deletecollection", "secrets", "--all-namespaces"), "no"),
        (("get", "secrets", "--all-namespaces"), "yes"),
        (("patch", "invoicesyncs.qbsync.dev", "--subresource=status", "--all-namespaces"), "yes"),
        (("patch", "invoicesyncs.qbsync.dev", "--all-namespaces"), "yes"),
        (("update", "invoicesyncs.qbsync.dev", "--all-namespaces"), "no"),
        (("delete", "invoicesyncs.qbsync.dev", "--all-namespaces"), "no"),
        (("create", "quickbooksconnections.qbsync.dev", "--all-namespaces"), "no"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_can_i(install: Installer, kubectl: Kubectl, question: tuple[str, ...], answer: str) -> None:
    try:
        said = kubectl("auth", "can-i", *question, "--as", install().user)
    except RuntimeError:
        said = "no"
    assert said.strip() == answer


def test_the_pod_is_restricted(install: Installer, kubectl: Kubectl, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    template = one(install().manifests, "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**template["metadata"], "name": "operator", "namespace": namespace}
    create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    admitted = kubectl.json(*create, stdin=json.dumps(pod))
    assert admitted["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    pod["spec"] = {**template["spec"], "securityContext": {"runAsUser": 0}}
    with pytest.raises(RuntimeError, match='violates PodSecurity "restricted'):
        kubectl(*create, stdin=json.dumps(pod))


def test_everything_that_can_be_given_is_accepted(install: Installer, other: str) -> None:
    given = {name: value for name, value in FULL.items() if name not in {"encryption", "watchNamespaces"}}
    assert install(watchNamespaces=[other], **given).manifests


def test_helm_installs_upgrades_and_uninstalls_it(
    bin_dir: Path, tmp_path: Path, kubectl: Kubectl, namespace: str, crds_installed: None
) -> None:
    helm = Helm(bin_dir / "helm", tmp_path, kubectl.kubeconfig)
    upgrade = ("upgrade", "--install", namespace, str(CHART), "--namespace", namespace)
    given = ("--set", f"encryption.existingSecret={KEYS},crds.install=false,fullnameOverride={namespace}")
    assert f"qbsync 0.1.0 is installed in namespace {namespace}, watching all namespaces" in helm(
        *upgrade, *given
    )
    assert kubectl("get", "clusterrole", namespace, "--ignore-not-found", "-o", "name")
    told = helm(*upgrade, *given, "--set", "watchNamespaces={" + namespace + "}")
    assert f"watching {namespace}." in told
    assert not kubectl("get", "clusterrole", namespace, "--ignore-not-found", "-o", "name")
    helm("uninstall", namespace, "--namespace", namespace)
    assert not kubectl("get", "deployment,role,rolebinding,service", "-n", namespace, "-o", "name")


# -- the operator with the chart's rights -----------------------------------------------------------------


class Operator:
    """`qbsync operator` as the chart's container would run it, but beside the cluster."""

    def __init__(self, kubectl: Kubectl, release: Release, folder: Path) -> None:
        self._log = folder / "operator.log"
        rendered = container(release.manifests)
        environ = os.environ | {
            "KUBECONFIG": str(kubeconfig_of(kubectl, release, folder)),
            "QBSYNC_LISTEN": "127.0.0.1:0",
            "QBSYNC_OPERATOR_NAMESPACE": release.namespace,
            "ENCRYPTION_MASTER_KEY": "passphrase:only for the tests of the chart, never used",
            "ENCRYPTION_SALT": "salt of the chart's tests",
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from qbsync.cli.main import main; main()", *rendered["args"]],
                env=environ,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def page(self, path: str) -> str:
        """What it serves there, once it says where it listens."""
        started = re.search(r'"listen": ?"([^"]+)"', self.log)
        if started is None:
            return ""
        try:
            with urllib.request.urlopen(f"http://{started[1]}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout=60)
        finally:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.poll() is None


def kubeconfig_of(kubectl: Kubectl, release: Release, folder: Path) -> Path:
    """The admin's kubeconfig, with a token of the chart's account instead of the admin's."""
    config = kubectl.json("config", "view", "--raw", "--minify")
    token = kubectl("create", "token", release.account, "--namespace", release.namespace).strip()
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def until(condition: Any, operator: Operator, what: str, seconds: float = 60) -> None:
    """Wait for what no event tells, as long as the operator runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert operator.running, operator.log
        assert time.monotonic() < deadline, f"{what}:\n{operator.log}"
        time.sleep(0.1)


def connection(namespace: str, instance: str) -> Manifest:
    return {
        "apiVersion": "qbsync.dev/v1alpha1",
        "kind": "QuickBooksConnection",
        "metadata": {"name": "acme", "namespace": namespace, "labels": {"qbsync.dev/instance": instance}},
        "spec": {
            "realmId": "9341453908123456",
            "environment": "Sandbox",
            "clientSecretRef": {"name": "acme-intuit-app"},
            "importTokensFrom": {"name": "acme-tokens-import"},
        },
    }


def invoice(namespace: str, instance: str, name: str, policy: str, *finalizers: str) -> Manifest:
    return {
        "apiVersion": "qbsync.dev/v1alpha1",
        "kind": "InvoiceSync",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"qbsync.dev/instance": instance},
            "finalizers": list(finalizers),
        },
        "spec": {
            "connectionRef": {"name": "acme"},
            "invoice": {
                "docNumber": name.upper(),
                "customer": {"id": "1"},
                "lines": [{"item": {"id": "1"}, "quantity": "1", "unitPrice": "10"}],
            },
            "deletionPolicy": policy,
        },
    }


@pytest.mark.parametrize("scope", ["cluster", "namespaces"])
def test_the_operator_works_with_these_rights(
    install: Installer, kubectl: Kubectl, other: str, tmp_path: Path, scope: str
) -> None:
    """It leads, watches, reads Secrets, writes both statuses, posts Events, takes finalizers off; nothing is
    forbidden to it.
    """
    narrow = {"watchNamespaces": [other]} if scope == "namespaces" else {}
    # An instance of its own: other tests' objects are theirs.
    release = install(instance=other, extraArgs=["--lease-duration=3s"], **narrow)
    operator = Operator(kubectl, release, tmp_path)
    try:
        until(lambda: "qbsync_leader 1.0" in operator.page("/metrics"), operator, "it does not lead")
        assert operator.page("/livez") == operator.page("/readyz") == "ok"
        documents = [connection(other, other), invoice(other, other, "inv-1", "Delete")]
        kubectl("apply", "--server-side", "-f", "-", stdin=as_list(documents))

        def reasons() -> dict[str, str]:
            found = kubectl.json("get", "qbconnections,invoicesyncs", "-n", other)["items"]
            return {
                item["kind"]: condition["reason"]
                for item in found
                for condition in item["status"].get("conditions", [])
                if condition["type"] == "Ready"
            }

        expected = {"QuickBooksConnection": "SecretNotFound", "InvoiceSync": "NotPermitted"}
        until(lambda: reasons() == expected, operator, "the statuses are not written")
        events = ("get", "events.events.k8s.io", "-n", other, "-o", "jsonpath={.items[*].reason}")
        until(lambda: "InvoiceRejected" in kubectl(*events), operator, "no Event is posted")
        # Nothing was ever sent for it, so its deletion has nothing to wait for.
        voided = invoice(other, other, "inv-2", "Void", "qbsync.dev/invoice")
        kubectl("apply", "--server-side", "-f", "-", stdin=as_list([voided]))
        kubectl("delete", "invoicesync", "inv-2", "-n", other, "--timeout=60s")
        lease = kubectl.json("get", "lease", f"qbsync-{other}", "-n", release.namespace)
        assert lease["spec"]["holderIdentity"]
    finally:
        code = operator.end()
    assert code == 0, operator.log
    assert "forbidden" not in operator.log.lower()
