"""The small parts: clock, limits, requestid memory, fault rules, weather, switches, options, latency. Pure."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbsync.simulator.clock import SimulatorClock
from qbsync.simulator.injection import OPERATIONS, Effect, FaultRules, UnreadableRule, Weather
from qbsync.simulator.latency import LatencySampler
from qbsync.simulator.limits import Caller, Limits
from qbsync.simulator.options import Latency, Profile, SimulatorOptions, parse_duration, parse_latency
from qbsync.simulator.profiles import OVERRIDES
from qbsync.simulator.requestids import RequestIds
from qbsync.simulator.responses import Answer
from qbsync.simulator.switches import SWITCHES, Switches, UnknownSwitch

# Clock


async def test_a_sleeper_wakes_when_the_door_moves_time_on() -> None:
    clock = SimulatorClock()
    sleeper = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    clock.advance(1800)
    await asyncio.sleep(0.01)
    assert not sleeper.done()
    clock.advance(1800)
    await asyncio.wait_for(sleeper, timeout=1)
    assert clock.offset == 3600


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = SimulatorClock()
    sleeper = asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    clock.advance(7200)


def test_time_is_never_turned_back() -> None:
    with pytest.raises(ValueError, match="turned back"):
        SimulatorClock().advance(-1)


# Limits


def limits(**switches: Any) -> Limits:
    return Limits(Switches(switches))


ONE, ANOTHER = Caller("1", "app"), Caller("1", "another app")


def burst(subject: Limits, count: int, now: float, caller: Caller = ONE, *, batch: bool = False) -> int:
    admitted = 0
    for _ in range(count):
        if subject.admit(caller, now, batch=batch):
            admitted += 1
            subject.release(caller)
    return admitted


def test_ten_a_second_in_any_second() -> None:
    subject = limits()
    assert burst(subject, 7, 100.0) == 7
    assert burst(subject, 7, 100.9) == 3
    assert burst(subject, 7, 101.0) == 7
    assert burst(subject, 7, 101.5) == 0


def test_five_hundred_a_minute_in_any_minute() -> None:
    subject = limits(limitPerSecond=0)
    assert burst(subject, 300, 100.0) == 300
    assert burst(subject, 300, 159.0) == 200
    assert burst(subject, 300, 160.0) == 300


def test_the_minute_is_the_company_s_and_the_second_each_app_s() -> None:
    subject = limits(limitPerMinute=25)
    assert burst(subject, 12, 100.0) == 10
    assert burst(subject, 12, 100.0, ANOTHER) == 10
    assert burst(subject, 12, 101.0) == 5
    assert burst(subject, 12, 101.0, ANOTHER) == 0
    assert burst(subject, 12, 101.0, Caller("2", "app")) == 10


def test_everything_an_app_does_counts_towards_its_eight_hundred() -> None:
    subject = limits(limitPerSecond=0, limitPerMinute=0)
    assert burst(subject, 900, 100.0) == 800
    assert burst(subject, 900, 100.0, ANOTHER) == 800


def test_forty_batches_a_minute_for_an_app_and_a_hundred_and_twenty_for_the_company() -> None:
    subject = limits(limitPerSecond=0)
    admitted = [burst(subject, 50, 100.0, Caller("1", str(app)), batch=True) for app in range(4)]
    assert admitted == [40, 40, 40, 0]
    assert burst(subject, 1, 100.0) == 1
    assert burst(subject, 50, 160.0, batch=True) == 40


def test_ten_at_once_and_each_company_for_itself() -> None:
    subject = limits(limitPerSecond=0)
    assert sum(subject.admit(ONE, 1.0) for _ in range(12)) == 10
    assert subject.admit(ANOTHER, 1.0)
    assert subject.admit(Caller("2", "app"), 1.0)
    subject.release(ONE)
    assert subject.admit(ONE, 1.0)
    assert subject.usage("1", 1.0) == {
        "lastMinute": 12,
        "lastSecond": 12,
        "atWork": 11,
        "batchesLastMinute": 0,
        "emailsLastDay": 0,
    }


@pytest.mark.parametrize(("counted", "admitted"), [(False, 1), (True, 0)])
def test_refused_calls_count_or_not(*, counted: bool, admitted: int) -> None:
    subject = limits(refusedCallsCount=counted)
    burst(subject, 10, 100.0)
    burst(subject, 90, 100.5)
    assert burst(subject, 1, 101.0) == admitted


def test_the_month_s_reads_of_each_app() -> None:
    subject = limits(monthlyReadQuota=2)
    for _ in range(2):
        assert subject.read_allowed("app", "2026-11")
        subject.note_read("app", "2026-11")
    assert not subject.read_allowed("app", "2026-11")
    assert subject.read_allowed("another app", "2026-11")
    assert subject.read_allowed("app", "2026-12")


def test_forty_e_mails_in_any_day() -> None:
    subject = limits()
    for _ in range(40):
        assert subject.email_allowed("1", 100.0)
        subject.note_email("1", 100.0)
    assert not subject.email_allowed("1", 86499.0)
    assert subject.email_allowed("2", 100.0)
    assert subject.email_allowed("1", 86500.0)


# requestid


def answers(**switches: Any) -> RequestIds:
    subject = RequestIds(Switches(switches))
    subject.remember("1", "a", Answer(200, b"first"), now=100.0)
    subject.remember("1", "a", Answer(200, b"second"), now=101.0)
    subject.remember("1", "bad", Answer(400, b"fault"), now=100.0)
    return subject


def test_the_first_answer_is_repeated_for_its_company() -> None:
    subject = answers()
    answer = subject.recall("1", "a", 200.0)
    assert answer is not None
    assert answer.body == b"first"
    assert subject.recall("2", "a", 200.0) is None


def test_failures_are_repeated_where_the_switch_says_so() -> None:
    assert answers().recall("1", "bad", 200.0) is None
    assert answers(replayFailures=True).recall("1", "bad", 200.0) is not None


def test_the_memory_ends_or_never_was() -> None:
    subject = answers(requestidMemorySeconds=60)
    assert subject.recall("1", "a", 160.0) is not None
    assert subject.recall("1", "a", 160.1) is None
    assert answers(requestidMemory="forget").recall("1", "a", 101.0) is None


# Fault rules


def rules(*documents: dict[str, Any]) -> FaultRules:
    subject = FaultRules(Random(1))
    for document in documents:
        subject.post(document)
    return subject


def statuses(
    subject: FaultRules, calls: int, operation: str = "create", realm: str = "1"
) -> list[int | None]:
    effects = [subject.effect_for(operation, realm, "Invoice") for _ in range(calls)]
    return [effect.status if effect else None for effect in effects]


def test_a_rule_is_used_up_once_by_default() -> None:
    subject = rules({"match": {"operation": "create"}, "effect": {"status": 503}})
    assert statuses(subject, 1, "read") == [None]
    assert statuses(subject, 2) == [503, None]
    assert subject.describe() == []


def test_the_nth_call_since_the_rule_was_posted() -> None:
    assert statuses(rules({"match": {"nth": 3}, "effect": {"status": 503}, "times": 2}), 5) == [
        None,
        None,
        503,
        503,
        None,
    ]


def test_rules_are_consumed_in_order_and_all_of_them_count() -> None:
    subject = rules(
        {"effect": {"status": 500}},
        {"effect": {"status": 502}, "times": 2},
        {"match": {"nth": 4}, "effect": {"status": 504}},
    )
    assert statuses(subject, 5) == [500, 502, 502, 504, None]


def test_rules_match_company_and_entity() -> None:
    subject = rules({"match": {"realmId": "2", "entity": "Invoice"}, "effect": {"status": 500}})
    assert statuses(subject, 1, realm="1") == [None]
    assert statuses(subject, 1, realm="2") == [500]


def test_probability_comes_from_the_seed() -> None:
    document = {"match": {"probability": 0.3}, "effect": {"status": 500}, "times": None}
    first, second = (statuses(rules(document), 400) for _ in range(2))
    assert first == second
    assert 80 < first.count(500) < 160


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"effect": {}},
        {"effect": {"stauts": 500}},
        {"effect": {"status": 99}},
        {"effect": {"status": True}},
        {"effect": {"drop": "never"}},
        {"effect": {"delaySeconds": -1}},
        {"effect": {"delaySeconds": "5"}},
        {"effect": {"html": 5}},
        {"effect": {"status": 500}, "times": 0},
        {"effect": {"status": 500}, "time": 1},
        {"match": {"operation": "creat"}, "effect": {"status": 500}},
        {"match": {"nth": 0}, "effect": {"status": 500}},
        {"match": {"probability": 2}, "effect": {"status": 500}},
        {"match": {"realm": "1"}, "effect": {"status": 500}},
        {"match": "create", "effect": {"status": 500}},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(UnreadableRule):
        rules(document)


def test_the_contract_s_operations_are_known() -> None:
    assert (
        set(
            "refresh token revoke query read create update delete void send pdf batch cdc".split()  # noqa: SIM905
        )
        <= OPERATIONS
    )


# Weather


def kind_of(effect: Effect | None) -> str:
    if effect is None:
        return "fine"
    if effect.delay_seconds:
        return "slow"
    if effect.commit_after_seconds is not None:
        return "late"
    return f"drop {effect.drop}" if effect.drop else f"html {effect.status}"


def test_hostile_weather_has_everything_and_the_seed_decides() -> None:
    switches = Switches(OVERRIDES[Profile.HOSTILE])

    def year() -> list[str]:
        weather = Weather(switches, Random(7), server_timeout=120.0)
        return [kind_of(weather.effect_for("create")) for _ in range(5000)]

    assert year() == year()
    seen = Counter(year())
    assert set(seen) == {"fine", "slow", "late", "drop after", "drop before", "html 503"}
    assert seen["fine"] > 4000


def test_reads_are_never_late_commits_and_other_profiles_have_no_weather() -> None:
    weather = Weather(Switches({"lateCommits": 1.0}), Random(7), server_timeout=120.0)
    assert weather.effect_for("read") is None
    for profile in (Profile.REALISTIC, Profile.STRICT, Profile.UNLIMITED):
        calm = Weather(Switches(OVERRIDES[profile]), Random(7), server_timeout=120.0)
        assert {calm.effect_for("create") for _ in range(1000)} == {None}


# Switches, options, latency


def test_every_switch_takes_its_default_and_every_choice() -> None:
    for switch in SWITCHES.values():
        assert switch.check(switch.default) == switch.default
        assert switch.meaning
        for choice in switch.choices:
            assert switch.check(choice) == choice
        assert not switch.choices or switch.default in switch.choices


@pytest.mark.parametrize(
    "change",
    [
        {"noSuch": True},
        {"rotateAlways": 1},
        {"refreshGraceHours": True},
        {"refreshGraceHours": -1},
        {"refreshGraceHours": "24"},
        {"voidNote": "erase"},
        {"rotateAlways": True, "voidNote": "erase"},
    ],
)
def test_a_wrong_switch_changes_nothing(change: dict[str, Any]) -> None:
    switches = Switches()
    with pytest.raises(UnknownSwitch):
        switches.put(change)
    assert switches.as_dict() == Switches().as_dict()


def test_profiles_are_what_the_design_says() -> None:
    realistic, strict, hostile, unlimited = (Switches(OVERRIDES[profile]) for profile in Profile)
    assert not realistic.on("duplicateDocCheck")
    assert realistic.number("refreshGraceHours") == 0
    assert realistic.on("reuseRevokesFamily")
    assert realistic.number("readLagSeconds") == 2
    assert strict.on("duplicateDocCheck")
    assert strict.on("reuseRevokesFamily")
    assert strict.choice("unknownFields") == "refuse"
    assert strict.number("readLagSeconds") == 0
    assert not hostile.on("duplicateDocCheck")
    assert hostile.choice("requestidMemory") == "forget"
    assert hostile.choice("duplicateDocForm") == "short"
    assert hostile.number("readLagSeconds") == 2
    assert unlimited.number("limitPerSecond") == unlimited.number("limitPerMinute") == 0
    assert unlimited.number("limitConcurrent") == unlimited.number("readLagSeconds") == 0


@pytest.mark.parametrize(
    ("text", "seconds"), [("120s", 120), ("500ms", 0.5), ("2m", 120), ("1.5", 1.5), ("1h", 3600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "160", "800,160", "a,b", "1,2,3", "-1,2"])
def test_what_is_no_latency(text: str) -> None:
    with pytest.raises(ValueError, match=r"latency|percentile"):
        parse_latency(text)


def test_latency_goes_through_both_points() -> None:
    sampler = LatencySampler(parse_latency("160,800"), Random(1))
    drawn = sorted(sampler.draw() for _ in range(20000))
    assert drawn[10000] == pytest.approx(0.160, rel=0.05)
    assert drawn[19800] == pytest.approx(0.800, rel=0.1)
    assert LatencySampler(None, Random(1)).draw() == 0
    assert LatencySampler(Latency(timedelta(), timedelta()), Random(1)).draw() == 0


@given(st.sampled_from(["127.0.0.1", "::1", "localhost", "127.9.9.9"]))
def test_loopback_needs_no_token(host: str) -> None:
    assert SimulatorOptions(host=host).problem() is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])
def test_everything_else_does(host: str) -> None:
    assert "--control-token" in str(SimulatorOptions(host=host).problem())
    assert SimulatorOptions(host=host, control_token="t").problem() is None


# The manual


def test_the_manual_lists_every_switch_as_it_is() -> None:
    manual = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text()
    rows = {line.split("`")[1]: line for line in manual.splitlines() if line.startswith("| `")}
    for switch in SWITCHES.values():
        default = str(switch.default).lower() if isinstance(switch.default, bool) else str(switch.default)
        assert f"| `{default}` |" in rows[switch.name]
        assert switch.meaning in rows[switch.name]
        for profile, moved in OVERRIDES.items():
            assert (f"{profile} `" in rows[switch.name]) == (switch.name in moved)
