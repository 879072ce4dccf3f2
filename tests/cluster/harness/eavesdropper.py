"""A proxy before the simulator's token endpoint that remembers every secret that passes through it."""

import base64
import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, quote

import httpx2

TOKEN_PATH = "/oauth2/v1/tokens/bearer"
_TOKEN = re.compile(r'"(access_token|refresh_token)"\s*:\s*"([^"]*)')


class Eavesdropper:
    """Serves `token_url` until the `with` block is left; `secrets` is what it has heard."""

    def __init__(self, base_url: str) -> None:
        self.secrets: set[str] = set()
        """Access tokens, refresh tokens, client secrets and Basic credentials."""
        self.answers: list[dict[str, str]] = []
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.hear_request(self.headers["Authorization"], body)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                url = f"{base_url}{self.path}"
                with httpx2.stream(
                    "POST", url, content=body, headers=headers, trust_env=False, timeout=30
                ) as answer:
                    content = b""
                    # An answer that is cut off is handed on as it came.
                    with contextlib.suppress(httpx2.RemoteProtocolError):
                        for chunk in answer.iter_raw():
                            content += chunk
                heard.hear_answer(content)
                self.send_response(answer.status_code)
                for name in ("content-type", "content-length", "intuit_tid"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{TOKEN_PATH}"

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
        self.secrets |= set(parse_qs(body.decode()).get("refresh_token", ()))

    def hear_answer(self, content: bytes) -> None:
        # Perhaps only the beginning of one.
        found = dict(_TOKEN.findall(content.decode()))
        self.secrets |= {token for token in found.values() if len(token) >= 24}
        if found:
            self.answers.append(found)


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
