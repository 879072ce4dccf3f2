"""Random histories against the rules of `model`. QBSYNC_MODEL_HISTORIES scales it up (default 400)."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from qbsync.tokens import schedule
from unit.tokens.endpoint import (
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    LOST_SPENT,
    LOST_UNSPENT,
    NOT_SENT,
    OK,
    SERVER_ERROR,
    THROTTLED,
    Effect,
)
from unit.tokens.model import Model, Step, play

HISTORIES = int(os.environ.get("QBSYNC_MODEL_HISTORIES", "400"))

EFFECTS = [
    OK,
    NOT_SENT,
    LOST_UNSPENT,
    LOST_SPENT,
    THROTTLED,
    FALSE_INVALID_GRANT,
    GATEWAY_TIMEOUT_SPENT,
    SERVER_ERROR,
    Effect(answer_after=5.0),
    Effect(answer_after=59.0),
    Effect(answer_after=70.0),
    Effect(kind="lost", commit_after=20.0, answer_after=1.0),
    Effect(kind="lost", commit_after=110.0, answer_after=2.0),
    Effect(kind="lost", commit=False, commit_after=100.0, answer_after=2.0),
    Effect(kind="status", status=200, body="<html>maintenance</html>"),
    Effect(kind="status", status=504, body="", commit_after=90.0),
]


def _step(name: str, *arguments: Any) -> Step:
    def run(model: Model) -> Any:
        given_ = [model.processes[a.number] if isinstance(a, _Who) else a for a in arguments]
        return getattr(model, name)(*given_)

    run.__qualname__ = f"{name}{arguments}"
    return run


class _Who:
    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"process {self.number}"


who = st.sampled_from([_Who(0), _Who(1)])


def _steps_of(name: str, *strategies: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Step]":
    return st.tuples(*strategies).map(lambda drawn: _step(name, *drawn))


PAUSES = [1.0, 5.0, 31.0, 65.0, 130.0, 185.0, 700.0, 1900.0, 3700.0]

steps = st.one_of(
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    _steps_of("ensure", who),
    _steps_of("request", who),
    _steps_of("call", who),
    _steps_of("unauthorized", who),
    _steps_of("crash", who),
    _steps_of("lease", who),
    _steps_of("cut", who),
    _steps_of("cut_on_send", who),
    _steps_of("trouble", st.sampled_from(EFFECTS)),
    _steps_of("conflict"),
    _steps_of("outage", st.sampled_from(["get", "replace", "create"]), st.booleans()),
    _steps_of("wait", st.sampled_from(PAUSES)),
    _steps_of("wait", st.sampled_from(PAUSES)),
    _steps_of("tick", st.integers(1, 30)),
)


@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(
    history=st.lists(steps, min_size=4, max_size=25),
    seed=st.integers(0, 2**32),
    rotation=st.sampled_from([(True, 0.0), (True, 86400.0), (False, 0.0)]),
    skews=st.sampled_from([(0, 0), (0, 0), (0, 10), (0, -10), (10, -10)]),
)
def test_no_history_breaks_the_rules(
    history: list[Step], seed: int, rotation: tuple[bool, float], skews: tuple[int, int]
) -> None:
    note(" · ".join(step.__qualname__ for step in history))
    asyncio.run(_play(history, seed, rotation, skews))


async def _play(history: list[Step], seed: int, rotation: tuple[bool, float], skews: tuple[int, int]) -> None:
    rotate, grace = rotation
    await play(Model(seed=seed, rotate=rotate, grace=grace, skews=skews), history)


async def test_the_model_is_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper without the hold after an unknown outcome breaks a rule, and the model says so."""
    monkeypatch.setattr(schedule, "unknown_hold", lambda **_: timedelta())
    model = Model(seed=1, rotate=True, grace=0.0, skews=(0, 0))
    first = model.processes[0]
    await model.ensure(first)
    await model.tick(200)
    await model.wait(1900.0)
    await model.trouble(Effect(kind="lost", commit_after=110.0, answer_after=1.0))
    for _ in range(4):
        await model.ensure(first)
        await model.wait(5.0)
    assert "while the access token lives" in str(model.broken)
