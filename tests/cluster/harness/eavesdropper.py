"""A proxy before the simulator's OAuth endpoints that remembers every secret it sees, and where to look for them."""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, quote

import httpx2

if TYPE_CHECKING:
    from cluster.harness.stage import Stage

TOKEN_PATH = "/oauth2/v1/tokens/bearer"
_TOKEN = re.compile(r'"(access_token|refresh_token)"\s*:\s*"([^"]*)')


class Eavesdropper:
    """Serves `token_url`, and other paths of `origin`, until the `with` block is left; `secrets` is what it heard."""

    def __init__(self, base_url: str) -> None:
        self.secrets: set[str] = set()
        """Codes, access tokens, refresh tokens, client secrets and Basic credentials."""
        self.codes: list[str] = []
        """That were sent to be exchanged, one for each time."""
        self.revoked: list[str] = []
        """Tokens that were sent to be revoked."""
        self.answers: list[dict[str, str]] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.hear_request(self.headers["Authorization"], body)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                self.close_connection = True
                try:
                    answer, content = _forward(f"{base_url}{self.path}", body, headers)
                except httpx2.TransportError:
                    return
                heard.hear_answer(content)
                self.send_response(answer.status_code)
                for name in ("content-type", "content-length", "intuit_tid"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def token_url(self) -> str:
        return self.origin + TOKEN_PATH

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def hear_request(self, authorization: str | None, body: bytes) -> None:
        if authorization:
            basic = authorization.partition(" ")[2]
            self.secrets |= {basic, base64.b64decode(basic).decode().partition(":")[2]}
        if body.startswith(b"{"):
            self.revoked.append(json.loads(body)["token"])
        form = parse_qs(body.decode())
        self.codes += form.get("code", ())
        self.secrets |= {*form.get("refresh_token", ()), *self.codes, *self.revoked}

    def hear_answer(self, content: bytes) -> None:
        # Perhaps only the beginning of one.
        found = dict(_TOKEN.findall(content.decode()))
        self.secrets |= {token for token in found.values() if len(token) >= 24}
        if found:
            self.answers.append(found)


def _forward(url: str, body: bytes, headers: dict[str, str]) -> tuple[httpx2.Response, bytes]:
    """The answer, and its content as far as it came. Raises `TransportError` where there is none."""
    content = b""
    with (
        httpx2.stream("POST", url, content=body, headers=headers, trust_env=False, timeout=30) as answer,
        contextlib.suppress(httpx2.RemoteProtocolError),
    ):
        for chunk in answer.iter_raw():
            content += chunk
    return answer, content


def shapes(secret: str) -> Iterator[str]:
    """How a secret may look where it should not be: plain, escaped, encoded, or only the greater part of it."""
    yield secret
    yield secret[: max(len(secret) * 2 // 3, 16)]
    yield secret[-max(len(secret) * 2 // 3, 16) :]
    yield quote(secret, safe="")
    raw = secret.encode()
    # base64 depends on where in a block the text begins: what does not depend on its neighbours is looked for.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode()
        yield encoded[4 if shift else 0 : len(encoded) - 8]
    yield raw.hex()


def leaks(text: str, secrets: set[str]) -> list[str]:
    """Which secrets stand in a text, in any shape: their first letters."""
    return [secret[:8] for secret in secrets if any(shape in text for shape in shapes(secret))]


RESOURCES = (
    "quickbooksconnections.qbsync.dev",
    "invoicesyncs.qbsync.dev",
    "secrets",
    "configmaps",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
)


def stored(stage: "Stage") -> dict[str, str]:
    """All that is in the stage's two namespaces, Secrets decoded; the client Secrets, which people wrote, left out."""
    texts = {}
    for namespace in (stage.namespace, stage.operator_namespace):
        for resource in RESOURCES:
            found = stage.kubectl.json("get", resource, "-n", namespace, "--show-managed-fields")["items"]
            for body in found:
                name = body["metadata"]["name"]
                if not name.endswith("-intuit-app"):
                    texts[f"{resource}/{namespace}/{name}"] = text_of(body)
    return texts


def text_of(body: dict[str, Any]) -> str:
    """An object as JSON, and a Secret's content in plain."""
    encoded = (body.get("data") or {}).values() if body["kind"] == "Secret" else ()
    decoded = [base64.b64decode(value).decode(errors="replace") for value in encoded]
    return "\n".join([json.dumps(body), *decoded])
