"""A person before the consent page: reads its form as a browser would, and presses one of its buttons."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Self
from urllib.parse import urljoin

import httpx2


@dataclass
class Form:
    """The form of a page: where it goes, what is filled in, and its submit buttons by their text."""

    action: str = ""
    method: str = "get"
    fields: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)
    buttons: dict[str, tuple[str, str]] = field(default_factory=dict)


class Person:
    """Opens an authorization address, decides, and reports the address that the app is called back at.

    The callback itself is not fetched: nobody needs to listen there.
    """

    def __init__(self) -> None:
        self._browser = httpx2.Client(trust_env=False, timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()

    def open(self, url: str) -> Form:
        """The form of the page at `url`."""
        page = self._browser.get(url)
        assert page.status_code == 200, page.text
        assert page.headers["content-type"].startswith("text/html")
        reader = _Reader()
        reader.feed(page.text)
        return reader.form

    def decide(self, url: str, button: str = "Approve", company: str | None = None) -> str:
        """Press a button of the consent page at `url`, with the first company or the one named."""
        form = self.open(url)
        name, value = form.buttons[button]
        content = {**form.fields, name: value}
        if company is not None:
            assert company in form.choices["realmId"]
            content["realmId"] = company
        assert form.method == "post"
        answer = self._browser.post(urljoin(url, form.action), data=content)
        assert answer.status_code in {302, 303}, answer.text
        return str(answer.headers["location"])


class _Reader(HTMLParser):
    """Collects the one form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.form = Form()
        self._select = ""
        self._button: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        name, value = values.get("name", ""), values.get("value", "")
        if tag == "form":
            self.form.action, self.form.method = values["action"], values["method"].lower()
        elif tag == "input":
            self.form.fields[name] = value
        elif tag == "select":
            self._select = name
        elif tag == "option":
            self.form.choices.setdefault(self._select, []).append(value)
            self.form.fields.setdefault(self._select, value)
        elif tag == "button":
            self._button = (name, value)

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self.form.buttons[data.strip()] = self._button
            self._button = None
