"""A simulator, and an operator process's invoices room with one company of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fixtures.invoices_scene import SERVER_TIMEOUT, Scene, running
from fixtures.simulator_server import Door, RunningSimulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[RunningSimulator]:
    """With QuickBooks' server limit scaled down."""
    with RunningSimulator("--server-timeout", f"{SERVER_TIMEOUT.total_seconds()}s") as started:
        yield started


@pytest.fixture
async def scene(simulator: Door) -> AsyncIterator[Scene]:
    """A company whose people choose the numbers, and whose connection permits nothing in particular."""
    simulator.reset()
    async with running(Scene(simulator)) as made:
        made.connect()
        yield made
