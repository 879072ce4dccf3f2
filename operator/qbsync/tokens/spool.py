"""Answers on disk, encrypted, until they are stored in their Secret.

An answer is put here before the first try to store it, and removed once it is stored: a process that is
killed in between, or has to end while the Kubernetes API does not answer, leaves it to the next one that sees
the directory. What is found there is written by the same rule as a live answer (`changes.deposit`): of two
answers the one received last is current.
"""

import hashlib
import json
import logging
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from qbsync.engine.backoff import Backoff
from qbsync.engine.clock import Clock
from qbsync.kube.errors import Conflict, KubeError, NotFound
from qbsync.tokens import audit, changes, claim
from qbsync.tokens.claim import Intent
from qbsync.tokens.envelope import EnvelopeBinding
from qbsync.tokens.errors import EnvelopeError, SecretConflict, WrongKey
from qbsync.tokens.grant import Grant
from qbsync.tokens.spec import Place
from qbsync.tokens.store import Stored, TokenStore

logger = logging.getLogger(__name__)

_FORMAT: Final = 1
_SUFFIX: Final = ".answer"
_PART: Final = ".part-"
"""Of a file that was being written when its process died: worth nothing."""
_LARGEST: Final = 1 << 20
_QUICK_TRIES: Final = 5
_NOT_OURS: Final = "%s in the spool directory is not an answer that this release can read; it is left there"


@dataclass(frozen=True, slots=True)
class SpoolPlace:
    """Where an answer belongs (`spec.Place`)."""

    namespace: str
    name: str
    realm: str
    tokens_secret_name: str
    environment: str
    token_host: str
    uid: str = field(compare=False)
    """Of the connection object, for the audit."""

    @classmethod
    def of(cls, place: Place) -> "SpoolPlace":
        """The same place, without what changes about a connection."""
        return cls(
            namespace=place.namespace,
            name=place.name,
            realm=place.realm,
            tokens_secret_name=place.tokens_secret_name,
            environment=place.binding.environment,
            token_host=place.binding.token_host,
            uid=place.uid,
        )

    @property
    def binding(self) -> EnvelopeBinding:
        return EnvelopeBinding(self.namespace, self.name, self.realm, self.environment, self.token_host)


@dataclass(frozen=True, slots=True)
class SpooledAnswer:
    """One answer, as it lies in the directory."""

    place: SpoolPlace
    intent: Intent
    """The claim with which it was asked for."""
    envelope: str = field(repr=False)

    @property
    def file_name(self) -> str:
        """The same for the same claim of the same grant."""
        whose = (
            f"{self.place.namespace}/{self.place.name}/{self.place.tokens_secret_name}/{self.intent.nonce}"
        )
        return hashlib.sha256(whose.encode()).hexdigest()[:40] + _SUFFIX

    def dump(self) -> bytes:
        """The file's content."""
        place = self.place
        content = {
            "format": _FORMAT,
            "namespace": place.namespace,
            "connection": place.name,
            "realm": place.realm,
            "secret": place.tokens_secret_name,
            "environment": place.environment,
            "tokenHost": place.token_host,
            "uid": place.uid,
            "intent": self.intent.dump(),
            "envelope": self.envelope,
        }
        return json.dumps(content, indent=1).encode()


def parse(raw: bytes) -> SpooledAnswer:
    """The inverse of `dump`; raises `ValueError` for anything else."""
    content = json.loads(raw)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError("not an answer")
    place = SpoolPlace(
        namespace=_text(content, "namespace"),
        name=_text(content, "connection"),
        realm=_text(content, "realm"),
        tokens_secret_name=_text(content, "secret"),
        environment=_text(content, "environment"),
        token_host=_text(content, "tokenHost"),
        uid=_text(content, "uid"),
    )
    intent = claim.parse(_text(content, "intent"))
    if intent is None or not intent.holder:
        raise ValueError("no intent")
    return SpooledAnswer(place, intent, _text(content, "envelope"))


