"""The limiter: never more than QuickBooks allows, in order, and nothing lost to a cancellation."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import FakeClock, settle
from qbsync.quickbooks.limits import CompanyLimiter


class Calls:
    """Calls through a limiter, each taking `seconds`; when each started and ended."""

    def __init__(self, clock: FakeClock, limiter: CompanyLimiter) -> None:
        self.clock = clock
        self.limiter = limiter
        self.spans: list[tuple[float, float]] = []
        self.order: list[int] = []
        self.running = 0
        self.most = 0

    async def one(self, number: int, seconds: float) -> None:
        async with self.limiter.slot():
            self.order.append(number)
            started = self.clock.monotonic()
            self.running += 1
            self.most = max(self.most, self.running)
            await self.clock.sleep(timedelta(seconds=seconds))
            self.running -= 1
            self.spans.append((started, self.clock.monotonic()))

    async def run(self, *durations: float) -> None:
        tasks = [asyncio.create_task(self.one(number, each)) for number, each in enumerate(durations)]
        await settle()
        while not all(task.done() for task in tasks):
            await self.clock.advance(timedelta(seconds=1))
        await asyncio.gather(*tasks)


def calls(**limits: int) -> Calls:
    clock = FakeClock()
    return Calls(clock, CompanyLimiter(clock=clock, **limits))


def overlapping(spans: list[tuple[float, float]], start: float, seconds: float) -> int:
    """How many calls may have arrived within `seconds` after `start`."""
    return sum(began < start + seconds and ended > start for began, ended in spans)


async def test_ten_at_once_and_the_rest_in_order() -> None:
    work = calls(per_second=1000, per_minute=10_000)
    await work.run(*[3.0] * 25)
    assert work.most == 10
    assert work.order == list(range(25))
    assert work.clock.monotonic() == pytest.approx(9, abs=1)


async def test_ten_per_second() -> None:
    work = calls(concurrent=100)
    await work.run(*[0.0] * 35)
    starts = [start for start, _ in work.spans]
    assert [starts.count(second) for second in sorted(set(starts))] == [10, 10, 10, 5]
    assert sorted(set(starts)) == pytest.approx([0, 1, 2, 3])


async def test_five_hundred_per_minute() -> None:
    work = calls(per_second=10_000, concurrent=10_000)
    await work.run(*[0.0] * 501)
    assert work.spans[499][0] == 0
    assert work.spans[500][0] == pytest.approx(60)


async def test_a_slow_call_counts_until_a_second_after_its_end() -> None:
    work = calls(per_second=2)
    await work.run(1.5, 0.0, 0.0, 0.0)
    assert sorted(start for start, _ in work.spans) == pytest.approx([0, 0, 1, 2])


@settings(max_examples=60, deadline=None)
@given(
    durations=st.lists(st.sampled_from([0.0, 0.05, 0.16, 0.8, 2.5]), min_size=1, max_size=40),
    per_second=st.integers(1, 5),
    concurrent=st.integers(1, 5),
)
def test_no_window_ever_holds_more_whenever_calls_arrive(
    durations: list[float], per_second: int, concurrent: int
) -> None:
    async def history() -> None:
        work = calls(per_second=per_second, per_minute=10_000, concurrent=concurrent)
        await work.run(*durations)
        assert work.order == list(range(len(durations)))
        assert work.most <= concurrent
        for start, end in work.spans:
            assert overlapping(work.spans, start, 0.999) <= per_second
            assert overlapping(work.spans, end, 0.999) <= per_second

    asyncio.run(history())


async def test_a_pause_holds_everyone_back_and_is_never_shortened() -> None:
    work = calls()
    work.limiter.pause(timedelta(seconds=60))
    work.limiter.pause(timedelta(seconds=5))
    task = asyncio.create_task(work.one(0, 0.0))
    await work.clock.advance(timedelta(seconds=59.9))
    assert not task.done()
    work.limiter.pause(timedelta(seconds=10))
    await work.clock.advance(timedelta(seconds=9.9))
    assert not task.done()
    await work.clock.advance(timedelta(seconds=0.2))
    await task


async def test_a_call_under_way_outlives_a_pause() -> None:
    work = calls()
    task = asyncio.create_task(work.one(0, 1.0))
    await settle()
    work.limiter.pause(timedelta(seconds=60))
    await work.clock.advance(timedelta(seconds=1))
    await task


@pytest.mark.parametrize("limits", [{"concurrent": 1}, {"per_second": 1}])
@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_a_cancelled_waiter_holds_nobody_back(limits: dict[str, int], cancelled: int) -> None:
    work = calls(**limits)
    first = asyncio.create_task(work.one(-1, 5.0))
    await settle()
    waiting = [asyncio.create_task(work.one(number, 0.0)) for number in range(3)]
    await settle()
    waiting[cancelled].cancel()
    await settle()
    assert waiting[cancelled].cancelled()
    assert work.limiter.waiting == 2
    for _ in range(10):
        await work.clock.advance(timedelta(seconds=1))
    await asyncio.gather(first, *(task for task in waiting if not task.cancelled()))
    assert work.order == [-1, *(number for number in range(3) if number != cancelled)]
    assert work.limiter.waiting == 0


async def test_a_cancelled_call_gives_its_slot_back() -> None:
    work = calls(concurrent=1)
    running = asyncio.create_task(work.one(0, 500.0))
    waiting = asyncio.create_task(work.one(1, 0.0))
    await settle()
    running.cancel()
    await settle()
    await waiting
    assert work.order == [0, 1]


async def test_a_failed_call_gives_its_slot_back() -> None:
    limiter = CompanyLimiter(clock=FakeClock(), concurrent=1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="call"):
            async with limiter.slot():
                raise RuntimeError("call")


def test_a_limit_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CompanyLimiter(clock=FakeClock(), per_second=0)


# -- batches --------------------------------------------------------------------------------------------------


async def _hold(limiter: CompanyLimiter, release: asyncio.Event, started: list[int], number: int) -> None:
    async with limiter.batch_slot():
        started.append(number)
        await release.wait()


async def test_batches_leave_one_of_ten_slots_to_single_calls() -> None:
    work = calls(per_second=1000, batches_per_minute=1000)
    release, started = asyncio.Event(), list[int]()
    bulk = [asyncio.create_task(_hold(work.limiter, release, started, number)) for number in range(20)]
    await settle()
    assert started == list(range(9))
    await work.one(0, 0.0)
    assert work.limiter.waiting == 11
    release.set()
    await work.clock.advance(timedelta(seconds=1))
    await asyncio.gather(*bulk)
    assert started == list(range(20))


async def test_batches_leave_two_of_ten_calls_a_second_to_single_calls() -> None:
    work = calls(concurrent=100)
    release, started = asyncio.Event(), list[int]()
    release.set()
    bulk = [asyncio.create_task(_hold(work.limiter, release, started, number)) for number in range(12)]
    await settle()
    assert len(started) == 8
    await work.run(0.0, 0.0)
    assert [start for start, _ in work.spans] == [0, 0]
    await work.clock.advance(timedelta(seconds=2))
    await asyncio.gather(*bulk)


async def test_forty_batches_a_minute() -> None:
    work = calls(per_second=10_000, concurrent=10_000)
    release, started = asyncio.Event(), list[int]()
    release.set()
    bulk = [asyncio.create_task(_hold(work.limiter, release, started, number)) for number in range(41)]
    await settle(rounds=500)
    await work.clock.advance(timedelta(seconds=59))
    assert len(started) == 40
    await work.clock.advance(timedelta(seconds=1))
    await asyncio.gather(*bulk)


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_a_small_share_still_has_room_for_batches(limit: int) -> None:
    limiter = CompanyLimiter(clock=FakeClock(), per_second=limit, per_minute=limit, concurrent=limit)
    async with limiter.batch_slot():
        pass


async def test_a_pause_holds_batches_back_as_well() -> None:
    work = calls()
    release, started = asyncio.Event(), list[int]()
    release.set()
    work.limiter.pause(timedelta(seconds=60))
    bulk = asyncio.create_task(_hold(work.limiter, release, started, 0))
    await work.clock.advance(timedelta(seconds=59))
    assert started == []
    await work.clock.advance(timedelta(seconds=1))
    await bulk
