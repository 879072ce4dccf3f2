"""HTML that is escaped by construction: a text becomes markup only by passing through `tag`."""

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "hr", "input", "link", "meta"})
_FROM_PYTHON = {"class_": "class", "for_": "for", "type_": "type"}


class Html(str):
    """Markup that is safe to send. Only this module makes any from texts."""

    __slots__ = ()


Child = object
"""A text (escaped), Html (as it is), None (nothing), a number, or an iterable of these."""
Attribute = str | int | bool | None


def tag(element: str, /, *children: Child, **attributes: Attribute) -> Html:
    """An element. Attributes: `class_`, `for_`, `data_key` and the like; True is a bare one, None and False none."""
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if element in _VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{joined(*children)}</{element}>")


def joined(*children: Child) -> Html:
    """Children one after another."""
    return Html("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str) or not isinstance(child, Iterable):
        return escape(str(child))
    return "".join(_child(each) for each in child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = _FROM_PYTHON.get(key, key.replace("_", "-"))
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
