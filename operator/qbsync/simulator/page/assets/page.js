// The page's only script. The server renders every screen; this brings screens in without a reload, sends forms to the
// control door as JSON, shows what it answered, and keeps the screen up to date while anybody looks.
//
// Attributes it knows, on forms:
//   data-send="POST"      the form goes to its `action` as JSON; a name with dots is a path (`match.operation`)
//   data-done="…"         what to say when it went well       data-then="/…"   the screen to go to then
//   data-changed          only what was changed is sent       data-at-once     sent on every change
// on controls: data-type="number|json|always", data-empty="text|null" (empty ones are left out without it)
// on buttons: data-opens / data-closes (dialogs), data-copy (a grant), data-adds + data-into, data-drops (lines)
// on elements: data-key (the same thing on the next version of the screen)

const DOOR = "/_simulator";
const TOKEN = "qbsync-control-token";
const EVERY = 2000;
const SLOWEST = 15000;
const SECRET = /^(access_token|refresh_token|id_token|client_?secret|verifier_?token)$/i;

const screen = document.getElementById("screen");
const answer = document.getElementById("answer");
const guarded = document.body.hasAttribute("data-guarded");
let here = location.pathname + location.search;
let loading = 0;

class Refused extends Error {
  constructor(status, document) {
    super(reason(document) || `HTTP ${status}`);
    this.status = status;
    this.document = document;
  }
}

// ---- Asking the server

async function ask(path, { method = "GET", body } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, { method, headers, body, credentials: "same-origin", cache: "no-store" });
  if (response.status === 401 && guarded) {
    sessionStorage.removeItem(TOKEN);
    askForToken(token ? "That is not the control token." : "");
    throw new Refused(401, { error: "The control token is wanted." });
  }
  return response;
}

function reason(document) {
  const errors = document?.Fault?.Error ?? document?.fault?.error;
  if (!errors) return document?.error ?? "";
  return errors
    .map((each) => `${each.Message ?? each.message}${each.Detail ?? each.detail ? `: ${each.Detail ?? each.detail}` : ""}` +
      ` (${each.code}${each.element ? `, ${each.element}` : ""})`)
    .join("\n");
}

function masked(value) {
  if (Array.isArray(value)) return value.map(masked);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [
    name,
    SECRET.test(name) && typeof each === "string" && !each.includes("…") ? `${each.slice(0, 4)}…${each.slice(-4)}` : masked(each),
  ]));
}

// ---- Screens

async function load(address, { fresh = false, quietly = false } = {}) {
  const mine = ++loading;
  const response = await ask(`${DOOR}/page${address}`);
  const text = await response.text();
  if (mine !== loading) return;
  const next = new DOMParser().parseFromString(text, "text/html");
  const content = next.getElementById("screen");
  if (!content) throw new Refused(response.status, { error: text });
  document.title = next.title;
  if (fresh) {
    screen.replaceChildren(...content.childNodes);
    scrollTo(0, 0);
    screen.querySelector("h1")?.focus({ preventScroll: true });
  } else {
    bringUpToDate(screen, content, quietly);
  }
}

async function go(address, { push = true } = {}) {
  const fresh = new URL(address, location.href).pathname !== new URL(here, location.href).pathname;
  try {
    here = address;
    if (push) history.pushState(null, "", address);
    await load(address, { fresh });
  } catch (error) {
    if (!(error instanceof Refused && error.status === 401)) location.assign(address);
  }
}

// The new version of a screen over the old one: what is the same stays, with its focus, its scroll and what is typed.
function bringUpToDate(old, next, quietly) {
  const keyed = new Map([...old.children].map((each) => [keyOf(each), each]).filter(([key]) => key));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const key = child.nodeType === Node.ELEMENT_NODE ? keyOf(child) : null;
    let found = key ? keyed.get(key) : place;
    if (!key && found?.nodeType === Node.ELEMENT_NODE && keyOf(found)) found = null;
    if (!found || found.nodeName !== child.nodeName) {
      old.insertBefore(child, place);
      continue;
    }
    if (found !== place) old.insertBefore(found, place);
    place = found.nextSibling;
    if (found.nodeType === Node.ELEMENT_NODE) refresh(found, child, quietly);
    else if (found.nodeValue !== child.nodeValue) found.nodeValue = child.nodeValue;
  }
  while (place) {
    const following = place.nextSibling;
    if (!(quietly && place.contains(document.activeElement))) place.remove();
    place = following;
  }
}

function keyOf(element) {
  return element.dataset?.key || element.id || null;
}

function refresh(old, next, quietly) {
  if (old.isEqualNode(next)) return;
  if (quietly && old.matches("form[data-changed], dialog[open]")) return;
  const busy = old === document.activeElement || (quietly && old.matches("input, select") && changed(old));
  const kept = old.matches("details, dialog") ? ["open"] : old.matches("button.menu") ? ["aria-expanded"] : [];
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...next.attributes]) {
    if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  }
  if (old.matches("input") && !busy) {
    if (old.type === "checkbox") old.checked = next.hasAttribute("checked");
    else if (old.type !== "hidden") old.value = next.getAttribute("value") ?? "";
  }
  bringUpToDate(old, next, quietly);
  if (old.matches("select") && !busy) old.value = next.value;
}

