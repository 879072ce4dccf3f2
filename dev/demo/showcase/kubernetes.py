"""The demo's Kubernetes: a control plane of its own, and kubectl."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from showcase.errors import DemoError

ROOT = Path(__file__).resolve().parents[3]
CONTROLPLANE = ROOT / "dev" / "controlplane" / "controlplane"


class Kubernetes:
    """A control plane that ends with this process, and kubectl for it."""

    def __init__(self, folder: Path) -> None:
        """Start it; the first time on a machine its programs are built, which shows its own progress."""
        tools = _controlplane("bin")
        self.kubeconfig = Path(_controlplane("up", str(folder), "--until-pid", str(os.getpid())))
        self.folder, self.tools = folder, Path(tools)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(folder / "kubectl-cache"),
        }

    def stop(self) -> None:
        """End it now."""
        _controlplane("down", str(self.folder), quiet=True)

    def kubectl(self, *arguments: str, stdin: str = "", seconds: float = 120) -> str:
        """What kubectl prints. Raises `DemoError` with kubectl's own words."""
        try:
            done = subprocess.run(
                [str(self.tools / "kubectl"), *arguments],
                env=self._environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"kubectl {' '.join(arguments)} did not end in {seconds:.0f} s") from None
        if done.returncode != 0:
            raise DemoError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """`kubectl get`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *documents: object) -> str:
        """`kubectl apply --server-side` of documents made here."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        return self.kubectl("apply", "--server-side", "-f", "-", stdin=listed)


def _controlplane(*arguments: str, quiet: bool = False) -> str:
    stderr = subprocess.DEVNULL if quiet else None
    done = subprocess.run(
        [str(CONTROLPLANE), *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False
    )
    if done.returncode != 0 and not quiet:
        raise DemoError(f"dev/controlplane/controlplane {arguments[0]} failed, see above")
    return done.stdout.strip()
