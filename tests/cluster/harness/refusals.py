"""The API server refuses one kind of write in a stage's namespace: a step that never succeeds."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cluster.harness.stage import Stage
from cluster.harness.watching import eventually

_KINDS = ("validatingadmissionpolicybinding", "validatingadmissionpolicy")
_MESSAGE = "not today, says the test"


@dataclass(frozen=True)
class Write:
    """Writes of one kind; `probe` is such a write, to be tried without effect."""

    group: str
    resource: str
    operation: str
    probe: tuple[str, ...]
    name: str = ""
    """Only of the object of that name."""


_PATCH = ("--type=merge", "-p")
STATUS = Write(
    "qbsync.dev",
    "quickbooksconnections/status",
    "UPDATE",
    (
        *("patch", "qbconnection", "acme", "--subresource=status", *_PATCH),
        '{"status":{"lastTest":{"time":"2026-11-23T09:00:00Z","result":"probe of the test"}}}',
    ),
)
"""Every status of a connection."""
CONNECTIONS = Write(
    "qbsync.dev", "quickbooksconnections", "UPDATE", ("annotate", "qbconnection", "acme", "probe=1")
)
"""Every change of a connection: its finalizers, for one. Deleting it is none."""
SECRETS = Write("", "secrets", "UPDATE", ("annotate", "secret", "acme-intuit-app", "probe=1"))
"""Every change of a Secret."""
SECRETS_DELETED = Write("", "secrets", "DELETE", ("delete", "secret", "acme-intuit-app"))
"""Every deletion of a Secret."""
TOKENS_CREATED = Write(
    "", "secrets", "CREATE", ("create", "secret", "generic", "acme-qbsync-tokens"), "acme-qbsync-tokens"
)
"""The making of the token Secret."""

Refuse = Callable[[Write], "Refusal"]


class Refusal:
    """One kind of write, refused until `end`."""

    def __init__(self, stage: Stage, write: Write) -> None:
        self._stage, self._write = stage, write
        self._name = f"{stage.namespace}.{write.operation.lower()}.{write.resource.replace('/', '.')}"

    def begin(self) -> None:
        """Refuse; returns once that is in force."""
        for document in (self._policy(), self._binding()):
            self._stage.kubectl("create", "-f", "-", stdin=json.dumps(document))
        eventually(self._stands, what=f"{self._write.operation} of {self._write.resource} refused")

    def end(self) -> None:
        """Such writes are taken again. May be repeated."""
        for kind in _KINDS:
            self._stage.kubectl("delete", kind, self._name, "--ignore-not-found")
        eventually(
            lambda: not self._stands(), what=f"{self._write.operation} of {self._write.resource} taken"
        )

    def _stands(self) -> bool:
        try:
            self._stage.kubectl(*self._write.probe, "-n", self._stage.namespace, "--dry-run=server")
        except RuntimeError as error:
            return _MESSAGE in str(error)
        return False

    def _policy(self) -> dict[str, Any]:
        rule = {
            "apiGroups": [self._write.group],
            "apiVersions": ["*"],
            "operations": [self._write.operation],
            "resources": [self._write.resource],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self._name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [{"name": "name", "expression": self._which()}],
                "validations": [{"expression": "false", "message": _MESSAGE, "reason": "Forbidden"}],
            },
        }

    def _which(self) -> str:
        return f"object.metadata.name == '{self._write.name}'" if self._write.name else "true"

    def _binding(self) -> dict[str, Any]:
        selector = {"matchLabels": {"kubernetes.io/metadata.name": self._stage.namespace}}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self._name},
            "spec": {
                "policyName": self._name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            },
        }


@contextmanager
def refusals(stage: Stage) -> Iterator[Refuse]:
    """`refuse(write)` begins one; all have ended when the block is left."""
    begun: list[Refusal] = []

    def refuse(write: Write) -> Refusal:
        refusal = Refusal(stage, write)
        begun.append(refusal)
        refusal.begin()
        return refusal

    try:
        yield refuse
    finally:
        for refusal in begun:
            refusal.end()
