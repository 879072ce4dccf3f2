"""The consent page in a real browser: its rules about origins, frames and referrers are what protects a person."""

import queue
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright

from fixtures.simulator_server import RunningSimulator

pytestmark = pytest.mark.browser


class App:
    """An app's site: a callback that notes what it gets, and a page that frames whatever address it is given."""

    def __init__(self) -> None:
        self.called: queue.SimpleQueue[tuple[dict[str, list[str]], str | None]] = queue.SimpleQueue()
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                body = "thank you"
                if parts.path == "/callback":
                    app.called.put((query, self.headers.get("referer")))
                elif parts.path == "/frame":
                    body = f'<iframe name="inner" src="{query["of"][0].replace("&", "&amp;")}"></iframe>'
                self.send_response(200)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    with RunningSimulator() as running:
        running.realm("9130350000000001")
        yield running


@pytest.fixture
def app() -> Iterator[App]:
    subject = App()
    yield subject
    subject.close()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def consent(simulator: RunningSimulator, app: App) -> str:
    query = {
        "client_id": simulator.ready["client_id"],
        "response_type": "code",
        "scope": "com.intuit.quickbooks.accounting openid",
        "redirect_uri": f"{app.url}/callback",
        "state": "s-1",
    }
    return f"{simulator.base_url}/connect/oauth2?{urlencode(query)}"


def test_a_person_approves_with_the_keyboard_alone(simulator: RunningSimulator, app: App, page: Page) -> None:
    page.goto(consent(simulator, app))
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Approve"
    page.keyboard.press("Enter")
    page.wait_for_url(f"{app.url}/callback?*")
    answer, referer = app.called.get(timeout=10)
    assert (answer["realmId"], answer["state"], "code" in answer) == (["9130350000000001"], ["s-1"], True)
    assert referer is None


def test_a_person_denies(simulator: RunningSimulator, app: App, page: Page) -> None:
    page.goto(consent(simulator, app))
    page.get_by_role("button", name="Deny").click()
    page.wait_for_url(f"{app.url}/callback?*")
    answer, _ = app.called.get(timeout=10)
    assert answer == {"error": ["access_denied"], "state": ["s-1"]}


def test_no_site_can_frame_the_page(simulator: RunningSimulator, app: App, page: Page) -> None:
    page.goto(f"{app.url}/frame?{urlencode({'of': consent(simulator, app)})}")
    frame = page.frame("inner")
    assert frame is not None
    assert frame.url.startswith("chrome-error:")
