"""A person connects a company with `qbsync connect`, at the simulator's consent page."""

import os
import subprocess
import threading
from typing import Any

import httpx2

from cluster.harness import manifests
from cluster.harness.stage import Stage
from cluster.operator_process import COMMAND
from sdk.consent import Person

CODE_SECRET = "acme-qbsync-authorization"
TOKENS = "acme-qbsync-tokens"
REVOKE_PATH = "/v2/oauth2/tokens/revoke"


def unconnected(
    stage: Stage, *, token_url: str = "", api_url: str = "", revoke_url: str = "", **spec: Any
) -> None:
    """A connection whose app is known and that nobody has connected; endpoints are the simulator's own."""
    base = stage.simulator.base_url
    document = stage.connection(token_url=token_url, **spec)
    del document["spec"]["importTokensFrom"]
    document["spec"]["endpoints"] |= {
        "api": api_url or base,
        "authorize": f"{base}/connect/oauth2",
        "revoke": revoke_url or base + REVOKE_PATH,
    }
    stage.apply(manifests.client_secret("acme", stage.simulator.tokens()), document)


class Connecting:
    """`qbsync connect` under way: the link that it printed, and how it ends."""

    def __init__(self, stage: Stage, *options: str) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("QBSYNC_", "ENCRYPTION_"))
        }
        self._process = subprocess.Popen(
            [str(COMMAND), "connect", f"{stage.namespace}/acme", "--no-browser", "--port", "0", *options],
            env=environment | {"KUBECONFIG": str(stage.kubectl.kubeconfig)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._timer = threading.Timer(120, self._process.kill)
        self._timer.start()
        self.url = self._process.stdout.readline().strip()

    def consent(self, company: str | None = None, button: str = "Approve") -> str:
        """The person decides; the address that the browser is sent to."""
        with Person() as person:
            return person.decide(self.url, button, company)

    def follow(self, address: str) -> httpx2.Response:
        """The browser goes where it was sent, but does not follow the next step."""
        return httpx2.get(address, trust_env=False, timeout=30)

    def end(self, pasted: str = "") -> tuple[int, str]:
        """Exit code, and all that was said."""
        out, err = self._process.communicate(pasted, timeout=120)
        self._timer.cancel()
        return self._process.returncode, self.url + out + err


def connect(stage: Stage, company: str | None = None) -> tuple[int, str, str]:
    """The whole way; exit code, what was said, and the code."""
    connecting = Connecting(stage)
    address = connecting.consent(company)
    answer = connecting.follow(address)
    assert answer.status_code == 303
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "code=" not in answer.headers["location"]
    code, said = connecting.end()
    return code, said, str(httpx2.URL(address).params["code"])