// ---- Forms

function payload(form) {
  const body = {};
  const only = form.hasAttribute("data-changed");
  for (const control of form.elements) {
    if (!control.name || control.disabled || control.closest("[data-line]")) continue;
    if (only && !changed(control)) continue;
    const value = valueOf(control);
    if (value !== undefined) put(body, control.name, value);
  }
  const lines = form.querySelector(".lines");
  if (lines && linesChanged(lines)) body.Line = linesOf(lines);
  return body;
}

function changed(control) {
  if (control.matches("select")) return [...control.options].some((each) => each.selected !== each.defaultSelected);
  return control.type === "checkbox" ? control.checked !== control.defaultChecked : control.value !== control.defaultValue;
}

function valueOf(control) {
  if (control.type === "checkbox") return control.dataset.empty === "omit" && !control.checked ? undefined : control.checked;
  const text = control.value;
  if (text.trim() === "") return { text: "", null: null }[control.dataset.empty];
  switch (control.dataset.type) {
    case "number": return numberOf(text);
    case "always": return numberOf(text) || null;
    case "json": return JSON.parse(text);
    default: return text;
  }
}

function numberOf(text) {
  const bare = text.replaceAll(",", "").trim();
  return /^-?(\d+\.?\d*|\.\d+)$/.test(bare) ? Number(bare) : text;
}

function put(target, path, value) {
  const steps = path.split(".");
  const last = steps.pop();
  for (const step of steps) target = target[step] ??= {};
  target[last] = value;
}

function linesOf(lines) {
  return [...lines.querySelectorAll("[data-line]")].map((each) => {
    const line = JSON.parse(each.dataset.line);
    for (const control of each.querySelectorAll("[data-path]")) {
      const value = valueOf(control);
      if (value !== undefined) put(line, control.dataset.path, value);
      else remove(line, control.dataset.path);
    }
    return line;
  });
}

function remove(target, path) {
  const steps = path.split(".");
  const last = steps.pop();
  for (const step of steps) target = target?.[step];
  if (target) delete target[last];
}

function linesChanged(lines) {
  return lines.hasAttribute("data-moved") || [...lines.querySelectorAll("[data-path]")].some(changed);
}

async function send(form) {
  const refused = form.querySelector(".refused");
  const method = form.dataset.send;
  const path = form.getAttribute("action");
  const buttons = [...form.querySelectorAll("button")].filter((each) => !each.disabled);
  buttons.forEach((each) => { each.disabled = true; });
  if (refused) refused.hidden = true;
  try {
    const body = method === "DELETE" ? undefined : JSON.stringify(payload(form));
    const response = await ask(path, { method, body });
    const document = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response.status, document);
    form.closest("dialog")?.close();
    if (!form.hasAttribute("data-at-once")) form.reset();
    if (form.dataset.then) await go(form.dataset.then);
    else await load(here);
    show({ method, path, status: response.status, text: form.dataset.done, document });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return;
    const text = error instanceof Refused ? error.message : `No answer: ${error.message}`;
    if (refused) {
      refused.textContent = text;
      refused.hidden = false;
    }
    if (form.hasAttribute("data-at-once")) form.reset();
    if (!form.closest("dialog")) show({ method, path, status: error.status, text, document: error.document, failed: true });
  } finally {
    buttons.forEach((each) => { each.disabled = false; });
  }
}

function show({ method, path, status, text, document: body, failed = false }) {
  const head = make("p", "answer-head", make("strong", "", text || "Done"));
  const closing = make("button", "quiet", "Dismiss");
  closing.type = "button";
  closing.addEventListener("click", () => { answer.hidden = true; });
  head.append(closing);
  const request = make("p", "answer-request", make("code", "", `${method} ${path.split("?")[0]}`), ` ${status ?? ""}`);
  answer.replaceChildren(head, request);
  if (body && Object.keys(body).length) {
    const full = make("pre", "", make("code", "", JSON.stringify(masked(body), null, 2)));
    full.tabIndex = 0;
    answer.append(make("details", "", make("summary", "", "The whole answer"), full));
  }
  answer.classList.toggle("failed", failed);
  answer.hidden = false;
}

function make(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

async function copy(button) {
  try {
    const response = await ask(button.dataset.copy, { method: "POST", body: "{}" });
    const grant = await response.json();
    if (!response.ok) throw new Refused(response.status, grant);
    await toClipboard(JSON.stringify(grant, null, 2));
    show({ method: "POST", path: button.dataset.copy, status: response.status, text: "Tokens copied to the clipboard" });
  } catch (error) {
    show({ method: "POST", path: button.dataset.copy, status: error.status, text: `Not copied: ${error.message}`, failed: true });
  }
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain http off loopback has no clipboard API.
  const area = make("textarea", "unseen");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (!copied) throw new Error("this browser does not allow it");
}

// ---- What people do

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) press(button);
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  link.closest("details.switcher")?.removeAttribute("open");
  closeMenu();
  go(address.pathname + address.search);
});

