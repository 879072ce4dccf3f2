"""The headers Intuit puts on every answer, as recorded."""

import random
import uuid

from qbsync.simulator.responses import Answer

_SERVER = (b"server", b"nginx")
_BEHIND_THE_GATEWAY = (b"strict-transport-security", b"max-age=15552000")
_SERVICE = [
    (b"qbo-version", b"1944.190"),
    (b"expires", b"0"),
    (b"cache-control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
]
_TOKEN = [(b"cache-control", b"no-cache, no-store"), (b"pragma", b"no-cache")]

Headers = list[tuple[bytes, bytes]]


def new_tid(random_source: random.Random, epoch: float) -> str:
    """An `intuit_tid`, in the form of an X-Ray id: `1-<epoch in hex>-<96 random bits>`."""
    return f"1-{int(epoch):08x}-{random_source.getrandbits(96):024x}"


def for_answer(answer: Answer, *, tid: str, seconds: float) -> Headers:
    """The headers of an answer of the accounting API."""
    headers = _basic(answer, tid)
    if answer.from_service:
        total = max(int(seconds * 1000), 1)
        headers += _SERVICE
        headers.append((b"service-time", b"total=%d, db=%d" % (total, total * 2 // 5)))
    else:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return headers


def for_token_answer(answer: Answer, *, tid: str) -> Headers:
    """The headers of an answer of the OAuth endpoints."""
    return [*_basic(answer, tid), *_TOKEN, (b"content-length", str(len(answer.body)).encode())]


def for_door(answer: Answer) -> Headers:
    """The headers of an answer that Intuit does not have: the control door's."""
    return [
        (b"content-type", answer.content_type.encode()),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers),
    ]


def _basic(answer: Answer, tid: str) -> Headers:
    raw = tid.encode()
    headers: Headers = [
        (b"content-type", answer.content_type.encode()),
        _SERVER,
        (b"intuit_tid", raw),
    ]
    if answer.status != 401:  # recorded: the gateway turns a caller away with no more than these
        headers += [_BEHIND_THE_GATEWAY, (b"x-spanid", _span(raw)), (b"x-amzn-trace-id", b"Root=" + raw)]
    if answer.headers:
        headers += [(name.encode(), value.encode()) for name, value in answer.headers]
    return headers


def _span(tid: bytes) -> bytes:
    """A span id made of the tid's digits: no two answers share one, and nothing is drawn for it."""
    digits = tid.replace(b"-", b"")[-32:].rjust(32, b"0")
    return str(uuid.UUID(hex=digits.decode(), version=4)).encode()
