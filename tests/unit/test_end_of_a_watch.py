"""The loop that kopf runs in ends without an error in the log, and hides no other."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from qbsync.handlers import note_of_loop


@contextlib.asynccontextmanager
async def inner() -> AsyncIterator[None]:
    """As `kopf._cogs.clients.watching.streaming_block`."""
    try:
        yield
    finally:
        await asyncio.sleep(0)


async def outer() -> AsyncIterator[int]:
    """As `infinite_watch`."""
    async with inner():
        yield 1


async def leave_a_stream(left: list[AsyncIterator[int]], *, quietly: bool) -> None:
    if quietly:
        asyncio.get_running_loop().set_exception_handler(note_of_loop)
    for _ in range(20):
        stream = outer()
        left.append(stream)
        await anext(stream)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_streams_that_are_left_to_the_loop_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    left: list[AsyncIterator[int]] = []
    asyncio.run(leave_a_stream(left, quietly=False))
    # CPython 3.11: athrow() of a generator that is closed already returns, which contextlib does not expect.
    if sys.version_info < (3, 12):
        assert any("closing of asynchronous generator" in message for message in errors(caplog))
    caplog.clear()
    asyncio.run(leave_a_stream(left, quietly=True))
    assert errors(caplog) == []


def test_any_other_trouble_of_the_loop_is(caplog: pytest.LogCaptureFixture) -> None:
    async def trouble() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(note_of_loop)
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)

    asyncio.run(trouble())
    assert any("division by zero" in record.exc_text for record in caplog.records if record.exc_text)