function press(button) {
  const { opens, copy: grant, adds, into } = button.dataset;
  if (opens) document.getElementById(opens)?.showModal();
  if ("closes" in button.dataset) button.closest("dialog").close();
  if (grant) copy(button);
  if (adds) {
    const made = document.getElementById(adds).content.cloneNode(true);
    const lines = document.getElementById(into);
    lines.append(made);
    lines.dataset.moved = "";
    lines.lastElementChild.querySelector("select, input")?.focus();
  }
  if ("drops" in button.dataset) {
    const lines = button.closest(".lines");
    lines.dataset.moved = "";
    const neighbour = button.closest("[data-line]").nextElementSibling ?? lines.parentElement;
    button.closest("[data-line]").remove();
    neighbour.querySelector("select, input, button")?.focus();
  }
  if (button.matches(".menu")) button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
}

function closeMenu() {
  document.querySelector("button.menu")?.setAttribute("aria-expanded", "false");
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  closeMenu();
  document.querySelector("details.switcher[open]")?.removeAttribute("open");
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id === "token-form") {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, form.elements.token.value);
    form.reset();
    start().then(() => document.getElementById("token").close(), () => {});
  } else if (form.dataset.send) {
    event.preventDefault();
    // Enter in a field is a change first, and that has been sent by now.
    if (!form.hasAttribute("data-at-once")) send(form);
  } else if (form.matches(".filters")) {
    event.preventDefault();
    narrow(form);
  }
});

function narrow(form) {
  const wanted = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const query = wanted.toString();
  here = form.getAttribute("action") + (query ? `?${query}` : "");
  history.replaceState(null, "", here);
  load(here).catch(lost);
}

let typed;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form?.matches(".filters")) {
    clearTimeout(typed);
    typed = setTimeout(() => narrow(form), event.target.matches("select") ? 0 : 250);
  }
  const line = event.target.closest("[data-line]");
  if (line && /Qty|UnitPrice/.test(event.target.dataset.path ?? "")) multiply(line);
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.hasAttribute("data-at-once")) send(form);
});

// Qty x UnitPrice, half up to cents, in whole numbers: QuickBooks refuses any other Amount with 6070.
function multiply(line) {
  const [qty, price] = ["Qty", "UnitPrice"].map((each) => line.querySelector(`[data-path$="${each}"]`)?.value.trim() ?? "");
  if (!/^\d+(\.\d+)?$/.test(qty) || !/^\d+(\.\d+)?$/.test(price)) return;
  const places = (text) => text.split(".")[1]?.length ?? 0;
  const whole = BigInt(qty.replace(".", "")) * BigInt(price.replace(".", ""));
  const unit = 10n ** BigInt(places(qty) + places(price));
  const cents = (whole * 200n + unit) / (unit * 2n);
  line.querySelector('[data-path="Amount"]').value = `${cents / 100n}.${String(cents % 100n).padStart(2, "0")}`;
}

addEventListener("popstate", () => go(location.pathname + location.search, { push: false }));

// ---- Keeping up to date: one small question every two seconds, and none while nobody looks

let seen = 0;
let timer;
let wait = EVERY;

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const response = await ask(`${DOOR}/requests?limit=1&since=${seen}`);
    if (!response.ok) throw new Refused(response.status, {});
    const { next, requests } = await response.json();
    const news = requests.length > 0 || next !== seen;
    seen = next;
    if (news) await load(here, { quietly: true });
    found();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return;
    lost();
  }
  timer = setTimeout(poll, wait);
}

function found() {
  wait = EVERY;
  note("");
}

function lost() {
  wait = Math.min(wait * 2, SLOWEST);
  note("No connection");
}

function note(text) {
  const place = document.getElementById("connection");
  if (place && place.textContent !== text) place.textContent = text;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else poll();
});

// The clock runs on between two screens.
setInterval(() => {
  const now = document.getElementById("now");
  if (!now || document.hidden) return;
  if (now.dataset.now !== now.shown) {
    now.shown = now.dataset.now;
    now.since = performance.now();
  }
  const time = new Date(Number(now.dataset.now) + performance.now() - now.since);
  now.textContent = `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}, 1000);

// ---- The control token

function askForToken(text) {
  const dialog = document.getElementById("token");
  const refused = dialog.querySelector(".refused");
  refused.textContent = text;
  refused.hidden = !text;
  if (!dialog.open) dialog.showModal();
}

async function start() {
  if (guarded) await load(here, { fresh: true });
  seen = Number(document.querySelector("[data-seen]")?.dataset.seen ?? 0);
  await poll();
}

document.documentElement.classList.add("scripted");
if (guarded && !sessionStorage.getItem(TOKEN)) askForToken("");
else start().catch(lost);
