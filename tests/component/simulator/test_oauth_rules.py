"""Grants and their tokens: rotation, grace, reuse, expiry. Pure; a model plays against the real thing."""

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qbsync.simulator.apps import App
from qbsync.simulator.oauth import Authority, Issued, OAuthRefused
from qbsync.simulator.switches import Switches

HOUR = 3600.0
DAY = 24 * HOUR


class Desk:
    """An authority with a clock."""

    def __init__(self, **switches: Any) -> None:
        self.app = App("id", "secret")
        self.switches = Switches(switches)
        self.authority = Authority(self.app, self.switches, Random(1))
        self.now = 1_800_000_000.0

    def grant(self) -> Issued:
        return self.authority.grant(self.app, realm_id="1", now=self.now)

    def refresh(self, value: str, *, after: float = 0.0, parallel: bool = False) -> Issued:
        self.now += after
        return self.authority.refresh(self.app, value, now=self.now, parallel=parallel)

    def refused(self, value: str, *, after: float = 0.0, parallel: bool = False) -> OAuthRefused:
        with pytest.raises(OAuthRefused) as caught:
            self.refresh(value, after=after, parallel=parallel)
        return caught.value

    def alive(self, issued: Issued) -> bool:
        token = self.authority.access_token(issued.access.value)
        return token is not None and not token.revoked and self.now < token.expires_at


def test_the_answer_has_intuit_s_fields() -> None:
    document = Desk().grant().document()
    assert list(document) == [
        "token_type",
        "expires_in",
        "refresh_token",
        "x_refresh_token_expires_in",
        "access_token",
    ]
    assert (document["token_type"], document["expires_in"], document["x_refresh_token_expires_in"]) == (
        "bearer",
        3600,
        8726400,
    )
    assert Desk().grant().document(with_hard_expiry=True)["x_refresh_token_hard_expires_in"] == 157680000


def test_the_value_stays_for_a_day_and_then_changes_at_the_first_refresh() -> None:
    desk = Desk()
    first = desk.grant()
    assert desk.refresh(first.refresh_token, after=DAY - 1).refresh_token == first.refresh_token
    second = desk.refresh(first.refresh_token, after=1)
    assert second.refresh_token != first.refresh_token
    assert desk.refresh(second.refresh_token, after=DAY - 1).refresh_token == second.refresh_token


def test_rotate_always() -> None:
    desk = Desk(rotateAlways=True)
    first = desk.grant()
    assert desk.refresh(first.refresh_token).refresh_token != first.refresh_token


def test_every_refresh_gives_a_new_access_token_and_the_old_one_works_on() -> None:
    desk = Desk()
    first = desk.grant()
    second = desk.refresh(first.refresh_token, after=1800)
    assert first.access.value != second.access.value
    assert desk.alive(first)
    assert desk.alive(second)
    desk.now += 1800
    assert not desk.alive(first)
    assert desk.alive(second)


def test_an_old_value_revokes_the_family_but_not_its_access_tokens() -> None:
    desk = Desk(rotateAlways=True)
    first = desk.grant()
    second = desk.refresh(first.refresh_token)
    assert desk.refused(first.refresh_token).error == "invalid_grant"
    assert desk.refused(second.refresh_token).error == "invalid_grant"
    assert desk.alive(second)


def test_a_strict_revocation_ends_access_too() -> None:
    desk = Desk(rotateAlways=True, reuseKillsAccessTokens=True)
    first = desk.grant()
    second = desk.refresh(first.refresh_token)
    desk.refused(first.refresh_token)
    assert not desk.alive(second)


def test_reuse_may_cost_only_itself() -> None:
    desk = Desk(rotateAlways=True, reuseRevokesFamily=False)
    first = desk.grant()
    second = desk.refresh(first.refresh_token)
    desk.refused(first.refresh_token)
    assert desk.refresh(second.refresh_token)


def test_within_the_grace_an_old_value_gives_the_new_one() -> None:
    desk = Desk(refreshGraceHours=24)
    first = desk.grant()
    second = desk.refresh(first.refresh_token, after=DAY)
    assert desk.refresh(first.refresh_token, after=DAY - 1).refresh_token == second.refresh_token
    assert desk.refused(first.refresh_token, after=1).error == "invalid_grant"


def test_two_at_once_revoke_where_they_do() -> None:
    desk = Desk()
    first = desk.grant()
    assert desk.refresh(first.refresh_token, parallel=True)
    desk.switches.put({"parallelRefreshRevokes": True})
    desk.refused(first.refresh_token, parallel=True)
    assert desk.refused(first.refresh_token).error == "invalid_grant"


def test_the_window_rolls_with_each_refresh_and_ends_without_one() -> None:
    desk = Desk()
    issued = desk.grant()
    for _ in range(3):
        issued = desk.refresh(issued.refresh_token, after=100 * DAY)
        assert issued.refresh_expires_in == 8726400
    assert desk.refused(issued.refresh_token, after=101 * DAY).error == "invalid_grant"


def test_the_hard_end_never_moves() -> None:
    desk = Desk(hardExpirySeconds=150 * DAY)
    first = desk.grant()
    second = desk.refresh(first.refresh_token, after=90 * DAY)
    assert (second.refresh_expires_in, second.hard_expires_in) == (60 * DAY, 60 * DAY)
    assert desk.refused(second.refresh_token, after=60 * DAY).error == "invalid_grant"


