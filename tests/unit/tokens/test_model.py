"""Random histories against the rules of `model`.

QBSYNC_MODEL_HISTORIES scales it up (default 400); QBSYNC_MODEL_SEED repeats a run.
"""

import asyncio
import logging
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from qbsync.kube.errors import Conflict, KubeError
from qbsync.quickbooks.oauth import TokenAnswer
from qbsync.tokens import claim, conditions, envelope, exchange, schedule
from qbsync.tokens.authorization import SentCodes
from qbsync.tokens.conditions import Conditions
from qbsync.tokens.deposit import Change, Depositor
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.exchange import Exchanger
from qbsync.tokens.grant import Grant
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.refresh import Claimed, Refresher
from qbsync.tokens.revocation import Revoker
from qbsync.tokens.session import Session
from qbsync.tokens.spec import KeeperSettings
from qbsync.tokens.spool import Recovery
from qbsync.tokens.store import Stored
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
from unit.tokens.model import ROTATIONS, Model, Rotation, Step, play
from unit.tokens.world import KEYS

HISTORIES = int(os.environ.get("QBSYNC_MODEL_HISTORIES", "400"))
SEED = int(os.environ.get("QBSYNC_MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

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
    Effect(kind="status", status=408, body="", commit=False),
    Effect(kind="status", status=200, body='{"token_type":"bearer","access_tok'),
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


PAUSES = [1.0, 5.0, 31.0, 65.0, 130.0, 185.0, 700.0, 1900.0, 3700.0, 90000.0]

companies = st.sampled_from(["ours", "ours", "ours", "other", "hidden"])
consents = st.one_of(
    _steps_of("consent", who, st.sampled_from(EFFECTS), st.integers(0, 80), companies),
    _steps_of("connect", who, companies, st.sampled_from([0.0, 31.0, 185.0])),
    _steps_of("die_connecting", who, st.sampled_from(EFFECTS), st.integers(0, 80)),
    _steps_of("both_connect", who, st.sampled_from(EFFECTS), st.sampled_from([0.0, 5.0, 31.0, 100.0])),
    _steps_of(
        "refresh_and_connect",
        who,
        st.sampled_from(EFFECTS),
        st.sampled_from(["", "", "cut", "touched", "failing", "unheard"]),
        st.sampled_from([0.0, 5.0, 31.0, 65.0]),
    ),
)
troubles = _steps_of(
    "store_in_trouble",
    who,
    st.sampled_from(["cut", "touched", "failing", "unheard"]),
    st.sampled_from([0.0, 5.0, 65.0, 1900.0]),
)
contests = _steps_of("contest", who, st.sampled_from(EFFECTS), st.sampled_from([5.0, 31.0, 65.0, 100.0]))
steps = st.one_of(
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    _steps_of("spend", who, st.sampled_from(EFFECTS)),
    consents,
    consents,
    consents,
    _steps_of("ensure", who),
    _steps_of("request", who),
    _steps_of("call", who),
    _steps_of("unauthorized", who),
    _steps_of("crash", who),
    _steps_of("crash", who),
    _steps_of("strand", who, st.integers(1, 40)),
    _steps_of("die", who, st.sampled_from(EFFECTS), st.integers(1, 80)),
    _steps_of("die", who, st.sampled_from(EFFECTS), st.integers(1, 80)),
    _steps_of("lose_node", who),
    _steps_of("promote"),
    _steps_of("outage_of_all"),
    _steps_of("lease", who),
    _steps_of("cut", who),
    troubles,
    contests,
    _steps_of("trouble", st.sampled_from(EFFECTS)),
    _steps_of("conflict"),
    _steps_of("outage", st.sampled_from(["get", "replace", "create", "remove"]), st.booleans()),
    _steps_of("wait", st.sampled_from(PAUSES)),
    _steps_of("wait", st.sampled_from(PAUSES)),
    _steps_of("tick", st.integers(1, 30)),
)


def run(
    histories: int,
    *,
    chosen: int,
    shrink: bool,
    seen: "Counter[str]",
    kinds: "st.SearchStrategy[Step]" = steps,
) -> None:
    """So many random histories from that seed; raises what the first broken one raised."""

    @seed(chosen)
    @settings(
        max_examples=histories,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )
    @given(
        history=st.lists(kinds, min_size=4, max_size=25),
        seed=st.integers(0, 2**32),
        rotation=st.sampled_from(ROTATIONS),
        skews=st.sampled_from([(0, 0), (0, 0), (0, 10), (0, -10), (10, -10)]),
        connected=st.sampled_from([True, True, True, False]),
    )
    def play_one(
        history: list[Step], seed: int, rotation: Rotation, skews: tuple[int, int], connected: bool
    ) -> None:
        note(" · ".join(step.__qualname__ for step in history))
        seen.update(asyncio.run(_play(history, seed, rotation, skews, connected)))

    play_one()


def test_no_history_breaks_the_rules(record_property: Any) -> None:
    seen: Counter[str] = Counter()
    try:
        run(HISTORIES, chosen=SEED, shrink=True, seen=seen)
    finally:
        record_property(
            "figure", f"refresh protocol: {seen['histories']} histories, seed {SEED}, {dict(seen)}"
        )


async def _play(
    history: list[Step], seed: int, rotation: Rotation, skews: tuple[int, int], connected: bool
) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as volumes:
        model = Model(seed=seed, rotation=rotation, skews=skews, volumes=Path(volumes), connected=connected)
        health = await play(model, history)
    return {
        "histories": 1,
        "sends": len(model.sends),
        "codes sent": len(model.exchanges),
        "ended alive": int(health.usable),
        "answers lost": int(bool(model.lost)),
        "recovered from the spool": model.recovered,
    }


def _without_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Refresher, "_may_send", lambda *_: True)


def _without_claim(patch: pytest.MonkeyPatch) -> None:
    async def only_pretend(self: Refresher, session: Session, stored: Stored, grant: Grant) -> Claimed:
        intent = claim.claim(grant, stored.intent, holder=session.holder, now=self._clock.now())
        return Claimed(stored, grant, intent, self._clock.monotonic())

    patch.setattr(Refresher, "_claim", only_pretend)


def _without_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conditions, "foreign_lock", lambda *_, **__: None)


