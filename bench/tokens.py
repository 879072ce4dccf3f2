"""How long `token_for()` takes when the token is fresh: `python bench/tokens.py`.

Aim: p99 ≤ 20 µs. Each call is timed by itself with the process's own clock, whose reading is in the figure.
"""

# ruff: noqa: S311, T201
import asyncio
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from qbsync.companies import GuardedTokens
from qbsync.engine.breaker import Breaker, BreakerSettings
from qbsync.engine.clock import SystemClock
from qbsync.tokens.keeper import Keeper
from unit.tokens.world import World

CALLS = 200_000
AIM = 20.0


async def fresh(world: World) -> Keeper:
    """A keeper on the machine's clock with a fresh token."""
    world.set_import()
    keeper = world.keeper(clock=SystemClock())  # type: ignore[arg-type]
    health = await keeper.ensure(world.spec)
    assert health.usable, health.message
    return keeper


async def measure(calls: int) -> list[float]:
    """Microseconds of each call as the API's client makes it, its circuit included; sorted."""
    world = World(seed=random.randrange(2**32))
    breaker = Breaker(clock=SystemClock(), rng=random.Random(), settings=BreakerSettings())
    source = GuardedTokens((await fresh(world)).token_source(world.spec), breaker)
    taken = []
    for _ in range(calls):
        before = time.perf_counter_ns()
        await source.token()
        taken.append((time.perf_counter_ns() - before) / 1000)
    return sorted(taken)


def main() -> int:
    """Print the figures; exit code 1 if the aim is missed."""
    taken = asyncio.run(measure(CALLS))
    at = {share: taken[int(len(taken) * share)] for share in (0.5, 0.99, 0.999)}
    figures = ", ".join(f"p{share * 100:g} {value:.2f} µs" for share, value in at.items())
    print(f"token() when fresh, {CALLS:,} calls: {figures}, mean {statistics.fmean(taken):.2f} µs")
    return 0 if at[0.99] <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