class Spool:
    """The directory. Without one nothing is kept, and nothing found."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._kept: dict[str, SpooledAnswer] = {}

    @property
    def usable(self) -> bool:
        """There is a directory."""
        return self._directory is not None

    def keep(self, answer: SpooledAnswer) -> None:
        """Write it to the file system's cache: enough for a process that is killed. Never raises."""
        if self.usable:
            self._kept[answer.file_name] = answer
            self._write(answer, durable=False)

    def sync(self) -> tuple[SpooledAnswer, ...]:
        """Write to the disk itself all that is not stored yet; returns that."""
        return tuple(answer for answer in self._kept.values() if self._write(answer, durable=True))

    def discard(self, answer: SpooledAnswer) -> None:
        """It is stored, or superseded: remove it."""
        self._kept.pop(answer.file_name, None)
        if self._directory is None:
            return
        try:
            (self._directory / answer.file_name).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s is stored and cannot be removed: %s", answer.file_name, error.strerror)

    def scan(self) -> Iterator[SpooledAnswer]:
        """What lies there and is not this process's own. Whatever else lies there is reported and left."""
        for path in self._files():
            if path.name in self._kept or path.suffix.startswith(_PART):
                continue
            try:
                if path.suffix != _SUFFIX or path.stat().st_size > _LARGEST:
                    raise ValueError("not ours")  # noqa: TRY301 - one report for all that is unreadable
                yield parse(path.read_bytes())
            except (OSError, ValueError, KeyError):
                logger.error(_NOT_OURS, path.name)  # noqa: TRY400 - the cause could quote content

    def _files(self) -> list[Path]:
        if self._directory is None:
            return []
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return sorted(path for path in self._directory.iterdir() if path.is_file())
        except OSError as error:
            logger.error(  # noqa: TRY400
                "--spool-dir %s cannot be used (%s): answers that cannot be stored die with the process",
                self._directory,
                error.strerror,
            )
            return []

    def _write(self, answer: SpooledAnswer, *, durable: bool) -> bool:
        assert self._directory is not None
        path = self._directory / answer.file_name
        try:
            _replace(path, answer.dump(), durable=durable)
        except OSError as error:
            logger.error(  # noqa: TRY400
                "an answer for %s/%s could not be put into --spool-dir: %s",
                answer.place.namespace,
                answer.place.name,
                error.strerror,
            )
            return False
        return True


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Write as a whole or not at all, readable by this user only; with `durable` it is on the disk afterwards."""
    temporary = path.with_suffix(f"{_PART}{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.rename(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Recovery:
    """Brings what earlier processes left in the spool into its Secrets."""

    def __init__(self, *, spool: Spool, store: TokenStore, clock: Clock, rng: random.Random) -> None:
        self._spool, self._store, self._clock, self._rng = spool, store, clock, rng
        self._waiting: dict[SpoolPlace, list[SpooledAnswer]] = {}
        for answer in spool.scan():
            self._waiting.setdefault(answer.place, []).append(answer)
        self._backoff = Backoff(cap=Backoff().cap / 10)

    @property
    def waiting(self) -> int:
        """How many answers are not stored yet."""
        return sum(map(len, self._waiting.values()))

    async def run(self) -> None:
        """Store what has a Secret to go to, leading or not: its token is spent. Ends when that is done.

        Where there is no Secret, the connection may have been deleted with it: that is for the leader.
        """
        failures = 0
        while places := [place for place in tuple(self._waiting) if await self._pending(place)]:
            failures += 1
            logger.warning("answers from the spool directory not stored yet", extra={"waiting": len(places)})
            await self._clock.sleep(self._backoff.delay(failures, self._rng))

    async def settle(self, place: Place, *, create: bool = True) -> None:
        """Store what waits for that place. Raises `KubeError`, `SecretConflict`, or `WrongKey`.

        As long as it raises, the token in the Secret must not be spent: it is an older one.
        """
        key = SpoolPlace.of(place)
        answers = sorted(self._waiting.get(key, ()), key=lambda answer: answer.intent.claim)
        for answer in reversed(answers):
            if await self._store_one(answer, create=create):
                self._forget(key, answer)

    async def _pending(self, place: SpoolPlace) -> bool:
        try:
            await self.settle(place, create=False)
        except KubeError:
            return True
        except (SecretConflict, EnvelopeError) as error:
            logger.error("spooled answer for %s/%s: %s", place.namespace, place.name, error)  # noqa: TRY400
        return False

    async def _store_one(self, answer: SpooledAnswer, *, create: bool) -> bool:
        """True if there is nothing left to do for it."""
        try:
            fresh = self._store.open(answer.place, answer.envelope)
        except WrongKey:
            raise
        except EnvelopeError:
            logger.error(_NOT_OURS, answer.file_name)  # noqa: TRY400
            self._waiting.pop(answer.place, None)
            return False
        for _ in range(_QUICK_TRIES):
            stored = await self._store.read(answer.place)
            if stored.secret is None and not create:
                return False
            draft = changes.recover(stored, fresh, mine=answer.intent)
            try:
                after = await self._store.write(answer.place, stored, draft) if draft is not None else stored
            except (Conflict, NotFound):
                continue
            self._tell(answer, after, used=_holds(after, fresh))
            return True
        raise Conflict("the token Secret is being written by somebody else all the time")

    def _tell(self, answer: SpooledAnswer, stored: Stored, *, used: bool) -> None:
        audit.record(
            answer.place,
            who=answer.intent.holder,
            action="token.recover",
            outcome="Stored" if used else "Superseded",
            sequence=stored.grant.sequence if stored.grant is not None else None,
            key_id=stored.kid,
        )

    def _forget(self, place: SpoolPlace, answer: SpooledAnswer) -> None:
        self._spool.discard(answer)
        left = [other for other in self._waiting.get(place, ()) if other != answer]
        if left:
            self._waiting[place] = left
        else:
            self._waiting.pop(place, None)


def _holds(stored: Stored, fresh: Grant) -> bool:
    return stored.grant is not None and stored.grant.refresh_token == fresh.refresh_token


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")  # noqa: TRY004 - one kind of error for all that is unreadable
    return value
