"""The feed of changes (CDC): what was made, changed or deleted since a time; cut off without saying so."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from qbsync.simulator import jsoncodec
from qbsync.simulator.books.moment import Moment
from qbsync.simulator.company import Company
from qbsync.simulator.entities.kinds import Kind
from qbsync.simulator.pacific import stamp

_CHANGED = "MetaData.LastUpdatedTime"


def changes(
    company: Company, kinds: Sequence[Kind], since: datetime, moment: Moment, *, limit: int, keep_newest: bool
) -> Mapping[str, Sequence[bytes]]:
    """Rows and tombstones by kind name, oldest first; no more than `limit` over all kinds, nothing tells of a cut.

    MetaData counts whole seconds: what was changed in the second of `since` is in. Rows come when queries see them.
    """
    found = [
        change
        for kind in {kind.name: kind for kind in kinds}.values()
        for change in (*_rows(company, kind, since, moment), *_tombstones(company, kind, since, moment))
    ]
    found.sort(key=lambda change: change[0])
    kept = found[max(len(found) - limit, 0) :] if keep_newest else found[:limit]
    result: dict[str, list[bytes]] = {kind.name: [] for kind in kinds}
    for _, name, body in kept:
        result[name].append(body)
    return result


def _rows(company: Company, kind: Kind, since: datetime, moment: Moment) -> list[tuple[float, str, bytes]]:
    first = float(int(since.timestamp()))
    result = []
    for newest in company.table(kind):
        record = newest.as_of(moment.timestamp)
        changed = record.values.get(_CHANGED) if record is not None else None
        if record is not None and isinstance(changed, float) and changed >= first:
            result.append((changed, kind.name, record.body))
    return result


def _tombstones(
    company: Company, kind: Kind, since: datetime, moment: Moment
) -> list[tuple[float, str, bytes]]:
    first = int(since.timestamp())
    return [
        (
            float(int(stone.deleted_at.timestamp())),
            kind.name,
            jsoncodec.dump(
                {
                    "domain": "QBO",
                    "status": "Deleted",
                    "Id": stone.id,
                    "MetaData": {"LastUpdatedTime": stamp(stone.deleted_at)},
                }
            ),
        )
        for stone in company.tombstones
        if stone.kind is kind
        and stone.visible_at <= moment.timestamp
        and int(stone.deleted_at.timestamp()) >= first
    ]
