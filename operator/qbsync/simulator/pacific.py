"""QuickBooks writes its times with the Pacific offset."""

from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")


@lru_cache(maxsize=64)
def stamp(moment: datetime) -> str:
    """A time as in MetaData: whole seconds and offset."""
    return moment.astimezone(PACIFIC).isoformat(timespec="seconds")


def envelope_time(moment: datetime) -> str:
    """A time as beside an answer: milliseconds and offset."""
    return moment.astimezone(PACIFIC).isoformat(timespec="milliseconds")


def business_date(moment: datetime) -> date:
    """The company's calendar day, QuickBooks' default for TxnDate."""
    return moment.astimezone(PACIFIC).date()


def parse_moment(text: str) -> datetime | None:
    """A date or time of a query, in Pacific time where it names no offset; None when it is neither."""
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=PACIFIC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