def _impatient_with_locks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeeperSettings, "lock", timedelta(seconds=20))


def _without_reading_first(patch: pytest.MonkeyPatch) -> None:
    """What is in memory is sent, though somebody else has stored a newer one."""
    take = Session.take

    def only_once(self: Session, stored: Stored, *, issued: float | None = None) -> None:
        if self.grant is None or issued is not None:
            take(self, stored, issued=issued)

    original = Refresher._claim

    async def from_memory(self: Refresher, session: Session, stored: Stored, grant: Grant) -> Claimed:
        return await original(self, session, stored, session.grant or grant)

    patch.setattr(Session, "take", only_once)
    patch.setattr(Refresher, "_claim", from_memory)


def _conflict_discards_the_answer(patch: pytest.MonkeyPatch) -> None:
    settle = Depositor.settle

    async def settle_for_what_is_there(
        self: Depositor, session: Session, stored: Stored | None, change: Change
    ) -> Stored:
        draft = change(stored) if stored is not None else None
        if stored is None or draft is None:
            return await settle(self, session, stored, change)
        try:
            return await self._store.write(session.spec, stored, draft)
        except Conflict:
            return await self._store.read(session.spec)
        except KubeError:
            return await settle(self, session, None, change)

    patch.setattr(Depositor, "settle", settle_for_what_is_there)


