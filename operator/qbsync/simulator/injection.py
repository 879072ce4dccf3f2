"""Faults on demand: rules that the control door posts, and the weather of the hostile profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from qbsync.simulator.switches import Switches

OPERATIONS = frozenset(
    {"refresh", "token", "revoke", "userinfo"}
    | {"query", "read", "create", "update", "delete", "void", "send", "pdf", "batch", "cdc", "unsupported"}
)
_WRITES = frozenset({"create", "update", "delete", "void", "send", "batch"})
_MATCH_KEYS = frozenset({"operation", "realmId", "entity", "nth", "probability", "inBatch"})
_ITEM_EFFECTS = frozenset({"status", "fault", "commit"})
_EFFECT_KEYS = frozenset(
    {
        "status",
        "fault",
        "delaySeconds",
        "drop",
        "commit",
        "commitAfterSeconds",
        "commitItems",
        "html",
        "truncated",
        "lowerCase",
    }
)


class UnreadableRule(ValueError):
    """A rule the door does not understand; the message says which part."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What happens to one call.

    `status`, `fault`, `html` replace the answer, without carrying the call out unless `commit`; `delay_seconds`
    come before it is carried out; `drop` resets the connection before or after; `commit_after_seconds` answers
    now (504, or a reset with `drop`) and carries the call out later; `truncated` cuts the answer in the middle;
    `commit_items` carries out so many items of a batch and then fails (504 unless another effect says how).
    `document` is what the door was told.
    """

    status: int | None = None
    fault: Any = None
    delay_seconds: float = 0.0
    drop: str | None = None
    commit: bool = False
    commit_after_seconds: float | None = None
    html: bool | str = False
    truncated: bool = False
    lower_case: bool = False
    commit_items: int | None = None
    document: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    def described(self) -> dict[str, Any]:
        """As the door was told; what the weather brought, in the same words."""
        if self.document is not None:
            return dict(self.document)
        words = {
            "status": self.status,
            "html": self.html or None,
            "delaySeconds": self.delay_seconds or None,
            "drop": self.drop,
            "commitAfterSeconds": self.commit_after_seconds,
        }
        return {word: value for word, value in words.items() if value is not None}

    @property
    def carries_out(self) -> bool:
        """Whether the call is carried out though its answer is replaced."""
        return self.commit or self.commit_items is not None

    @property
    def replaces_answer(self) -> bool:
        """Whether the client gets another answer than the call's own."""
        return self.status is not None or self.fault is not None or bool(self.html)


NOTHING = Effect()


@dataclass(slots=True)
class Rule:
    """One rule: which calls, what happens, how often still (`None`: always), how many matching calls it has seen."""

    id: str
    match: Mapping[str, Any]
    effect: Effect
    document: Mapping[str, Any] = field(repr=False)
    left: int | None = 1
    seen: int = 0

    def describe(self) -> dict[str, Any]:
        """The door's JSON."""
        return {"id": self.id, **self.document, "left": self.left, "seen": self.seen}


