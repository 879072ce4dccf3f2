"""The properties QuickBooks knows (Finance.xsd, v75 era): unknown ones are refused with 2010, nested ones too."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from qbsync.simulator.entities.list_shapes import LISTS
from qbsync.simulator.entities.money import representable
from qbsync.simulator.entities.shapes import Shape
from qbsync.simulator.entities.transaction_shapes import TRANSACTIONS
from qbsync.simulator.faults import unknown_property, unreadable_property
from qbsync.simulator.jsoncodec import JsonObject

STRUCTURES: Mapping[str, Mapping[str, Shape]] = {**TRANSACTIONS, **LISTS}
"""Every entity and every part of one, by name; its properties by name."""

_JAVA_NAMES = {
    "Ref": "ReferenceType",
    "MetaData": "ModificationMetaData",
    "Memo": "MemoRef",
    "Email": "EmailAddress",
    "Phone": "TelephoneNumber",
    "Web": "WebSiteAddress",
    "Address": "PhysicalAddress",
}
"""What faults call the parts that have another name here."""

_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T+Z-].*)?", re.DOTALL)


def conform(entity: str, body: JsonObject, *, refuse_unknown: bool) -> JsonObject:
    """The body in QuickBooks' types: strings, Decimals, ISO dates; nulls dropped, and empty texts that are no strings.

    Raises Refusal 2010 for unknown properties (unless they are to be ignored) and for values of another type.
    """
    try:
        return _structure(entity, body, refuse_unknown)
    except RecursionError:
        raise unreadable_property("Lines nested too deeply") from None


def _structure(name: str, value: Any, refuse_unknown: bool) -> JsonObject:
    if not isinstance(value, dict):
        kind = _JAVA_NAMES.get(name, name)
        raise unreadable_property(
            f"Can not instantiate value of type [simple type, class com.intuit.schema.finance.v3.{kind}] "
            f"from {_java_type(value)} value; no single-String constructor/factory method"
        )
    known = STRUCTURES[name]
    result: JsonObject = {}
    for field, content in value.items():
        shape = known.get(field)
        if shape is None:
            if refuse_unknown:
                raise unknown_property(_JAVA_NAMES.get(name, name), field, known)
        elif content is not None and not (content == "" and shape != "string"):
            # SDKs send their empty fields too: an empty text is no date and no number, and is taken for nothing.
            result[field] = _value(shape, field, content, refuse_unknown)
    return result


def _value(shape: Shape, field: str, content: Any, refuse_unknown: bool) -> Any:
    if isinstance(shape, tuple):
        entries = content if isinstance(content, list) else [content]
        return [_value(shape[0], field, entry, refuse_unknown) for entry in entries if entry is not None]
    scalar = _SCALARS.get(shape)
    if scalar is not None:
        return scalar(field, content)
    return content if shape == "any" else _structure(shape, content, refuse_unknown)


def _string(field: str, content: Any) -> str:
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, (str, int, Decimal)):
        return str(content)
    raise _wrong_type("java.lang.String", field, content)


def _number(field: str, content: Any) -> Decimal:
    if isinstance(content, bool) or not isinstance(content, (str, int, Decimal)):
        raise _wrong_type("java.math.BigDecimal", field, content)
    try:
        value = Decimal(content)
    except (InvalidOperation, ValueError):
        raise _wrong_type("java.math.BigDecimal", field, content) from None
    if not representable(value):
        raise _wrong_type("java.math.BigDecimal", field, content)
    return value


def _bool(field: str, content: Any) -> bool:
    if isinstance(content, bool):
        return content
    if content in ("true", "false"):
        return bool(content == "true")
    raise _wrong_type("java.lang.Boolean", field, content)


def _date(field: str, content: Any) -> str:
    match = _DATE.fullmatch(content) if isinstance(content, str) else None
    if match is None:
        raise _wrong_type("java.util.Date", field, content)
    try:
        return date.fromisoformat(match[1]).isoformat()
    except ValueError:
        raise _wrong_type("java.util.Date", field, content) from None


_SCALARS = {"string": _string, "number": _number, "bool": _bool, "date": _date}


def _wrong_type(java: str, field: str, content: Any) -> Exception:
    shown = str(content)[:50] if isinstance(content, (str, int, bool)) else _java_type(content)
    return unreadable_property(f"Can not construct instance of {java} from {field} value '{shown}'")


def _java_type(value: Any) -> str:
    if isinstance(value, str):
        return "String"
    return {list: "Array", dict: "Object", bool: "Boolean"}.get(type(value), "Number")
