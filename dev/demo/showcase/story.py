"""What is shown, and what has to be true of it."""

import base64
import json
import secrets
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from showcase.kubernetes import ROOT, Kubernetes
from showcase.processes import Child
from showcase.quickbooks import QuickBooks, until
from showcase.screen import Screen

QBSYNC = str(Path(sys.executable).with_name("qbsync"))
EXAMPLES = ROOT / "examples" / "demo"
NAMESPACE = "billing"
CONNECTION = "craigs-design"
SERVER_TIMEOUT, LEASE = "5s", "3s"
HELD_SECONDS = 1.5
EXPECTED = {
    "inv-2001": ("True", "Created"),
    "inv-2002": ("True", "Adopted"),
    "inv-2003": ("False", "DocNumberConflict"),
    "inv-2004": ("False", "ReferenceNotFound"),
    "inv-2005": ("True", "Recovered"),
}
"""Ready and its reason at the end."""


class Story:
    """One run of the demo. Everything it starts ends when the stack is closed."""

    def __init__(self, screen: Screen, folder: Path, ends: ExitStack) -> None:
        self.screen, self._folder, self._ends = screen, folder, ends
        self._master_key = "base64:" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._operators = 0
        self.kubernetes: Kubernetes
        self.quickbooks: QuickBooks
        self._operator: Child

    def play(self) -> None:
        """All of it, in order. Raises `DemoError` where it cannot go on."""
        self._set_up()
        self._connect()
        before = len(self.quickbooks.invoices())
        self._sync()
        self._lose_an_answer()
        self._apply_again()
        self._look(before)

    # -- the stage -----------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        screen = self.screen
        screen.title("1 · Kubernetes, QuickBooks and the operator, on this machine")
        screen.say("kube-apiserver, etcd, controller manager (built the first time, which takes minutes) …")
        self.kubernetes = Kubernetes(self._folder / "controlplane")
        self._ends.callback(self.kubernetes.stop)
        screen.check(f"a real kube-apiserver, {self._version()}", True)

        flags = ("--json", "--port", "0", "--server-timeout", SERVER_TIMEOUT)
        simulator = Child("simulator", [QBSYNC, "simulator", *flags], folder=self._folder)
        self._ends.callback(simulator.stop, seconds=5)
        with screen.waiting("the QuickBooks simulator starts"):
            self.quickbooks = QuickBooks(simulator.first_line())
        self._ends.callback(self.quickbooks.close)
        screen.check(f"QuickBooks, simulated: {self.quickbooks.url}, company {self.quickbooks.realm}", True)

        with screen.waiting("CustomResourceDefinitions and namespace"):
            self._install()
        self._operator = self._start_operator()
        with screen.waiting("the operator starts"):
            self._operator.log_line('"leading"')
        screen.check(f"qbsync operator, process {self._operator.pid}, leads", True)

    def _version(self) -> str:
        return str(
            json.loads(self.kubernetes.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        )

    def _install(self) -> None:
        kubectl = self.kubernetes.kubectl
        kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        kubectl("create", "namespace", NAMESPACE)

    def _start_operator(self) -> Child:
        self._operators += 1
        flags = (
            "--allow-custom-endpoints",
            "--quickbooks-server-timeout",
            SERVER_TIMEOUT,
            "--lease-duration",
            LEASE,
        )
        operator = Child(
            f"operator-{self._operators}",
            [QBSYNC, "operator", *flags],
            folder=self._folder,
            environment={
                "KUBECONFIG": str(self.kubernetes.kubeconfig),
                "ENCRYPTION_MASTER_KEY": self._master_key,
            },
        )
        self._ends.callback(operator.stop, seconds=30)
        return operator

    # -- the scenes ----------------------------------------------------------------------------------------

    def _connect(self) -> None:
        screen, kubernetes = self.screen, self.kubernetes
        screen.title("2 · A company is connected")
        screen.say("Its refresh token is imported, stored encrypted, and emptied where it came from.")
        screen.command(f"kubectl apply -f {_shown(EXAMPLES / 'connection.yaml')}   # with its two Secrets")
        grant = self.quickbooks.grant
        kubernetes.apply(
            _secret("intuit-app", client_id=grant["client_id"], client_secret=grant["client_secret"]),
            _secret("tokens-import", refresh_token=grant["refresh_token"]),
            self._connection(),
        )
        with screen.waiting("Ready"):
            self._wait(f"qbconnection/{CONNECTION}", "Ready")
        self._show("get", "qbconnections", "-n", NAMESPACE)
        stored = self._data(f"{CONNECTION}-qbsync-tokens")
        screen.command(f"kubectl get secret {CONNECTION}-qbsync-tokens -n {NAMESPACE} -o yaml   # in part")
        screen.output(f"data.envelope, decoded: {stored['envelope'][:72]}…")
        imported = self._data(f"{CONNECTION}-tokens-import")
        screen.check("the imported refresh token has been emptied", imported["refresh_token"] == "")
        plaintext = any(
            str(grant[name]) in "".join(stored.values()) for name in ("refresh_token", "access_token")
        )
        screen.check("the Secret holds no token in plain text", not plaintext)

    def _connection(self) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load((EXAMPLES / "connection.yaml").read_text())
        url = self.quickbooks.url
        document["spec"]["realmId"] = self.quickbooks.realm
        document["spec"]["endpoints"] = {"api": url, "token": f"{url}/oauth2/v1/tokens/bearer"}
        return document

    def _sync(self) -> None:
        screen, quickbooks = self.screen, self.quickbooks
        screen.title("3 · InvoiceSyncs become invoices")
        there = quickbooks.create_invoice("INV-2002", 460.40, customer="1", item="6")
        other = quickbooks.create_invoice("INV-2003", 1250.00, customer="1", item="6")
        quickbooks.let_pass(5)
        screen.say(
            f"QuickBooks already has INV-2002 (id {there}), and INV-2003 with another amount (id {other})."
        )
        invoices = EXAMPLES / "invoices.yaml"
        screen.command(f"kubectl apply -f {_shown(invoices)}")
        screen.output(self.kubernetes.kubectl("apply", "--server-side", "-f", str(invoices)))
        with screen.waiting("all four settled"):
            for name, (status, _) in EXPECTED.items():
                if name != "inv-2005":
                    self._wait(f"invoicesync/{name}", f"Ready={status}")
        self._show("get", "invoicesyncs", "-n", NAMESPACE)
        screen.say("inv-2002 was adopted. Why the other two need somebody:")
        for name in ("inv-2003", "inv-2004"):
            screen.output(f"{name}: {self._ready(name)['message']}")
        self._check_reasons("inv-2001", "inv-2002", "inv-2003", "inv-2004")
        adopted = self._invoicesync("inv-2002")["status"]
        screen.check(f"inv-2002 is invoice {there}, as it was", adopted["quickbooksId"] == there)

    def _lose_an_answer(self) -> None:
        screen, quickbooks = self.screen, self.quickbooks
        screen.title("4 · The operator is killed while QuickBooks creates an invoice")
        quickbooks.hold_next_create(HELD_SECONDS)
        file = EXAMPLES / "invoice-with-a-lost-answer.yaml"
        screen.command(f"kubectl apply -f {_shown(file)}")
        self.kubernetes.kubectl("apply", "--server-side", "-f", str(file))
        with screen.waiting("the create reaches QuickBooks"):
            until(quickbooks.creates_at_work, what="the create reaches QuickBooks")
        screen.command(f"kill -9 {self._operator.pid}")
        self._operator.kill()
        recorded = self._invoicesync("inv-2005").get("status", {}).get("quickbooksId")
        with screen.waiting("QuickBooks goes on alone"):
            until(lambda: quickbooks.invoices("INV-2005"), what="QuickBooks creates INV-2005")
        screen.check("QuickBooks has INV-2005, and Kubernetes does not know", recorded is None)
        self._operator = self._start_operator()
        with screen.waiting(f"another operator takes over when the dead one's lease of {LEASE} has run out"):
            self._operator.log_line('"leading"')
            self._wait("invoicesync/inv-2005", "Ready")
        self._show("get", "invoicesync", "inv-2005", "-n", NAMESPACE)
        self._check_reasons("inv-2005")
        screen.check("there is one INV-2005", len(quickbooks.invoices("INV-2005")) == 1)

    def _apply_again(self) -> None:
        screen, quickbooks = self.screen, self.quickbooks
        screen.title("5 · The same manifests again")
        before, versions = quickbooks.calls(), self._versions()
        screen.command(f"kubectl apply -f {_shown(EXAMPLES / 'invoices.yaml')}")
        self.kubernetes.kubectl("apply", "--server-side", "-f", str(EXAMPLES / "invoices.yaml"))
        screen.check("no call to QuickBooks", quickbooks.calls() == before)
        screen.check("no write to Kubernetes", self._versions() == versions)

    def _look(self, before: int) -> None:
        screen = self.screen
        screen.title("6 · What there is now")
        self._show("get", "qbconnections,invoicesyncs", "-n", NAMESPACE)
        more = len(self.quickbooks.invoices()) - before
        screen.check(f"QuickBooks has {more} invoices more: two made by hand, two by the operator", more == 4)
        for number in ("INV-2001", "INV-2002", "INV-2003", "INV-2005"):
            if len(self.quickbooks.invoices(number)) != 1:
                screen.check(f"exactly one {number}", holds=False)
        self._check_reasons(*EXPECTED)

    def invite(self) -> None:
        """The commands to try next."""
        screen, invoice = self.screen, self._invoicesync("inv-2001")["status"]["quickbooksId"]
        pay = f"{self.quickbooks.url}/_simulator/invoices/{invoice}/pay"
        screen.title("Try it yourself, in another terminal; Ctrl-C here ends everything")
        screen.command(f"export KUBECONFIG={shlex.quote(str(self.kubernetes.kubeconfig))}")
        screen.command(f'export PATH="{self.kubernetes.tools}:$PATH"')
        screen.command(f"kubectl get qbconnections,invoicesyncs -n {NAMESPACE} -o wide")
        screen.command(f"kubectl describe invoicesync inv-2004 -n {NAMESPACE}")
        screen.say("A customer pays, and you ask for a sync:")
        screen.command(f"curl -s -H 'Content-Type: application/json' -d '{{}}' {pay}")
        screen.command(
            f"kubectl annotate invoicesync inv-2001 -n {NAMESPACE} --overwrite qbsync.dev/requested-at=$(date +%s)"
        )
        screen.say("The token is refreshed now:")
        screen.command(
            f"kubectl annotate qbconnection {CONNECTION} -n {NAMESPACE} --overwrite qbsync.dev/requested-at=$(date +%s)"
        )
        screen.say("An object is deleted and comes back, and its invoice is found again:")
        screen.command(f"kubectl delete invoicesync inv-2001 -n {NAMESPACE}")
        screen.command(f"kubectl apply --server-side -f {_shown(EXAMPLES / 'invoices.yaml')}")
        screen.say(
            f"The books: {self.quickbooks.url}/_simulator/state    The operator's log: {self._operator.log}"
        )

    # -- looking -------------------------------------------------------------------------------------------

    def _show(self, *arguments: str) -> None:
        self.screen.command(f"kubectl {' '.join(arguments)}")
        self.screen.output(self.kubernetes.kubectl(*arguments))

    def _wait(self, what: str, condition: str) -> None:
        flags = (f"--for=condition={condition}", "-n", NAMESPACE, "--timeout=90s")
        self.kubernetes.kubectl("wait", what, *flags)

    def _check_reasons(self, *names: str) -> None:
        for name in names:
            status, reason = EXPECTED[name]
            found = self._ready(name)
            holds = (found.get("status"), found.get("reason")) == (status, reason)
            told = "" if holds else f", but it is {found.get('status')}, {found.get('reason')}"
            self.screen.check(f"{name}: Ready is {status}, {reason}{told}", holds)

    def _invoicesync(self, name: str) -> dict[str, Any]:
        return dict(self.kubernetes.get("invoicesync", name, "-n", NAMESPACE))

    def _ready(self, name: str) -> dict[str, Any]:
        conditions = self._invoicesync(name).get("status", {}).get("conditions", [])
        return next((dict(entry) for entry in conditions if entry["type"] == "Ready"), {})

    def _versions(self) -> dict[str, str]:
        found = self.kubernetes.get("invoicesyncs", "-n", NAMESPACE)["items"]
        return {body["metadata"]["name"]: body["metadata"]["resourceVersion"] for body in found}

    def _data(self, name: str) -> dict[str, str]:
        data = self.kubernetes.get("secret", name, "-n", NAMESPACE)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def _secret(suffix: str, **data: str) -> dict[str, Any]:
    metadata = {"name": f"{CONNECTION}-{suffix}", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))
