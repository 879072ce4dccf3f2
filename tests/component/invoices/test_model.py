"""Random histories of invoices against the rules of `model`.

QBSYNC_MODEL_HISTORIES scales it up (default 150); QBSYNC_MODEL_SEED repeats a run.
"""

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, note, seed, settings
from hypothesis import strategies as st

from component.invoices.model import Model
from fakes import virtual_time

HISTORIES = int(os.environ.get("QBSYNC_MODEL_HISTORIES", "150"))
SEED = int(os.environ.get("QBSYNC_MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
Step = tuple[str, tuple[Any, ...]]

NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.sampled_from(["N-1", "N-2"])
POLICIES = st.sampled_from(["Retain", "Retain", "Void", "Delete"])
DUE = st.sampled_from(["2027-01-15", "2027-02-15"])
FLAVOURS = st.sampled_from(
    [
        "",
        "",
        "",
        "mailed",
        "named",
        "addressed",
        "unnumbered",
        "unnumbered sourceless",
        "named mailed",
        "unnumbered addressed mailed",
    ]
)
OPERATIONS = st.sampled_from(["create", "update", "void", "delete", "query", "read"])
EFFECTS: list[dict[str, Any]] = [
    {"drop": "before"},
    {"drop": "after"},
    {"status": 504, "commit": True},
    {"status": 503},
    {"status": 429},
    {"status": 429, "commit": True},
    {"truncated": True},
    {"html": True},
    {"commitAfterSeconds": 3},
    {"commitAfterSeconds": 60, "drop": "after"},
    {"commitAfterSeconds": 119},
    {"delaySeconds": 30},
    {"delaySeconds": 119},
    {"delaySeconds": 125},
]
BATCH_EFFECTS: list[dict[str, Any]] = [
    *EFFECTS,
    {"commitItems": 1},
    {"commitItems": 1, "drop": "after"},
    {"status": 429, "commitAfterSeconds": 100},
    {"fault": "1040"},
]
ITEM_EFFECTS: list[dict[str, Any]] = [
    {"fault": "6000", "status": 500},
    {"fault": "6000", "status": 500, "commit": True},
    {"fault": "2010"},
    {"fault": "3001", "commit": True},
]
MOMENTS = [
    "before create",
    "after create",
    "before batch",
    "after batch",
    "before update",
    "after update",
    "before void",
    "after void",
    "after delete",
    "before send",
    "after send",
    "after look",
    "status",
    "finalizer",
]


def _steps(name: str, *strategies: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Step]":
    return st.tuples(st.just(name), st.tuples(*strategies))


steps = st.one_of(
    _steps("apply", NAMES, NUMBERS, POLICIES, DUE, FLAVOURS),
    _steps("apply", NAMES, NUMBERS, POLICIES, DUE, FLAVOURS),
    _steps("edit", NAMES, st.sampled_from(["90.00", "100.00", "110.00"]), st.sampled_from(["x", "y"])),
    _steps("move", NAMES, DUE),
    _steps("suspend", NAMES, st.booleans()),
    _steps("observe", NAMES, st.booleans()),
    _steps("ask_too_much", NAMES, st.booleans()),
    _steps("ask", NAMES),
    _steps("recreate", NAMES),
    _steps("delete", NAMES),
    _steps("book", st.sampled_from(["pay", "edit", "void", "delete"]), st.integers(0, 20)),
    _steps("write_by_hand", NUMBERS),
    _steps(
        "trouble",
        st.sampled_from(["create", "update", "void", "delete", "send", "query", "read"]),
        st.sampled_from(EFFECTS),
    ),
    _steps("trouble", st.just("create"), st.sampled_from(EFFECTS)),
    _steps("trouble", st.just("batch"), st.sampled_from(BATCH_EFFECTS)),
    _steps("trouble_with_item", st.sampled_from(ITEM_EFFECTS)),
    _steps("switch", st.just("requestidMemory"), st.sampled_from(["replay", "forget", "fault600"])),
    _steps("switch", st.just("duplicateDocCheck"), st.booleans()),
    _steps("arm", st.sampled_from(MOMENTS)),
    _steps("crash"),
    _steps("freeze"),
    _steps("resign"),
    _steps("wait", st.sampled_from([0.05, 0.3, 1.0, 5.0, 40.0, 130.0, 400.0])),
    _steps("wait", st.sampled_from([0.05, 0.3, 1.0, 5.0])),
)
PAUSES = st.sampled_from([0.0, 0.0, 0.3, 2.0, 5.0, 20.0, 60.0])


def _with_pauses(steps: list[tuple[Step, float]]) -> list[Step]:
    """Else most histories end before an invoice stands that could be changed or voided."""
    return [part for step, pause in steps for part in (step, ("wait", (pause,))) if part != ("wait", (0.0,))]


HISTORIES_OF_STEPS = st.lists(st.tuples(steps, PAUSES), min_size=10, max_size=40).map(_with_pauses)
played: Counter[str] = Counter()


async def play(history_seed: int, history: list[Step]) -> None:
    model = Model(history_seed)
    try:
        await _play(model, history)
    finally:
        model.over = True
        played.update(model.writes)


async def _play(model: Model, history: list[Step]) -> None:
    for name, arguments in history:
        if model.process.dead:
            await model.succeed_the_dead()
        act: Callable[..., Awaitable[None] | None] = getattr(model, name)
        done = act(*arguments)
        if done is not None:
            await done
        model.check()
    await model.finish()


@seed(SEED)
@settings(
    max_examples=HISTORIES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(st.integers(1, 10**6), HISTORIES_OF_STEPS)
@example(
    # A change between lookup and update, while the update of another object is under way.
    1,
    [
        ("apply", ("a", "N-1", "Retain", "2027-02-15", "named")),
        ("apply", ("c", "N-2", "Retain", "2027-01-15", "")),
        ("wait", (5.0,)),
        ("apply", ("a", "N-1", "Retain", "2027-01-15", "")),
        ("edit", ("c", "100.00", "x")),
        ("apply", ("b", "N-2", "Retain", "2027-01-15", "")),
        ("resign", ()),
        ("apply", ("a", "N-1", "Retain", "2027-01-15", "")),
    ],
)
@example(
    # A process ends while the grace after the death of the one before is not over.
    75,
    [
        ("apply", ("a", "N-1", "Retain", "2027-01-15", "")),
        ("crash", ()),
        ("crash", ()),
        ("trouble", ("batch", {"delaySeconds": 30})),
        ("resign", ()),
        ("wait", (0.3,)),
        ("crash", ()),
        ("resign", ()),
    ],
)
@example(
    # A process ends cleanly while a customer is still being created, for which another object has another name.
    1,
    [
        ("apply", ("a", "N-1", "Retain", "2027-01-15", "unnumbered addressed mailed")),
        ("ask", ("a",)),
        ("trouble", ("create", {"commitAfterSeconds": 3})),
        ("apply", ("b", "N-1", "Retain", "2027-01-15", "unnumbered addressed mailed")),
        ("wait", (1.0,)),
        ("resign", ()),
    ],
)
def histories(history_seed: int, history: list[Step]) -> None:
    note(f"seed of this run: {SEED}")
    played["histories"] += 1
    played["steps"] += len(history)
    virtual_time.run(play(history_seed, history))


def test_no_history_breaks_a_rule(record_property: Callable[[str, object], None]) -> None:
    histories()
    record_property("figure", f"invoices: {played['histories']} histories, seed {SEED}, {dict(played)}")
    assert played["histories"] >= HISTORIES
    assert played["batch"] > played["histories"] / 50