class FaultRules:
    """The rules in the order they were posted; each call uses up at most one."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: list[Rule] = []
        self._posted = 0

    def post(self, document: Mapping[str, Any]) -> Rule:
        """Add a rule. Raises UnreadableRule."""
        unknown = set(document) - {"match", "effect", "times"}
        if unknown:
            raise UnreadableRule(f"a rule has match, effect and times, not {', '.join(sorted(unknown))}")
        match = _match(document.get("match") or {})
        effect = _effect(document.get("effect") or {})
        if match.get("inBatch"):
            _only_known("the effect on an item of a batch", document.get("effect") or {}, _ITEM_EFFECTS)
        times = document.get("times", 1)
        if times is not None and (not isinstance(times, int) or isinstance(times, bool) or times < 1):
            raise UnreadableRule(f"times is a whole number from 1, or null for always, not {times!r}")
        self._posted += 1
        kept = {"match": dict(match), "effect": dict(document.get("effect") or {})}
        rule = Rule(str(self._posted), match, effect, kept, times)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget every rule."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """The rules still there."""
        return [rule.describe() for rule in self._rules]

    def effect_for(
        self, operation: str, realm_id: str | None, entity: str | None, *, in_batch: bool = False
    ) -> Effect | None:
        """The effect of the first rule that applies; every matching rule counts the call.

        `in_batch`: it is an item of a batch; rules are for items (`match.inBatch`) or for calls, never for both.
        """
        chosen: Rule | None = None
        for rule in self._rules:
            if rule.match.get("inBatch", False) != in_batch:
                continue
            if not _fits(rule.match, operation, realm_id, entity):
                continue
            rule.seen += 1
            if chosen is None and rule.seen >= rule.match.get("nth", 1) and self._falls(rule):
                chosen = rule
        if chosen is None:
            return None
        if chosen.left is not None:
            chosen.left -= 1
            if chosen.left == 0:
                self._rules.remove(chosen)
        return chosen.effect

    def _falls(self, rule: Rule) -> bool:
        probability = rule.match.get("probability")
        return probability is None or self._random.random() < probability


class Weather:
    """Slow and lost answers at random from the seed, of the accounting API only."""

    def __init__(self, switches: Switches, random: Random, *, server_timeout: float) -> None:
        self._switches = switches
        self._random = random
        self._server_timeout = server_timeout

    def effect_for(self, operation: str) -> Effect | None:
        """What befalls this call, or nothing."""
        draw = self._random.random()
        for name in ("slowAnswers", "lostAnswers", "lostRequests", "gatewayErrors", "lateCommits"):
            probability = self._switches.number(name)
            if draw < probability:
                return self._effect(name, operation)
            draw -= probability
        return None

    def item_effect(self) -> Effect | None:
        """What befalls one item of a batch, or nothing: a fault that passes, as reported inside a 200."""
        probability = self._switches.number("batchItemFaults")
        if probability == 0 or self._random.random() >= probability:
            return None
        status = self._random.choice((401, 429, 500, 400))
        return Effect(status=status, commit=status >= 500 and self._random.random() < 0.5)

    def _effect(self, name: str, operation: str) -> Effect | None:
        if name == "slowAnswers":
            return Effect(delay_seconds=self._random.uniform(0.1, 1.1) * self._server_timeout)
        if name == "lostAnswers":
            return Effect(drop="after")
        if name == "lostRequests":
            return Effect(drop="before")
        if name == "gatewayErrors":
            return Effect(status=503, html=True)
        late = self._random.random() * self._server_timeout
        return Effect(commit_after_seconds=late) if operation in _WRITES else None


def _fits(match: Mapping[str, Any], operation: str, realm_id: str | None, entity: str | None) -> bool:
    call = {"operation": operation, "realmId": realm_id, "entity": entity}
    return all(match.get(key, value) == value for key, value in call.items())


def _match(document: object) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise UnreadableRule("match is an object")
    _only_known("match", document, _MATCH_KEYS)
    operation = document.get("operation")
    if operation is not None and operation not in OPERATIONS:
        raise UnreadableRule(f"operation is one of {', '.join(sorted(OPERATIONS))}, not {operation!r}")
    nth = document.get("nth", 1)
    if not isinstance(nth, int) or isinstance(nth, bool) or nth < 1:
        raise UnreadableRule(f"nth is a whole number from 1, not {nth!r}")
    if not isinstance(document.get("inBatch", False), bool):
        raise UnreadableRule("inBatch is true for the items of batches, and false for single calls")
    if not 0 <= _number("probability", document.get("probability", 0)) <= 1:
        raise UnreadableRule("probability is between 0 and 1")
    return {key: value for key, value in document.items() if value is not None}


def _effect(document: object) -> Effect:
    if not isinstance(document, Mapping) or not document:
        raise UnreadableRule(f"effect is an object with {', '.join(sorted(_EFFECT_KEYS))}")
    _only_known("effect", document, _EFFECT_KEYS)
    status = document.get("status")
    if status is not None and (
        not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599
    ):
        raise UnreadableRule(f"status is an HTTP status from 200 to 599, not {status!r}")
    drop = document.get("drop")
    if drop not in (None, "before", "after"):
        raise UnreadableRule(f"drop is before or after, not {drop!r}")
    html = document.get("html", False)
    if not isinstance(html, (bool, str)):
        raise UnreadableRule("html is true, or the page itself")
    commit_after, commit_items = document.get("commitAfterSeconds"), document.get("commitItems")
    if commit_items is not None and (
        not isinstance(commit_items, int) or isinstance(commit_items, bool) or commit_items < 0
    ):
        raise UnreadableRule(
            f"commitItems is how many items of a batch are carried out, not {commit_items!r}"
        )
    return Effect(
        status=status,
        fault=document.get("fault"),
        delay_seconds=_number("delaySeconds", document.get("delaySeconds", 0)),
        drop=drop,
        commit=document.get("commit") is True,
        commit_after_seconds=None if commit_after is None else _number("commitAfterSeconds", commit_after),
        html=html,
        truncated=document.get("truncated") is True,
        lower_case=document.get("lowerCase") is True,
        commit_items=commit_items,
        document=dict(document),
    )


def _only_known(part: str, document: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = set(document) - known
    if unknown:
        raise UnreadableRule(
            f"{part} has {', '.join(sorted(known))}, not {', '.join(sorted(map(str, unknown)))}"
        )


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if not isinstance(value, (bool, str)) else -1.0  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < 1e9:
        raise UnreadableRule(f"{name} is a number of seconds or a probability, not {value!r}")
    return number
