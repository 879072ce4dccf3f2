"""How the page is made: contrast and width of every screen, the policy that keeps scripts out, the control token."""

import httpx2
import pytest
from playwright.sync_api import Page, expect

from fixtures.simulator_server import RunningSimulator, minimal_invoice

from .conftest import OpenPage

SCREENS = (
    "/",
    "/invoices",
    "/invoices/105",
    "/invoices/105/edit",
    "/payments",
    "/customers",
    "/customers/1",
    "/items",
    "/tokens",
    "/requests",
    "/webhooks",
    "/companies",
    "/switches",
    "/faults",
    "/clock",
)

# Every visible text against what is painted behind it, and every control's border: as WCAG AA asks (1.4.3, 1.4.11).
POOR_CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const dialog of document.querySelectorAll("main dialog")) dialog.setAttribute("open", "");
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.nodeValue.trim() || !element.checkVisibility() || element.closest("template, .unseen, .skip")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const found = ratio(parse(style.color), behind(element));
    if (found < wanted) poor.push(`${node.nodeValue.trim().slice(0, 40)}: ${found.toFixed(2)}`);
  }
  for (const element of document.querySelectorAll("input, select, textarea")) {
    if (!element.checkVisibility() || element.type === "hidden") continue;
    const found = ratio(parse(getComputedStyle(element).borderTopColor), behind(element.parentElement));
    if (found < 3) poor.push(`border of ${element.name}: ${found.toFixed(2)}`);
  }
  for (const dialog of document.querySelectorAll("main dialog")) dialog.removeAttribute("open");
  return poor;
}"""

NAMELESS = """() => [
  ...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a, summary"),
].filter((each) => !(each.labels?.length || each.textContent.trim() || each.getAttribute("aria-label")))
  .map((each) => `no name: ${each.outerHTML}`)
  .concat(document.querySelectorAll("h1").length === 1 ? [] : ["not one h1"])"""


@pytest.fixture
def lively(simulator: RunningSimulator) -> RunningSimulator:
    """A simulator with something of everything to show."""
    headers = {"authorization": f"Bearer {simulator.tokens()['access_token']}"}
    base = f"{simulator.base_url}/v3/company/{simulator.realm_id}/"
    with httpx2.Client(base_url=base, headers=headers, trust_env=False) as api:
        long = {"DocNumber": "INV-2026-000000000042", "PrivateNote": "x" * 300}
        assert api.post("invoice?requestid=a-1", json=minimal_invoice(**long)).status_code == 200
        assert api.post("customer", json={"DisplayName": "W" * 100}).status_code == 200
        api.get("query", params={"query": f"SELECT * FROM Invoice WHERE DocNumber = '{'9' * 200}'"})
        api.get("invoice/99999")
    simulator.post("/_simulator/invoices/105/pay", {"amount": 1000})
    simulator.post("/_simulator/invoices/111/void")
    simulator.fault({"operation": "create"}, {"drop": "after"}, times=None)
    simulator.switch(duplicateDocCheck=True)
    return simulator


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_of_every_screen(open_page: OpenPage, lively: RunningSimulator, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(14, 19, 17)") == (scheme == "dark")
    wrong = {}
    for path in SCREENS:
        page.goto(path)
        found = page.evaluate(POOR_CONTRAST)
        if scheme == "light":
            found += page.evaluate(NAMELESS) + too_wide(page)
            ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
            found += sorted({each for each in ids if ids.count(each) > 1})
        if found:
            wrong[path] = found
    assert wrong == {}


def too_wide(page: Page) -> list[str]:
    """At which widths of the window the screen is wider."""
    found = []
    for width in (360, 390, 640, 900, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if excess > 0:
            found.append(f"at {width}: {excess} too wide")
    return found


def test_the_policy_keeps_foreign_and_inline_scripts_out(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          window.blocked = [];
          document.addEventListener("securitypolicyviolation", (e) => window.blocked.push(e.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.broken = 1";
          document.body.append(script);
          const style = document.createElement("style");
          style.textContent = "body { display: none }";
          document.body.append(style);
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:1/x.png";
          document.body.append(image);
        }"""
    )
    page.wait_for_function("window.blocked.length >= 3")
    assert set(page.evaluate("window.blocked")) == {"script-src-elem", "style-src-elem", "img-src"}
    assert page.evaluate("window.broken") is None
    expect(page.locator("h1")).to_be_visible()
    complaints.clear()


def test_no_other_page_can_frame_it(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page()
    framing = f"<h1>elsewhere</h1><iframe src='{page.url}'></iframe>"
    page.route("**/elsewhere", lambda route: route.fulfill(body=framing, content_type="text/html"))
    page.goto("/elsewhere")
    assert page.frames[1].url == "chrome-error://chromewebdata/"
    (complaint,) = complaints
    assert "frame-ancestors 'none'" in complaint
    complaints.clear()


def test_off_loopback_the_page_asks_for_the_control_token_once(
    open_page: OpenPage, complaints: list[str]
) -> None:
    with RunningSimulator("--host", "0.0.0.0", "--control-token", "open sesame") as guarded:
        page = open_page("/invoices", base_url=guarded.base_url)
        expect(page.get_by_role("dialog")).to_be_visible()
        assert "1003" not in page.content()
        enter(page, "wrong")
        expect(page.get_by_role("alert")).to_have_text("That is not the control token.")
        complaints.remove("Failed to load resource: the server responded with a status of 401 (Unauthorized)")
        enter(page, "open sesame")
        page.get_by_role("link", name="1003").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Invoice 1003")
        page.get_by_role("button", name="Receive payment").click()
        page.get_by_role("button", name="Receive", exact=True).click()
        expect(page.locator("#answer")).to_contain_text("Payment received")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Invoice 1003")
        page.close()


def enter(page: Page, token: str) -> None:
    page.get_by_label("Control token").fill(token)
    page.get_by_role("button", name="Open").click()
