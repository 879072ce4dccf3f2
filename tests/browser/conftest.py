"""The page in the system's chromium: one browser and one simulator for a module, a clean slate for each test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from fixtures.simulator_server import RunningSimulator

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is. Its absence is a failure where CI is set, else a reason to skip."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is not None:
        return found
    reason = f"none of {', '.join(_NAMES)} is installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


# One per module and not per session: while playwright runs, its worker could run no other test's event loop.
@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSimulator]:
    with RunningSimulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running: RunningSimulator) -> RunningSimulator:
    """The module's simulator, as new."""
    running.reset()
    return running


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains about; a test that provokes something takes it out."""
    return []


@pytest.fixture
def open_page(browser: Browser, simulator: RunningSimulator, complaints: list[str]) -> Iterator[OpenPage]:
    """Open a screen in a context of its own. Any complaint left at the end fails the test."""
    contexts: list[BrowserContext] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    def opened(path: str = "/", *, width: int = 1280, base_url: str = "", **options: object) -> Page:
        context = browser.new_context(
            base_url=base_url or simulator.base_url,
            viewport={"width": width, "height": 900},
            **options,  # type: ignore[arg-type]
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
