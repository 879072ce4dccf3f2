"""What `qbsync keys` does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from qbsync.api.durations import parse_duration
from qbsync.cli import output, session
from qbsync.cli.output import Format
from qbsync.engine.clock import SystemClock
from qbsync.kube.desk import Desk
from qbsync.tokens import envelope
from qbsync.tokens.custody import Examined, Problem, examine, owner_of, text_of
from qbsync.tokens.keyring import Keyring
from qbsync.tokens.rewrap import Outcome, Rewrapped, Rewrapper
from qbsync.tokens.store import SECRET_TYPE

_UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Rewrapping:
    """The options of `qbsync keys rewrap`."""

    wait: str
    patience: str
    dry_run: bool


def list_keys(namespaces: Sequence[str], key_dir: Path | None, form: Format) -> int:
    """`qbsync keys list`; returns the exit code."""

    async def work(desk: Desk, _: str) -> int:
        keyring = session.keyring_if_given(key_dir)
        found = await desk.secrets_of_type(SECRET_TYPE, namespaces)
        texts = [text for text in map(text_of, found) if text]
        used = Counter(envelope.kid_of(text) or _UNREADABLE for text in texts)
        rows = [*_known(keyring, used), *_unknown(keyring, used)]
        if form is Format.JSON:
            output.document({"keys": rows, "secrets": len(texts)})
        else:
            output.table(
                ("KEY", "USE", "SECRETS", "SOURCE", "NOTE"),
                [(row["key"], row["use"], str(row["secrets"]), row["source"], row["note"]) for row in rows],
            )
        missing = keyring is not None and any(row["use"] == "missing" for row in rows)
        return output.FINDINGS if missing or used[_UNREADABLE] else output.OK

    return session.run(work)


def check(namespaces: Sequence[str], key_dir: Path | None, form: Format) -> int:
    """`qbsync keys check`; returns the exit code."""

    async def work(desk: Desk, _: str) -> int:
        looked = await _examine_all(desk, namespaces, session.keyring(key_dir))
        bad = [one for one in looked if one.problem not in (None, Problem.EMPTY)]
        if form is Format.JSON:
            output.document({"secrets": len(looked), "problems": [_problem(one) for one in bad]})
            return output.FINDINGS if bad else output.OK
        if bad:
            output.table(
                ("SECRET", "CONNECTION", "KEY", "PROBLEM", "WHAT TO DO"),
                [(one.where, one.connection, one.kid, str(one.problem), one.message) for one in bad],
            )
        output.say(f"{len(looked) - len(bad)} of {len(looked)} token Secrets open")
        return output.FINDINGS if bad else output.OK

    return session.run(work)


def rewrap(namespaces: Sequence[str], key_dir: Path | None, how: Rewrapping, form: Format) -> int:
    """`qbsync keys rewrap`; returns the exit code."""
    try:
        wait, patience = parse_duration(how.wait), parse_duration(how.patience)
    except ValueError as error:
        output.complain(error)
        return output.FAILED

    async def work(desk: Desk, _: str) -> int:
        rewrapper = Rewrapper(
            secrets=desk,
            owners=[owner_of(body) for body in await desk.connections(namespaces)],
            keyring=session.keyring(key_dir),
            clock=SystemClock(),
            patience=patience,
            dry_run=how.dry_run,
        )
        found = await desk.secrets_of_type(SECRET_TYPE, namespaces)
        results = await rewrapper.run(found, wait=timedelta() if how.dry_run else wait)
        _show(results, form)
        left = any(one.outcome in (Outcome.BUSY, Outcome.DOES_NOT_OPEN) for one in results)
        return output.FINDINGS if left else output.OK

    return session.run(work)


async def _examine_all(desk: Desk, namespaces: Sequence[str], keyring: Keyring) -> list[Examined]:
    owners = [owner_of(body) for body in await desk.connections(namespaces)]
    found = await desk.secrets_of_type(SECRET_TYPE, namespaces)
    return [examine(secret, owners, keyring) for secret in found]


def _known(keyring: Keyring | None, used: Counter[str]) -> list[dict[str, Any]]:
    return [
        {
            "key": key.kid,
            "use": "primary" if key is keyring.primary else "opens only",
            "secrets": used[key.kid],
            "source": Path(key.source).name,
            "note": key.interpretation,
        }
        for key in (keyring.keys if keyring is not None else ())
        if keyring is not None
    ]


def _unknown(keyring: Keyring | None, used: Counter[str]) -> list[dict[str, Any]]:
    known = keyring.kids if keyring is not None else ()
    use = "missing" if keyring is not None else "in use"
    note = "not in the keyring: these Secrets do not open" if keyring is not None else "no keyring given"
    return [
        {"key": kid, "use": use, "secrets": count, "source": "", "note": note}
        if kid != _UNREADABLE
        else {"key": kid, "use": "damaged", "secrets": count, "source": "", "note": "see qbsync keys check"}
        for kid, count in sorted(used.items())
        if kid not in known
    ]


def _problem(one: Examined) -> dict[str, Any]:
    return {
        "namespace": one.secret.namespace,
        "secret": one.secret.name,
        "connection": one.connection,
        "key": one.kid,
        "problem": str(one.problem),
        "message": one.message,
    }


def _show(results: Sequence[Rewrapped], form: Format) -> None:
    if form is Format.JSON:
        output.document({"secrets": [_rewrapped(one) for one in results]})
        return
    told = [one for one in results if one.outcome is not Outcome.CURRENT]
    if told:
        output.table(
            ("SECRET", "CONNECTION", "KEY BEFORE", "OUTCOME", "NOTE"),
            [
                (f"{one.namespace}/{one.name}", one.connection, one.was, str(one.outcome), one.message)
                for one in told
            ],
        )
    current = len(results) - len(told)
    output.say(f"{current} of {len(results)} token Secrets had the primary key already")


def _rewrapped(one: Rewrapped) -> dict[str, Any]:
    return {
        "namespace": one.namespace,
        "secret": one.name,
        "connection": one.connection,
        "keyBefore": one.was,
        "outcome": str(one.outcome),
        "message": one.message,
    }