def test_invalid_grant_comes_with_and_without_words() -> None:
    assert Desk().refused("RT1-nobody-knows").description == "Incorrect or invalid refresh token"
    assert Desk(invalidGrantDescription=False).refused("RT1-nobody-knows").description is None


def test_wrong_credentials() -> None:
    for switches, status in (({}, 401), ({"invalidClientStatus": "400"}, 400)):
        with pytest.raises(OAuthRefused) as caught:
            Desk(**switches).authority.check_client("id", "guess")
        assert (caught.value.error, caught.value.status) == ("invalid_client", status)
    Desk().authority.check_client("id", "secret")


def code_for(desk: Desk) -> str:
    return desk.authority.issue_code(
        desk.app, realm_id="7", redirect_uri="http://a/cb", scopes=["s"], now=desk.now
    )


def test_a_code_works_once() -> None:
    desk = Desk()
    code = code_for(desk)
    issued = desk.authority.exchange(desk.app, code=code, redirect_uri="http://a/cb", now=desk.now)
    assert issued.grant.realm_id == "7"
    with pytest.raises(OAuthRefused):
        desk.authority.exchange(desk.app, code=code, redirect_uri="http://a/cb", now=desk.now)
    assert desk.refused(issued.refresh_token).error == "invalid_grant"
    assert not desk.alive(issued)


def test_a_second_exchange_may_leave_the_first_alone() -> None:
    desk = Desk(codeReuseRevokes=False)
    code = code_for(desk)
    issued = desk.authority.exchange(desk.app, code=code, redirect_uri="http://a/cb", now=desk.now)
    with pytest.raises(OAuthRefused):
        desk.authority.exchange(desk.app, code=code, redirect_uri="http://a/cb", now=desk.now)
    assert desk.refresh(issued.refresh_token)


@pytest.mark.parametrize(
    ("code", "redirect_uri", "later"),
    [
        ("AB11wrong", "http://a/cb", 0.0),
        (None, "http://a/other", 0.0),
        (None, None, 0.0),
        (None, "http://a/cb", 600.0),
    ],
)
def test_what_no_code_is_good_for(code: str | None, redirect_uri: str | None, later: float) -> None:
    desk = Desk()
    real = code_for(desk)
    with pytest.raises(OAuthRefused) as caught:
        desk.authority.exchange(desk.app, code=code or real, redirect_uri=redirect_uri, now=desk.now + later)
    assert caught.value.error == "invalid_grant"


@pytest.mark.parametrize("which", ["access", "refresh"])
def test_either_token_ends_the_connection(which: str) -> None:
    desk = Desk()
    issued = desk.grant()
    desk.authority.revoke(desk.app, issued.access.value if which == "access" else issued.refresh_token)
    assert desk.refused(issued.refresh_token).error == "invalid_grant"
    assert not desk.alive(issued)
    with pytest.raises(OAuthRefused):
        desk.authority.revoke(desk.app, issued.refresh_token)


def test_the_same_seed_gives_the_same_tokens() -> None:
    assert Desk().grant().document() == Desk().grant().document()


class RotationMachine(RuleBasedStateMachine):
    """One grant under random use. The model: a list of values, each with the time it was replaced, and one fate."""

    @initialize(
        rotate_always=st.booleans(),
        grace=st.sampled_from([0, 24]),
        revokes=st.booleans(),
        start=st.integers(0, 10**6),
    )
    def begin(self, *, rotate_always: bool, grace: int, revokes: bool, start: int) -> None:
        self.desk = Desk(rotateAlways=rotate_always, refreshGraceHours=grace, reuseRevokesFamily=revokes)
        self.desk.now += start
        self.rotate_always, self.grace, self.revokes = rotate_always, grace * HOUR, revokes
        self.values = [self.desk.grant().refresh_token]
        self.born = [self.desk.now]
        self.refreshed_at = self.desk.now
        self.dead = False

    @rule(seconds=st.sampled_from([1.0, HOUR, 12 * HOUR, DAY - 1, DAY, 3 * DAY, 100 * DAY, 102 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.desk.now += seconds

    @rule(age=st.integers(0, 3))
    def refresh(self, age: int) -> None:
        position = max(len(self.values) - 1 - age, 0)
        current = position == len(self.values) - 1
        replaced_at = None if current else self.born[position + 1]
        accepted = self._accepted(replaced_at)
        try:
            issued = self.desk.refresh(self.values[position])
        except OAuthRefused:
            assert not accepted
            return
        assert accepted
        self.refreshed_at = self.desk.now
        if current and (self.rotate_always or self.desk.now - self.born[position] >= DAY):
            assert issued.refresh_token not in self.values
            self.values.append(issued.refresh_token)
            self.born.append(self.desk.now)
        assert issued.refresh_token == self.values[-1]

    def _accepted(self, replaced_at: float | None) -> bool:
        """What the model expects; marks the family dead where a reuse revokes it."""
        if self.dead or self.desk.now >= self.refreshed_at + 8726400:
            return False
        if replaced_at is None or self.desk.now < replaced_at + self.grace:
            return True
        self.dead = self.revokes
        return False

    @invariant()
    def there_is_one_family(self) -> None:
        if hasattr(self, "desk"):
            assert len(self.desk.authority.grants()) == 1


RotationMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRotation = RotationMachine.TestCase