def _one_try_to_store(patch: pytest.MonkeyPatch) -> None:
    async def settle_once(self: Depositor, session: Session, stored: Stored | None, change: Change) -> Stored:
        stored = stored or await self._store.read(session.spec)
        draft = change(stored)
        return stored if draft is None else await self._store.write(session.spec, stored, draft)

    patch.setattr(Depositor, "settle", settle_once)


def _without_recovery(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recovery, "waiting", property(lambda _: 0))

    async def do_nothing(*_: object, **__: object) -> None: ...

    patch.setattr(Recovery, "settle", do_nothing)


def _without_probing_schedule(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Conditions, "_check_probe", lambda *_: None)


def _without_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedule, "unknown_hold", lambda **_: timedelta())


def _with_the_first_key_for_ever(patch: pytest.MonkeyPatch) -> None:
    seal = envelope.seal

    def seal_as_ever(grant: Grant, *, binding: EnvelopeBinding, keyring: Keyring) -> str:
        first = Keyring.from_environment(KEYS)
        return seal(grant, binding=binding, keyring=first)

    patch.setattr(envelope, "seal", seal_as_ever)


def _with_a_talkative_log(patch: pytest.MonkeyPatch) -> None:
    granted = Refresher._granted

    def tell(self: Refresher, session: Session, call: Any, answer: Any) -> Grant:
        fresh = granted(self, session, call, answer)
        logging.getLogger("qbsync.tokens.refresh").debug("got %s", fresh.refresh_token.get_secret_value())
        return fresh

    patch.setattr(Refresher, "_granted", tell)


def _codes_are_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SentCodes, "remember", lambda self, _: self)


def _every_announced_code_counts_as_unsent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exchange, "_is_unsent", lambda *_: True)


def _codes_wait_for_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchanger, "_wait_for_others", lambda *_: None)


def _a_failed_exchange_takes_back_every_intent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchanger, "_still_spending", lambda *_: False)


def _any_company_will_do(patch: pytest.MonkeyPatch) -> None:
    async def trust(*_: object) -> None: ...

    patch.setattr(Exchanger, "_check_realm", trust)


def _nothing_is_revoked(patch: pytest.MonkeyPatch) -> None:
    async def pretend(*_: object, **__: object) -> bool:
        return True

    patch.setattr(Revoker, "revoke", pretend)


def _codes_are_left_lying(patch: pytest.MonkeyPatch) -> None:
    async def leave(*_: object) -> None: ...

    patch.setattr(Exchanger, "_discard", leave)


def _a_mistake_loses_the_consent(patch: pytest.MonkeyPatch) -> None:
    async def die(self: Exchanger, session: Session, sending: Any, answer: TokenAnswer) -> None:
        await self.inspect(session.spec, answer.access_token)

    patch.setattr(Exchanger, "_check_realm", die)


@pytest.mark.parametrize(
    ("mistake", "kinds"),
    [
        (_with_a_talkative_log, steps),
        (_without_fence, steps),
        (_without_claim, steps),
        (_without_lock, steps),
        (_impatient_with_locks, contests),
        (_without_reading_first, steps),
        (_conflict_discards_the_answer, troubles),
        (_one_try_to_store, steps),
        (_without_recovery, steps),
        (_without_probing_schedule, steps),
        (_without_hold, steps),
        (_with_the_first_key_for_ever, steps),
        (_codes_are_not_noted, consents),
        (_every_announced_code_counts_as_unsent, consents),
        (_codes_wait_for_nobody, consents),
        (_a_failed_exchange_takes_back_every_intent, consents),
        (_any_company_will_do, consents),
        (_nothing_is_revoked, consents),
        (_codes_are_left_lying, consents),
        (_a_mistake_loses_the_consent, consents),
    ],
)
def test_the_model_notices(
    mistake: Callable[[pytest.MonkeyPatch], None],
    kinds: "st.SearchStrategy[Step]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code broken on purpose: some history of a few hundred breaks a rule. Rare ones get the steps they need."""
    mistake(monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run(600, chosen=7, shrink=False, seen=Counter(), kinds=kinds)
