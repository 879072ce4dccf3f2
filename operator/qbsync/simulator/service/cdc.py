"""Change data capture: what has changed in a company since a moment, deleted entities included."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import starmap

from qbsync.simulator.calls import Call
from qbsync.simulator.entities.kinds import ELSEWHERE, KINDS, Kind
from qbsync.simulator.faults import (
    Refusal,
    business_rule,
    missing_parameters,
    unreadable_property,
    unsupported_operation,
)
from qbsync.simulator.pacific import parse_moment
from qbsync.simulator.service.execute import Setting

LOOK_BACK = timedelta(days=30)
# Intuit: learn/explore-the-quickbooks-online-api/change-data-capture.
_NOT_FED = frozenset({"journalcode", "taxagency", "timeactivity", "taxcode", "taxrate"})
_NAMES = {name.lower(): name for name in (*KINDS, *ELSEWHERE) if name.lower() not in _NOT_FED}


def changes(setting: Setting, call: Call) -> bytes:
    """The content of CDCResponse: one QueryResponse per entity asked for. Raises Refusal."""
    names = _names(call.params.get("entities", ""))
    since = _since(setting, call.params.get("changedSince", ""))
    kinds: Sequence[Kind] = [KINDS[name] for name in names if name in KINDS]
    limit = int(setting.world.switches.number("maxChanges"))
    found: Mapping[str, Sequence[bytes]] = setting.world.ledger.changes(
        setting.company, kinds, since, setting.moment, limit=limit
    )
    answers = starmap(_answer, ((name, found.get(name, ())) for name in names))
    return b'[{"QueryResponse":[%b]}]' % b",".join(answers)


def _names(listed: str) -> Sequence[str]:
    """The entities asked for, in QuickBooks' spelling; the recorded request has another. Raises Refusal."""
    asked = [name.strip() for name in listed.split(",") if name.strip()]
    if not asked:
        raise missing_parameters("entities")
    unknown = [name for name in asked if name.lower() not in _NAMES]
    if unknown:
        raise unsupported_operation(f"cdc on {unknown[0]}")
    return list(dict.fromkeys(_NAMES[name.lower()] for name in asked))


def _since(setting: Setting, text: str) -> datetime:
    if not text:
        raise missing_parameters("changedSince")
    # An unescaped + of the offset arrives as a blank.
    since = parse_moment(text.strip().replace(" ", "+"))
    if since is None:
        raise unreadable_property(f"changedSince {text}")
    return _looking_back(setting, since)


def _looking_back(setting: Setting, since: datetime) -> datetime:
    oldest = setting.moment.now - LOOK_BACK
    how = setting.world.switches.choice("changesLookBack")
    if since >= oldest or how == "all":
        return since
    if how == "refuse":
        raise _too_far_back()
    return oldest


def _too_far_back() -> Refusal:
    return business_rule("The changedSince value must be within the last 30 days")


def _answer(name: str, rows: Sequence[bytes]) -> bytes:
    """Without totalCount, as recorded; `{}` where nothing has changed."""
    if not rows:
        return b"{}"
    count = len(rows)
    return b'{"%b":[%b],"startPosition":1,"maxResults":%d}' % (name.encode(), b",".join(rows), count)
